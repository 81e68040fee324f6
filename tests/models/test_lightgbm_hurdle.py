"""The hurdle: held out by user, right in total, the same again with a seed, and better than a mean where it can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from scipy.stats import spearmanr

from headwater.core.errors import DataError
from headwater.engine.arrays import column_floats, column_objects
from headwater.models.forecasting import fit_model
from headwater.models.ltv import _boosted, _lesson
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.model import Floats
from headwater.snapshots.rows import mature_rows

if TYPE_CHECKING:
    from conftest import Known, World

SUMS = 0.05  # each fold meets the total of the others: these differ by chance
ERROR_LEFT = (
    0.85  # with every user's own past to learn from, a sixth less error than a mean by age is little to ask
)


@pytest.fixture(scope="module")
def trained(known: Known) -> Any:
    training = known.world.training()
    return training, fit_model("lightgbm_hurdle", training)


def test_the_same_seed_gives_the_same_model_and_another_gives_another(known: Known, trained: Any) -> None:
    training, first = trained
    again = fit_model("lightgbm_hurdle", known.world.training())
    other = fit_model("lightgbm_hurdle", known.world.training(seed=8))
    assert again.state() == first.state()
    assert other.state() != first.state()
    one, two = known.world.forecast(again, training), known.world.forecast(first, training)
    np.testing.assert_array_equal(one.mean, two.mean)


def test_threads_do_not_change_the_model(known: Known, trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.learners.boosting._MANY_VALUES", 0)
    many = fit_model("lightgbm_hurdle", known.world.training())
    one = known.world.forecast(trained[1], trained[0]).mean
    np.testing.assert_allclose(known.world.forecast(many, trained[0]).mean, one, rtol=1e-6)


@pytest.mark.parametrize(("many", "n_folds"), [(50_000, 5), (1_000, 3)])
def test_a_users_rows_lie_in_one_fold_and_there_are_fewer_folds_of_many_rows(
    known: Known, monkeypatch: pytest.MonkeyPatch, many: int, n_folds: int
) -> None:
    monkeypatch.setattr(_lesson, "_MANY_ROWS", many)
    training = known.world.training()
    folds = _lesson.read_lesson(training).folds
    users = column_objects(mature_rows(training.snapshot, training.task.target, ("user_id",)), "user_id")
    held: dict[str, set[int]] = {}
    for user, fold in zip(users, folds, strict=True):
        held.setdefault(user, set()).add(int(fold))
    assert len(held) < users.size
    assert {len(f) for f in held.values()} == {1}
    assert {f for one in held.values() for f in one} == set(range(n_folds))


def test_held_out_totals_are_near_and_its_errors_are_those_of_strangers(known: Known) -> None:
    training = known.world.training(known.world.end, known.world.end - 30)
    predictor = LightgbmHurdle().fit(training)
    rows = training.mature(predictor.columns)
    pairs = predictor.held_out
    assert pairs is not None
    np.testing.assert_array_equal(pairs.actual, column_floats(rows, training.task.target))
    assert pairs.predicted.sum() == pytest.approx(pairs.actual.sum(), rel=SUMS)
    own = np.square(predictor.predict(rows) - pairs.actual).mean()
    held = np.square(pairs.predicted - pairs.actual).mean()
    assert held > own


def test_the_calibration_of_a_fold_never_saw_its_outcomes(known: Known) -> None:
    """With the heads as they are, outcomes of one fold a hundred times as large move only what the other folds say."""
    lesson = _lesson.read_lesson(known.world.training())
    rng = np.random.default_rng(4)
    raw, own = rng.gamma(1.0, 20.0, lesson.actual.size), lesson.folds == lesson.folds.max()

    def heads(_: object) -> _boosted.Heads:
        grown = _lesson.Grown(model=cast("Any", FlatModel()), held=raw, rounds=1, in_leaf=40)
        return _boosted.Heads(grown=(grown,), shape=cast("Any", First()))

    plain = _boosted.fit_heads(lesson, heads).held_rows
    louder = replace(lesson, actual=np.where(own, 100 * lesson.actual, lesson.actual))
    moved = _boosted.fit_heads(louder, heads).held_rows
    assert plain is not None
    assert moved is not None
    np.testing.assert_array_equal(moved[own], plain[own])
    assert (moved[~own] != plain[~own]).all()


class FlatModel:
    def gains(self) -> Floats:
        return np.zeros(1)


class First:
    def mean(self, outputs: Sequence[Floats]) -> Floats:
        return outputs[0]


def test_it_is_judged_on_the_latest_matured_window_each_user_once(known: Known) -> None:
    training = known.world.training()
    pairs = LightgbmHurdle().fit(training).held_out
    assert pairs is not None
    latest = training.last_matured(("user_id",))
    np.testing.assert_array_equal(pairs.actual, column_floats(latest, training.task.target))
    assert len(set(column_objects(latest, "user_id"))) == pairs.actual.size < training.mature(()).num_rows


def test_it_beats_the_mean_by_age_on_simulated_users_with_known_truth(known: Known, trained: Any) -> None:
    training, fitted = trained
    truth = np.array([known.truth[u] for u in known.world.users(training)])
    hurdle = known.world.forecast(fitted, training).mean
    means = known.world.forecast(fit_model("cohort_mean", training), training).mean
    assert np.abs(hurdle - truth).mean() < ERROR_LEFT * np.abs(means - truth).mean()
    assert spearmanr(hurdle, truth).statistic > spearmanr(means, truth).statistic + 0.3


def test_features_that_are_empty_are_values_of_their_own(world_of: Callable[..., World]) -> None:
    """Visitors who never bought have no recency and no rhythm of purchases; they are forecast all the same."""
    rng = np.random.default_rng(3)
    events = [(f"visitor{i:03d}", int(d), 0.0) for i in range(300) for d in rng.integers(0, 200, 2)]
    events += [
        (f"buyer{i:03d}", int(d), 20.0) for i in range(300) for d in np.flatnonzero(rng.random(200) < 0.06)
    ]
    world = world_of([*events, ("visitor000", 199, 0.0)])
    training = world.training()
    names = [c.name for c in training.snapshot.features]
    rows = training.at_now(tuple(names))
    assert any(np.isnan(column_floats(rows, n)).any() for n in names)
    now = world.predicted("lightgbm_hurdle", training)
    visitors = np.mean([v for u, v in now.items() if u.startswith("visitor")])
    buyers = np.mean([v for u, v in now.items() if u.startswith("buyer")])
    assert np.isfinite(list(now.values())).all()
    assert visitors < 0.05 * buyers
    assert buyers == pytest.approx(0.06 * 30 * 20.0, rel=0.15)


@pytest.mark.parametrize("case", ["few amounts", "one fold", "all given back"])
def test_too_little_for_amounts_is_refused(world_of: Callable[..., World], case: str) -> None:
    events = [(f"u{i:03d}", i % 50, 5.0) for i in range(300)]
    if case == "few amounts":
        events += [(f"u{i:03d}", 80, 5.0) for i in range(29)]
    elif case == "one fold":
        events += [("u000", d, 5.0) for d in range(60, 160, 2)]
    else:
        events += [(f"u{i:03d}", 80, 5.0) for i in range(60)] + [
            (f"u{i:03d}", 81, -9.0) for i in range(100, 200)
        ]
    world = world_of([*events, ("u001", 169, 5.0)])
    cutoffs = (60, 170) if case != "one fold" else (170, *range(60, 140, 2))
    with pytest.raises(DataError, match=r"fit\.nothing_to_learn"):
        fit_model("lightgbm_hurdle", world.training(*cutoffs))


def test_it_is_refused_without_a_window_that_ended(known: Known) -> None:
    with pytest.raises(DataError, match=r"fit\.no_mature_target"):
        fit_model("lightgbm_hurdle", known.world.training(known.world.end))
