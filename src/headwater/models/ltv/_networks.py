"""What the network models share: which users and cutoffs they learn from, what they are judged on, how totals are kept.

Each of three networks learns from two thirds of the users at earlier cutoffs and is stopped by the loss of the other
third at the latest cutoff that has matured (of many rows, one network and a fifth of the users do). A last network then
learns from all rows for as many passes as those took. It forecasts; they say how far forecasts are off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats
from headwater.learners.network import Network, restore_network
from headwater.learners.network_heads import Head, network_library
from headwater.learners.network_rows import RowSource, rises
from headwater.learners.network_training import Learned, TrainingSettings, learn_network
from headwater.models.model import Draws, Floats, Pairs, State, Training, require_signal

__all__ = ["NEEDS", "NetworkForecast", "fit_network", "restore_forecast", "steady_factor"]

NEEDS = ("torch", "deep")
"""The library that networks are trained with, and the extra that brings it."""

_FEWEST_PAID, _FEWEST_HELD_PAID = 30, 10
_FOLDS, _FOLDS_OF_MANY = 3, 5
_MANY_ROWS = 100_000  # above it a fifth of the users says enough, and one network for them costs a quarter
_FAR_OFF = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkForecast:
    """A network's forecasts: what each rung adds, times its factor, times the share kept after refunds.

    ``factors`` has shape (n_rungs,); every one is above zero, so a longer rung never lies below a shorter one.
    """

    network: Network
    rungs: tuple[int, ...]
    factors: Floats
    kept_share: float
    held_out: Pairs | None = None
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns it reads."""
        return (*self.network.inputs.numbers, *self.network.inputs.words)

    def predict(self, rows: pa.Table) -> Floats:
        """The expected outcome of each row at the task's horizon."""
        return self.by_rung(rows)[:, -1]

    def by_rung(self, rows: pa.Table) -> Floats:
        """The expected outcome of each row at every rung, shape (n_rows, n_rungs); it never falls from rung to rung."""
        return np.cumsum(self.network.means(rows) * self.factors, axis=1) * self.kept_share

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        """Quantiles of the distribution the network learned, where it has one rung: quantiles do not add."""
        del rng
        if len(self.rungs) > 1:
            return None
        head, blocks = self.network.head, self.network.outputs(rows)
        scale = float(self.factors[0]) * self.kept_share
        low, high = (head.quantile(blocks, (1 + s * level) / 2)[:, 0] * scale for s in (-1, 1))
        mean = head.means(blocks)[:, 0]
        variance = np.maximum(head.square_means(blocks)[:, 0] - mean**2, 0.0) * scale**2
        return Draws(
            low=np.minimum(low, mean * scale), high=np.maximum(high, mean * scale), variance=variance
        )

    def state(self) -> State:
        """Numbers and text: the weights as base64 of 32-bit floats."""
        return {
            "network": self.network.state(),
            "rungs": list(self.rungs),
            "factors": self.factors.tolist(),
            "kept_share": self.kept_share,
        }


def restore_forecast(state: State) -> NetworkForecast:
    """The forecasts of a saved state."""
    return NetworkForecast(
        network=restore_network(cast("Mapping[str, Any]", state["network"])),
        rungs=tuple(int(r) for r in cast("list[int]", state["rungs"])),
        factors=np.asarray(state["factors"], dtype=float),
        kept_share=float(cast("float", state["kept_share"])),
    )


def fit_network(
    training: Training,
    *,
    rungs: tuple[int, ...],
    head_of: Callable[[Floats], Head],
    settings: TrainingSettings | None = None,
) -> NetworkForecast:
    """Learn, be judged, learn again from everything.

    Raises ``UsageError`` (``extra.missing``) without PyTorch, ``DataError`` where the data cannot carry it.
    A rung to which too few users add anything is joined with its neighbor.
    """
    network_library()
    chosen = replace(settings or TrainingSettings(), threads=training.threads)
    plan = _plan(training, rungs)
    poor = _poor_rung(plan)
    if poor is not None:
        return fit_network(training, rungs=_without(rungs, poor), head_of=head_of, settings=settings)
    kept = _kept_share(plan.every)
    tried = [_try(fold, head_of=head_of, settings=chosen, rng=training.rng) for fold in plan.folds]
    gross, raw, outcome = (np.concatenate(parts) for parts in zip(*(t.held for t in tried), strict=True))
    later = _later_factors(gross, raw)
    passes = max(1, round(float(np.median([t.learned.passes for t in tried]))))
    final = learn_network(plan.every, head_of=head_of, settings=chosen, rng=training.rng, passes=passes)
    own = _own_factors(final.network, plan.every)
    return NetworkForecast(
        network=final.network,
        rungs=rungs,
        factors=own * later,
        kept_share=kept,
        held_out=Pairs(predicted=_held(tried) * kept, actual=outcome),
        facts=_facts([t.learned for t in tried], final, rungs=rungs, own=own, later=later, kept=kept),
        findings=(*plan.findings, *_corrected(float(raw.sum()), float((raw * later).sum()))),
    )


