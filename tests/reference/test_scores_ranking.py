"""Ranking scores against SciPy, identities from the literature and examples worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES

EXACT = 1e-10  # the same sums in another order


def _score(name, actual, predicted):
    sample = ScoredUsers(actual=np.asarray(actual, float), predicted=np.asarray(predicted, float))
    score = SCORES.load(name)()
    assert score.refuse(sample) is None
    (value,) = score.value(sample)
    return value


small = st.integers(0, 5)
pairs = st.lists(st.tuples(small, small), min_size=3, max_size=60)


@given(pairs.filter(lambda p: 0 < sum(a > 2 for a, _ in p) < len(p)))
@settings(max_examples=100, deadline=None)
def test_gini_of_binary_labels_is_twice_auc_less_one_of_scipy_mannwhitneyu(data):
    labels = np.array([a > 2 for a, _ in data])
    predicted = np.array([p for _, p in data], float)
    u = stats.mannwhitneyu(predicted[labels], predicted[~labels], method="asymptotic").statistic
    auc = u / (labels.sum() * (~labels).sum())
    assert (1 + _score("normalized_gini", labels, predicted)) / 2 == pytest.approx(auc, abs=EXACT)
    assert _score("payer_auc", labels, predicted) == pytest.approx(auc, abs=EXACT)


def test_gini_kaggle_example_worked_by_hand():
    # Kaggle "Liberty Mutual" definition: sort by prediction, sum cumulative shares, less (n + 1) / 2.
    # actual 1,1,0,1 predicted .86,.26,.52,.32: order gives 1,0,1,1; shares 1/3,1/3,2/3,1 sum 7/3;
    # less 5/2 is -1/6. Perfect 1,1,1,0: 1/3+2/3+1+1 = 3, less 5/2 is 1/2. Ratio -1/3.
    assert _score("normalized_gini", [1, 1, 0, 1], [0.86, 0.26, 0.52, 0.32]) == pytest.approx(
        -1 / 3, abs=EXACT
    )


def test_gini_of_values_worked_by_hand():
    # values 10, 5, 0 in predicted order 5, 10, 0: cumulative 1/3, 1, 1 sum 7/3 less 2 = 1/3;
    # perfect 2/3, 1, 1 sum 8/3 less 2 = 2/3. Ratio 1/2.
    assert _score("normalized_gini", [10, 5, 0], [2, 3, 1]) == pytest.approx(0.5, abs=EXACT)


def _kaggle_gini(actual, predicted):
    order = np.argsort(-predicted, kind="stable")
    return np.cumsum(actual[order]).sum() / actual.sum() - (actual.size + 1) / 2


def test_gini_matches_the_kaggle_definition_where_there_are_no_ties():
    rng = np.random.default_rng(21)
    actual = rng.gamma(0.3, 5, size=500)
    predicted = actual + rng.gamma(1, 3, size=500)
    expected = _kaggle_gini(actual, predicted) / _kaggle_gini(actual, actual)
    assert _score("normalized_gini", actual, predicted) == pytest.approx(expected, abs=EXACT)


def test_tied_predictions_score_the_average_of_the_kaggle_definition_over_orders():
    rng = np.random.default_rng(22)
    actual = np.round(rng.gamma(0.4, 5, size=40), 1)
    predicted = rng.integers(0, 4, size=40).astype(float)
    broken = [_kaggle_gini(actual, predicted + 1e-6 * rng.random(40)) for _ in range(4_000)]
    expected = np.mean(broken) / _kaggle_gini(actual, actual)
    noise = np.std(broken) / _kaggle_gini(actual, actual) / np.sqrt(len(broken))
    assert _score("normalized_gini", actual, predicted) == pytest.approx(expected, abs=4 * noise)


def test_gini_of_perfect_is_one_of_reversed_minus_one_and_of_constant_zero():
    actual = np.array([0, 0, 0, 3, 3, 10, -2.0])
    assert _score("normalized_gini", actual, actual) == pytest.approx(1, abs=EXACT)
    assert _score("normalized_gini", actual, -actual) == pytest.approx(-1, abs=EXACT)
    assert _score("normalized_gini", actual, np.full(7, 2.5)) == pytest.approx(0, abs=EXACT)


@given(pairs.filter(lambda p: len({a for a, _ in p}) > 1 and len({b for _, b in p}) > 1))
@settings(max_examples=100, deadline=None)
def test_spearman_with_ties_against_scipy(data):
    actual, predicted = np.array(data, float).T
    expected = stats.spearmanr(actual, predicted).statistic
    assert _score("spearman", actual, predicted) == pytest.approx(expected, abs=EXACT)


def test_naive_rate_can_have_the_higher_spearman_and_still_be_useless_for_level():
    # The trap reported for CDNOW (x/T heuristic): the order is right, the total is far off.
    actual = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 25.0])
    naive = 5 * actual
    assert _score("spearman", actual, naive) == pytest.approx(1, abs=EXACT)
    assert _score("total_bias", actual, naive) == pytest.approx(4, abs=EXACT)
