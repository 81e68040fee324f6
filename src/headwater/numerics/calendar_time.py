"""Purchases in operational time: a process runs fast in season and slow out of it.

If a customer buys at rate ``lambda s(t)`` with a known intensity s, then in the time
``Lambda(t) = integral of s`` he buys at the constant rate lambda (the time-change theorem for point processes:
Daley & Vere-Jones, An Introduction to the Theory of Point Processes, vol. I, 2nd ed., theorem 7.4.I). So a
stationary process is fitted on Lambda(t_x) and Lambda(T), and the log-likelihood in days is that in operational
time plus the sum of ``log s(t_j)`` over all repeat purchases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import Floats, Ints, RfmRows, dot, totals

__all__ = ["DatedRows", "InSeason", "Seasons", "Terms", "fit_in_season", "stationary"]

YEAR: Final = 365.2425
_MONDAY = 3  # days since 1970 begin on a Thursday
_ROUNDS, _CLIMBS = 40, 30
_MANY_ROWS, _GRID = 20_000, 0.5
_SETTLED = 5e-4
_FIRST_SD, _LEAST_SD, _LARGEST_SD = 0.3, 1e-3, 2.0

Refit = Callable[[RfmRows, Any], Fit[Any]]
SlopesByTime = Callable[[Any, RfmRows], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """What the log of the intensity is made of.

    Attributes
    ----------
    harmonics
        Waves of a year: 1 is one wave a year, 2 adds two a year, and so on; 0 for none.
    events
        Names and the days (since 1970) of each: past ones to learn from, later ones to forecast with.
    """

    harmonics: int = 0
    events: Mapping[str, Ints]

    @property
    def groups(self) -> tuple[Ints, ...]:
        """Which coefficients share a spread: those of weekdays, of waves, of events."""
        sizes = (7, 2 * self.harmonics, len(self.events))
        ends: list[int] = np.cumsum(sizes).tolist()
        return tuple(np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True) if size)

    @property
    def scale(self) -> Floats:
        """Prior spread of each coefficient within its group: shorter waves are expected to be smaller."""
        waves = 1 / np.repeat(np.arange(1, self.harmonics + 1), 2)
        return np.concatenate([np.ones(7), waves, np.ones(len(self.events))])

    def design(self, days: Ints) -> Floats:
        """The terms of each day, ``(n_days, n_terms)``."""
        weekday = (days[:, None] + _MONDAY) % 7 == np.arange(7)
        angle = 2 * np.pi * days[:, None] / YEAR * np.arange(1, self.harmonics + 1)
        waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(days.size, -1)
        marks = [np.isin(days, when) for when in self.events.values()]
        return np.column_stack([weekday, waves, *marks]).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seasons:
    """An intensity s(day) that averages 1 over the days it was learned from.

    ``coefficients`` are effects on its logarithm, ``covariance`` is theirs, ``level`` makes the average 1,
    ``center`` is the average day's terms: errors are those of a day against it.
    """

    terms: Terms
    coefficients: Floats
    covariance: Floats
    center: Floats
    level: float = 0.0

    def at(self, days: Ints) -> Floats:
        """The intensity of each day, past or to come."""
        return np.exp(self.terms.design(days) @ self.coefficients - self.level)

    def log_errors(self, days: Ints) -> Floats:
        """Standard error of the logarithm of the intensity of each day."""
        x = self.terms.design(days) - self.center
        return np.sqrt(np.einsum("ij,jk,ik->i", x, self.covariance, x))

    def elapsed(self, *, after: Ints, through: Ints) -> Floats:
        """Operational time from the end of one day to the end of another: the sum of the days between."""
        start = int(after.min())
        clock = np.cumsum(self.at(np.arange(start, int(through.max()) + 1)))
        return clock[through - start] - clock[after - start]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatedRows:
    """Customers by the days of their first and last purchase, seen to the end of ``last_seen``; arrays ``(n,)``."""

    x: Floats
    first: Ints
    last: Ints
    last_seen: int
    weights: Floats

    def in_time_of(self, seasons: Seasons) -> RfmRows:
        """The same customers with their times read off the operational clock."""
        t_x, T = self._times(seasons)
        return RfmRows(x=self.x, t_x=t_x, T=T, weights=self.weights)

    def about_in_time_of(self, seasons: Seasons) -> RfmRows:
        """The same for fitting: where there are many rows, to half an average day, so that many share a time.

        The log itself knows purchases to a day; what rounding does to one row it undoes in another.
        """
        if self.x.size <= _MANY_ROWS:
            return self.in_time_of(seasons)
        t_x, T = (np.round(t / _GRID) * _GRID for t in self._times(seasons))
        return RfmRows(x=self.x, t_x=t_x, T=T, weights=self.weights)

    def _times(self, seasons: Seasons) -> tuple[Floats, Floats]:
        seen = np.full_like(self.first, self.last_seen)
        return (
            seasons.elapsed(after=self.first, through=self.last),
            seasons.elapsed(after=self.first, through=seen),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InSeason:
    """A process fitted in operational time.

    ``log_likelihood`` is that of the times in days; ``stationary`` the same of the process without seasons.
    ``dispersion`` is the variance of daily purchases over that of a Poisson count (1: no more than chance).
    """

    seasons: Seasons
    fit: Fit[Any]
    log_likelihood: float
    stationary: float
    dispersion: float
    rounds: int
    settled: bool


def stationary(terms: Terms) -> Seasons:
    """No season at all: every day counts as one."""
    n = terms.scale.size
    return Seasons(terms=terms, coefficients=np.zeros(n), covariance=np.zeros((n, n)), center=np.zeros(n))


def fit_in_season(
    rows: DatedRows, *, days: Ints, purchases: Floats, terms: Terms, fit: Refit, slopes: SlopesByTime
) -> InSeason:
    """Fit a process and the intensity of the days together, by penalized maximum likelihood.

    The derivative of the log-likelihood by log s(day) is the purchases of the day less what the process
    expected of the customers it believes alive, given all that they did. So the process is fitted at an
    intensity, the expected purchases of each day are worked out, the calendar's terms are fitted to observed
    over expected (a penalized quasi-Poisson regression whose spreads are learned too), and so on until no
    day's intensity moves: where it ends, the gradient is nil.

    Parameters
    ----------
    days, purchases
        All days from the first purchase to ``rows.last_seen``, and the repeat purchases of each.
    fit, slopes
        The process: its fit, from given parameters where they are not None, and the derivatives of a row's
        log-likelihood by ``t_x`` and ``T``.
    """
    seasons = stationary(terms)
    x = terms.design(days)
    made = fit(rows.about_in_time_of(seasons), None)
    plain, dispersion, settled, rounds = made.log_likelihood, 1.0, False, 0
    spreads = np.full(len(terms.groups), _FIRST_SD)
    while not settled and rounds < _ROUNDS:
        rounds += 1
        expected = _expected(rows, days=days, by=slopes(made.params, rows.about_in_time_of(seasons)))
        seasons, dispersion, spreads, moved = _regressed(
            seasons, x=x, purchases=purchases, expected=expected, spreads=spreads
        )
        made = fit(rows.about_in_time_of(seasons), made.params)
        settled = moved < _SETTLED
    return InSeason(
        seasons=seasons,
        fit=made,
        log_likelihood=made.log_likelihood + dot(purchases, np.log(seasons.at(days))),
        stationary=plain,
        dispersion=dispersion,
        rounds=rounds,
        settled=settled,
    )


def _expected(rows: DatedRows, *, days: Ints, by: tuple[Floats, Floats]) -> Floats:
    """Expected purchases of each day at intensity 1: each day after a first purchase until the last one
    carries both slopes, each day after that the slope by ``T``.
    """
    by_last, by_age = rows.weights * by[0], rows.weights * by[1]
    start, n = int(days[0]), days.size
    begins = totals(rows.first + 1 - start, by_last + by_age, size=n + 1)
    ends = totals(rows.last + 1 - start, by_last, size=n + 1)
    return np.maximum(-np.cumsum(begins - ends)[:n], 0.0)


def _regressed(
    seasons: Seasons, *, x: Floats, purchases: Floats, expected: Floats, spreads: Floats
) -> tuple[Seasons, float, Floats, float]:
    """One penalized regression of the days' purchases on the terms; how far the furthest day's log moved."""
    terms, seen = seasons.terms, expected > 0
    x, counts, exposure = x[seen], purchases[seen], expected[seen]
    before = x @ seasons.coefficients - seasons.level
    fitted = exposure * np.exp(before)
    dispersion = _dispersion(counts, fitted)
    precision = _precision(terms, spreads)
    point, covariance = _climb(
        np.append(seasons.coefficients, -seasons.level),
        x=np.column_stack([x, np.ones(counts.size)]),
        counts=counts / dispersion,
        exposure=exposure / dispersion,
        precision=np.append(precision, 0.0),
    )
    coefficients, covariance = point[:-1], covariance[:-1, :-1]
    weight = np.exp(x @ coefficients)
    level = float(np.log(weight.mean()))
    made = Seasons(
        terms=terms,
        coefficients=coefficients,
        covariance=covariance,
        center=np.einsum("n,nk->k", weight, x) / weight.sum(),
        level=level,
    )
    moved = float(np.abs(x @ coefficients - level - before).max())
    return made, dispersion, _learned(terms, coefficients, covariance, spreads), moved


def _dispersion(counts: Floats, fitted: Floats) -> float:
    """Pearson's: how much more days vary than Poisson counts would; at least 1."""
    usable = fitted > 1
    if usable.sum() < 30:
        return 1.0
    return max(1.0, float(np.mean((counts[usable] - fitted[usable]) ** 2 / fitted[usable])))


