"""What must never happen: a forecast that saw its own future, a total that forgets the error its users share."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from headwater.app.config import settings_of
from headwater.app.plan import Job, learning_cutoffs, origins_of, task_of
from headwater.app.study import Study
from headwater.app.worth import user_grid, worth_of
from headwater.core.block import Form
from headwater.engine.arrays import column_floats
from headwater.models.forecasting import PastErrors
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Pairs
from headwater.snapshots.rows import rows_at

N_USERS, N_DAYS, HORIZON = 400, 240, 40
FIRST = date(2023, 1, 2)
SETTINGS = """
[app]
name = "honesty"
time_zone = "UTC"
[[sources]]
path = "log.csv"
user = "user"
at = "at"
event_is = "purchase"
types = { amount = "money" }
keep = ["channel"]
[measures]
revenue = { sum = "amount", unit = "USD" }
purchases = { count = true }
"""


def study_of(folder: Path, *, other_after: int | None) -> Study:
    """A shop; with ``other_after`` every amount from that day on is another, and half of the rows are other users'."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(N_USERS):
        start, rate = rng.integers(0, 120), rng.gamma(2, 0.02)
        for day in range(start, N_DAYS):
            if day == start or rng.random() < rate:
                who, amount = user, round(float(rng.lognormal(3, 0.5)), 2)
                if other_after is not None and day >= other_after:
                    who, amount = (user * 7) % N_USERS, amount * 1000
                rows.append(f"u{who:03d},{FIRST + timedelta(days=int(day))},{amount},c{who % 3}")
    rows.append(f"u000,{FIRST + timedelta(days=N_DAYS)},1.00,c0")
    folder.mkdir()
    (folder / "log.csv").write_text("\n".join(["user,at,amount,channel", *rows]) + "\n")
    return Study(folder, settings_of(tomllib.loads(SETTINGS)), today=date(2026, 1, 1))


def job_of(study: Study) -> Job:
    return Job(
        task=task_of(study.ledger(), "revenue", HORIZON),
        models=tuple(n for n in LTV_MODELS.names() if LTV_MODELS.load(n).by_default),
        every_days=20,
        n_origins=2,
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("honest") / "a", other_after=None)


@pytest.mark.parametrize("model", LTV_MODELS.names())
def test_nothing_after_an_origin_moves_a_forecast_made_at_it(
    honest: Study, tmp_path: Path, model: str
) -> None:
    job = job_of(honest)
    origin = min(origins_of(honest.ledger(), horizon_days=HORIZON, every_days=20, n_origins=2))
    poisoned = study_of(tmp_path / "b", other_after=origin - honest.ledger().first_day)
    a, b = (s.forecast_at(model, job, origin, seed=3) for s in (honest, poisoned))
    for part in ("mean", "low", "high", "variance"):
        assert np.array_equal(getattr(a, part), getattr(b, part)), part


def test_the_poison_is_poison(honest: Study, tmp_path: Path) -> None:
    origin = min(origins_of(honest.ledger(), horizon_days=HORIZON, every_days=20, n_origins=2))
    poisoned = study_of(tmp_path / "b", other_after=origin - honest.ledger().first_day)
    target = job_of(honest).task.target
    actual = [
        column_floats(
            rows_at(s.snapshot(cutoffs=(origin,), horizons=(HORIZON,)), origin, (target,)), target
        ).sum()
        for s in (honest, poisoned)
    ]
    assert actual[1] > 100 * actual[0]
    assert learning_cutoffs(honest.ledger(), origin=origin, horizon_days=HORIZON, every_days=20)[1:]


def test_the_total_carries_the_error_that_all_users_share(honest: Study) -> None:
    job = job_of(honest)
    proof = honest.backtest(job)
    forecast = honest.forecast("bg_nbd", job, proof=proof)
    total = worth_of(honest, forecast).total
    totals = [a.value for a in proof.standing("total_bias").answers["bg_nbd"]]
    share = np.sqrt(
        np.mean([(1 / (1 + bias) - 1) ** 2 for bias in totals])
    )  # of the forecast, not of what came
    variance = column_floats(forecast.rows.to_arrow(), "variance").sum()
    windows = 1 + 20 / HORIZON
    reach = student.ppf(0.95, windows) * np.sqrt(variance + (share * total.value) ** 2)
    assert (total.low, total.high) == pytest.approx((total.value - reach, total.value + reach), rel=1e-9)


def test_a_copy_of_a_forecast_says_how_far_it_looks(honest: Study) -> None:
    job = job_of(honest)
    forecast = honest.forecast("bg_nbd", job, proof=honest.backtest(job))
    assert Path(forecast.rows.files[0]).name == f"forecast_{HORIZON}d.parquet"
    assert set(column_floats(forecast.rows.to_arrow(), "horizon_days")) == {HORIZON}
    worth = worth_of(honest, forecast)
    grid = user_grid(honest.engine, honest.events(), honest.ledger(), worth, Form.NUMBER)
    assert grid.title[:31].startswith(f"{HORIZON} days of")  # the name of its sheet is cut there


def test_predicted_variances_add_up_to_the_squared_errors_they_were_learned_from() -> None:
    rng = np.random.default_rng(11)
    predicted = rng.gamma(0.5, 100, 20_000)
    actual = predicted * rng.gamma(0.8, 1 / 0.8, 20_000)
    errors = PastErrors.of(Pairs(predicted=predicted, actual=actual), level=0.9)
    assert errors is not None
    new = rng.gamma(0.5, 100, 20_000)
    # the truth is new**2 / 0.8; twenty steps of a steep curve and a sampled tail: within a fifth
    assert errors.variance(new).sum() == pytest.approx((new**2 / 0.8).sum(), rel=0.2)
