"""Comparison of models, against simulation where the better model, or that there is none, is known."""

import numpy as np
import pytest
from scipy import stats

from headwater.core.answer import Estimate, Refusal
from headwater.core.errors import UsageError
from headwater.evaluation.compare import (
    Place,
    draw_bootstraps,
    paired_difference,
    score_answers,
    stand,
)
from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES
from headwater.numerics.resample import draw_bootstrap

N_SIMULATIONS = 300
FALSE_ALARM = (
    0.02,
    0.095,
)  # 5% over 300 simulations: three binomial errors are 3.8%; bootstraps run a bit high
PRIMARY = {name: SCORES.load(name)() for name in ("normalized_gini", "decile_wape")}


def _origin(rng, *, noise, n=600):
    """Zero-inflated outcomes, and per model the true mean blurred by a lognormal error of that size."""
    z = rng.normal(size=n)
    p_pays = 1 / (1 + np.exp(-z))
    actual = np.where(rng.random(n) < p_pays, np.exp(z + rng.normal(size=n)), 0.0)
    mean = p_pays * np.exp(z + 0.5)
    return {
        m: ScoredUsers(actual=actual, predicted=mean * np.exp(s * rng.normal(size=n) - s * s / 2))
        for m, s in noise.items()
    }


def _stand(origins, *, seed=1, scores=PRIMARY, resamples=200):
    weights = draw_bootstraps(origins, resamples=resamples, rng=np.random.default_rng(seed))
    return {s.score: s for s in stand(scores, origins, weights)}


def test_a_truly_better_model_is_found_and_wins():
    rng = np.random.default_rng(51)
    noise = {"good": 0.2, "bad": 2.0, "worse": 3.0}
    standing = _stand([_origin(rng, noise=noise, n=2_000) for _ in range(3)])["normalized_gini"]
    assert standing.winner == standing.leader == standing.verdict == "good"
    assert standing.places["bad"] is Place.CLEARLY_WORSE
    assert all(d.low > 0 for d in standing.differences["worse"])
    assert standing.findings == ()


