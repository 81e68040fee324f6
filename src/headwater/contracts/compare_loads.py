"""Two loads side by side: columns that came or went, new values, days that were restated, distributions that moved.

Both loads are read once, as they are: no contract is needed. A shift is measured by the population stability
index (PSI), ``sum((p - q) * ln(p / q))`` over values or bins: how far, not how surely. Its p comes from the
chi-square of the same table and takes rows for independent, which events of one user are not: read it as a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.contracts.looks import Look, look_at, time_readings
from headwater.contracts.recognize import require_data
from headwater.contracts.shifts import Day, LoadComparison, NewValue, Shift, findings_of
from headwater.contracts.tally import MISSING, log_bin
from headwater.contracts.typing import kind_of_engine_type, raw_name, time_column
from headwater.core.contract import Source
from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.renamed import renamed_columns
from headwater.engine.sources import (
    Relation,
    SiftedFiles,
    check_broken_files,
    find_files,
    open_relation,
    read_sifted,
)
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["compare_loads", "stability_index"]

_MOST_VALUES = 100
_HEAD_ROWS = 10_000
_GROUPS = 10
_MOST_COLUMNS = 60


def compare_loads(
    engine: Engine,
    now: Path,
    last: Path,
    *,
    at: str | None = None,
    at_format: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
) -> LoadComparison:
    """Compare a load with an earlier one.

    Parameters
    ----------
    now, last
        A file, a folder or a glob each.
    at, at_format
        The time column and how it is written; without ``at`` the first column that reads as a time is taken,
        and days are not compared where there is none. Days are cut in UTC.

    Raises
    ------
    SourceError
        One of the two cannot be read.
    ConfigError
        There is no column ``at`` (``compare.no_column``).
    """
    for path in (now, last):
        require_data(path)
    read = partial(read_sifted, engine, delimiter=delimiter, encoding=encoding)

    def opened(sifted: SiftedFiles) -> Relation:
        found = open_relation(engine, sifted.files, delimiter=delimiter, encoding=encoding)
        return replace(found, broken_files=sifted.broken)

    def beside(this: SiftedFiles) -> LoadComparison:
        return read(
            find_files(last),
            lambda that: _compared(
                engine, (now, opened(this)), (last, opened(that)), at=at, at_format=at_format
            ),
        )

    return read(find_files(now), beside)


def _compared(
    engine: Engine,
    this: tuple[Path, Relation],
    that: tuple[Path, Relation],
    *,
    at: str | None,
    at_format: str | None,
) -> LoadComparison:
    (now, ours), (last, theirs) = this, that
    here, there = dict(ours.columns), dict(theirs.columns)
    both = [c for c in here if c in there]
    looks, before = ({look.column: look for look in look_at(engine, r)} for r in (ours, theirs))
    when, form = _time(looks, both, at, at_format)
    listed = [c for c in both if c != when and c in looks][:_MOST_COLUMNS]
    values = [c for c in listed if _is_listed(looks[c])]
    numbers = [c for c in listed if c not in values and looks[c].is_numeric and not _is_key(looks[c])]
    sides = [_Side(engine, r, at=when, form=form, values=values, numbers=numbers) for r in (ours, theirs)]
    new, lost, shifts = _moves(sides, values, numbers)
    added, gone = tuple(c for c in here if c not in there), tuple(c for c in there if c not in here)
    return _with_findings(
        LoadComparison(
            now=str(now), last=str(last), n_rows_now=sides[0].n_rows, n_rows_last=sides[1].n_rows,
            added=added, gone=gone,
            renamed=renamed_columns(gone, added, last=_heads(engine, theirs, gone), now=_heads(engine, ours, added)),
            retyped=_retyped(here, there, looks, before),
            at=when, days=_days(sides), new_values=new, lost_values=lost, shifts=shifts, findings=(),
        ),
        (ours, theirs),
    )  # fmt: skip


def _heads(engine: Engine, relation: Relation, columns: Sequence[str]) -> dict[str, list[str]]:
    """Values of columns in the first rows, as text."""
    if not columns:
        return {}
    texts = [sql("trim(CAST({c} AS STRING)) AS {c}", c=name(c)) for c in columns]
    rows = engine.arrow(
        sql("SELECT {t} FROM {rows} r LIMIT {n}", t=commas(texts), rows=relation.rows, n=_HEAD_ROWS)
    )
    return {c: [str(v) for v in rows.column(c).to_pylist() if v] for c in columns}


def _retyped(
    here: dict[str, str], there: dict[str, str], looks: dict[str, Look], before: dict[str, Look]
) -> tuple[tuple[str, str, str], ...]:
    """Columns whose declared type differs, and columns of text that were numbers and are not, or the reverse."""
    found: list[tuple[str, str, str]] = []
    for column, now_type in here.items():
        if column not in there:
            continue
        if kind_of_engine_type(now_type) is not kind_of_engine_type(there[column]):
            found.append((column, there[column].lower(), now_type.lower()))
        elif column in looks and column in before and looks[column].n_filled and before[column].n_filled:
            was, now = before[column].is_numeric, looks[column].is_numeric
            if was != now:
                found.append((column, "numbers" if was else "text", "numbers" if now else "text"))
    return tuple(found)


def stability_index(now: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[float, float]:
    """The population stability index of two count vectors, and the p of their chi-square table.

    Half a count is added to each cell of the index, so that a value that is new stays finite.

    >>> psi, p = stability_index(np.array([50, 50]), np.array([50, 50]))
    >>> psi, round(p, 3)
    (0.0, 1.0)
    """
    a, b = now + 0.5, last + 0.5
    share, base = a / a.sum(), b / b.sum()
    psi = float(np.sum((share - base) * np.log(share / base)))
    there = (now + last) > 0
    table = np.array([now[there], last[there]], dtype=float)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / max(table.sum(), 1.0)
    if not (expected > 0).all() or table.shape[1] < 2:
        return psi, 1.0
    square = float(((table - expected) ** 2 / expected).sum())
    return psi, float(special.gammaincc((table.shape[1] - 1) / 2, square / 2))


def _time(
    looks: dict[str, Look], both: Sequence[str], at: str | None, form: str | None
) -> tuple[str | None, str | None]:
    if at is not None:
        if at not in both:
            raise ConfigError(
                "compare.no_column",
                what=f"The column '{at}' is not in both loads.",
                why="Their days cannot be compared.",
                do=near_miss(at, both),
            )
        return at, form or (next(iter(time_readings(looks[at])), None) if at in looks else None)
    for column in both:
        read = time_readings(looks[column]) if column in looks else ()
        if read:
            return column, read[0]
    return None, None


def _is_listed(look: Look) -> bool:
    return look.n_distinct <= _MOST_VALUES and look.longest <= 80 and not _is_key(look)


def _is_key(look: Look) -> bool:
    """A column of ids: numbers that name things are not amounts."""
    return bool({"id", "key", "uuid", "no"} & set(look.words)) and look.n_distinct > _MOST_VALUES


class _Side:
    """One load, counted in one pass: by day, by value, by logarithmic bin."""

    def __init__(
        self,
        engine: Engine,
        relation: Relation,
        *,
        at: str | None,
        form: str | None,
        values: Sequence[str],
        numbers: Sequence[str],
    ) -> None:
        self.rows = engine.arrow(_counts(relation, at, form, values, numbers))
        self.groups = np.asarray(self.rows.column("part").to_numpy())
        self.n = np.asarray(self.rows.column("n").to_numpy())
        self.n_rows = int(self.n[self.groups == 0].sum())

    def days(self) -> dict[int, int]:
        """Rows by day, in UTC."""
        mine = self.groups == 0
        days = self.rows.column("day").filter(pa.array(mine)).to_pylist()
        return {d: int(n) for d, n in zip(days, self.n[mine], strict=True) if d is not None}

    def values(self, part: int) -> dict[str, tuple[int, int | None]]:
        """Rows and first day of each value (or bin, as text) of one column; ``part`` counts from 1."""
        mine = self.groups == part
        seen = self.rows.filter(pa.array(mine))
        return {
            str(v): (int(n), d)
            for v, n, d in zip(
                seen.column("value").to_pylist(),
                seen.column("n").to_pylist(),
                seen.column("first_day").to_pylist(),
                strict=True,
            )
        }


def _counts(
    relation: Relation, at: str | None, form: str | None, values: Sequence[str], numbers: Sequence[str]
) -> Sql:
    """Grouping sets over the raw load: part 0 by day, one part for each column."""
    types = dict(relation.columns)
    day = sql("CAST(NULL AS INTEGER)")
    if at is not None:
        source = Source(path="", user=at, at=at, at_format=form)
        us = time_column(at, source, types[at], "UTC")
        day = sql("CAST(floor(CAST({us} AS DOUBLE) / 86400000000.0) AS INTEGER)", us=us)
    shown = [
        sql("coalesce(CAST({c} AS STRING), {m}) AS {k}", c=name(c), m=MISSING, k=name(f"k{i + 1}"))
        for i, c in enumerate(values)
    ]
    binned = [
        sql(
            "coalesce(CAST({b} AS STRING), {m}) AS {k}",
            b=log_bin(sql("TRY_CAST({c} AS DOUBLE)", c=name(c))),
            m=MISSING,
            k=name(f"k{i + 1 + len(values)}"),
        )
        for i, c in enumerate(numbers)
    ]
    keys = [name(f"k{i + 1}") for i in range(len(values) + len(numbers))]
    part = [sql("WHEN grouping({k}) = 0 THEN {i}", k=k, i=i + 1) for i, k in enumerate(keys)]
    raw = sql(", {c} AS {r}", c=name(at), r=raw_name(at)) if at is not None else sql("")
    return sql(
        "SELECT {part} AS part, day, {value} AS value, CAST(count(*) AS BIGINT) AS n, min(seen) AS first_day FROM"
        " (SELECT day, day AS seen{carried} FROM (SELECT {day} AS day{keys} FROM (SELECT *{raw} FROM {rows}) r) d) e GROUP BY GROUPING SETS ({sets})",
        part=sql("CASE {w} ELSE 0 END", w=_spaced(part)) if part else sql("0"),
        value=sql("coalesce({k}, NULL)", k=commas(keys)) if keys else sql("CAST(NULL AS STRING)"),
        carried=sql(", {k}", k=commas(keys)) if keys else sql(""),
        keys=sql(", {k}", k=commas([*shown, *binned])) if keys else sql(""),
        day=day,
        raw=raw,
        rows=relation.rows,
        sets=commas([sql("(day)"), *(sql("({k})", k=k) for k in keys)]),
    )


def _spaced(parts: Sequence[Sql]) -> Sql:
    joined = parts[0]
    for part in parts[1:]:
        joined = sql("{a} {b}", a=joined, b=part)
    return joined


def _moves(
    sides: Sequence[_Side], values: Sequence[str], numbers: Sequence[str]
) -> tuple[tuple[NewValue, ...], tuple[NewValue, ...], tuple[Shift, ...]]:
    new: list[NewValue] = []
    lost: list[NewValue] = []
    shifts: list[Shift] = []
    for part, column in enumerate([*values, *numbers], start=1):
        now, last = (side.values(part) for side in sides)
        if column in values:
            new += _only_in(now, last, column, sides[0].n_rows)
            lost += _only_in(last, now, column, sides[1].n_rows)
        counts = _aligned(now, last) if column in values else _grouped(now, last)
        psi, p = stability_index(*counts)
        kind = Kind.TEXT if column in values else Kind.NUMBER
        shifts.append(Shift(column=column, kind=kind, psi=psi, p_value=p, n_cells=len(counts[0])))
    return tuple(new), tuple(lost), tuple(sorted(shifts, key=lambda s: -s.psi))


def _only_in(
    these: dict[str, tuple[int, int | None]],
    those: dict[str, tuple[int, int | None]],
    column: str,
    n_rows: int,
) -> list[NewValue]:
    found = [
        NewValue(column=column, value=v, n_rows=n, share=n / max(n_rows, 1), first_day=day)
        for v, (n, day) in these.items()
        if v not in those
    ]
    return sorted(found, key=lambda f: (-f.n_rows, f.value))[:_MOST_VALUES]


def _aligned(
    now: dict[str, tuple[int, int | None]], last: dict[str, tuple[int, int | None]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    every = sorted(set(now) | set(last))
    a, b = (np.array([side.get(v, (0, None))[0] for v in every], dtype=np.int64) for side in (now, last))
    return a, b


def _grouped(
    now: dict[str, tuple[int, int | None]], last: dict[str, tuple[int, int | None]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins put into about ten groups that hold equal parts of the last load; what is missing is one of its own."""
    bins = sorted(int(v) for v in set(now) | set(last) if v != MISSING)
    counts = np.array(
        [[side.get(str(b), (0, None))[0] for b in bins] for side in (now, last)], dtype=np.int64
    )
    heaped = np.cumsum(counts[1]) if bins else np.zeros(0)
    group = (
        np.minimum(
            (heaped - counts[1] / 2) / max(heaped[-1] if bins else 1, 1) * _GROUPS, _GROUPS - 1
        ).astype(int)
        if bins
        else np.zeros(0, int)
    )
    made = np.zeros((2, _GROUPS + 1), dtype=np.int64)
    for row in range(2):
        np.add.at(made[row], group, counts[row])
        made[row, _GROUPS] = (now, last)[row].get(MISSING, (0, None))[0]
    there = made.sum(axis=0) > 0
    return made[0, there], made[1, there]


def _days(sides: Sequence[_Side]) -> tuple[Day, ...]:
    now, last = (side.days() for side in sides)
    return tuple(Day(day=d, n_now=now.get(d, 0), n_last=last.get(d, 0)) for d in sorted(set(now) | set(last)))


def _with_findings(found: LoadComparison, relations: Sequence[Relation]) -> LoadComparison:
    broken = [f for r in relations for f in check_broken_files(r.files, r.broken_files)]
    return replace(found, findings=(*broken, *findings_of(found)))
