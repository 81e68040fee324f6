"""Discounted value of a fitted model against the model's own forecast and a sum written out here.

Tolerances: without a discount the forecast itself, to rounding (1e-9); with one, steps of four days are good to 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import UsageError
from headwater.engine.arrays import column_floats
from headwater.models.ltv import LTV_MODELS
from headwater.models.value import discounted_value

if TYPE_CHECKING:
    from conftest import Known, World

HORIZON_DAYS = 30


@pytest.fixture(scope="module", params=["bg_nbd", "pareto_nbd", "mbg_cnbd_k", "bg_nbd_static"])
def fitted(request, known: Known):
    training = known.world.training()
    predictor = LTV_MODELS.load(request.param)().fit(training)
    return predictor, training.at_now(predictor.columns)


def test_without_a_discount_the_value_is_the_forecast(fitted):
    predictor, rows = fitted
    got = discounted_value(predictor, rows, horizon=f"{HORIZON_DAYS}d", yearly_rate=0.0)
    bought = np.isfinite(column_floats(rows, predictor.columns[0]))
    assert got.value[bought] == pytest.approx(predictor.predict(rows)[bought], rel=1e-9)
    assert np.isnan(got.value[~bought]).all()
    assert got.total == pytest.approx(predictor.predict(rows)[bought].sum(), rel=1e-9)


def test_a_discount_takes_off_what_comes_later_the_more(fitted):
    predictor, rows = fitted
    few = rows.slice(0, 40)
    days = [
        discounted_value(predictor, few, horizon=f"{d}d", yearly_rate=0.0).value for d in range(4, 101, 4)
    ]
    each = np.diff([np.zeros(40), *days], axis=0)
    middle = 1.5 ** (-(4 * np.arange(25) + 2) / 365)
    got = discounted_value(predictor, few, horizon="100d", yearly_rate=0.5).value
    assert got == pytest.approx(middle @ each, rel=1e-6, nan_ok=True)


def test_value_for_ever_is_above_any_horizon_and_says_how_much_lies_beyond_the_history(fitted):
    predictor, rows = fitted
    year = discounted_value(predictor, rows, horizon="3650d", yearly_rate=0.15)
    ever = discounted_value(predictor, rows, horizon=None, yearly_rate=0.15)
    assert ever.total > year.total
    assert [f.code for f in ever.findings] == ["value.beyond_history"]
    within = discounted_value(predictor, rows, horizon="60d")
    assert within.findings == ()
    assert "over 60 days" in within.blocks()[0].text


def test_users_who_never_purchased_have_no_value_and_are_counted(
    world_of: Callable[..., World], known: Known
):
    events = [(f"u{u}", d, 10.0 + (u * d) % 7) for u in range(60) for d in range(u % 7, 90, 7 + u % 5)]
    world = world_of([*events, *[(f"looked{u}", 3, 0.0) for u in range(5)]])
    training = world.training(90)
    predictor = LTV_MODELS.load("bg_nbd")().fit(training)
    got = discounted_value(predictor, training.at_now(predictor.columns))
    assert np.isnan(got.value).sum() == 5
    assert got.findings[0].code == "value.no_purchase"
    assert got.findings[0].what.startswith("5 of 65 users")


@pytest.mark.parametrize(
    ("name", "because"), [("rate_so_far", "one horizon"), ("bg_nbd_seasonal", "runs with the seasons")]
)
def test_a_model_that_knows_no_stretch_of_the_calendar_is_refused(known: Known, name: str, because: str):
    training = known.world.training()
    predictor = LTV_MODELS.load(name)().fit(training)
    with pytest.raises(UsageError, match=rf"value\.no_process.*{because}"):
        discounted_value(predictor, training.at_now(predictor.columns))


def test_value_for_ever_without_a_discount_is_refused(fitted):
    predictor, rows = fitted
    with pytest.raises(UsageError, match=r"value\.rate"):
        discounted_value(predictor, rows, horizon=None, yearly_rate=0)


@pytest.mark.parametrize("rate", [-0.1, -1.0, -1.5, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused_by_its_code(fitted, rate: float):
    predictor, rows = fitted
    with pytest.raises(UsageError, match=r"value\.rate"):
        discounted_value(predictor, rows, yearly_rate=rate)


def test_purchases_without_a_discount_are_those_expected_and_alive_is_a_probability(fitted):
    predictor, rows = fitted
    got = discounted_value(predictor, rows, horizon="90d", yearly_rate=0.0)
    assert got.purchases == pytest.approx(got.expected, rel=1e-9, nan_ok=True)
    known = got.alive[np.isfinite(got.value)]
    assert ((known >= 0) & (known <= 1)).all()
    assert np.isnan(discounted_value(predictor, rows, horizon=None, yearly_rate=0.1).expected).all()


def test_nobody_leaves_bg_nbd_before_a_repeat_purchase_as_fader_hardie_lee_2005_assume(known: Known):
    training = known.world.training()
    predictor = LTV_MODELS.load("bg_nbd")().fit(training)
    rows = training.at_now(("user_id", *predictor.columns))
    got = discounted_value(predictor, rows)
    x = column_floats(rows, predictor.columns[0])
    assert (got.alive[x == 0] == 1).all()
    assert (got.alive[x > 0] < 1).all()
    assert got.to_dict()["user_id"] == rows.column("user_id").to_pylist()
