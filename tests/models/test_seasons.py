"""The seasonal models on logs whose seasons are known: bias at several origins, events, refusals, invariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.engine.arrays import column_floats
from headwater.models.forecasting import FittedModel, fit_model
from headwater.models.model import Training
from headwater.models.seasons import ONE_SEASON, TWO_SEASONS
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import World

BASE, N_DAYS, HORIZON = 19_723, 850, 60  # days since 1970 begin on the first of January 2024
PROMOTION = np.concatenate([np.arange(a, a + 14) for a in (140, 505, 790)])
SAME = 1e-6  # the users come in another order, and sums are added in another order
NOISE = 0.03  # of the total of 60 days, about 1,500 purchases: one standard error


def season_of(day: np.ndarray) -> np.ndarray:
    wave = 1 + 0.5 * np.cos(2 * np.pi * (day - 330) / 365.2425)
    week = np.array([1, 1, 1, 1.1, 1.3, 1.4, 0.7])[(day + BASE + 3) % 7]
    return wave * week * np.where(np.isin(day, PROMOTION), 1.8, 1.0)


def seasonal_shop(
    n_users: int, *, seed: int, season: bool = True, n_days: int = N_DAYS
) -> list[tuple[str, int, float]]:
    """Customers of BG/NBD whose clock runs with the season."""
    rng = np.random.default_rng(seed)
    s = season_of(np.arange(n_days)) if season else np.ones(n_days)
    clock = np.concatenate([[0], np.cumsum(s / s.mean())])
    events: list[tuple[str, int, float]] = []
    for user, start in enumerate(rng.integers(0, n_days - 50, n_users).tolist()):
        rate, leave = rng.gamma(0.8, 1 / 22), rng.beta(0.7, 3.5)
        time, days = clock[start + 1], [start]
        while (time := time + rng.exponential() / rate) < clock[-1]:
            days.append(int(np.searchsorted(clock, time, side="right") - 1))
            if rng.random() < leave:
                break
        events += [(f"u{user:05d}", d, 10.0 + user % 7) for d in sorted(set(days))]
    return [*events, ("last", n_days - 1, 1.0)]


def planned(training: Training) -> Training:
    return replace(training, calendar={"promotion": tuple(int(BASE + d) for d in PROMOTION)}, shared={})


def total_bias(world: World, model: str, origin: int) -> float:
    training = planned(world.training(origin, measure="purchases", horizon=HORIZON, as_of=origin))
    made = world.forecast(fit_model(model, training), training)
    came = world.training(origin, measure="purchases", horizon=HORIZON)
    actual = column_floats(rows_at(came.snapshot, came.now, (came.task.target,)), came.task.target)
    return float(made.mean.sum() / actual.sum() - 1)


@pytest.fixture(scope="module")
def seasonal(world_of: Callable[..., World]) -> World:
    return world_of(seasonal_shop(2_500, seed=31))


@pytest.mark.parametrize(
    ("model", "plain", "origins"),
    [("bg_nbd_seasonal", "bg_nbd", (740, 765, 790)), ("pareto_nbd_seasonal", "pareto_nbd", (740, 790))],
)
def test_bias_at_several_origins_is_at_most_half_of_the_plain_models(
    seasonal: World, model: str, plain: str, origins: tuple[int, ...]
) -> None:
    """Two years and more of log: origins before a peak, in it, and before a promotion."""
    own, other = ([total_bias(seasonal, m, o) for o in origins] for m in (model, plain))
    assert np.mean(np.abs(own)) <= 0.5 * np.mean(np.abs(other))
    if model == "bg_nbd_seasonal":  # the truth; Pareto/NBD is wrong about how these customers leave
        assert max(map(abs, own)) < 4 * NOISE


def test_without_seasons_in_truth_it_forecasts_as_the_plain_model_does(
    world_of: Callable[..., World],
) -> None:
    world = world_of(seasonal_shop(1_500, seed=32, season=False))
    own, other = (total_bias(world, m, 780) for m in ("bg_nbd_seasonal", "bg_nbd"))
    assert abs(own) <= abs(other) + NOISE


def test_users_renamed_change_nothing(world_of: Callable[..., World]) -> None:
    events = seasonal_shop(300, seed=33, n_days=250)
    renamed = [(f"{(int(u[1:]) * 7919) % 100_003:06d}" if u != "last" else u, d, a) for u, d, a in events]
    names = dict(zip([u for u, _, _ in events], [u for u, _, _ in renamed], strict=True))
    one, two = (
        w.predicted("bg_nbd_seasonal", planned(w.training(w.end)))
        for w in (world_of(events), world_of(renamed))
    )
    assert two == pytest.approx({names[u]: v for u, v in one.items()}, rel=SAME)


def facts_of(fitted: FittedModel) -> dict[str, str]:
    return dict(fitted.facts)


def test_what_is_learned_is_said_in_words(seasonal: World) -> None:
    fitted = fit_model("bg_nbd_seasonal", planned(seasonal.training(780, horizon=HORIZON)))
    facts = facts_of(fitted)
    assert "Saturday" in facts
    assert "Sunday" in facts
    assert facts["high season"].split(" around ")[1].startswith(("November", "December"))
    assert facts["low season"].split(" around ")[1].startswith(("May", "June"))
    assert facts["promotion"].startswith("+")
    assert not [f for f in fitted.findings if f.code.startswith("season.")]


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        (ONE_SEASON - 1, "season.short_log"),
        (ONE_SEASON, "season.seen_once"),
        (TWO_SEASONS - 1, "season.seen_once"),
        (TWO_SEASONS, None),
    ],
)
def test_a_season_is_refused_where_it_was_not_seen_again(
    seasonal: World, origin: int, code: str | None
) -> None:
    fitted = fit_model("bg_nbd_seasonal", planned(seasonal.training(origin)))
    assert [f.code for f in fitted.findings if f.code.startswith("season.")] == (
        [] if code is None else [code]
    )
    assert ("high season" in facts_of(fitted)) == (code != "season.short_log")
    if code == "season.short_log":  # a promotion is declared already
        assert not [f for f in fitted.findings if "Declare" in f.do]


def test_an_event_that_never_happened_yet_is_named(seasonal: World) -> None:
    training = replace(seasonal.training(780), calendar={"opening": (BASE + 800,)}, shared={})
    fitted = fit_model("bg_nbd_seasonal", training)
    (finding,) = [f for f in fitted.findings if f.code == "season.unseen_event"]
    assert "'opening'" in finding.what
    assert "not learned" in facts_of(fitted)["opening"]


def test_a_snapshot_without_daily_counts_is_refused(seasonal: World) -> None:
    training = seasonal.training(780)
    bare = replace(training, snapshot=replace(training.snapshot, daily=None), shared={})
    with pytest.raises(DataError, match=r"fit\.no_daily"):
        fit_model("bg_nbd_seasonal", bare)
