"""What the LightGBM models share: heads grown on one lesson, a shape that makes a mean of them, calibration on held-out users.

Outcomes below zero (net refunds) are learned as zero and whales as the cap; the factor of the calibration
then meets the held-out total of what really happened, so that totals are net and whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import pyarrow as pa

from headwater.core.finding import Finding, Severity
from headwater.learners.boosting import Boosted, restore_boosting
from headwater.learners.boosting_encoder import Encoder
from headwater.learners.tuning import Dial
from headwater.models.drivers import Contributions
from headwater.models.ltv._lesson import Grown, Lesson
from headwater.models.model import Draws, Floats, Pairs, State
from headwater.numerics.attribution import rescaled
from headwater.numerics.calibration import Calibration, GroupFactors, calibrate

__all__ = ["DIALS", "FittedHeads", "Heads", "Shape", "fit_heads", "restore_heads"]

DIALS = (
    Dial(name="learning_rate", low=0.02, high=0.15, ratios=True),
    Dial(name="leaves", low=4, high=63, whole=True, ratios=True),
    Dial(name="rows_in_leaf", low=10, high=400, whole=True, ratios=True),
    Dial(name="share_of_features", low=0.3, high=1.0),
    Dial(name="penalty", low=1e-3, high=30.0, ratios=True),
)
_HEAVY = 0.2


class Shape(Protocol):
    """How the outputs of boosted models make a mean, before calibration. Outputs are as ``Boosted.predict`` gives them."""

    def mean(self, outputs: Sequence[Floats]) -> Floats:
        """The mean of each row, above zero."""
        ...

    def log_parts(self, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
        """SHAP values of each head, (n_rows, n_outputs, n_features + 1), as parts of the log of the mean.

        Returns what is shared, shape (n_rows,), and the parts, shape (n_rows, n_features).
        """
        ...

    def spread(self, outputs: Sequence[Floats], *, level: float, scale: Floats) -> Draws | None:
        """Bounds and variance of a distribution whose mean is multiplied by ``scale``, where the heads say one."""
        ...

    def state(self) -> State:
        """Numbers and text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What a model's own ``grow`` makes of a lesson: its boosted models, their shape, and facts of its own."""

    grown: tuple[Grown, ...]
    shape: Shape
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHeads:
    """A predictor of boosted heads. ``held_rows`` are held-out predictions of every row of the lesson, calibrated by other users."""

    encoder: Encoder
    models: tuple[Boosted, ...]
    shape: Shape
    calibration: Calibration
    held_out: Pairs | None = None
    held_rows: Floats | None = None
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.encoder.columns

    def predict(self, rows: pa.Table) -> Floats:
        matrix = self.encoder.matrix(rows)
        mean = self.shape.mean([m.predict(matrix) for m in self.models])
        return self.calibration.apply(mean, self.encoder.groups(matrix))

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        del rng
        matrix = self.encoder.matrix(rows)
        outputs = [m.predict(matrix) for m in self.models]
        mean = self.shape.mean(outputs)
        scale = self.calibration.apply(mean, self.encoder.groups(matrix)) / mean
        return self.shape.spread(outputs, level=level, scale=scale)

    def contributions(self, rows: pa.Table) -> Contributions:
        """What each column adds to the log of the forecast; with the base they sum to it."""
        matrix = self.encoder.matrix(rows)
        base, parts = self.shape.log_parts([m.contributions(matrix) for m in self.models])
        mapped = self.calibration.mapped
        parts = rescaled(parts, start=base, through=lambda at: np.log(mapped(np.exp(at))))
        base = np.log(mapped(np.exp(base)))
        groups = self.encoder.groups(matrix)
        for factors in self.calibration.groups:
            parts[:, self.columns.index(factors.name)] += np.log(factors.of(groups[factors.name]))
        return Contributions(columns=self.columns, base=base, parts=parts)

    def state(self) -> State:
        return {
            "encoder": self.encoder.state(),
            "models": [m.state() for m in self.models],
            "shape": self.shape.state(),
            "calibration": _calibration_state(self.calibration),
        }


def fit_heads(lesson: Lesson, grow: Callable[[Lesson], Heads]) -> FittedHeads:
    """Grow the heads, calibrate what they said of users they never saw, and keep both."""
    heads = grow(lesson)
    raw = heads.shape.mean([g.held for g in heads.grown])
    calibration = calibrate(raw, lesson.actual, clusters=lesson.buckets, groups=lesson.groups)
    held = _calibrated_by_others(raw, lesson)
    latest = lesson.cutoffs == lesson.cutoffs.max()
    return FittedHeads(
        encoder=lesson.encoder,
        models=tuple(g.model for g in heads.grown),
        shape=heads.shape,
        calibration=calibration,
        held_out=Pairs(predicted=held[latest], actual=lesson.actual[latest]),
        held_rows=held,
        facts=(*heads.facts, *_facts(lesson, heads.grown, calibration)),
        findings=_findings(lesson),
    )


