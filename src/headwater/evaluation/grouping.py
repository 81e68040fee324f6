"""Groups of users: by a column of text, by the month they began, by tenure, by tenth of the forecast."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.span import date_of
from headwater.engine.arrays import column_floats

__all__ = ["TENURE", "Grouping", "Labels", "by_decile", "by_month", "by_tenure", "groups_of"]

Floats = NDArray[np.float64]

TENURE = "tenure"
"""The kind of group of users known equally long; its names are in order."""

_OTHERS = "(others)"
_UNKNOWN = "(unknown)"
_TENURES = (7, 30, 90, 180, 365)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouping:
    """Which group each user is in: ``codes`` (users,) point into ``names``."""

    names: tuple[str, ...]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, labels: Labels, *, most: int = 30) -> Grouping:
        """Groups by label; NULL is ``(unknown)``, and beyond the ``most`` largest groups users are ``(others)``."""
        if isinstance(labels, Grouping):
            return labels
        values: pa.Array | pa.ChunkedArray = (
            labels if isinstance(labels, pa.Array | pa.ChunkedArray) else pa.array(labels, pa.string())
        )
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        coded = pc.fill_null(values.cast(pa.string()), _UNKNOWN).dictionary_encode()
        names = coded.dictionary.to_pylist()
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.intp)
        counts = np.bincount(codes, minlength=len(names))
        order = sorted(range(len(names)), key=lambda i: (-counts[i], names[i]))
        kept = sorted(names[i] for i in order[:most])
        shown = [*kept, *([_OTHERS] if len(names) > most else [])]
        place = {name: i for i, name in enumerate(shown)}
        last = len(shown) - 1
        table = np.array([place.get(name, last) for name in names], dtype=np.intp)
        return cls(names=tuple(shown), codes=table[codes])

    def take(self, rows: NDArray[np.intp]) -> Grouping:
        """The same groups of the users at these rows."""
        return Grouping(names=self.names, codes=self.codes[rows])

    def sums(self, of: Floats) -> Floats:
        """Sum over the users of each group, shape (groups,)."""
        return np.bincount(self.codes, of, minlength=len(self.names)).astype(np.float64)


Labels = Grouping | pa.Array | pa.ChunkedArray | NDArray[np.str_] | Sequence[str]
"""Each user's group: made before, or text (NULL where it is not known)."""


def by_month(days: Floats) -> Grouping:
    """Groups by calendar month of an app day, such as a user's first: ``2024-03``."""
    distinct, codes = np.unique(days.astype(np.int64), return_inverse=True)
    months = [date_of(int(d)).strftime("%Y-%m") for d in distinct]
    names = sorted(set(months))
    table = np.array([names.index(m) for m in months], dtype=np.intp)
    return Grouping(names=tuple(names), codes=table[codes])


def by_tenure(days: Floats) -> Grouping:
    """Groups by days since the first active day: up to a week, a month, a quarter, half a year, a year, more."""
    edges = (0, *_TENURES)
    names = (*(f"{a}-{b - 1} days" for a, b in itertools.pairwise(edges)), f"{edges[-1]}+ days")
    return Grouping(
        names=names, codes=np.searchsorted(np.array(_TENURES), days, side="right").astype(np.intp)
    )


def by_decile(predicted: Floats) -> Grouping:
    """Tenths by forecast, ``1`` the lowest; equal forecasts lie in one group."""
    ordered = np.sort(predicted)
    borders = ordered[(np.arange(1, 10) * ordered.size) // 10]
    codes = np.searchsorted(borders, predicted, side="right").astype(np.intp)
    return Grouping(names=tuple(str(i) for i in range(1, 11)), codes=codes)


def groups_of(rows: pa.Table, *, cutoff: int, attributes: Sequence[str] = ()) -> dict[str, Grouping]:
    """The usual kinds of group of a snapshot's rows: month first seen, tenure, and each text column named.

    ``rows`` holds ``tenure_days`` and the attributes (``snapshots.rows.rows_at``).
    """
    tenure = column_floats(rows, "tenure_days")
    return {
        "month": by_month(cutoff - tenure),
        TENURE: by_tenure(tenure),
        **{name: Grouping.of(rows.column(name)) for name in attributes},
    }
