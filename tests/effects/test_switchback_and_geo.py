"""Blocks of time and regions: balance counted by hand, the same for a seed, washouts event by event."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import DataError, UsageError
from headwater.effects.geo import match_regions
from headwater.effects.plan import Arm
from headwater.effects.switchback import switchback

HOUR = 3_600_000_000
TWO = (Arm(name="off", share=0.5), Arm(name="on", share=0.5))
THREE = (Arm(name="off", share=0.5), Arm(name="on", share=0.3), Arm(name="more", share=0.2))


def blocks(arms=TWO, *, n_blocks=100, seed=1, **more):
    rng = np.random.default_rng(seed)
    return switchback(
        ["x", "y", "z"], arms=arms, begins_at=1_000, block_us=HOUR, n_blocks=n_blocks, rng=rng, **more
    )


@pytest.mark.parametrize(("arms", "size"), [(TWO, 2), (THREE, 10)])
def test_each_group_of_blocks_holds_each_arm_its_share_of_times(arms, size):
    found = blocks(arms)
    groups = found.arm.reshape(3, -1, size)
    for k, arm in enumerate(arms):
        assert ((groups == k).sum(axis=2) == round(arm.share * size)).all()


def test_more_blocks_leave_the_earlier_ones_and_seeds_differ():
    assert (blocks(n_blocks=100).arm == blocks(n_blocks=160).arm[:, :100]).all()
    assert (blocks(n_blocks=37).arm == blocks(n_blocks=100).arm[:, :37]).all()
    assert (blocks(seed=2).arm != blocks(seed=1).arm).any()


def test_every_order_within_a_group_is_as_likely_by_simulation():
    found = switchback(
        ["x"], arms=TWO, begins_at=0, block_us=1, n_blocks=40_000, rng=np.random.default_rng(3)
    )
    first = found.arm.reshape(-1, 2)[:, 0].mean()
    assert first == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(20_000))  # four standard errors


def test_events_are_in_the_arm_of_their_block_but_not_in_its_washout():
    found = blocks(washout_us=HOUR // 4)
    rows = found.schedule().to_pylist()
    assert len(rows) == 300
    rng = np.random.default_rng(4)
    units, at = rng.choice(["x", "y", "z", "other"], 3000), rng.integers(-HOUR, 101 * HOUR, 3000)
    arms = found.arms_at(pa.array(units), at).to_pylist()
    by_row = [
        next((r["arm"] for r in rows if r["unit"] == u and r["counts_from"] <= t < r["ends_at"]), None)
        for u, t in zip(units[:400], at[:400].tolist(), strict=True)
    ]
    assert arms[:400] == by_row
    assert found.arms_at(pa.array(["x"]), np.array([found.ends_at])).to_pylist() == [None]


@pytest.mark.parametrize("more", [{"washout_us": HOUR}, {"n_blocks": 0}])
def test_blocks_that_leave_nothing_are_refused(more):
    with pytest.raises(UsageError, match=r"switchback\.blocks"):
        blocks(**more)


def regions(n=20, seed=5):
    """Pairs of regions with the same season and size, by construction 2i and 2i + 1, and noise."""
    rng = np.random.default_rng(seed)
    shape = np.repeat(
        rng.normal(size=(n // 2, 60)).cumsum(axis=1) * 0.2 + rng.normal(5, 1, (n // 2, 1)), 2, axis=0
    )
    return np.exp(shape + rng.normal(0, 0.02, (n, 60)))


def test_regions_that_were_made_alike_are_found_and_split_between_the_arms():
    names = [f"r{i}" for i in range(20)]
    found = match_regions(names, regions(), arms=["off", "on"], rng=np.random.default_rng(6))
    assert all(found.group[2 * i] == found.group[2 * i + 1] for i in range(10))
    assert all({found.arm[2 * i], found.arm[2 * i + 1]} == {0, 1} for i in range(10))
    assert abs(found.series_difference[1]) < 0.02
    again = match_regions(names, regions(), arms=["off", "on"], rng=np.random.default_rng(6))
    assert (again.arm == found.arm).all()


def test_matched_regions_differ_less_before_than_regions_drawn_at_random_by_simulation():
    series = regions()
    rng = np.random.default_rng(7)
    matched = [
        match_regions([str(i) for i in range(20)], series, arms=["off", "on"], rng=rng).series_difference[1]
        for _ in range(50)
    ]
    plain = []
    for _ in range(200):
        on = rng.permutation(20) < 10
        plain.append(series[on].sum() / series[~on].sum() - 1)
    assert np.std(matched) < np.std(plain) / 10


def test_odd_regions_are_left_out_by_name_and_what_cannot_be_matched_is_refused():
    series = np.concatenate([regions(), [np.full(60, 1e9)]])
    names = [f"r{i}" for i in range(20)] + ["capital"]
    found = match_regions(names, series, arms=["off", "on"], rng=np.random.default_rng(8))
    assert found.arm[20] == -1
    assert "capital" in found.findings[0].what
    with pytest.raises(DataError, match=r"geo\.too_few"):
        match_regions(names[:3], series[:3], arms=["off", "on"], rng=np.random.default_rng(8))
    with pytest.raises(DataError, match=r"geo\.series"):
        match_regions(
            names, np.where(series > 1e8, np.nan, series), arms=["off", "on"], rng=np.random.default_rng(8)
        )
