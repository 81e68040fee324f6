"""Blends of other models: each member tried at past cutoffs, weighed by what it said there, never by later outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Model, Pairs, Predictor, State, Training

__all__ = ["Members", "Trial", "Weigh", "fit_blend", "restore_blend"]

Members = Mapping[str, type[Model]]
_MOST_TRIALS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What each member said at a past cutoff, shape (n_users, n_members), and what came, shape (n_users,).

    ``halves`` tells two halves of users apart, the same at every cutoff.
    """

    cutoff: int
    said: Floats
    came: Floats
    halves: NDArray[np.int64]

    def of_half(self, half: int) -> Trial:
        """The users of one half."""
        own = self.halves == half
        return replace(self, said=self.said[own], came=self.came[own], halves=self.halves[own])


Weigh = Callable[[tuple[Trial, ...], int], Floats]
"""Trials (the latest first, perhaps none) and the number of members to weights, shape (n_members,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blend:
    members: Mapping[str, Predictor]
    weights: Floats
    held_out: Pairs | None
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for p in self.members.values() for c in p.columns))

    def predict(self, rows: pa.Table) -> Floats:
        return _said(self.members, rows) @ self.weights

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        del rows, level, rng
        return None

    def state(self) -> State:
        return {
            "weights": dict(zip(self.members, self.weights.tolist(), strict=True)),
            "members": {name: p.state() for name, p in self.members.items()},
        }


def fit_blend(members: Members, training: Training, *, weigh: Weigh, needed: int) -> Predictor:
    """Fit the members now and at up to two past cutoffs, and weigh them by what they said there.

    A member that the data cannot carry is left out and named. Raises its ``DataError`` where fewer than
    ``needed`` are left.
    """
    fitted, left_out = _fitted(members, training)
    if len(fitted) < needed:
        raise next(iter(left_out.values()))
    kept = {name: members[name] for name in fitted}
    trials = tuple(
        t for c in training.past_cutoffs[: -_MOST_TRIALS - 1 : -1] if (t := _tried(kept, training, c))
    )
    weights = weigh(trials, len(fitted))
    when = (
        ", ".join(str(date_of(t.cutoff)) for t in trials)
        or "no past cutoff: none has a window that ended and one to learn from"
    )
    return _Blend(
        members=fitted,
        weights=weights,
        held_out=_held_out(fitted, weigh, trials, training),
        findings=tuple(f for p in fitted.values() for f in p.findings) + _left_out(left_out),
        facts=(*_weight_facts(fitted, weights), ("members tried at", when)),
    )


def restore_blend(members: Members, task: Task, state: State) -> Predictor:
    """The blend of a saved state."""
    saved = cast("Mapping[str, State]", state["members"])
    weights = cast("Mapping[str, float]", state["weights"])
    restored = {name: model().restore(task, saved[name]) for name, model in members.items() if name in saved}
    there = np.array([weights[name] for name in restored], dtype=np.float64)
    return _Blend(
        members=restored,
        weights=there,
        held_out=None,
        findings=(),
        facts=_weight_facts(restored, there),
    )


def _weight_facts(members: Mapping[str, Predictor], weights: Floats) -> tuple[tuple[str, str], ...]:
    return tuple((f"weight of {name}", f"{w:.2f}") for name, w in zip(members, weights.tolist(), strict=True))


def _fitted(members: Members, training: Training) -> tuple[dict[str, Predictor], dict[str, DataError]]:
    fitted: dict[str, Predictor] = {}
    left_out: dict[str, DataError] = {}
    for name, model in members.items():
        try:
            fitted[name] = training.fitted(name, model)
        except DataError as error:
            left_out[name] = error
    return fitted, left_out


def _tried(members: Members, training: Training, cutoff: int) -> Trial | None:
    """The members as they would have been fitted at a past cutoff; None where one of them could not be."""
    then, _ = _fitted(members, training.back_at(cutoff))
    if len(then) < len(members):
        return None
    columns = tuple(dict.fromkeys(c for p in then.values() for c in p.columns))
    rows = training.mature((*columns, "bucket"))
    rows = rows.filter(pc.equal(rows.column("cutoff"), cutoff))
    if rows.num_rows == 0:
        return None
    return Trial(
        cutoff=cutoff,
        said=_said(then, rows),
        came=column_floats(rows, training.task.target),
        halves=column_floats(rows, "bucket").astype(np.int64) % 2,
    )


def _said(members: Mapping[str, Predictor], rows: pa.Table) -> Floats:
    return np.column_stack([p.predict(rows) for p in members.values()])


def _held_out(
    members: Mapping[str, Predictor], weigh: Weigh, trials: tuple[Trial, ...], training: Training
) -> Pairs:
    """What the blend would have said at the latest trial, each half of the users weighed by what came of the other half.

    Without any trial, its members' own held-out forecasts.
    """
    if trials:
        last, predicted = trials[0], np.empty(trials[0].came.size)
        for half in (0, 1):
            own = last.halves == half
            predicted[own] = last.said[own] @ weigh(tuple(t.of_half(1 - half) for t in trials), len(members))
        return Pairs(predicted=predicted, actual=last.came)
    weights = weigh((), len(members))
    columns = tuple(dict.fromkeys(c for p in members.values() for c in p.columns))
    rows = training.last_matured(columns)
    held = [p.held_out.predicted if p.held_out else p.predict(rows) for p in members.values()]
    return Pairs(predicted=np.column_stack(held) @ weights, actual=column_floats(rows, training.task.target))


def _left_out(errors: Mapping[str, DataError]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            code="ensemble.left_out",
            severity=Severity.NOTE,
            what=f"{name} is not in the blend: {error.finding.what}",
            why="A blend of fewer members hangs more on each of them.",
            do=error.finding.do,
        )
        for name, error in errors.items()
    )
