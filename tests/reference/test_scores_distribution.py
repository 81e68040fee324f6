"""Scores of spread, of quantiles and of capture, against quadrature, other definitions and examples worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import integrate

from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES

EXACT = 1e-10  # the same sums in another order
READ = 2e-5  # Lorenz curves are read at 513 places
QUADRATURE = 1e-6
LEVELS = (np.arange(20) + 0.5) / 20


def _score(name, sample):
    score = SCORES.load(name)()
    assert score.refuse(sample) is None
    (value,) = score.value(sample)
    return value


def _sample(n=800, seed=31, **more):
    rng = np.random.default_rng(seed)
    predicted = rng.gamma(1, 4, size=n)
    actual = np.where(rng.random(n) < 0.4, rng.gamma(1, 9, size=n), 0.0)
    return ScoredUsers(actual=actual, predicted=predicted, **more)


def _spread(n=300, seed=32):
    rng = np.random.default_rng(seed)
    sample = _sample(n, seed)
    quantiles = np.sort(rng.gamma(0.6, 6, size=(LEVELS.size, n)), axis=0)
    return ScoredUsers(actual=sample.actual, predicted=sample.predicted, quantiles=quantiles, levels=LEVELS)


def _lorenz(values):
    ordered = np.sort(values)
    return np.linspace(0, 1, ordered.size + 1), np.concatenate([[0], np.cumsum(ordered) / ordered.sum()])


@pytest.mark.parametrize("n", [7, 800])
def test_mutual_gini_against_the_area_between_two_lorenz_curves_by_quadrature(n):
    s = _sample(n)
    grid = np.linspace(0, 1, 2_000_001)
    apart = np.interp(grid, *_lorenz(s.predicted)) - np.interp(grid, *_lorenz(s.actual))
    assert _score("mutual_gini", s) == pytest.approx(integrate.trapezoid(np.abs(apart), grid), abs=READ)


def test_mutual_gini_by_hand():
    spread = ScoredUsers(actual=np.array([0.0, 0.0, 0.0, 8.0]), predicted=np.ones(4))
    assert _score("mutual_gini", spread) == pytest.approx(3 / 8, abs=READ)  # (n - 1) / (2 n)
    wrong_users = ScoredUsers(actual=np.array([0.0, 1.0, 5.0]), predicted=np.array([10.0, 2.0, 0.0]))
    assert _score("mutual_gini", wrong_users) == pytest.approx(0, abs=EXACT)


def test_crps_against_the_energy_form_over_the_predicted_atoms():
    """Gneiting and Raftery (2007), equation 21: E|X - y| - E|X - X'| / 2."""
    s = _spread()
    near = np.abs(s.quantiles - s.actual).mean(axis=0)
    apart = np.abs(s.quantiles[:, None] - s.quantiles[None]).mean(axis=(0, 1))
    assert _score("crps", s) == pytest.approx(np.mean(near - apart / 2), abs=EXACT)


def test_crps_against_quadrature_of_its_definition():
    s = _spread(n=5)

    def gap(x, user):
        return (np.mean(s.quantiles[:, user] <= x) - (s.actual[user] <= x)) ** 2

    found = []
    for user in range(5):
        knots = np.unique(np.append(s.quantiles[:, user], s.actual[user]))
        pieces = [integrate.quad(gap, a, b, args=(user,))[0] for a, b in itertools.pairwise(knots)]
        found.append(sum(pieces))
    assert _score("crps", s) == pytest.approx(np.mean(found), abs=QUADRATURE)


def test_crps_of_a_single_number_is_the_mean_absolute_error():
    s = _sample()
    one = ScoredUsers(
        actual=s.actual,
        predicted=s.predicted,
        quantiles=np.tile(s.predicted, (3, 1)),
        levels=LEVELS[[0, 9, 15]],
    )
    assert _score("crps", one) == pytest.approx(_score("mae", one), abs=EXACT)


def test_pinball_against_the_formula_of_scikit_learn():
    """``sklearn.metrics.mean_pinball_loss``: alpha max(y - q, 0) + (1 - alpha) max(q - y, 0)."""
    s = _spread()
    losses = [
        alpha * np.maximum(s.actual - q, 0) + (1 - alpha) * np.maximum(q - s.actual, 0)
        for alpha, q in zip(LEVELS, s.quantiles, strict=True)
        if alpha > 0.75
    ]
    assert len(losses) == 5
    assert _score("pinball", s) == pytest.approx(np.mean(losses), abs=EXACT)


def test_true_quantiles_win_on_crps_and_pinball_by_simulation():
    rng = np.random.default_rng(33)
    mean = rng.gamma(2, 3, size=20_000)
    actual = rng.exponential(mean)
    true = -np.log(1 - LEVELS)[:, None] * mean

    def of(quantiles):
        return ScoredUsers(actual=actual, predicted=mean, quantiles=quantiles, levels=LEVELS)

    for name in ("crps", "pinball"):
        best = _score(name, of(true))
        assert best < _score(name, of(0.8 * true))
        assert best < _score(name, of(1.25 * true))
        assert best < _score(name, of(np.repeat(np.quantile(actual, LEVELS)[:, None], mean.size, axis=1)))


def test_bias_and_log_error_written_out():
    s = _sample()
    assert _score("mean_bias", s) == pytest.approx(np.mean(s.predicted) - np.mean(s.actual), abs=EXACT)
    assert _score("mean_bias", s) == pytest.approx(_score("total_bias", s) * s.actual.mean(), abs=EXACT)
    m = s.actual.mean()
    logs = np.abs(np.log(m + s.predicted) - np.log(m + s.actual))
    assert _score("log_mae", s) == pytest.approx(logs.mean(), abs=EXACT)
    pence = ScoredUsers(actual=100 * s.actual, predicted=100 * s.predicted)
    assert _score("log_mae", pence) == pytest.approx(_score("log_mae", s), abs=EXACT)
    one_off = ScoredUsers(actual=np.array([20.0, 0.0]), predicted=np.array([50.0, 0.0]))
    assert _score("log_mae", one_off) == pytest.approx(np.log(60 / 30) / 2, abs=EXACT)


@pytest.mark.parametrize(("name", "k"), [("top_percent_capture", 8), ("top_twentieth_capture", 40)])
def test_capture_against_a_plain_sort(name, k):
    s = _sample()
    best = np.argsort(-s.predicted)[:k]
    assert _score(name, s) == pytest.approx(s.actual[best].sum() / s.actual.sum(), abs=EXACT)
    flat = ScoredUsers(actual=s.actual, predicted=np.ones(800))
    assert _score(name, flat) == pytest.approx(k / 800, abs=EXACT)


def test_randomized_coverage_is_the_mean_chance():
    chances = np.linspace(0, 1, 800)
    s = _sample(low=np.zeros(800), high=np.ones(800), level=0.9, chances=chances)
    assert _score("randomized_coverage", s) == pytest.approx(0.5, abs=EXACT)
