"""The program of experiments: how often we win, how big true effects are, what the wins are worth, what to expect next.

Read off the record of experiments: the last look of each experiment, one relative effect for each metric and arm,
signed so that more is better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.core.block import Block, Field, Form, Grid, Prose
from headwater.core.show import Shown
from headwater.numerics.meta_analysis import LEAST_EFFECTS, Pooled, pooled, reml_variance
from headwater.numerics.winners_curse import Wins, wins_of

__all__ = ["MetricProgram", "Program", "Together", "program"]

Floats = NDArray[np.float64]
CRITICAL = 1.959963984540054  # the two-sided 5% of one test


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricProgram:
    """A metric over all experiments: how many came out clearly better or worse, effects together, and the wins."""

    metric: str
    n: int
    n_better: int
    n_worse: int
    effects: Pooled
    wins: Wins


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """How true effects on two metrics correlate over ``n`` experiments.

    The record has no covariance of the noise of two metrics on the same users, so the correlation is known within
    ``low`` and ``high``: what it is for any noise there can be.
    """

    first: str
    second: str
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Program(Shown):
    """Each metric's effects, and pairs that move together. ``n_left_out`` counts results that were not trusted or refused."""

    metrics: tuple[MetricProgram, ...]
    pairs: tuple[Together, ...]
    n_experiments: int
    n_left_out: int

    def blocks(self) -> tuple[Block, ...]:
        """What was won, what it is worth, and what to expect of the next."""
        told = f"{self.n_experiments} experiments; {self.n_left_out} results are left out because a check of trust failed or no figure could be told."
        lines = [
            f"{m.metric}: {m.n_better} of {m.n} came out better. Their effects add up to {m.wins.observed:+.1%}, of which {m.wins.corrected:+.1%} ({m.wins.low:+.1%} to {m.wins.high:+.1%}) is likely true; the next one does between {m.effects.next_low:+.1%} and {m.effects.next_high:+.1%}."
            for m in self.metrics
        ]
        return (
            Prose(text=told, lead=True),
            *(Prose(text=line) for line in lines),
            self.metric_grid(),
            self.pair_grid(),
        )

    def metric_grid(self) -> Grid:
        """One row a metric."""
        shares = (
            ("mean", "Mean effect"), ("mean_low", "Low"), ("mean_high", "High"), ("spread", "Spread of true effects"),
            ("next_low", "Next, low"), ("next_high", "Next, high"), ("observed", "Wins as observed"),
            ("corrected", "Wins corrected"), ("corrected_low", "Corrected, low"), ("corrected_high", "Corrected, high"),
        )  # fmt: skip
        fields = (
            Field(name="metric", label="Metric"),
            Field(name="n", label="Effects", form=Form.INTEGER),
            Field(name="n_better", label="Better", form=Form.INTEGER),
            Field(name="n_worse", label="Worse", form=Form.INTEGER),
            *(Field(name=n, label=label, form=Form.SHARE) for n, label in shares),
        )
        rows = [
            (
                m.metric, m.n, m.n_better, m.n_worse, m.effects.mean, m.effects.low, m.effects.high, m.effects.tau2**0.5,
                m.effects.next_low, m.effects.next_high, m.wins.observed, m.wins.corrected, m.wins.low, m.wins.high,
            )
            for m in self.metrics
        ]  # fmt: skip
        note = "Relative effects at their last look, more is better. A sum of wins is too high by selection; corrected sums are posterior means under the spread of this record's own effects."
        return Grid.of("program", "The program by metric", fields, rows, note=note)

    def pair_grid(self) -> Grid:
        """Which metrics move together."""
        fields = (
            Field(name="first", label="Metric"),
            Field(name="second", label="And"),
            Field(name="n", label="Effects", form=Form.INTEGER),
            Field(name="low", label="Correlation, at least", form=Form.NUMBER),
            Field(name="high", label="At most", form=Form.NUMBER),
        )
        rows = [(p.first, p.second, p.n, p.low, p.high) for p in self.pairs]
        note = "Of true effects; bounds hold whatever the noise of the two has in common, and count no error of estimation."
        return Grid.of("together", "Which metrics move together", fields, rows, note=note)


def program(results: Iterable[Mapping[str, Any]]) -> Program:
    """From rows of the record's results; metrics with fewer than three effects are left out of the tables."""
    last: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in results:
        key = (row["experiment"], row["arm"], row["metric"])
        if key not in last or (row["looked_on"], row["n_users"]) >= (
            last[key]["looked_on"],
            last[key]["n_users"],
        ):
            last[key] = row  # fmt: skip
    used = {key: row for key, row in last.items() if _has_effect(row)}
    by_metric: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
    for (experiment, arm, metric), row in used.items():
        by_metric.setdefault(metric, {})[experiment, arm] = _effect(row)
    enough = {m: e for m, e in sorted(by_metric.items()) if len(e) >= LEAST_EFFECTS}
    return Program(
        metrics=tuple(_metric(m, list(e.values())) for m, e in enough.items()),
        pairs=tuple(p for a, b in combinations(enough, 2) if (p := _together(a, b, enough)) is not None),
        n_experiments=len({key[0] for key in last}),
        n_left_out=len(last) - len(used),
    )


def _has_effect(row: Mapping[str, Any]) -> bool:
    return bool(row["trusted"] and row["relative"] is not None and row["std_error"] and row["value_control"])


def _effect(row: Mapping[str, Any]) -> tuple[float, float]:
    """The relative effect, more is better, and its error: that of the ratio where the arms are alike in spread."""
    sign = 1 if row["better"] == "higher" else -1
    return sign * row["relative"], row["std_error"] / abs(row["value_control"])


def _metric(name: str, effects: Sequence[tuple[float, float]]) -> MetricProgram:
    y, error = np.array(effects).T
    together = pooled(y, error**2)
    assert together is not None
    return MetricProgram(
        metric=name,
        n=y.size,
        n_better=int((y > CRITICAL * error).sum()),
        n_worse=int((y < -CRITICAL * error).sum()),
        effects=together,
        wins=wins_of(y, error, y > CRITICAL * error, critical=CRITICAL),
    )


def _together(
    first: str, second: str, by_metric: Mapping[str, Mapping[tuple[str, str], tuple[float, float]]]
) -> Together | None:
    both = [k for k in by_metric[first] if k in by_metric[second]]
    if len(both) < LEAST_EFFECTS:
        return None
    a, b = (np.array([by_metric[m][k] for k in both]) for m in (first, second))
    scale = np.sqrt(reml_variance(a[:, 0], a[:, 1] ** 2) * reml_variance(b[:, 0], b[:, 1] ** 2))
    if not scale > 0:
        return None
    seen, noise = np.cov(a[:, 0], b[:, 0])[0, 1], float((a[:, 1] * b[:, 1]).mean())
    low, high = np.clip([(seen - noise) / scale, (seen + noise) / scale], -1, 1)
    return Together(first=first, second=second, n=len(both), low=float(low), high=float(high))
