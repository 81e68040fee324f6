"""What speaks against a forecast, on simulated backtests where it is known whether anything does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy import stats

from headwater.core.block import Grid
from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.core.ledger import Task
from headwater.core.span import date_of
from headwater.evaluation.backtest import Backtest, run_backtest
from headwater.evaluation.shift import population_shift, stability_index
from headwater.evaluation.trust import check_trust
from headwater.numerics.forecast import Forecast
from headwater.numerics.intervals import fit_bins

Floats = NDArray[np.float64]
TASK = Task(
    measure="revenue",
    unit="USD",
    horizon_days=30,
    target="revenue_usd_next_30d",
    occasions="purchases",
    value="revenue_usd",
)
ORIGINS = (19_900, 19_870, 19_840)
N = 1_500


def _truth(origin: int) -> Floats:
    return np.random.default_rng(origin).gamma(0.7, 10, N)


def _outcomes(origin: int) -> Floats:
    rng = np.random.default_rng(origin + 1)
    return np.where(rng.random(N) < 0.4, rng.exponential(_truth(origin) / 0.4), 0.0)


def _forecast(mean: Floats) -> Forecast:
    return Forecast(
        mean=mean, low=0 * mean, high=6 * mean + 1, variance=25 + mean**2, level=0.9, method="made up"
    )


def _blurred(origin: int, noise: float) -> Floats:
    return _truth(origin) * np.exp(noise * np.random.default_rng(origin + 2).normal(size=N) - noise**2 / 2)


Means = Mapping[str, Callable[[int], Floats]]


def _backtest(means: Means, **more: object) -> Backtest:
    return run_backtest(
        TASK,
        models={m: i for i, m in enumerate(means, start=1)},
        origins=ORIGINS,
        actual=_outcomes,
        forecast=lambda m, o: _forecast(means[m](o)),
        rng=np.random.default_rng(81),
        resamples=60,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def good() -> Backtest:
    users = {o: np.arange(i * 300, i * 300 + N) for i, o in enumerate(sorted(ORIGINS))}
    return _backtest(
        {"rate_so_far": lambda o: 1.6 * _blurred(o, 1.5), "model": lambda o: _blurred(o, 0.2)},
        groups=lambda o: {"channel": np.array(["ads", "organic"])[(_truth(o) > 5).astype(int)]},
        users=lambda o: pa.array([f"u{i}" for i in users[o]]),
        truth=_truth,
    )


def _codes(proof: Backtest, **more: object) -> dict[str, Severity]:
    return {f.code: f.severity for f in check_trust(proof, **more)}  # type: ignore[arg-type]


def test_a_model_that_is_better_and_right_raises_nothing(good: Backtest) -> None:
    assert good.choice.name == "model"
    assert _codes(good, history_days=400, hole_shares=dict.fromkeys(ORIGINS, 0.0)) == {}


def test_a_model_no_better_than_the_naive_rule_cannot_be_trusted() -> None:
    rng = np.random.default_rng(82)
    proof = _backtest(
        {
            "rate_so_far": lambda o: _blurred(o, 0.5),
            "model": lambda o: _blurred(o, 0.5) * np.exp(0.01 * rng.normal(size=N)),
        }
    )
    assert _codes(proof) == {"trust.no_better_than_naive": Severity.BLOCK}


def test_better_on_order_alone_is_a_note() -> None:
    proof = _backtest(
        {
            "cohort_mean": lambda o: np.full(
                N, _truth(o).mean()
            ),  # a constant at the right level has no bias by tenth
            "model": lambda o: 1.2 * _blurred(o, 0.3),
        }
    )
    (note,) = check_trust(proof)
    assert (note.code, note.severity) == ("trust.naive_on_one", Severity.NOTE)
    level = proof.standing("decile_wape")
    figures = f"(decile_wape {level.mean_value('model'):.3f} beside {level.mean_value('cohort_mean'):.3f})"
    assert "model was clearly better than cohort_mean on ranking" in note.what
    assert f"but not than cohort_mean on level {figures}" in note.what
    assert "hold its level against cohort_mean" in note.do


def test_a_naive_rule_that_could_not_be_scored_is_not_beaten() -> None:
    """Its level is refused at one origin, where it says nothing; nobody knows how it would have stood."""
    proof = _backtest({"rate_so_far": lambda o: 3 * _blurred(o, 1.5), "model": lambda o: _blurred(o, 0.2)})
    assert _codes(proof) == {}
    unscored = tuple(
        replace(s, places={m: p for m, p in s.places.items() if m != "rate_so_far"})
        if s.score == "decile_wape"
        else s
        for s in proof.choice.beside_choice
    )
    (note,) = check_trust(replace(proof, choice=replace(proof.choice, beside_choice=unscored)))
    assert note.code == "trust.naive_on_one"
    assert "beside no score)" in note.what


def test_a_naive_rule_that_was_chosen_adds_nothing_and_no_other_model_is_named() -> None:
    proof = _backtest({"rate_so_far": lambda o: _blurred(o, 0.3), "model": lambda o: _blurred(o, 0.31)})
    assert proof.choice.name == "rate_so_far"
    (finding,) = check_trust(proof)
    assert finding.code == "trust.no_better_than_naive"
    assert "than rate_so_far, a naive rule" in finding.what


def test_a_model_that_was_named_is_judged_for_itself(good: Backtest) -> None:
    (finding, *more) = check_trust(good, model="rate_so_far")
    assert (finding.code, finding.severity) == ("trust.not_the_choice", Severity.WARN)
    assert "clearly worse than model on ranking and level" in finding.what
    assert [f.code for f in more] == ["trust.calibration_off"]
    assert "Totals of rate_so_far" in more[0].what


def test_what_could_not_be_scored_cannot_be_defended() -> None:
    proof = run_backtest(
        TASK,
        models={"rate_so_far": 1, "model": 2},
        origins=ORIGINS,
        actual=lambda _: np.zeros(N),
        forecast=lambda _, o: _forecast(_truth(o)),
        rng=np.random.default_rng(81),
        resamples=20,
    )
    assert _codes(proof) == {"choice.no_primary_score": Severity.BLOCK}
    assert any(isinstance(b, Grid) for b in proof.blocks())


@pytest.mark.parametrize(
    ("factors", "code"),
    [
        ((1.5, 1.4, 1.6), "trust.calibration_off"),
        ((1.0, 1.6, 1.5), "trust.calibration_off"),  # the last origin was lucky
        ((1.6, 1.0, 1.0), "trust.calibration_once"),
        ((1.0, 1.0, 1.6), ""),
        ((1.1, 1.2, 1.15), ""),
    ],
)
def test_one_bad_or_one_lucky_origin_is_no_proof(factors: tuple[float, ...], code: str) -> None:
    at = dict(zip(ORIGINS, factors, strict=True))
    proof = _backtest({"model": lambda o: at[o] * _truth(o) * _outcomes(o).sum() / _truth(o).sum()})
    found = [f for f in check_trust(proof) if f.code.startswith("trust.calibration")]
    assert "".join(f.code for f in found) == code
    if code == "trust.calibration_once":
        latest, others = found[0].what.split(", was off by ")
        assert str(date_of(ORIGINS[0])) in latest
        assert str(date_of(ORIGINS[0])) not in others


def test_origins_in_holes_are_left_out() -> None:
    at = dict(zip(ORIGINS, (1.9, 1.8, 1.0), strict=True))
    proof = _backtest({"model": lambda o: at[o] * _truth(o)})
    assert "trust.calibration_off" in _codes(proof)
    holes = {ORIGINS[0]: 0.4, ORIGINS[1]: 0.2, ORIGINS[2]: 0.01}
    assert _codes(proof, hole_shares=holes) == {
        "trust.holes": Severity.WARN,
        "trust.one_origin": Severity.BLOCK,  # the one that is left decides nothing
    }
    assert _codes(proof, hole_shares=dict.fromkeys(ORIGINS, 0.5)) == {"trust.holes": Severity.BLOCK}


@pytest.mark.parametrize(("days", "severity"), [(59, Severity.BLOCK), (60, Severity.WARN), (90, None)])
def test_a_log_shorter_than_the_horizon_allows(good: Backtest, days: int, severity: Severity | None) -> None:
    assert _codes(good, history_days=days).get("trust.short_history") == severity


def test_a_log_of_days_decides_nothing_though_it_is_many_horizons_long() -> None:
    """Ten days, a horizon of two: one origin, no week seen twice; both are said, and both forbid."""
    task = replace(TASK, horizon_days=2)
    proof = run_backtest(
        task,
        models={"model": 1},
        origins=ORIGINS[:1],
        actual=_outcomes,
        forecast=lambda _, o: _forecast(_truth(o)),
        rng=np.random.default_rng(81),
        resamples=60,
    )
    found = _codes(proof, history_days=10)
    assert found["trust.short_history"] is Severity.BLOCK
    assert found["trust.one_origin"] is Severity.BLOCK
    assert "trust.short_history" not in _codes(proof, history_days=28)


def test_the_order_is_advised_only_where_it_may_be_used() -> None:
    off = dict(zip(ORIGINS, (1.6, 1.5, 1.7), strict=True))
    means = {"model": lambda o: off[o] * _truth(o) * _outcomes(o).sum() / _truth(o).sum()}
    sharp = [f for f in check_trust(_backtest(means)) if f.code == "trust.calibration_off"]
    assert sharp[0].do.startswith("Use the order of users")
    short = check_trust(_backtest(means), history_days=TASK.horizon_days)  # forbids the order as well
    (told,) = [f for f in short if f.code == "trust.calibration_off"]
    assert "order" not in told.do


def test_stability_index_by_hand_and_for_text() -> None:
    then, now = np.repeat(["a", "b"], [50, 50]), np.repeat(["a", "b"], [80, 20])
    p, q = np.array([50.5, 50.5]) / 101, np.array([80.5, 20.5]) / 101
    assert stability_index(then, now) == pytest.approx(np.sum((q - p) * np.log(q / p)))
    assert stability_index(then, then) == 0
    tenths = np.arange(1000.0)
    assert stability_index(tenths, tenths + 0.0) == pytest.approx(0, abs=1e-12)
    assert stability_index(tenths, np.full(500, np.nan)) > 3


def test_shift_is_found_where_it_is_and_its_distance_is_scipys() -> None:
    rng = np.random.default_rng(83)

    def users(extra: float) -> dict[str, NDArray]:
        return {
            "moved": rng.normal(extra, 1, 2_000),
            "same": rng.gamma(1, 3, 2_000),
            "channel": np.where(rng.random(2_000) < 0.3 + 0.3 * extra, "ads", "organic"),
        }

    past, now = [users(0.0), users(0.0), users(0.0)], users(1.2)
    found = {s.column: s for s in population_shift(past, now)}
    assert {c for c, s in found.items() if s.moved} == {"moved", "channel"}
    test = stats.ks_2samp(past[-1]["same"], now["same"], method="asymp")
    assert found["same"].distance == pytest.approx(test.statistic)
    assert found["moved"].p_adjusted < 1e-6


def test_what_always_grows_is_usual_and_no_shift() -> None:
    rng = np.random.default_rng(84)
    past = [{"tenure": rng.uniform(0, 100 * k, 3_000)} for k in (1, 2, 3)]
    (tenure,) = population_shift(past, {"tenure": rng.uniform(0, 400, 3_000)})
    assert tenure.psi > 0.25
    assert not tenure.moved
    with pytest.raises(UsageError, match=r"shift\.no_cutoff"):
        population_shift([], past[0])


def test_a_steady_drift_over_a_longer_time_is_usual() -> None:
    """The same drift a day: cutoffs lie 28 days apart, today 90 days after the latest."""
    rng = np.random.default_rng(88)
    days = (0, 28, 56, 146)
    past = [{"drifting": rng.normal(d / 100, 1, 4_000), "jumped": rng.normal(0, 1, 4_000)} for d in days[:3]]
    now = {"drifting": rng.normal(1.46, 1, 4_000), "jumped": rng.normal(1, 1, 4_000)}
    found = {s.column: s.moved for s in population_shift(past, now, days=days)}
    assert found == {"drifting": False, "jumped": True}
    assert {s.column: s.moved for s in population_shift(past, now)} == {"drifting": True, "jumped": True}
    for wrong in (days[:3], (0, 28, 28, 146)):
        with pytest.raises(UsageError, match=r"shift\.days"):
            population_shift(past, now, days=wrong)


def test_equal_populations_raise_no_alarm_in_200_columns_by_simulation(good: Backtest) -> None:
    rng = np.random.default_rng(85)
    past = [{f"c{i}": rng.normal(size=800) for i in range(200)} for _ in range(2)]
    shifts = population_shift(past, {f"c{i}": rng.normal(size=800) for i in range(200)})
    assert not any(s.moved for s in shifts)
    assert _codes(good, shifts=shifts) == {}


def test_shifted_columns_are_a_finding(good: Backtest) -> None:
    rng = np.random.default_rng(86)
    columns = [f"c{i}" for i in range(8)]
    past = [{c: rng.normal(size=800) for c in columns} for _ in range(2)]
    one = population_shift(past, {c: rng.normal(2 * (c == "c0"), 1, 800) for c in columns})
    half = population_shift(past, {c: rng.normal(2 * (c < "c4"), 1, 800) for c in columns})
    assert _codes(good, shifts=one) == {"trust.population_shift": Severity.WARN}
    assert _codes(good, shifts=half) == {"trust.population_shift": Severity.BLOCK}


def test_the_backtest_holds_groups_ranks_and_budgets(good: Backtest) -> None:
    kinds = {(f.model, f.origin, f.kind) for f in good.group_fits}
    assert len(kinds) == 2 * 3 * 2
    ads = next(f for f in good.group_fits if (f.model, f.group, f.origin) == ("model", "ads", ORIGINS[0]))
    inside = _truth(ORIGINS[0]) <= 5
    assert ads.n_users == inside.sum()
    assert ads.actual == pytest.approx(_outcomes(ORIGINS[0])[inside].sum())
    assert {(s.earlier, s.later, s.n_users) for s in good.stability} == {
        (ORIGINS[2], ORIGINS[1], N - 300),
        (ORIGINS[1], ORIGINS[0], N - 300),
    }
    assert all(b.noise is not None and b.noise > b.level for b in good.budgets if b.model == "model")
    names = [b.name for b in good.blocks() if isinstance(b, Grid)]
    assert names[-3:] == ["groups_revenue_30d", "stability_revenue_30d", "budget_revenue_30d"]
    for grid in (b for b in good.blocks() if isinstance(b, Grid)):
        assert all(len(row) == len(grid.fields) for row in grid.stream())


def test_a_backtest_is_read_back_as_it_was_written(good: Backtest) -> None:
    adapter = TypeAdapter(Backtest)
    plain = adapter.dump_python(good, mode="json")
    again = adapter.validate_python(json.loads(json.dumps(plain)))
    assert (again.group_fits, again.stability, again.budgets) == (
        good.group_fits,
        good.stability,
        good.budgets,
    )
    assert again.shared_errors == good.shared_errors


def test_quantiles_of_past_errors_are_scored_in_the_backtest() -> None:
    def forecast(model: str, origin: int) -> Forecast:
        made = _forecast(_blurred(origin, 0.2 if model == "sharp" else 1.5))
        bins = fit_bins(made.mean, _outcomes(origin), level=0.9)
        return Forecast(
            mean=made.mean,
            low=made.low,
            high=made.high,
            variance=made.variance,
            level=0.9,
            method="m",
            bins=bins,
        )

    proof = run_backtest(
        TASK, models={"sharp": 1, "blurred": 2}, origins=ORIGINS, actual=_outcomes, forecast=forecast,
        rng=np.random.default_rng(87), resamples=40,
    )  # fmt: skip
    assert proof.standing("crps").leader == proof.standing("pinball").leader == "sharp"
    exact = proof.standing("randomized_coverage").mean_value("sharp")
    assert exact == pytest.approx(0.9, abs=0.015)  # bins of 75 of the very users: one rank is 1.3%
