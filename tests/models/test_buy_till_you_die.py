"""What the buy-till-you-die models add to their numerics: refunds, users who never bought, findings, refusals.

Weeks against days, published parameters and forecasts are in ``tests/numerics`` and ``tests/reference``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.core.errors import DataError
from headwater.core.finding import Severity
from headwater.engine.arrays import column_floats
from headwater.models import buy_till_you_die
from headwater.models.forecasting import fit_model
from headwater.numerics import bg_bb, bg_nbd, gamma_gamma, ggom_nbd, mbg_cnbd_k, mbg_nbd, pareto_nbd
from headwater.numerics.bg_nbd import BgNbdParams
from headwater.numerics.gamma_gamma import SpendRows
from headwater.numerics.maximize import Fit
from headwater.numerics.pareto_nbd import ParetoNbdParams
from headwater.numerics.rfm import RfmRows
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import World

NUMERICS = {
    "bg_bb": bg_bb,
    "bg_nbd": bg_nbd,
    "ggom_nbd": ggom_nbd,
    "mbg_cnbd_k": mbg_cnbd_k,
    "mbg_nbd": mbg_nbd,
    "pareto_nbd": pareto_nbd,
}
EVERY = sorted(NUMERICS)
MODELS = ["bg_nbd", "pareto_nbd"]  # what is about the road and not about the process is tried on two
SAME_SUMS = 1e-7  # grouped and ungrouped likelihoods are summed in another order, and climbed to 1e-10
TRUTH = BgNbdParams(r=0.8, alpha=20.0, a=0.7, b=3.0)
TOTAL = 0.12  # 800 customers bring about 1,500 purchases in 60 days: two standard errors of their total, and a little
HELD = 0.05  # of 800 intervals: three standard errors at 90% are 0.032, and bounds are whole purchases


def shoppers(
    n_users: int, *, seed: int, refunds: float = 0.0, n_days: int = 260
) -> list[tuple[str, int, float]]:
    """Customers drawn from BG/NBD with TRUTH, each with a mean spend of their own."""
    rng = np.random.default_rng(seed)
    events: list[tuple[str, int, float]] = []
    for user in range(n_users):
        rate, leave = rng.gamma(TRUTH.r, 1 / TRUTH.alpha), rng.beta(TRUTH.a, TRUTH.b)
        day, spend = int(rng.integers(0, n_days // 2)), 1 / rng.gamma(4, 1 / 60)
        while day < n_days:
            amount = spend * rng.gamma(6, 1 / 6) + 0.01
            events.append((f"u{user:05d}", day, amount))
            if refunds and day + 1 < n_days:
                events.append((f"u{user:05d}", day + 1, -refunds * amount))
            if rng.random() < leave:
                break
            day += max(1, round(rng.exponential(1 / rate))) + (1 if refunds else 0)
    return [*events, ("last", n_days - 1, 1.0)]


@pytest.fixture(scope="module")
def shop(world_of: Callable[..., World]) -> World:
    return world_of(shoppers(800, seed=5))


def histories(world: World, occasions: str = "purchases") -> tuple[np.ndarray, ...]:
    training = world.training(world.end)
    names = (
        f"{occasions}_repeats",
        f"{occasions}_first_to_last",
        f"{occasions}_age",
        f"revenue_usd_on_repeat_{occasions}",
    )
    rows = rows_at(training.snapshot, training.now, names)
    return tuple(column_floats(rows, n) for n in names)


@pytest.mark.parametrize("model", EVERY)
def test_money_is_expected_purchases_times_expected_spend(shop: World, model: str) -> None:
    """The parts come straight from the numerics, fitted on ungrouped rows."""
    x, t_x, T, value = histories(shop)
    fit = NUMERICS[model].fit(RfmRows.of(x, t_x=t_x, T=T))
    days = NUMERICS[model].expected_purchases(fit.params, x=x, t_x=t_x, T=T, horizon=30)
    again = x > 0
    spend = gamma_gamma.fit(SpendRows.of(x[again], z=value[again] / x[again]))
    each = gamma_gamma.expected_spend(spend.params, x=x, z=np.where(again, value / np.maximum(x, 1), 1.0))
    got = shop.forecast(fit_model(model, shop.training(shop.end)), shop.training(shop.end)).mean
    np.testing.assert_allclose(got, days * each, rtol=SAME_SUMS)


@pytest.mark.parametrize("model", MODELS)
def test_counts_and_active_days_need_no_spend(shop: World, model: str) -> None:
    x, t_x, T, _ = histories(shop)
    fit = NUMERICS[model].fit(RfmRows.of(x, t_x=t_x, T=T))
    days = NUMERICS[model].expected_purchases(fit.params, x=x, t_x=t_x, T=T, horizon=30)
    for measure in ("purchases", "active_days"):  # one purchase a day, and nothing else in the log
        training = shop.training(shop.end, measure=measure)
        fitted = fit_model(model, training)
        np.testing.assert_allclose(shop.forecast(fitted, training).mean, days, rtol=SAME_SUMS)
        assert "spend q" not in dict(fitted.facts)


@pytest.mark.parametrize("model", MODELS)
def test_several_purchases_a_day_count_by_their_mean_number(
    world_of: Callable[..., World], model: str
) -> None:
    events = shoppers(300, seed=8)
    one, three = world_of(events), world_of([e for e in events for _ in range(3)])
    single = one.predicted(model, one.training(one.end, measure="purchases"))
    triple = three.predicted(model, three.training(three.end, measure="purchases"))
    assert triple == pytest.approx({u: 3 * v for u, v in single.items()}, rel=SAME_SUMS)


@pytest.mark.parametrize("model", MODELS)
def test_what_comes_back_on_other_days_is_taken_off_everybody(
    world_of: Callable[..., World], model: str
) -> None:
    """A quarter of every purchase is refunded the day after: three quarters of the value are kept."""
    with_refunds = shoppers(400, seed=9, refunds=0.25, n_days=260)
    without = [e for e in with_refunds if e[2] > 0]
    gross, net = world_of(without), world_of(with_refunds)
    before = gross.predicted(model, gross.training(gross.end))
    after = net.predicted(model, net.training(net.end))
    kept = sum(a for _, _, a in with_refunds) / sum(a for _, _, a in without)
    assert kept == pytest.approx(0.75, abs=0.01)
    assert after == pytest.approx({u: kept * v for u, v in before.items()}, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("measure", ["revenue", "purchases"])
def test_users_who_never_bought_take_the_mean_of_those_who_had_not_either(
    world_of: Callable[..., World], model: str, measure: str
) -> None:
    visitors = [(f"visitor{i:02d}", 40 + i, 0.0) for i in range(40)]
    buyers = [(f"visitor{i:02d}", 230 + i, 12.0) for i in range(10)]
    world = world_of([*shoppers(300, seed=11), *visitors, *buyers])
    now = world.predicted(model, world.training(world.end, world.end - 40, measure=measure))
    worth = 10 / 40 * (12.0 if measure == "revenue" else 1.0)  # at 220, ten of forty were about to buy
    assert [now[f"visitor{i:02d}"] for i in range(10, 40)] == pytest.approx([worth] * 30)
    assert all(np.isfinite(list(now.values())))
    nothing_matured = world.predicted(model, world.training(world.end, measure=measure))
    assert nothing_matured["visitor39"] == 0.0


@pytest.mark.parametrize("model", EVERY)
def test_forecasts_meet_what_customers_drawn_from_the_model_did(
    world_of: Callable[..., World], model: str
) -> None:
    """Known truth: the total of the next 60 days, and the share of customers inside their own interval."""
    world = world_of(shoppers(800, seed=21, n_days=260))
    cutoff = world.end - 60
    training = world.training(cutoff, measure="purchases", horizon=60, as_of=cutoff)
    made = world.forecast(fit_model(model, training), training)
    came = world.training(cutoff, measure="purchases", horizon=60)
    actual = column_floats(rows_at(came.snapshot, came.now, (came.task.target,)), came.task.target)
    assert made.method == "the model's own draws"
    assert made.mean.sum() == pytest.approx(actual.sum(), rel=TOTAL)
    inside = np.mean((actual >= made.low) & (actual <= made.high))
    assert 0.9 - HELD <= inside <= 1.0
    assert made.variance.sum() == pytest.approx(np.square(actual - made.mean).sum(), rel=0.5)


@pytest.mark.parametrize("model", MODELS)
def test_too_few_who_came_back_are_refused(world_of: Callable[..., World], model: str) -> None:
    world = world_of([(f"u{i}", i % 60, 5.0) for i in range(200)] + [(f"u{i}", 80, 5.0) for i in range(29)])
    with pytest.raises(DataError, match=r"fit\.few_repeaters: Only 29 of 200"):
        fit_model(model, world.training(world.end))


@pytest.mark.parametrize("model", MODELS)
def test_repeat_customers_without_positive_spend_are_refused(
    world_of: Callable[..., World], model: str
) -> None:
    lines = [(f"u{i}", i % 60, 0.0) for i in range(200)] + [(f"u{i}", 80, 0.0) for i in range(100)]
    world = world_of(lines)
    with pytest.raises(DataError, match=r"fit\.no_spend"):
        fit_model(model, world.training(world.end, occasions="active_days"))


@pytest.mark.parametrize("model", MODELS)
def test_an_infinite_mean_spend_is_refused_when_fitted(world_of: Callable[..., World], model: str) -> None:
    """Mean spends with a Pareto tail of index 0.7: no mean exists, so no value of a new customer does."""
    rng = np.random.default_rng(4)
    events = shoppers(400, seed=13)
    worth = {u: float((1 - rng.random()) ** (-1 / 0.7)) for u, _, _ in events}
    world = world_of([(u, d, 5 * worth[u] * rng.gamma(8, 1 / 8)) for u, d, _ in events])
    with pytest.raises(DataError, match=r"gamma_gamma\.infinite_mean"):
        fit_model(model, world.training(world.end))


def test_a_fit_at_the_boundary_says_so(world_of: Callable[..., World]) -> None:
    """Nobody ever leaves, all are alike and none is early: there is no dropout to learn from."""
    rng = np.random.default_rng(17)
    events = [
        (f"u{i:03d}", d, 10.0) for i in range(150) for d in np.flatnonzero(rng.random(200) < 0.15).tolist()
    ]
    world = world_of([*events, ("last", 199, 1.0)])
    fitted = fit_model("bg_nbd", world.training(world.end, measure="purchases"))
    (finding,) = [f for f in fitted.findings if f.code == "fit.at_boundary"]
    assert finding.severity is Severity.WARN
    assert np.isfinite(world.forecast(fitted, world.training(world.end, measure="purchases")).mean).all()


@dataclass(frozen=True)
class Climbed:
    """Stands for a process of which only the fit's diagnosis is looked at."""

    fit: Fit[ParetoNbdParams]


