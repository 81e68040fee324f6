"""What a purchase day is worth: which of two models of spend stands, and what each does with losses.

The choice is worked out again from the list of events, without a snapshot; the margins are simulated with known truth.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.models.forecasting import fit_model, restore_model
from headwater.numerics import gamma_gamma
from headwater.numerics.credibility import of_users
from headwater.numerics.gamma_gamma import SpendRows

if TYPE_CHECKING:
    from conftest import World

N_USERS, N_DAYS = 300, 260
PRINTED = 6e-4  # a ratio is printed to three digits
SAME = 1e-9


def buyers(
    amount: Callable[[np.random.Generator], Callable[[], float]], *, seed: int
) -> list[tuple[str, int, float]]:
    """Users who come about every twelve days, each with amounts of his own kind."""
    rng = np.random.default_rng(seed)
    events: list[tuple[str, int, float]] = []
    for user in range(N_USERS):
        day, draw = int(rng.integers(0, 120)), amount(rng)
        while day < N_DAYS:
            events.append((f"u{user:03d}", day, round(draw(), 2)))
            day += 1 + int(rng.exponential(11))
    return [*events, ("last", N_DAYS - 1, 1.0)]


def margins(rng: np.random.Generator) -> Callable[[], float]:
    own = rng.normal(5, 10)
    return lambda: float(rng.normal(own, 6))


def baskets(rng: np.random.Generator) -> Callable[[], float]:
    rate = rng.gamma(4, 1 / 60)
    return lambda: float(rng.gamma(6) / rate) + 0.01


def seen(events: list[tuple[str, int, float]], cutoff: int) -> dict[str, tuple[float, float, float]]:
    """Repeats, their value and the first day's value of each user, from his days before the cutoff."""
    days: dict[str, list[float]] = {}
    for user, day, amount in sorted(events, key=lambda e: (e[0], e[1])):
        if day < cutoff:
            days.setdefault(user, []).append(amount)
    return {u: (len(d) - 1, sum(d[1:]), d[0]) for u, d in days.items()}


def ratio_at(events: list[tuple[str, int, float]], cutoff: int, now: int) -> float:
    then, later = seen(events, cutoff), seen(events, now)
    users = sorted(then)
    x, value, first = np.array([then[u] for u in users]).T
    again = x > 0
    mean = np.where(again, value / np.maximum(x, 1), 0.0)
    usable = mean > 0
    fit = gamma_gamma.fit(SpendRows.of(x[again & usable], z=mean[again & usable]))
    correlation = np.corrcoef(x[again & usable], mean[again & usable])[0, 1]
    other = of_users(x[again], repeat=mean[again], first=first[again], by_frequency=abs(correlation) >= 0.3)
    guesses = (
        other.expected(x, value=mean),
        gamma_gamma.expected_spend(fit.params, x=np.where(usable, x, 0), z=np.where(usable, mean, 1.0)),
    )
    days = np.array([later[u][0] for u in users]) - x
    brought = np.array([later[u][1] for u in users]) - value
    some = days > 0
    errors = [(days[some] * (brought[some] / days[some] - g[some]) ** 2).sum() for g in guesses]
    return errors[0] / errors[1]


@pytest.mark.parametrize(("kind", "chosen"), [(margins, "credibility mean"), (baskets, None)])
def test_the_choice_is_by_squared_error_after_past_cutoffs(
    world_of: Callable[..., World], kind: Callable[..., Callable[[], float]], chosen: str | None
) -> None:
    events = buyers(kind, seed=3)
    world = world_of(events)
    training = world.training(occasions="active_days")
    facts = dict(fit_model("bg_nbd", training).facts)
    base = training.now - world.end
    past = [c - base for c in sorted(training.snapshot.cutoffs)][-4:-1]
    expected = float(np.exp(np.mean([np.log(ratio_at(events, c, world.end)) for c in past])))
    said = facts["spend model"]
    assert float(said.split(" is ")[1].split(" times")[0]) == pytest.approx(expected, abs=PRINTED)
    assert said.startswith("credibility mean: its" if expected < 1 else "Gamma-Gamma (")
    if chosen is not None:
        assert said.startswith(chosen)


