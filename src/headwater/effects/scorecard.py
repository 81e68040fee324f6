"""The scorecard: the verdict, whether to trust it, and one row for each metric and arm."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.answer import Verdict
from headwater.core.block import (
    Block,
    Cell,
    Chart,
    ChartKind,
    Code,
    Field,
    Form,
    Grid,
    Prose,
    Role,
    callouts,
)
from headwater.core.finding import Finding, Severity
from headwater.core.show import Shown
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Plan

__all__ = ["CheckResult", "Outcome", "Row", "Scorecard"]

Outcome = str
"""better, worse, unclear, harmed, within margin, not shown within margin, or not read yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A metric in one arm beside the control.

    ``refused`` says why there is no number; then all figures are None. The interval is at ``level``, the level at
    which the plan's correction tests this row: it leaves out zero exactly where ``p_adjusted`` is below alpha.
    ``outcome`` says what may be read off: better or worse where the interval is clear of zero; of a guardrail
    with a margin, whether the harm is shown to be within it. ``removed`` is the share of variance that covariates or
    strata took away.
    """

    metric: Metric
    arm: str
    control: str
    n_control: int
    n_arm: int
    outcome: Outcome
    value_control: float | None = None
    value_arm: float | None = None
    difference: float | None = None
    std_error: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    relative: float | None = None
    rel_low: float | None = None
    rel_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    method: str = ""
    removed: float | None = None
    refused: Finding | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A trust check: its name on the shelf, what it says in a line, its p-value where it has one, and its findings.

    A check that found nothing to say has no finding; one that could not run says so in ``about``.
    """

    name: str
    about: str
    ran: bool
    p_value: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def says(self) -> str:
        """One word: passed, note, warn, block, or not run."""
        if not self.ran:
            return "not run"
        order = (Severity.BLOCK, Severity.WARN, Severity.NOTE)
        return next((s.value for s in order for f in self.findings if f.severity is s), "passed")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scorecard(Shown):
    """What an experiment says. ``arms`` are names with their users, the control first."""

    plan: Plan
    arms: tuple[tuple[str, int], ...]
    rows: tuple[Row, ...]
    checks: tuple[CheckResult, ...]
    verdict: Verdict
    method: str
    findings: tuple[Finding, ...] = ()
    sql: str = ""

    def __repr__(self) -> str:
        return (
            f"Scorecard({self.plan.name!r}, {self.verdict.stance.value!r}, n_rows={len(self.rows)}, "
            f"n_checks={len(self.checks)})"
        )

    def row(self, metric: str, arm: str) -> Row:
        """The row of a metric and an arm. Raises ``KeyError``."""
        found = next((r for r in self.rows if r.metric.name == metric and r.arm == arm), None)
        if found is None:
            raise KeyError((metric, arm))
        return found

    @property
    def title(self) -> str:
        """The heading of a file it is written to."""
        return f"Experiment {self.plan.name}"

    @property
    def lead(self) -> str:
        """The sentence a stakeholder reads first."""
        return f"{self.verdict.stance.value.capitalize()}: {' '.join(self.verdict.because)}"

    def blocks(self) -> tuple[Block, ...]:
        """The verdict and what forbids one, the effects, the checks, what else was noticed, and how it was made."""
        told = [Prose(text=self.lead, lead=True)]
        if self.verdict.would_change:
            told.append(Prose(text=f"What would change our mind: {' '.join(self.verdict.would_change)}"))
        of_rows = [f for r in self.rows for f in (*([r.refused] if r.refused else []), *r.findings)]
        said = dict.fromkeys([*self.findings, *(f for c in self.checks for f in c.findings), *of_rows])
        first = [f for f in said if f.severity is Severity.BLOCK]
        chart = self.effect_chart()
        sql = (Code(title="The query behind it", text=self.sql),) if self.sql else ()
        return (
            *told,
            *callouts(first),
            self.effect_grid(),
            *((chart,) if chart is not None else ()),
            self.check_grid(),
            *callouts(f for f in said if f not in first),
            self.arm_grid(),
            self.row_grid(),
            *sql,
        )

    def effect_grid(self) -> Grid:
        """What people read of each metric and arm."""
        fields = (
            Field(name="metric", label="Metric"),
            Field(name="part", label="Part"),
            Field(name="arm", label="Arm"),
            Field(name="outcome", label="Reads"),
            Field(name="value_control", label="Control", form=Form.NUMBER),
            Field(name="value_arm", label="Arm's value", form=Form.NUMBER),
            Field(name="relative", label="Relative", form=Form.SHARE),
            Field(name="rel_low", label="Low", form=Form.SHARE),
            Field(name="rel_high", label="High", form=Form.SHARE),
            Field(name="p_adjusted", label="p adjusted", form=Form.NUMBER),
        )
        rows = [
            (
                r.metric.name, r.metric.part.value, r.arm, r.outcome, r.value_control, r.value_arm,
                r.relative, r.rel_low, r.rel_high, r.p_adjusted,
            )
            for r in self.rows
        ]  # fmt: skip
        note = f"Read as: {self.method}. Relative to the control; an interval is at the level at which its row was tested, and leaves out zero exactly where p adjusted is at most {self.plan.alpha:g}."
        return Grid.of("effects", "Effects", fields, rows, note=note)

    def row_grid(self) -> Grid:
        """One row for each metric and arm, tidy and whole: for Excel, for BI, for Python."""
        fields = (
            *(
                Field(name=n, label=label)
                for n, label in (("metric", "Metric"), ("part", "Part"), ("arm", "Arm"), ("outcome", "Reads"))
            ),
            *(
                Field(name=n, label=label, form=form)
                for n, label, form in (
                    ("value_control", "Control", Form.NUMBER),
                    ("value_arm", "Arm's value", Form.NUMBER),
                    ("difference", "Difference", Form.NUMBER),
                    ("low", "Low", Form.NUMBER),
                    ("high", "High", Form.NUMBER),
                    ("level", "Level", Form.SHARE),
                    ("std_error", "Std. error", Form.NUMBER),
                    ("relative", "Relative", Form.SHARE),
                    ("rel_low", "Rel. low", Form.SHARE),
                    ("rel_high", "Rel. high", Form.SHARE),
                    ("p_value", "p", Form.NUMBER),
                    ("p_adjusted", "p adjusted", Form.NUMBER),
                    ("n_control", "Users, control", Form.INTEGER),
                    ("n_arm", "Users, arm", Form.INTEGER),
                    ("removed", "Variance removed", Form.SHARE),
                )
            ),
            Field(name="unit", label="Unit"),
            Field(name="method", label="Method"),
        )
        return Grid.of("effects_in_full", "Effects in full", fields, [_cells(r) for r in self.rows])

    def to_dict(self) -> dict[str, list[Cell]]:
        """The effects in full, as columns."""
        grid = self.row_grid()
        rows = list(grid.stream())
        return {f.name: [r[i] for r in rows] for i, f in enumerate(grid.fields)}

    def check_grid(self) -> Grid:
        """The trust checks."""
        fields = (
            Field(name="check", label="Check"),
            Field(name="says", label="Says"),
            Field(name="p_value", label="p", form=Form.NUMBER),
            Field(name="about", label="What was looked at"),
        )
        rows = [(c.name, c.says, c.p_value, c.about) for c in self.checks]
        return Grid.of("trust_checks", "May it be trusted", fields, rows)

    def arm_grid(self) -> Grid:
        """The arms and their users."""
        fields = (
            Field(name="arm", label="Arm"),
            Field(name="n_users", label="Users", form=Form.INTEGER),
            Field(name="share", label="Share", form=Form.SHARE),
            Field(name="planned", label="Planned", form=Form.SHARE),
        )
        total, planned = sum(n for _, n in self.arms) or 1, {a.name: a.share for a in self.plan.arms}
        whole = sum(planned.values()) or 1.0
        rows = [(name, n, n / total, planned.get(name, 0.0) / whole) for name, n in self.arms]
        return Grid.of("arms", "Who was in it", fields, rows)

    def effect_chart(self) -> Chart | None:
        """Relative effects with their intervals; None where no row has one of finite length."""
        many = len(self.arms) > 2
        rows = tuple(
            (f"{r.metric.name} ({r.arm})" if many else r.metric.name, r.relative, r.rel_low, r.rel_high)
            for r in self.rows
            if r.relative is not None and r.rel_low is not None and r.rel_high is not None
        )
        if not rows:
            return None
        fields = (
            Field(name="metric", label="Metric"),
            Field(name="relative", label="Relative effect", form=Form.SHARE),
            Field(name="rel_low", label="Low", form=Form.SHARE),
            Field(name="rel_high", label="High", form=Form.SHARE),
        )
        roles = ((Role.X, "metric"), (Role.Y, "relative"), (Role.LOW, "rel_low"), (Role.HIGH, "rel_high"))
        return Chart(
            name="effects_relative",
            title="Effects beside the control",
            kind=ChartKind.POINT_INTERVAL,
            fields=fields,
            rows=rows,
            roles=roles,
            finding=_clear_ones(self.rows),
        )


def _cells(row: Row) -> tuple[Cell, ...]:
    return (
        row.metric.name, row.metric.part.value, row.arm, row.outcome, row.value_control, row.value_arm,
        row.difference, row.low, row.high, row.level, row.std_error, row.relative, row.rel_low, row.rel_high,
        row.p_value, row.p_adjusted, row.n_control, row.n_arm, row.removed, row.metric.unit, row.method,
    )  # fmt: skip


def _clear_ones(rows: tuple[Row, ...]) -> str:
    clear = [
        f"{r.metric.name} in {r.arm} ({r.outcome})"
        for r in rows
        if r.outcome in {"better", "worse", "harmed"}
    ]
    told = f"clear of zero: {', '.join(clear)}" if clear else "none is clear of zero"
    primary = " The primary metrics decide." if any(r.metric.part is Part.PRIMARY for r in rows) else ""
    return f"Relative effects and their intervals; {told}.{primary}"
