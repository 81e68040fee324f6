"""What all models share: saved and read back, intervals in order, errors learned from windows that have ended."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import DataError, UsageError
from headwater.engine.arrays import column_floats
from headwater.models.forecasting import PastErrors, fit_model, restore_model, too_high
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Pairs
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import Known, World

MODELS = LTV_MODELS.names()
OWN_SPREAD = ["rate_so_far", "bg_nbd", "pareto_nbd"]
COVERED = (
    0.86,
    0.95,
)  # the world is stationary: 90%, give or take four standard errors of 1,500 users and past windows


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("measure", ["revenue", "purchases", "active_days"])
def test_a_model_saved_as_json_and_read_back_forecasts_the_same(
    known: Known, model: str, measure: str
) -> None:
    training = known.world.training(measure=measure)
    fitted = fit_model(model, training)
    text = json.dumps(fitted.state(), sort_keys=True, allow_nan=False)
    again = restore_model(json.loads(text))
    assert (again.name, again.task) == (fitted.name, fitted.task)
    assert json.dumps(again.state(), sort_keys=True) == text
    one, two = (known.world.forecast(m, training) for m in (fitted, again))
    for array in ("mean", "low", "high", "variance"):
        np.testing.assert_array_equal(getattr(one, array), getattr(two, array))


@pytest.mark.parametrize("model", OWN_SPREAD)
def test_a_model_with_a_spread_of_its_own_is_saved_without_any_matured_window(
    known: Known, model: str
) -> None:
    training = known.world.training(known.world.end)
    fitted = fit_model(model, training)
    assert fitted.errors is None
    one = known.world.forecast(fitted, training)
    two = known.world.forecast(restore_model(json.loads(json.dumps(fitted.state()))), training)
    np.testing.assert_array_equal(one.high, two.high)
    assert one.method == "the model's own draws"


@pytest.mark.parametrize(
    ("model", "matured"), [*((m, True) for m in MODELS), *((m, False) for m in OWN_SPREAD)]
)
def test_intervals_are_in_order_hold_the_mean_and_widen_with_the_level(
    known: Known, model: str, matured: bool
) -> None:
    bounds = []
    for level in (0.7, 0.9):
        cutoffs = () if matured else (known.world.end,)
        training = known.world.training(*cutoffs, level=level)
        made = known.world.forecast(fit_model(model, training), training)
        assert made.level == level
        assert all(np.isfinite(a).all() for a in (made.mean, made.low, made.high, made.variance))
        assert (made.low <= made.high).all()
        assert (made.low >= 0).all()
        assert (made.variance >= 0).all()
        bounds.append((made.low, made.high))
        if level >= 0.9:
            assert np.mean((made.low <= made.mean) & (made.mean <= made.high)) > 0.85
    for (low, high), (wider_low, wider_high) in itertools.pairwise(bounds):
        assert np.mean(wider_low <= low + 1e-9) > 0.95
        assert np.mean(wider_high >= high - 1e-9) > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_intervals_hold_what_then_happened_to_simulated_users(known: Known, model: str) -> None:
    cutoff = known.world.end - 30
    training = known.world.training(cutoff, *(cutoff - 30 - 14 * k for k in range(4)), as_of=cutoff)
    made = known.world.forecast(fit_model(model, training), training)
    came = known.world.training(cutoff)
    actual = column_floats(rows_at(came.snapshot, came.now, (came.task.target,)), came.task.target)
    inside = np.mean((made.low <= actual) & (actual <= made.high))
    assert COVERED[0] <= inside <= COVERED[1]
    mean_square = np.square(actual - made.mean).sum()
    assert made.variance.sum() == pytest.approx(mean_square, rel=0.35)


def test_errors_are_learned_by_size_and_equal_predictions_are_one_group() -> None:
    """Half the users are predicted at zero with errors of 1, half at 10 with errors of 3."""
    predicted = np.repeat([0.0, 10.0], 500)
    actual = np.concatenate([np.ones(500), np.tile([7.0, 13.0], 250)])
    order = np.random.default_rng(1).permutation(1_000)
    errors = PastErrors.of(Pairs(predicted=predicted[order], actual=actual[order]), level=0.9)
    assert errors is not None
    assert errors.sizes.tolist() == [0.0, 10.0]
    assert errors.variances.tolist() == [1.0, 9.0]
    assert errors.variance(np.array([0.0, 5.0, 10.0, 20.0])).tolist() == [1.0, 5.0, 9.0, 36.0]


@pytest.mark.parametrize(("factor", "told"), [(3.0, True), (1.0, False)])
def test_users_of_whom_too_much_is_said_are_told_and_a_skewed_mean_is_not(factor: float, told: bool) -> None:
    """The largest thousand are forecast at three times what came; of the others one in twenty brings all."""
    rng = np.random.default_rng(17)
    small, large = rng.uniform(1, 10, 9_000), rng.uniform(50, 100, 1_000)
    came = np.append(
        np.where(rng.random(9_000) < 0.05, 20 * small, 0.0), large * rng.uniform(0.8, 1.2, 1_000)
    )
    pairs = Pairs(predicted=np.append(small, factor * large), actual=came)
    errors = PastErrors.of(pairs, level=0.9)
    found = too_high("model", pairs, errors, unit="USD")
    assert [f.code for f in found] == ["interval.forecast_too_high"] * told
    if told:
        assert found[0].numbers["n_users"] == 1_000
        assert "brought 33% of it" in found[0].what


def test_all_predictions_equal_have_one_variance() -> None:
    actual = np.random.default_rng(1).normal(5, 2, 400)
    errors = PastErrors.of(Pairs(predicted=np.full(400, 5.0), actual=actual), level=0.9)
    assert errors is not None
    assert errors.variance(np.array([5.0])) == pytest.approx([np.square(actual - 5).mean()])


@pytest.mark.parametrize(
    ("n", "level", "known_errors"),
    [(199, 0.9, False), (200, 0.9, True), (399, 0.995, False), (400, 0.995, True)],
)
def test_too_few_pairs_for_a_level_say_nothing(n: int, level: float, known_errors: bool) -> None:
    pairs = Pairs(predicted=np.arange(n, dtype=float), actual=np.arange(n, dtype=float))
    assert (PastErrors.of(pairs, level=level) is not None) == known_errors


def test_a_mean_that_nobody_can_judge_is_refused(world_of: Callable[..., World]) -> None:
    events = [(f"u{i}", i % 50, 5.0) for i in range(120)] + [(f"u{i}", 80, 5.0) for i in range(80)]
    world = world_of([*events, ("u0", 99, 1.0)])
    training = world.training(60, 100)
    with pytest.raises(DataError, match=r"forecast\.no_interval"):
        world.forecast(fit_model("cohort_mean", training), training)


def test_a_horizon_or_a_cutoff_that_is_not_there_is_refused(known: Known) -> None:
    training = known.world.training()
    fitted = fit_model("rate_so_far", training)
    with pytest.raises(UsageError, match=r"forecast\.nobody"):
        known.world.forecast(fitted, training, cutoff=known.world.end - 1)
    other = known.world.training(horizon=14)
    with pytest.raises(UsageError, match=r"fit\.other_horizon"):
        fit_model(
            "rate_so_far",
            type(training)(
                snapshot=other.snapshot, task=training.task, engine=training.engine, rng=training.rng
            ),
        )


def test_points_that_are_no_money_have_a_worth_a_day(known: Known) -> None:
    """A sum of whole numbers has no Gamma-Gamma: each purchase day counts with the mean of all."""
    training = known.world.training(measure="points")
    fitted = fit_model("bg_nbd", training)
    assert "per purchase day" in dict(fitted.facts)
    total = known.world.forecast(fitted, training).mean.sum()
    assert total == pytest.approx(sum(known.truth.values()), rel=0.2)


def test_a_fitted_model_shows_itself_as_other_results_do(known: Known) -> None:
    fitted = fit_model("bg_nbd", known.world.training())
    assert dict(zip(*fitted.to_dict().values(), strict=True)) == dict(fitted.facts)
    assert len(repr(fitted)) < 200
    assert "bg_nbd" in repr(fitted)
    assert "30 days" in str(fitted)
