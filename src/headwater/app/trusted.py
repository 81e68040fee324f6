"""What the log and the past say against trusting a forecast: holes, a short history, users unlike those learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from headwater.app.plan import Job
from headwater.app.study import Study
from headwater.core.finding import Finding
from headwater.core.ledger import Snapshot
from headwater.engine.arrays import column_floats, column_objects
from headwater.engine.engine import table_scan
from headwater.engine.sql import commas, name, sql
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.shift import Column, population_shift
from headwater.evaluation.trust import check_trust
from headwater.snapshots.rows import hole_share

__all__ = ["trust_findings"]

_USERS_LOOKED_AT = 20_000
_BUCKETS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trusted:
    findings: tuple[Finding, ...]


def trust_findings(
    study: Study, job: Job, proof: Backtest, *, model: str | None = None
) -> tuple[Finding, ...]:
    """What speaks against the forecast of a job by a model (the chosen one, unless named); a blocking finding means that it cannot be defended."""
    name = model or proof.choice.name
    learned = study.learned_from(job, study.ledger().end_day)
    key = {
        "learned from": learned.rows.fingerprint,
        "tested on": [study.tested(job.task, o).rows.fingerprint for o in proof.origins],
        "task": job.task,
        "models": proof.models,
        "model": name,
        "every": job.every_days,
        "calendar": study.calendar,
        "settings": study.settings_for(job.models),
        "seed": study.seed,
    }
    found = study.step(
        "trust",
        key,
        _Trusted,
        lambda _: _Trusted(findings=_found(study, job, proof, learned, model=name)),
        title=f"asking what speaks against it ({job.name})",
    )
    return found.findings


def _found(study: Study, job: Job, proof: Backtest, learned: Snapshot, *, model: str) -> tuple[Finding, ...]:
    ledger = study.ledger()
    ended = [c for c in sorted(learned.cutoffs) if c + job.task.horizon_days <= ledger.end_day]
    then = [_looked_at(study, learned, c) for c in ended]
    now = _looked_at(study, learned, ledger.end_day)
    shifts = population_shift(then, now, days=(*ended, ledger.end_day)) if then else ()
    found = check_trust(
        proof,
        model=model,
        history_days=ledger.end_day - ledger.first_day,
        hole_shares={
            o: hole_share(study.tested(job.task, o), o, horizon_days=job.task.horizon_days)
            for o in proof.origins
        },
        shifts=shifts,
    )
    of = f"{job.task.measure.replace('_', ' ').capitalize()}, {job.task.horizon_days} days"
    return tuple(replace(f, what=f"{of}: {f.what}") for f in found)


def _looked_at(study: Study, snapshot: Snapshot, cutoff: int) -> dict[str, Column]:
    """Features and attributes of some 20,000 users of a cutoff, chosen by the bucket of their id."""
    n_users = snapshot.rows.n_rows / len(snapshot.cutoffs)
    buckets = max(1, ceil(_BUCKETS * _USERS_LOOKED_AT / max(n_users, 1)))
    features, attributes = ([c.name for c in cs] for cs in (snapshot.features, snapshot.attributes))
    rows = study.engine.arrow(
        sql(
            "SELECT {columns} FROM {scan} WHERE cutoff = {c} AND bucket < {b} ORDER BY user_id",
            columns=commas([name(c) for c in ("user_id", *features, *attributes)]),
            scan=table_scan(snapshot.rows),
            c=cutoff,
            b=buckets,
        )
    )
    numbers: dict[str, Column] = {c: column_floats(rows, c) for c in features}
    words: dict[str, Column] = {
        c: np.array([w or "" for w in column_objects(rows, c)], dtype=np.str_) for c in attributes
    }
    return numbers | words
