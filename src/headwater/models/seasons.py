"""What the seasonal models share: the calendar learned from daily occasions, and processes on its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats, read_arrow
from headwater.models.buy_till_you_die import (
    Case,
    Process,
    assembled,
    fit_facts,
    grouped_histories,
    restored,
)
from headwater.models.model import Floats, Predictor, State, Training
from headwater.models.spend import fit_findings
from headwater.numerics.calendar_time import DatedRows, InSeason, Seasons, Terms, fit_in_season
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import Ints, RfmRows, totals

__all__ = [
    "HARMONICS",
    "ONE_SEASON",
    "TWO_SEASONS",
    "SeasonalProcess",
    "fit_in_seasons",
    "restore_in_seasons",
]

HARMONICS: Final = 6
"""Waves a year: a peak of about two months can be told from its neighbors."""

ONE_SEASON: Final = 457
"""Days of log from which a season of the year is learned at all: a quarter of the year was seen twice."""

TWO_SEASONS: Final = 731

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SOME_WEEK: Final = np.arange(4, 11, dtype=np.int64)  # 1970-01-05 was a Monday


class SeasonalProcess(Process, Protocol):
    """A process that says how its likelihood depends on time."""

    def refit(self, rows: RfmRows, start: Any) -> Fit[Any]:
        """Its fit, from parameters near by where there are any."""
        ...

    def slopes_by_time(self, params: Any, rows: RfmRows) -> tuple[Floats, Floats]:
        """Derivatives of each row's log-likelihood by ``t_x`` and by ``T``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnTheClock:
    """Histories and horizons in operational time; rows of several cutoffs each have their own."""

    params: Any
    seasons: Seasons

    @property
    def columns(self) -> tuple[str, ...]:
        return ("cutoff",)

    def cases(self, rows: pa.Table, users: RfmRows, *, horizon_days: int) -> Iterator[Case]:
        cutoffs = column_floats(rows, "cutoff").astype(np.int64)
        for cutoff in np.unique(cutoffs).tolist():
            which = np.flatnonzero(cutoffs == cutoff)
            ahead = np.arange(cutoff, cutoff + horizon_days)
            dated = dated_rows(
                x=users.x[which],
                t_x=users.t_x[which],
                T=users.T[which],
                weights=users.weights[which],
                cutoff=cutoff,
            )
            yield Case(
                which=which,
                users=dated.in_time_of(self.seasons),
                params=self.params,
                horizon=float(self.seasons.at(ahead).sum()),
            )

    def state(self) -> State:
        return {"params": asdict(self.params), "seasons": _plain(self.seasons)}


def fit_in_seasons(process: SeasonalProcess, training: Training) -> Predictor:
    """Fit a process and the calendar together on the latest cutoff.

    Raises ``DataError`` where the snapshot has no daily occasions or too few users came back.
    """
    histories, cutoff = grouped_histories(training), training.now
    rows = dated_rows(
        x=histories.x, t_x=histories.t_x, T=histories.T, weights=histories.weights, cutoff=cutoff
    )
    days = np.arange(rows.first.min(), cutoff)
    span = cutoff - training.snapshot.first_day
    terms = Terms(
        harmonics=HARMONICS if span >= ONE_SEASON else 0,
        events={n: np.array(sorted(when), dtype=np.int64) for n, when in sorted(training.calendar.items())},
    )
    made = fit_in_season(
        rows,
        days=days,
        purchases=_repeats_by_day(training, rows, days),
        terms=terms,
        fit=process.refit,
        slopes=process.slopes_by_time,
    )
    return assembled(
        process,
        training,
        form=_OnTheClock(params=made.fit.params, seasons=made.seasons),
        findings=[*fit_findings(made.fit), *_findings(made, days=days, span=span)],
        facts=[
            *fit_facts(made.fit, params=asdict(made.fit.params), n_groups=rows.x.size),
            *_facts(made, days=days),
        ],
    )


def restore_in_seasons(process: SeasonalProcess, task: Task, state: State) -> Predictor:
    """The fit of a saved state."""
    params = process.restore(cast("Mapping[str, float]", state["params"]))
    seasons = _seasons_of(cast("Mapping[str, object]", state["seasons"]))
    return restored(process, task, state, form=_OnTheClock(params=params, seasons=seasons))


def dated_rows(*, x: Floats, t_x: Floats, T: Floats, weights: Floats, cutoff: int) -> DatedRows:
    """Histories in days as dates: age runs from the first occasion to the last day before the cutoff."""
    first = cutoff - 1 - T.astype(np.int64)
    return DatedRows(
        x=x, first=first, last=first + t_x.astype(np.int64), last_seen=cutoff - 1, weights=weights
    )


def _repeats_by_day(training: Training, rows: DatedRows, days: Ints) -> Floats:
    """Occasions of each day that were not the user's first."""
    daily = training.snapshot.daily
    if daily is None:
        raise DataError(
            "fit.no_daily",
            what="The snapshot does not count occasions by day.",
            why="Weekdays and seasons are learned from them.",
            do="Build the snapshot again with this version.",
        )
    read = read_arrow(daily, ("cutoff", "app_day", training.task.occasions))
    read = read.filter(pc.equal(read.column("cutoff"), training.now))
    when = column_floats(read, "app_day").astype(np.int64) - int(days[0])
    count, own = column_floats(read, training.task.occasions), when >= 0
    occasions = totals(when[own], count[own], size=days.size)
    return np.maximum(occasions - totals(rows.first - int(days[0]), rows.weights, size=days.size), 0.0)


