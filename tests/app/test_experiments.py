"""Experiments of a workspace on the simulated app: effects beside the stated truth, and what the settings refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.app.config import read_settings
from headwater.app.experiment_cards import card_of, experiment_pages
from headwater.app.experiments import ExperimentData, read_experiment
from headwater.app.simulated import make_world
from headwater.app.study import Study
from headwater.core.answer import Stance
from headwater.core.block import Grid
from headwater.core.errors import UsageError
from headwater.core.span import date_of
from headwater.effects.choose_method import method_for
from headwater.effects.compared import Compared
from headwater.effects.gather import gather
from headwater.effects.gathered import Gathered
from headwater.effects.running_totals import units_of
from headwater.numerics.effect import Effect, effect_of
from headwater.numerics.sample_ratio import srm
from headwater.simulate.trials import CHECKOUT, CIRCLE, FEED, ONBOARDING, PUSH, TRIALS, WATCH, Trial
from headwater.simulate.world import World

N_USERS, N_DAYS = 10_000, 120
WORLD = World(seed=7, n_users=N_USERS, n_days=N_DAYS)
Z = 3.3  # standard errors: one of 1,000 normal draws lies farther out, and five are looked at
OUTCOME = {"purchase_revenue_usd": "spend", "engagements": "engagements"}
SOURCE = """
[[sources]]
kind = "exposures"
path = "exposures"
experiment = "experiment"
arm = "arm"
user = "user_id"
at = "at"
time_zone = "UTC"
keep = ["circle"]

