"""How far ahead a log lets anybody say anything: beyond its own length nothing was tried, beyond ten times that nothing is made."""

from __future__ import annotations

from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity

__all__ = ["MOST_LOGS", "beyond_log", "require_reach"]

MOST_LOGS = 10
"""A horizon of so many lengths of the log is refused."""


def beyond_log(horizon_days: int | None, log_days: int) -> tuple[Finding, ...]:
    """That a horizon (None: for ever) is longer than the log, so that nothing over it could be tried."""
    if horizon_days is not None and horizon_days <= log_days:
        return ()
    asked = "for ever" if horizon_days is None else f"{horizon_days:,} days ahead"
    return (
        Finding(
            code="horizon.beyond_log",
            severity=Severity.BLOCK,
            what=f"The figure looks {asked}, and the log has {log_days:,} days: it is untried.",
            why="A horizon longer than the log never ended for anybody, so no figure over it was ever held against what came; its interval holds chance only.",
            do=f"Ask for {max(1, log_days // 3):,} days or fewer, which this log can try, or load a log at least twice as long as the horizon.",
            numbers={"log_days": log_days},
        ),
    )


def require_reach(horizon_days: int | None, log_days: int) -> None:
    """Raise ``UsageError`` (``horizon.too_long``) for a horizon of more than ``MOST_LOGS`` lengths of the log."""
    if horizon_days is None or horizon_days <= MOST_LOGS * log_days:
        return
    raise UsageError(
        "horizon.too_long",
        what=f"A horizon of {horizon_days:,} days is {horizon_days / max(log_days, 1):,.0f} times the length of the log ({log_days:,} days).",
        why=f"Beyond {MOST_LOGS} times the log nothing in it bears on the figure.",
        do=f"Ask for at most {MOST_LOGS * log_days:,} days; up to {max(1, log_days // 3):,} days can be tried on this log.",
    )