@pytest.mark.parametrize(
    ("variances", "boundary", "converged", "expected"),
    [
        ([0.1, 0.1, 0.9, 0.9], (), True, {}),
        ([0.1, 0.1, 1.1, 2.0], (), True, {"fit.vague": "s, beta"}),
        ([0.1, 0.1, 0.0, 2.0], ("s",), True, {"fit.at_boundary": "s", "fit.vague": "beta"}),
        ([0.1, 0.1, 0.0, 0.0], ("s", "beta"), True, {"fit.at_boundary": "s, beta"}),
        ([0.1, 0.1, 0.1, 0.1], (), False, {"fit.not_converged": "r, alpha, s, beta"}),
    ],
)
def test_findings_name_what_a_fit_does_not_know(
    *,
    shop: World,
    monkeypatch: pytest.MonkeyPatch,
    variances: list[float],
    boundary: tuple[str, ...],
    converged: bool,
    expected: dict[str, str],
) -> None:
    """A parameter is vague where the variance of its logarithm is above 1: a factor of 7 either way at 95%."""

    def fit(rows: RfmRows) -> Fit[ParetoNbdParams]:
        return Fit(
            params=ParetoNbdParams(r=0.5, alpha=70.0, s=0.6, beta=80.0),
            names=("r", "alpha", "s", "beta"),
            log_likelihood=-1.0,
            covariance=np.diag(variances),
            converged=converged,
            iterations=9,
            boundary=boundary,
            n_users=float(rows.weights.sum()),
            dimension=1.0,
        )

    monkeypatch.setattr(pareto_nbd, "fit", fit)
    training = replace(shop.training(shop.end, measure="purchases"), shared={})
    fitted = fit_model("pareto_nbd", training)
    assert {f.code for f in fitted.findings} == set(expected)
    for finding in fitted.findings:
        assert expected[finding.code] in finding.what
    severities = {f.code: f.severity for f in fitted.findings}
    assert severities.get("fit.vague", Severity.NOTE) is Severity.NOTE


