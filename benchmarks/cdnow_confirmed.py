"""Chosen on the 1/10 sample of CDNOW and its first 39 weeks, confirmed once on the other 21,213 customers.

    .venv/bin/python benchmarks/cdnow_confirmed.py

For purchases of the 13 and the 39 weeks after week 39: the model that a backtest of the sample's first 39 weeks (windows
of 13 weeks) chooses among those that can be fitted then, its paired difference to Pareto/NBD on the other customers with
95% intervals, the same for every model that stood for choice, and the ceiling: boosted trees taught by what other
customers really bought in the very window that is to be forecast. The result goes to ``benchmarks/results``.
"""

from __future__ import annotations

import gzip
import platform
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
from leaderboards import MODELS, commit
from numpy.random import default_rng
from numpy.typing import NDArray

from headwater.app.config import settings_of
from headwater.app.plan import Job, task_of
from headwater.app.study import Study
from headwater.core.answer import Estimate
from headwater.core.errors import DataError
from headwater.core.span import day_of
from headwater.engine.arrays import column_floats
from headwater.evaluation.compare import paired_difference, score_answers
from headwater.evaluation.scored import Score, ScoredUsers
from headwater.evaluation.scores import SCORES
from headwater.learners.boosting import BoostingData, Settings, cross_fit
from headwater.learners.boosting_losses import Objective
from headwater.numerics.resample import Bootstrap, draw_bootstrap
from headwater.snapshots.rows import rows_at

Floats = NDArray[np.float64]
HERE = Path(__file__).parent
OUT, RESULTS = HERE / "out" / "cdnow_confirmed", HERE / "results"
SPLIT = day_of("1997-10-01")
WEEKS_13, WEEKS_39 = 91, 273
EVERY, ORIGINS, SEED, RESAMPLES = 28, 3, 1, 1_000
THE_USUAL = "pareto_nbd"
SHOWN = ("normalized_gini", "total_bias", "decile_wape", "mae", "spearman")
SETTINGS = """
[app]
name = "CDNOW"
time_zone = "UTC"
left_edge = "0d"
[[sources]]
path = "part.csv"
user = "customer_id"
at = "date"
at_format = "%Y%m%d"
event_is = "purchase"
types = { dollars = "money" }
[measures]
purchases = { count_distinct = "date" }
"""


