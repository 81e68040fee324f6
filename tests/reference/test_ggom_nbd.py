"""GGom/NBD on CDNOW against Bemmaor & Glady 2012 (as CLVTools 0.12.1 tests it) and scipy's quadrature.

On CDNOW b and beta run to 0 together (the paper prints b = .0002, beta = .0026; only their ratio, Pareto/NBD's
beta, is known), so the log-likelihood is the test: the paper's to its last digit. Integrals agree to 1e-8.
"""

import itertools

import numpy as np
import pytest
from scipy import integrate

from headwater.numerics.ggom_nbd import GgomNbdParams, fit, log_likelihood, p_alive
from headwater.numerics.gompertz import log_tail, mean_stay
from headwater.numerics.pareto_nbd import ParetoNbdParams
from headwater.numerics.pareto_nbd import log_likelihood as pareto_log_likelihood
from headwater.numerics.pareto_nbd import p_alive as pareto_p_alive
from headwater.numerics.rfm import compress

PAPER = {"r": 0.553, "alpha": 10.578, "s": 0.603}
HISTORIES = {"x": [0, 1, 2, 5, 26], "t_x": [0, 10, 30.43, 20, 30.86], "T": [39, 39, 38.86, 35, 31]}
# p, alpha, b, s, power, beta, t: from one that rises first to one that falls for an age
TAILS = [
    (0.553, 10.58, 0.0002, 0.603, 1.603, 0.0026, 0.0),
    (26.6, 10.58, 0.0002, 0.603, 1.603, 0.0026, 30.9),
    (1.553, 10.58, 0.08, 0.6, 0.6, 4.0, 38.9),
    (0.3, 5.0, 0.3, 2.0, 3.0, 300.0, 0.0),
    (300.0, 3.0, 1.5, 0.05, 1.05, 0.2, 12.0),
    (0.02, 0.001, 0.9, 0.7, 0.7, 1.0, 0.0),
]


@pytest.fixture(scope="module")
def rows(cdnow):
    return compress(cdnow.x, t_x=cdnow.t_x, T=cdnow.T)[0]


def test_ggom_nbd_log_likelihood_against_bemmaor_glady_2012(rows):
    """At the printed r, alpha, s and a b and beta that print as .0002 and .0026."""
    printed = GgomNbdParams(**PAPER, b=0.00022, beta=0.00257)
    assert (round(printed.b, 4), round(printed.beta, 4)) == (0.0002, 0.0026)
    assert log_likelihood(printed, rows=rows) == pytest.approx(-9594.98, abs=0.005)


def test_ggom_nbd_fit_of_cdnow_against_clvtools(rows):
    found = fit(rows)
    assert found.log_likelihood == pytest.approx(-9594.976, abs=1e-3)
    assert set(found.boundary) == {"b", "beta"}
    assert [found.params.r, found.params.alpha] == pytest.approx([0.553, 10.578], abs=1e-3)


def test_ggom_nbd_becomes_pareto_nbd_as_b_and_beta_vanish_together(rows):
    pareto = ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    near = GgomNbdParams(r=0.553, alpha=10.578, b=1e-9, s=0.606, beta=1.1669e-8)
    assert log_likelihood(near, rows=rows) == pytest.approx(
        pareto_log_likelihood(pareto, rows=rows), abs=1e-4
    )
    assert p_alive(near, **HISTORIES) == pytest.approx(pareto_p_alive(pareto, **HISTORIES), abs=1e-7)


@pytest.mark.parametrize("case", TAILS)
def test_tail_integral_against_scipy(case):
    p, alpha, b, s, power, beta, t = case

    def height(u):
        end = beta * np.exp(-b * u) - np.expm1(-b * u)
        return np.exp(-p * np.log((alpha + u) / (alpha + t)) - s * b * (u - t) - power * np.log(end))

    edges = t + np.concatenate([[0.0], np.geomspace(1e-4, 40 / (s * b), 60)])
    total = sum(
        integrate.quad(height, low, high, epsabs=0, epsrel=1e-11)[0]
        for low, high in itertools.pairwise(edges)
    )
    got = log_tail(
        np.array([p]),
        alpha=alpha,
        b=b,
        s=s,
        power=np.array([power]),
        beta=beta,
        t=np.array([t]),
        derivatives=False,
    )
    assert got.value[0] + p * np.log(alpha + t) + s * b * t == pytest.approx(np.log(total), abs=1e-8)


@pytest.mark.parametrize(("b", "s", "beta"), [(0.0002, 0.6, 0.0026), (0.3, 2.0, 300.0), (5.0, 0.05, 1e4)])
@pytest.mark.parametrize("age", [0.0, 5.0, 60.0])
@pytest.mark.parametrize("horizon", [0.1, 39.0, 1e4])
def test_mean_stay_against_scipy(b, s, beta, age, horizon):
    end = beta * np.exp(-b * age) - np.expm1(-b * age)

    def stays(v):
        ahead = beta * np.exp(-b * (age + v)) - np.expm1(-b * (age + v))
        return np.exp(-s * (b * v + np.log(ahead) - np.log(end)))

    edges = np.concatenate([[0.0], np.geomspace(horizon * 1e-8, horizon, 80)])
    pieces = list(itertools.pairwise(edges))
    mean = sum(integrate.quad(stays, *piece, epsabs=1e-13)[0] for piece in pieces)
    square = sum(integrate.quad(lambda v: 2 * v * stays(v), *piece, epsabs=1e-13)[0] for piece in pieces)
    got = mean_stay(np.array([end]), b=b, s=s, horizon=horizon)
    assert [got[0][0], got[1][0]] == pytest.approx([mean, square], rel=1e-7)
