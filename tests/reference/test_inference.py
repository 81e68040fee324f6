"""Inference against published errors, the sandwich of White (1982), laws under the null and simulation.

Tolerances: a standard deviation of n bootstrap draws is itself known to 1 / sqrt(2 n), of which three are
allowed, and a tenth more for what higher orders add; p-values under the null lie within the Kolmogorov bound
at 1 in 1,000; published numbers to their last digit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import optimize, special, stats

from headwater.core.errors import DataError, UsageError
from headwater.numerics import bg_nbd, inference, pareto_nbd
from headwater.numerics.inference import (
    akaike,
    bootstrap_fits,
    likelihood_ratio,
    parameter_intervals,
    schwarz,
)
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows, compress

HIGHER_ORDERS = 0.10


def _monte_carlo(n):
    return 3 / math.sqrt(2 * n) + HIGHER_ORDERS


@dataclass(frozen=True)
class _Plain:
    """Two positive numbers: all that inference asks of a model."""

    values: tuple[float, ...]

    def rescale(self, factor):
        return self

    def as_array(self):
        return np.array(self.values)


def _plain_fit(n_params, log_likelihood, n_users=100.0):
    return Fit(
        params=_Plain((1.0,) * n_params),
        names=tuple("abcdef"[:n_params]),
        log_likelihood=log_likelihood,
        covariance=np.eye(n_params),
        converged=True,
        iterations=3,
        boundary=(),
        n_users=n_users,
        dimension=0.0,
    )


@pytest.fixture(scope="module")
def rows(cdnow):
    return compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)[0]


def test_pareto_nbd_intervals_against_published_standard_errors(rows):
    fit = pareto_nbd.fit(rows)
    for got, value, error in zip(
        parameter_intervals(fit, level=0.95),
        (0.55315, 10.57633, 0.60625, 11.67150),
        (0.0476, 0.843, 0.187, 6.21),
        strict=True,
    ):
        factor = math.exp(1.959964 * error / value)
        assert got.low == pytest.approx(value / factor, rel=0.006)
        assert got.high == pytest.approx(value * factor, rel=0.006)


def test_an_interval_does_not_depend_on_the_unit_and_is_nan_at_a_limit(rows):
    fit = bg_nbd.fit(rows)
    weeks, days = parameter_intervals(fit, level=0.9), parameter_intervals(fit.rescale(7), level=0.9)
    assert days[1].low == pytest.approx(7 * weeks[1].low)
    held = replace(fit, boundary=("a", "b"))
    assert [math.isnan(i.low) for i in parameter_intervals(held, level=0.9)] == [False, False, True, True]


def test_bootstrap_errors_against_the_hessian_where_the_model_is_true():
    rng = np.random.default_rng(11)
    ages = rng.integers(20, 80, 4000).astype(float)
    x, last = bg_nbd.simulate(bg_nbd.BgNbdParams(r=0.6, alpha=3.0, a=0.8, b=2.4), T=ages, rng=rng)
    grouped, _ = compress(x, t_x=last, T=ages)
    fit = bg_nbd.fit(grouped)
    drawn = bootstrap_fits(bg_nbd.fit, rows=grouped, fit=fit, resamples=200, rng=rng)
    assert len(drawn.params) == 200
    assert drawn.log_errors() == pytest.approx(np.sqrt(np.diag(fit.covariance)), rel=_monte_carlo(200))


def test_bootstrap_errors_on_cdnow_against_the_sandwich_of_white_1982(rows):
    """Real customers do not follow the model exactly: the bootstrap shows it, the Hessian does not."""
    fit = bg_nbd.fit(rows)
    logs = np.log(fit.params.as_array())
    moves = 1e-4 * np.eye(4)
    scores = np.array([(_row_logs(logs + m, rows) - _row_logs(logs - m, rows)) / 2e-4 for m in moves])
    meat = (scores * rows.weights) @ scores.T
    sandwich = np.sqrt(np.diag(fit.covariance @ meat @ fit.covariance))
    drawn = bootstrap_fits(bg_nbd.fit, rows=rows, fit=fit, resamples=300, rng=np.random.default_rng(12))
    assert drawn.log_errors() == pytest.approx(sandwich, rel=_monte_carlo(300))


def _row_logs(logs, rows):
    """BG/NBD as in eq. 6 of the paper, by row, in its own words."""
    r, alpha, a, b = np.exp(logs)
    x, t_x, T = rows.x, rows.t_x, rows.T
    together = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) - special.betaln(a, b)
    alive = special.betaln(a, b + x) - (r + x) * np.log(alpha + T)
    later = special.betaln(a + 1, np.maximum(b + x - 1, 1e-9)) - (r + x) * np.log(alpha + t_x)
    return together + np.where(x > 0, np.logaddexp(alive, later), alive)


def test_pareto_nbd_bootstrap_errors_on_cdnow_against_published_errors(rows):
    """Published errors are by the Hessian: s and beta agree, r and alpha are wider for real customers."""
    fit = pareto_nbd.fit(rows)
    drawn = bootstrap_fits(pareto_nbd.fit, rows=rows, fit=fit, resamples=60, rng=np.random.default_rng(13))
    published = np.array([0.0476 / 0.553, 0.843 / 10.578, 0.187 / 0.606, 6.21 / 11.669])
    assert drawn.log_errors()[2:] == pytest.approx(published[2:], rel=_monte_carlo(60))
    assert (drawn.log_errors()[:2] > published[:2] * (1 - _monte_carlo(60))).all()


def test_a_function_of_the_parameters_has_an_interval_around_its_value(rows):
    fit = bg_nbd.fit(rows)
    drawn = bootstrap_fits(bg_nbd.fit, rows=rows, fit=fit, resamples=40, rng=np.random.default_rng(14))

    def total(params):
        mean = bg_nbd.expected_purchases(params, x=rows.x, t_x=rows.t_x, T=rows.T, horizon=39)
        return float(rows.weights @ mean)

    low, high = drawn.interval(total, level=0.95)
    assert low < total(fit.params) < high


def test_a_bootstrap_is_the_same_for_a_seed_whatever_the_threads(rows):
    fit = bg_nbd.fit(rows)
    one, two = (
        bootstrap_fits(
            bg_nbd.fit, rows=rows, fit=fit, resamples=8, rng=np.random.default_rng(15), threads=threads
        ).as_array()
        for threads in (1, 2)
    )
    assert np.array_equal(one, two)


def test_above_a_hundred_thousand_customers_counts_are_poisson_and_errors_shrink_with_the_root():
    rng = np.random.default_rng(16)
    ages = rng.integers(20, 40, 8000).astype(float)
    x, last = bg_nbd.simulate(bg_nbd.BgNbdParams(r=0.6, alpha=3.0, a=0.8, b=2.4), T=ages, rng=rng)
    few, _ = compress(x, t_x=np.ceil(last), T=ages)
    many = RfmRows(x=few.x, t_x=few.t_x, T=few.T, weights=few.weights * 25)
    errors = [
        bootstrap_fits(bg_nbd.fit, rows=r, fit=bg_nbd.fit(r), resamples=100, rng=rng).log_errors()
        for r in (few, many)
    ]
    assert errors[0] / errors[1] == pytest.approx(np.full(4, 5.0), rel=2 * _monte_carlo(100))


def test_pareto_nbd_beats_nbd_on_cdnow_by_the_published_likelihoods(rows):
    """NBD in Fader, Hardie & Lee (2005), table 2: r .385, alpha 12.072, log-likelihood -9,763.7."""

    def negative(logs):
        r, alpha = np.exp(logs)
        whole = special.gammaln(r + rows.x) - special.gammaln(r) + r * np.log(alpha)
        return -float(rows.weights @ (whole - (r + rows.x) * np.log(alpha + rows.T)))

    top = optimize.minimize(
        negative, [0.0, 2.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8}
    )
    assert np.exp(top.x) == pytest.approx([0.385, 12.072], abs=5e-4)
    wider = pareto_nbd.fit(rows)
    narrower = replace(
        wider, params=_Plain(tuple(np.exp(top.x))), names=("r", "alpha"), log_likelihood=-top.fun
    )
    test = likelihood_ratio(wider, narrower=narrower, at_boundary=True)
    assert test.statistic == pytest.approx(2 * (9763.7 - 9595.0), abs=0.2)
    assert test.degrees == 2
    assert test.p_value < 1e-60
    assert akaike(wider) == pytest.approx(2 * 9595.0 + 8, abs=0.1)
    assert schwarz(wider) == pytest.approx(2 * 9595.0 + 4 * math.log(2357), abs=0.1)


@pytest.mark.parametrize("degrees", [1, 2, 4])
def test_likelihood_ratio_p_values_are_uniform_under_the_null(degrees):
    gains = np.random.default_rng(17).standard_normal((1000, degrees)) ** 2 / 2
    p = [
        likelihood_ratio(_plain_fit(1 + degrees, g), narrower=_plain_fit(1, 0.0)).p_value
        for g in gains.sum(axis=1)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_at_a_boundary_half_of_the_samples_gain_nothing_and_the_rest_are_uniform_below_one_half():
    """The mean of a normal sample, known to be at least 0 and in truth 0."""
    z = np.random.default_rng(18).standard_normal(2000)
    p = np.array(
        [
            likelihood_ratio(
                _plain_fit(2, max(v, 0.0) ** 2 / 2), narrower=_plain_fit(1, 0.0), at_boundary=True
            ).p_value
            for v in z
        ]
    )
    assert (p[z <= 0] == 1).all()
    assert stats.kstest(2 * p[z > 0], "uniform").pvalue > 1e-3


def test_fits_that_cannot_be_nested_are_refused():
    with pytest.raises(UsageError, match=r"likelihood_ratio\.not_nested"):
        likelihood_ratio(_plain_fit(2, 1.0), narrower=_plain_fit(2, 0.0))
    with pytest.raises(UsageError, match=r"likelihood_ratio\.not_nested"):
        likelihood_ratio(_plain_fit(2, 1.0), narrower=_plain_fit(1, 0.0, n_users=7.0))


def test_a_bootstrap_whose_refits_fail_is_refused(rows):
    fit = bg_nbd.fit(rows)

    def failing(drawn, *, start=None):
        return replace(fit, converged=False)

    with pytest.raises(DataError, match=r"bootstrap\.unstable"):
        bootstrap_fits(failing, rows=rows, fit=fit, resamples=4, rng=np.random.default_rng(19))


def test_a_bootstrap_holds_a_few_resamples_at_a_time(rows, monkeypatch):
    """A draw of a million customers is tens of megabytes: as many are held as threads can use, and one ahead."""
    fit, held, most = bg_nbd.fit(rows), [0], [0]
    draws = inference._draws

    def counted(*given, **named):
        for drawn in draws(*given, **named):
            held[0] += 1
            most[0] = max(most[0], held[0])
            yield drawn

    def once(drawn, *, start=None):
        held[0] -= 1
        return replace(fit, n_users=drawn.n_users)

    monkeypatch.setattr(inference, "_draws", counted)
    made = bootstrap_fits(once, rows=rows, fit=fit, resamples=50, rng=np.random.default_rng(20), threads=2)
    assert len(made.params) == 50
    assert most[0] <= 4
