"""``headwater leakage``: the poison test as a command."""

from __future__ import annotations

from headwater.app.cli.speak import Reply
from headwater.app.plan import Job, learning_cutoffs, rungs_of
from headwater.app.study import Study
from headwater.app.watch import WouldRun
from headwater.core.errors import GateError
from headwater.snapshots.leakage import check_leakage

__all__ = ["leakage_reply"]


def leakage_reply(study: Study, job: Job) -> Reply:
    """The verdict of the poison test. Raises ``GateError`` where a feature moved."""
    ledger = study.ledger()
    if study.rehearsal:
        raise WouldRun("poisoning what comes after the cutoffs", step="leakage")
    cutoffs = learning_cutoffs(
        ledger,
        origin=ledger.end_day - job.task.horizon_days,
        horizon_days=job.task.horizon_days,
        every_days=job.every_days,
    )
    folder = study.store.scratch("leakage")
    seen = check_leakage(
        study.engine,
        ledger,
        cutoffs=cutoffs,
        horizons=rungs_of(job.task.horizon_days),
        folder=folder,
        told=study.told(),
    )
    blocking = [f for f in seen.findings if f.severity.value == "block"]
    if blocking:
        first = blocking[0]
        raise GateError(first.code, what=first.what, why=first.why, do=first.do)
    text = f"Everything after {len(cutoffs)} cutoffs was poisoned: {seen.n_features} features of {seen.n_users:,} rows did not move; {seen.n_targets_moved} targets did."
    return Reply(
        text=text,
        data={
            "n_features": seen.n_features,
            "n_users": seen.n_users,
            "n_targets_moved": seen.n_targets_moved,
        },
    )
