"""Trials: a score of one model at one origin, on all users and on every resample of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.scored import Better, Floats, NominalScore, Score, ScoredUsers, parts_of
from headwater.numerics.resample import Bootstrap

__all__ = ["Outcome", "Trials", "trials_of"]

_MOST_UNDEFINED_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials:
    """A score on all users, and on each resample (resamples,); how far each is from the best there is."""

    value: float
    draws: Floats
    shortfall: float
    shortfall_draws: Floats


Outcome = Trials | Finding


def trials_of(scores: Mapping[str, Score], sample: ScoredUsers, weights: Bootstrap) -> dict[str, Outcome]:
    """All scores of one sample; a finding where a score is refused.

    All scores take the same few resamples before the next ones come, so that what they share is made once.
    Sort orders live only as long as this call.
    """
    whole = sample.take(None)
    refused = {name: score.refuse(whole) for name, score in scores.items()}
    values = {n: float(scores[n].value(whole)[0]) for n, finding in refused.items() if finding is None}
    draws: dict[str, list[Floats]] = {name: [] for name in values}
    for part in weights.parts:
        some = whole if part.rows is None else sample.take(part.rows)
        own = values if part.rows is None else {n: float(scores[n].value(some)[0]) for n in values}
        for few in parts_of(part.weights, some.n_users):
            for name, value in values.items():
                draws[name].append(scores[name].value(some, few) + (value - own[name]))
    return {
        name: finding
        or _finished(scores[name], sample, value=values[name], draws=np.concatenate(draws[name]))
        for name, finding in refused.items()
    }


def _finished(score: Score, sample: ScoredUsers, *, value: float, draws: Floats) -> Outcome:
    n_undefined = int(np.sum(~np.isfinite(draws)))
    if np.isfinite(value) and n_undefined <= _MOST_UNDEFINED_SHARE * draws.size:
        return Trials(
            value=value,
            draws=draws,
            shortfall=float(_shortfall(score, sample, np.array([value]))[0]),
            shortfall_draws=_shortfall(score, sample, draws),
        )
    return Finding(
        code="score.unstable",
        severity=Severity.BLOCK,
        what=f"The score is undefined on {n_undefined:,} of {draws.size:,} resamples of users.",
        why="It hangs on a handful of users, and an interval over the other resamples would flatter it.",
        do="Score more users or take a longer horizon.",
        numbers={"n_undefined": n_undefined, "n_resamples": draws.size},
    )


def _shortfall(score: Score, sample: ScoredUsers, values: Floats) -> Floats:
    """How far values are from the best there is, up to a constant: lower is better for every score."""
    if score.better is Better.HIGHER:
        return -values
    if score.better is Better.LOWER:
        return values
    best = score.nominal(sample) if isinstance(score, NominalScore) else 0.0
    return np.abs(values - best)
