"""What a fault touches, against a day taken out of a log whose rows are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headwater.contracts.touched import touched_by

N_DAYS, LOST = 60, 30
ROWS, USERS, MONEY = 300.0, 100.0, 450.0  # of a usual day: three rows of a user, 1.5 of money a row


def _tally(**left: float) -> Any:
    """Days alike, but for what is left of one: ``rows`` of nearly as many users, with hardly any money."""
    rows, users, money = (np.full(N_DAYS, v) for v in (ROWS, USERS, MONEY))
    rows[LOST], users[LOST], money[LOST] = left["rows"], left["users"], left["money"]
    return SimpleNamespace(
        days=np.arange(N_DAYS), daily=rows[None, :], users=users, money=money, money_name="revenue"
    )


@pytest.mark.parametrize(
    "left", [{"rows": 0.0, "users": 0.0, "money": 0.0}, {"rows": 20.0, "users": 19.0, "money": 1.0}]
)
def test_the_users_and_the_money_of_missing_rows_are_those_of_the_days_around(left):
    missing = ROWS - left["rows"]
    found = touched_by(_tally(**left), np.array([LOST]), missing)
    assert found.users == pytest.approx(missing * USERS / ROWS)
    assert found.money == pytest.approx(missing * MONEY / ROWS)


def test_where_all_days_are_touched_they_are_their_own_measure():
    found = touched_by(_tally(rows=ROWS, users=USERS, money=MONEY), np.arange(N_DAYS), 60.0)
    assert (found.users, found.money) == (pytest.approx(20.0), pytest.approx(90.0))
