"""Occasions by day before a cutoff, against plain Python over the events that were known."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from headwater.core.span import day_of

FIRST = day_of("2020-01-01")
SPAN = 60


def some_lines(line, seed):
    """Purchases, refunds and visits of nine users, a third of them known some days late."""
    rng = random.Random(seed)
    lines = [
        line(
            user=rng.choice("abcdefghi"),
            day=(day := FIRST + rng.randrange(SPAN)),
            known=min(day + rng.choice([0, 0, 2, 9]), FIRST + SPAN - 1),
            order=f"o{k}",
            pence=rng.choice([100, 0, -50, 300]),
        )
        for k in range(200)
    ]
    return [*lines, line(user="last", day=FIRST + SPAN - 1, known=FIRST + SPAN - 1, order="last", pence=1)]


def by_plain_python(lines, cutoff, seen_by):
    known = [x for x in lines if x.day < cutoff and x.known < seen_by]
    visits = Counter(d for _, d in {(x.user, x.day) for x in known})
    orders = defaultdict(set)
    for x in known:
        if x.pence > 0:
            orders[x.day].add(x.user)
    return {d: (n, len(orders[d])) for d, n in visits.items()}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("as_of", [None, 45])
def test_daily_occasions_against_plain_python(bench, rows_of, line, shop_log, seed, as_of):
    lines = some_lines(line, seed)
    ledger = bench.ledger(**shop_log(lines))
    cutoffs = [FIRST + c for c in ((10, 30, 45) if as_of else (10, 30, 45, SPAN))]
    seen_from = None if as_of is None else FIRST + as_of
    snapshot = bench.snapshot(ledger, cutoffs=cutoffs, as_of=seen_from)
    found = defaultdict(dict)
    for row in rows_of(snapshot.daily):
        found[row["cutoff"]][row["app_day"]] = (row["active_days"], row["orders"])
    for cutoff in cutoffs:
        today = as_of is None and cutoff == ledger.end_day
        assert found[cutoff] == by_plain_python(lines, cutoff, ledger.end_day if today else cutoff)


def test_repeat_occasions_are_those_of_the_snapshot_less_one_first_day_a_user(bench, line, shop_log):
    """What the seasonal models rely on: daily occasions less first days add up to the users' repeats."""
    ledger = bench.ledger(**shop_log(some_lines(line, 3)))
    snapshot = bench.snapshot(ledger, cutoffs=[FIRST + 40])
    users = [u for u in snapshot.to_arrow().to_pylist() if u["orders_repeats"] is not None]
    daily = sum(r["orders"] for r in snapshot.daily.to_arrow().to_pylist())
    assert daily - len(users) == sum(u["orders_repeats"] for u in users)
