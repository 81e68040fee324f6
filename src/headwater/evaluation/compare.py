"""Comparison of models: what each scored, how sure that is, who leads, and which model to take.

All models of an origin are judged on the same users and the same resamples, so a difference between two
models is paired: what is luck for both cancels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from headwater.core.answer import Answer, Estimate, Refusal
from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.evaluation.scored import Floats, Score, ScoredUsers
from headwater.evaluation.standing import PRIMARY_SCORES, TOLERATED, Choice, Place, Standing, choose
from headwater.evaluation.trials import Outcome, Trials, trials_of
from headwater.numerics.resample import Bootstrap, draw_bootstrap, resample_interval

__all__ = [
    "Choice",
    "Held",
    "Place",
    "Standing",
    "against",
    "choose_among",
    "draw_bootstraps",
    "few_origins",
    "paired_difference",
    "score_answers",
    "stand",
    "standings_of",
]

_FEW_ORIGINS = 3


Held = tuple[Mapping[str, Mapping[str, Outcome]], Bootstrap]
"""Of one origin: what ``trials_of`` made for each model, by model and score, and the bootstrap it was made on."""


def draw_bootstraps(
    origins: Sequence[Mapping[str, ScoredUsers]], *, resamples: int, rng: np.random.Generator
) -> Iterator[Bootstrap]:
    """One bootstrap per origin, drawn when its turn comes so that only one is held at a time."""
    for models in origins:
        yield draw_bootstrap(_require_same_users(models), resamples=resamples, rng=rng)


def score_answers(
    scores: Mapping[str, Score],
    models: Mapping[str, ScoredUsers],
    weights: Bootstrap,
    *,
    level: float = 0.95,
) -> dict[str, dict[str, Answer]]:
    """Every score of every model at one origin.

    ``models`` holds scored users by model, the same users in the same order; ``weights`` is one bootstrap
    of those users. Returns ``answers[score][model]``: an estimate, or a refusal where the score cannot be
    known.

    Raises ``UsageError``: ``compare.no_models``, ``compare.different_users``, ``compare.other_bootstrap``.
    """
    _require_match(models, weights)
    trials = {name: trials_of(scores, sample, weights) for name, sample in models.items()}
    return {
        score: {
            name: _answer(
                trials[name][score], scores[score], name=f"{score} of {name}", weights=weights, level=level
            )
            for name in models
        }
        for score in scores
    }


def paired_difference(
    score: Score,
    a: ScoredUsers,
    b: ScoredUsers,
    weights: Bootstrap,
    *,
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
) -> Answer:
    """How much further ``a`` is from the best value of ``score`` than ``b``: above zero, ``a`` is worse.

    Where high is better this is b's value less a's; where low is better, a's less b's; otherwise distances
    from zero or from the nominal value are compared. In the unit of the score.
    """
    _require_match(dict(zip(names, (a, b), strict=True)), weights)
    first, second = (trials_of({"it": score}, sample, weights)["it"] for sample in (a, b))
    return _difference(first, second, score=score, names=names, weights=weights, level=level)


def stand(
    scores: Mapping[str, Score],
    origins: Sequence[Mapping[str, ScoredUsers]],
    weights: Iterable[Bootstrap],
    *,
    level: float = 0.95,
) -> tuple[Standing, ...]:
    """Who is best on each score, and who is clearly worse, over all origins.

    The leader of a score is nearest to the best value on average over origins. A model is clearly worse where its
    paired difference from the leader is clear of zero, on the bad side, at every origin. A model that is
    refused at an origin where another is not has no place.

    Parameters
    ----------
    scores
        Score by name; one standing comes back for each, in this order.
    origins
        For each origin the scored users by model; the same models at every origin.
    weights
        One bootstrap per origin (``draw_bootstraps``).
    level
        Of all intervals.

    Raises ``UsageError``: those of ``score_answers``, ``compare.no_origins``, ``compare.different_models``.
    """
    _require_same_models(origins)
    held: list[Held] = []
    for models, bootstrap in zip(origins, weights, strict=True):
        _require_match(models, bootstrap)
        trials = {name: trials_of(scores, sample, bootstrap) for name, sample in models.items()}
        held.append((trials, bootstrap.without_parts()))
    return standings_of(scores, held, level=level)


def standings_of(
    scores: Mapping[str, Score], held: Sequence[Held], *, level: float = 0.95
) -> tuple[Standing, ...]:
    """As ``stand``, from trials already made: the users need not be held. The same models at every origin."""
    return tuple(_standing(name, score, held=held, level=level) for name, score in scores.items())


def against(
    model: str, scores: Mapping[str, Score], held: Sequence[Held], *, level: float = 0.95
) -> tuple[Standing, ...]:
    """As ``standings_of``, all models measured against one of them; scores on which it has no place are left out."""
    found = (_standing(name, score, held=held, level=level, beside=model) for name, score in scores.items())
    return tuple(s for s in found if s.leader is not None)


def choose_among(
    standings: Sequence[Standing],
    scores: Mapping[str, Score],
    held: Sequence[Held],
    simplicity: Mapping[str, int],
) -> Choice:
    """``choose`` from trials already made, of which ``standings`` were made as well."""
    primary = {name: scores[name] for name in PRIMARY_SCORES if name in scores}
    return choose(standings, simplicity, against=lambda model: against(model, primary, held))


def _answer(outcome: Outcome, score: Score, *, name: str, weights: Bootstrap, level: float) -> Answer:
    if isinstance(outcome, Finding):
        return Refusal(estimand=name, finding=outcome)
    return _estimate(
        name, value=outcome.value, draws=outcome.draws, unit=score.unit, weights=weights, level=level
    )


def _difference(
    first: Outcome,
    second: Outcome,
    *,
    score: Score,
    names: tuple[str, str],
    weights: Bootstrap,
    level: float,
) -> Answer:
    estimand = f"how much further {names[0]} is from the best value than {names[1]}"
    if isinstance(first, Finding):
        return Refusal(estimand=estimand, finding=first)
    if isinstance(second, Finding):
        return Refusal(estimand=estimand, finding=second)
    return _estimate(
        estimand,
        value=first.shortfall - second.shortfall,
        draws=first.shortfall_draws - second.shortfall_draws,
        unit=score.unit,
        weights=weights,
        level=level,
    )


def _estimate(
    estimand: str, *, value: float, draws: Floats, unit: str, weights: Bootstrap, level: float
) -> Estimate:
    defined = draws[np.isfinite(draws)]
    low, high = resample_interval(defined, level=level)
    n_undefined = draws.size - defined.size
    return Estimate(
        estimand=estimand,
        value=value,
        low=low,
        high=high,
        level=level,
        unit=unit,
        n_users=weights.n_users,
        method=weights.method,
        std_error=float(defined.std(ddof=1)) if defined.size > 1 else None,
        findings=(_some_undefined(n_undefined, draws.size),) if n_undefined else (),
    )


def _some_undefined(n_undefined: int, n_resamples: int) -> Finding:
    return Finding(
        code="score.undefined_resamples",
        severity=Severity.WARN,
        what=f"The score was undefined on {n_undefined:,} of {n_resamples:,} resamples, which were dropped.",
        why="Few users carry it, so its interval is a little too narrow.",
        do="Score more users before leaning on this figure.",
        numbers={"n_undefined": n_undefined, "n_resamples": n_resamples},
    )


def _standing(
    name: str,
    score: Score,
    *,
    held: Sequence[Held],
    level: float,
    beside: str | None = None,
) -> Standing:
    models = list(held[0][0])
    answers = {
        m: tuple(
            _answer(trials[m][name], score, name=f"{name} of {m}", weights=weights, level=level)
            for trials, weights in held
        )
        for m in models
    }
    usable = [o for o in held if any(isinstance(o[0][m][name], Trials) for m in models)]
    placed = [m for m in models if all(isinstance(trials[m][name], Trials) for trials, _ in usable)]
    leader = _leader(placed if beside is None else {beside} & set(placed), name=name, usable=usable)
    differences = (
        {}
        if leader is None
        else {
            m: _against(leader, m, name=name, score=score, usable=usable, level=level)
            for m in placed
            if m != leader
        }
    )
    return Standing(
        score=name,
        unit=score.unit,
        leader=leader,
        places=_places(leader, differences, tolerated=TOLERATED.get(name, np.inf)),
        answers=answers,
        differences=differences,
        findings=few_origins(len(usable)),
    )


def _leader(
    placed: Collection[str],
    *,
    name: str,
    usable: Sequence[Held],
) -> str | None:
    def mean_shortfall(model: str) -> float:
        found = (trials[model][name] for trials, _ in usable)
        return float(np.mean([t.shortfall for t in found if isinstance(t, Trials)]))

    return min(placed, key=lambda m: (mean_shortfall(m), m)) if usable and placed else None


def _against(
    leader: str,
    model: str,
    *,
    name: str,
    score: Score,
    usable: Sequence[Held],
    level: float,
) -> tuple[Estimate, ...]:
    found = (
        _difference(
            trials[model][name],
            trials[leader][name],
            score=score,
            names=(model, leader),
            weights=weights,
            level=level,
        )
        for trials, weights in usable
    )
    return tuple(answer for answer in found if isinstance(answer, Estimate))


def _places(
    leader: str | None, differences: Mapping[str, tuple[Estimate, ...]], *, tolerated: float
) -> dict[str, Place]:
    if leader is None:
        return {}
    return {leader: Place.LEADER} | {
        model: _place(found, tolerated=tolerated) for model, found in differences.items()
    }


def _place(differences: Sequence[Estimate], *, tolerated: float) -> Place:
    if all(d.low > 0 for d in differences):
        return Place.CLEARLY_WORSE
    if all(d.high < 0 for d in differences):
        return Place.CLEARLY_BETTER
    mean, error = (
        float(np.mean(of))
        for of in ([d.value for d in differences], [d.std_error or 0.0 for d in differences])
    )
    return Place.CLOSE if mean <= min(error, tolerated) else Place.NOT_CLEARLY_WORSE


def few_origins(n_origins: int, *, days: Sequence[int] = ()) -> tuple[Finding, ...]:
    """That a comparison rests on too few origins (``backtest.few_origins``), their ``days`` where they are told."""
    if n_origins >= _FEW_ORIGINS:
        return ()
    named = f" ({', '.join(str(date_of(d)) for d in days)})" if days else ""
    return (
        Finding(
            code="backtest.few_origins",
            severity=Severity.WARN,
            what=f"The comparison rests on {n_origins} {'origin' if n_origins == 1 else 'origins'}{named}; three are the least to tell luck from skill.",
            why="Users resampled at one time say nothing about how models fare in another season.",
            do="Use a shorter horizon or a longer log, or add earlier cutoffs.",
            numbers={"n_origins": n_origins, "needed": _FEW_ORIGINS},
        ),
    )


def _require_same_users(models: Mapping[str, ScoredUsers]) -> int:
    if not models:
        raise UsageError(
            "compare.no_models",
            what="No model was given.",
            why="There is nothing to score.",
            do="Pass at least one model with its scored users.",
        )
    (first_name, first), *others = models.items()
    for name, sample in others:
        if not np.array_equal(sample.actual, first.actual):
            raise UsageError(
                "compare.different_users",
                what=f"'{name}' and '{first_name}' were scored on different outcomes.",
                why="A paired comparison of different users, or of another order, is meaningless.",
                do="Predict the same users with both, in the same order.",
            )
    return first.n_users


def _require_match(models: Mapping[str, ScoredUsers], weights: Bootstrap) -> None:
    n_users = _require_same_users(models)
    if n_users != weights.n_users:
        raise UsageError(
            "compare.other_bootstrap",
            what=f"The bootstrap is of {weights.n_users:,} users, the models of {n_users:,}.",
            why="The resamples would count other users.",
            do="Draw one bootstrap per origin (draw_bootstraps).",
        )


def _require_same_models(origins: Sequence[Mapping[str, ScoredUsers]]) -> None:
    if not origins:
        raise UsageError(
            "compare.no_origins",
            what="No origin was given.",
            why="There is nothing to compare on.",
            do="Backtest from at least one cutoff, better three.",
        )
    for at, models in enumerate(origins):
        if set(models) != set(origins[0]):
            raise UsageError(
                "compare.different_models",
                what=f"Origin {at + 1} has {sorted(models)}, the first {sorted(origins[0])}.",
                why="A model missing at one origin cannot be placed beside the others.",
                do="Score the same models at every origin; leave out the one that failed.",
            )
