"""The evidence behind a backtest, as grids: calibration and coverage by group, stability of ranks, the error budget."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from headwater.core.block import Block, Cell, Field, Form, Grid, Heading
from headwater.core.span import date_of

if TYPE_CHECKING:
    from headwater.evaluation.backtest import Backtest

__all__ = ["budget_grid", "evidence_blocks", "group_grid", "stability_grid"]


def evidence_blocks(backtest: Backtest) -> tuple[Block, ...]:
    """What there is of it; nothing for a backtest that was made without."""
    grids = [
        *([group_grid(backtest)] if backtest.group_fits else []),
        *([stability_grid(backtest)] if backtest.stability else []),
        *([budget_grid(backtest)] if backtest.budgets else []),
    ]
    return (Heading(text="Where it holds", level=3), *grids) if grids else ()


def group_grid(backtest: Backtest) -> Grid:
    """Predicted and actual totals and coverage by group, for the chosen model at every origin."""
    unit = backtest.task.unit
    fields = (
        Field(name="kind", label="Group by"),
        Field(name="group", label="Group"),
        Field(name="origin", label="Origin", form=Form.DATE),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="predicted", label="Forecast, total", form=Form.MONEY, unit=unit),
        Field(name="actual", label="Actual, total", form=Form.MONEY, unit=unit),
        Field(name="low", label="Actual, low", form=Form.MONEY, unit=unit, note="95% interval by user"),
        Field(name="high", label="Actual, high", form=Form.MONEY, unit=unit, note="95% interval by user"),
        Field(name="off", label="Forecast off by", form=Form.SHARE, note="share of the actual total"),
        Field(name="covered", label="Outcomes inside", form=Form.SHARE, note="share of users"),
        Field(name="covered_low", label="Inside, low", form=Form.SHARE, note="binomial 95%"),
        Field(name="covered_high", label="Inside, high", form=Form.SHARE, note="binomial 95%"),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            f.kind,
            f.group,
            date_of(f.origin).isoformat(),
            f.n_users,
            f.predicted,
            f.actual,
            f.low,
            f.high,
            f.predicted / f.actual - 1 if f.actual > 0 else None,
            f.covered,
            f.covered_low,
            f.covered_high,
        )
        for f in backtest.group_fits
        if f.model == backtest.choice.name
    ]
    note = f"Intervals of one user hold {backtest.task.level:.0%} where they are right."
    return Grid.of(f"groups_{_name(backtest)}", f"By group, {backtest.choice.name}", fields, rows, note=note)


def stability_grid(backtest: Backtest) -> Grid:
    """Every model at every two successive origins."""
    fields = (
        Field(name="model", label="Model"),
        Field(name="earlier", label="Earlier origin", form=Form.DATE),
        Field(name="later", label="Later origin", form=Form.DATE),
        Field(name="n_users", label="Users at both", form=Form.INTEGER),
        Field(name="spearman", label="Rank correlation", form=Form.NUMBER),
        Field(name="top_overlap", label="Top tenth still there", form=Form.SHARE, note="10% is chance"),
    )
    rows = [
        (
            s.model,
            date_of(s.earlier).isoformat(),
            date_of(s.later).isoformat(),
            s.n_users,
            s.spearman,
            s.top_overlap,
        )
        for s in backtest.stability
    ]
    note = "Part of a change is right: users change. A list that turns over by itself is hard to act on."
    return Grid.of(f"stability_{_name(backtest)}", "The same users weeks later", fields, rows, note=note)


def budget_grid(backtest: Backtest) -> Grid:
    """Parts of the squared error of every model at every origin, as shares of it."""
    known = any(b.noise is not None for b in backtest.budgets)
    fields = (
        Field(name="model", label="Model"),
        Field(name="origin", label="Origin", form=Form.DATE),
        Field(name="error", label="Error of a user", form=Form.NUMBER, unit=backtest.task.unit, note="root mean square"),
        Field(name="level", label="Level", form=Form.SHARE, note="the mean is off"),
        Field(name="shape", label="Shape", form=Form.SHARE, note="the right order, stretched wrongly"),
        *(
            (
                Field(name="order", label="Order", form=Form.SHARE, note="users with one forecast who differ in truth"),
                Field(name="noise", label="Noise", form=Form.SHARE, note="no forecast could know it"),
            )
            if known
            else (Field(name="rest", label="Order and noise", form=Form.SHARE, note="left after the best recalibration"),)
        ),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for b in backtest.budgets:
        parts = (b.level, b.shape, *((b.order, b.noise) if known else (b.rest,)))
        shares = [None if part is None or b.total <= 0 else part / b.total for part in parts]
        rows.append((b.model, date_of(b.origin).isoformat(), sqrt(max(b.total, 0.0)), *shares))
    note = "Shares of the mean squared error; they add to 100%."
    return Grid.of(f"budget_{_name(backtest)}", "Where the error comes from", fields, rows, note=note)


def _name(backtest: Backtest) -> str:
    return f"{backtest.task.measure}_{backtest.task.horizon_days}d"
