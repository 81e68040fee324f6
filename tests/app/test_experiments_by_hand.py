"""A small workspace with an experiment, its units worked out by hand; a day later only what changed is done."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from headwater.app.config import read_settings
from headwater.app.experiments import ExperimentData, read_experiment
from headwater.app.study import Study
from headwater.effects.facts import N_CROSSED, fact_key
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.triggered import triggered_part, triggered_units
from headwater.engine.sql import sql

SETTINGS = """
[app]
name = "x"
time_zone = "UTC"
left_edge = "0d"

[[sources]]
path = "events.csv"
user = "user"
at = "at"
event = "event"
types = { paid = "money" }

[[sources]]
kind = "exposures"
path = "met.csv"
experiment = "experiment"
arm = "arm"
user = "user"
at = "at"
keep = ["city", "differs"]
types = { differs = "integer" }

[measures]
spend = { sum = "paid", unit = "USD" }

[[experiments]]
name = "checkout"
arms = { control = 0.5, treatment = 0.5 }
starts_on = 2024-03-10
stop = { ends_on = 2024-03-20 }
window = "3d"
before = "5d"
trigger = "differs == 1"
strata = ["city"]
registered_on = 2024-03-01

[experiments.metrics]
spend = { outcome = "spend", part = "primary" }
buyers = { outcome = "spend > 0", kind = "proportion", covariates = [] }
back = { outcome = "active_days", kind = "retention", days = [1, 2] }
waited = { outcome = "spend", kind = "time_to_event", better = "lower" }
"""
EVENTS = """user,at,event,paid
ann,2024-03-06 10:00:00,pay,2.00
ann,2024-03-10 10:00:00,pay,3.50
ann,2024-03-12 10:00:00,pay,1.00
ann,2024-03-13 10:00:00,pay,9.00
bob,2024-03-11 10:00:00,open,0.00
bob,2024-03-14 10:00:00,pay,4.00
cat,2024-03-12 10:00:00,open,0.00
dan,2024-03-12 12:00:00,open,0.00
"""
MET = """user,experiment,arm,at,city,differs
ann,checkout,control,2024-03-10 09:00:00,Rome,1
ann,checkout,control,2024-03-11 09:00:00,Oslo,0
bob,checkout,treatment,2024-03-11 09:00:00,Oslo,0
cat,checkout,treatment,2024-03-12 09:00:00,Rome,1
eve,checkout,control,2024-03-12 09:00:00,Rome,1
dan,checkout,control,2024-03-12 09:00:00,Rome,1
dan,checkout,treatment,2024-03-13 09:00:00,Rome,1
"""
LATER = "cat,2024-03-15 10:00:00,pay,7.00\n"


def read(folder: Path) -> tuple[Study, ExperimentData, dict[str, dict[str, Any]]]:
    study = Study(folder, read_settings(folder / "headwater.toml"), today=date(2026, 1, 1))
    data = read_experiment(study, "checkout")
    rows = study.engine.arrow(sql("SELECT * FROM {u} u", u=data.units.rows)).to_pylist()
    return study, data, {r["user_id"]: r for r in rows}


def test_units_are_what_a_person_would_work_out(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text(SETTINGS)
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "met.csv").write_text(MET)
    study, data, users = read(tmp_path)
    assert sorted(users) == ["ann", "bob", "cat", "eve"]
    ann, bob, cat = users["ann"], users["bob"], users["cat"]
    assert (ann["spend"], ann["spend_before"], ann["spend_first_day"]) == (4.5, 2.0, 0)
    assert (ann["city"], ann["trigger"], ann["observed_days"]) == ("Rome", "triggered", 5)
    assert (ann["active_days_on_1_to_2"], bob["active_days_on_1_to_2"]) == (1.0, 0.0)
    assert (bob["spend"], bob["trigger"], bob["spend_first_day"]) == (
        0.0,
        "untriggered",
        None,
    )
    assert (cat["observed_days"], cat["spend"], cat["spend_before"]) == (3, 0.0, 0.0)
    assert data.facts[fact_key(N_CROSSED, "control")] == 1.0
    metrics = {m.name: m for m in data.plan.metrics}
    assert metrics["spend"].covariates == ("spend_before",)
    assert metrics["buyers"].covariates == ()
    assert metrics["back"] == Metric(name="back", kind="retention", outcome="active_days_on_1_to_2", days=(1, 2), covariates=("active_days_before",))  # fmt: skip
    assert (metrics["waited"].outcome, metrics["waited"].over) == ("spend_first_day", "observed_days")
    gathered = gather(study.engine, data.units, metrics=data.plan.metrics, arms=("control", "treatment"))
    assert {g.stratum for g in gathered.groups} == {"triggered | Rome", "untriggered | Oslo"}
    assert triggered_part(gathered).users_of("control") == 2
    touched = gather(study.engine, triggered_units(data.units), metrics=data.plan.metrics)
    assert (touched.users_of("control"), touched.users_of("treatment")) == (2, 1)
    assert {g.stratum for g in touched.groups} == {"Rome"}
    waited = {s.arm: (s.days.tolist(), s.events.tolist(), s.censored.tolist()) for s in gathered.metrics["waited"].survival}  # fmt: skip
    assert waited == {"control": ([0, 2], [1, 0], [0, 1]), "treatment": ([2], [0], [2])}
    study.engine.close()


def test_a_day_later_only_open_windows_are_touched(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text(SETTINGS)
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "met.csv").write_text(MET)
    study, first, _ = read(tmp_path)
    study.engine.close()
    (tmp_path / "events.csv").write_text(EVENTS + LATER)
    study, second, users = read(tmp_path)
    study.engine.close()
    assert first.running.n_rebuilt == 4
    assert (second.running.n_kept, second.running.n_appended, second.running.n_rebuilt) == (4, 0, 0)
    assert users["cat"]["spend"] == 0.0  # the purchase of the 15th is past the window
