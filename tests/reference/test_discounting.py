"""Discounted purchases against Tricomi's function as published, Monte Carlo and brute-force sums.

Tolerances: the closed form by scipy's Tricomi function to 1e-8; a sum over 600 short stretches
is off by up to 3e-5 for ten years; nodes against that to 2e-6 for a year and 1e-4 for ten; Monte-Carlo means within 5
standard errors of 400,000 draws.
"""

import numpy as np
import pytest
from scipy import special

from headwater.core.errors import UsageError
from headwater.numerics import bg_nbd, mbg_cnbd_k, pareto_nbd
from headwater.numerics.discounting import (
    by_period,
    continuous,
    discounted_purchases,
    expected_transactions_for_ever,
    for_ever,
)
from headwater.numerics.rfm import RfmRows

MANUAL = pareto_nbd.ParetoNbdParams(r=0.5629966, alpha=12.5590370, s=0.4081095, beta=10.5148048)
MANUAL_RATE = 0.0027
PARETO = (pareto_nbd, pareto_nbd.ParetoNbdParams(r=0.553, alpha=10.578, s=0.606, beta=11.669))
BG = (bg_nbd, bg_nbd.BgNbdParams(r=0.243, alpha=4.414, a=0.793, b=2.426))
REGULAR = (mbg_cnbd_k, mbg_cnbd_k.MbgCnbdKParams(k=2, r=0.8, alpha=5.0, a=0.8, b=2.4))
STEEP = (pareto_nbd, pareto_nbd.ParetoNbdParams(r=0.05, alpha=0.1, s=2.0, beta=0.5))
USERS = RfmRows.of([0, 0, 1, 3, 30, 2], t_x=[0, 0, 5, 20, 39, 38], T=[0.5, 39, 39, 39, 39, 39])
CLOSED_FORM, YEAR, TEN_YEARS = 1e-8, 2e-6, 1e-4


def _expectation(model, params):
    def expected(users, horizon):
        return model.expected_purchases(params, x=users.x, t_x=users.t_x, T=users.T, horizon=horizon)

    return expected


def _tricomi(x, t_x, T, rate):
    """Fader, Hardie & Lee (2005), RFM and CLV, by scipy's U; the customer of the BTYD manual is x=7, t_x=35."""
    p = MANUAL
    life = rate ** (p.s - 1) * (p.beta + T) ** p.s * special.hyperu(p.s, p.s, rate * (p.beta + T))
    return pareto_nbd.p_alive(p, x=x, t_x=t_x, T=T) * (p.r + x) / (p.alpha + T) * life


@pytest.mark.parametrize("rate", [MANUAL_RATE, 0.0003, 0.05])
def test_transactions_for_ever_against_the_published_closed_form_of_pareto_nbd(rate):
    x, last, ages = np.array([7.0, *range(11)]), np.array([35.0, 0, *[30.0] * 10]), np.full(12, 77.86)
    published = _tricomi(x, last, ages, rate)
    closed = expected_transactions_for_ever(MANUAL, x=x, t_x=last, T=ages, rate=rate)
    assert closed == pytest.approx(published, rel=CLOSED_FORM)
    summed = discounted_purchases(
        _expectation(pareto_nbd, MANUAL), users=RfmRows.of(x, t_x=last, T=ages), schedule=for_ever(rate)
    )
    assert summed == pytest.approx(published, rel=CLOSED_FORM)


def test_transactions_for_ever_of_bg_nbd_against_draws_of_rate_and_dropout():
    """Given lambda and p, and alive, purchases come at lambda e^(-lambda p t): discounted, lambda / (d + lambda p)."""
    model, params = BG
    rng, n, rate = np.random.default_rng(1), 400_000, 0.01
    got = discounted_purchases(_expectation(model, params), users=USERS, schedule=for_ever(rate))
    alive = model.p_alive(params, x=USERS.x, t_x=USERS.t_x, T=USERS.T)
    for k in range(USERS.x.size):
        pace = rng.gamma(params.r + USERS.x[k], 1 / (params.alpha + USERS.T[k]), n)
        drawn = alive[k] * pace / (rate + pace * rng.beta(params.a, params.b + USERS.x[k], n))
        assert abs(drawn.mean() - got[k]) < 5 * drawn.std() / np.sqrt(n)


