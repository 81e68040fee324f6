"""Not before: no event before a date, such as the launch."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.span import day_of
from headwater.engine.sql import shim, sql

__all__ = ["NotBefore"]


class NotBefore:
    """Events dated before ``on`` (an ISO date; by default the app's launch), in app days."""

    about: ClassVar[str] = "no event before this date"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check on the event's app day."""
        refuse_settings(spec, {"on"})
        date = spec.settings.get("on") or columns.app.launched_on
        if not isinstance(date, str):
            raise ConfigError(
                "rule.not_before",
                what="The not_before rule has no date, and the app has no launched_on.",
                why="There is nothing to compare with.",
                do='Write on = "2010-12-01", or set launched_on under [app].',
            )
        day = shim("local_day", columns.at, columns.app.time_zone)
        condition = sql("({day} < {first})", day=day, first=day_of(date))
        return (
            BrokenWhen(
                code=f"not_before({date})",
                about=f"dated before {date}",
                condition=condition,
                proposal="Correct the clock of the sender, or at_format and time_zone under [[sources]].",
            ),
        )
