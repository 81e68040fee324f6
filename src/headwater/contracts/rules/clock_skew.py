"""Clock skew: the sender's clock and the server's clock must agree."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_time, refuse_settings, span_setting
from headwater.core.contract import RuleSpec
from headwater.engine.sql import sql

__all__ = ["ClockSkew"]


class ClockSkew:
    """Rows whose ``known_at`` is more than ``within`` after ``at``, or more than ``known_before`` before it.

    An event cannot be known before it happened: what is beyond ``known_before`` is a wrong clock for sure.
    """

    about: ClassVar[str] = "the time it happened and the time it became known must agree"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """Two checks: known too late after, and known before it happened."""
        refuse_settings(spec, {"within", "known_before"})
        known = known_time(spec, columns)
        late, within = span_setting("within", spec, default="1d")
        early, before = span_setting("known_before", spec, default=late)
        return (
            BrokenWhen(
                code=f"clock_skew(behind {late})",
                about=f"the clock of the event is more than {late} behind that of the server",
                condition=sql("({known} - {at} > {w})", known=known, at=columns.at, w=within),
                certainty="likely",
                doubt="an event sent late looks the same as a clock that is behind",
                proposal="Send the device's time of sending too, and correct the event's time by the difference.",
            ),
            BrokenWhen(
                code=f"clock_skew(ahead {early})",
                about=f"it was known more than {early} before it happened",
                condition=sql("({at} - {known} > {w})", known=known, at=columns.at, w=before),
                proposal="The clock of the sender is ahead: use the server's time for such rows.",
            ),
        )
