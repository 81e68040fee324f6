"""What changed between two cutoffs: who came and went, and what each column moved for those who stayed, to the sum.

All users are forecast at both cutoffs by one and the same model; what columns contributed is read off a sample where
users are many, and made to add up to what all of them moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.block import Block, Field, Form, Grid, Prose
from headwater.core.errors import UsageError
from headwater.core.ledger import Snapshot
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.models.drivers import Blended, Explains
from headwater.models.model import Floats, Predictor
from headwater.numerics.attribution import logarithmic_mean, regression_total
from headwater.snapshots.rows import rows_at, rows_in_parts, rows_taken

__all__ = ["Change", "Mask", "changes_of", "what_changed"]

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
_MOVED_MOST, _SPREAD = 10_000, 10_000
_SHOWN = 15
_NOTHING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Shown):
    """Why a group's forecast moved between two cutoffs: ``come - gone + sum of by_column + rest`` is ``later - earlier``.

    ``come`` and ``gone`` are the forecasts of users who are in the group at one cutoff only; ``by_column`` is what
    each column changed for those in both, read off ``n_looked_at`` of them; ``rest`` is what no column explains.
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
    n_looked_at: int
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
            *([("not explained by a column", self.rest)] if abs(self.rest) > _NOTHING * self.later else []),
            (f"forecast at {two}", self.later),
        ]
        fields = (
            Field(name="step", label="Step"),
            Field(name="amount", label="Amount", form=Form.NUMBER, unit=self.unit),
        )
        if self.n_looked_at < self.n_stayed:
            told += f" What columns changed is read off {self.n_looked_at:,} of the {self.n_stayed:,} who stayed: those who moved most, and others evenly spread."
        return Prose(text=told, lead=True), Grid.of("what_changed", "What changed", fields, rows)


def what_changed(
    model: Predictor,
    snapshot: Snapshot,
    *,
    earlier: int,
    later: int,
    group: Mapping[str, str] | None = None,
    unit: str = "",
) -> Change:
    """Take the change of a group's forecast between two cutoffs apart.

    ``group`` maps text columns to the value that users of the group have (all users without it).
    Raises ``UsageError`` (``drivers.nobody``, ``drivers.no_column``).
    """
    given = dict(group or {})
    _require_texts(snapshot, given)
    sides = [rows_at(snapshot, c, (*given, "user_id")) for c in (earlier, later)]
    label = " and ".join(f"{k} {v}" for k, v in given.items()) or "all users"
    one, two = (_having(rows, given) for rows in sides)
    if not one.any() and not two.any():
        raise UsageError(
            "drivers.nobody",
            what=f"Nobody of {label} is in the snapshot at {date_of(earlier)} or {date_of(later)}.",
            why="There is no forecast whose change could be taken apart.",
            do="Check the group's spelling, or choose other cutoffs.",
        )
    (change,) = changes_of(
        model, snapshot, earlier=earlier, later=later, members={label: (one, two)}, unit=unit
    )
    return change