def test_repeat_customers_with_net_refunds_are_left_out_of_the_spend_and_named(
    world_of: Callable[..., World],
) -> None:
    events = shoppers(300, seed=15)
    first = {u: d for u, d, _ in reversed(events)}
    back = [(u, d, -2 * a - 1) for u, d, a in events if u < "u00080" and d > first[u]]
    world = world_of([*events, *back])
    fitted = fit_model("bg_nbd", world.training(world.end))
    (finding,) = [f for f in fitted.findings if f.code == "gamma_gamma.not_positive"]
    assert finding.severity is Severity.NOTE
    forecast = world.forecast(fitted, world.training(world.end))
    assert (forecast.mean > 0).all()


def test_many_users_are_drawn_in_parts_of_one_stream(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more users than one part holds, each part's bounds are those of its own users."""
    training = shop.training(shop.end, measure="purchases")
    fitted = fit_model("bg_nbd", training)
    whole = shop.forecast(fitted, training)
    monkeypatch.setattr(buy_till_you_die, "_CHUNK", 100)
    parts = shop.forecast(fitted, training)
    np.testing.assert_array_equal(whole.mean, parts.mean)
    assert parts.high.shape == whole.high.shape
    assert np.corrcoef(whole.high, parts.high)[0, 1] > 0.95