def main() -> None:
    """Choose, confirm, write what was found."""
    began = time.perf_counter()
    past = study("sample_past", lambda sample, day: sample and day < "19971001")
    others = study("others", lambda sample, _: not sample)
    lines = [
        "# CDNOW: chosen on the sample, confirmed on the others",
        "",
        "Purchases (days with one) after week 39 of the 21,213 customers who are not in the 1/10 sample. Choice: the",
        f"backtest of the sample's first 39 weeks, windows of 13 weeks, {ORIGINS} origins {EVERY} days apart. Differences",
        "to Pareto/NBD are paired over customers, with 95% bootstrap intervals; below zero is better than Pareto/NBD",
        "(of a bias: nearer to none).",
        "",
    ]
    for horizon in (WEEKS_13, WEEKS_39):
        lines += confirmed(past, others, horizon)
    lines += [
        f"{platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}, at {commit()}, {time.perf_counter() - began:.0f} s in all.",
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cdnow_confirmed.md").write_text("\n".join(lines))
    print("\n".join(lines))


def study(name: str, inside: Callable[[bool, str], bool]) -> Study:
    """A study of some customers and days of CDNOW."""
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    examples = files("headwater.app") / "examples" / "cdnow"
    sample = {
        line.split()[0]
        for line in gzip.decompress((examples / "CDNOW_sample.txt.gz").read_bytes()).decode().splitlines()
        if line.strip()
    }
    head, *rows = gzip.decompress((examples / "CDNOW_master.csv.gz").read_bytes()).decode().splitlines()
    columns = head.split(",")
    at = columns.index("date")
    kept = [
        r
        for r in rows
        if (v := r.split(",")) and inside(v[columns.index("customer_id")].zfill(5) in sample, v[at])
    ]
    (folder / "part.csv").write_text("\n".join([head, *kept]) + "\n")
    return Study(folder, settings_of(tomllib.loads(SETTINGS)), today=date(2026, 1, 1))


def confirmed(past: Study, others: Study, horizon: int) -> list[str]:
    """The choice for a horizon and what came of it."""
    job = job_of(others, horizon, MODELS)
    forecasts = dict(said(others, job))
    actual = column_floats(
        rows_at(others.tested(job.task, SPLIT), SPLIT, (job.task.target,)), job.task.target
    )
    ceiling = taught_by_others(others, job, actual, forecasts)
    chosen = past.backtest(job_of(past, WEEKS_13, tuple(forecasts))).choice
    users = {
        m: ScoredUsers(actual=actual, predicted=p) for m, p in (*forecasts.items(), ("ceiling", ceiling))
    }
    scores = {s: SCORES.load(s)() for s in SHOWN}
    rows = [row(m, users, scores, chosen=m == chosen.name) for m in users]
    return [
        f"## The {horizon // 7} weeks after week 39",
        "",
        f"Chosen on the sample: **{chosen.name}**. {chosen.reason}",
        "",
        "| Model | " + " | ".join(f"{s}, difference to Pareto/NBD" for s in SHOWN) + " |",
        "|---" * (len(SHOWN) + 1) + "|",
        *sorted(rows, key=lambda r: ("ceiling" in r, r)),
        "",
    ]


def job_of(asked: Study, horizon: int, models: Iterable[str]) -> Job:
    """Purchases over a horizon, by some models."""
    return Job(
        task=task_of(asked.ledger(), "purchases", horizon),
        models=tuple(models),
        every_days=EVERY,
        n_origins=ORIGINS,
    )


def said(others: Study, job: Job) -> Iterator[tuple[str, Floats]]:
    """What each model that can be fitted says at the split, knowing no more than that day did."""
    for model in job.models:
        try:
            yield model, others.forecast_at(model, job, SPLIT, seed=SEED).mean
        except DataError as refused:
            print(f"{model} at {job.task.horizon_days} days: {refused.finding.what}")


def taught_by_others(others: Study, job: Job, actual: Floats, forecasts: Mapping[str, Floats]) -> Floats:
    """The ceiling: each customer's purchases by trees that were taught the window itself on four fifths of the others."""
    tested = others.tested(job.task, SPLIT)
    names = [c.name for c in tested.features]
    rows = rows_at(tested, SPLIT, tuple(names))
    matrix = np.column_stack([*(column_floats(rows, n) for n in names), forecasts[THE_USUAL]]).astype(
        np.float32
    )
    folds = default_rng(SEED).integers(0, 5, actual.size)
    return cross_fit(
        BoostingData.of(matrix),
        actual,
        objective=Objective(kind="tweedie", power=1.2),
        folds=folds.astype(np.int64),
        seed=SEED,
        settings=Settings(leaves=8, rows_in_leaf=100),
    ).held


def row(model: str, users: Mapping[str, ScoredUsers], scores: Mapping[str, Score], *, chosen: bool) -> str:
    """A line of the table: each score, and how it differs from that of Pareto/NBD."""
    weights = draw_bootstrap(users[model].actual.size, resamples=RESAMPLES, rng=default_rng(SEED))
    cells = [cell(model, users, s, score, weights) for s, score in scores.items()]
    return f"| {'**' * chosen}{model}{'**' * chosen} | " + " | ".join(cells) + " |"


def cell(model: str, users: Mapping[str, ScoredUsers], name: str, score: Score, weights: Bootstrap) -> str:
    """One score of one model."""
    answer = score_answers({name: score}, {model: users[model]}, weights)[name][model]
    if not isinstance(answer, Estimate):
        return "refused"
    own = f"{answer.value:.4f}"
    if model == THE_USUAL:
        return own
    found = paired_difference(score, users[model], users[THE_USUAL], weights)
    if not isinstance(found, Estimate):
        return own
    return f"{own}, {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


if __name__ == "__main__":
    main()
