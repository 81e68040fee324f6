"""Newcomers on the simulated app: errors fall as users grow older, and totals of cohorts too young to judge are right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from headwater.app.plan import task_of
from headwater.contracts.check import check
from headwater.core.contract import Aggregate, App, Contract, Measure, Source
from headwater.core.errors import DataError
from headwater.core.ledger import Ledger, Snapshot, Task
from headwater.core.table import Kind
from headwater.engine.duckdb import DuckDB
from headwater.ledgers.build import build_ledger
from headwater.models.newcomers import Newcomers, fit_newcomers, restore_newcomers
from headwater.simulate.world import APP_ZONE, World
from headwater.simulate.write import simulate
from headwater.snapshots.ages import build_age_snapshot

pytestmark = pytest.mark.slow

HOURS, HORIZON = (1, 24, 168), 30
# A cohort total strays by the spread of its users; three standard errors, and 5% for what changes with the season.
ERRORS, SEASON = 3.0, 0.05
# What a week tells should take away a tenth of the error of the first hour at least, or ages say nothing.
GAIN = 0.9


@dataclass(frozen=True)
class App4000:
    """4,000 users over 120 days; what was known 30 days before the end, and what then came."""

    engine: DuckDB
    ledger: Ledger
    then: dict[int, Snapshot]
    later: dict[int, Snapshot]
    as_of: int

    def task(self, measure: str) -> Task:
        return task_of(self.ledger, measure, HORIZON)

    def actual(self, task: Task) -> dict[str, float]:
        rows = (
            self.later[max(HOURS)].to_arrow().to_pylist()
        )  # by a week all are known, offline as they may have been
        return {r["user_id"]: r[f"{task.value}_first_{HORIZON}d"] for r in rows}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    root = Path(tmp_path_factory.mktemp("newcomers"))
    engine = DuckDB(threads=2, memory="1GB", spill=root / "spill")
    simulate(engine, World(seed=21, n_users=4_000, n_days=120), folder=root / "world")
    contract = Contract(
        app=App(name="app", time_zone=APP_ZONE, currency="USD", left_edge_days=0),
        source=Source(path="events/*.parquet", user="user_id", at="at", known_at="known_at", event="event", time_zone="UTC", keep=("platform", "country"), types={"amount_usd": Kind.MONEY}),
        measures=(
            Measure(name="engagements", aggregate=Aggregate.COUNT, where="event in ['video_view', 'like', 'share']"),
            Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount_usd", unit="USD", where="event in ['purchase', 'ad_impression', 'subscribe', 'renew']"),
        ),
        rules=(),
    )  # fmt: skip
    events = check(engine, contract, root=root / "world", folder=root / "check", source_fingerprint="none")
    ledger = build_ledger(engine, events, folder=root / "ledger")
    as_of = ledger.end_day - HORIZON

    def at(hours, day):
        return build_age_snapshot(engine, ledger, age=f"{hours}h", horizons=(HORIZON,), folder=root / f"{hours} {day}", as_of=day, cohort_days=7 if day else 1, time_zone=APP_ZONE)  # fmt: skip

    yield App4000(
        engine=engine,
        ledger=ledger,
        then={h: at(h, as_of) for h in HOURS},
        later={h: at(h, None) for h in HOURS},
        as_of=as_of,
    )
    engine.close()


@pytest.fixture(scope="module")
def models(app) -> dict[str, Newcomers]:
    """Fitted on active days, as known 30 days before the end."""
    return {
        name: fit_newcomers(name, app.then, task=app.task("active_days"), engine=app.engine, rng=np.random.default_rng(7))
        for name in ("cohort_mean", "lightgbm_hurdle")
    }  # fmt: skip


def test_errors_fall_with_age_for_users_who_came_after_the_fit(app, models):
    task, actual = app.task("active_days"), app.actual(app.task("active_days"))
    errors = []
    for hours, model in models["lightgbm_hurdle"].models:
        rows = app.later[hours].to_arrow()
        held = rows.filter(np.asarray(rows.column("first_day")) >= app.as_of - HORIZON)
        value = model.predictor.predict(held) + np.asarray(held.column(f"{task.value}_so_far"))
        users = held.column("user_id").to_pylist()
        errors.append({u: v for u, v in zip(users, value, strict=True) if actual.get(u) is not None})
    common = set.intersection(*(set(e) for e in errors))
    assert len(common) > 500
    off = [np.mean([abs(e[u] - actual[u]) for u in common]) for e in errors]
    assert off[0] > off[1] > off[2]
    assert off[2] < GAIN * off[0]


@pytest.mark.parametrize("model", ["cohort_mean", "lightgbm_hurdle"])
def test_totals_of_unfinished_cohorts_are_what_then_came(app, models, model):
    made = models[model].forecast(app.then, rng=np.random.default_rng(1), beyond=True)
    actual = app.actual(app.task("active_days"))
    assert len(set(made.user_ids)) == made.user_ids.size > 700
    assert set(made.at_hours) == set(HOURS)
    assert made.n_beyond == 0
    assert made.first_day.max() == app.as_of - 1
    for first, end in ((-HORIZON, -14), (-14, -7), (-7, 0)):
        inside = (made.first_day >= app.as_of + first) & (made.first_day < app.as_of + end)
        came = np.array([actual[u] for u in made.user_ids[inside]], dtype=float)
        total, spread = came.sum(), came.std() * np.sqrt(came.size)
        assert abs(made.value.mean[inside].sum() - total) < ERRORS * spread + SEASON * total, (first, end)


def test_each_user_is_forecast_by_the_oldest_age_reached(app, models):
    made = models["cohort_mean"].forecast(app.then, rng=np.random.default_rng(1))
    users = {h: set(app.then[h].to_arrow().column("user_id").to_pylist()) for h in HOURS}
    for user, hours in zip(made.user_ids, made.at_hours, strict=True):
        assert hours == max(h for h in HOURS if user in users[h])
    assert np.all(made.value.low <= made.value.mean)
    assert np.all(made.value.mean >= made.so_far)


def test_users_more_than_a_day_beyond_the_oldest_age_are_left_out_and_counted(app, models):
    made, all_of_them = (
        models["cohort_mean"].forecast(app.then, rng=np.random.default_rng(1), beyond=b) for b in (False, True)
    )  # fmt: skip
    oldest = max(HOURS)
    begun = app.as_of - 1 - oldest // 24  # who began then reached the age on the last day
    assert made.first_day.min() == begun
    left_out = set(all_of_them.user_ids) - set(made.user_ids)
    assert len(left_out) == made.n_beyond > 100
    old = all_of_them.first_day < begun
    assert left_out == set(all_of_them.user_ids[old])
    with pytest.raises(DataError, match=r"forecast\.nobody"):
        only(app, first=begun, models=models["cohort_mean"])


def only(app: App4000, *, first: int, models: Newcomers):
    """Forecast from snapshots without the users who began on a day or later."""

    def without(snapshot: Snapshot) -> Snapshot:
        file = Path(snapshot.rows.files[0]).with_name("old.parquet")
        rows = snapshot.to_arrow()
        pq.write_table(rows.filter(np.asarray(rows.column("first_day")) < first), file)
        return replace(snapshot, rows=replace(snapshot.rows, files=(str(file),)))

    return models.forecast({h: without(s) for h, s in app.then.items()}, rng=np.random.default_rng(1))


def test_saved_models_forecast_the_same(app, models):
    fitted = models["lightgbm_hurdle"]
    before, after = (
        m.forecast(app.then, rng=np.random.default_rng(1)) for m in (fitted, restore_newcomers(fitted.state()))
    )  # fmt: skip
    assert np.array_equal(before.value.mean, after.value.mean)
    assert np.array_equal(before.user_ids, after.user_ids)


@pytest.mark.parametrize("model", ["bg_nbd", "rate_so_far", "bg_nbd_seasonal"])
def test_a_model_that_reads_occasions_by_day_is_refused_at_an_age(app, model):
    with pytest.raises(DataError, match=r"snapshot\.no_column|season\."):
        fit_newcomers(model, app.then, task=app.task("active_days"), engine=app.engine, rng=np.random.default_rng(7))  # fmt: skip
