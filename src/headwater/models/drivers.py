"""Why forecasts are what they are, and what changed: SHAP contributions that add up to the forecast.

A contribution is a part of the logarithm of a user's forecast, so ``exp`` of it is the factor by which a column raises or
lowers it beside what all users share. It says what the model went by, not what would happen if the column
were changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.block import Block, Field, Form, Grid, Prose
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Snapshot
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.engine.arrays import column_objects
from headwater.models.model import Floats, Predictor
from headwater.numerics.attribution import logarithmic_mean
from headwater.snapshots.rows import rows_at

__all__ = [
    "Change",
    "Contributions",
    "Driver",
    "Drivers",
    "Explains",
    "UserDriver",
    "drivers_of",
    "user_drivers",
    "what_changed",
]

_MANY = 50_000
_CLEAR = 0.3
_SHOWN = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What each column adds to the log of each row's forecast: ``base + parts.sum(axis=1)`` is that log.

    ``base`` has shape (n_rows,), ``parts`` (n_rows, n_columns).
    """

    columns: tuple[str, ...]
    base: Floats
    parts: Floats


@runtime_checkable
class Explains(Protocol):
    """A predictor that can say what each column contributes to a forecast."""

    def contributions(self, rows: pa.Table) -> Contributions:
        """Parts of the log of each row's forecast."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A column: its share of all contributions (absolute, all users), and which way it goes with its value.

    ``typical_factor`` is exp of the mean absolute contribution: by how much it moves a forecast, up or down.
    """

    column: str
    share: float
    typical_factor: float
    direction: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers(Shown):
    """The columns a model went by, the weightiest first."""

    drivers: tuple[Driver, ...]
    n_users: int

    def blocks(self) -> tuple[Block, ...]:
        """The weightiest columns as a table."""
        fields = (
            Field(name="column", label="Column"),
            Field(name="share", label="Share of all contributions", form=Form.SHARE),
            Field(name="typical_factor", label="Typical factor", form=Form.NUMBER),
            Field(name="direction", label="Forecast"),
            Field(name="about", label="Meaning"),
        )
        rows = [(d.column, d.share, d.typical_factor, d.direction, d.about) for d in self.drivers[:_SHOWN]]
        told = (
            f"What the model went by, over {self.n_users:,} users. A share is not a cause: it says what the model reads, "
            "not what would happen if the column were changed."
        )
        return Prose(text=told), Grid.of("drivers", "Drivers of the forecast", fields, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDriver:
    """One column of one user: its value, and the factor it puts on the forecast."""

    user_id: str
    column: str
    value: str
    factor: float

    def __str__(self) -> str:
        return f"{self.column} = {self.value}: times {self.factor:.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Shown):
    """Why a group's forecast moved between two cutoffs: ``come - gone + sum of by_column + rest`` is ``later - earlier``.

    ``come`` and ``gone`` are the forecasts of users who are in the group at one cutoff only; ``by_column`` is what
    each column changed for those in both; ``rest`` is what no column explains.
    """

    group: str
    cutoffs: tuple[int, int]
    earlier: float
    later: float
    come: float
    gone: float
    n_come: int
    n_gone: int
    n_stayed: int
    by_column: tuple[tuple[str, float], ...]
    rest: float
    unit: str = ""

    def blocks(self) -> tuple[Block, ...]:
        """The two totals, and the steps from one to the other."""
        one, two = (date_of(c) for c in self.cutoffs)
        change = self.later - self.earlier
        share = f" ({change / self.earlier:+.1%})" if self.earlier > 0 else ""
        told = f"The forecast of {self.group} went from {self.earlier:,.0f} at {one} to {self.later:,.0f} at {two}{share}."
        shown, others = self.by_column[:_SHOWN], self.by_column[_SHOWN:]
        rows: list[tuple[str, float]] = [
            (f"forecast at {one}", self.earlier),
            (f"{self.n_come:,} users who came", self.come),
            (f"{self.n_gone:,} users who are gone", -self.gone),
            *((f"{self.n_stayed:,} who stayed: {c}", v) for c, v in shown),
            *([("who stayed: all other columns", sum(v for _, v in others))] if others else []),
            *([("not explained by a column", self.rest)] if self.rest else []),
            (f"forecast at {two}", self.later),
        ]
        fields = (
            Field(name="step", label="Step"),
            Field(name="amount", label="Amount", form=Form.NUMBER, unit=self.unit),
        )
        return Prose(text=told, lead=True), Grid.of("what_changed", "What changed", fields, rows)


def drivers_of(model: Predictor, snapshot: Snapshot, *, cutoff: int) -> Drivers:
    """The columns a model goes by for the users of a cutoff (50,000 of them, evenly spread, where there are more).

    Raises ``UsageError`` (``drivers.not_explained``) for a model without contributions.
    """
    explains = _explaining(model)
    rows = rows_at(snapshot, cutoff, model.columns)
    if rows.num_rows > _MANY:
        rows = rows.take(pa.array(np.arange(_MANY) * rows.num_rows // _MANY))
    made = explains.contributions(rows)
    size = np.abs(made.parts).mean(axis=0)
    shares = size / max(float(size.sum()), 1e-300)
    about = {c.name: c.about for c in snapshot.rows.columns}
    order = np.argsort(-shares, kind="stable")
    return Drivers(
        drivers=tuple(
            Driver(
                column=made.columns[k],
                share=float(shares[k]),
                typical_factor=float(np.exp(size[k])),
                direction=_direction(rows.column(made.columns[k]), made.parts[:, k]),
                about=about.get(made.columns[k], ""),
            )
            for k in order
        ),
        n_users=rows.num_rows,
    )


def user_drivers(
    model: Predictor, snapshot: Snapshot, *, cutoff: int, users: Sequence[str], top: int = 3
) -> tuple[UserDriver, ...]:
    """The columns that move the forecasts of some users most, ``top`` of them each, in the snapshot's order of users."""
    explains = _explaining(model)
    rows = rows_at(snapshot, cutoff, (*model.columns, "user_id"))
    rows = rows.filter(pc.is_in(rows.column("user_id"), pa.array(list(users), pa.string())))
    made = explains.contributions(rows)
    names = column_objects(rows, "user_id")
    order = np.argsort(-np.abs(made.parts), axis=1, kind="stable")[:, :top]
    return tuple(
        UserDriver(
            user_id=str(names[i]),
            column=made.columns[k],
            value=_told(rows.column(made.columns[k]).slice(i, 1).to_pylist()[0]),
            factor=float(np.exp(made.parts[i, k])),
        )
        for i in range(rows.num_rows)
        for k in order[i]
    )


def what_changed(
    model: Predictor,
    snapshot: Snapshot,
    *,
    earlier: int,
    later: int,
    group: Mapping[str, str] | None = None,
    unit: str = "",
) -> Change:
    """Take the change of a group's forecast between two cutoffs apart, by one and the same model.

    ``group`` maps text columns to the value that users of the group have (all users without it). A user's change of
    forecast is shared out by the changes of its contributions, times the logarithmic mean of the two forecasts, which
    makes the parts sum to the change exactly (Ang 2005).

    Raises ``UsageError`` (``drivers.not_explained``), ``DataError`` (``drivers.nobody``).
    """
    explains = _explaining(model)
    columns = tuple(dict.fromkeys([*model.columns, *dict(group or {}), "user_id"]))
    sides = [_members(rows_at(snapshot, c, columns), group) for c in (earlier, later)]
    told = "all users" if not group else " and ".join(f"{k} {v}" for k, v in group.items())
    if not sides[0].num_rows and not sides[1].num_rows:
        raise DataError(
            "drivers.nobody",
            what=f"Nobody of {told} is in the snapshot at {date_of(earlier)} or {date_of(later)}.",
            why="There is no forecast whose change could be taken apart.",
            do="Check the group's spelling, or choose other cutoffs.",
        )
    means = [model.predict(s) if s.num_rows else np.empty(0) for s in sides]
    place = pc.index_in(sides[0].column("user_id"), sides[1].column("user_id").combine_chunks())
    stayed = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    match = pc.drop_null(place).to_numpy(zero_copy_only=False).astype(np.int64)
    gone = np.delete(means[0], stayed)
    come = np.delete(means[1], match)
    by_column = _by_column(explains, sides, stayed, match)
    moved = float(means[1][match].sum() - means[0][stayed].sum())
    return Change(
        group=told,
        cutoffs=(earlier, later),
        earlier=float(means[0].sum()),
        later=float(means[1].sum()),
        come=float(come.sum()),
        gone=float(gone.sum()),
        n_come=come.size,
        n_gone=gone.size,
        n_stayed=stayed.size,
        by_column=tuple(sorted(by_column.items(), key=lambda one: -abs(one[1]))),
        rest=moved - sum(by_column.values()),
        unit=unit,
    )


def _by_column(
    explains: Explains, sides: Sequence[pa.Table], stayed: np.ndarray, match: np.ndarray
) -> dict[str, float]:
    if not stayed.size:
        return {}
    one = explains.contributions(sides[0].take(pa.array(stayed)))
    two = explains.contributions(sides[1].take(pa.array(match)))
    a, b = (np.exp(c.base + c.parts.sum(axis=1)) for c in (one, two))
    amounts = ((two.parts - one.parts) * logarithmic_mean(b, a)[:, None]).sum(axis=0)
    return dict(zip(one.columns, amounts.tolist(), strict=True))


def _members(rows: pa.Table, group: Mapping[str, str] | None) -> pa.Table:
    for column, value in (group or {}).items():
        rows = rows.filter(pc.equal(rows.column(column), value))
    return rows


def _explaining(model: Predictor) -> Explains:
    if isinstance(model, Explains):
        return model
    raise UsageError(
        "drivers.not_explained",
        what="This model does not say what its columns contribute.",
        why="Drivers are read off the boosted models only.",
        do="Explain a LightGBM model of the same task, such as lightgbm_hurdle.",
    )


def _direction(column: pa.ChunkedArray, parts: Floats) -> str:
    """Whether contributions rise or fall with a column's value, by Spearman's correlation."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return "differs by value"
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    seen = np.isfinite(values)
    if seen.sum() < 3 or np.ptp(values[seen]) == 0 or np.ptp(parts[seen]) == 0:
        return "the same for all"
    one, two = (np.unique(v[seen], return_inverse=True)[1].astype(float) for v in (values, parts))
    r = float(np.corrcoef(one, two)[0, 1])
    return "rises with it" if r > _CLEAR else "falls with it" if r < -_CLEAR else "rises and falls"


def _told(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
