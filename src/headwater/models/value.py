"""What each user's purchases to come are worth today, discounted, over any horizon or for ever.

Needs a fitted buy-till-you-die model: a process that says how many purchases to expect over any stretch of
time, and what a purchase day is worth. Models that learn one horizon cannot be stretched to another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from headwater.core.block import Block, Field, Grid, Prose, callouts
from headwater.core.block import Form as Shape
from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.show import Shown
from headwater.core.span import as_days
from headwater.engine.arrays import column_floats
from headwater.models.buy_till_you_die import Case, Form, Process
from headwater.models.model import Floats, Predictor
from headwater.models.spend import Worth
from headwater.numerics.discounting import Schedule, continuous, discounted_purchases, for_ever
from headwater.numerics.rfm import RfmRows

__all__ = ["DiscountedValue", "Valued", "discounted_value"]

_YEAR_DAYS = 365.0
_MUCH = 0.1
_TRIED_DAYS = (30, 365)


@runtime_checkable
class Valued(Protocol):
    """A fitted model that can be asked about any stretch of time."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns it reads: repeats, first to last, age, value on repeat days, then those of its form."""
        ...

    @property
    def process(self) -> Process:
        """The purchase process."""
        ...

    @property
    def form(self) -> Form:
        """How rows are read for it, with its parameters."""
        ...

    @property
    def worth(self) -> Worth:
        """What a purchase day is worth."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiscountedValue(Shown):
    """Arrays ``(n_users,)`` in the order of the rows; NaN for users who never purchased, whom no process describes.

    Attributes
    ----------
    value, purchases
        Discounted expected value (after refunds) and discounted expected purchase days.
    expected, alive
        Expected purchase days over the horizon, not discounted (NaN for ever), and the probability of being a customer still.
    horizon_days
        How far they reach; None for ever.
    yearly_rate
        The discount of one year: 0.1 is ten percent.
    measure, unit
        What it is a value of; empty where it was not said.
    """

    value: Floats
    purchases: Floats
    expected: Floats
    alive: Floats
    horizon_days: int | None
    yearly_rate: float
    findings: tuple[Finding, ...]
    user_ids: tuple[str, ...] | None
    measure: str = ""
    unit: str = ""

    @property
    def total(self) -> float:
        """The value of all users who purchased."""
        return float(np.nansum(self.value))

    def summary(self) -> str:
        """The total in a sentence."""
        reach = "for ever" if self.horizon_days is None else f"over {self.horizon_days} days"
        n = int(np.isfinite(self.value).sum())
        unit = f" {self.unit}" if self.unit else ""
        of = f" of {self.measure.replace('_', ' ')}" if self.measure else ""
        return (
            f"{n:,} users are expected to bring {self.total:,.0f}{unit}{of} {reach}, in today's worth at "
            f"{self.yearly_rate:.1%} a year: {self.total / max(n, 1):,.2f}{unit} each."
        )

    def blocks(self) -> tuple[Block, ...]:
        """What forbids the figure, the total, every user, and what else a reader must know."""
        forbidding = [f for f in self.findings if f.severity is Severity.BLOCK]
        beside = [f for f in self.findings if f.severity is not Severity.BLOCK]
        return (*callouts(forbidding), Prose(text=self.summary()), self.user_grid(), *callouts(beside))

    def user_grid(self) -> Grid:
        """Every user; empty for those who never purchased. Without ``user_id`` in the rows, users are numbered in their order."""
        fields = (
            Field(name="user_id", label="User", form=Shape.ID),
            Field(name="value", label="Worth today", form=Shape.NUMBER),
            Field(name="purchases", label="Purchase days, discounted", form=Shape.NUMBER),
            Field(name="expected_purchases", label="Purchase days expected", form=Shape.NUMBER),
            Field(name="p_alive", label="Still a customer", form=Shape.SHARE, note="probability"),
        )
        arrays = (self.value, self.purchases, self.expected, self.alive)
        columns = ([v if math.isfinite(v) else None for v in a.tolist()] for a in arrays)
        users = self.user_ids or tuple(str(i) for i in range(self.value.size))
        rows = zip(users, *columns, strict=True)
        return Grid.of("discounted_value", "Discounted value by user", fields, rows, preview=20)


def discounted_value(
    fitted: Predictor | Valued,
    rows: pa.Table,
    *,
    horizon: str | timedelta | None = "365d",
    yearly_rate: float = 0.1,
    task: Task | None = None,
) -> DiscountedValue:
    """Value what each user is expected to bring after the cutoff of the rows.

    Parameters
    ----------
    rows
        Rows of a snapshot with the fitted model's ``columns``.
    horizon
        Such as ``"365d"``; None for ever, which needs a discount.
    yearly_rate
        Discount of one year, spread evenly over its days; 0 or more, 0 for none.
    task
        What the model was fitted for: the words of the result name its measure and unit.

    Raises
    ------
    UsageError
        ``value.no_process`` for a model that knows one horizon only or whose time runs with the seasons, ``value.rate`` for ever without a discount, or for a rate below 0 or without end.
    """
    model = _require_process(fitted)
    _require_rate(yearly_rate)
    daily = math.log1p(yearly_rate) / _YEAR_DAYS
    days = None if horizon is None else as_days(horizon)
    schedule = for_ever(daily) if days is None else continuous(daily, horizon=float(days))
    x, t_x, T, value = (column_floats(rows, c) for c in model.columns[:4])
    bought = np.isfinite(x)
    purchases, worth, expected, alive = (np.full(x.shape, np.nan) for _ in range(4))
    findings = _without_purchase(int((~bought).sum()), x.size)
    if bought.any():
        users = RfmRows.of(x[bought], t_x=t_x[bought], T=T[bought])
        cases = _cases(model, rows if bought.all() else rows.filter(pa.array(bought)), users)
        of_a_day = model.worth.of_a_day(users.x, value[bought]) * model.worth.kept_share
        purchases[bought] = _summed(model, cases, n=users.x.size, schedule=schedule)
        worth[bought] = purchases[bought] * of_a_day
        expected[bought], alive[bought] = _stays(model, cases, n=users.x.size, days=days)
        longest = float(users.T.max())
        if days is None or days > longest > 0:
            seen = _summed(model, cases, n=users.x.size, schedule=continuous(daily, horizon=longest))
            findings += _beyond(1 - float(seen @ of_a_day) / float(np.nansum(worth)), longest=longest)
    return DiscountedValue(
        value=worth,
        purchases=purchases,
        expected=expected,
        alive=alive,
        horizon_days=days,
        yearly_rate=yearly_rate,
        findings=tuple(findings),
        user_ids=_names(rows),
        measure=task.measure if task else "",
        unit=task.unit if task else "",
    )


def _names(rows: pa.Table) -> tuple[str, ...] | None:
    return tuple(rows.column("user_id").to_pylist()) if "user_id" in rows.column_names else None


def _summed(model: Valued, cases: Sequence[Case], *, n: int, schedule: Schedule) -> Floats:
    purchases = np.empty(n)
    for case in cases:

        def expected(of: RfmRows, time: float, *, params: Any = case.params) -> Floats:
            return model.process.expected(params, of, time)

        purchases[case.which] = discounted_purchases(expected, users=case.users, schedule=schedule)
    return purchases


def _stays(model: Valued, cases: Sequence[Case], *, n: int, days: int | None) -> tuple[Floats, Floats]:
    """Expected purchase days over the horizon, NaN for ever, and the probability of being a customer still."""
    expected, alive = np.full(n, np.nan), np.empty(n)
    for case in cases:
        alive[case.which] = model.process.alive(case.params, case.users)
        if days is not None:
            expected[case.which] = model.process.expected(case.params, case.users, float(days))
    return expected, alive


def _require_rate(yearly_rate: float) -> None:
    if not 0 <= yearly_rate < math.inf:
        raise UsageError(
            "value.rate",
            what=f"The yearly rate is {yearly_rate:g}.",
            why="A purchase to come is worth no more than one of today, and at an endless rate nothing.",
            do="Write 0.1 for ten percent a year, 0 for none.",
        )


def _require_process(fitted: Predictor | Valued) -> Valued:
    if isinstance(fitted, Valued):
        return fitted
    raise _unknown("The model forecasts the one horizon it was trained for.")


def _cases(model: Valued, rows: pa.Table, users: RfmRows) -> list[Case]:
    """Users by their parameters, on the calendar's own time: tried at two horizons."""
    cases: list[Case] = []
    for days in _TRIED_DAYS:
        cases = list(model.form.cases(rows, users, horizon_days=days))
        for case in cases:
            if case.horizon != days or not np.array_equal(case.users.T, users.T[case.which]):
                raise _unknown("The model's time runs with the seasons.")
    return cases


def _unknown(what: str) -> UsageError:
    return UsageError(
        "value.no_process",
        what=what,
        why="A discounted value needs to know how many purchases come over any stretch of the calendar.",
        do="Fit a buy-till-you-die model without seasons, such as bg_nbd or pareto_nbd.",
    )


def _without_purchase(n: int, n_users: int) -> list[Finding]:
    if n == 0:
        return []
    return [
        Finding(
            code="value.no_purchase",
            severity=Severity.NOTE,
            what=f"{n:,} of {n_users:,} users never purchased and have no discounted value.",
            why="A purchase process begins with the first purchase; a total over all users leaves these out.",
            do="Value them by a model of first purchases, such as the hurdle at the horizons of the snapshot.",
        )
    ]


def _beyond(share: float, *, longest: float) -> list[Finding]:
    if not share > _MUCH:
        return []
    return [
        Finding(
            code="value.beyond_history",
            severity=Severity.WARN,
            what=f"{share:.0%} of the value lies later than {longest:,.0f} days ahead, and no customer was observed for longer than that.",
            why="Nothing in the log shows whether customers behave so that late; that part is the model's word alone.",
            do="Decide by a horizon within the history; read the rest as an assumption.",
            numbers={"share": share, "longest_days": longest},
        )
    ]
