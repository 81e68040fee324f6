"""Strip trailing: junk at the end of a value goes."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.patterns import require_safe_pattern
from headwater.contracts.repair import refuse_repair_settings, repair_refused
from headwater.core.contract import RepairSpec
from headwater.engine.sql import Sql, shim, sql

__all__ = ["StripTrailing"]


class StripTrailing:
    """What ends the value and is one of ``characters``, or matches ``pattern``, goes."""

    about: ClassVar[str] = "junk at the end of the value is taken off"

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The value without its trailing junk."""
        refuse_repair_settings(spec, {"characters", "pattern"})
        match spec.settings.get("characters"), spec.settings.get("pattern"):
            case str(characters), None if characters:
                return sql("trim(TRAILING {c} FROM {v})", c=characters, v=value)
            case None, str(pattern) if pattern:
                whole = f"(.*?)(?:{require_safe_pattern(pattern)})"
                return sql(
                    "CASE WHEN {m} THEN regexp_extract({v}, {p}, 1) ELSE {v} END",
                    m=shim("matches", value, f"(?s){whole}"),
                    v=value,
                    p=rf"(?s)\A{whole}\z",
                )
            case _:
                raise repair_refused(
                    spec,
                    "needs either characters or pattern",
                    'Write characters = ";." or pattern = "[#][0-9]+".',
                )
