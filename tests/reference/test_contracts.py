"""Contract models against Fader & Hardie (2007, 2010), retenmod, other implementations, sums and simulation.

Tolerances: printed numbers to the printed digit; retenmod to 2e-3 of a parameter (its optimizer's stop) and
2e-5 of a survival; derivatives by differences to 1e-5; estimates within 3 standard errors of the truth; p-values
under the null within the Kolmogorov bound at 1 in 1,000.
"""

from functools import partial

import numpy as np
import pytest
from scipy import special, stats

from headwater.core.errors import DataError, UsageError
from headwater.numerics import beta_discrete_weibull as bdw
from headwater.numerics import shifted_beta_geometric as sbg
from headwater.numerics.inference import likelihood_ratio
from headwater.numerics.maximize import Evaluation
from headwater.numerics.renewals import Renewals
from headwater.numerics.residual_lifetime import discounted_lifetime, discounted_residual_lifetime

HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]
ROUNDING = 1e-8  # a difference of two log-Beta functions of 1e5 or so
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241]
RETENMOD = [100, 86.9, 74.3, 65.3, 59.3]
SBG = sbg.ShiftedBetaGeometricParams(alpha=0.668, beta=3.806)
BDW = bdw.BetaDiscreteWeibullParams(gamma=0.8, delta=2.5, c=1.4)


@pytest.mark.parametrize(("survivors", "expected"), [(HIGH_END, (0.668, 3.806)), (REGULAR, (0.704, 1.182))])
def test_sbg_parameters_against_fader_hardie_2007(survivors, expected):
    found = sbg.fit(Renewals.of_survivors([survivors]))
    assert found.converged
    assert found.params.as_array() == pytest.approx(expected, abs=5e-4)


def test_sbg_projection_against_fader_hardie_2007():
    found = sbg.fit(Renewals.of_survivors([HIGH_END]))
    assert sbg.survival(found.params, renewals=12)[8:] == pytest.approx(
        [0.460, 0.436, 0.414, 0.395, 0.378], abs=6e-4
    )


def test_sbg_residual_lifetime_against_the_closed_form_of_fader_hardie_2010():
    """(beta+n-1)/(alpha+beta+n-1) 2F1(1, beta+n; alpha+beta+n; 1/(1+d)), by scipy."""
    for rate in (0.1, 0.01):
        n = np.arange(1, 9)
        a, b = SBG.alpha, SBG.beta
        published = (b + n - 1) / (a + b + n - 1) * special.hyp2f1(1, b + n, a + b + n, 1 / (1 + rate))
        got = discounted_residual_lifetime(_renewals_of(sbg, SBG), survived=n - 1, rate=rate)
        assert got == pytest.approx(published, rel=1e-9)
        new = special.hyp2f1(1, b, a + b, 1 / (1 + rate))
        assert discounted_lifetime(_renewals_of(sbg, SBG), rate=rate) == pytest.approx(new, rel=1e-9)


def test_sbg_residual_lifetime_against_shifted_beta_geometric_py():
    found = sbg.fit(Renewals.of_survivors([HIGH_END]))
    got = discounted_residual_lifetime(_renewals_of(sbg, found.params), survived=7, rate=0.1)
    assert got == pytest.approx([7.530], abs=5e-4)


def test_bdw_against_retenmod():
    rows = Renewals.of_survivors([RETENMOD])
    found = bdw.fit(rows)
    assert found.params.as_array() == pytest.approx([0.25936956, 1.72276277, 1.58428486], rel=2e-3)
    assert found.log_likelihood == pytest.approx(-122.27493183, abs=1e-5)
    projected = [86.91461917, 74.19279214, 65.4782142, 59.29285689, 54.66042806, 51.03612954, 48.10353484]
    assert 100 * bdw.survival(found.params, renewals=7)[1:] == pytest.approx(projected, rel=2e-4)


def test_bdw_at_c_one_is_the_shifted_beta_geometric():
    rows = Renewals.of_survivors([HIGH_END, REGULAR[:5]])
    same = bdw.BetaDiscreteWeibullParams(gamma=SBG.alpha, delta=SBG.beta, c=1.0)
    assert bdw.log_likelihood(same, rows=rows) == pytest.approx(sbg.log_likelihood(SBG, rows=rows), rel=1e-12)
    assert bdw.survival(same, renewals=30) == pytest.approx(sbg.survival(SBG, renewals=30), rel=1e-11)
    assert bdw.retention(same, renewals=30) == pytest.approx(sbg.retention(SBG, renewals=30), rel=1e-11)


@pytest.mark.parametrize(("model", "params"), [(sbg, SBG), (bdw, BDW)])
def test_survival_against_simulated_customers(model, params):
    n = 400_000
    leaves = model.simulate(params, n=n, rng=np.random.default_rng(1))
    share = np.array([(leaves > t).mean() for t in range(13)])
    got = model.survival(params, renewals=12)
    assert (np.abs(share - got) <= 5 * np.sqrt(got * (1 - got) / n)).all()


