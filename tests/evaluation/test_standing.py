"""The choice of a model, on simulated users of known worth: what ranks and has the level leads; nothing beside it matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.evaluation.compare import against, choose_among, draw_bootstraps, standings_of
from headwater.evaluation.scored import ScoredUsers
from headwater.evaluation.scores import SCORES
from headwater.evaluation.standing import PRIMARY_SCORES, Choice, Place
from headwater.evaluation.trials import Outcome, Trials, trials_of
from headwater.numerics.resample import draw_bootstrap

Floats = NDArray[np.float64]
Means = Mapping[str, Callable[[Floats], Floats]]
SCORED = {name: SCORES.load(name)() for name in PRIMARY_SCORES}
N = 2_000


def blurred(noise: float, *, times: float = 1.0) -> Callable[[Floats], Floats]:
    """The true mean, each user's off by a lognormal error, all by a factor; the same error whoever stands beside."""

    def made(truth: Floats) -> Floats:
        error = np.exp(noise * np.random.default_rng(int(1e6 * noise)).normal(size=truth.size))
        return times * truth * error * truth.sum() / (truth * error).sum()

    return made


def constant(truth: Floats) -> Floats:
    return np.full(truth.size, truth.mean())


def chosen(
    models: Means,
    simplicity: Mapping[str, int],
    *,
    n: int = N,
    n_origins: int = 3,
    **only: Callable[[Floats], Floats],
) -> Choice:
    """The choice among models of outcomes that are often zero; ``only`` may change the outcomes."""
    origins: list[dict[str, ScoredUsers]] = []
    for seed in range(n_origins):
        rng = np.random.default_rng(seed)
        truth = rng.gamma(0.7, 10, n)
        actual = np.where(rng.random(n) < 0.5, 2 * rng.exponential(truth), 0.0)
        came = only["outcomes"](actual) if only else actual
        origins.append({m: ScoredUsers(actual=came, predicted=f(truth)) for m, f in models.items()})
    weights = draw_bootstraps(origins, resamples=80, rng=np.random.default_rng(1))
    held = [
        ({m: trials_of(SCORED, users, bootstrap) for m, users in models.items()}, bootstrap.without_parts())
        for models, bootstrap in zip(origins, weights, strict=True)
    ]
    return choose_among(standings_of(SCORED, held), SCORED, held, simplicity)


def places(choice: Choice, model: str) -> tuple[Place, ...]:
    return tuple(s.places[model] for s in choice.beside_leader)


def test_a_constant_forecast_never_leads_and_changes_nothing() -> None:
    """Its tenths are random tenths of all, so its error of level is the least of all; it ranks nobody."""
    models = {"off": blurred(0.3, times=1.25), "sharp": blurred(0.2, times=1.2)}
    alone = chosen(models, {"off": 2, "sharp": 3})
    beside = chosen({**models, "constant": constant}, {"off": 2, "sharp": 3, "constant": 1})
    assert beside.leader == alone.leader
    assert beside.name == alone.name
    assert places(beside, "constant") == (Place.CLEARLY_WORSE, Place.CLEARLY_BETTER)
    for m in models:
        assert places(beside, m) == places(alone, m)
    assert "On decile_wape alone constant would be clearly better" in beside.reason
    only = chosen({"doubled": blurred(0.5, times=1.95), "constant": constant}, {"doubled": 2, "constant": 1})
    assert only.name == "doubled"  # a level can be set right, an order that is not there cannot be made


def test_a_little_ranking_does_not_pay_for_a_level_that_is_far_off() -> None:
    choice = chosen(
        {"order": blurred(0.1, times=1.91), "level": blurred(0.5, times=1.36)}, {"order": 1, "level": 1}
    )
    ranking, level = choice.beside_leader
    assert 0 < ranking.mean_value("order") - ranking.mean_value("level") < 0.08
    assert level.mean_value("order") - level.mean_value("level") > 0.4
    assert choice.name == choice.leader == choice.winner == "level"
    assert places(choice, "order") == (Place.CLEARLY_BETTER, Place.CLEARLY_WORSE)
    assert "On normalized_gini alone order would be clearly better than level." in choice.reason


def test_of_equal_levels_clear_ranking_decides_over_simplicity() -> None:
    choice = chosen({"plain": blurred(1.2), "sharp": blurred(0.1)}, {"plain": 1, "sharp": 9})
    assert choice.name == choice.winner == "sharp"
    assert choice.reason.startswith("sharp leads (normalized_gini over 1 + decile_wape: ")
    assert "every other model is clearly worse on normalized_gini or decile_wape" in choice.reason


def test_of_equal_ranking_the_level_decides_over_simplicity() -> None:
    choice = chosen({"plain": blurred(0.3, times=1.6), "right": blurred(0.31)}, {"plain": 1, "right": 2})
    assert choice.name == "right"
    assert places(choice, "plain")[1] is Place.CLEARLY_WORSE


