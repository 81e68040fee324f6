"""Posteriors of relative effects against gbstats' Bayesian tests, and losses against draws."""

import numpy as np
import pytest

from headwater.numerics.effect import ArmEstimate
from headwater.numerics.posterior import Prior, posterior_of, relative_estimate

PRINTED_5 = 6e-6  # gbstats' tests compare five decimals


def _share(ones: int, n: int) -> ArmEstimate:
    """As gbstats takes a proportion: p (1 - p) over n."""
    p = ones / n
    return ArmEstimate(value=p, variance=p * (1 - p) / n, df=n - 1, n=n)


def _mean(total: float, squares: float, n: int) -> ArmEstimate:
    mean = total / n
    return ArmEstimate(value=mean, variance=(squares - total * mean) / (n - 1) / n, df=n - 1, n=n)


def test_proportions_against_gbstats_bayesian_test():
    lift, error = relative_estimate(_share(49, 100), _share(51, 100))
    found = posterior_of(lift, std_error=error)
    assert (found.mean, found.low, found.high) == pytest.approx((0.04082, -0.24779, 0.32943), abs=PRINTED_5)
    assert found.p_above == pytest.approx(0.60918, abs=PRINTED_5)
    # gbstats prints (risk of the control, risk of the variation)
    assert (found.loss_if_left, found.loss_if_taken) == pytest.approx((0.0814, 0.04058), abs=PRINTED_5)


def test_means_against_gbstats_bayesian_test_flat_prior():
    lift, error = relative_estimate(_mean(100, 1002.25, 10), _mean(105, 1111.5, 10))
    found = posterior_of(lift, std_error=error)
    assert (found.mean, found.std, found.p_above) == pytest.approx((0.05, 0.03572, 0.91923), abs=PRINTED_5)


def test_means_against_gbstats_bayesian_test_informative_prior():
    """Their prior is N(mean 0.1, variance 0.1)."""
    lift, error = relative_estimate(_mean(100, 1002.25, 10), _mean(105, 1111.5, 10))
    found = posterior_of(lift, std_error=error, prior=Prior(mean=0.1, std=np.sqrt(0.1)))
    assert (found.mean, found.low, found.high, found.p_above) == pytest.approx(
        (0.05063, -0.01893, 0.12019, 0.92315), abs=PRINTED_5
    )


@pytest.mark.parametrize("mean", [-0.3, 0.0, 2.0])
def test_losses_are_those_of_draws(mean: float):
    draws = np.random.default_rng(1).normal(mean, 0.7, 400_000)
    found = posterior_of(mean, std_error=0.7)
    assert found.loss_if_taken == pytest.approx(np.maximum(-draws, 0).mean(), abs=4 * 0.7 / np.sqrt(400_000))
    assert found.loss_if_left == pytest.approx(np.maximum(draws, 0).mean(), abs=4 * 0.7 / np.sqrt(400_000))


def test_a_control_below_zero_turns_the_sign_of_the_relative_effect():
    lift, _ = relative_estimate(
        ArmEstimate(value=-2.0, variance=0.01, df=9, n=10), ArmEstimate(value=-1.0, variance=0.01, df=9, n=10)
    )
    assert lift == 0.5