@pytest.mark.parametrize("price", [9.99, 8.0])
def test_one_price_is_foretold_and_counts_for_the_credibility_mean(
    world_of: Callable[..., World], price: float
) -> None:
    """No error at all is a win, not a comparison to throw away; the truth is the price."""
    world = world_of([(u, d, price) for u, d, _ in buyers(baskets, seed=9)])
    training = world.training(occasions="active_days")
    fitted = fit_model("bg_nbd", training)
    said = dict(fitted.facts)["spend model"]
    assert said.startswith("credibility mean: ")
    assert "past cutoffs" in said
    money = world.predicted("bg_nbd", training)
    days = world.predicted("bg_nbd", world.training(measure="active_days"))
    worth = np.array([money[u] / days[u] for u in money if days[u] > 0])
    np.testing.assert_allclose(worth, price, rtol=SAME)


def wild(rng: np.random.Generator) -> Callable[[], float]:
    """A tail so heavy that means of users have no mean."""
    own = float(rng.pareto(0.4)) + 1
    return lambda: float(own * rng.gamma(6) / 6) + 0.01


def test_a_past_gamma_gamma_without_a_finite_mean_counts_for_the_credibility_mean(
    world_of: Callable[..., World],
) -> None:
    world = world_of(buyers(wild, seed=10))
    fitted = fit_model("bg_nbd", world.training(occasions="active_days"))
    said = dict(fitted.facts)["spend model"]
    assert said.startswith("credibility mean: no Gamma-Gamma of finite mean could be fitted at ")


def test_one_choice_stands_for_all_horizons(world_of: Callable[..., World]) -> None:
    """Else the forecast of 30 days could pass that of 90."""
    world = world_of(buyers(margins, seed=8))
    cutoffs = [world.end - k for k in (0, 30, 60)]
    facts = [
        dict(fit_model("bg_nbd", world.training(*cutoffs, horizon=days, occasions="active_days")).facts)
        for days in (30, 90)
    ]
    assert facts[0] == facts[1]
    assert "2 past cutoffs" in facts[0]["spend model"]


def test_users_who_bring_losses_are_forecast_to(world_of: Callable[..., World]) -> None:
    world = world_of(buyers(margins, seed=4))
    training = world.training(occasions="active_days")
    money = world.predicted("bg_nbd", training)
    days = world.predicted("bg_nbd", world.training(measure="active_days"))
    own = {u: v / max(n, 1) for u, (n, v, _) in seen(buyers(margins, seed=4), world.end).items()}
    losers = [u for u, mean in own.items() if mean < -5]
    assert len(losers) > 20
    assert all(money[u] < 0 for u in losers)
    each = np.array([money[u] / days[u] for u in own if u != "last"])
    mean = np.array([own[u] for u in own if u != "last"])
    assert np.corrcoef(each, mean)[0, 1] > 0.98
    assert each.std() < mean.std()  # shrunk


def test_without_a_past_cutoff_gamma_gamma_stands_and_says_why(world_of: Callable[..., World]) -> None:
    world = world_of(buyers(baskets, seed=5))
    fitted = fit_model("bg_nbd", world.training(world.end))
    assert dict(fitted.facts)["spend model"] == "Gamma-Gamma (no past cutoff to try another)"


def test_a_margin_that_is_never_positive_is_still_learned(world_of: Callable[..., World]) -> None:
    world = world_of([(u, d, -abs(a)) for u, d, a in buyers(margins, seed=6)])
    training = world.training(world.end, occasions="active_days")
    fitted = fit_model("bg_nbd", training)
    assert dict(fitted.facts)["spend model"] == "credibility mean: Gamma-Gamma needs positive spend"
    assert (world.forecast(fitted, training).mean < 0).all()


def test_a_credibility_mean_is_restored_from_its_state(world_of: Callable[..., World]) -> None:
    world = world_of(buyers(margins, seed=7))
    training = world.training(occasions="active_days")
    fitted = fit_model("bg_nbd", training)
    again = restore_model(json.loads(json.dumps(fitted.state())))
    one, two = world.forecast(fitted, training), world.forecast(again, training)
    np.testing.assert_allclose(two.mean, one.mean, rtol=SAME)
    np.testing.assert_allclose(two.low, one.low, rtol=SAME)
