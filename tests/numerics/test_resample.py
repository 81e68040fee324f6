"""Bootstrap weights and intervals, against theory for the mean of a sample."""

import numpy as np
import pytest
from scipy import stats

from headwater.core.errors import UsageError
from headwater.numerics.resample import bootstrap_weights, draw_bootstrap, resample_interval

SD_RTOL = 0.10  # 400 resamples: relative standard error of a standard deviation is 3.5%, times 3
QUANTILE_ATOL = 1e-12  # the same order statistics, interpolated alike


def test_multinomial_counts_sum_to_the_sample_and_have_unit_mean_and_variance():
    counts = np.concatenate(list(bootstrap_weights(500, resamples=400, rng=np.random.default_rng(1))))
    assert counts.shape == (400, 500)
    assert (counts.sum(axis=1) == 500).all()
    assert stats.chisquare(counts.sum(axis=0)).pvalue > 1e-3
    assert counts.var() == pytest.approx(1 - 1 / 500, rel=0.02)


def test_poisson_counts_above_a_hundred_thousand_users():
    (counts,) = bootstrap_weights(200_000, resamples=2, rng=np.random.default_rng(2))
    observed = np.bincount(counts[0], minlength=6)[:6] / 200_000
    np.testing.assert_allclose(observed, stats.poisson.pmf(np.arange(6), 1), atol=0.004)
    assert counts[0].sum() != 200_000


def test_chunks_are_bounded_and_do_not_change_the_draws():
    whole = list(bootstrap_weights(1000, resamples=30, rng=np.random.default_rng(3)))
    pieces = list(bootstrap_weights(1000, resamples=30, rng=np.random.default_rng(3), chunk_bytes=8000))
    assert [len(p) for p in whole] == [30]
    assert max(p.nbytes for p in pieces) <= 8000
    np.testing.assert_array_equal(np.concatenate(whole), np.concatenate(pieces))


def test_a_million_users_come_one_bounded_chunk_at_a_time():
    first = next(bootstrap_weights(1_000_000, resamples=200, rng=np.random.default_rng(4), chunk_bytes=2**22))
    assert first.nbytes <= 2**22


def test_the_same_generator_state_gives_the_same_bootstrap():
    a, b = (draw_bootstrap(300, resamples=5, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.parts[0].weights, b.parts[0].weights)


def _spread_of_mean(values: np.ndarray, *, full_up_to: int) -> float:
    found = []
    drawn = draw_bootstrap(values.size, resamples=400, rng=np.random.default_rng(6), full_up_to=full_up_to)
    for part in drawn.parts:
        some = values if part.rows is None else values[part.rows]
        w = part.weights.astype(float)
        found.append(w @ some / w.sum(axis=1) - some.mean())
    return float(np.concatenate(found).std())


@pytest.mark.parametrize("full_up_to", [50_000, 2_000])
def test_standard_error_of_a_mean_is_s_over_root_n_also_from_little_bootstraps(full_up_to):
    values = np.random.default_rng(7).gamma(0.5, 2.0, size=20_000)
    theory = values.std() / np.sqrt(values.size)
    assert _spread_of_mean(values, full_up_to=full_up_to) == pytest.approx(theory, rel=SD_RTOL)


def test_little_bootstraps_say_so():
    assert (
        "little bootstraps"
        in draw_bootstrap(50, resamples=40, rng=np.random.default_rng(8), full_up_to=20).method
    )


def test_percentile_interval_is_numpy_quantiles_and_basic_reflects_them():
    draws = np.random.default_rng(9).normal(size=999)
    low, high = resample_interval(draws, level=0.9)
    np.testing.assert_allclose([low, high], np.quantile(draws, [0.05, 0.95]), atol=QUANTILE_ATOL)
    basic = resample_interval(draws, level=0.9, value=1.0, kind="basic")
    assert basic == pytest.approx((2 - high, 2 - low))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: resample_interval(np.array([np.nan]), level=0.9), "interval.draws"),
        (lambda: resample_interval(np.array([1.0]), level=90), "interval.level"),
        (lambda: resample_interval(np.array([1.0]), level=0.9, kind="basic"), "interval.no_value"),
        (lambda: draw_bootstrap(0, resamples=1, rng=np.random.default_rng(1)), "bootstrap.empty"),
    ],
)
def test_bad_input_is_refused(call, code):
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.finding.code == code
