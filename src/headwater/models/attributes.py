"""What models that read attributes (country, channel) share: their values as indicators against the most common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.models.model import Floats
from headwater.numerics.rfm import Ints

__all__ = ["Coded", "Coding", "code"]

UNKNOWN: Final = "unknown"
MOST_VALUES: Final = 12
MOST_KINDS: Final = 200
LEAST_SHARE: Final = 0.005
LEAST_USERS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """One attribute: its most common value, the others with an indicator each, and whether rare ones share one."""

    column: str
    reference: str
    values: tuple[str, ...]
    pooled: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The indicators' names."""
        rare = (f"{self.column} other",) if self.pooled else ()
        return (*(f"{self.column} {v}" for v in self.values), *rare)

    def numbers(self, rows: pa.Table) -> Ints:
        """0 for the most common value, k for the k-th indicator; a value never seen counts as rare, or as common."""
        text = rows.column(self.column).cast(pa.string()).fill_null(UNKNOWN)
        known = pa.array([self.reference, *self.values], pa.string())
        found = pc.index_in(text, value_set=known).to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isnan(found), len(self.names) if self.pooled else 0, found).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """Attributes as indicators."""

    attributes: tuple[Coded, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns it reads."""
        return tuple(a.column for a in self.attributes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all indicators."""
        return tuple(n for a in self.attributes for n in a.names)

    def patterns(self, rows: pa.Table) -> tuple[Floats, Ints]:
        """The distinct rows of indicators ``(n_patterns, q)``, and which of them each row has."""
        numbers = [a.numbers(rows) for a in self.attributes]
        key = np.zeros(rows.num_rows, dtype=np.int64)
        for attribute, number in zip(self.attributes, numbers, strict=True):
            key = key * (len(attribute.names) + 1) + number
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        blocks = [
            (number[first][:, None] == np.arange(1, len(a.names) + 1)).astype(np.float64)
            for a, number in zip(self.attributes, numbers, strict=True)
        ]
        return np.hstack(blocks), which.astype(np.int64, copy=False)

    def state(self) -> list[dict[str, object]]:
        """Text and numbers from which ``Coding.restored`` makes the same."""
        return [
            {"column": a.column, "reference": a.reference, "values": list(a.values), "pooled": a.pooled}
            for a in self.attributes
        ]

    @classmethod
    def restored(cls, saved: Sequence[Mapping[str, object]]) -> Coding:
        """The coding of a saved state."""
        return cls(
            attributes=tuple(
                Coded(
                    column=str(a["column"]),
                    reference=str(a["reference"]),
                    values=tuple(cast("list[str]", a["values"])),
                    pooled=bool(a["pooled"]),
                )
                for a in saved
            )
        )


def code(rows: pa.Table, columns: Sequence[str]) -> tuple[Coding, tuple[str, ...]]:
    """Indicators of the attributes of ``rows``, and the columns left out.

    Values of fewer than 30 users or 0.5% of them, and those beyond the twelve most common, share one
    indicator. Columns with one value are left out, and those with which users would fall into more than 200 kinds.
    """
    kept: list[Coded] = []
    left_out: list[str] = []
    for column in columns:
        found = _coded(rows, column)
        tried = Coding(attributes=(*kept, found))
        if found.names and tried.patterns(rows)[0].shape[0] <= MOST_KINDS:
            kept.append(found)
        else:
            left_out.append(column)
    return Coding(attributes=tuple(kept)), tuple(left_out)


def _coded(rows: pa.Table, column: str) -> Coded:
    text = rows.column(column).cast(pa.string()).fill_null(UNKNOWN)
    counted = pc.value_counts(text.combine_chunks()).to_pylist()
    order = sorted(((int(c["counts"]), str(c["values"])) for c in counted), key=lambda c: (-c[0], c[1]))
    least = max(LEAST_USERS, LEAST_SHARE * rows.num_rows)
    common = [value for count, value in order if count >= least][: MOST_VALUES + 1]
    reference = common[0] if common else order[0][1]
    values = tuple(common[1:])
    return Coded(column=column, reference=reference, values=values, pooled=len(order) > 1 + len(values))
