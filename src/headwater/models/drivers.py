"""Why forecasts are what they are: SHAP contributions that add up to the forecast.

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
from headwater.core.errors import UsageError
from headwater.core.ledger import Snapshot
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.engine.arrays import column_objects
from headwater.models.model import Floats, Predictor
from headwater.snapshots.rows import rows_at, rows_taken

__all__ = [
    "Blended",
    "Contributions",
    "Driver",
    "Drivers",
    "Explained",
    "Explains",
    "UserDriver",
    "UserDrivers",
    "drivers_of",
    "explained",
    "user_drivers",
]

_MANY = 20_000
_CLEAR = 0.3
_SHOWN = 15
_WEIGHS = 0.05


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

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns it reads."""
        ...

    def contributions(self, rows: pa.Table) -> Contributions:
        """Parts of the log of each row's forecast."""
        ...


@runtime_checkable
class Blended(Protocol):
    """A predictor that weighs what its members say."""

    @property
    def members(self) -> Mapping[str, Predictor]:
        """The members by name."""
        ...

    @property
    def weights(self) -> Floats:
        """The weight of each, shape (n_members,)."""
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
    """The columns a model went by, the weightiest first; of a blend, those of a ``member`` of a ``weight`` in it."""

    drivers: tuple[Driver, ...]
    n_users: int
    told: str = ""
    member: str = ""
    weight: float = 1.0

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
            f"not what would happen if the column were changed. {self.told}"
        ).rstrip()
        return Prose(text=told), Grid.of("drivers", "Drivers of the forecast", fields, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDriver:
    """One column of one user: its value, and the factor it puts on the forecast."""

    column: str
    value: str
    factor: float

    def __str__(self) -> str:
        return f"{self.column} = {self.value}: times {self.factor:.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDrivers(Shown):
    """Why a user's forecast is what it is: ``shared`` times every factor times ``others`` is the forecast.

    ``shared`` is what the model says before it looks at the user, ``others`` the factor of all columns not named.
    Of a blend, ``forecast`` is what its ``member`` says, which counts for a ``weight`` of the blend's own.
    """

    user_id: str
    shared: float
    drivers: tuple[UserDriver, ...]
    others: float
    forecast: float
    unit: str = ""
    told: str = ""
    member: str = ""
    weight: float = 1.0

    def blocks(self) -> tuple[Block, ...]:
        """The steps from what all share to the user's forecast."""
        after = self.shared * np.cumprod([1.0, *(d.factor for d in self.drivers), self.others])
        steps = [
            ("what all users share", "", None),
            *((d.column, d.value, d.factor) for d in self.drivers),
            ("all other columns", "", self.others),
        ]
        fields = (
            Field(name="step", label="Column"),
            Field(name="value", label="Value"),
            Field(name="factor", label="Factor", form=Form.NUMBER),
            Field(name="after", label="Forecast so far", form=Form.NUMBER, unit=self.unit),
        )
        rows = [(c, v, f, a) for (c, v, f), a in zip(steps, after.tolist(), strict=True)]
        by = f" by {self.member}, its part of the forecast," if self.member else ""
        told = f"The forecast of {self.user_id}{by} is {self.forecast:,.4g} {self.unit}".rstrip()
        return (
            Prose(text=f"{told}. {self.told}".rstrip(), lead=True),
            Grid.of("user_drivers", "Why", fields, rows),
        )


def drivers_of(model: Predictor, snapshot: Snapshot, *, cutoff: int, called: str = "") -> Drivers:
    """The columns a model goes by for the users of a cutoff (20,000 of them, evenly spread, where there are more).

    Of a blend, those of its weightiest member that can be explained; ``called`` is the model's name. Raises ``UsageError`` (``drivers.not_explained``).
    """
    part = explained(model, called=called)
    explains, told = part.explains, part.told
    n_all = rows_at(snapshot, cutoff, ()).num_rows
    if n_all > _MANY:
        rows = rows_taken(snapshot, cutoff, explains.columns, np.arange(_MANY) * n_all // _MANY)
        told = f"{told} These are {_MANY:,} of {n_all:,} users, evenly spread.".lstrip()
    else:
        rows = rows_at(snapshot, cutoff, explains.columns)
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
        told=told,
        member=part.member,
        weight=part.weight,
    )


def user_drivers(
    model: Predictor,
    snapshot: Snapshot,
    *,
    cutoff: int,
    users: Sequence[str],
    top: int = 8,
    unit: str = "",
    called: str = "",
) -> tuple[UserDrivers, ...]:
    """Why the forecasts of some users are what they are, in the snapshot's order of users: the ``top`` columns of each.

    Raises ``UsageError`` (``drivers.not_explained``, ``drivers.no_users``, ``drivers.nobody``).
    """
    if not users:
        raise UsageError(
            "drivers.no_users",
            what="No user is named.",
            why="It is the forecast of a user that is taken apart here.",
            do="Name one or more, as the forecasts spell them, or ask for the drivers of all users.",
        )
    part = explained(model, called=called)
    explains = part.explains
    rows = rows_at(snapshot, cutoff, (*explains.columns, "user_id"))
    rows = rows.filter(pc.is_in(rows.column("user_id"), pa.array(list(users), pa.string())))
    names = [str(n) for n in column_objects(rows, "user_id")]
    missing = [u for u in users if u not in names]
    if missing:
        raise UsageError(
            "drivers.nobody",
            what=f"{len(missing)} of {len(users)} users are not in the snapshot at {date_of(cutoff)}, such as '{missing[0]}'.",
            why="There is no forecast that could be taken apart.",
            do="Check the id, as the forecasts spell it, or choose another cutoff.",
        )
    made = explains.contributions(rows)
    order = np.argsort(-np.abs(made.parts), axis=1, kind="stable")
    return tuple(
        UserDrivers(
            user_id=names[i],
            shared=float(np.exp(made.base[i])),
            drivers=tuple(
                UserDriver(
                    column=made.columns[k],
                    value=_told(rows.column(made.columns[k]).slice(i, 1).to_pylist()[0]),
                    factor=float(np.exp(made.parts[i, k])),
                )
                for k in order[i, :top]
            ),
            others=float(np.exp(made.parts[i, order[i, top:]].sum())),
            forecast=float(np.exp(made.base[i] + made.parts[i].sum())),
            unit=unit,
            told=part.told,
            member=part.member,
            weight=part.weight,
        )
        for i in range(rows.num_rows)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What of a model can be explained: itself, or a ``member`` of a ``weight`` in it, with a sentence that says so."""

    explains: Explains
    member: str = ""
    weight: float = 1.0

    @property
    def told(self) -> str:
        """What part of the forecast this is; empty where it is the whole."""
        if not self.member:
            return ""
        return f"The model is a blend; this is its member {self.member}, whose weight is {self.weight:.2f}: its part of the forecast."


def explained(model: Predictor, *, called: str = "") -> Explained:
    """What of a model can be explained; of a blend, the weightiest such member. Raises ``UsageError`` (``drivers.not_explained``)."""
    if isinstance(model, Explains):
        return Explained(explains=model)
    able: list[Explained] = []
    if isinstance(model, Blended):
        able = [
            Explained(explains=member, member=name, weight=weight)
            for (name, member), weight in zip(model.members.items(), model.weights.tolist(), strict=True)
            if isinstance(member, Explains)
        ]
    best = max(able, key=lambda one: one.weight, default=None)
    if best is not None and best.weight >= _WEIGHS:
        return best
    raise UsageError(
        "drivers.not_explained",
        what=f"{called or 'This model'} does not say what its columns contribute."
        if best is None
        else f"In {called or 'this blend'} no member that says what its columns contribute weighs anything to speak of (the most is {best.member}, {best.weight:.2f}).",
        why="Drivers are read off the boosted models only.",
        do="Name a model that has drivers: --model lightgbm_hurdle on the command line, a fit of lightgbm_hurdle in Python.",
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
