"""Kaplan-Meier, Greenwood and the restricted mean against the 6-MP trial of Freireich et al. (1963) as published."""

from __future__ import annotations

import numpy as np
import pytest

from headwater.numerics.survival import SurvivalCurve, kaplan_meier, restricted_mean

SIX_MP = [6, 6, 6, 7, 10, 13, 16, 22, 23]  # weeks to relapse
CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
DIGITS = 5e-4  # published to three decimals
EXACT = 1e-12  # the same sums in another order


def curve_of(events: list[int], censored: list[int]) -> SurvivalCurve:
    times = np.unique([*events, *censored])
    seen = np.array([events.count(t) for t in times], dtype=float)
    lost = np.array([censored.count(t) for t in times], dtype=float)
    return kaplan_meier(times.astype(float), seen, lost)


def test_kaplan_meier_and_greenwood_as_in_klein_and_moeschberger_table_4_1() -> None:
    curve = curve_of(SIX_MP, CENSORED)
    at = {t: (s, e) for t, s, e in zip(curve.times, curve.survival, np.sqrt(curve.variance), strict=True)}
    published = {
        6: (0.857, 0.0764),
        7: (0.807, 0.0869),
        10: (0.753, 0.0963),
        13: (0.690, 0.1068),
        16: (0.627, 0.1141),
        22: (0.538, 0.1282),
        23: (0.448, 0.1346),
    }
    for week, (survival, error) in published.items():
        assert at[week][0] == pytest.approx(survival, abs=DIGITS)
        assert at[week][1] == pytest.approx(error, abs=DIGITS)


def test_restricted_mean_as_in_klein_and_moeschberger_example_4_2() -> None:
    mean = restricted_mean(curve_of(SIX_MP, CENSORED), horizon=35)
    assert mean is not None
    assert mean.value == pytest.approx(23.287, abs=DIGITS)
    assert np.sqrt(mean.variance) == pytest.approx(2.827, abs=DIGITS)


def test_without_censoring_it_is_the_mean_of_the_smaller_of_time_and_horizon() -> None:
    for horizon in (10.0, 23.0, 40.0):
        mean = restricted_mean(curve_of(PLACEBO, []), horizon=horizon)
        cut = np.minimum(PLACEBO, horizon)
        assert mean is not None
        assert mean.value == pytest.approx(cut.mean(), rel=EXACT)
        assert mean.variance == pytest.approx(cut.var() / len(PLACEBO), rel=EXACT)


def test_beyond_what_was_followed_there_is_no_mean() -> None:
    assert restricted_mean(curve_of(SIX_MP, CENSORED), horizon=40) is None
