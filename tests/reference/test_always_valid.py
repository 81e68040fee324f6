"""Always-valid inference against gbstats, Eppo's and Statsig's published forms, Johari et al. and R's avlm."""

from math import exp, inf, log, sqrt

import pytest

from headwater.numerics.always_valid import mixture_p, mixture_reach, mixture_t_p, tuned_ratio

GBSTATS_ATOL = 6e-6  # five decimals
EXACT = 1e-12
ALPHA = 0.05


def _relative(total_a: float, squares_a: float, n_a: int, total_b: float, squares_b: float, n_b: int):
    """Lift and its standard error by the delta method on the relative scale, as gbstats has them."""
    mean_a, mean_b = total_a / n_a, total_b / n_b
    var_a = (squares_a - total_a * mean_a) / (n_a - 1)
    var_b = (squares_b - total_b * mean_b) / (n_b - 1)
    variance = var_b / n_b / mean_a**2 + var_a / n_a * mean_b**2 / mean_a**4
    return mean_b / mean_a - 1, sqrt(variance)


def test_confidence_sequence_against_gbstats_sequential_t_test():
    lift, error = _relative(1396.87, 52377.9767, 3000, 2422.7, 134698.29, 3461)
    ratio = tuned_ratio(ALPHA) * 6461 / 1000
    reach = mixture_reach(ratio, ALPHA)
    assert (lift, error) == pytest.approx((0.50336, 0.33341), abs=GBSTATS_ATOL)
    assert (lift - reach * error, lift + reach * error) == pytest.approx(
        (-0.55844, 1.56516), abs=2 * GBSTATS_ATOL
    )
    assert mixture_p(lift / error, ratio) == 1.0


def test_confidence_sequence_against_gbstats_proportions():
    mean_a, mean_b = 1396 / 3000, 2422 / 3461
    variance = mean_b * (1 - mean_b) / 3461 / mean_a**2 + mean_a * (1 - mean_a) / 3000 * mean_b**2 / mean_a**4
    lift, error = mean_b / mean_a - 1, sqrt(variance)
    reach = mixture_reach(tuned_ratio(ALPHA) * 6461 / 5000, ALPHA)
    assert lift == pytest.approx(0.50386, abs=GBSTATS_ATOL)
    assert (lift - reach * error, lift + reach * error) == pytest.approx((0.40098, 0.60675), abs=2e-5)


@pytest.mark.parametrize(("share", "reach"), [(1, 3.035209), (10, 3.241723), (0.1, 3.855055)])
def test_reach_against_the_research_multipliers(share, reach):
    assert mixture_reach(tuned_ratio(ALPHA) * share, ALPHA) == pytest.approx(reach, abs=6e-7)


@pytest.mark.parametrize("n", [100, 5_000, 200_000])
def test_howard_equation_14_as_eppo_writes_it_is_the_same_sequence(n):
    """Normal mixture u(v) = sqrt((v + rho) log((v + rho) / (rho alpha^2))) at intrinsic time v = n, over sqrt(n)."""
    tuned = 10_000
    rho = tuned / (-2 * log(ALPHA) + log(-2 * log(ALPHA) + 1))
    howard = sqrt((n + rho) * log((n + rho) / (rho * ALPHA**2))) / sqrt(n)
    assert mixture_reach(tuned_ratio(ALPHA) * n / tuned, ALPHA) == pytest.approx(howard, rel=EXACT)


@pytest.mark.parametrize(
    ("n", "difference", "likelihood_ratio", "p"),
    [
        (1000, 0.1, 3.278721627526389, 0.3049969),
        (10_000, 0.06, 951.0975137462488, 0.0010514169),
        (5000, 0.02, 0.31718215831262847, 1),
    ],
)
def test_mixture_ratio_against_johari_pekelis_walsh(n, difference, likelihood_ratio, p):
    variance, tau_squared = 2 * 1.0 / n, 0.01
    ratio = tau_squared / variance
    z = difference / sqrt(variance)
    found = mixture_p(z, ratio)
    assert found == pytest.approx(p, abs=6e-8)
    assert found == pytest.approx(min(1.0, 1 / likelihood_ratio), rel=1e-10)


def test_waudby_smith_equation_155_is_the_same_p():
    n, rho, z = 4321, 0.03, 3.3
    squared = n * z * z
    written = sqrt(n * rho**2 + 1) * exp(-(rho**2) * squared / (2 * (n * rho**2 + 1)))
    assert mixture_p(z, n * rho**2) == pytest.approx(written, rel=EXACT)


def test_balanced_threshold_against_statsig():
    """Statsig ties the prior to the variance of now, tau / V = z^2 / 2: a constant bound at every look."""
    z = 1.959963984540054
    assert mixture_reach(z * z / 2, ALPHA / 2) == pytest.approx(3.5845153523, abs=1e-8)


def test_few_degrees_of_freedom_against_r_avlm_readme():
    """``av(lm, g = optimal_g(100, 8, .05))``: t 10.769 gives p 3.19e-14; the g that makes the interval shortest."""
    n, coefficients = 100, 8
    df = n - coefficients

    def reach(g: float) -> float:
        low, high = 0.1, 50.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if mixture_t_p(middle, n / g, df) > ALPHA else (low, middle)
        return high

    best = min((g / 100 for g in range(1100, 1220)), key=reach)
    assert mixture_t_p(10.769, n / best, df) == pytest.approx(3.19e-14, abs=6e-17)


def test_p_and_reach_agree_and_many_degrees_of_freedom_are_normal():
    ratio = tuned_ratio(ALPHA) * 0.37
    assert mixture_p(mixture_reach(ratio, ALPHA), ratio) == pytest.approx(ALPHA, rel=EXACT)
    assert mixture_t_p(2.5, ratio, inf) == mixture_p(2.5, ratio)
    assert mixture_t_p(2.5, ratio, 1e8) == pytest.approx(mixture_p(2.5, ratio), rel=1e-6)
