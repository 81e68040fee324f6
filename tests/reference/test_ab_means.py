"""Means, ratios and CUPED against gbstats (GrowthBook, MIT) and tea-tasting, at the digits they print.

gbstats tests the relative lift with the delta method and pools theta over arms. Its arithmetic is written out here;
ours must agree in the lift and the difference, and, with slopes of each arm's own, lie close to its adjusted figures.
"""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.metric import Metric
from headwater.effects.metrics.ratio import Ratio
from headwater.effects.randomized.cuped import Cuped
from headwater.effects.randomized.welch import Welch
from headwater.numerics.effect import ArmEstimate, effect_of
from headwater.numerics.moments import Moments

PRINTED_9 = 5e-10  # gbstats' tests compare nine decimals
PRINTED_7 = 6e-8
PRINTED_5 = 5e-6
OWN_SLOPES_RTOL = 0.02  # slopes by arm beside one slope for both: these arms have slopes close to each other


def _moments(*arms: tuple[int, list[float], list[list[float]]]) -> Moments:
    """From users, sums, and sums of products, as gbstats takes them."""
    sums = np.array([a[1] for a in arms], dtype=float)
    n = np.array([a[0] for a in arms], dtype=float)
    products = np.array([a[2] for a in arms], dtype=float)
    return Moments(
        n=n,
        mean=sums / n[:, None],
        scatter=products - sums[:, :, None] * sums[:, None, :] / n[:, None, None],
    )


def _gathered(moments: Moments, *, columns: tuple[str, ...]) -> Gathered:
    state = MetricState(columns=columns, moments=moments, n_missing=np.zeros(2, dtype=np.int64))
    return Gathered(
        groups=(Group(arm="zero"), Group(arm="one")), n_users=moments.n.astype(np.int64), metrics={"m": state}
    )


def _relative_delta(control: ArmEstimate, arm: ArmEstimate) -> tuple[float, float, float]:
    """gbstats: the relative lift, its standard error by the delta method, and its p-value."""
    lift = (arm.value - control.value) / control.value
    variance = arm.variance / control.value**2 + control.variance * arm.value**2 / control.value**4
    df = (arm.variance + control.variance) ** 2 / (
        arm.variance**2 / arm.df + control.variance**2 / control.df
    )
    return lift, sqrt(variance), float(2 * stats.t.sf(abs(lift) / sqrt(variance), df))


V1 = _moments((3407, [1396.87], [[52377.9767]]), (3461, [2422.7], [[134698.29]]))


def _welch_of(moments: Moments) -> tuple[ArmEstimate, ArmEstimate]:
    found = Welch().compare(
        Metric(name="m", outcome="y"), _gathered(moments, columns=("y",)), control="zero", arm="one"
    )
    return found.control, found.arm


def test_relative_lift_against_gbstats_two_sided_t_test_v1():
    """gbstats calls unclear (p 0.062) what its own absolute test calls clear (p 0.020); Fieller's interval says as the latter."""
    control, arm = _welch_of(V1)
    lift, error, p = _relative_delta(control, arm)
    assert (lift, error, p) == pytest.approx((0.7073171, 0.3787944, 0.0619118), abs=PRINTED_7)
    reach = float(stats.t.ppf(0.975, 5841.742))
    assert (lift - reach * error, lift + reach * error) == pytest.approx((-0.0352601, 1.4498942), abs=1e-6)
    ours = effect_of(control, arm)
    assert reach**2 * control.variance / control.value**2 == pytest.approx(0.1020623, abs=1e-6)
    assert (ours.rel_low, ours.rel_high) == pytest.approx((0.0940620, 1.7086899), abs=1e-6)
    assert ours.p_value == pytest.approx(0.0201584, abs=PRINTED_7)


def test_log_ratio_against_the_arithmetic_of_tea_tasting_v1():
    """tea-tasting's relative interval is Student's t on the logarithm, with the degrees of freedom of the difference."""
    control, arm = _welch_of(V1)
    parts = [e.variance / e.value**2 for e in (control, arm)]
    df = 5841.742
    log, error = float(np.log(arm.value / control.value)), sqrt(sum(parts))
    reach = float(stats.t.ppf(0.975, df))
    assert np.exp([log - reach * error, log + reach * error]) - 1 == pytest.approx(
        [0.1051545, 1.6375784], abs=2e-6
    )
    assert 2 * stats.t.sf(log / error, df) == pytest.approx(0.0159383, abs=2e-7)