def _findings(made: InSeason, *, days: Ints, span: int) -> list[Finding]:
    found: list[Finding] = []
    events = made.seasons.terms.events
    if not made.settled:
        found.append(
            Finding(
                code="season.not_settled",
                severity=Severity.WARN,
                what=f"The seasons still moved after {made.rounds} rounds.",
                why="They may be off, and with them the forecast of single months.",
                do="Trust the backtest; prefer the model without seasons where it does as well.",
            )
        )
    if span < ONE_SEASON:
        found.append(
            Finding(
                code="season.short_log",
                severity=Severity.NOTE,
                what=f"The log has {span:,} days before the cutoff, fewer than {ONE_SEASON}.",
                why="A season that was seen once cannot be told from growth or decline; only weekdays and declared events are used.",
                do=_do_in_a_short_log(tuple(events)),
            )
        )
    elif span < TWO_SEASONS:
        found.append(
            Finding(
                code="season.seen_once",
                severity=Severity.NOTE,
                what=f"The log has {span:,} days before the cutoff, fewer than two years.",
                why="Parts of the year were seen once: growth or decline then may pass for a season.",
                do="Compare with the model without seasons in the backtest.",
            )
        )
    return [
        *found,
        *(_unseen(n) for n, when in events.items() if not np.isin(days, when).any()),
    ]


def _do_in_a_short_log(events: tuple[str, ...]) -> str:
    if not events:
        return "Declare the promotions and holidays you know of, or wait for a longer log."
    return f"Nothing, where {', '.join(events)} {'are' if len(events) > 1 else 'is'} all that was special in it; a longer log will show the year."


def _unseen(event: str) -> Finding:
    return Finding(
        code="season.unseen_event",
        severity=Severity.NOTE,
        what=f"No day of '{event}' lies in the log before the cutoff.",
        why="What it does cannot be learned; its days are forecast like others.",
        do="Declare its past days too, under the same name.",
    )


def _facts(made: InSeason, *, days: Ints) -> list[tuple[str, str]]:
    seasons, terms = made.seasons, made.seasons.terms
    facts = [
        ("log-likelihood in days", f"{made.log_likelihood:,.1f}"),
        ("gain by the calendar", f"{made.log_likelihood - made.stationary:,.1f} in log-likelihood"),
        ("daily purchases vary", f"{made.dispersion:.2f} times as much as by chance"),
    ]
    week = seasons.coefficients[:7] - np.log(np.mean(np.exp(seasons.coefficients[:7])))
    best, worst = int(np.argmax(week)), int(np.argmin(week))
    facts += [(_WEEKDAYS[d], f"{np.expm1(week[d]):+z.0%} against the average day") for d in (best, worst)]
    if terms.harmonics:
        facts += _yearly_facts(seasons, int(days[-1]))
    errors = np.sqrt(np.diag(seasons.covariance))
    for k, (event, when) in enumerate(terms.events.items(), start=7 + 2 * terms.harmonics):
        if not np.isin(days, when).any():
            facts.append((event, "no day of it lies in the log: not learned"))
            continue
        effect, wide = seasons.coefficients[k], 1.645 * errors[k]
        low, high = np.expm1(effect - wide), np.expm1(effect + wide)
        facts.append(
            (event, f"{np.expm1(effect):+z.0%} purchases on its days (90%: {low:+z.0%} to {high:+z.0%})")
        )
    return facts


def _yearly_facts(seasons: Seasons, last: int) -> list[tuple[str, str]]:
    """The high and the low of the year's shape, weekdays and events aside."""
    year = np.arange(last - 364, last + 1)
    wave = slice(7, 7 + 2 * seasons.terms.harmonics)
    shape = seasons.terms.design(year)[:, wave] @ seasons.coefficients[wave]
    shape = shape - np.log(np.mean(np.exp(shape)))
    return [
        (label, f"{np.expm1(shape[at]):+z.0%} around {_day_and_month(int(year[at]))}")
        for label, at in (("high season", int(np.argmax(shape))), ("low season", int(np.argmin(shape))))
    ]


def _day_and_month(day: int) -> str:
    when = date_of(day)
    return f"{when:%B} {when.day}"


def _plain(seasons: Seasons) -> dict[str, object]:
    return {
        "harmonics": seasons.terms.harmonics,
        "events": {n: when.tolist() for n, when in seasons.terms.events.items()},
        "coefficients": seasons.coefficients.tolist(),
        "level": seasons.level,
    }


def _seasons_of(saved: Mapping[str, object]) -> Seasons:
    events = cast("Mapping[str, list[int]]", saved["events"])
    terms = Terms(
        harmonics=int(cast("int", saved["harmonics"])),
        events={n: np.array(when, dtype=np.int64) for n, when in events.items()},
    )
    coefficients = np.array(saved["coefficients"], dtype=np.float64)
    n = coefficients.size
    return Seasons(
        terms=terms,
        coefficients=coefficients,
        covariance=np.zeros((n, n)),
        center=np.zeros(n),
        level=float(cast("float", saved["level"])),
    )