[measures]
spend = { sum = "amount_usd", unit = "USD", where = "event == 'purchase'" }
"""


def declared(trial: Trial) -> str:
    """Its days a little wider, for users' days begin and end by their own clocks."""
    outcome = OUTCOME[trial.outcome]
    forecast = (
        f'expected = {{ outcome = "{outcome}", covariates = ["predicted_revenue"] }}'
        if trial is CHECKOUT
        else ""
    )
    starts, ends = date_of(trial.first_day(WORLD) - 1), date_of(trial.end_day(WORLD) + 1)
    return f"""
[[experiments]]
name = "{trial.name}"
arms = {{ control = 0.5, treatment = 0.5 }}
starts_on = {starts}
{'cluster = "circle"' if trial.by_cluster else ""}
stop = {{ ends_on = {ends} }}

[experiments.metrics]
outcome = {{ outcome = "{outcome}", part = "primary" }}
plain = {{ outcome = "{outcome}", covariates = [] }}
back = {{ outcome = "active_days", kind = "retention", days = [7] }}
buyers = {{ outcome = "purchases > 0", kind = "proportion" }}
{forecast}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, n_users=N_USERS, n_days=N_DAYS, seed=7)
    for file in (folder / "exposures").iterdir():  # a circle is of 20 users in a row
        rows = pq.read_table(file)
        circles = [f"c{int(user[1:]) // 20}" for user in rows["user_id"].to_pylist()]
        pq.write_table(rows.append_column("circle", pa.array(circles)), file)
    settings = folder / "headwater.toml"
    text = settings.read_text().replace("\n[measures]\n", SOURCE)
    text = re.sub(r"\[\[rules\]\]\n(.+\n)+", "", text)  # the world is clean, and the gate is tested elsewhere
    settings.write_text(text + "".join(declared(t) for t in (*TRIALS, PUSH)))
    return folder


@pytest.fixture(scope="module")
def study(world: Path) -> Iterator[Study]:
    opened = Study(world, read_settings(world / "headwater.toml"), today=date(2026, 1, 1))
    yield opened
    opened.engine.close()


def gathered_of(study: Study, data: ExperimentData) -> Gathered:
    made = gather(study.engine, data.units, metrics=data.plan.metrics, arms=("control", "treatment"))
    return replace(made, facts={**made.facts, **data.facts})


def effect_in(data: ExperimentData, gathered: Gathered, name: str = "outcome") -> Effect:
    metric = next(m for m in data.plan.metrics if m.name == name)
    method = method_for(metric, gathered)
    found = method.compare(metric, gathered, control="control", arm="treatment")  # type: ignore[union-attr]
    assert isinstance(found, Compared)
    effect = effect_of(found.control, found.arm, covariance=found.covariance)
    assert effect is not None
    return effect


def truth_of(world: Path, trial: Trial) -> dict[str, Any]:
    rows = pq.read_table(world / "truth/experiments.parquet").to_pylist()
    return next(r for r in rows if r["experiment"] == trial.name)


@pytest.mark.slow
@pytest.mark.parametrize("trial", [CHECKOUT, FEED, WATCH, ONBOARDING], ids=lambda t: t.name)
def test_effects_lie_where_the_simulated_truth_says(world: Path, study: Study, trial: Trial) -> None:
    data, truth = read_experiment(study, trial.name), truth_of(world, trial)
    assert data.exposed.n_users == truth["n_logged"]
    gathered = gathered_of(study, data)
    for name in ("outcome", "plain"):
        effect = effect_in(data, gathered, name)
        assert abs(effect.difference - truth["effect"]) < Z * effect.std_error
    assert effect_in(data, gathered).std_error < effect_in(data, gathered, "plain").std_error


@pytest.mark.slow
def test_what_was_drawn_by_circle_is_compared_by_circle(world: Path, study: Study) -> None:
    """Everybody of a circle has one arm; the arms compared show the whole effect, of friends too."""
    data, truth = read_experiment(study, CIRCLE.name), truth_of(world, CIRCLE)
    gathered = gathered_of(study, data)
    assert gathered.n_users.sum() < data.exposed.n_users / 3
    effect = effect_in(data, gathered)
    assert abs(effect.difference - truth["effect"]) < Z * effect.std_error
    totals = study.engine.arrow(units_of(data.running)).to_pandas().groupby("arm")["engagements"]
    by_hand = totals.mean()["treatment"] - totals.mean()["control"]
    assert effect_in(data, gathered, "plain").difference == pytest.approx(by_hand)


@pytest.mark.slow
def test_lost_exposures_show_in_the_sample_ratio(study: Study) -> None:
    """A quarter of the treated on Android are never logged; no other experiment loses any."""
    counts = {
        t.name: [a.n_users for a in read_experiment(study, t.name).exposed.by_arm]
        for t in TRIALS
        if not t.by_cluster
    }
    p_values = {name: srm(np.array(n), np.array([0.5, 0.5]))[1] for name, n in counts.items()}
    assert p_values.pop(ONBOARDING.name) < 0.001
    assert min(p_values.values()) > 0.001


@pytest.mark.slow
def test_a_message_that_was_not_drawn_by_lot_looks_better_than_it_is(world: Path, study: Study) -> None:
    """Its receivers are the active ones: the difference is far above the truth, and it is no experiment."""
    data, truth = read_experiment(study, PUSH.name), truth_of(world, PUSH)
    effect = effect_in(data, gathered_of(study, data), "plain")
    assert effect.difference - truth["effect"] > Z * effect.std_error / 2


@pytest.mark.slow
def test_a_forecast_as_of_the_start_is_a_covariate(study: Study) -> None:
    data = read_experiment(study, CHECKOUT.name)
    gathered = gathered_of(study, data)
    expected = effect_in(data, gathered, "expected")
    assert expected.std_error < effect_in(data, gathered, "plain").std_error
    columns = gathered.metrics["expected"].columns
    assert columns == ("spend", "predicted_revenue")


@pytest.mark.slow
def test_a_second_reading_reuses_every_step(world: Path, study: Study) -> None:
    first = read_experiment(study, CIRCLE.name)
    again = Study(world, study.settings, today=date(2026, 1, 1))
    try:
        second = read_experiment(again, CIRCLE.name)
        assert second.running.rows.fingerprint == first.running.rows.fingerprint
        assert all(result.reused for result in again.steps.values())
    finally:
        again.engine.close()


@pytest.mark.slow
def test_an_experiment_that_is_not_declared_is_refused_with_the_near_miss(study: Study) -> None:
    with pytest.raises(UsageError, match="checkout"):
        read_experiment(study, "chekout")


def test_the_scorecard_of_lost_exposures_withholds_its_verdict(study: Study):
    card = card_of(study, ONBOARDING.name)
    assert card.verdict.stance is Stance.CANNOT_SAY
    assert "srm.mismatch" in {f.code for f in card.verdict.findings}


def test_every_declared_experiment_has_its_page_in_the_report(study: Study):
    pages = experiment_pages(study)
    assert [p.title for p in pages] == [f"Experiment {t.name}" for t in (*TRIALS, PUSH)]
    assert all(any(isinstance(b, Grid) and b.name == "effects" for b in p.blocks) for p in pages)