def _calibrated_by_others(raw: Floats, lesson: Lesson) -> Floats:
    """Held-out predictions of each fold, calibrated by what the other folds taught: no row has seen its own outcome."""
    held = np.empty_like(raw)
    for fold in np.unique(lesson.folds):
        own = lesson.folds == fold
        taught = calibrate(
            raw[~own],
            lesson.actual[~own],
            clusters=lesson.buckets[~own],
            groups={name: codes[~own] for name, codes in lesson.groups.items()},
        )
        held[own] = taught.apply(raw[own], {name: codes[own] for name, codes in lesson.groups.items()})
    return held


def restore_heads(state: State, shape: Callable[[Mapping[str, object]], Shape]) -> FittedHeads:
    """The predictor of a saved state; ``shape`` makes the model's shape of its own part."""
    saved = cast("Mapping[str, Mapping[str, object]]", state)
    return FittedHeads(
        encoder=Encoder.restored(saved["encoder"]),
        models=tuple(restore_boosting(m) for m in cast("list[Mapping[str, object]]", state["models"])),
        shape=shape(saved["shape"]),
        calibration=_restored_calibration(saved["calibration"]),
    )


def _calibration_state(calibration: Calibration) -> dict[str, object]:
    return {
        "factor": calibration.factor,
        "knots": list(calibration.knots),
        "levels": list(calibration.levels),
        "groups": [{"name": g.name, "factors": list(g.factors)} for g in calibration.groups],
    }


def _restored_calibration(state: Mapping[str, object]) -> Calibration:
    groups = cast("list[dict[str, object]]", state["groups"])
    return Calibration(
        factor=float(cast("float", state["factor"])),
        knots=tuple(cast("list[float]", state["knots"])),
        levels=tuple(cast("list[float]", state["levels"])),
        groups=tuple(
            GroupFactors(name=str(g["name"]), factors=tuple(cast("list[float]", g["factors"])))
            for g in groups
        ),
    )


def _facts(lesson: Lesson, grown: Sequence[Grown], calibration: Calibration) -> tuple[tuple[str, str], ...]:
    gains = np.sum([g.model.gains() for g in grown], axis=0)
    top = ", ".join(lesson.encoder.columns[i] for i in np.argsort(-gains, kind="stable")[:5])
    below = lesson.actual < 0
    kept = {"increasing map"} if calibration.knots else set[str]()
    kept |= {f"factors by {g.name}" for g in calibration.groups}
    return (
        ("matured rows learned from", f"{lesson.actual.size:,}"),
        ("rounds of boosting", ", ".join(str(g.rounds) for g in grown)),
        *_leaves(lesson.settings.rows_in_leaf, [g.in_leaf for g in grown]),
        ("whales", _whales(lesson)),
        *(
            (
                (
                    "outcomes below zero, learned as zero",
                    f"{below.sum():,} rows, {lesson.actual[below].sum():,.2f}",
                ),
            )
            if below.any()
            else ()
        ),
        ("factor to the held-out total", f"{calibration.factor:.3f}"),
        *(
            (
                f"calibration: {name}",
                f"{'kept' if name in kept else 'not kept'}; held-out loss {-g.share:+.2%} ± {g.std_error:.2%}",
            )
            for name, g in calibration.gains
        ),
        ("features that gained most", top),
    )


def _leaves(asked: int, taken: Sequence[int]) -> tuple[tuple[str, str], ...]:
    if min(taken) >= asked:
        return ()
    told = f"{', '.join(map(str, taken))} in place of {asked}: at most a twentieth of the rows learned from"
    return (("fewest rows of a leaf", told),)


def _whales(lesson: Lesson) -> str:
    cap = lesson.cap
    if cap.n_above == 0:
        return "none beyond the cap" if np.isfinite(cap.at) else "none"
    share = cap.taken_off / max(float(lesson.actual.sum()), 1e-300)
    return f"{cap.n_above:,} rows learned as {cap.at:,.2f}, {cap.taken_off:,.2f} ({share:.1%}) taken off in training, given back in the total"


def _findings(lesson: Lesson) -> tuple[Finding, ...]:
    share = lesson.cap.taken_off / max(float(lesson.actual.sum()), 1e-300)
    if share < _HEAVY:
        return ()
    return (
        Finding(
            code="fit.whales",
            severity=Severity.WARN,
            what=f"{lesson.cap.n_above:,} of {lesson.actual.size:,} matured rows lie above {lesson.cap.at:,.2f} and hold {share:.0%} of the total beyond it.",
            why="The total hangs on users of whom there are few: the next window may bring none of them, or more.",
            do="Report totals with and without them, and forecast the largest accounts by hand.",
            numbers={"n_rows": lesson.cap.n_above, "share": share},
        ),
    )
