"""Operational time: the derivatives it rests on, and seasons known because the log was made with them.

Customers are simulated one purchase at a time on a clock that runs with a known intensity. Nothing of the
package's likelihood is used to make them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from headwater.numerics import bg_nbd, calendar_time, pareto_nbd
from headwater.numerics.bg_nbd import BgNbdParams
from headwater.numerics.calendar_time import DatedRows, Terms, fit_in_season, stationary
from headwater.numerics.pareto_nbd import ParetoNbdParams
from headwater.numerics.rfm import RfmRows

PROCESSES = {
    "bg_nbd": (bg_nbd, BgNbdParams(r=0.7, alpha=25.0, a=0.8, b=3.0)),
    "pareto_nbd": (pareto_nbd, ParetoNbdParams(r=0.7, alpha=25.0, s=0.6, beta=60.0)),
}
SAME_SLOPE = 1e-5  # a central difference of step 1e-4 of a smooth function, relative to the largest slope
SAME_SUMS = 1e-7  # grouped and ungrouped rows are added in another order
Z = 4.0  # standard errors: of a fixed seed, for the worst of a handful of terms
DAY_OFF = 0.06  # root mean square of log s over two years: six waves cannot draw every week of a year
ROUNDED = 0.02  # a quarter of a day at most against rests of weeks, and 800 customers' chances even out
N_DAYS, FIRST = 730, 19_000
PROMOTION = np.concatenate([np.arange(a, a + 14) for a in (FIRST + 140, FIRST + 505)])
WEEK = np.array([1, 1, 1, 1.1, 1.3, 1.4, 0.7])


@dataclass(frozen=True)
class App:
    rows: DatedRows
    days: np.ndarray
    purchases: np.ndarray
    future: int


def intensity(days: np.ndarray) -> np.ndarray:
    """A wave of amplitude a half, a week, and a promotion that brings 80% more."""
    s = 1 + 0.5 * np.cos(2 * np.pi * (days - 330) / 365.2425)
    s = s * WEEK[(days + 3) % 7] * np.where(np.isin(days, PROMOTION), 1.8, 1.0)
    return s / s[:N_DAYS].mean()


def simulated(params, s: np.ndarray, *, n_users: int, seed: int) -> App:
    """Customers of a stationary process whose purchases come when the clock ``s`` says so, on whole days."""
    rng = np.random.default_rng(seed)
    clock, end = np.concatenate([[0], np.cumsum(s)]), FIRST + N_DAYS
    x, first, last, future, purchases = [], [], [], 0, np.zeros(N_DAYS)
    for start in rng.integers(0, N_DAYS, n_users):
        rate, time = rng.gamma(params.r, 1 / params.alpha), clock[start + 1]
        if isinstance(params, BgNbdParams):
            leave, gone = rng.beta(params.a, params.b), np.inf
        else:
            leave, gone = 0.0, time + rng.exponential() / rng.gamma(params.s, 1 / params.beta)
        days = [start]
        while (time := time + rng.exponential() / rate) < min(gone, clock[-1]):
            day = int(np.searchsorted(clock, time, side="right") - 1)
            if day != days[-1]:
                days.append(day)
            if rng.random() < leave:
                break
        seen = [d for d in days if d < N_DAYS]
        future += len(days) - len(seen)
        np.add.at(purchases, seen[1:], 1)
        x.append(len(seen) - 1)
        first.append(FIRST + seen[0])
        last.append(FIRST + seen[-1])
    rows = DatedRows(
        x=np.array(x, dtype=float),
        first=np.array(first),
        last=np.array(last),
        last_seen=end - 1,
        weights=np.ones(len(x)),
    )
    return App(rows=rows, days=np.arange(FIRST, end), purchases=purchases, future=future)


def fitted(name: str, app: App, *, events=True, rows=None):
    model, _ = PROCESSES[name]
    return fit_in_season(
        app.rows if rows is None else rows,
        days=app.days,
        purchases=app.purchases,
        terms=Terms(harmonics=6, events={"promotion": PROMOTION} if events else {}),
        fit=lambda r, start: model.fit(r, start=start),
        slopes=lambda p, r: model.slopes_by_time(p, rows=r),
    )


def forecast_total(name: str, app: App, made, horizon: int) -> float:
    model, _ = PROCESSES[name]
    ahead = np.arange(FIRST + N_DAYS, FIRST + N_DAYS + horizon)
    on_clock = app.rows.in_time_of(made.seasons)
    expected = model.expected_purchases(
        made.fit.params, x=on_clock.x, t_x=on_clock.t_x, T=on_clock.T, horizon=made.seasons.at(ahead).sum()
    )
    return float(expected.sum())


@pytest.mark.parametrize("name", PROCESSES)
def test_slopes_by_time_against_central_differences(name):
    model, params = PROCESSES[name]
    x, t_x, T = (
        np.array([0.0, 1, 3, 40, 2]),
        np.array([0.0, 5, 80, 99, 0.5]),
        np.array([50.0, 90, 100, 100, 400]),
    )
    by_last, by_age = model.slopes_by_time(params, rows=RfmRows.of(x, t_x=t_x, T=T))

    def at(k, last, age):
        return model.log_likelihood(params, rows=RfmRows.of(x[[k]], t_x=[last], T=[age]))

    step = 1e-4
    for k in range(x.size):
        slope = (at(k, t_x[k], T[k] + step) - at(k, t_x[k], T[k] - step)) / (2 * step)
        assert by_age[k] == pytest.approx(slope, rel=SAME_SLOPE, abs=SAME_SLOPE)
        if x[k]:
            slope = (at(k, t_x[k] + step, T[k]) - at(k, t_x[k] - step, T[k])) / (2 * step)
            assert by_last[k] == pytest.approx(slope, rel=SAME_SLOPE, abs=SAME_SLOPE)
    assert by_last[0] == pytest.approx(0.0) or name == "pareto_nbd"


def test_elapsed_time_against_a_plain_sum_of_days():
    terms = Terms(harmonics=2, events={"sale": np.array([105])})
    flat = stationary(terms)
    seasons = type(flat)(
        terms=terms,
        coefficients=np.linspace(-0.5, 0.5, 12),
        covariance=flat.covariance,
        center=flat.center,
        level=0.2,
    )
    after, through = np.array([100, 100, 103]), np.array([100, 107, 110])
    expected = [
        sum(seasons.at(np.array([d]))[0] for d in range(a + 1, b + 1))
        for a, b in zip(after, through, strict=True)
    ]
    assert seasons.elapsed(after=after, through=through) == pytest.approx(expected, abs=1e-12)
    assert flat.elapsed(after=after, through=through) == pytest.approx([0.0, 7.0, 7.0])


def test_terms_know_weekdays_the_year_and_events():
    """The 5th of January 1970 was a Monday, and a Tuesday 365 days later."""
    x = Terms(harmonics=1, events={"fair": np.array([5])}).design(np.array([4, 5, 369]))
    assert x[:, :7].argmax(axis=1).tolist() == [0, 1, 1]
    assert x[0, 7:9] == pytest.approx(x[2, 7:9], abs=0.01)
    assert x[:, 9].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("name", PROCESSES)
def test_seasons_are_recovered_and_halve_the_bias_of_a_horizon_in_season(name):
    """The forecast of 120 days around the trough of the wave, where the stationary process is far off."""
    _, params = PROCESSES[name]
    horizon = 120
    s = intensity(np.arange(FIRST, FIRST + N_DAYS + horizon))
    app = simulated(params, s, n_users=2_500, seed=11)
    made = fitted(name, app)
    assert made.settled
    assert made.log_likelihood > made.stationary + 100
    off = np.log(made.seasons.at(app.days)) - np.log(s[:N_DAYS])
    assert np.sqrt(np.mean(off**2)) < DAY_OFF
    effect, error = made.seasons.coefficients[-1], np.sqrt(made.seasons.covariance[-1, -1])
    assert abs(effect - np.log(1.8)) < Z * error
    week = made.seasons.coefficients[:7] - made.seasons.coefficients[:7].mean()
    assert np.abs(week - (np.log(WEEK) - np.log(WEEK).mean())).max() < Z * 0.04  # 3,000 purchases by weekday
    bias = forecast_total(name, app, made, horizon) / app.future - 1
    model, _ = PROCESSES[name]
    days = app.rows.in_time_of(stationary(made.seasons.terms))
    plain = model.fit(days).params
    usual = model.expected_purchases(plain, x=days.x, t_x=days.t_x, T=days.T, horizon=horizon).sum()
    assert abs(bias) < 0.5 * abs(usual / app.future - 1)


@pytest.mark.parametrize("name", PROCESSES)
def test_without_seasons_in_truth_none_are_found(name):
    """The spreads of the terms are learned, so flat days stay flat: no day moves by more than a few percent."""
    _, params = PROCESSES[name]
    app = simulated(params, np.ones(N_DAYS), n_users=1_500, seed=12)
    made = fitted(name, app)
    assert np.abs(np.log(made.seasons.at(app.days))).max() < 0.12
    assert (
        made.log_likelihood - made.stationary < 12
    )  # chi-square of 20 terms: half of 24 where all were free


def test_where_it_ends_the_penalized_likelihood_does_not_rise_in_any_direction():
    """Brute force: the process fitted anew at intensities a little off in each coefficient, prior aside."""
    _, params = PROCESSES["bg_nbd"]
    app = simulated(params, intensity(np.arange(FIRST, FIRST + N_DAYS)), n_users=800, seed=13)
    made = fitted("bg_nbd", app)

    def height(coefficients):
        moved = type(made.seasons)(
            terms=made.seasons.terms,
            coefficients=coefficients,
            covariance=made.seasons.covariance,
            center=made.seasons.center,
            level=made.seasons.level,
        )
        own = bg_nbd.fit(app.rows.in_time_of(moved)).log_likelihood
        return own + app.purchases @ np.log(moved.at(app.days))

    top = made.seasons.coefficients
    errors = np.sqrt(np.diag(made.seasons.covariance))
    for k in (0, 5, 7, 8, top.size - 1):
        step = np.zeros(top.size)
        step[k] = 0.02
        slope = (height(top + step) - height(top - step)) / 0.04
        pull = top[k] / errors[k] ** 2  # a prior of any spread pulls less than the data know
        assert abs(slope) <= abs(pull) + 1.0


def test_grouped_rows_in_any_order_give_the_same():
    _, params = PROCESSES["bg_nbd"]
    app = simulated(params, intensity(np.arange(FIRST, FIRST + N_DAYS)), n_users=600, seed=14)
    order = np.random.default_rng(1).permutation(app.rows.x.size)
    keys = np.column_stack([app.rows.x, app.rows.first, app.rows.last])[order]
    distinct, counts = np.unique(keys, axis=0, return_counts=True)
    grouped = DatedRows(
        x=distinct[:, 0],
        first=distinct[:, 1].astype(np.int64),
        last=distinct[:, 2].astype(np.int64),
        last_seen=app.rows.last_seen,
        weights=counts.astype(float),
    )
    one, two = fitted("bg_nbd", app), fitted("bg_nbd", app, rows=grouped)
    assert two.log_likelihood == pytest.approx(one.log_likelihood, rel=SAME_SUMS)
    assert two.seasons.coefficients == pytest.approx(one.seasons.coefficients, abs=1e-5)


@pytest.mark.parametrize("name", PROCESSES)
def test_times_to_half_a_day_give_the_same_as_exact_ones(name, monkeypatch):
    """What is done where there are many rows, done to few: no day's intensity and no parameter moves by much."""
    _, params = PROCESSES[name]
    app = simulated(params, intensity(np.arange(FIRST, FIRST + N_DAYS)), n_users=800, seed=15)
    exact = fitted(name, app)
    monkeypatch.setattr(calendar_time, "_MANY_ROWS", 0)
    rounded = fitted(name, app)
    off = np.log(rounded.seasons.at(app.days) / exact.seasons.at(app.days))
    assert np.abs(off).max() < ROUNDED
    assert rounded.fit.params.as_array() == pytest.approx(exact.fit.params.as_array(), rel=ROUNDED)
    assert rounded.settled