def test_relative_lift_against_gbstats_one_sided_greater_v3():
    control, arm = _welch_of(_moments((3000, [1396.87], [[52377.9767]]), (3461, [2422.7], [[134698.29]])))
    lift, error, p = _relative_delta(control, arm)
    assert p / 2 == pytest.approx(0.0655826, abs=PRINTED_7)
    df = (arm.variance + control.variance) ** 2 / (
        arm.variance**2 / arm.df + control.variance**2 / control.df
    )
    assert lift - float(stats.t.ppf(0.95, df)) * error == pytest.approx(-0.0451367, abs=1e-6)
    ours = effect_of(control, arm, side="greater")
    assert (ours.low, ours.p_value) == pytest.approx((0.0207915, 0.0355427), abs=1e-7)
    assert ours.rel_low > 0


def test_proportions_against_gbstats_two_sided_t_test_v2():
    """gbstats divides p (1 - p) by n; a sample variance divides by n - 1."""
    moments = _moments((28, [14.0], [[14.0]]), (30, [16.0], [[16.0]]))
    found = Welch().compare(
        Metric(name="m", kind="proportion", outcome="y"),
        _gathered(moments, columns=("y",)),
        control="zero",
        arm="one",
    )
    control, arm = (
        ArmEstimate(value=e.value, variance=e.variance * (e.n - 1) / e.n, df=e.df, n=e.n)
        for e in (found.control, found.arm)
    )
    lift, error, p = _relative_delta(control, arm)
    assert (lift, error, p) == pytest.approx((0.06667, 0.2717, 0.80707), abs=1e-5)


def test_count_against_gbstats_get_metric_dfs_frequentist_v8():
    moments = _moments((100, [270.0], [[848.79]]), (120, [300.0], [[869.0]]))
    found = Welch().compare(
        Metric(name="m", outcome="y"), _gathered(moments, columns=("y",)), control="zero", arm="one"
    )
    lift, _, p = _relative_delta(found.control, found.arm)
    assert lift == pytest.approx(-0.074074074, abs=PRINTED_9)
    assert p == pytest.approx(0.145219005, abs=PRINTED_9)
    effect = effect_of(found.control, found.arm)
    assert effect is not None
    assert effect.relative == pytest.approx(lift, abs=1e-12)


def test_ratio_against_gbstats_ratio_statistics_v9():
    """Sums no users can have (the squares of the denominators are too few): their arithmetic alone, and we refuse them."""
    moments = _moments(
        (100, [270.0, 510.0], [[848.79, -900.0], [-900.0, 810.0]]),
        (120, [300.0, 500.0], [[869.0, -905.0], [-905.0, 800.0]]),
    )
    kind, estimates = Ratio(), []
    for i in range(2):
        slope = kind.gradient(moments.mean[i])
        variance = slope @ moments.covariance()[i] @ slope / moments.n[i]
        value, n = kind.value(moments.mean[i]), float(moments.n[i])
        estimates.append(ArmEstimate(value=value, variance=variance, df=n - 1, n=n))
    lift, _, p = _relative_delta(estimates[0], estimates[1])
    assert [e.value for e in estimates] == pytest.approx([0.529411765, 0.6], abs=PRINTED_9)
    assert lift == pytest.approx(0.133333333, abs=PRINTED_9)
    assert p == pytest.approx(0.610663339, abs=PRINTED_9)
    refused = Welch().compare(
        Metric(name="m", kind="ratio", outcome="y", over="d"),
        _gathered(moments, columns=("y", "d")),
        control="zero",
        arm="one",
    )
    assert refused.code == "metric.impossible"


def _pooled_cuped(moments: Moments) -> tuple[float, float, float]:
    """gbstats: theta of both arms as one sample, the adjusted difference and its standard error."""
    spread, whole = moments.covariance(), moments.pooled().scatter[0]
    theta = whole[0, 1] / whole[1, 1]
    left = moments.mean @ np.array([1.0, -theta])
    variance = (spread[:, 0, 0] + theta**2 * spread[:, 1, 1] - 2 * theta * spread[:, 0, 1]) / moments.n
    return float(theta), float(left[1] - left[0]), float(np.sqrt(variance.sum()))


