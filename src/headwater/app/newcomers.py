"""Newcomers as a step of a run: what users hours or days old will be worth, and how such forecasts did before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.app.answer_settings import NewcomerSettings, hours_of
from headwater.app.largest import largest_first
from headwater.app.plan import task_of
from headwater.app.steps import ledger_key
from headwater.app.study import Study, seeded
from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Snapshot, Task
from headwater.core.show import Shown
from headwater.core.span import as_days, date_of
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES
from headwater.models.forecasting import FittedModel
from headwater.models.newcomers import NewcomerForecasts, Newcomers, PastCohort, fit_newcomers, past_cohort
from headwater.snapshots.age_cohorts import CohortWidth, cohort_width

__all__ = ["AgeFit", "NewcomerValues", "newcomer_horizon", "newcomers_of"]

_LONGEST_DEFAULT = 30
_LEVEL = 0.9
_ADDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeFit:
    """The model at one age, tried on the latest cohort whose window has ended; and who is forecast by it.

    ``so_far``, ``predicted`` and ``came`` are means of a user over the whole window; ``ranking`` is the normalized
    Gini of what the model says, ``ranking_so_far`` that of what was known at the age (None where nothing can be
    ranked). ``held_out``: judged on users it had not learned from.
    """

    hours: int
    cohort_first: str
    cohort_last: str
    n_users: int
    so_far: float
    predicted: float
    came: float
    error: float
    ranking: float | None
    ranking_so_far: float | None
    held_out: bool
    n_newcomers: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NewcomerValues(Shown):
    """What users whose first days are not over will be worth over all of them, at the oldest age each reached.

    ``rows`` has ``user_id, first_day, age_hours, so_far, expected, low, high, variance``. ``n_beyond`` users, more than a day beyond
    the oldest age, are not in it. A cohort holds ``cohort_days`` first days.
    """

    model: str
    task: Task
    cohort_days: int
    n_cohort: int
    as_of: int
    ages: tuple[AgeFit, ...]
    rows: Table
    total: float
    so_far: float
    n_beyond: int
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        return f"NewcomerValues(n_users={self.rows.n_rows:,}, target={self.task.target!r}, n_ages={len(self.ages)}, n_findings={len(self.findings)})"

    def summary(self) -> str:
        """What is expected of whom."""
        days, unit = self.task.horizon_days, self.task.unit
        beyond = f" {self.n_beyond:,} older users, whose first {days} days are open too, are left out: forecast them at a cutoff." if self.n_beyond else ""  # fmt: skip
        return (
            f"{self.model} expects {self.total:,.0f} {unit} of {self.rows.n_rows:,} newcomers in their first {days} days, "
            f"of which they brought {self.so_far:,.0f} by the age they are forecast at; as of {date_of(self.as_of)}.{beyond}"
        )

    def past(self) -> str:
        """How well each age did on the latest cohort that ended."""
        told = "; ".join(_told(a) for a in self.ages)
        return (
            f"On the latest cohort whose first {self.task.horizon_days} days are over ({self.cohort_days} first days, "
            f"{self.n_cohort:,} {'user' if self.n_cohort == 1 else 'users'}): {told}. {self.verdict()}"
        )

    def verdict(self) -> str:
        """Whether newcomers may be put in order by it: the ages at which it ranks better than what was known then alone."""
        ranked = [a for a in self.ages if a.ranking is not None]
        adds = [a for a in ranked if (a.ranking or 0.0) - max(a.ranking_so_far or 0.0, 0.0) >= _ADDS]
        parts: list[str] = []
        if adds:
            parts.append(
                f"at {_spans(adds)} it may put newcomers in order: it ranks them better than what is known then alone"
            )
        rest = [a for a in ranked if a not in adds]
        if known := [a for a in rest if (a.ranking or 0.0) >= _ADDS]:
            parts.append(
                f"at {_spans(known)} it adds next to nothing to what is known by then, which ranks them as well"
            )
        if blind := [a for a in rest if a not in known]:
            parts.append(
                f"at {_spans(blind)} it adds next to nothing over what is known at sign-up: it cannot say who will be worth more"
            )
        if unknown := [a for a in self.ages if a.ranking is None]:
            parts.append(f"at {_spans(unknown)} the order could not be scored")
        return f"Verdict: {'; '.join(parts)} (a ranking of 1 is perfect, of 0 chance, and less than {_ADDS:g} next to nothing)."

    def users_grid(self) -> Grid:
        """Every newcomer, the most valuable first, streamed."""
        unit, days, level = self.task.unit, self.task.horizon_days, f"{self.task.level:.0%} interval"
        fields = (
            Field(name="user_id", label="User", form=Form.ID),
            Field(name="first_seen_on", label="First seen", form=Form.DATE),
            Field(name="age_hours", label="Forecast at the age of", form=Form.INTEGER, unit="hours"),
            Field(name="so_far", label="Known at that age", form=Form.NUMBER, unit=unit),
            Field(name="expected", label=f"Expected, first {days} days", form=Form.NUMBER, unit=unit),
            Field(name="low", label="Low", form=Form.NUMBER, unit=unit, note=level),
            Field(name="high", label="High", form=Form.NUMBER, unit=unit),
        )
        return Grid(
            name=f"newcomers_{self.task.target}",
            title=f"What each newcomer is expected to be worth by {self.model}",
            fields=fields,
            n_rows=self.rows.n_rows,
            stream=self._stream,
            preview=20,
        )

    def ages_grid(self) -> Grid:
        """For each age how it did on the latest cohort that ended, and how many are forecast by it."""
        unit = self.task.unit
        fields = (
            Field(name="hours", label="Age", form=Form.INTEGER, unit="hours"),
            Field(name="cohort_last", label="Tried on users first seen by", form=Form.DATE),
            Field(name="n_users", label="Users", form=Form.INTEGER),
            Field(name="so_far", label="Known at the age", form=Form.NUMBER, unit=unit, note="a user, on average"),
            Field(name="predicted", label="Predicted", form=Form.NUMBER, unit=unit),
            Field(name="came", label="Came", form=Form.NUMBER, unit=unit),
            Field(name="error", label="Off by", form=Form.NUMBER, unit=unit, note="a user, on average"),
            Field(name="ranking", label="Ranking", form=Form.NUMBER, note="normalized Gini: 1 is perfect, 0 is chance"),
            Field(name="ranking_so_far", label="Ranking by what was known", form=Form.NUMBER),
            Field(name="n_newcomers", label="Newcomers forecast", form=Form.INTEGER),
        )  # fmt: skip
        rows = [tuple(_cell(a, f.name) for f in fields) for a in self.ages]
        held = all(a.held_out for a in self.ages)
        note = "Each user judged was held out of the fit." if held else "Users judged were among those learned from; the model has too few parameters to remember one."  # fmt: skip
        return Grid.of(
            f"newcomer_ages_{self.task.target}", "How well each age did before", fields, rows, note=note
        )

    def blocks(self) -> tuple[Block, ...]:
        """What is expected, every newcomer, how each age did, findings."""
        return (
            Prose(text=self.summary()),
            self.users_grid(),
            Prose(text=self.past()),
            self.ages_grid(),
            *callouts(self.findings),
        )

    def _stream(self) -> Iterator[tuple[Cell, ...]]:
        for user, first_day, *rest in largest_first(self.rows, by="expected"):
            yield user, str(date_of(int(str(first_day)))), *rest[:-1]


def newcomer_horizon(study: Study, measure: str) -> int:
    """What ``[newcomers] horizon`` says, else the longest horizon over which the measure is predicted, in days."""
    given = study.settings.newcomers
    if given is not None and given.horizon:
        return as_days(given.horizon)
    asked = [j.task.horizon_days for j in study.jobs() if j.task.measure == measure]
    return max(asked, default=_LONGEST_DEFAULT)


def newcomers_of(
    study: Study,
    *,
    measure: str,
    horizon_days: int | None = None,
    ages: Sequence[str] | None = None,
    model: str | None = None,
    cohort_days: int | None = None,
) -> NewcomerValues:
    """Forecast the newcomers of a log, made once; what is left out is as ``[newcomers]`` says.

    An age that cannot be fitted is told (``newcomers.age_left_out``) and left out. Raises ``DataError`` where none can
    (``newcomers.no_age``) or nobody is new (``forecast.nobody``), ``UsageError`` for ages that are none.
    """
    given = study.settings.newcomers or NewcomerSettings()
    days = newcomer_horizon(study, measure) if horizon_days is None else horizon_days
    task = _task(study, measure, days)
    hours = hours_of(given.ages if ages is None else ages)
    if ages is None and "ages" not in given.model_fields_set:
        hours = tuple(h for h in hours if h < days * 24)
    named = model or given.model
    study.require_models(named)
    width = cohort_width(
        study.engine, study.ledger(), horizon_days=days, days=cohort_days or given.cohort_days
    )
    taken, failed = _snapshots(study, hours, days, width)
    key = {
        "ledger": ledger_key(study.ledger()),
        "snapshots": {h: s.rows.fingerprint for h, s in taken.items()},
        "failed": failed,
        "task": task,
        "model": named,
        "width": width,
        "seed": study.seed,
    }
    return study.step(
        "newcomers",
        key,
        NewcomerValues,
        lambda folder: _made(study, named, task, taken, failed, width=width, folder=folder),
        title=f"forecasting newcomers ({measure}, {days} days)",
    )


def _task(study: Study, measure: str, days: int) -> Task:
    levels = [j.task.level for j in study.jobs() if j.task.measure == measure]
    return task_of(study.ledger(), measure, days, level=levels[-1] if levels else _LEVEL)


def _snapshots(
    study: Study, hours: Sequence[int], days: int, width: CohortWidth
) -> tuple[dict[int, Snapshot], dict[int, Finding]]:
    taken: dict[int, Snapshot] = {}
    failed: dict[int, Finding] = {}
    for h in hours:
        try:
            taken[h] = study.at_age(h, horizon_days=days, cohort_days=width.days)
        except DataError as error:
            failed[h] = error.finding
    return taken, failed


def _made(
    study: Study,
    model: str,
    task: Task,
    taken: Mapping[int, Snapshot],
    failed: Mapping[int, Finding],
    *,
    width: CohortWidth,
    folder: Path,
) -> NewcomerValues:
    fitted, pasts, broken = _fitted(study, model, task, taken)
    failed = {**failed, **broken}
    if not fitted:
        raise _no_age(failed)
    made = Newcomers(task=task, models=tuple(fitted)).forecast(
        {h: taken[h] for h, _ in fitted}, rng=seeded(study.seed, "newcomers", task.target)
    )
    findings = [f for h, m in fitted for f in (*taken[h].findings, *m.findings)]
    return NewcomerValues(
        model=model,
        task=task,
        cohort_days=width.days,
        n_cohort=width.n_users,
        as_of=study.ledger().end_day,
        ages=tuple(
            _age(p, hours=h, width=width, n=int((made.at_hours == h).sum()))
            for (h, _), p in zip(fitted, pasts, strict=True)
        ),
        rows=_table(study, made, task, folder),
        total=float(made.value.mean.sum()),
        so_far=float(made.so_far.sum()),
        n_beyond=made.n_beyond,
        findings=(*(_left_out(h, f) for h, f in sorted(failed.items())), *dict.fromkeys(findings)),
    )


def _fitted(
    study: Study, model: str, task: Task, taken: Mapping[int, Snapshot]
) -> tuple[list[tuple[int, FittedModel]], list[PastCohort], dict[int, Finding]]:
    """Each age by itself: what was fitted, how it did, and why others could not be."""
    fitted: list[tuple[int, FittedModel]] = []
    pasts: list[PastCohort] = []
    failed: dict[int, Finding] = {}
    for hours, snapshot in taken.items():
        rng = seeded(study.seed, "newcomers", task.target, str(hours))
        try:
            made = fit_newcomers(
                model, {hours: snapshot}, task=task, engine=study.engine, rng=rng, threads=study.threads
            )
            pasts.append(past_cohort(made.models[0][1], snapshot))
            fitted += made.models
        except DataError as error:
            failed[hours] = error.finding
    return fitted, pasts, failed


def _age(past: PastCohort, *, hours: int, width: CohortWidth, n: int) -> AgeFit:
    return AgeFit(
        hours=hours,
        cohort_first=str(date_of(past.cutoff - width.days + 1)),
        cohort_last=str(date_of(past.cutoff)),
        n_users=past.actual.size,
        so_far=float(past.so_far.mean()),
        predicted=float(past.predicted.mean()),
        came=float(past.actual.mean()),
        error=float(np.abs(past.predicted - past.actual).mean()),
        ranking=_ranking(past.predicted, past.actual),
        ranking_so_far=_ranking(past.so_far, past.actual),
        held_out=past.held_out,
        n_newcomers=n,
    )


def _ranking(predicted: np.ndarray, actual: np.ndarray) -> float | None:
    score, sample = SCORES.load("normalized_gini")(), ScoredUsers(actual=actual, predicted=predicted)
    return None if score.refuse(sample) is not None else float(score.value(sample)[0])


def _told(age: AgeFit) -> str:
    rank = "" if age.ranking is None else f", ranking {age.ranking:.2f}"
    return f"at {_span(age.hours)} {age.predicted:,.4g} a user were predicted and {age.came:,.4g} came{rank}"


def _cell(age: AgeFit, name: str) -> Cell:
    return getattr(age, name)


def _span(hours: int) -> str:
    return f"{hours}h" if hours % 24 or hours == 24 else f"{timedelta(hours=hours).days}d"


def _spans(ages: Sequence[AgeFit]) -> str:
    return ", ".join(_span(a.hours) for a in ages)


def _left_out(hours: int, why: Finding) -> Finding:
    return Finding(
        code="newcomers.age_left_out",
        severity=Severity.WARN,
        what=f"At an age of {_span(hours)} nobody is forecast. {why.what}",
        why="Users of that age are forecast as of the next younger age, which knows less of them, or not at all.",
        do=why.do,
        numbers={"hours": hours},
    )


def _no_age(failed: Mapping[int, Finding]) -> DataError:
    reasons = dict.fromkeys(f.what for f in failed.values())
    return DataError(
        "newcomers.no_age",
        what=f"None of the ages {', '.join(_span(h) for h in sorted(failed))} can be forecast. {' '.join(reasons)}",
        why="Without cohorts whose window has ended, nothing says what users of that age come to be worth.",
        do=next(iter(failed.values())).do,
    )


def _table(study: Study, made: NewcomerForecasts, task: Task, folder: Path) -> Table:
    of = f"of the whole first {task.horizon_days} days"
    columns = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="first_day", kind=Kind.DAY, unit="days since 1970", about="the user's first app day"),
        Column(name="age_hours", kind=Kind.INTEGER, unit="hours", about="the age the user is forecast as of"),
        Column(name="so_far", kind=Kind.NUMBER, unit=task.unit, about="what was known at that age"),
        Column(name="expected", kind=Kind.NUMBER, unit=task.unit, about=of),
        Column(name="low", kind=Kind.NUMBER, unit=task.unit, about=f"lower bound at {task.level:.0%}"),
        Column(name="high", kind=Kind.NUMBER, unit=task.unit, about=f"upper bound at {task.level:.0%}"),
        Column(name="variance", kind=Kind.NUMBER, unit=f"{task.unit} squared", about="of the forecast's error"),
    )  # fmt: skip
    arrays = {
        "user_id": pa.array(made.user_ids, pa.string()),
        "first_day": pa.array(made.first_day, pa.int32()),
        "age_hours": pa.array(made.at_hours, pa.int32()),
        "so_far": made.so_far,
        "expected": made.value.mean,
        "low": made.value.low,
        "high": made.value.high,
        "variance": made.value.variance,
    }
    return study.keep(pa.table(arrays), columns, folder, table="newcomers")
