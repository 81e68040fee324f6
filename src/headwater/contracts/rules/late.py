"""Late: an event must become known soon after it happened."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_time, refuse_settings, span_setting
from headwater.core.contract import RuleSpec
from headwater.engine.sql import sql

__all__ = ["Late"]


class Late:
    """Rows that became known more than ``within`` after they happened."""

    about: ClassVar[str] = "an event must become known soon after it happened"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check of ``known_at`` against ``at``."""
        refuse_settings(spec, {"within"})
        known = known_time(spec, columns)
        written, within = span_setting("within", spec)
        return (
            BrokenWhen(
                code=f"late({written})",
                about=f"became known more than {written} after it happened",
                condition=sql("({known} - {at} > {w})", known=known, at=columns.at, w=within),
                proposal="Snapshots know a row from its known_at on, so late rows need no rule: use one only where they must not count at all.",
            ),
        )
