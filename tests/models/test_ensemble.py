"""Blends: the average is the average, weights come from past cutoffs only, a member that cannot be fitted is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.engine.arrays import column_floats
from headwater.models.ensemble import Trial, fit_blend
from headwater.models.ltv.average import Average
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.ltv.pareto_nbd import ParetoNbd
from headwater.models.ltv.stacked import Stacked
from headwater.models.model import Floats

if TYPE_CHECKING:
    from conftest import Known, World


def test_the_average_is_half_of_each_member(known: Known) -> None:
    training = known.world.training()
    blend = Average().fit(training)
    rows = training.at_now(blend.columns)
    other = known.world.training()  # what a member draws hangs on its name, not on who asked first
    hurdle = other.fitted("lightgbm_hurdle", LightgbmHurdle).predict(rows)
    pareto = other.fitted("pareto_nbd", ParetoNbd).predict(rows)
    np.testing.assert_allclose(blend.predict(rows), (pareto + hurdle) / 2, rtol=1e-12)


def test_what_the_blend_is_judged_on_was_said_before_it_came(known: Known) -> None:
    """The held-out pairs are forecasts by members fitted at a past cutoff: nothing after it moves them."""
    end = known.world.end
    cutoffs = (end, *(end - k for k in (30, 60, 90, 104)))
    training = known.world.training(*cutoffs)
    blend = Average().fit(training)
    assert blend.held_out is not None
    assert dict(blend.facts)["members tried at"].count("-") == 4  # two dates
    then = training.back_at(max(training.past_cutoffs))
    assert then.now == max(training.past_cutoffs)
    members = [then.fitted("pareto_nbd", ParetoNbd), then.fitted("lightgbm_hurdle", LightgbmHurdle)]
    rows = training.last_matured(tuple(dict.fromkeys(c for m in members for c in m.columns)))
    np.testing.assert_array_equal(blend.held_out.actual, column_floats(rows, training.task.target))
    said = np.mean([m.predict(rows) for m in members], axis=0)
    np.testing.assert_allclose(blend.held_out.predicted, said, rtol=1e-12)


def test_the_weights_a_blend_is_judged_with_come_from_other_users(known: Known) -> None:
    """Half of the users judged are weighed as if the other half alone had been tried."""
    end = known.world.end
    training = known.world.training(end, *(end - k for k in (30, 60, 90, 104)))
    asked: list[tuple[Trial, ...]] = []

    def weigh(trials: tuple[Trial, ...], n_members: int) -> Floats:
        asked.append(trials)
        return np.eye(n_members)[len(asked) % n_members]  # another member each time it is asked

    members = {"pareto_nbd": ParetoNbd, "lightgbm_hurdle": LightgbmHurdle}
    blend = fit_blend(members, training, weigh=weigh, needed=2)
    whole, *halves = asked
    assert len(whole) == 2
    assert [{int(h) for t in trials for h in t.halves} for trials in halves] == [{1}, {0}]
    last = whole[0]
    by_hand = np.where(last.halves == 0, last.said[:, 0], last.said[:, 1])
    assert blend.held_out is not None
    np.testing.assert_array_equal(blend.held_out.predicted, by_hand)


def test_a_model_is_fitted_once_and_its_refusal_is_remembered(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = known.world.training()
    first = training.fitted("pareto_nbd", ParetoNbd)
    assert training.fitted("pareto_nbd", ParetoNbd) is first
    assert training.back_at(training.past_cutoffs[-1]).fitted("pareto_nbd", ParetoNbd) is not first
    calls: list[str] = []

    def refuse(self: ParetoNbd, given: object) -> None:
        calls.append("fit")
        raise DataError("fit.few_repeaters", what="a", why="b", do="c")

    monkeypatch.setattr(ParetoNbd, "fit", refuse)
    for _ in range(2):
        with pytest.raises(DataError, match=r"fit\.few_repeaters"):
            training.fitted("again", ParetoNbd)
    assert calls == ["fit"]


def test_a_training_that_stands_at_an_earlier_cutoff_sees_no_later_window(known: Known) -> None:
    training = known.world.training()
    cutoff = training.past_cutoffs[-1]
    then = training.back_at(cutoff)
    rows = then.mature(("tenure_days",))
    assert (column_floats(rows, "cutoff") + then.task.horizon_days <= cutoff).all()
    assert rows.num_rows < training.mature(("tenure_days",)).num_rows
    assert set(column_floats(then.at_now(("tenure_days", "cutoff")), "cutoff")) == {cutoff}
    assert all(c + 30 <= cutoff for c in then.past_cutoffs)


def test_weights_of_a_stack_are_shares_and_are_saved(known: Known) -> None:
    training = known.world.training()
    blend = Stacked().fit(training)
    state = json.loads(json.dumps(blend.state(), allow_nan=False, sort_keys=True))
    weights = np.array(list(state["weights"].values()))
    assert weights.size == len(state["members"]) == 5
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    rows = training.at_now(blend.columns)
    again = Stacked().restore(training.task, state)
    np.testing.assert_array_equal(again.predict(rows), blend.predict(rows))
    assert dict(again.facts) == {k: v for k, v in blend.facts if k.startswith("weight of ")}


def test_a_member_that_cannot_be_fitted_is_named_and_an_average_of_one_is_refused(
    world_of: Callable[..., World],
) -> None:
    """Twelve customers with a second day are too few for buy-till-you-die; the other members stay."""
    rng = np.random.default_rng(5)
    events = [(f"u{i:03d}", int(rng.integers(0, 60)), 5.0) for i in range(300)]
    events += [(f"u{i:03d}", 61 + i, 9.0) for i in range(12)]
    events += [("last", 119, 1.0)]
    training = world_of(events).training(60, 90, 120, horizon=30)
    with pytest.raises(DataError, match=r"fit\.few_repeaters"):
        Average().fit(training)
    blend = Stacked().fit(training)
    named = [f.what.split(" ")[0] for f in blend.findings if f.code == "ensemble.left_out"]
    assert {"bg_nbd", "pareto_nbd"} <= set(named)