def _precision(terms: Terms, spreads: Floats) -> Floats:
    wide = np.concatenate([np.full(g.size, s) for g, s in zip(terms.groups, spreads, strict=True)])
    return 1 / (wide * terms.scale) ** 2


def _climb(
    point: Floats, *, x: Floats, counts: Floats, exposure: Floats, precision: Floats
) -> tuple[Floats, Floats]:
    """Newton steps for a penalized Poisson regression, which is concave, shortened where they overshoot."""

    def height(at: Floats) -> float:
        log_mean = x @ at
        return dot(counts, log_mean) - dot(exposure, np.exp(log_mean)) - 0.5 * dot(precision, at**2)

    now = height(point)
    for _ in range(_CLIMBS):
        mean = exposure * np.exp(x @ point)
        bend = (x * mean[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(bend, x.T @ (counts - mean) - precision * point)
        there = height(point + step)
        while not there >= now - 1e-9 * abs(now) and np.abs(step).max() > 1e-9:
            step = step / 2
            there = height(point + step)
        point, now = point + step, there
        if np.abs(step).max() < 1e-8:
            break
    mean = exposure * np.exp(x @ point)
    bend = (x * mean[:, None]).T @ x + np.diag(precision)
    return point, np.linalg.inv(bend).astype(np.float64)


def _learned(terms: Terms, coefficients: Floats, covariance: Floats, spreads: Floats) -> Floats:
    """The spread of each group that makes its coefficients likeliest (MacKay 1992, Bayesian Interpolation)."""
    found: list[float] = []
    for group, spread in zip(terms.groups, spreads.tolist(), strict=True):
        scaled = coefficients[group] / terms.scale[group]
        vague = float((np.diag(covariance)[group] / terms.scale[group] ** 2).sum()) / spread**2
        known = max(group.size - vague, 1e-3)
        found.append(float(np.clip(np.sqrt(np.sum(scaled**2) / known), _LEAST_SD, _LARGEST_SD)))
    return np.array(found)
