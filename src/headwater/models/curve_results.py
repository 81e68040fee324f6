"""What cohorts brought by age and are to bring: the result of ``cohort_curves``, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.block import Block, Chart, ChartKind, Field, Form, Grid, Prose, Role, callouts
from headwater.core.finding import Finding, Severity
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.models.cohort_counts import Cohort

__all__ = ["CohortCurves", "CohortTotal", "GroupCurve"]

_DRAWN = 6
_BAND = "the band holds the mean of all such users, not a single one"


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortTotal:
    """One cohort (of one group): per user so far, and the total to come over the horizon with its interval."""

    cohort: str
    group: str
    n_users: int
    seen_ages: int
    so_far: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCurve:
    """Expected value of a user of a group up to each age, cumulative, with bounds of that mean; its users, and the ages seen."""

    group: str
    n_users: int
    seen_ages: int
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortCurves(Shown):
    """What cohorts brought by age and are to bring.

    Attributes
    ----------
    cohorts
        One entry for each cohort and group, in order.
    curves
        One for each group, in the order of its name.
    mape_points, mape_totals
        Errors of past forecasts of cohorts, as shares; None where the log holds no past origin.
    total_error
        Root mean squared relative error of cohorts' totals, each weighed by its size; None where never tried.
    shared_error
        The relative error that all cohorts of an origin shared.
    """

    measure: str
    unit: str
    by: Cohort
    attribute: str | None
    cutoff: int
    age_days: int
    horizon_days: int
    level: float
    cohorts: tuple[CohortTotal, ...]
    curves: tuple[GroupCurve, ...]
    mape_points: float | None
    mape_totals: float | None
    total_error: float | None
    shared_error: float
    n_origins: int
    findings: tuple[Finding, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups."""
        return tuple(c.group for c in self.curves)

    @property
    def past(self) -> str:
        """How well such forecasts did on past cohorts, in a sentence."""
        if self.mape_totals is None or self.mape_points is None:
            return "The log holds no past origin on which these forecasts could be tried."
        return (
            f"At {self.n_origins} past origins, cohorts' totals over {self.horizon_days} days were off by {self.total_error or 0:.1%} "
            f"with cohorts weighed by their size (root mean square); each counted alike, by {self.mape_totals:.1%} (aggregate MAPE), "
            f"single points of their curves by {self.mape_points:.1%} (point-wise MAPE)."
        )

    def blocks(self) -> tuple[Block, ...]:
        """What forbids their use, how well past forecasts did, the curves, the cohorts, what else is to be known."""
        return (
            *callouts(self.forbidding),
            Prose(text=self.past),
            self.curve_chart(),
            self.cohort_chart(),
            self.cohort_grid(),
            self.curve_grid(),
            *callouts(self.beside),
        )

    @property
    def forbidding(self) -> tuple[Finding, ...]:
        """Findings that must be read before any figure."""
        return tuple(f for f in self.findings if f.severity is Severity.BLOCK)

    @property
    def beside(self) -> tuple[Finding, ...]:
        """The other findings."""
        return tuple(f for f in self.findings if f.severity is not Severity.BLOCK)

    @property
    def name(self) -> str:
        """``revenue``, or ``revenue_by_channel``."""
        return self.measure if self.attribute is None else f"{self.measure}_by_{self.attribute}"

    def cohort_grid(self) -> Grid:
        """Each cohort and group: what it brought, what it is to bring."""
        fields = (
            Field(name="cohort", label="First seen"),
            Field(name="group", label=self.attribute or "Group"),
            Field(name="n_users", label="Users", form=Form.INTEGER),
            Field(name="seen_ages", label=f"Ages of {self.age_days} days seen", form=Form.INTEGER),
            self._number("so_far", "So far, per user"),
            self._number("expected", f"Next {self.horizon_days} days"),
            self._number("low", "Low", note=f"{self.level:.0%} interval"),
            self._number("high", "High"),
        )
        rows = [
            (c.cohort, c.group, c.n_users, c.seen_ages, c.so_far, c.expected, c.low, c.high)
            for c in self.cohorts
        ]
        title = f"Cohorts of {self._whose()}, so far and in the {self.horizon_days} days from {date_of(self.cutoff)}"
        return Grid.of(f"cohort_curves_{self.name}", title, fields, rows, note=self._how_wide())

    def curve_grid(self) -> Grid:
        """Each point of each curve."""
        fields = (
            Field(name="group", label=self.attribute or "Group"),
            Field(name="age", label="Age, days", form=Form.INTEGER),
            self._number("value", "Value so far, per user"),
            self._number("low", "Low", note=f"{self.level:.0%} interval; {_BAND}"),
            self._number("high", "High"),
            Field(
                name="seen",
                label="Seen",
                form=Form.BOOLEAN,
                note="whether any user of the group was that old",
            ),
        )
        rows = [
            (c.group, (age + 1) * self.age_days, value, low, high, age < c.seen_ages)
            for c in self.curves
            for age, (value, low, high) in enumerate(zip(c.value, c.low, c.high, strict=True))
        ]
        return Grid.of(f"curves_{self.name}", "Value of a user by age", fields, rows, preview=40)

    def curve_chart(self) -> Chart:
        """The curves of the largest groups."""
        drawn = sorted(self.curves, key=lambda c: -c.n_users)[:_DRAWN]
        rows = [
            ((age + 1) * self.age_days, value, low, high, c.group)
            for c in drawn
            for age, (value, low, high) in enumerate(zip(c.value, c.low, c.high, strict=True))
        ]
        fields = (
            Field(name="age", label="Age, days", form=Form.INTEGER),
            self._number("value", "Value so far"),
            self._number("low", "Low"),
            self._number("high", "High"),
            Field(name="group", label="Group"),
        )
        left = len(self.curves) - len(drawn)
        more = f" {left} smaller groups are in the table." if left else ""
        return Chart(
            name=f"value_by_age_{self.name}",
            title=f"Value of a user by age: {self._whose()}",
            kind=ChartKind.LINE,
            fields=fields,
            rows=tuple(rows),
            roles=(
                (Role.X, "age"),
                (Role.Y, "value"),
                (Role.LOW, "low"),
                (Role.HIGH, "high"),
                (Role.SERIES, "group"),
            ),
            finding=f"{self._highest(drawn)} ({self.level:.0%} intervals; {_BAND}).{more}",
        )

    def cohort_chart(self) -> Chart:
        """What a user of each cohort is to bring, the largest groups."""
        drawn = {c.group for c in sorted(self.curves, key=lambda c: -c.n_users)[:_DRAWN]}
        rows = [
            (c.cohort, c.expected / c.n_users, c.low / c.n_users, c.high / c.n_users, c.group)
            for c in self.cohorts
            if c.group in drawn
        ]
        fields = (
            Field(name="cohort", label="First seen"),
            self._number("expected", f"Next {self.horizon_days} days, per user"),
            self._number("low", "Low"),
            self._number("high", "High"),
            Field(name="group", label="Group"),
        )
        return Chart(
            name=f"cohorts_ahead_{self.name}",
            title=f"What a user of each cohort is to bring in the {self.horizon_days} days from {date_of(self.cutoff)}",
            kind=ChartKind.POINT_INTERVAL,
            fields=fields,
            rows=tuple(rows),
            roles=(
                (Role.Y, "cohort"),
                (Role.X, "expected"),
                (Role.LOW, "low"),
                (Role.HIGH, "high"),
                (Role.SERIES, "group"),
            ),
            finding=self._leading(),
        )

    def _highest(self, drawn: list[GroupCurve]) -> str:
        best = max(drawn, key=lambda c: c.value[-1])
        days = len(best.value) * self.age_days
        worth = f"{best.value[-1]:,.2f} {self.unit}".rstrip()
        if len(drawn) == 1:
            return f"A user is worth {worth} by {days} days"
        return f"A user is worth most by {days} days in the group {best.group}: {worth}"

    def _how_wide(self) -> str:
        shared = f", and an error of {self.shared_error:.1%} that all cohorts share" if self.n_origins else ""
        return f"Intervals at {self.level:.0%}: chance{shared}; those of cohorts do not add up."

    def _leading(self) -> str:
        best = max(self.cohorts, key=lambda c: c.expected / c.n_users)
        group = "" if self.attribute is None else f" ({best.group})"
        return (
            f"Most is to come from a user first seen in {best.cohort}{group}: {best.expected / best.n_users:,.2f} {self.unit}".rstrip()
            + f" ({self.level:.0%} intervals)."
        )

    def _whose(self) -> str:
        return "all users" if self.attribute is None else f"users by {self.attribute}"

    def _number(self, name: str, label: str, *, note: str = "") -> Field:
        return Field(name=name, label=label, form=Form.NUMBER, unit=self.unit, note=note)
