"""Where models stand on a score, and the choice among them.

The leader is the model that ranks best for its error of level: it has the highest ``normalized_gini / (1 +
decile_wape)``, both averaged over the origins. The choice is the simplest model close to the leader on
ranking and on level: within one standard error (Breiman et al. 1984), and at most ``TOLERATED`` worse.

So a constant forecast, which ranks nobody, never leads however right its mean is; a little ranking is not bought
with a total that is far off; and no model but the leader moves the bar for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from headwater.core.answer import Answer, Estimate
from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity

__all__ = [
    "PRIMARY_SCORES",
    "SCORE_WORDS",
    "TOLERATED",
    "Choice",
    "Place",
    "Standing",
    "balance",
    "choose",
    "leader_of",
]

SCORE_WORDS = {"normalized_gini": "ranking", "decile_wape": "level"}
PRIMARY_SCORES = tuple(SCORE_WORDS)
"""Ranking and level: a forecast is used for both, so both decide."""
TOLERATED = {"normalized_gini": 0.05, "decile_wape": 0.1}
"""How much worse than the leader a simpler model may be at most, however large the standard error: where one user
decides what a tenth brought, it is so large that anything would lie within it."""


class Place(StrEnum):
    """Where a model stands on one score."""

    LEADER = "leader"
    CLEARLY_BETTER = "clearly better"
    CLOSE = "close"
    NOT_CLEARLY_WORSE = "not clearly worse"
    CLEARLY_WORSE = "clearly worse"


_HOLD = {Place.LEADER, Place.CLEARLY_BETTER, Place.CLOSE}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """All models on one score over all origins.

    ``answers[model]`` has one answer per origin. ``leader`` is the model that the others are measured against:
    the best on this score, unless another was named (``compare.against``); None where nobody has a place.
    ``differences[model]`` says how much further the model is from the best value than the leader, at each origin
    where the score is known. A model without a place was refused somewhere; its answers say why.
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
    def holders(self) -> frozenset[str]:
        """The models close to the leader, or better, itself among them."""
        return frozenset(m for m, place in self.places.items() if place in _HOLD)

    def mean_value(self, model: str) -> float:
        """The model's score, averaged over the origins at which it is known."""
        values = [a.value for a in self.answers[model] if isinstance(a, Estimate)]
        return sum(values) / len(values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """The model to take and why.

    ``leader`` ranks best for its error of level; ``winner`` is the leader where every other model is clearly worse
    than it on ranking or on level. ``beside_leader`` and ``beside_choice`` are the standings on the primary scores
    that are known, measured against the leader and against the choice. Where none is known there is no leader, the
    choice is the simplest model, and a blocking finding says that nothing speaks for it.
    """

    name: str
    reason: str
    leader: str | None
    winner: str | None
    beside_leader: tuple[Standing, ...] = ()
    beside_choice: tuple[Standing, ...] = ()
    findings: tuple[Finding, ...] = ()


def balance(ranking: float | None, level: float | None) -> float:
    """How good a model is on ranking and level together; what it has of ranking, less what its error of level takes.

    ``ranking / (1 + level)``: a forecast that is off by as much as all that came counts half. Where one of the two is
    not known the other decides.

    >>> balance(0.72, 0.91) < balance(0.70, 0.36), balance(0.0, 0.0) < balance(0.72, 0.91)
    (True, True)
    """
    if level is None:
        return 0.0 if ranking is None else ranking
    if ranking is None:
        return -level
    return ranking / (1 + level) if ranking > 0 else ranking


def leader_of(standings: Iterable[Standing]) -> str | None:
    """The model that ranks best for its error of level; None where no primary score is known."""
    known = _known(standings)
    models = _placed(known)
    return min(models, key=lambda m: _by_balance(m, known)) if models else None


def choose(
    standings: Sequence[Standing],
    simplicity: Mapping[str, int],
    *,
    against: Callable[[str], Sequence[Standing]],
) -> Choice:
    """The simplest model close to the leader on ranking and on level.

    Equally simple models are told apart by their balance of the two, then by name.

    Parameters
    ----------
    standings
        From ``stand``; other scores among them are ignored.
    simplicity
        Rank of every model, 1 for the simplest.
    against
        The standings on the primary scores, measured against a model.

    Raises
    ------
    UsageError
        ``choice.no_simplicity``.
    """
    _require_simplicity(standings, simplicity)
    leader = leader_of(standings)
    if leader is None:
        return _without_scores(standings, simplicity)
    beside = tuple(against(leader))
    holders = frozenset[str].intersection(*(s.holders for s in beside))
    name = min(holders, key=lambda m: (simplicity[m], *_by_balance(m, beside)))
    alone = _beats_all(leader, beside)
    return Choice(
        name=name,
        reason=_reason(name, leader=leader, beside=beside, holders=holders, alone=alone),
        leader=leader,
        winner=leader if alone else None,
        beside_leader=beside,
        beside_choice=beside if name == leader else tuple(against(name)),
        findings=tuple({f.code: f for s in beside for f in s.findings}.values()),
    )


def _known(standings: Iterable[Standing]) -> list[Standing]:
    """The primary scores on which some model has a place, ranking first."""
    found = {s.score: s for s in standings if s.leader is not None}
    return [found[name] for name in PRIMARY_SCORES if name in found]


def _placed(known: Sequence[Standing]) -> frozenset[str]:
    """The models with a place on all of them; where there is none, those on the first."""
    if not known:
        return frozenset()
    return frozenset.intersection(*(frozenset(s.places) for s in known)) or frozenset(known[0].places)


def _balance_of(model: str, known: Sequence[Standing]) -> float:
    values = {s.score: s.mean_value(model) for s in known if model in s.places}
    return balance(*(values.get(name) for name in PRIMARY_SCORES))


def _by_balance(model: str, known: Sequence[Standing]) -> tuple[float, float, str]:
    """A key that puts the best balanced first; of those that rank nobody, the one nearest in level."""
    level = next((s for s in known if s.score == PRIMARY_SCORES[1] and model in s.places), None)
    return -_balance_of(model, known), level.mean_value(model) if level else 0.0, model


def _beats_all(leader: str, beside: Sequence[Standing]) -> bool:
    """Whether there are others, and each is clearly worse than the leader on ranking or on level."""
    others = _placed(beside) - {leader}
    return bool(others) and all(any(s.places.get(m) is Place.CLEARLY_WORSE for s in beside) for m in others)


def _reason(
    name: str, *, leader: str, beside: Sequence[Standing], holders: frozenset[str], alone: bool
) -> str:
    figures = "; ".join(_figures(s, name) for s in beside)
    scores = " and ".join(s.score for s in beside)
    best = f"{leader} leads ({_balance_words(leader, beside)})"
    others = sorted(holders - {name})
    if len(_placed(beside)) == 1:
        return f"{name} is the only model that could be scored: {figures}."
    if alone:
        said = f"{best}, and every other model is clearly worse on {' or '.join(s.score for s in beside)}"
    elif holders == frozenset({leader}):
        said = f"No clear winner. {best}, and no other model is close to it on {scores}"
    elif name == leader:
        said = f"No clear winner. {best}, and no simpler model holds beside it (those that hold: {', '.join(others)})"
    else:
        said = (
            f"No clear winner. {best}; {name} is the simplest model close to it on {scores} "
            f"(the others: {', '.join(others)})"
        )
    return f"{said}: {figures}.{_traded(leader, beside)}"


def _balance_words(model: str, beside: Sequence[Standing]) -> str:
    if len(beside) == 1:
        return f"best {beside[0].score}"
    return f"{beside[0].score} over 1 + {beside[1].score}: {_balance_of(model, beside):.3f}"


def _traded(leader: str, beside: Sequence[Standing]) -> str:
    """Models that beat the leader clearly on one score and lose to it clearly on the other."""
    if len(beside) == 1:
        return ""
    places = {m: [s.places.get(m) for s in beside] for m in beside[0].places}
    split = {m for m, p in places.items() if set(p) == {Place.CLEARLY_BETTER, Place.CLEARLY_WORSE}}
    said = [
        f" On {s.score} alone {', '.join(better)} would be clearly better than {leader}."
        for s in beside
        if (better := sorted(m for m in split if s.places[m] is Place.CLEARLY_BETTER))
    ]
    return "".join(said)


def _figures(standing: Standing, name: str) -> str:
    own = f"{standing.score} {standing.mean_value(name):.3f}"
    n_origins = sum(isinstance(answer, Estimate) for answer in standing.answers[name])
    over = f"mean over {n_origins} origin{'s' if n_origins > 1 else ''}"
    if standing.leader is None or name == standing.leader:
        return f"{own} ({over})"
    lead = standing.mean_value(standing.leader)
    gaps = ", ".join(f"{d.low:.3f} to {d.high:.3f}" for d in standing.differences[name])
    return f"{own} against {lead:.3f} of {standing.leader} ({over}; worse by {gaps})"


def _without_scores(standings: Sequence[Standing], simplicity: Mapping[str, int]) -> Choice:
    """Nothing to prefer a model by: the simplest, and a finding that blocks any use of it."""
    name = min(simplicity, key=lambda m: (simplicity[m], m))
    refusals = [
        a.finding
        for s in standings
        if s.score in PRIMARY_SCORES
        for a in s.answers.get(name, ())
        if not isinstance(a, Estimate)
    ]
    causes, cures = (" ".join(dict.fromkeys(getattr(f, part) for f in refusals)) for part in ("what", "do"))
    finding = Finding(
        code="choice.no_primary_score",
        severity=Severity.BLOCK,
        what=f"No model could be scored on ranking or level. {causes}".strip(),
        why=f"Nothing shows that any forecast holds. That of {name}, the simplest, is handed over so that there is one.",
        do=cures or "Take a longer horizon or more users.",
    )
    reason = f"{name} is the simplest model; no model could be scored on {' or '.join(PRIMARY_SCORES)}."
    return Choice(name=name, reason=reason, leader=None, winner=None, findings=(finding,))


def _require_simplicity(standings: Sequence[Standing], simplicity: Mapping[str, int]) -> None:
    missing = sorted({m for s in _known(standings) for m in s.places} - set(simplicity))
    if missing:
        raise UsageError(
            "choice.no_simplicity",
            what=f"No rank of simplicity was given for {', '.join(missing)}.",
            why="The choice is the simplest of the models that hold.",
            do="Give every model a rank, 1 for the simplest.",
        )
