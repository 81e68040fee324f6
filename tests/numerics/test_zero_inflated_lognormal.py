"""ZILN: its loss against scipy's lognormal, slopes against finite differences, means against quadrature and draws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from headwater.numerics import zero_inflated_lognormal as ziln

EXACT = 1e-10  # the same formula in other words; rounding only
DIFFERENCES = 1e-6  # central differences of step 1e-5: error of their square, and of rounding
CURVATURE = 1e-4  # second differences lose half the digits
QUADRATURE = 1e-7  # scipy's own tolerance is 1.5e-8
STANDARD_ERRORS = 4.0  # one false alarm in 15,000 seeds

RNG = np.random.default_rng(20261130)
N = 400
Y = np.where(RNG.random(N) < 0.5, RNG.lognormal(2, 1.5, N), 0.0)
LOGIT, MU, LOG_SIGMA = RNG.normal(0, 2, N), RNG.normal(2, 1, N), RNG.normal(0, 0.5, N)


def test_loss_is_cross_entropy_plus_scipys_lognormal() -> None:
    p = expit(LOGIT)
    paid = stats.lognorm.logpdf(np.where(Y > 0, Y, 1.0), s=np.exp(LOG_SIGMA), scale=np.exp(MU))
    expected = -np.where(Y > 0, np.log(p) + paid, np.log1p(-p))
    np.testing.assert_allclose(
        ziln.loss(Y, logit=LOGIT, mu=MU, log_sigma=LOG_SIGMA), expected, rtol=EXACT, atol=EXACT
    )


def _moved(at: int, step: float) -> np.ndarray:
    scores = [LOGIT, MU, LOG_SIGMA]
    scores[at] = scores[at] + step
    return ziln.loss(Y, logit=scores[0], mu=scores[1], log_sigma=scores[2])


@pytest.mark.parametrize("at", [0, 1, 2], ids=["logit", "mu", "log sigma"])
def test_gradient_against_finite_differences(at: int) -> None:
    h = 1e-5
    differences = (_moved(at, h) - _moved(at, -h)) / (2 * h)
    slopes = ziln.gradient(Y, logit=LOGIT, mu=MU, log_sigma=LOG_SIGMA)[:, at]
    np.testing.assert_allclose(slopes, differences, rtol=DIFFERENCES, atol=DIFFERENCES)


@pytest.mark.parametrize("at", [0, 1], ids=["logit", "mu"])
def test_curvature_of_logit_and_mu_against_second_differences(at: int) -> None:
    h = 1e-3
    differences = (_moved(at, h) - 2 * _moved(at, 0.0) + _moved(at, -h)) / h**2
    curves = ziln.fisher(Y, logit=LOGIT, log_sigma=LOG_SIGMA)[:, at]
    np.testing.assert_allclose(curves, differences, rtol=CURVATURE, atol=CURVATURE)


def test_curvature_of_log_sigma_is_the_expected_one_by_monte_carlo() -> None:
    """Second differences of the loss over outcomes drawn from the model itself."""
    n, h = 200_000, 1e-3
    y = RNG.lognormal(1.0, 0.7, n)
    args = {"logit": np.zeros(n), "mu": np.full(n, 1.0)}
    center = np.full(n, np.log(0.7))
    losses = [ziln.loss(y, log_sigma=center + k * h, **args) for k in (-1, 0, 1)]
    curve = (losses[0] - 2 * losses[1] + losses[2]) / h**2
    expected = ziln.fisher(y[:1], logit=np.zeros(1), log_sigma=center[:1])[0, 2]
    assert abs(curve.mean() - expected) < STANDARD_ERRORS * curve.std() / np.sqrt(n)


@pytest.mark.parametrize(("mu", "sigma", "cap"), [(1.0, 0.5, 5.0), (3.0, 2.0, 40.0), (-1.0, 1.0, 1e6)])
def test_limited_mean_against_quadrature(mu: float, sigma: float, cap: float) -> None:
    density = stats.lognorm(s=sigma, scale=np.exp(mu))
    ends = [0.0, *(e for e in np.exp(mu + sigma * np.arange(-3, 8)) if e < cap), cap]
    survival = sum(integrate.quad(density.sf, a, b)[0] for a, b in pairwise(ends))
    got = ziln.limited_mean(mu=np.array([mu]), sigma=np.array([sigma]), cap=cap)
    np.testing.assert_allclose(got, survival, rtol=QUADRATURE)


def test_mean_variance_and_quantiles_against_draws() -> None:
    n, p, mu, sigma, cap = 400_000, 0.3, 2.0, 0.9, 60.0
    drawn = np.where(RNG.random(n) < p, RNG.lognormal(mu, sigma, n), 0.0)
    one = {"p": np.array([p]), "mu": np.array([mu]), "sigma": np.array([sigma])}
    assert abs(drawn.mean() - ziln.mean(**one)[0]) < STANDARD_ERRORS * drawn.std() / np.sqrt(n)
    limited = np.minimum(drawn, cap)
    variance = ziln.limited_variance(cap=cap, **one)[0]
    noise = np.sqrt(((limited - limited.mean()) ** 2).var() / n)
    assert abs(limited.var() - variance) < STANDARD_ERRORS * noise
    for level in (0.5, 0.75, 0.9, 0.99):
        got = ziln.quantile(level, **one)[0]
        error = STANDARD_ERRORS * np.sqrt(level * (1 - level) / n)
        assert np.quantile(drawn, level - error) <= got <= np.quantile(drawn, level + error)


def test_quantiles_never_cross_and_nothing_explodes() -> None:
    """google/lifetime_value issue 16: a large sigma made means without bound; a limited one stays below the cap."""
    p, mu, sigma = RNG.random(N), RNG.normal(0, 30, N), np.exp(RNG.normal(0, 3, N))
    levels = [
        ziln.quantile(q, p=p, mu=np.clip(mu, -50, 50), sigma=np.minimum(sigma, 5))
        for q in np.linspace(0.01, 0.99, 25)
    ]
    assert (np.diff(levels, axis=0) >= 0).all()
    limited = ziln.limited_mean(mu=mu, sigma=sigma, cap=1e4)
    assert np.isfinite(limited).all()
    assert (limited <= 1e4).all()
    with np.errstate(over="ignore"):
        unbounded = ziln.mean(p=np.ones(1), mu=np.zeros(1), sigma=np.array([40.0]))
    assert np.isinf(unbounded[0])
