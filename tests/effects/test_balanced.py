"""Allocations of a known population: exact shares, alike arms, the same for a seed, and refusals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import DataError
from headwater.effects.balanced import allocate_balanced
from headwater.effects.plan import Arm

TWO = (Arm(name="old", share=0.5), Arm(name="new", share=0.5))
THREE = (Arm(name="old", share=0.4), Arm(name="new", share=0.4), Arm(name="bold", share=0.2))


def shops(n=120, seed=1):
    rng = np.random.default_rng(seed)
    return pa.table({
        "shop": [f"s{i}" for i in range(n)],
        "region": pa.array(rng.choice(["north", "south", None], n)),
        "size": rng.choice([1, 2], n),
        "sales": rng.lognormal(3, 1, n),
        "visits": np.where(rng.random(n) < 0.1, np.nan, rng.normal(50, 9, n)),
    })  # fmt: skip


def test_shares_hold_within_every_combination_of_strata_counted_row_by_row():
    rows = shops()
    found = allocate_balanced(rows, arms=THREE, by=["region", "size"], rng=np.random.default_rng(5))
    keys = list(zip(rows["region"].to_pylist(), rows["size"].to_pylist(), strict=True))
    assert found.n_strata == len(set(keys)) == 6
    for key in set(keys):
        own = [a for a, k in zip(found.arms.to_pylist(), keys, strict=True) if k == key]
        for arm in THREE:
            assert abs(own.count(arm.name) - arm.share * len(own)) < 1
    assert sum(n for _, n in found.n_by_arm) == 120


@pytest.mark.parametrize("arms", [TWO, THREE])
def test_rerandomized_arms_are_closer_than_a_plain_draw_and_the_table_says_what_the_rows_do(arms):
    rows = shops()
    found = allocate_balanced(
        rows, arms=arms, like=["sales", "visits"], accept_share=0.001, rng=np.random.default_rng(5)
    )
    assert found.n_draws > 20
    assert found.variance_left < 0.1
    assert {"allocation.missing", "allocation.adjust"} == {f.code for f in found.findings}
    sales, arm = rows["sales"].to_numpy(), np.array(found.arms.to_pylist())
    for row in found.balance:
        if row.column == "sales":
            apart = (sales[arm == row.arm].mean() - sales[arm == "old"].mean()) / sales.std(ddof=1)
            assert row.difference == pytest.approx(apart)
    assert sum(r.difference**2 for r in found.balance) < sum(r.difference_plain**2 for r in found.balance)


def test_strata_and_rerandomization_together_keep_both_promises():
    rows = shops()
    found = allocate_balanced(rows, arms=TWO, by=["size"], like=["sales"], rng=np.random.default_rng(5))
    sizes, arm = rows["size"].to_numpy(), np.array(found.arms.to_pylist())
    assert all(abs((arm[sizes == s] == "new").sum() - (sizes == s).sum() / 2) < 1 for s in (1, 2))
    assert abs(found.balance[0].difference) < 0.05


def test_the_same_seed_gives_the_same_arms_and_another_seed_others():
    rows = shops()
    one, same, other = (
        allocate_balanced(rows, arms=TWO, like=["sales"], rng=np.random.default_rng(s)).arms
        for s in (5, 5, 6)
    )
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize(
    ("rows", "settings", "code"),
    [
        (shops(1), {}, "too_few"),
        (shops(), {"like": ["region"]}, "not_a_number"),
        (pa.table({"x": [1.0] * 9}), {"like": ["x"]}, "constant"),
        (
            pa.table({"x": [0.0] * 9 + [1e9]}),
            {"like": ["x"], "accept_share": 0.05, "most_draws": 40},
            "not_found",
        ),
    ],
)
def test_what_cannot_be_balanced_is_refused(rows, settings, code):
    with pytest.raises(DataError, match=rf"allocation\.{code}"):
        allocate_balanced(rows, arms=TWO, rng=np.random.default_rng(5), **settings)