@pytest.mark.parametrize(("model", "params"), [(sbg, SBG), (bdw, BDW)])
def test_parameters_of_cohorts_of_unlike_age_are_recovered_within_three_standard_errors(model, params):
    rng = np.random.default_rng(2)
    cohorts = [_cohort(model, params, n=4000, age=age, rng=rng) for age in (3, 6, 9, 12)]
    found = model.fit(Renewals.of_survivors(cohorts))
    assert found.converged
    errors = np.sqrt(np.diag(found.covariance))
    assert (np.abs(np.log(found.params.as_array() / params.as_array())) < 3 * errors).all()


def test_cohorts_add_up_and_a_start_leads_to_the_same_top():
    together = Renewals.of_survivors([HIGH_END, REGULAR[:4]])
    apart = [Renewals.of_survivors([c]) for c in (HIGH_END, REGULAR[:4])]
    assert sbg.log_likelihood(SBG, rows=together) == pytest.approx(
        sum(sbg.log_likelihood(SBG, rows=r) for r in apart)
    )
    for model in (sbg, bdw):
        found = model.fit(together)
        again = model.fit(together, start=found.params)
        assert again.params.as_array() == pytest.approx(found.params.as_array(), rel=1e-4)


@pytest.mark.parametrize("point", [(0.7, 3.8), (40.0, 300.0), (0.02, 0.05)])
def test_sbg_derivatives_against_differences(point):
    rows, at = Renewals.of_survivors([HIGH_END, REGULAR[:5]]), np.array(point)
    own = sbg._evaluate(at, rows=rows)
    moves = 1e-5 * np.diag(at)
    pairs = [(sbg._evaluate(at + m, rows=rows), sbg._evaluate(at - m, rows=rows)) for m in moves]
    _same_derivatives(own, pairs, at=at)


@pytest.mark.parametrize("point", [(0.7, 3.8, 1.0), (20.0, 80.0, 0.5), (0.1, 0.3, 2.5)])
def test_bdw_gradient_against_differences(point):
    rows, at = Renewals.of_survivors([HIGH_END, REGULAR[:5]]), np.array(point)
    _, gradient = bdw._evaluate(at, rows=rows)
    moves = 1e-5 * np.diag(at)
    slope = [
        (bdw._evaluate(at + m, rows=rows)[0] - bdw._evaluate(at - m, rows=rows)[0]) / 2e-5 for m in moves
    ]
    assert slope == pytest.approx(at * gradient, rel=1e-5, abs=1e-3)


def test_likelihood_ratio_of_bdw_over_sbg_is_uniform_under_the_null():
    rng = np.random.default_rng(3)
    p = []
    for _ in range(150):
        rows = Renewals.of_survivors([_cohort(sbg, SBG, n=5000, age=10, rng=rng)])
        p.append(likelihood_ratio(bdw.fit(rows), narrower=sbg.fit(rows)).p_value)
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_customers_who_do_not_differ_put_both_at_a_limit_and_the_curve_still_holds():
    leave = 0.2
    survivors = 1000 * (1 - leave) ** np.arange(9)
    found = sbg.fit(Renewals.of_survivors([survivors]))
    assert found.boundary
    assert sbg.retention(found.params, renewals=20) == pytest.approx(np.full(20, 0.8), abs=1e-3)


@pytest.mark.parametrize("survivors", [[5, 5, 5], [5, 0, 0], [100, 50]])
def test_cohorts_that_say_little_end_in_finite_curves(survivors):
    for model in (sbg, bdw):
        found = model.fit(Renewals.of_survivors([survivors]))
        curve = model.survival(found.params, renewals=50)
        assert np.isfinite(curve).all()
        assert (np.diff(curve) <= ROUNDING).all()
        assert np.isfinite(found.log_likelihood)


def test_the_next_renewals_alone_against_their_sum():
    curve = bdw.survival(BDW, renewals=9)
    got = discounted_residual_lifetime(_renewals_of(bdw, BDW), survived=[0, 4], rate=0.05, renewals=3)
    by_hand = [sum(curve[n + k] / curve[n] / 1.05 ** (k - 1) for k in (1, 2, 3)) for n in (0, 4)]
    assert got == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("cohorts", [[[100, 110]], [[100]], [], [[0, 0]], [[100, np.nan]]])
def test_counts_of_nobody_are_refused(cohorts):
    with pytest.raises(DataError, match=r"renewals\.impossible"):
        Renewals.of_survivors(cohorts)


def test_a_lifetime_for_ever_without_a_discount_is_refused():
    with pytest.raises(UsageError, match=r"value\.rate"):
        discounted_lifetime(_renewals_of(sbg, SBG), rate=0.0)


def _renewals_of(model, params):
    return partial(_log_survival, model, params)


def _log_survival(model, params, renewals):
    return model.log_survival(params, renewals=renewals)


def _cohort(model, params, *, n, age, rng):
    leaves = model.simulate(params, n=n, rng=rng)
    return [(leaves > t).sum() for t in range(age + 1)]


def _same_derivatives(own: Evaluation, pairs, *, at):
    slope = np.array([(u.value - d.value) / 2e-5 for u, d in pairs])
    bend = np.array([(u.gradient - d.gradient) / 2e-5 for u, d in pairs])
    assert slope == pytest.approx(at * own.gradient, rel=1e-5, abs=1e-3)
    assert bend == pytest.approx(at[:, None] * own.hessian, rel=1e-4, abs=1e-3)
