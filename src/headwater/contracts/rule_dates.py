"""What a date in a proposed rule stands for: today, or the last day of a log that ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from headwater.core.contract import RuleSpec

__all__ = ["dated", "future_rule"]

_ALIVE_DAYS = 31


def dated(rule: RuleSpec, *, today: date | None) -> RuleSpec:
    """A rule as the gate reads it: ``"today"`` stands for a date."""
    if today is None or rule.settings.get("after") != "today":
        return rule
    return replace(rule, settings={**rule.settings, "after": today.isoformat()})


def future_rule(last_on: date, *, today: date, zone: str) -> tuple[RuleSpec, str]:
    """No event after today where the log is alive, after its last day where it ended long ago; with the reason.

    ``last_on`` is in UTC; in another zone the last day may be one later.
    """
    if (today - last_on).days <= _ALIVE_DAYS:
        return (
            RuleSpec(rule="not_future", settings={"after": "today"}),
            'The log is alive, so "today" is meant, the day a run is made on; files of days long past are not judged again when it moves.',
        )
    last = last_on if zone == "UTC" else last_on + timedelta(days=1)
    return (
        RuleSpec(rule="not_future", settings={"after": last.isoformat()}),
        f'The log ends on {last_on}, long before today, so its last day is meant: a run gives the same rows whenever it is made. Where days are added, write after = "today".',
    )
