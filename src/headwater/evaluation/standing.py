"""Where models stand on a score, and the choice of the simplest model that is not clearly worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.core.answer import Answer, Estimate
from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding

__all__ = ["PRIMARY_SCORES", "Choice", "Place", "Standing", "choose"]

PRIMARY_SCORES = ("normalized_gini", "decile_wape")
"""Ranking and level: a model may be used for either, so it must not be clearly worse on either."""


class Place(StrEnum):
    """Where a model stands on one score."""

    LEADER = "leader"
    NOT_CLEARLY_WORSE = "not clearly worse"
    CLEARLY_WORSE = "clearly worse"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """All models on one score over all origins.

    ``answers[model]`` has one answer per origin. ``differences[model]`` says how much further the model is
    from the best value than the leader, at each origin where the score is known. A model without a place
    was refused somewhere; its answers say why. ``leader`` is None where nobody has a place.
    """

    score: str
    unit: str
    leader: str | None
    places: Mapping[str, Place]
    answers: Mapping[str, tuple[Answer, ...]]
    differences: Mapping[str, tuple[Estimate, ...]]
    findings: tuple[Finding, ...] = ()

    @property
    def winner(self) -> str | None:
        """The leader where every other model is clearly worse and there is another; else None."""
        others = [place for place in self.places.values() if place is not Place.LEADER]
        alone = not others or any(place is not Place.CLEARLY_WORSE for place in others)
        return None if alone else self.leader

    @property
    def verdict(self) -> str:
        """The winner's name, or ``"no clear winner"``."""
        return self.winner or "no clear winner"

    @property
    def contenders(self) -> frozenset[str]:
        """The models that are not clearly worse, the leader among them."""
        return frozenset(m for m, place in self.places.items() if place is not Place.CLEARLY_WORSE)

    def mean_value(self, model: str) -> float:
        """The model's score, averaged over the origins at which it is known."""
        values = [a.value for a in self.answers[model] if isinstance(a, Estimate)]
        return sum(values) / len(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model to take and why. ``winner``: one that clearly beats all others on every primary score."""

    name: str
    reason: str
    winner: str | None
    findings: tuple[Finding, ...] = ()


def choose(standings: Iterable[Standing], simplicity: Mapping[str, int]) -> Choice:
    """The simplest model that is not clearly worse on ranking or on level.

    Primary scores are ``normalized_gini`` and ``decile_wape``. Where no model holds on both, level
    decides, for a bias of level misprices every user, and the reason names the trade-off. Equally simple
    models are told apart by their mean ``decile_wape``, then by name.

    Parameters
    ----------
    standings
        From ``stand``; other scores among them are ignored.
    simplicity
        Rank of every placed model, 1 for the simplest.

    Raises
    ------
    UsageError
        ``choice.no_simplicity``.
    DataError
        ``choice.no_primary_score``.
    """
    primary = {s.score: s for s in standings if s.score in PRIMARY_SCORES and s.leader is not None}
    _require_primary(primary)
    known = [primary[name] for name in PRIMARY_SCORES if name in primary]
    _require_simplicity(known, simplicity)
    last = known[-1]
    both = frozenset.intersection(*(s.contenders for s in known))
    name = _simplest(both or last.contenders, simplicity=simplicity, by=last)
    winners = {s.winner for s in known}
    winner = known[0].winner if len(winners) == 1 else None
    return Choice(
        name=name,
        reason=_reason(name, known=known, both=both, winner=winner),
        winner=winner,
        findings=tuple({f.code: f for s in known for f in s.findings}.values()),
    )


def _simplest(models: frozenset[str], *, simplicity: Mapping[str, int], by: Standing) -> str:
    return min(models, key=lambda m: (simplicity[m], by.mean_value(m), m))


def _reason(name: str, *, known: Sequence[Standing], both: frozenset[str], winner: str | None) -> str:
    figures = "; ".join(_figures(s, name) for s in known)
    scores = " and ".join(s.score for s in known)
    if len(known[0].places) == 1:
        return f"{name} is the only model that could be scored: {figures}."
    if winner is not None:
        return f"{name} is clearly better than every other model on {scores}: {figures}."
    if both:
        others = sorted(both - {name})
        if not others:
            return f"Only {name} is not clearly worse than the leader on {scores}: {figures}."
        return (
            f"No clear winner on {scores} together. {name} is the simplest model that is not clearly worse "
            f"on any of them (the others: {', '.join(others)}): {figures}."
        )
    return (
        f"No model holds on both {scores}. {name} is the simplest that is not clearly worse on "
        f"{known[-1].score}, but it is clearly worse than {known[0].leader} on {known[0].score}: {figures}. "
        f"Level decides here; where only the order of users matters, take {known[0].leader}."
    )


def _figures(standing: Standing, name: str) -> str:
    own = f"{standing.score} {standing.mean_value(name):.3f}"
    n_origins = sum(isinstance(answer, Estimate) for answer in standing.answers[name])
    over = f"mean over {n_origins} origin{'s' if n_origins > 1 else ''}"
    if standing.leader is None or name == standing.leader:
        return f"{own} (leads, {over})"
    lead = standing.mean_value(standing.leader)
    gaps = ", ".join(f"{d.low:.3f} to {d.high:.3f}" for d in standing.differences[name])
    return f"{own} against {lead:.3f} of {standing.leader}, which leads ({over}; worse by {gaps})"


def _require_primary(primary: Mapping[str, Standing]) -> None:
    if not primary:
        raise DataError(
            "choice.no_primary_score",
            what=f"None of {', '.join(PRIMARY_SCORES)} is known for any model.",
            why="Without ranking or level there is no ground on which to prefer a model.",
            do="Read the refusals of the scores; usually a longer horizon or more users help.",
        )


def _require_simplicity(known: Sequence[Standing], simplicity: Mapping[str, int]) -> None:
    missing = sorted({m for s in known for m in s.places} - set(simplicity))
    if missing:
        raise UsageError(
            "choice.no_simplicity",
            what=f"No rank of simplicity was given for {', '.join(missing)}.",
            why="The choice is the simplest of the models that hold.",
            do="Give every model a rank, 1 for the simplest.",
        )
