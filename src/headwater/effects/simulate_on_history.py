"""A/A tests and power on the team's own users: assigned at random again and again, analyzed as an experiment is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headwater.core.block import Block, Cell, Field, Form, Grid, Prose, callouts
from headwater.core.errors import DataError, UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.show import Shown
from headwater.effects.choose_method import method_name
from headwater.effects.compared import RANDOMIZED
from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.effects.plan import Arm
from headwater.numerics.effect import Effect, effect_of
from headwater.numerics.moments import Moments
from headwater.numerics.power import power_of
from headwater.numerics.reassignment import reassigned

__all__ = ["HistorySimulation", "SimulatedMetric", "Tally", "simulate_on_history", "tally_of"]

Floats = NDArray[np.float64]
BOUNDS_LEVEL = 0.99
_TWO_ARMS = (Arm(name="control", share=0.5), Arm(name="treatment", share=0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many of so many runs, as a share with its exact binomial bounds (Clopper and Pearson 1934, 99%)."""

    count: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMetric:
    """A metric in one arm over all runs.

    ``false_alarms`` where nothing was done; ``covered`` and ``found`` with the injected relative effect: intervals that
    hold the true difference, and p below alpha. ``expected_power`` is what the mean standard error promises.
    ``std_error`` is the mean of what the runs said, ``spread`` the standard deviation of their estimates.
    """

    metric: Metric
    arm: str
    method: str
    false_alarms: Tally
    covered: Tally
    found: Tally
    expected_power: float
    std_error: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySimulation(Shown):
    """What the analysis does on these users when the truth is known."""

    rows: tuple[SimulatedMetric, ...]
    n_users: int
    n_runs: int
    alpha: float
    rel_effect: float
    findings: tuple[Finding, ...] = ()

    def blocks(self) -> tuple[Block, ...]:
        """A sentence, one row for each metric and arm, and findings."""
        worst = max(self.rows, key=lambda r: abs(r.false_alarms.share - self.alpha))
        lead = Prose(
            text=(
                f"{self.n_users:,} users assigned at random {self.n_runs:,} times: {worst.metric.name} raised a false "
                f"alarm in {worst.false_alarms.share:.1%} of the runs, where {self.alpha:.1%} are meant to."
            ),
            lead=True,
        )
        return lead, _grid(self), *callouts(self.findings)


def simulate_on_history(
    metrics: Sequence[Metric],
    columns: Mapping[str, Floats],
    *,
    rng: np.random.Generator,
    arms: Sequence[Arm] = _TWO_ARMS,
    n_runs: int = 500,
    rel_effect: float = 0.02,
    alpha: float = 0.05,
) -> HistorySimulation:
    """A/A tests, and tests of an injected effect, on users at hand.

    Parameters
    ----------
    metrics
        Of kinds that are functions of means.
    columns
        One array over users for each outcome, ``over`` and covariate that the metrics name.
    arms
        The control first.
    rel_effect
        What the outcome of treated users is multiplied by, less 1.

    Raises
    ------
    DataError
        ``simulation.not_finite`` for an outcome that is missing or infinite.
    UsageError
        ``simulation.unfit`` for a metric that is no function of means.
    """
    used = {m.name: (_kind_of(m), (*_kind_of(m).columns(m), *m.covariates)) for m in metrics}
    names = tuple(dict.fromkeys(c for _, own in used.values() for c in own))
    values = np.column_stack([_column(name, columns, metrics) for name in names])
    which = {name: [names.index(c) for c in own] for name, (_, own) in used.items()}
    runs = reassigned(
        values, together=list(which.values()), shares=[a.share for a in arms], n_runs=n_runs, rng=rng
    )
    rows = tuple(
        _simulated(
            _Task(
                metric=m,
                kind=used[m.name][0],
                columns=used[m.name][1],
                arms=tuple(a.name for a in arms),
                at=at,
                alpha=alpha,
            ),
            runs.moments(which[m.name]),
            rel_effect=rel_effect,
        )
        for m in metrics
        for at in range(1, len(arms))
    )
    return HistorySimulation(
        rows=rows,
        n_users=len(values),
        n_runs=n_runs,
        alpha=alpha,
        rel_effect=rel_effect,
        findings=tuple(f for row in rows for f in _findings(row, alpha)),
    )


def tally_of(flags: Sequence[bool] | NDArray[np.bool_], *, level: float = BOUNDS_LEVEL) -> Tally:
    """A share of runs with its exact bounds."""
    count, n, tail = int(np.sum(flags)), len(flags), (1 - level) / 2
    return Tally(
        count=count,
        n=n,
        share=count / n,
        low=float(special.betaincinv(count, n - count + 1, tail)) if count else 0.0,
        high=float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0,
    )


def _kind_of(metric: Metric) -> SmoothKind:
    kind = METRIC_KINDS.load(metric.kind)()
    if isinstance(kind, SmoothKind):
        return kind
    raise UsageError(
        "simulation.unfit",
        what=f"{metric.name} is of the kind {metric.kind}, which is no function of means.",
        why="Runs are made of moments; other kinds would have to sort all users in every run.",
        do="Leave it out here.",
    )


