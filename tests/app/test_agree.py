"""Horizons of one measure agree whatever models were chosen for them; money net of refunds may fall, and says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.app.agree import Agreed, agreed_forecasts, chosen_forecast, named_forecast
from headwater.app.study import Study
from headwater.engine.arrays import column_floats, column_objects

if TYPE_CHECKING:
    from conftest import Ran, Shop

HORIZONS = 'horizons = ["7d", "14d", "30d"]'
SUMS = 1e-9  # means of three numbers


def by_turns(study: Study, measure: str) -> tuple[Agreed, list[np.ndarray]]:
    """Forecasts whose models differ from horizon to horizon, so that many fall; agreed, and as they were."""
    jobs = [j for j in study.jobs() if j.task.measure == measure]
    models = ("rate_so_far", "cohort_mean", "rate_so_far")
    made = [study.forecast(m, j, proof=study.backtest(j)) for m, j in zip(models, jobs, strict=True)]
    return agreed_forecasts(study, made), [column_floats(f.rows.to_arrow(), "forecast") for f in made]


def test_net_money_that_falls_is_blamed_on_differing_models_before_refunds(shop: Shop) -> None:
    agreed, _ = by_turns(shop.set('horizons = ["30d"]', HORIZONS).study(), "revenue")
    assert agreed.may_fall
    (finding,) = agreed.findings
    assert finding.code == "horizons.net_may_fall"
    assert finding.why.startswith("The horizons are by different models (rate_so_far, cohort_mean)")
    assert "name one model for all horizons" in finding.do
    (alone,) = replace(agreed, forecasts=tuple(replace(f, model="bg_nbd") for f in agreed.forecasts)).findings
    assert alone.why.startswith("bg_nbd is fitted anew")
    assert "name one model" not in alone.do


def test_no_user_is_worth_less_over_a_longer_horizon(
    shops: Callable[..., Shop], order_lines: Callable[..., list[str]], tmp_path: Path
) -> None:
    gross = [line for line in order_lines() if ",-" not in line]
    shop = shops(tmp_path / "gross", lines=gross).set('horizons = ["30d"]', HORIZONS)
    agreed, before = by_turns(shop.study(), "revenue")
    assert not agreed.may_fall
    assert agreed.n_pooled == np.count_nonzero((np.diff(before, axis=0) < 0).any(axis=0)) > 0
    (finding,) = agreed.findings
    assert finding.code == "horizons.pooled"
    assert "models differ (here cohort_mean, rate_so_far)" in finding.why
    (alone,) = replace(
        agreed, forecasts=tuple(replace(f, model="lightgbm_hurdle") for f in agreed.forecasts)
    ).findings
    assert alone.why.startswith("lightgbm_hurdle is fitted anew for each horizon")
    assert "name one model" not in alone.do
    tables = [f.rows.to_arrow() for f in agreed.forecasts]
    assert len({tuple(column_objects(t, "user_id")) for t in tables}) == 1
    for one, longer in pairwise(tables):
        for bound in ("forecast", "low", "high"):
            assert (column_floats(longer, bound) >= column_floats(one, bound)).all()
    for t in tables:
        low, mean, high = (column_floats(t, c) for c in ("low", "forecast", "high"))
        assert (low <= mean + SUMS * (1 + mean)).all()
        assert (mean <= high + SUMS * (1 + mean)).all()
    after = [column_floats(t, "forecast") for t in tables]
    np.testing.assert_allclose(np.mean(after, axis=0), np.mean(before, axis=0), rtol=SUMS, atol=SUMS)


@pytest.mark.parametrize("model", ["lightgbm_hurdle", "lightgbm_tweedie"])
def test_horizons_of_one_model_that_cross_do_not_as_they_are_handed_over(
    shops: Callable[..., Shop], order_lines: Callable[..., list[str]], tmp_path: Path, model: str
) -> None:
    gross = [line for line in order_lines(n_users=500, n_days=260) if ",-" not in line]
    shop = shops(tmp_path / "gross", lines=gross).set('horizons = ["30d"]', 'horizons = ["14d", "30d"]')
    shop.set(
        'models = ["rate_so_far", "bg_nbd"]',
        f'models = ["{model}"]\n[settings.{model}]\nrounds = 5\nrows_in_leaf = 100_000',
    )
    study = shop.study()
    short, longer = study.jobs()
    was = [
        column_floats(study.forecast(model, j, proof=study.backtest(j)).rows.to_arrow(), "forecast")
        for j in (short, longer)
    ]
    assert (was[1] < was[0]).any()  # else there is nothing to agree
    _, made = named_forecast(study, model, longer)
    after = [column_floats(made.over(j.task).rows.to_arrow(), "forecast") for j in (short, longer)]
    assert made.n_pooled == np.count_nonzero(was[1] < was[0])
    assert (after[1] >= after[0]).all()
    facts = dict(study.fit(model, longer).facts)
    assert "in place of 100000: at most a twentieth" in facts["fewest rows of a leaf"]
    assert made.findings[0].why.startswith(f"{model} is fitted anew for each horizon")


def test_money_net_of_refunds_may_fall_and_says_so(shop: Shop) -> None:
    agreed, before = by_turns(shop.set('horizons = ["30d"]', HORIZONS).study(), "revenue")
    assert agreed.may_fall
    assert [f.code for f in agreed.findings] == ["horizons.net_may_fall"]
    for f, was in zip(agreed.forecasts, before, strict=True):
        np.testing.assert_array_equal(column_floats(f.rows.to_arrow(), "forecast"), was)


def test_the_report_and_predict_hand_over_the_same_numbers(shop: Shop, headwater: Callable[..., Ran]) -> None:
    shop.set('target = "revenue"', 'target = "purchases"').set('horizons = ["30d"]', HORIZONS)
    study = shop.study()
    job = study.jobs()[-1]
    _, agreed = chosen_forecast(study, job)
    said = headwater("predict", "--json", "--horizon", "30d", at=shop.folder).json
    total = column_floats(agreed.over(job.task).rows.to_arrow(), "forecast").sum()
    assert abs(said["total"] - total) < SUMS * total
