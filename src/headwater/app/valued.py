"""Discounted value as a step of a run: what each customer's purchases to come are worth today."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.app.largest import largest_first
from headwater.app.plan import Job
from headwater.app.study import Study
from headwater.core.block import Field, Form, Grid
from headwater.core.finding import Finding, Severity
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine
from headwater.models.reach import beyond_log, require_reach
from headwater.models.value import DiscountedValue, discounted_value
from headwater.snapshots.rows import rows_at

__all__ = ["ValuedStep", "value_grid", "valued"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuedStep:
    """Values of all users, empty for those who never purchased; the total and what a reader must know.

    ``rows`` has ``user_id, value, purchases`` (both discounted), ``expected_purchases`` (not discounted; empty for
    ever) and ``p_alive``.
    """

    model: str
    unit: str
    yearly_rate: float
    horizon_days: int | None
    rows: Table
    n_valued: int
    total: float
    says: str
    findings: tuple[Finding, ...]

    @property
    def forbidding(self) -> tuple[Finding, ...]:
        """Findings that must be read before any figure."""
        return tuple(f for f in self.findings if f.severity is Severity.BLOCK)

    @property
    def beside(self) -> tuple[Finding, ...]:
        """The other findings."""
        return tuple(f for f in self.findings if f.severity is not Severity.BLOCK)


def valued(study: Study, job: Job, *, model: str, horizon_days: int | None, yearly_rate: float) -> ValuedStep:
    """Value every user by a model, made once. Raises what fitting, ``require_reach`` and ``discounted_value`` raise."""
    ledger = study.ledger()
    log_days = ledger.end_day - ledger.first_day
    require_reach(horizon_days, log_days)
    fitted = study.fit(model, job)
    snapshot = study.learned_from(job, ledger.end_day)
    key = {
        "model": fitted.fingerprint,
        "snapshot": snapshot.rows.fingerprint,
        "horizon_days": horizon_days,
        "yearly_rate": yearly_rate,
    }

    def make(folder: Path) -> ValuedStep:
        predictor = study.open_model(fitted).predictor
        rows = rows_at(snapshot, ledger.end_day, ("user_id", *predictor.columns))
        horizon = None if horizon_days is None else f"{horizon_days}d"
        made = discounted_value(
            predictor,
            rows.drop_columns(["user_id"]),
            horizon=horizon,
            yearly_rate=yearly_rate,
            task=job.task,
        )
        return ValuedStep(
            model=model,
            unit=job.task.unit,
            yearly_rate=yearly_rate,
            horizon_days=horizon_days,
            rows=_table(study, rows, made, unit=job.task.unit, folder=folder),
            n_valued=int(np.isfinite(made.value).sum()),
            total=made.total,
            says=made.summary(),
            findings=(*beyond_log(horizon_days, log_days), *fitted.findings, *made.findings),
        )

    return study.step("value", key, ValuedStep, make, title=f"valuing customers ({job.task.measure})")


def value_grid(made: ValuedStep, *, engine: Engine) -> Grid:
    """Every valued customer, the most valuable first, streamed."""
    reach = "for ever" if made.horizon_days is None else f"over {made.horizon_days} days"
    fields = (
        Field(name="user_id", label="User", form=Form.ID),
        Field(name="value", label=f"Worth today, {reach}", form=Form.NUMBER, unit=made.unit),
        Field(name="purchases", label="Purchase days, discounted", form=Form.NUMBER),
        Field(name="expected_purchases", label="Purchase days expected", form=Form.NUMBER),
        Field(name="p_alive", label="Still a customer", form=Form.SHARE, note="probability"),
    )
    title = f"What each customer is worth today by {made.model}, {reach} at {made.yearly_rate:.1%} a year"
    return Grid(
        name="value",
        title=title,
        fields=fields,
        n_rows=made.n_valued,
        stream=lambda: largest_first(made.rows, by="value", engine=engine),
        preview=20,
    )


def _table(study: Study, rows: pa.Table, made: DiscountedValue, *, unit: str, folder: Path) -> Table:
    columns = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="value", kind=Kind.NUMBER, unit=unit, about="discounted, after refunds"),
        Column(name="purchases", kind=Kind.NUMBER, unit="days", about="expected purchase days, discounted"),
        Column(name="expected_purchases", kind=Kind.NUMBER, unit="days", about="not discounted"),
        Column(name="p_alive", kind=Kind.NUMBER, about="probability of being a customer still"),
    )
    arrays = {
        "value": made.value,
        "purchases": made.purchases,
        "expected_purchases": made.expected,
        "p_alive": made.alive,
    }
    table = {"user_id": rows.column("user_id")}
    table |= {c: pa.array(values, mask=~np.isfinite(values)) for c, values in arrays.items()}
    return study.keep(pa.table(table), columns, folder, table="value")
