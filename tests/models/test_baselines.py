"""Rate so far and cohort mean: their forecasts by hand, their spread by scipy's negative binomial."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import gamma, nbinom, poisson

from headwater.core.errors import DataError
from headwater.engine.arrays import column_floats
from headwater.models.forecasting import fit_model
from headwater.models.ltv.cohort_mean import CohortMean
from headwater.models.ltv.rate_so_far import RateSoFar
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import Known, World

EXACT = 1e-9  # sums of a few numbers
DRAWN = 0.01  # 400,000 draws of a share leave less than 0.003 at three standard errors


def test_rate_so_far_by_hand(world_of: Callable[..., World]) -> None:
    """Value after the first day with an occasion, per day since then, times the horizon of 30 days."""
    world = world_of(
        [
            ("once", 0, 100.0),
            ("twice", 10, 100.0),
            ("twice", 20, 40.0),
            ("refunded", 10, 100.0),
            ("refunded", 20, 40.0),
            ("refunded", 25, -15.0),  # on a day without a purchase: not on an occasion, so not in the rate
            ("same day", 40, 10.0),
            ("same day", 40, 20.0),
            ("same day", 90, 8.0),
            ("same day", 90, -2.0),  # on a day with a purchase: netted
            ("never", 50, -5.0),
            ("today", 99, 7.0),
        ]
    )
    assert world.end == 100
    money = world.predicted("rate_so_far", world.training(100))
    assert money == pytest.approx(
        {
            "once": 0.0,
            "twice": 40 / 89 * 30,  # T is 89: from day 10 to day 99, the last before the cutoff
            "refunded": 40 / 89 * 30,
            "same day": 6 / 59 * 30,
            "never": 0.0,
            "today": 0.0,
        },
        rel=EXACT,
    )
    counts = world.predicted("rate_so_far", world.training(100, measure="purchases"))
    assert (counts["twice"], counts["same day"], counts["once"]) == pytest.approx(
        (30 / 89, 30 / 59, 0), rel=EXACT
    )
    days = world.predicted("rate_so_far", world.training(100, measure="active_days"))
    assert (days["refunded"], days["never"]) == pytest.approx((2 / 89 * 30, 0), rel=EXACT)


def test_rate_so_far_spread_is_the_negative_binomial_of_scipy(known: Known) -> None:
    training = known.world.training(known.world.end, measure="purchases")
    predictor = RateSoFar().fit(training)
    rows = rows_at(training.snapshot, training.now, predictor.columns)
    x, value, age = (np.nan_to_num(column_floats(rows, c)) for c in predictor.columns)
    for level in (0.5, 0.9, 0.99):
        spread = predictor.spread(rows, level=level, rng=training.rng)
        assert spread is not None
        share = np.maximum(age, 1) / (np.maximum(age, 1) + 30)
        worth = np.divide(value, x, out=np.full(x.shape, value.sum() / x.sum()), where=x > 0)
        for tail, got in (((1 - level) / 2, spread.low), ((1 + level) / 2, spread.high)):
            np.testing.assert_allclose(got, nbinom.ppf(tail, x + 0.5, share) * worth, rtol=EXACT)
        np.testing.assert_allclose(spread.variance, nbinom.var(x + 0.5, share) * worth**2, rtol=EXACT)


def test_rate_so_far_spread_is_a_poisson_count_with_jeffreys_rate_by_simulation() -> None:
    """What the negative binomial stands for: rate ~ Gamma(x + 1/2, T), count ~ Poisson(rate * horizon)."""
    x, T, horizon = 3, 70.0, 30.0
    rng = np.random.default_rng(1)
    counts = poisson.rvs(
        gamma.rvs(x + 0.5, scale=1 / T, size=400_000, random_state=rng) * horizon, random_state=rng
    )
    for k in range(6):
        assert np.mean(counts <= k) == pytest.approx(nbinom.cdf(k, x + 0.5, T / (T + horizon)), abs=DRAWN)


def test_cohort_mean_by_hand(world_of: Callable[..., World]) -> None:
    """Bands of 28 days of tenure at a matured cutoff; a thin band takes the next younger one's mean."""
    events = [("end", 99, 1.0)]
    groups = {
        "young": (60, 150, 2.0),
        "middle": (32, 110, 6.0),
        "thin": (1, 5, 1_000.0),
    }  # first day, users, worth
    for group, (first, n, worth) in groups.items():
        for i in range(n):
            events += [(f"{group}{i}", first, 10.0), (f"{group}{i}", 75, worth), (f"{group}{i}", 80, -1.0)]
    world = world_of(events)
    training = world.training(70, 100)
    now = world.predicted("cohort_mean", training)
    # At 70 (the window is 70 to 99): tenure 10 is band 0, tenure 38 is band 1, tenure 69 is band 2 (5 users only).
    # At 100: tenure 40 is band 1, tenure 68 is band 2, tenure 99 is past all bands seen, tenure 1 is band 0.
    middle, young = 6.0 - 1.0, 2.0 - 1.0
    assert now["young0"] == pytest.approx(middle, rel=EXACT)
    assert now["middle0"] == pytest.approx(middle, rel=EXACT)
    assert now["thin0"] == pytest.approx(middle, rel=EXACT)
    assert now["end"] == pytest.approx(young, rel=EXACT)


def test_a_thin_youngest_band_takes_the_mean_of_all(world_of: Callable[..., World]) -> None:
    events = [(f"a{i}", 30, 10.0) for i in range(240)] + [(f"a{i}", 75, 4.0) for i in range(240)]
    events += [("b", 65, 10.0), ("b", 75, 65.0), ("last", 99, 1.0)]
    world = world_of(events)
    assert world.predicted("cohort_mean", world.training(70, 100))["last"] == pytest.approx(
        (240 * 4 + 65) / 241
    )


def test_cohort_mean_is_refused_without_a_window_that_ended(known: Known) -> None:
    with pytest.raises(DataError, match=r"fit\.no_mature_target"):
        CohortMean().fit(known.world.training(known.world.end))


@pytest.mark.parametrize("model", ["cohort_mean", "lightgbm_hurdle"])
@pytest.mark.parametrize("case", ["few", "all zero"])
def test_nothing_to_learn_is_refused(world_of: Callable[..., World], model: str, case: str) -> None:
    n = 40 if case == "few" else 80
    events = [(f"u{i}", i % 50, 5.0) for i in range(n)] + [("end", 99, 1.0)]
    events += [(f"u{i}", 80, 5.0) for i in range(n)] if case == "few" else []
    world = world_of(events)
    with pytest.raises(DataError, match=r"fit\.nothing_to_learn"):
        fit_model(model, world.training(60, 100, measure="purchases"))
