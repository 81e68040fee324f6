"""Every score on the shelf: weights repeat users, the order of rows is nothing, the unknowable is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Severity
from headwater.evaluation.scored import Better, NominalScore, ScoredUsers
from headwater.evaluation.scores import SCORES

EXACT = 1e-9  # the same sums in another order
NAMES = SCORES.names()


@pytest.fixture(params=NAMES)
def score(request):
    return SCORES.load(request.param)()


def _sample(rows):
    actual, predicted, reach, _ = np.array(rows, float).T
    return ScoredUsers(
        actual=actual,
        predicted=predicted,
        low=predicted - reach,
        high=predicted + 2 * reach,
        level=0.8,
        purchases=np.maximum(actual, 0),
        chances=reach / 3,
        quantiles=np.stack([predicted - reach, predicted, predicted + 2 * reach]),
        levels=np.array([0.1, 0.5, 0.9]),
    )


users = st.lists(
    st.tuples(st.integers(-1, 6), st.integers(0, 5), st.integers(0, 3), st.integers(0, 4)),
    min_size=10,
    max_size=40,
).filter(lambda rows: sum(r[3] for r in rows) > 0)


@pytest.mark.parametrize("name", NAMES)
@given(rows=users)
@settings(max_examples=40, deadline=None)
def test_integer_weights_equal_repeated_users(name, rows):
    score, sample = SCORES.load(name)(), _sample(rows)
    counts = np.array([r[3] for r in rows])
    repeated = sample.take(np.repeat(np.arange(counts.size), counts))
    weighted = score.value(sample, np.stack([counts, np.ones_like(counts)]))
    np.testing.assert_allclose(weighted[0], score.value(repeated)[0], atol=EXACT)
    np.testing.assert_allclose(weighted[1], score.value(sample)[0], atol=EXACT)


@pytest.mark.parametrize("name", NAMES)
@given(rows=users, seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_order_of_users_does_not_matter(name, rows, seed):
    score, sample = SCORES.load(name)(), _sample(rows)
    shuffled = sample.take(np.random.default_rng(seed).permutation(len(rows)))
    np.testing.assert_allclose(score.value(sample), score.value(shuffled), atol=EXACT)


@pytest.mark.parametrize("name", NAMES)
@given(rows=users)
@settings(max_examples=25, deadline=None)
def test_a_score_is_a_number_wherever_it_is_not_refused(name, rows):
    score, sample = SCORES.load(name)(), _sample(rows)
    finding = score.refuse(sample)
    assert finding is not None or np.isfinite(score.value(sample)).all()


@pytest.mark.parametrize("name", NAMES)
@given(rows=users)
@settings(max_examples=25, deadline=None)
def test_perfect_predictions_have_no_shortfall(name, rows):
    actual = np.array([r[0] for r in rows], float)
    sample = ScoredUsers(actual=actual, predicted=actual, low=actual, high=actual, level=0.9)
    score = SCORES.load(name)()
    if score.refuse(sample) is not None or name == "interval_coverage":
        return
    (value,) = score.value(sample)
    best = {Better.HIGHER: 1.0, Better.LOWER: 0.0, Better.ZERO: 0.0, Better.NOMINAL: 1.0}[score.better]
    if name.endswith("_capture"):
        best = value
        worst = ScoredUsers(actual=actual, predicted=-actual)
        assert value >= score.value(worst)[0] - EXACT
    assert value == pytest.approx(best, abs=1e-6)


def test_every_score_says_what_it_is(score):
    assert score.about.endswith(".")
    assert score.unit
    assert (score.better is Better.NOMINAL) == isinstance(score, NominalScore)


def test_many_resamples_in_one_call_equal_one_at_a_time(score):
    rng = np.random.default_rng(41)
    sample = _sample(rng.integers(0, 5, size=(700, 4)))
    weights = rng.multinomial(700, np.full(700, 1 / 700), size=400).astype(np.uint16)
    together = score.value(sample, weights)
    assert together.shape == (400,)
    alone = [score.value(sample, weights[i : i + 1])[0] for i in (0, 7, 399)]
    np.testing.assert_allclose(together[[0, 7, 399]], alone, atol=EXACT)


NOTHING = ScoredUsers(actual=np.zeros(20), predicted=np.arange(20.0))
REFUNDS = ScoredUsers(actual=np.array([5.0, -9.0] + [0.0] * 18), predicted=np.arange(20.0))
FLAT = ScoredUsers(actual=np.arange(20.0), predicted=np.ones(20))
FEW = ScoredUsers(actual=np.array([1.0, 2.0]), predicted=np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("name", "sample", "code"),
    [
        ("normalized_gini", NOTHING, "score.no_positive_actual"),
        ("total_bias", NOTHING, "score.no_positive_actual"),
        ("decile_wape", NOTHING, "score.no_positive_actual"),
        ("top_decile_capture", NOTHING, "score.no_positive_actual"),
        ("total_bias", REFUNDS, "score.no_positive_actual"),
        ("decile_wape", REFUNDS, "score.no_positive_actual"),
        ("spearman", NOTHING, "score.constant_actual"),
        ("spearman", FLAT, "score.constant_predicted"),
        ("decile_calibration", FLAT, "score.constant_predicted"),
        (
            "normalized_gini",
            ScoredUsers(actual=np.ones(20), predicted=np.arange(20.0)),
            "score.constant_actual",
        ),
        ("payer_auc", NOTHING, "score.one_class"),
        ("interval_coverage", FLAT, "score.no_intervals"),
        ("interval_width", FLAT, "score.no_intervals"),
        ("decile_wape", FEW, "score.too_few_users"),
    ],
)
def test_what_cannot_be_known_is_refused(name, sample, code):
    finding = SCORES.load(name)().refuse(sample)
    assert finding is not None
    assert finding.code == code
    assert finding.severity is Severity.BLOCK


def test_gini_with_net_refunds_is_still_a_ranking():
    score = SCORES.load("normalized_gini")()
    perfect = ScoredUsers(actual=REFUNDS.actual, predicted=REFUNDS.actual)
    assert score.refuse(REFUNDS) is None
    assert score.value(perfect)[0] == pytest.approx(1, abs=EXACT)
    assert -1 <= score.value(REFUNDS)[0] <= 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"actual": np.ones(3), "predicted": np.ones(4)}, "scored.shapes"),
        ({"actual": np.ones(0), "predicted": np.ones(0)}, "scored.shapes"),
        ({"actual": np.ones(3), "predicted": np.array([1, np.inf, 1])}, "scored.not_finite"),
        ({"actual": np.ones(3), "predicted": np.ones(3), "low": np.ones(3)}, "scored.intervals"),
        (
            {
                "actual": np.ones(2),
                "predicted": np.ones(2),
                "low": np.ones(2),
                "high": np.zeros(2),
                "level": 0.9,
            },
            "scored.intervals",
        ),
    ],
)
def test_bad_arrays_are_refused(given, code):
    with pytest.raises((UsageError, DataError)) as caught:
        ScoredUsers(**given)
    assert caught.value.finding.code == code


@pytest.mark.parametrize("name", ["normalized_gini", "spearman", "total_bias", "decile_wape", "payer_auc"])
def test_a_resample_on_which_a_score_is_undefined_is_not_a_number(name):
    sample = ScoredUsers(actual=np.array([-0.1] * 9 + [5.0]), predicted=np.arange(10.0))
    without_payer = np.array([[3, 0, 1, 1, 1, 1, 1, 1, 1, 0]])
    assert np.isnan(SCORES.load(name)().value(sample, without_payer)).all()


def test_weights_of_other_users_are_refused(score):
    with pytest.raises(UsageError) as caught:
        score.value(_sample(np.ones((12, 4))), np.ones((3, 11)))
    assert caught.value.finding.code == "score.weights"
