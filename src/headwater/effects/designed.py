"""A design as a result: what each metric needs, what stop rules cost and covariates buy, as blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from headwater.core.block import Block, Cell, Chart, ChartKind, Field, Form, Grid, Prose, Role, callouts
from headwater.core.finding import Finding
from headwater.core.show import Shown
from headwater.effects.history import MetricHistory
from headwater.effects.metric import Part
from headwater.effects.plan import Plan
from headwater.effects.sample_size_sheet import sample_size_sheet
from headwater.effects.stop_costs import StopCost

__all__ = ["CurvePoint", "Design", "MetricDesign", "thinnest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDesign:
    """What one metric needs.

    ``rel_effect`` is what it shall find, relative to history; of a guardrail the tolerated harm, and ``difference`` is
    in the unit of the metric. Users are of the whole experiment, all arms. ``n_days`` is None where they do not come
    in half a year. ``rel_detectable`` is what the planned users find, None where the metric is zero in history.
    """

    history: MetricHistory
    rel_effect: float
    difference: float
    alpha: float
    n_users: int
    n_users_plain: int
    n_days: int | None
    rel_detectable: float | None

    @property
    def two_sided_alpha(self) -> float:
        """The error rate of the two-sided test with the same bound."""
        metric = self.history.metric
        return self.alpha * (2 if metric.part is Part.GUARDRAIL and metric.margin is not None else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The least relative effect of a metric found after so many days; plain, and with the covariates."""

    metric: str
    n_days: int
    n_users: int
    rel_detectable: float
    rel_detectable_plain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design(Shown):
    """A design: ``plan`` is the plan completed with users, looks and rule; ``n_days`` None where it cannot end."""

    plan: Plan
    metrics: tuple[MetricDesign, ...]
    curve: tuple[CurvePoint, ...]
    stopping: tuple[StopCost, ...]
    n_users: int
    n_days: int | None
    users_a_day: float
    findings: tuple[Finding, ...] = ()

    def blocks(self) -> tuple[Block, ...]:
        """The sentence, what metrics need, the rules, what covariates buy, the curve, and the live sheet."""
        days = "more than half a year" if self.n_days is None else f"{self.n_days} days"
        days = days if self.users_a_day > 0 else "an unknown number of days"
        rule = next(s for s in self.stopping if s.method == self.plan.stop.method)
        lead = Prose(
            text=f"{self.n_users:,} users in {days}, {rule.name}: power {self.plan.power:.0%} for every primary metric.",
            lead=True,
        )
        deciding = next(m for m in self.metrics if m.n_users == max(d.n_users for d in self.metrics))
        sheet = sample_size_sheet(
            deciding.history,
            rel_effect=deciding.rel_effect,
            alpha=deciding.two_sided_alpha,
            power=self.plan.power,
            shares=thinnest(self.plan),
            inflation=rule.inflation or 1.0,
            users_a_day=self.users_a_day,
        )
        bought = (_bought_grid(self.metrics),) if any(m.history.explained for m in self.metrics) else ()
        curve = (_chart(self.curve), _curve_grid(self.curve)) if self.curve else ()
        return (
            lead,
            _metric_grid(self.metrics),
            _stopping_grid(self.stopping),
            *bought,
            *curve,
            *callouts(self.findings),
            sheet,
        )


def thinnest(plan: Plan) -> tuple[float, float]:
    """The shares of the control and of the smallest treatment: the comparison that needs the most users."""
    return plan.control.share, min(a.share for a in plan.treatments)


def _metric_grid(metrics: Sequence[MetricDesign]) -> Grid:
    fields = (
        Field(name="metric", label="Metric"),
        Field(name="part", label="Part"),
        Field(name="history", label="In history", form=Form.NUMBER),
        Field(
            name="rel_effect",
            label="Effect to find",
            form=Form.SHARE,
            note="of a guardrail: the tolerated harm",
        ),
        Field(
            name="alpha", label="Error rate", form=Form.NUMBER, note="of one comparison, after the correction"
        ),
        Field(name="n_users", label="Users", form=Form.INTEGER, note="all arms, covariates used"),
        Field(name="n_users_plain", label="Users without covariates", form=Form.INTEGER),
        Field(name="n_days", label="Days", form=Form.INTEGER, note="empty: not in half a year"),
        Field(name="rel_detectable", label="Found at the planned users", form=Form.SHARE),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            m.history.metric.name, m.history.metric.part.value, m.history.value, m.rel_effect, m.alpha, m.n_users,
            m.n_users_plain, m.n_days, m.rel_detectable,
        )
        for m in metrics
    ]  # fmt: skip
    return Grid.of("design", "What each metric needs", fields, rows)


def _stopping_grid(costs: Sequence[StopCost]) -> Grid:
    fields = (
        Field(name="rule", label="Stop rule"),
        Field(name="n_looks", label="Looks", form=Form.INTEGER),
        Field(name="error", label="True error", form=Form.SHARE),
        Field(name="power", label="Power with a fixed test's users", form=Form.SHARE),
        Field(name="inflation", label="Times its users for the planned power", form=Form.NUMBER),
        Field(name="expected_share", label="Of its users, taken on average", form=Form.SHARE),
    )
    rows: list[tuple[Cell, ...]] = [
        (c.name, c.n_looks, c.error, c.power, c.inflation, c.expected_share) for c in costs
    ]
    note = "The power of stopping at the first small p is bought with false wins."
    return Grid.of(
        "stop_rules", "What looking early costs", fields, rows, note=note if len(costs) > 1 else ""
    )


def _bought_grid(metrics: Sequence[MetricDesign]) -> Grid:
    fields = (
        Field(name="metric", label="Metric"),
        Field(name="covariates", label="Covariates"),
        Field(name="explained_share", label="Variance removed", form=Form.SHARE),
        Field(name="n_users", label="Users", form=Form.INTEGER),
    )
    rows: list[tuple[Cell, ...]] = [
        (m.history.metric.name, ", ".join(e.covariates), e.share, ceil(m.n_users_plain * (1 - e.share)))
        for m in metrics
        for e in m.history.explained
    ]
    return Grid.of("covariates", "What covariates buy", fields, rows)


def _curve_grid(curve: Sequence[CurvePoint]) -> Grid:
    fields = (
        Field(name="metric", label="Metric"),
        Field(name="n_days", label="Days", form=Form.INTEGER),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="rel_detectable", label="Least effect found", form=Form.SHARE),
        Field(name="rel_detectable_plain", label="Without covariates", form=Form.SHARE),
    )
    rows: list[tuple[Cell, ...]] = [
        (p.metric, p.n_days, p.n_users, p.rel_detectable, p.rel_detectable_plain) for p in curve
    ]
    return Grid.of("curve", "What is found by when", fields, rows)


def _chart(curve: Sequence[CurvePoint]) -> Chart:
    first, last = curve[0], next(p for p in reversed(curve) if p.metric == curve[0].metric)
    return Chart(
        name="detectable_by_days",
        title="Least relative effect found, by days",
        kind=ChartKind.LINE,
        fields=(
            Field(name="n_days", label="Days", form=Form.INTEGER),
            Field(name="rel_detectable", label="Least effect found", form=Form.SHARE),
            Field(name="metric", label="Metric"),
        ),
        rows=tuple((p.n_days, p.rel_detectable, p.metric) for p in curve),
        roles=((Role.X, "n_days"), (Role.Y, "rel_detectable"), (Role.SERIES, "metric")),
        finding=(
            f"{first.metric}: {first.rel_detectable:.1%} after {first.n_days} days, "
            f"{last.rel_detectable:.1%} after {last.n_days}."
        ),
    )