def changes_of(
    model: Predictor,
    snapshot: Snapshot,
    *,
    earlier: int,
    later: int,
    members: Mapping[str, tuple[Mask, Mask]],
    unit: str = "",
) -> tuple[Change, ...]:
    """The same of several groups at once: of each, who is in it among the snapshot's rows of either cutoff.

    A user's change of forecast is shared out by the changes of its contributions, times the logarithmic mean of the two
    forecasts, which makes the parts sum to the change exactly (Ang 2005). A blend's change is that of its members,
    by their weights; a model whose columns say nothing of themselves moves as a whole.
    """
    moves = _moves(model, snapshot, earlier, later)
    return tuple(
        _change(moves, label, one, two, cutoffs=(earlier, later), unit=unit)
        for label, (one, two) in members.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """Forecasts at both cutoffs, where the same users are in each, and the parts of some of those who stayed.

    ``looked_at`` are places among those who stayed: first the ``n_certain`` who moved most, then others, evenly
    spread. ``parts`` has shape (n_looked_at, n_columns).
    """

    means: tuple[Floats, Floats]
    stayed: tuple[Places, Places]
    looked_at: Places
    n_certain: int
    columns: tuple[str, ...]
    parts: Floats

    @property
    def moved(self) -> Floats:
        """What the forecast of each who stayed moved by."""
        return self.means[1][self.stayed[1]] - self.means[0][self.stayed[0]]

    def by_column(self, both: Mask) -> tuple[tuple[str, float], ...]:
        """What each column changed for some of those who stayed, the largest first."""
        inside = both[self.looked_at]
        certain = np.arange(self.looked_at.size) < self.n_certain
        others = both.copy()
        others[self.looked_at[certain]] = False
        totals = self.parts[certain & inside].sum(axis=0) + regression_total(
            self.parts[~certain & inside],
            n_all=int(np.count_nonzero(others)),
            total=float(self.moved[others].sum()),
        )
        return tuple(sorted(zip(self.columns, totals.tolist(), strict=True), key=lambda one: -abs(one[1])))


def _moves(model: Predictor, snapshot: Snapshot, earlier: int, later: int) -> _Moves:
    users: list[pa.ChunkedArray] = []
    means: list[Floats] = []
    for cutoff in (earlier, later):
        parts = list(_predicted(model, snapshot, cutoff))
        means.append(np.concatenate([mean for _, mean in parts] or [np.empty(0)]))
        users.append(pa.chunked_array([c for ids, _ in parts for c in ids.chunks], pa.string()))
    place = pc.index_in(users[0], users[1])
    first = np.flatnonzero(pc.is_valid(place).to_numpy(zero_copy_only=False))
    second = pc.drop_null(place).to_numpy(zero_copy_only=False).astype(np.int64)
    looked_at, n_certain = _looked_at(means[1][second] - means[0][first])
    columns, parts = _parts(
        model,
        *(
            rows_taken(snapshot, cutoff, model.columns, places[looked_at])
            for cutoff, places in ((earlier, first), (later, second))
        ),
    )
    return _Moves(
        means=(means[0], means[1]),
        stayed=(first, second),
        looked_at=looked_at,
        n_certain=n_certain,
        columns=columns,
        parts=parts,
    )


def _predicted(model: Predictor, snapshot: Snapshot, cutoff: int) -> Iterator[tuple[pa.ChunkedArray, Floats]]:
    for rows in rows_in_parts(snapshot, cutoff, (*model.columns, "user_id")):
        yield rows.column("user_id").cast(pa.string()), model.predict(rows)


def _looked_at(moved: Floats) -> tuple[Places, int]:
    """Whose parts are worked out: everybody, or those who moved most and some of the others; and how many are sure to be."""
    if moved.size <= _MOVED_MOST + _SPREAD:
        return np.arange(moved.size), moved.size
    order = np.argsort(-np.abs(moved), kind="stable")
    others = np.sort(order[_MOVED_MOST:])
    spread = others[np.arange(_SPREAD) * others.size // _SPREAD]
    return np.concatenate([np.sort(order[:_MOVED_MOST]), spread]), _MOVED_MOST


def _parts(model: Predictor, before: pa.Table, after: pa.Table) -> tuple[tuple[str, ...], Floats]:
    """What each column moved the forecast of each user by, shape (n_users, n_columns); they sum to what it moved."""
    if isinstance(model, Explains):
        one, two = model.contributions(before), model.contributions(after)
        a, b = (np.exp(c.base + c.parts.sum(axis=1)) for c in (one, two))
        return one.columns, (two.parts - one.parts) * logarithmic_mean(b, a)[:, None]
    if not isinstance(model, Blended):
        return ("all it goes by",), (model.predict(after) - model.predict(before))[:, None]
    added: dict[str, Floats] = {}
    for (name, member), weight in zip(model.members.items(), model.weights.tolist(), strict=True):
        columns, parts = _parts(member, before, after)
        for k, column in enumerate(columns):
            label = column if isinstance(member, Explains) else f"what {name} says"
            added[label] = added.get(label, 0.0) + weight * parts[:, k]
    return tuple(added), np.column_stack(list(added.values()))


def _change(
    moves: _Moves, label: str, one: Mask, two: Mask, *, cutoffs: tuple[int, int], unit: str
) -> Change:
    first, second = moves.stayed
    both = one[first] & two[second]
    gone, come = one.copy(), two.copy()
    gone[first[both]] = False
    come[second[both]] = False
    by_column = moves.by_column(both)
    return Change(
        group=label,
        cutoffs=cutoffs,
        earlier=float(moves.means[0][one].sum()),
        later=float(moves.means[1][two].sum()),
        come=float(moves.means[1][come].sum()),
        gone=float(moves.means[0][gone].sum()),
        n_come=int(np.count_nonzero(come)),
        n_gone=int(np.count_nonzero(gone)),
        n_stayed=int(np.count_nonzero(both)),
        by_column=by_column,
        rest=float(moves.moved[both].sum()) - sum(v for _, v in by_column),
        n_looked_at=int(np.count_nonzero(both[moves.looked_at])),
        unit=unit,
    )


def _require_texts(snapshot: Snapshot, group: Mapping[str, str]) -> None:
    texts = [c.name for c in snapshot.attributes]
    for column in group:
        if column not in texts:
            raise UsageError(
                "drivers.no_column",
                what=f"'{column}' is no text column of the snapshot.",
                why="A group is told by what users have in such a column.",
                do=f"Take one of: {', '.join(texts)}."
                if texts
                else "Keep a text column of the source: keep = [...].",
            )


def _having(rows: pa.Table, group: Mapping[str, str]) -> Mask:
    inside = np.ones(rows.num_rows, dtype=np.bool_)
    for column, value in group.items():
        same = pc.fill_null(pc.equal(rows.column(column), value), False)
        inside &= np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)
    return inside
