"""Not future: no event after a moment."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.span import day_of
from headwater.engine.sql import shim, sql

__all__ = ["NotFuture"]


class NotFuture:
    """Events dated after ``after`` (an ISO date, the last day that can have happened), in app days.

    The date stands in the settings, so a run gives the same rows whenever it is run.
    """

    about: ClassVar[str] = "no event after this date"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check on the event's app day."""
        refuse_settings(spec, {"after"})
        date = spec.settings.get("after")
        if not isinstance(date, str):
            raise ConfigError(
                "rule.not_future",
                what="The not_future rule has no date.",
                why="Reading the clock would give other rows tomorrow.",
                do='Write after = "2011-12-09", the last day the log can hold.',
            )
        day = shim("local_day", columns.at, columns.app.time_zone)
        condition = sql("({day} > {last})", day=day, last=day_of(date))
        return (
            BrokenWhen(
                code=f"not_future({date})",
                about=f"dated after {date}",
                condition=condition,
                proposal="Correct the clock of the sender, or at_format and time_zone under [[sources]].",
            ),
        )
