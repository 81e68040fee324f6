"""Increments: young cohorts teach what they have seen, and horizons do not cross."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.core.ledger import Snapshot
from headwater.core.span import date_of
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.ltv.lightgbm_increments import LightgbmIncrements
from headwater.models.model import Model, Training

if TYPE_CHECKING:
    from conftest import World

BASE = 19_723  # the first of 2024 as an app day
WEEKS, PER_WEEK, LIVELY = 16, 150, 12
RUNGS = (7, 28)
QUICK = {"rounds": 40, "learning_rate": 0.1}
NEARER = 0.85  # of the bias without young cohorts; rows that teach are then 4 weeks old, with them 1 to 4 for the first step, which at 8% a week leaves 0.67 at best


def _rate(week: np.ndarray) -> np.ndarray:
    """The chance to buy on a day, by the week of joining: it grows, so the latest users are the best."""
    return 0.08 * 1.08**week


def growing(seed: int = 5) -> tuple[list[tuple[str, int, float]], float]:
    """Users who buy on the day they join, and for twelve days after at their week's rate; what is still to come at the end."""
    rng = np.random.default_rng(seed)
    n = WEEKS * PER_WEEK
    joined = np.repeat(np.arange(WEEKS), PER_WEEK) * 7 + rng.integers(0, 7, n)
    days = joined[:, None] + np.arange(LIVELY + 1)
    bought = rng.random(days.shape) < _rate(joined // 7)[:, None]
    bought[:, 0] = True
    end = WEEKS * 7
    who, age = np.nonzero(bought & (days < end))
    events = [(f"u{w:05d}", int(joined[w] + a), 10.0) for w, a in zip(who, age, strict=True)]
    ahead = ((days >= end).sum(axis=1) * _rate(joined // 7)).sum() * 10.0
    return [*events, ("u00000", end - 1, 0.0)], float(ahead)


@pytest.fixture(scope="module")
def app(world_of: Callable[[Sequence[tuple[str, int, float]]], World]) -> tuple[Training, float]:
    events, ahead = growing()
    world = world_of(events)
    base = world.training(world.end, horizon=28)
    cutoffs = [BASE + world.end - 7 * k for k in range(5)]
    snapshot = world.bench.snapshot(world.ledger, cutoffs=cutoffs, horizons=RUNGS)
    return replace(base, snapshot=snapshot), ahead


def test_young_cohorts_bring_the_total_nearer_to_the_known_truth_of_a_growing_app(
    app: tuple[Training, float],
) -> None:
    training, ahead = app
    now = training.now
    matured = replace(training, snapshot=without(training, young=(now - 7, now - 14, now - 21)))

    def bias(model: Model, taught: Training) -> float:
        fitted = model.fit(replace(taught, rng=np.random.default_rng(7), settings=QUICK, shared={}))
        return fitted.predict(taught.at_now(fitted.columns)).sum() / ahead - 1

    hurdle, increments = bias(LightgbmHurdle(), training), bias(LightgbmIncrements(), training)
    unhelped = bias(LightgbmIncrements(), matured)
    assert hurdle < 0
    assert abs(increments) < NEARER * abs(hurdle)
    assert abs(increments) < NEARER * abs(unhelped)  # it is the young cohorts that bring it nearer


def without(training: Training, *, young: Sequence[int]) -> Snapshot:
    """The snapshot without some of its cutoffs."""
    snapshot = training.snapshot
    files = [f for f in snapshot.rows.files if not any(str(date_of(c)) in f for c in young)]
    kept = tuple(c for c in snapshot.cutoffs if c not in young)
    return replace(snapshot, cutoffs=kept, rows=replace(snapshot.rows, files=tuple(files)))


def test_longer_horizons_are_never_worth_less(app: tuple[Training, float]) -> None:
    training, _ = app
    fitted = LightgbmIncrements().fit(replace(training, settings=QUICK))
    along = fitted.along(training.at_now(fitted.columns))  # pyright: ignore[reportAttributeAccessIssue]
    assert fitted.rungs == RUNGS  # pyright: ignore[reportAttributeAccessIssue]
    assert along.shape[1] == len(RUNGS)
    assert (along[:, 0] > 0).all()
    assert (np.diff(along, axis=1) > 0).all()
    facts = dict(fitted.facts)
    assert "0 to 7 days" in facts["steps"]
    assert facts["rows too young for the whole window that taught its first step"] != "0"


def test_it_is_refused_without_a_whole_window_that_ended(app: tuple[Training, float]) -> None:
    training, _ = app
    early = min(training.snapshot.cutoffs) + 7
    with pytest.raises(DataError, match=r"fit\.no_mature_target"):
        LightgbmIncrements().fit(training.back_at(early))
