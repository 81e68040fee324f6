"""LightGBM increments: value between one horizon and the next, each learned from every row that is old enough for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.learners.tuning import Dial
from headwater.models.drivers import Contributions
from headwater.models.ltv._boosted import DIALS, FittedHeads, fit_heads, restore_heads
from headwater.models.ltv._lesson import SETTINGS, Lesson, read_lesson
from headwater.models.ltv._shapes import Product
from headwater.models.ltv.lightgbm_hurdle import hurdle
from headwater.models.model import Draws, Floats, Pairs, Predictor, Setting, State, Training, require_signal
from headwater.numerics.attribution import logarithmic_mean

__all__ = ["LightgbmIncrements"]


class LightgbmIncrements:
    """A hurdle for each step of the horizons (0 to 7 days, 7 to 30, 30 to 90), summed.

    A cohort of last month teaches the first steps although its whole window has not ended. Every step is above zero, so
    a longer horizon is never worth less than a shorter one.
    """

    about: ClassVar[str] = (
        "gradient boosting: a hurdle for each step between horizons, young cohorts included"
    )
    simplicity: ClassVar[int] = 6
    by_default: ClassVar[bool] = False
    takes: ClassVar[tuple[Setting, ...]] = SETTINGS
    dials: ClassVar[tuple[Dial, ...]] = DIALS

    def fit(self, training: Training) -> Predictor:
        """Learn each step from the rows whose window has ended for it. Raises ``DataError`` where no whole window has."""
        require_signal(training, training.mature(()))
        steps, rungs, n_younger = _steps(training)
        return _Steps(
            rungs=rungs,
            steps=tuple(s for s, _ in steps),
            held_out=_held_out(steps),
            facts=_facts(rungs, steps, n_younger=n_younger),
            findings=tuple(dict.fromkeys(f for s, _ in steps for f in s.findings)),
        )

    def restore(self, task: Task, state: State) -> Predictor:
        """The steps of a saved state."""
        del task
        saved = cast("list[State]", state["steps"])
        return _Steps(
            rungs=tuple(cast("list[int]", state["rungs"])),
            steps=tuple(restore_heads(s, lambda _: Product()) for s in saved),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    rungs: tuple[int, ...]
    steps: tuple[FittedHeads, ...]
    held_out: Pairs | None = None
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for s in self.steps for c in s.columns))

    def predict(self, rows: pa.Table) -> Floats:
        return self.along(rows)[:, -1]

    def along(self, rows: pa.Table) -> Floats:
        """The forecast up to each of ``rungs``, shape (n_rows, n_rungs): never falling along a row."""
        return np.cumsum([s.predict(rows) for s in self.steps], axis=0).T

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        del rows, level, rng
        return None

    def contributions(self, rows: pa.Table) -> Contributions:
        """Steps' contributions, turned into amounts, added, and turned back into parts of the log of the sum."""
        explained = [s.contributions(rows) for s in self.steps]
        starts = [np.exp(e.base) for e in explained]
        ends = [np.exp(e.base + e.parts.sum(axis=1)) for e in explained]
        amounts = sum(
            e.parts * logarithmic_mean(end, start)[:, None]
            for e, start, end in zip(explained, starts, ends, strict=True)
        )
        start, end = np.sum(starts, axis=0), np.sum(ends, axis=0)
        return Contributions(
            columns=explained[0].columns,
            base=np.log(start),
            parts=np.asarray(amounts) / logarithmic_mean(end, start)[:, None],
        )

    def state(self) -> State:
        return {"rungs": list(self.rungs), "steps": [s.state() for s in self.steps]}


def _steps(
    training: Training,
) -> tuple[list[tuple[FittedHeads, Lesson]], tuple[int, ...], int]:
    """Fitted steps with their lessons, where each ends, and how many rows too young for the whole window taught the first.

    A step with too few amounts of its own is learned together with the next.
    """
    made: list[tuple[FittedHeads, Lesson]] = []
    ends: list[int] = []
    for rung in training.rungs:
        try:
            lesson = read_lesson(training, rung=rung, after=ends[-1] if ends else None)
        except DataError:
            if rung == training.rungs[-1]:
                raise
            continue
        made.append((fit_heads(lesson, hurdle), lesson))
        ends.append(rung)
    return made, tuple(ends), made[0][1].actual.size - made[-1][1].actual.size


def _held_out(steps: Sequence[tuple[FittedHeads, Lesson]]) -> Pairs:
    """Held-out sums over the steps, for the users of the latest cutoff whose whole window has ended."""
    whole = steps[-1][1]
    latest = whole.cutoffs.max()
    users = whole.users.filter(pa.array(whole.cutoffs == latest))
    predicted, actual = np.zeros(len(users)), np.zeros(len(users))
    for fitted, lesson in steps:
        there = np.flatnonzero(lesson.cutoffs == latest)
        place = pc.index_in(users, lesson.users.take(pa.array(there)).combine_chunks())
        at = there[pc.fill_null(place, 0).to_numpy(zero_copy_only=False)]
        known = np.asarray(pc.is_valid(place).to_numpy(zero_copy_only=False), dtype=bool)
        held = fitted.held_rows
        predicted += np.where(known, held[at] if held is not None else 0.0, np.nan)
        actual += np.where(known, lesson.actual[at], np.nan)
    seen = np.isfinite(predicted)
    return Pairs(predicted=predicted[seen], actual=actual[seen])


def _facts(
    rungs: Sequence[int], steps: Sequence[tuple[FittedHeads, Lesson]], *, n_younger: int
) -> tuple[tuple[str, str], ...]:
    starts = (0, *rungs[:-1])
    taught = [
        f"{a} to {b} days: {s.actual.size:,} rows" for a, b, (_, s) in zip(starts, rungs, steps, strict=True)
    ]
    last = [(k, v) for k, v in steps[-1][0].facts if k in {"whales", "features that gained most"}]
    return (
        ("steps", "; ".join(taught)),
        ("rows too young for the whole window that taught its first step", f"{n_younger:,}"),
        *last,
    )
