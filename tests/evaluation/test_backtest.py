"""The rolling-origin backtest: nothing after an origin reaches a forecast, refusals, the error of totals, the blocks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headwater.app.config import settings_of
from headwater.app.study import Study
from headwater.core.block import Chart, Grid, Prose
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Task
from headwater.core.span import date_of, day_of
from headwater.evaluation.backtest import Backtest, run_backtest
from headwater.numerics.forecast import Forecast

Floats = NDArray[np.float64]
TASK = Task(
    measure="revenue",
    unit="USD",
    horizon_days=30,
    target="revenue_usd_next_30d",
    occasions="purchases",
    value="revenue_usd",
)
ORIGINS = (19_900, 19_872, 19_844)
N = 200
SEEDED = 20261123


def outcomes(origin: int) -> Floats:
    """Users of one origin: two fifths worth nothing, the others 1 to 120; every origin has others."""
    worth = np.maximum(0.0, np.arange(N, dtype=float) - 80)
    return np.random.default_rng(origin).permutation(worth)


def known_at(origin: int, factor: float) -> Forecast:
    """A forecaster that is wrong by one factor."""
    mean = outcomes(origin) * factor
    return Forecast(mean=mean, low=0.5 * mean, high=2 * mean, variance=mean, level=0.9, method="made up")


def blind_at(origin: int) -> Forecast:
    mean = np.full(N, outcomes(origin).mean())
    return Forecast(mean=mean, low=0 * mean, high=3 * mean, variance=mean, level=0.9, method="made up")


def refuse(code: str, origin: int) -> Forecast:
    raise DataError(code, what=f"Too little at {date_of(origin)}.", why="No.", do="Wait.")


Forecasters = Mapping[str, Callable[[int], Forecast]]


def backtest(forecasters: Forecasters, *, origins: tuple[int, ...] = ORIGINS, **options: object) -> Backtest:
    return run_backtest(
        TASK,
        models={name: rank for rank, name in enumerate(forecasters, start=1)},
        origins=origins,
        actual=outcomes,
        forecast=lambda model, origin: forecasters[model](origin),
        rng=np.random.default_rng(SEEDED),
        resamples=100,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def proof() -> Backtest:
    factors = dict(zip(ORIGINS, (1.1, 0.8, 1.0), strict=True))
    return backtest(
        {
            "blind": blind_at,
            "off": lambda o: known_at(o, factors[o]),
            "late": lambda o: known_at(o, 1.0) if o > ORIGINS[-1] else refuse("fit.no_mature_target", o),
            "never": lambda o: refuse("fit.few_repeaters", o),
        }
    )


def test_a_model_refused_at_one_origin_is_refused_and_says_why(proof: Backtest) -> None:
    assert proof.models == ("blind", "off")
    assert {m: f.code for m, f in proof.refused.items()} == {
        "late": "fit.no_mature_target",
        "never": "fit.few_repeaters",
    }
    assert str(date_of(ORIGINS[-1])) in proof.refused["late"].what
    assert all(set(s.answers) == {"blind", "off"} for s in proof.standings)


def test_a_model_whose_extra_is_missing_is_refused_and_other_mistakes_are_not() -> None:
    def without(code: str) -> Forecasters:
        def forecaster(origin: int) -> Forecast:
            raise UsageError(code, what="PyTorch is not installed.", why="a", do="b")

        return {"plain": blind_at, "network": forecaster}

    made = backtest(without("extra.missing"))
    assert made.models == ("plain",)
    assert made.refused["network"].code == "extra.missing"
    with pytest.raises(UsageError, match=r"fit\.other_horizon"):
        backtest(without("fit.other_horizon"))


def test_a_refused_model_is_not_asked_again() -> None:
    asked: list[int] = []

    def late(origin: int) -> Forecast:
        asked.append(origin)
        return refuse("fit.few_repeaters", origin)

    backtest({"blind": blind_at, "late": late})
    assert asked == [ORIGINS[0]]


def test_without_any_model_there_is_no_proof_and_every_reason_is_given() -> None:
    with pytest.raises(DataError) as error:
        backtest({"a": lambda o: refuse("fit.few_repeaters", o), "b": lambda o: refuse("fit.no_spend", o)})
    assert error.value.finding.code == "backtest.no_model"
    assert "a: Too little" in error.value.finding.what
    assert "b: Too little" in error.value.finding.what


def test_the_shared_error_is_the_root_mean_square_of_relative_errors_by_hand(proof: Backtest) -> None:
    """Forecasts times 1.1, 0.8 and 1: what came was 1/11 below, 1/4 above and on the forecast."""
    assert proof.shared_errors["off"].share == pytest.approx(np.sqrt((1 / 121 + 1 / 16) / 3), rel=1e-12)
    assert proof.shared_errors["off"].n_origins == 3
    assert proof.shared_errors["blind"].share == pytest.approx(0, abs=1e-12)


def test_origins_that_came_to_less_than_nothing_count_in_full() -> None:
    def actual(origin: int) -> Floats:
        return outcomes(origin) if origin == ORIGINS[0] else -outcomes(origin)

    made = run_backtest(
        TASK,
        models={"off": 1},
        origins=ORIGINS,
        actual=actual,
        forecast=lambda _, origin: known_at(origin, 1.2),
        rng=np.random.default_rng(1),
        resamples=50,
    )
    errors = [1 / 1.2 - 1, *[-1 / 1.2 - 1] * (len(ORIGINS) - 1)]  # of the forecast
    assert made.shared_errors["off"].share == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert made.shared_errors["off"].n_origins == len(ORIGINS)


@pytest.mark.parametrize(("n_origins", "few"), [(1, True), (2, True), (3, False)])
def test_fewer_than_three_origins_are_a_finding(n_origins: int, few: bool) -> None:
    made = backtest({"blind": blind_at}, origins=ORIGINS[:n_origins])
    assert [f.code for f in made.findings] == (["backtest.few_origins"] if few else [])
    if few:
        assert f"{n_origins} origin{'s' if n_origins > 1 else ''} (" in made.findings[0].what
        assert str(date_of(ORIGINS[0])) in made.findings[0].what


def test_users_and_origins_whose_outcome_lies_in_a_hole_are_left_out() -> None:
    def actual(origin: int) -> Floats:
        came = outcomes(origin)
        came[: {ORIGINS[0]: 0, ORIGINS[1]: 50, ORIGINS[2]: N}[origin]] = np.nan
        return came

    made = run_backtest(
        TASK,
        models={"off": 1},
        origins=ORIGINS,
        actual=actual,
        forecast=lambda _, origin: known_at(origin, 1.0),
        rng=np.random.default_rng(1),
        resamples=50,
        groups=lambda _: {"half": ["a"] * (N // 2) + ["b"] * (N // 2)},
    )
    assert made.origins == ORIGINS[1::-1]
    assert made.n_users == (N - 50, N)
    fits = {(f.origin, f.group): f.n_users for f in made.group_fits if f.kind == "half"}
    assert fits[ORIGINS[1], "a"] == N // 2 - 50
    (finding,) = [f for f in made.findings if f.code == "backtest.unknown_outcomes"]
    assert f"50 users at {date_of(ORIGINS[1])}" in finding.what
    assert f"everybody at {date_of(ORIGINS[2])}" in finding.what
    assert made.standing("mae").mean_value("off") == 0


@pytest.mark.parametrize(
    ("shares", "left", "choice"),
    [((0.0, 0.0, 0.0), 3, "low"), ((0.02, 0.0, 0.6), 2, "right"), ((0.5, 0.5, 0.6), 3, "low")],
)
def test_an_origin_in_a_hole_decides_nothing_where_others_remain(
    shares: tuple[float, ...], left: int, choice: str
) -> None:
    """By hand: at the last origin a fifth of what came is in the log, so the model that says a fifth looks right there."""
    lost = dict(zip(ORIGINS, shares, strict=True))
    made = run_backtest(
        TASK,
        models={"low": 1, "right": 2},
        origins=ORIGINS,
        actual=lambda origin: outcomes(origin) * (0.2 if origin == ORIGINS[2] else 1.0),
        forecast=lambda model, origin: known_at(origin, 1.0 if model == "right" else 0.2),
        rng=np.random.default_rng(1),
        resamples=50,
        hole_share=lost.__getitem__,
    )
    assert (len(made.origins), made.choice.name) == (left, choice)
    found = [f for f in made.findings if f.code == "backtest.holes"]
    assert len(found) == (left < len(ORIGINS))
    assert all(f"{date_of(ORIGINS[2])} (60% of its days)" in f.what for f in found)


def test_without_any_known_outcome_there_is_no_proof() -> None:
    with pytest.raises(DataError, match=r"backtest\.no_outcome"):
        run_backtest(
            TASK,
            models={"off": 1},
            origins=ORIGINS,
            actual=lambda origin: outcomes(origin) * np.nan,
            forecast=lambda _, origin: known_at(origin, 1.0),
            rng=np.random.default_rng(1),
        )


def test_tenths_by_hand(proof: Backtest) -> None:
    """The better forecaster is right in order: its tenths are those of the outcomes; who is equal lies in the highest."""
    found = [d for d in proof.deciles if (d.model, d.origin) == ("off", ORIGINS[0])]
    ordered = np.sort(outcomes(ORIGINS[0]))
    last = {value: place for place, value in enumerate(ordered)}
    tenths: dict[str, list[float]] = {}
    for value in ordered:
        tenths.setdefault(str(1 + last[value] * 10 // N), []).append(value)
    assert [d.group for d in found] == list(tenths)
    assert [d.n_users for d in found] == [len(v) for v in tenths.values()]
    assert [d.actual for d in found] == pytest.approx([sum(v) for v in tenths.values()])
    assert [d.predicted for d in found] == pytest.approx([1.1 * sum(v) for v in tenths.values()])
    reach = [1.96 * np.std(v, ddof=1) * np.sqrt(len(v)) for v in tenths.values()]
    assert [d.high - d.actual for d in found] == pytest.approx(reach)


def test_the_choice_holds_on_order_and_level(proof: Backtest) -> None:
    assert proof.choice.name == "off"
    assert "off" in proof.choice.reason
    assert proof.standing("normalized_gini").mean_value("off") == pytest.approx(1.0)


def test_blocks_show_the_leaderboard_the_refusals_and_the_picture(proof: Backtest) -> None:
    blocks = proof.blocks()
    grids = {b.name.split("_revenue")[0]: b for b in blocks if isinstance(b, Grid)}
    board = grids["leaderboard"]
    names = [f.name for f in board.fields]
    rows = [dict(zip(names, row, strict=True)) for row in board.stream()]
    assert [(r["model"], r["choice"]) for r in rows] == [("off", "chosen"), ("blind", "")]
    assert rows[0]["place_normalized_gini"] == "leader"
    assert rows[1]["place_normalized_gini"] == "clearly worse"
    assert rows[0]["normalized_gini"] == pytest.approx(1.0)
    said = [b.text for b in blocks if isinstance(b, Prose)]
    assert said[0] == proof.choice.reason
    assert any(t.startswith("late could not be tested: Too little") for t in said)
    (chart,) = [b for b in blocks if isinstance(b, Chart)]
    assert len(chart.rows) == len([d for d in proof.deciles if (d.model, d.origin) == ("off", ORIGINS[0])])
    assert "off by +10%" in chart.finding
    n_scores = len(proof.standings)
    assert len(list(grids["scores"].stream())) == n_scores * 2 * len(ORIGINS)


def test_the_same_seed_gives_the_same_proof(proof: Backtest) -> None:
    one, two = (backtest({"blind": blind_at, "off": lambda o: known_at(o, 0.9)}) for _ in range(2))
    for a, b in zip(one.standings, two.standings, strict=True):
        assert a.answers == b.answers


SETTINGS = """
[app]
name = "test"
time_zone = "UTC"
[[sources]]
path = "log.csv"
user = "user"
at = "day"
event_is = "purchase"
keep = ["channel"]
types = { amount = "money" }
[measures]
revenue = { sum = "amount", unit = "USD" }
purchases = { count_distinct = "day", where = "amount > 0" }
[[predict]]
target = "revenue"
horizons = ["30d"]
"""
FIRST = date(2024, 1, 1)
N_DAYS, N_USERS = 220, 400


def log(poisoned_from: int | None) -> str:
    """Purchases of 400 users; from a day on (or never) everything is another: users, days, amounts."""
    rng = np.random.default_rng(SEEDED)
    chance = rng.beta(2, 40, N_USERS)
    bought = rng.random((N_USERS, N_DAYS)) < chance[:, None]
    bought &= np.arange(N_DAYS) >= rng.integers(0, 90, N_USERS)[:, None]
    amounts = rng.gamma(4, 8, bought.shape)
    if poisoned_from is not None:
        other = np.random.default_rng(99)
        bought[:, poisoned_from:] = other.random((N_USERS, N_DAYS - poisoned_from)) < 0.3
        amounts[:, poisoned_from:] = other.gamma(2, 5_000, (N_USERS, N_DAYS - poisoned_from)) - 2_000
    bought[0, -1] = True  # the log ends on the same day in all worlds
    who, when = np.nonzero(bought)
    lines = [
        f"u{w:03d},{FIRST + timedelta(days=int(d))},{amounts[w, d]:.2f},c{w % 3}"
        for w, d in zip(who, when, strict=True)
    ]
    if poisoned_from is not None:
        lines += [f"new{i},{FIRST + timedelta(days=poisoned_from)},777.00,c0" for i in range(50)]
    return "user,day,amount,channel\n" + "\n".join(lines) + "\n"


def proven(folder: Path, poisoned_from: int | None) -> Backtest:
    folder.mkdir()
    (folder / "log.csv").write_text(log(poisoned_from), encoding="utf-8")
    study = Study(folder, settings_of(tomllib.loads(SETTINGS)), today=date(2026, 1, 1))
    (job,) = study.jobs()
    return study.backtest(job)


def predicted(proof: Backtest, origin: int) -> dict[tuple[str, int], tuple[int, float]]:
    return {(d.model, int(d.group)): (d.n_users, d.predicted) for d in proof.deciles if d.origin == origin}


def actual(proof: Backtest, origin: int) -> dict[tuple[str, int], float]:
    return {(d.model, int(d.group)): d.actual for d in proof.deciles if d.origin == origin}


@pytest.mark.slow
def test_nothing_after_an_origin_reaches_its_forecasts(tmp_path: Path) -> None:
    """Through the whole road, every model: what happens from an origin on is replaced, its forecasts stay to the bit."""
    clean = proven(tmp_path / "clean", None)
    first_day = day_of(FIRST)
    origins = sorted(clean.origins)
    assert len(origins) == 3
    assert clean.refused == {}
    assert set(clean.models) >= {"bg_nbd", "cohort_mean", "lightgbm_hurdle", "pareto_nbd", "rate_so_far"}
    for poisoned_at in (origins[0], origins[2]):
        poisoned = proven(tmp_path / str(poisoned_at), poisoned_at - first_day)
        assert sorted(poisoned.origins) == origins
        for origin in origins:
            same = predicted(poisoned, origin) == predicted(clean, origin)
            assert same == (origin <= poisoned_at), date_of(origin)
        assert actual(poisoned, poisoned_at) != actual(clean, poisoned_at)