def test_a_simple_model_far_off_is_not_taken_because_users_are_few() -> None:
    """Nothing is clear with 60 users; the simple model's level is still off by more than one standard error."""
    models = {"plain": blurred(0.30, times=1.8), "right": blurred(0.28)}
    choice = chosen(models, {"plain": 1, "right": 2}, n=60)
    assert Place.CLEARLY_WORSE not in places(choice, "plain")
    assert places(choice, "plain")[1] is Place.NOT_CLEARLY_WORSE
    (level,) = (s for s in choice.beside_leader if s.score == "decile_wape")
    found = level.differences["plain"]
    assert np.mean([d.value for d in found]) > np.mean([d.std_error or 0.0 for d in found])
    assert choice.name == "right"
    assert choice.winner is None
    assert "no other model is close to it" in choice.reason


@pytest.mark.parametrize(("behind", "place"), [(0.09, Place.CLOSE), (0.11, Place.NOT_CLEARLY_WORSE)])
def test_however_large_the_standard_error_a_level_ten_points_off_is_not_close(
    behind: float, place: Place
) -> None:
    """One user with most of all money makes it larger than any difference."""
    bootstrap = draw_bootstrap(100, resamples=200, rng=np.random.default_rng(1)).without_parts()
    luck = np.random.default_rng(2).normal(0, 5, 200)

    def level(value: float, draws: Floats) -> dict[str, Outcome]:
        return {"decile_wape": Trials(value=value, draws=draws, shortfall=value, shortfall_draws=draws)}

    trials = {"right": level(0.1, np.full(200, 0.1)), "plain": level(0.1 + behind, 0.1 + behind + luck)}
    scores = {"decile_wape": SCORED["decile_wape"]}
    (beside,) = against("right", scores, [(trials, bootstrap)] * 3)
    assert (beside.differences["plain"][0].std_error or 0.0) > 1
    assert beside.places["plain"] is place


def test_the_simplest_that_holds_is_chosen_with_its_numbers() -> None:
    models = {"plain": blurred(0.30), "fancy": blurred(0.28), "junk": blurred(3.0)}
    choice = chosen(models, {"junk": 1, "plain": 2, "fancy": 3})
    assert choice.name == "plain"
    assert choice.winner is None
    ranking, level = choice.beside_choice
    assert ranking.leader == level.leader == "plain"
    assert f"decile_wape {level.mean_value('plain'):.3f}" in choice.reason
    assert "junk" not in choice.reason
    other = chosen(models, {"junk": 1, "plain": 3, "fancy": 2})
    assert other.name == "fancy"
    tied = chosen(models, dict.fromkeys(models, 1))
    assert tied.name == tied.leader
    assert "no simpler model holds beside it" in tied.reason


def test_measured_against_another_model_differences_turn_around() -> None:
    rng = np.random.default_rng(5)
    truth = rng.gamma(0.7, 10, N)
    actual = rng.exponential(truth)
    users = {m: ScoredUsers(actual=actual, predicted=blurred(s)(truth)) for m, s in (("a", 0.2), ("b", 0.9))}
    (weights,) = draw_bootstraps([users], resamples=40, rng=rng)
    held = [({m: trials_of(SCORED, u, weights) for m, u in users.items()}, weights.without_parts())]
    (one,), (other,) = (against(m, SCORED, held)[0].differences[o] for m, o in (("a", "b"), ("b", "a")))
    assert one.value == -other.value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@pytest.mark.parametrize(
    ("outcomes", "n", "scores"),
    [
        (lambda a: 0 * a, N, ()),  # nobody brought anything
        (lambda a: -a, N, ()),  # more went back than came
        (lambda a: a, 1, ()),  # one user
        (lambda a: 0 * a + 3.0, N, ("decile_wape",)),  # all alike: there is no order
        (lambda a: a, 8, ("normalized_gini",)),  # too few for tenths
    ],
)
def test_what_cannot_be_scored_is_handed_over_with_what_would_help(
    outcomes: Callable[[Floats], Floats], n: int, scores: tuple[str, ...]
) -> None:
    models = {"plain": blurred(0.5), "fancy": blurred(0.4)}
    choice = chosen(models, {"plain": 1, "fancy": 2}, n=n, outcomes=outcomes)
    assert tuple(s.score for s in choice.beside_leader) == scores
    if scores:
        assert choice.leader is not None
        return
    assert (choice.name, choice.leader, choice.winner) == ("plain", None, None)
    (finding,) = choice.findings
    assert (finding.code, finding.severity) == ("choice.no_primary_score", Severity.BLOCK)
    assert "users" in finding.what
    assert finding.do


def test_fewer_than_three_origins_is_said_and_one_model_is_no_winner() -> None:
    choice = chosen({"only": blurred(0.3)}, {"only": 1}, n_origins=2)
    assert [f.code for f in choice.findings] == ["backtest.few_origins"]
    assert (choice.name, choice.winner) == ("only", None)
    assert "the only model that could be scored" in choice.reason


def test_every_model_needs_its_rank() -> None:
    with pytest.raises(UsageError, match=r"choice\.no_simplicity"):
        chosen({"a": blurred(0.3), "b": blurred(0.4)}, {"a": 1})
