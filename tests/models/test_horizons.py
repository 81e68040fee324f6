"""Forecasts of every model over several horizons are finite, in order, and can be made to agree without a change of sum.

That they are handed over so is tested on the road itself (``tests/app/test_agree.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.app.plan import task_of
from headwater.models.forecasting import fit_model
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Training
from headwater.numerics.consistent import agreed
from headwater.numerics.forecast import Forecast

if TYPE_CHECKING:
    from conftest import World

RUNGS = (7, 14, 30)
N_USERS, N_DAYS = 340, 110
SLOW = {"pareto_nbd_seasonal"}
ROUNDING = 1e-9  # means of up to three numbers


@pytest.fixture(scope="module")
def small(world_of: Callable[..., World]) -> World:
    """Users who come over three months and buy at their own pace and price; nothing is given back."""
    rng = np.random.default_rng(20261130)
    chance, price = rng.beta(2, 40, N_USERS), rng.lognormal(3, 0.6, N_USERS)
    bought = rng.random((N_USERS, N_DAYS)) < chance[:, None]
    bought &= np.arange(N_DAYS) >= rng.integers(0, 80, N_USERS)[:, None]
    who, when = np.nonzero(bought)
    spent = price[who] * rng.gamma(4, 0.25, who.size) + 0.01
    events = [(f"u{w:04d}", int(d), float(a)) for w, d, a in zip(who, when, spent, strict=True)]
    return world_of(events, channel=[("ads", "organic")[int(user[1:]) % 2] for user, _, _ in events])


@pytest.fixture(scope="module")
def trainings(small: World) -> dict[tuple[str, int], Training]:
    """One for each measure and horizon, on one snapshot; blends share what they are made of."""
    cutoffs = [small.ledger.end_day - k for k in (0, 7, 14, 30, 44, 60)]
    snapshot = small.bench.snapshot(small.ledger, cutoffs=cutoffs, horizons=RUNGS)
    return {
        (measure, rung): Training(
            snapshot=snapshot,
            task=task_of(small.ledger, measure, rung),
            engine=small.bench.engine,
            rng=np.random.default_rng(7),
        )
        for measure in ("revenue", "active_days")
        for rung in RUNGS
    }


def forecasts(model: str, measure: str, trainings: dict[tuple[str, int], Training]) -> list[Forecast]:
    of = [trainings[measure, rung] for rung in RUNGS]
    return [fit_model(model, t).forecast(t.snapshot, cutoff=t.now, rng=np.random.default_rng(7)) for t in of]


@pytest.mark.parametrize(
    "model", [pytest.param(m, marks=[pytest.mark.slow] if m in SLOW else []) for m in LTV_MODELS.names()]
)
@pytest.mark.parametrize("measure", ["revenue", "active_days"])
def test_horizons_of_no_model_cross(
    model: str, measure: str, trainings: dict[tuple[str, int], Training]
) -> None:
    if model.endswith("_network") and find_spec("torch") is None:
        pytest.skip(f"{model} learns with PyTorch, which is not installed (the extra 'deep')")
    before = forecasts(model, measure, trainings)
    after = agreed(before)
    for one, longer in pairwise(after):
        for part in ("mean", "low", "high"):
            assert (getattr(longer, part) >= getattr(one, part)).all(), part
    for f in after:
        assert np.isfinite([f.mean, f.low, f.high, f.variance]).all()
        assert (f.low <= f.mean + ROUNDING * (1 + f.mean)).all()
        assert (f.mean <= f.high + ROUNDING * (1 + f.high)).all()
    means = [np.mean([f.mean for f in made], axis=0) for made in (before, after)]
    np.testing.assert_allclose(means[1], means[0], rtol=ROUNDING, atol=ROUNDING)