def steady_factor(actual: Floats, predicted: Floats) -> float:
    """Actual over predicted total, drawn towards 1 as far as its own noise reaches (positive-part James-Stein on logs).

    >>> steady_factor(np.array([2.0, 2.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    2.0
    """
    total, expected = float(actual.sum()), float(predicted.sum())
    if total <= 0 or expected <= 0:
        return 1.0
    log = float(np.log(total / expected))
    noise = float(np.square(actual - predicted * (total / expected)).sum()) / total**2
    return float(np.exp(log * max(0.0, 1 - noise / log**2))) if log else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """What one network learns from, and the users held out on whom it is judged."""

    learn: RowSource
    held: RowSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """All rows, and the folds of users in which they are tried first."""

    every: RowSource
    folds: tuple[_Fold, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A network, and for the users it is judged on: what rungs added, what it expected, and the outcome."""

    learned: Learned
    held: tuple[Floats, Floats, Floats]


def _plan(training: Training, rungs: tuple[int, ...]) -> _Plan:
    snapshot = training.snapshot
    matured = training.mature(())
    require_signal(training, matured)
    last = int(column_floats(matured, "cutoff").max())
    cutoffs = frozenset(c for c in snapshot.cutoffs if c <= training.now)
    every = RowSource(
        files=snapshot.rows.files,
        numbers=tuple(c.name for c in snapshot.features),
        words=tuple(c.name for c in snapshot.attributes),
        targets=tuple(training.target_of(r) for r in rungs),
        latest=tuple(training.now - r for r in rungs),
        cutoffs=cutoffs,
    )
    earlier = replace(every, cutoffs=frozenset(c for c in cutoffs if c < last))
    at_last = replace(every, cutoffs=frozenset({last}))
    time_later = bool(_paid(earlier.every_target()).min() >= _FEWEST_PAID)
    folds = [(k, _FOLDS) for k in range(_FOLDS)] if matured.num_rows <= _MANY_ROWS else [(0, _FOLDS_OF_MANY)]
    return _Plan(
        every=every,
        folds=tuple(
            _Fold(learn=replace(earlier if time_later else at_last, without=f), held=replace(at_last, only=f))
            for f in folds
        ),
        findings=() if time_later else (_same_time(last),),
    )


def _try(
    fold: _Fold, *, head_of: Callable[[Floats], Head], settings: TrainingSettings, rng: np.random.Generator
) -> _Tried:
    learned = learn_network(fold.learn, head_of=head_of, settings=settings, rng=rng, watched=fold.held)
    expected = _means(learned.network, fold.held) * _own_factors(learned.network, fold.learn)
    targets = fold.held.every_target()
    whole = _whole(targets)
    return _Tried(learned=learned, held=(rises(targets)[whole], expected[whole], targets[whole, -1]))


def _later_factors(gross: Floats, raw: Floats) -> Floats:
    """What rungs added to users held out, over what was expected of them; shape (n_rungs,)."""
    return np.array([steady_factor(g, m) for g, m in zip(gross.T, raw.T, strict=True)])


def _held(tried: list[_Tried]) -> Floats:
    """What was expected of users held out, each fold corrected by the factors of the others; one fold alone by its own."""
    parts: list[Floats] = []
    for own in tried:
        judges = [t for t in tried if t is not own] or tried
        gross, raw = (np.concatenate([t.held[k] for t in judges]) for k in (0, 1))
        parts.append((own.held[1] * _later_factors(gross, raw)).sum(axis=1))
    return np.concatenate(parts)


def _whole(targets: Floats) -> NDArray[np.bool_]:
    """Rows whose target is known at every rung: a hole in the log may empty a short one and leave a long one, or the reverse."""
    return np.asarray(np.isfinite(targets).all(axis=1), dtype=np.bool_)


def _paid(targets: Floats) -> Floats:
    """How many rows add something to each rung, shape (n_rungs,)."""
    return np.count_nonzero(np.nan_to_num(rises(targets)) > 0, axis=0).astype(float)


def _poor_rung(plan: _Plan) -> int | None:
    """The rung to which the fewest add anything, where they are too few; raises ``DataError`` where it is the only one.

    Users held out are too few also where too few of them are known at every rung.
    """
    targets = [f.held.every_target() for f in plan.folds]
    learn = np.min([_paid(f.learn.every_target()) for f in plan.folds], axis=0)
    held = np.min([_paid(t) for t in targets], axis=0)
    whole = np.min([_paid(t[_whole(t)]) for t in targets])
    short = np.minimum(learn / _FEWEST_PAID, held / _FEWEST_HELD_PAID)
    at = int(short.argmin())
    if short[at] >= 1 and whole >= _FEWEST_HELD_PAID:
        return None
    if short.size > 1:
        return at
    raise DataError(
        "fit.nothing_to_learn",
        what=f"{int(learn[at]):,} matured outcomes above zero to learn from, {int(held[at]):,} of users held out.",
        why=f"A network needs {_FEWEST_PAID} and {_FEWEST_HELD_PAID} to learn how large amounts are and to be stopped in time.",
        do="Check the measure, or use a longer log or a simpler model.",
    )


def _without(rungs: tuple[int, ...], at: int) -> tuple[int, ...]:
    """One rung fewer; the last always stays, since it is what is asked for."""
    gone = min(at, len(rungs) - 2)
    return tuple(r for k, r in enumerate(rungs) if k != gone)


def _means(network: Network, source: RowSource) -> Floats:
    """What each rung is expected to add to each row, in the order of ``every_target``."""
    return np.concatenate([network.means(source.read(p)[0]) for p in source.pieces()])


def _own_factors(network: Network, source: RowSource) -> Floats:
    """What each rung added to the rows learned from, over what the network says it did; shape (n_rungs,)."""
    amounts = rises(source.every_target())
    known = np.isfinite(amounts)
    return np.nansum(amounts, axis=0) / np.where(known, _means(network, source), 0.0).sum(axis=0)


def _kept_share(every: RowSource) -> float:
    """The total at the last rung over what the rungs add to it: what is left after refunds. Raises ``DataError``."""
    targets = every.every_target()
    whole = targets[_whole(targets)]
    net, gross = float(whole[:, -1].sum()), float(rises(whole).sum())
    if net <= 0:
        raise DataError(
            "fit.nothing_to_learn",
            what=f"{len(whole):,} matured rows come to {net:,.2f} in total, after {gross:,.2f} before refunds.",
            why="A mean cannot be learned from a total that is not above zero.",
            do="Check the measure, or predict an amount before refunds.",
        )
    return net / gross


def _same_time(cutoff: int) -> Finding:
    return Finding(
        code="network.same_time",
        severity=Severity.WARN,
        what=f"{date_of(cutoff)} is the only cutoff with enough matured rows, so training was stopped by users held out at it, not by a later time.",
        why="What changes from one time to the next was not seen: the network may have learned the season of that day.",
        do="Use a longer log or a shorter horizon, so that two cutoffs have matured; trust the backtest.",
    )


def _corrected(raw: float, used: float) -> tuple[Finding, ...]:
    factor = used / raw
    if 1 / _FAR_OFF <= factor <= _FAR_OFF:
        return ()
    return (
        Finding(
            code="network.total_corrected",
            severity=Severity.WARN,
            what=f"The network's total for users held out was {raw:,.2f}; it is multiplied by {factor:.2f} to agree with what they brought.",
            why="The shape it assumes for amounts does not fit, or the last window differs from those before; one factor for all is a crude repair.",
            do="Compare its calibration by decile with the other models' in the backtest.",
        ),
    )


def _facts(
    tried: list[Learned], final: Learned, *, rungs: tuple[int, ...], own: Floats, later: Floats, kept: float
) -> tuple[tuple[str, str], ...]:
    one = tried[0]
    log = [
        f"{n}: {seen:.4f}" for n, (_, seen) in enumerate(one.losses, start=1) if n % 5 == 1 or n == one.passes
    ]
    return (
        ("rows learned from", f"{final.n_rows:,}"),
        ("horizons learned at once", ", ".join(f"{r}d" for r in rungs)),
        ("numbers learned", f"{final.network.n_weights:,}"),
        ("trained on", final.device),
        ("passes over the rows", f"{final.passes}, as judged by {len(tried)} networks on users held out"),
        ("loss of users held out, before and after", f"{one.start_loss:.4f}, {one.best_loss:.4f}"),
        ("loss of users held out by pass", "; ".join(log)),
        ("factors of learned totals", ", ".join(f"{f:.3f}" for f in own)),
        ("factors of held-out totals", ", ".join(f"{f:.3f}" for f in later)),
        ("kept after refunds", f"{kept:.1%}"),
    )
