"""What a fault touches: about how many rows, users and how much money, said the same way by every alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.contracts.tally import Tally

__all__ = ["Touched", "touched_by"]

_AROUND = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Rows too many or missing, and about how many users and how much money such rows have on the days around."""

    rows: float
    users: float
    money: float
    money_name: str

    def text(self) -> str:
        """For a finding: ``about 1,200 rows of 300 users and 4,500 revenue_usd``."""
        money = f" and {self.money:,.0f} {self.money_name}" if self.money_name else ""
        return f"about {self.rows:,.0f} rows of {self.users:,.0f} users{money}"


def touched_by(tally: Tally, days: NDArray[np.int64], rows: float) -> Touched:
    """What ``rows`` rows on some days (positions) amount to, at the users and the money for each row of the days around.

    The days themselves are no measure: what is left of a day without its hours is a few rows of nearly as many
    users. Where the days around hold nothing, the load's own average is taken.
    """
    around = np.arange(max(0, int(days.min()) - _AROUND), min(len(tally.days), int(days.max()) + _AROUND + 1))
    near = np.setdiff1d(around, days)
    near = near if tally.daily[0, near].sum() else np.arange(len(tally.days))
    total = max(float(tally.daily[0, near].sum()), 1.0)
    return Touched(
        rows=rows,
        users=min(rows, rows * float(tally.users[near].sum()) / total),
        money=rows * float(tally.money[near].sum()) / total,
        money_name=tally.money_name,
    )