def test_cuped_against_gbstats_ra_statistics_v6():
    moments = _moments(
        (3001, [300.0, 210.0], [[600.0, -20.0], [-20.0, 415.0]]),
        (3000, [222.0, 120.0], [[555.0, -10.0], [-10.0, 405.0]]),
    )
    theta, difference, error = _pooled_cuped(moments)
    assert theta == pytest.approx(-0.07321194034813545, rel=1e-12)
    assert difference / moments.mean[0, 0] == pytest.approx(-0.281707154, abs=PRINTED_9)
    assert (difference, error) == pytest.approx((-0.0281613283, 0.0110759829), abs=PRINTED_9)
    found = Cuped().compare(
        Metric(name="m", outcome="y", covariates=("x",)),
        _gathered(moments, columns=("y", "x")),
        control="zero",
        arm="one",
    )
    ours = effect_of(found.control, found.arm, covariance=found.covariance)
    assert ours is not None
    assert (ours.difference, ours.std_error) == pytest.approx((difference, error), rel=OWN_SLOPES_RTOL)


def _ratio_arm(n: int, **sums: float) -> tuple[int, list[float], list[list[float]]]:
    """The fourteen sums of an arm: main m, denominator d, and both before exposure, x and z."""
    names = "mdxz"
    products = [[sums["".join(sorted((a, b), key=names.index))] for b in names] for a in names]
    return n, [sums[a] for a in names], products


RATIO_RA = _moments(
    _ratio_arm(
        100, m=485.112236689623, mm=2715.484666118136, d=679.9093275844917, dd=4939.424001640236,
        x=192.59138069991536, xx=460.076026390857, z=290.1398399750233, zz=920.9461385038898,
        mx=1113.6215759318352, md=3602.146836776702, mz=1559.2878434944676, dx=1460.3181079276983,
        xz=634.239482353647, dz=2130.9404074446747,
    ),
    _ratio_arm(
        100, m=514.7757826608777, mm=2994.897482705013, d=705.4090874383759, dd=5291.36604146392,
        x=206.94157227402536, xx=514.2903702246757, z=302.54389139107326, zz=994.4506208125663,
        mx=1237.0953021125997, md=3918.1561431600717, mz=1701.0287270040265, dx=1604.075950326651,
        xz=698.4173425817913, dz=2292.081739775257,
    ),
)  # fmt: skip


def test_ratio_cuped_against_gbstats_two_sided_t_test_ratio_ra_v7():
    """gbstats adjusts by the linearized ratio before exposure, with one theta; two columns adjust at least as well."""
    kind, parts = Ratio(), []
    for i in range(2):
        before = np.concatenate([np.zeros(2), kind.gradient(RATIO_RA.mean[i, 2:])])
        after = np.concatenate([kind.gradient(RATIO_RA.mean[i, :2]), np.zeros(2)])
        weights = np.column_stack([after, before])
        parts.append(weights.T @ RATIO_RA.covariance()[i] @ weights)
    theta = sum(p[0, 1] for p in parts) / sum(p[1, 1] for p in parts)
    now, then = (RATIO_RA.mean[:, i] / RATIO_RA.mean[:, i + 1] for i in (0, 2))
    difference = np.diff(now - theta * then)[0]
    error = sqrt(sum((p[0, 0] + theta**2 * p[1, 1] - 2 * theta * p[0, 1]) / 100 for p in parts))
    assert difference / now[0] == pytest.approx(-0.000701483, abs=PRINTED_9)
    assert error / now[0] == pytest.approx(0.00391, abs=PRINTED_5)
    found = Cuped().compare(
        Metric(name="m", kind="ratio", outcome="m", over="d", covariates=("x", "z")),
        _gathered(RATIO_RA, columns=("m", "d", "x", "z")),
        control="zero",
        arm="one",
    )
    ours = effect_of(found.control, found.arm, covariance=found.covariance)
    assert ours is not None
    assert ours.std_error < 1.05 * error  # users 100 a side: two slopes cost about 2% of the variance
    assert abs(ours.difference - difference) < error
    assert found.variance_removed > 0.9
