"""The first sentence of a report: what may be said of the forecast, in agreement with its verdicts."""

from __future__ import annotations

from headwater.app.worth import Worth
from headwater.core.answer import Stance, Verdict
from headwater.core.span import date_of

__all__ = ["headline"]


def headline(worth: Worth, order: Verdict, total: Verdict) -> str:
    """The total where it may go into a plan, the order where that may be used, and why the other may not; and who alone is a large part of it."""
    return f"{_said(worth, order, total)}{_heaviest(worth)}"


def _heaviest(worth: Worth) -> str:
    of_total = [u for u in worth.heavy if u.expected is not None]
    if not of_total:
        return ""
    user = max(of_total, key=lambda u: u.expected or 0.0)
    return f" One user alone, '{user.user_id}', is {user.expected:.0%} of what is expected."


def _said(worth: Worth, order: Verdict, total: Verdict) -> str:
    if total.stance is Stance.CANNOT_SAY:
        return _without_total(worth, order, total)
    expected = worth.total
    said = (
        f"In the {worth.task.horizon_days} days from {date_of(worth.forecast.cutoff)}, the {_customers(expected.n_users)} known by then "
        f"{_are(expected.n_users)} expected to bring {expected.value:,.0f} {expected.unit} ({expected.level:.0%} interval {expected.low:,.0f} to {expected.high:,.0f})"
    )
    if order.stance is Stance.CANNOT_SAY:
        return f"{said}. Their order cannot be defended: {order.because[0]}"
    caution = " Plan with the interval, not with the figure." if total.stance is Stance.HOLD else ""
    return f"{said}; {worth.top.share:.0%} of it comes from the most valuable tenth.{caution}"


def _without_total(worth: Worth, order: Verdict, total: Verdict) -> str:
    n, days = _customers(worth.total.n_users), worth.task.horizon_days
    if order.stance is Stance.CANNOT_SAY:
        return f"{n} {_were(worth.total.n_users)} forecast over {days} days from {date_of(worth.forecast.cutoff)}, but the forecast cannot be defended: {order.because[0]}"
    return (
        f"The order of {n} can be used: {worth.top.share:.0%} of the expected value lies with the top tenth. The total of {days} days "
        f"cannot be defended; the model says {worth.total.value:,.0f} {worth.total.unit}. {total.because[0]}"
    )


def _customers(n: int) -> str:
    return f"{n:,} {'customer' if n == 1 else 'customers'}"


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"