def _column(name: str, columns: Mapping[str, Floats], metrics: Sequence[Metric]) -> Floats:
    values = np.asarray(columns[name], dtype=np.float64)
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise DataError(
            "simulation.not_finite",
            what=f"{n_bad} of {values.size} users have no finite {name}.",
            why="Who is missing may depend on what the metric is; leaving users out quietly would simulate others.",
            do="Say what a missing value means (often 0), or leave these users out before.",
        )
    shares = [m.winsorize for m in metrics if m.outcome == name and m.winsorize is not None]
    return np.minimum(values, np.quantile(values, min(shares))) if shares else values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    """One metric in one arm: ``arms`` are names, the control first; ``at`` is the arm's place."""

    metric: Metric
    kind: SmoothKind
    columns: tuple[str, ...]
    arms: tuple[str, ...]
    at: int
    alpha: float


def _simulated(task: _Task, moments: Moments, *, rel_effect: float) -> SimulatedMetric:
    metric, alpha = task.metric, task.alpha
    n_own = len(task.kind.columns(metric))
    plain, method = _effects(task, moments)
    scaled = replace(metric, kind="mean") if n_own == 1 else metric  # shares times 1.02 are no zeros and ones
    moved, _ = _effects(replace(task, metric=scaled), _injected(moments, len(task.arms), task.at, rel_effect))
    truth = rel_effect * task.kind.value(moments.pooled().mean[0, :n_own])
    error = float(np.mean([e.std_error for e in moved]))
    return SimulatedMetric(
        metric=metric,
        arm=task.arms[task.at],
        method=method,
        false_alarms=tally_of([e.p_value < alpha for e in plain]),
        covered=tally_of([e.low <= truth <= e.high for e in moved]),
        found=tally_of([e.p_value < alpha for e in moved]),
        expected_power=power_of(abs(truth), error, alpha=alpha),
        std_error=float(np.mean([e.std_error for e in plain])),
        spread=float(np.std([e.difference for e in plain], ddof=1)),
    )


def _injected(moments: Moments, n_arms: int, at: int, rel_effect: float) -> Moments:
    """The same users, the outcome of one arm multiplied."""
    scale = np.ones((moments.n_groups, moments.mean.shape[1]))
    scale[at::n_arms, 0] = 1 + rel_effect
    return Moments(
        n=moments.n,
        mean=moments.mean * scale,
        scatter=moments.scatter * scale[:, :, None] * scale[:, None, :],
    )


def _effects(task: _Task, moments: Moments) -> tuple[list[Effect], str]:
    """The effect in every run that has one (where nobody differs from anybody there is none), and the method."""
    groups = tuple(Group(arm=a) for a in task.arms)
    runs = [
        _gathered(task, groups, moments.of(range(start, start + len(groups))))
        for start in range(0, moments.n_groups, len(groups))
    ]
    name = method_name(task.metric, runs[0])
    method = RANDOMIZED.load(name)()
    found: list[Effect] = []
    for gathered in runs:
        both = method.compare(task.metric, gathered, control=task.arms[0], arm=task.arms[task.at])
        if isinstance(both, Finding):
            raise DataError(both.code, what=both.what, why=both.why, do=both.do)
        effect = effect_of(both.control, both.arm, covariance=both.covariance, level=1 - task.alpha)
        if effect is not None:
            found.append(effect)
    return found, name


def _gathered(task: _Task, groups: tuple[Group, ...], moments: Moments) -> Gathered:
    state = MetricState(
        columns=task.columns, moments=moments, n_missing=np.zeros(len(groups), dtype=np.int64)
    )
    return Gathered(groups=groups, n_users=moments.n.astype(np.int64), metrics={task.metric.name: state})


def _findings(row: SimulatedMetric, alpha: float) -> tuple[Finding, ...]:
    if row.false_alarms.low <= alpha and row.covered.high >= 1 - alpha:
        return ()
    return (
        Finding(
            code="simulation.level",
            severity=Severity.WARN,
            what=(
                f"{row.metric.name}: {row.false_alarms.share:.1%} false alarms for {alpha:.1%}, and {row.covered.share:.1%} "
                f"of the intervals hold the truth, in {row.false_alarms.n:,} runs by {row.method}."
            ),
            why="On these users the method claims more than it keeps, mostly because few users carry most of the outcome.",
            do="Winsorize the metric, read it as a share of users who do it, or take more users.",
            numbers={"false_alarms": row.false_alarms.share, "covered": row.covered.share},
        ),
    )


def _grid(found: HistorySimulation) -> Grid:
    fields = (
        Field(name="metric", label="Metric"),
        Field(name="arm", label="Arm"),
        Field(name="method", label="Method"),
        Field(name="false_alarms", label="False alarms", form=Form.SHARE),
        Field(name="false_alarms_low", label="at least", form=Form.SHARE),
        Field(name="false_alarms_high", label="at most", form=Form.SHARE),
        Field(name="covered", label="Intervals that hold the truth", form=Form.SHARE),
        Field(name="found", label=f"Finds {found.rel_effect:.1%}", form=Form.SHARE),
        Field(name="expected_power", label="Expected to find it", form=Form.SHARE),
        Field(name="std_error", label="Standard error", form=Form.NUMBER),
        Field(name="spread", label="Spread of estimates", form=Form.NUMBER),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            r.metric.name, r.arm, r.method, r.false_alarms.share, r.false_alarms.low, r.false_alarms.high,
            r.covered.share, r.found.share, r.expected_power, r.std_error, r.spread,
        )
        for r in found.rows
    ]  # fmt: skip
    return Grid.of("simulation", "Assigned at random, analyzed, counted", fields, rows)