@pytest.mark.parametrize(("model", "params"), [BG, PARETO, STEEP, REGULAR])
@pytest.mark.parametrize(("horizon", "rate", "tolerance"), [(52, 0.0027, YEAR), (520, 0.01, TEN_YEARS)])
def test_a_finite_horizon_against_a_sum_over_short_stretches(model, params, horizon, rate, tolerance):
    expected = _expectation(model, params)
    edges = horizon * np.linspace(0, 1, 601) ** 3
    counts = np.array([expected(USERS, t) if t > 0 else np.zeros(USERS.x.size) for t in edges])
    middle = np.exp(-rate * (edges[1:] + edges[:-1]) / 2)
    brute = middle @ np.diff(counts, axis=0)
    got = discounted_purchases(expected, users=USERS, schedule=continuous(rate, horizon=horizon))
    assert got == pytest.approx(brute, rel=tolerance)


def test_months_against_the_sum_of_lifetimes():
    """``customer_lifetime_value`` of lifetimes: the purchases of each month, divided by (1 + rate) once a month."""
    expected = _expectation(*BG)
    schedule = by_period(0.01, period=4.345, periods=12)
    brute, before = np.zeros(USERS.x.size), np.zeros(USERS.x.size)
    for month in range(1, 13):
        now = expected(USERS, 4.345 * month)
        brute += (now - before) / 1.01**month
        before = now
    assert discounted_purchases(expected, users=USERS, schedule=schedule) == pytest.approx(brute, rel=1e-12)


def test_no_discount_is_the_expectation_and_a_discount_lowers_it_the_later_the_more():
    expected = _expectation(*PARETO)
    plain = discounted_purchases(expected, users=USERS, schedule=continuous(0.0, horizon=52))
    assert plain == pytest.approx(expected(USERS, 52), rel=1e-12)
    values = [
        discounted_purchases(expected, users=USERS, schedule=s)
        for s in (continuous(0.05, horizon=52), continuous(0.01, horizon=52), continuous(0.0, horizon=52))
    ]
    assert (np.diff(values, axis=0) > 0).all()
    ever = [discounted_purchases(expected, users=USERS, schedule=for_ever(r)) for r in (0.05, 0.01, 0.001)]
    assert (np.diff(ever, axis=0) > 0).all()
    assert (ever[1] > values[1]).all()


def test_a_year_in_weeks_is_a_year_in_days():
    model, params = PARETO
    weeks = discounted_purchases(
        _expectation(model, params), users=USERS, schedule=continuous(0.0027, horizon=52)
    )
    days = discounted_purchases(
        _expectation(model, params.rescale(7)),
        users=RfmRows.of(USERS.x, t_x=USERS.t_x * 7, T=USERS.T * 7),
        schedule=continuous(0.0027 / 7, horizon=364),
    )
    assert days == pytest.approx(weeks, rel=1e-9)


def test_a_process_that_looks_at_recency_in_its_own_way_is_summed_by_history():
    """Regular buyers: what is to come depends on how long the running gap is already."""

    def expected(users, horizon):
        return (1 + users.x) * (1 - np.exp(-horizon / (1 + users.T - users.t_x)))

    schedule = continuous(0.02, horizon=40, nodes=40)
    gap = 1 + USERS.T - USERS.t_x
    pace = 1 / gap
    exact = (1 + USERS.x) * pace / (pace + 0.02) * -np.expm1(-(pace + 0.02) * 40)
    assert discounted_purchases(expected, users=USERS, schedule=schedule) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: for_ever(0.0),
        lambda: continuous(-0.1, horizon=10),
        lambda: continuous(0.1, horizon=0),
        lambda: by_period(0.1, period=30, periods=0),
        lambda: by_period(-0.01, period=30, periods=2),
    ],
)
def test_what_has_no_value_is_refused(wrong):
    with pytest.raises(UsageError, match=r"value\.rate"):
        wrong()
