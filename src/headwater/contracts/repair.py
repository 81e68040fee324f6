"""What a repair is: it turns a raw value into the value that was meant, in SQL. The raw value stays beside it."""

from __future__ import annotations

from typing import ClassVar, Protocol

from headwater.core.contract import RepairSpec
from headwater.core.errors import ConfigError, near_miss
from headwater.engine.sql import Sql

__all__ = ["Repair", "refuse_repair_settings", "repair_refused"]


class Repair(Protocol):
    """A repair on the shelf."""

    about: ClassVar[str]

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The repaired text of a text ``value``. Raises ``ConfigError`` where the settings are wrong."""
        ...


def refuse_repair_settings(spec: RepairSpec, known: set[str]) -> None:
    """Refuse settings a repair does not have (``repair.settings``)."""
    given = {*spec.settings, *(["values"] if spec.aliases else [])}
    for setting in sorted(given - known):
        raise repair_refused(spec, f"has no setting '{setting}'", near_miss(setting, known | {"columns"}))


def repair_refused(spec: RepairSpec, what: str, do: str) -> ConfigError:
    """The error of a repair whose settings are wrong."""
    return ConfigError(
        "repair.settings",
        what=f"The repair '{spec.repair}' on {', '.join(spec.columns) or 'no column'} {what}.",
        why="A repair that is half understood would change values nobody meant to change.",
        do=do,
    )
