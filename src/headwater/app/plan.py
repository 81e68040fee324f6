"""What a run will do: the tasks to predict, the origins to test at, the cutoffs to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.app.config import PredictSettings
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Ledger, Task
from headwater.core.span import as_days, date_of
from headwater.core.table import Kind

__all__ = [
    "Job",
    "is_net",
    "jobs_of",
    "learning_cutoffs",
    "origins_of",
    "rungs_of",
    "task_of",
    "with_baselines",
]

_BASELINES = ("rate_so_far", "cohort_mean")
_LEAST_HISTORY = 28
_MOST_CUTOFFS = 6
_TRIED_CUTOFFS = 2
_RUNGS = (7, 30, 90, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One target at one horizon: its task, the models to try, and the ladder of origins."""

    task: Task
    models: tuple[str, ...]
    every_days: int
    n_origins: int

    @property
    def name(self) -> str:
        """``revenue_90d``."""
        return f"{self.task.measure}_{self.task.horizon_days}d"


def jobs_of(
    settings: Sequence[PredictSettings], ledger: Ledger, default_models: Sequence[str]
) -> tuple[Job, ...]:
    """The jobs of the ``[[predict]]`` sections, horizons in order."""
    return tuple(
        Job(
            task=task_of(ledger, p.target, as_days(h), occasions=p.occasions, level=p.level),
            models=with_baselines(p.models or default_models),
            every_days=as_days(p.cutoffs.every),
            n_origins=p.cutoffs.origins,
        )
        for p in settings
        for h in p.horizons
    )


def with_baselines(models: Sequence[str]) -> tuple[str, ...]:
    """The models, and the naive ones beside them whatever was asked for: a score means nothing alone."""
    return tuple(dict.fromkeys([*_BASELINES, *models]))


def task_of(
    ledger: Ledger, measure: str, horizon_days: int, *, occasions: str | None = None, level: float = 0.9
) -> Task:
    """A task in full: its target column, its unit, and the measure whose days are occasions."""
    counted = [m.name for m in ledger.measures if m.counts]
    if measure == "active_days":
        return Task(
            measure=measure,
            unit="days",
            horizon_days=horizon_days,
            target=f"active_days_next_{horizon_days}d",
            occasions="active_days",
            value="active_days",
            level=level,
        )
    column = ledger.measure(measure)
    if occasions is not None and occasions != "active_days":
        ledger.measure(occasions)
    if column.counts and occasions not in {None, measure}:
        raise UsageError(
            "predict.occasions",
            what=f"The target '{measure}' is counted on days with '{occasions}'.",
            why="A counted measure has occasions of its own: the days on which it happens.",
            do="Take occasions out, or predict an amount.",
        )
    chosen = measure if column.counts else occasions or (counted[0] if counted else "active_days")
    unit = column.unit if column.kind is Kind.MONEY else column.unit or column.name
    return Task(
        measure=measure,
        unit=unit,
        horizon_days=horizon_days,
        target=f"{column.label}_next_{horizon_days}d",
        occasions=chosen,
        value=column.label,
        level=level,
    )


def is_net(ledger: Ledger, task: Task) -> bool:
    """Whether some event took something off the measure, so that more days may bring less."""
    return any(m == task.measure and n > 0 for _, m, n, _ in ledger.netted)


def origins_of(ledger: Ledger, *, horizon_days: int, every_days: int, n_origins: int) -> tuple[int, ...]:
    """Past days whose window has ended and before which there is enough history, the latest first.

    History enough to learn from one matured window as well is preferred; where the log is too short for
    that, one horizon of history will do (the buy-till-you-die models need no matured window). Raises
    ``DataError`` (``backtest.no_origin``).
    """
    latest = ledger.end_day - horizon_days
    for history in (horizon_days + min(_LEAST_HISTORY, horizon_days), horizon_days):
        ladder = [
            o for o in (latest - k * every_days for k in range(n_origins)) if o - ledger.first_day >= history
        ]
        if ladder:
            return tuple(ladder)
    raise DataError(
        "backtest.no_origin",
        what=f"The log spans {ledger.end_day - ledger.first_day} days ({date_of(ledger.first_day)} to {date_of(ledger.end_day - 1)}); a forecast over {horizon_days} days cannot be tested on it.",
        why="A test needs one horizon to learn from and one to look at.",
        do=f"Choose a horizon of at most {max(1, (ledger.end_day - ledger.first_day) // 2)} days, or load more history.",
    )


def rungs_of(horizon_days: int) -> tuple[int, ...]:
    """The horizon and shorter ones on the way to it: users too young for the whole window have ended some of these.

    >>> rungs_of(90), rungs_of(10)
    ((7, 30, 90), (10,))
    """
    return (*(r for r in _RUNGS if 2 * r <= horizon_days), horizon_days)


def learning_cutoffs(ledger: Ledger, *, origin: int, horizon_days: int, every_days: int) -> tuple[int, ...]:
    """The origin itself, earlier cutoffs whose windows ended by it, and between them those that ended a shorter rung.

    Where all of these lie within two horizons, two more before that, so that what was learned at the first of
    them can be tried on a window that had ended. Each but the origin has four weeks of history. The latest comes first.
    """
    ended = [origin - horizon_days - k * every_days for k in range(_MOST_CUTOFFS)]
    if min(ended) > origin - 2 * horizon_days:
        ended += [origin - 2 * horizon_days - k * every_days for k in range(_TRIED_CUTOFFS)]
    younger = [origin - rung for rung in rungs_of(horizon_days)[:-1]]
    least = min(_LEAST_HISTORY, horizon_days)
    return (origin, *(c for c in (*younger, *ended) if c - ledger.first_day >= least))