def test_false_alarms_between_models_of_the_same_quality_are_five_percent_at_one_origin_and_none_at_three():
    rng = np.random.default_rng(52)
    score = {"normalized_gini": PRIMARY["normalized_gini"]}
    one, three = 0, 0
    for i in range(N_SIMULATIONS // 3):
        origins = [_origin(rng, noise={"a": 1.0, "b": 1.0}, n=300) for _ in range(3)]
        three += _stand(origins, seed=i, scores=score)["normalized_gini"].winner is not None
        for o in origins:
            one += _stand([o], seed=i, scores=score, resamples=300)["normalized_gini"].winner is not None
    assert FALSE_ALARM[0] <= one / N_SIMULATIONS <= FALSE_ALARM[1]
    assert three <= 1  # 0.025 squared is 0.06% where origins are independent


def test_paired_interval_is_far_narrower_than_that_of_independent_samples():
    rng = np.random.default_rng(53)
    models = _origin(rng, noise={"a": 0.3, "b": 0.32}, n=2_000)
    weights = draw_bootstrap(2_000, resamples=300, rng=rng)
    answers = score_answers(PRIMARY, models, weights)["normalized_gini"]
    paired = paired_difference(PRIMARY["normalized_gini"], models["a"], models["b"], weights)
    unpaired = np.hypot(*(answers[m].std_error for m in models))
    assert isinstance(paired, Estimate)
    assert paired.std_error < 0.6 * unpaired
    expected = answers["b"].value - answers["a"].value
    assert paired.value == pytest.approx(expected)


def test_standard_error_of_mae_against_the_formula_s_over_root_n():
    models = _origin(np.random.default_rng(54), noise={"a": 0.5}, n=3_000)
    weights = draw_bootstrap(3_000, resamples=500, rng=np.random.default_rng(1))
    answer = score_answers({"mae": SCORES.load("mae")()}, models, weights)["mae"]["a"]
    errors = np.abs(models["a"].predicted - models["a"].actual)
    assert answer.std_error == pytest.approx(stats.sem(errors), rel=0.1)  # 3.2% sampling error of 500 draws
    assert answer.low < answer.value < answer.high
    assert answer.level == 0.95
    assert answer.n_users == 3_000


def test_little_bootstraps_give_the_interval_of_the_full_bootstrap():
    models = _origin(np.random.default_rng(55), noise={"a": 0.5}, n=20_000)
    full = draw_bootstrap(20_000, resamples=400, rng=np.random.default_rng(1))
    bag = draw_bootstrap(20_000, resamples=400, rng=np.random.default_rng(2), full_up_to=5_000)
    for name in ("normalized_gini", "total_bias"):
        score = {name: SCORES.load(name)()}
        a, b = (score_answers(score, models, w)[name]["a"] for w in (full, bag))
        assert a.value == b.value
        assert b.std_error == pytest.approx(a.std_error, rel=0.15)  # two errors of 3.5%, subsets vary besides
        assert "subsets of 5,000 of 20,000 users" in b.method


def test_zero_is_best_for_bias_on_either_side():
    actual = np.random.default_rng(56).gamma(1, 5, size=1_000)
    models = {m: ScoredUsers(actual=actual, predicted=f * actual) for m, f in [("over", 1.5), ("under", 0.9)]}
    standing = _stand([models] * 3, scores={"total_bias": SCORES.load("total_bias")()})["total_bias"]
    assert standing.leader == "under"
    assert standing.winner == "under"
    assert [d.value for d in standing.differences["over"]] == pytest.approx([0.4] * 3)


def test_coverage_is_best_at_the_promised_level_not_at_one():
    rng = np.random.default_rng(57)
    actual = rng.exponential(size=2_000)
    exact = stats.expon.ppf(0.9)
    models = {
        name: ScoredUsers(
            actual=actual, predicted=np.ones(2_000), low=0 * actual, high=0 * actual + top, level=0.9
        )
        for name, top in [("honest", exact), ("endless", 1e9)]
    }
    scores = {"interval_coverage": SCORES.load("interval_coverage")()}
    assert _stand([models] * 3, scores=scores)["interval_coverage"].winner == "honest"


def test_fewer_than_three_origins_is_said():
    rng = np.random.default_rng(61)
    standings = _stand([_origin(rng, noise={"a": 0.1, "b": 1.0}) for _ in range(2)])
    assert [f.code for f in standings["decile_wape"].findings] == ["backtest.few_origins"]


def test_refusals_stay_refusals_and_a_refused_model_has_no_place():
    rng = np.random.default_rng(62)
    origins = [_origin(rng, noise={"a": 0.5, "b": 0.6}) for _ in range(3)]
    actual = origins[1]["a"].actual
    origins[1]["b"] = ScoredUsers(actual=actual, predicted=np.ones(actual.size))
    standing = _stand(origins, scores={"spearman": SCORES.load("spearman")()})["spearman"]
    assert isinstance(standing.answers["b"][1], Refusal)
    assert standing.answers["b"][1].finding.code == "score.constant_predicted"
    assert dict(standing.places) == {"a": Place.LEADER}
    assert standing.winner is None


def test_a_score_that_hangs_on_one_user_is_refused_as_unstable():
    actual = np.zeros(50)
    actual[3] = 9.0
    models = {"a": ScoredUsers(actual=actual, predicted=np.arange(50.0))}
    weights = draw_bootstrap(50, resamples=200, rng=np.random.default_rng(1))
    answer = score_answers({"total_bias": SCORES.load("total_bias")()}, models, weights)["total_bias"]["a"]
    assert isinstance(answer, Refusal)
    assert answer.finding.code == "score.unstable"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda a, b, w: stand(PRIMARY, [], []), "compare.no_origins"),
        (lambda a, b, w: stand(PRIMARY, [{}], [w]), "compare.no_models"),
        (lambda a, b, w: stand(PRIMARY, [{"a": a}, {"b": a}], [w, w]), "compare.different_models"),
        (lambda a, b, w: score_answers(PRIMARY, {"a": a, "b": b}, w), "compare.different_users"),
        (lambda a, b, w: score_answers(PRIMARY, {"b": a.take(np.arange(15))}, w), "compare.other_bootstrap"),
    ],
)
def test_wrong_comparisons_are_refused(call, code):
    a = ScoredUsers(actual=np.arange(20.0), predicted=np.arange(20.0))
    b = ScoredUsers(actual=np.arange(20.0)[::-1], predicted=np.arange(20.0))
    with pytest.raises(UsageError) as caught:
        call(a, b, draw_bootstrap(20, resamples=5, rng=np.random.default_rng(1)))
    assert caught.value.finding.code == code


def test_the_same_generator_gives_the_same_standings():
    origins = [_origin(np.random.default_rng(63), noise={"a": 0.3, "b": 0.4})]
    first, second = (_stand(origins, seed=5)["decile_wape"].answers["b"] for _ in range(2))
    assert first == second
