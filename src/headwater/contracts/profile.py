"""Profile a file nobody has described: one pass over all rows for counts and quantiles, the first rows for the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from headwater.contracts.facts import repeats_of
from headwater.contracts.looks import (
    MAX_COLUMNS,
    Look,
    encoding_of,
    look_at,
    sample_rows,
    time_readings,
    value_counts,
)
from headwater.contracts.recognize import no_rows, require_data
from headwater.contracts.roles import time_score
from headwater.contracts.typing import instant_of
from headwater.core.finding import Finding, Severity
from headwater.core.profile import ColumnProfile, Profile
from headwater.engine.engine import Engine
from headwater.engine.sources import (
    MOST_BROKEN_LOOKED_AT,
    Relation,
    SiftedFiles,
    check_broken_files,
    find_files,
    known_rows,
    open_relation,
    read_sifted,
    require_closed_quotes,
)
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["profile"]

_SHARES = (0.01, 0.25, 0.5, 0.75, 0.99)
_BARS = "▁▂▃▄▅▆▇█"
_N_BARS = 10
_FEW = 200
_ID_WORDS = frozenset({"id", "ids", "uid", "uuid", "no", "code", "key"})
_EXACT_DOUBLE = 15
_TOP = 5
_PLACEHOLDERS = frozenset({
    "", "-", "--", ".", "?", "n/a", "na", "nan", "nil", "none", "null", "undefined", "unknown", "(null)", "test", "-1", "9999",
    "99999", "1970-01-01", "1900-01-01", "9999-12-31", "00000000-0000-0000-0000-000000000000",
})  # fmt: skip
_PHONE = re.compile(r"\+?\d[\d ()/-]{8,16}\d")


def profile(engine: Engine, path: Path) -> Profile:
    """What is in a file, folder or glob.

    Raises
    ------
    SourceError
        The files cannot be read.
    DataError
        There are columns but no row (``source.no_rows``).
    """
    require_data(path)
    files = find_files(path)
    encoding = encoding_of(files)
    return read_sifted(
        engine,
        files,
        lambda sifted: _profiled(engine, path, sifted, encoding=encoding),
        encoding=encoding,
        max_broken_files=MOST_BROKEN_LOOKED_AT,
    )


def _profiled(engine: Engine, path: Path, sifted: SiftedFiles, *, encoding: str) -> Profile:
    relation = open_relation(engine, sifted.files, encoding=encoding)
    looks = look_at(engine, relation)
    counted = _counted(engine, relation, looks)
    require_closed_quotes(engine, relation)
    n_rows = counted[0]["n_rows"] if counted else known_rows(sifted.files) or 0
    if not n_rows:
        raise no_rows(str(path))
    few = [look.column for look in looks if 0 < look.n_distinct <= _FEW]
    tops = dict(zip(few, value_counts(engine, relation, few), strict=True))
    bars = _bars(engine, relation, looks, counted)
    columns = [
        _column(look, found, tops.get(look.column, {}), bars.get(look.column, ""), n_rows)
        for look, found in zip(looks, counted, strict=True)
    ]
    return Profile(
        path=str(path),
        format=relation.format,
        n_files=len(sifted.files),
        n_rows=n_rows,
        n_looked=min(n_rows, sample_rows(relation)),
        columns=tuple(sorted(columns, key=lambda c: -len(c.suspicions))),
        findings=(
            *check_broken_files(sifted.files, sifted.broken),
            *_findings(engine, relation, n_rows),
        ),
    )


def _counted(engine: Engine, relation: Relation, looks: Sequence[Look]) -> list[dict[str, Any]]:
    """All rows in one pass: how many have a value, about how many different ones, the ends, and the spread of numbers."""
    parts: list[Sql] = []
    for look in looks:
        c = name(look.column)
        text = sql("nullif(trim(CAST({c} AS STRING)), '')", c=c)
        measured = look.is_numeric and not _is_id(look) and not _times(look)
        number = sql("TRY_CAST({c} AS DOUBLE)", c=c) if measured else sql("CAST(NULL AS DOUBLE)")
        finite = sql("CASE WHEN isfinite({n}) THEN {n} END", n=number)
        parts += [sql("count({t})", t=text), sql("approx_count_distinct({t})", t=text)]
        parts += [sql("min({n})", n=finite), sql("max({n})", n=finite)]
        parts.append(shim("approx_quantiles", finite, *_SHARES))
        parts += _ends(look, text)
    if not parts:
        return []
    row = engine.one(
        sql("SELECT count(*), {p} FROM {rows}", p=commas(parts), rows=relation.rows_keeping_aside)
    )
    width = 7
    found: list[dict[str, Any]] = []
    for i, look in enumerate(looks):
        filled, distinct, low, high, quantiles, *ends = row[1 + i * width : 1 + (i + 1) * width]
        least, largest = (_end_text(look, end) for end in ends)
        spread = () if low is None else (float(low), *(float(q) for q in quantiles), float(high))
        found.append(
            {"n_rows": int(row[0]), "n_filled": int(filled), "n_distinct": int(distinct), "quantiles": spread, "least": least, "largest": largest}
        )  # fmt: skip
    return found


def _times(look: Look) -> tuple[str | None, ...]:
    """The ways a column may be read as a time; plain numbers are times only where the name says so."""
    return time_readings(look) if time_score(look) else ()


def _is_id(look: Look) -> bool:
    """Whether whole numbers name things: their name says so, or a float would lose their last digits."""
    whole = look.is_numeric and not look.n_fraction
    return whole and bool(_ID_WORDS & set(look.words) or look.longest > _EXACT_DOUBLE)


def _ends(look: Look, text: Sql) -> list[Sql]:
    """The first and the last value, exactly: of times in microseconds, of numbers as they are written."""
    forms = _times(look)
    if forms:
        read = [instant_of(name(look.column), look.engine_type, "UTC", form=form) for form in forms]
        most = sql("greatest({n})", n=commas([sql("count({r})", r=r) for r in read]))
        ends = [
            sql(
                "CASE {w} END",
                w=_spaced([sql("WHEN count({r}) = {m} THEN {f}({r})", r=r, m=most, f=sql(f)) for r in read]),
            )
            for f in ("min", "max")
        ]
        return [sql("CAST({e} AS STRING)", e=e) for e in ends]
    if not look.is_numeric:
        return [sql("CAST(NULL AS STRING)")] * 2
    whole = look.share(look.n_integer) > 0.99
    order = sql("TRY_CAST({t} AS DECIMAL(38, 0))" if whole else "TRY_CAST({t} AS DOUBLE)", t=text)
    known = sql("CASE WHEN isfinite(TRY_CAST({t} AS DOUBLE)) THEN {o} END", t=text, o=order)
    return [sql("min_by({t}, {o})", t=text, o=known), sql("max_by({t}, {o})", t=text, o=known)]


def _spaced(parts: Sequence[Sql]) -> Sql:
    return Sql(tuple(piece for part in parts for piece in (*sql(" ").pieces, *part.pieces)))


def _end_text(look: Look, end: str | None) -> str:
    """A time as ISO, without a clock where it is midnight; a number as it is written, whole ones that are no ids with thousands apart."""
    if end is None:
        return ""
    if _times(look):
        at = datetime(1970, 1, 1) + timedelta(microseconds=int(end))
        return at.date().isoformat() if at.time() == time() else at.isoformat(sep=" ", timespec="seconds")
    plain = re.fullmatch(r"-?[1-9]\d*|0", end)
    return f"{int(end):,}" if plain and not _is_id(look) else end


def _bars(
    engine: Engine, relation: Relation, looks: Sequence[Look], counted: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """A tiny picture of each numeric column from its 1% to its 99%, over the first rows."""
    drawn = [
        (k, f["quantiles"])
        for k, f in zip(looks, counted, strict=True)
        if f["quantiles"] and f["quantiles"][5] > f["quantiles"][1]
    ]
    if not drawn:
        return {}
    parts: list[Sql] = []
    for look, q in drawn:
        number = sql("TRY_CAST({c} AS DOUBLE)", c=name(look.column))
        edges = [q[1] + (q[5] - q[1]) * i / _N_BARS for i in range(_N_BARS + 1)]
        for i in range(_N_BARS):
            upper = sql("<=") if i == _N_BARS - 1 else sql("<")
            parts.append(
                sql(
                    "count(*) FILTER (WHERE {n} >= {a} AND {n} {u} {b})",
                    n=number,
                    a=edges[i],
                    u=upper,
                    b=edges[i + 1],
                )
            )
    row = engine.one(
        sql(
            "SELECT {p} FROM (SELECT * FROM {rows} LIMIT {n}) looked",
            p=commas(parts),
            rows=relation.rows,
            n=sample_rows(relation),
        )
    )
    return {look.column: _drawn(row[i * _N_BARS : (i + 1) * _N_BARS]) for i, (look, _) in enumerate(drawn)}


def _drawn(counts: Sequence[int]) -> str:
    """Counts as bars, the highest full.

    >>> _drawn([0, 1, 8])
    '▁▂█'
    """
    most = max(1, *counts)
    return "".join(_BARS[round(n / most * (len(_BARS) - 1))] for n in counts)


def _column(
    look: Look, found: dict[str, Any], values: dict[str, int], bars: str, n_rows: int
) -> ColumnProfile:
    top = sorted(values.items(), key=lambda v: (-v[1], v[0]))
    return ColumnProfile(
        column=look.column,
        engine_type=look.engine_type,
        reads_as=_reads_as(look),
        n_filled=found["n_filled"],
        n_distinct=min(found["n_distinct"], found["n_filled"]),
        least=found["least"],
        largest=found["largest"],
        quantiles=found["quantiles"],
        bars=bars,
        top=tuple((v[:60], n) for v, n in top[:_TOP]),
        suspicions=tuple(_suspicions(look, found, values, n_rows)),
    )


def _reads_as(look: Look) -> str:
    if not look.n_filled:
        return "nothing"
    if _times(look):
        return "time"
    if _is_id(look):
        return "id"
    if look.is_numeric:
        return "whole number" if look.share(look.n_integer) > 0.99 else "number"
    if look.share(look.n_money_text) > 0.8:
        return "amount written as text"
    return "free text" if look.share(look.n_words) > 0.3 else "text"


def _suspicions(look: Look, found: dict[str, Any], values: dict[str, int], n_rows: int) -> list[str]:
    """What a person should look at first; nothing where nothing is odd."""
    told: list[str] = []
    filled = found["n_filled"]
    if not filled:
        return ["it is empty"] if n_rows else []
    if filled < 0.05 * n_rows:
        told.append(f"only {filled / n_rows:.1%} of the rows have a value")
    if found["n_distinct"] == 1 and n_rows > 1 and filled == n_rows:
        told.append("every row has the same value")
    told += _mixed(look)
    told += _spellings(values)
    odd = [v for v in values if v.strip().casefold() in _PLACEHOLDERS]
    if odd and not (look.is_numeric and look.low < 0):
        told.append(f"placeholders stand for missing values: {', '.join(repr(v) for v in odd[:3])}")
    told += _spread(look, found["quantiles"])
    return told


def _mixed(look: Look) -> list[str]:
    told: list[str] = []
    numbers, times = look.share(look.n_number), look.share(look.n_iso)
    if 0.5 < numbers < 1 and not _times(look) and not {"id", "no", "code", "key"} & set(look.words):
        told.append(f"{1 - numbers:.2%} of the values looked at are no number: {_first_text(look)}")
    if 0.5 < times < 1 and look.n_iso:
        told.append(f"{1 - times:.2%} of the values looked at are no ISO date")
    if look.n_at_sign:
        told.append(f"{look.n_at_sign:,} values hold an @: perhaps e-mail addresses")
    phones = sum(bool(_PHONE.fullmatch(e)) for e in look.examples)
    if phones > len(look.examples) / 2 and ({"phone", "mobile", "tel", "telephone"} & set(look.words)):
        told.append("perhaps telephone numbers")
    if look.is_numeric and look.engine_type.upper().startswith(("DOUBLE", "FLOAT")) and "id" in look.words:
        told.append("ids stored as floating-point numbers lose their last digits")
    return told


def _first_text(look: Look) -> str:
    texts = [e for e in look.examples if not re.fullmatch(r"[-+]?\d+([.,]\d+)?", e)]
    return f"such as {texts[0][:40]!r}" if texts else "none among the first"


def _spellings(values: dict[str, int]) -> list[str]:
    """Values that are one but for case and blanks."""
    same: dict[str, list[str]] = {}
    for value in values:
        same.setdefault(" ".join(value.split()).casefold(), []).append(value)
    twins = sorted((sorted(v) for v in same.values() if len(v) > 1), key=lambda v: v[0])
    return [f"spelled in several ways: {' / '.join(v[:4])}" for v in twins[:3]]


def _spread(look: Look, q: Sequence[float]) -> list[str]:
    if not q or {"id", "no", "code"} & set(look.words):
        return []
    told: list[str] = []
    low, high, first, last = q[0], q[6], q[1], q[5]
    if last > 0 and high > 100 * last:
        told.append(f"the largest number ({high:,.6g}) is {high / last:,.0f} times the 99% quantile")
    if low < 0 <= first:
        told.append(f"less than 1% of the numbers are below zero (the least {low:,.6g}): refunds, or errors")
    return told


def _findings(engine: Engine, relation: Relation, n_rows: int) -> tuple[Finding, ...]:
    if not n_rows or len(relation.columns) > MAX_COLUMNS:
        return ()
    repeated, seen = repeats_of(engine, relation)
    if not repeated:
        return ()
    return (
        Finding(
            code="profile.repeats",
            severity=Severity.WARN,
            what=f"{repeated:,} of the first {seen:,} rows repeat an earlier one exactly.",
            why="Counts and sums would be too high.",
            do='Set the later ones aside: rule = "unique".',
            numbers={"n_rows": repeated, "n_seen": seen},
        ),
    )
