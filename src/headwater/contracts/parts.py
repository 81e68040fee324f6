"""Parts of a source: a few files checked together, so that files which did not change are not checked again.

What a row breaks depends on the row alone, but for rows that repeat others. So a part is checked again where
one of its files changed, or where other rows of it repeat others than before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.plan import QUARANTINE, CheckPlan, event_columns
from headwater.contracts.query import checked_query
from headwater.core.contract import Contract, Part
from headwater.core.errors import SourceError
from headwater.core.table import Table
from headwater.engine.engine import Engine, adopt_by_day, table_scan
from headwater.engine.folders import link_file
from headwater.engine.relation import Relation
from headwater.engine.sources import require_closed_quotes
from headwater.engine.sql import Sql, commas, engine_type, is_plain_type, name, shim, sql

__all__ = ["Grouping", "SourceFile", "carry_part", "conformed", "group_files", "write_part"]

_MOST_FILES, _MOST_BYTES = 8, 64_000_000

SourceFile = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The parts of a load: those an earlier load checked, those that are gone, and the new ones, by their files."""

    kept: tuple[Part, ...]
    gone: tuple[Part, ...]
    new: tuple[tuple[SourceFile, ...], ...]


def group_files(
    files: Sequence[SourceFile],
    *,
    sizes: Mapping[str, int],
    earlier: Sequence[Part],
    holds: Callable[[Part], bool],
    apart: bool,
    alone: bool,
) -> Grouping:
    """Put files into parts: earlier parts whose files are all as they were, then new parts of a few files each.

    Parameters
    ----------
    files, sizes
        Names with a fingerprint of their bytes, and bytes by name.
    holds
        Whether an earlier part of the same files still says the same; where not, it counts as gone.
    apart
        Whether the place of a row is within its file. Where it is not (text, whose rows are counted over all
        files read together), a file is a part ``alone``, or, where rows are compared, all files are one part.
    """
    if not apart and not alone:
        kept_whole = tuple(p for p in earlier if set(p.sources) == set(files) and holds(p))
        new_whole = () if kept_whole else (tuple(files),)
        return Grouping(kept=kept_whole, gone=tuple(p for p in earlier if p not in kept_whole), new=new_whole)
    most = _MOST_FILES if apart else 1
    present = set(files)
    kept = tuple(p for p in earlier if present.issuperset(p.sources) and holds(p))
    covered = {source for p in kept for source in p.sources}
    new: list[list[SourceFile]] = []
    room = 0
    for file in (f for f in files if f not in covered):
        if not new or len(new[-1]) >= most or sizes[file[0]] > room:
            new.append([])
            room = _MOST_BYTES
        new[-1].append(file)
        room -= sizes[file[0]]
    gone = tuple(p for p in earlier if p not in kept)
    return Grouping(kept=kept, gone=gone, new=tuple(tuple(g) for g in new))


def conformed(relation: Relation, columns: Sequence[tuple[str, str]]) -> Relation:
    """A relation over some files with the columns that all files together have.

    Only columns whose type differs are cast. Raises ``SourceError`` (``source.columns_differ``) where that is
    a column of lists, structs, maps or an enum.
    """
    own = dict(relation.columns)
    if list(relation.columns) == list(columns):
        return relation
    cast = [name(c) if own.get(c) == t else _cast(relation, c, own.get(c), t) for c, t in columns]
    place = [name("__file"), name("__row")]
    rows = sql("(SELECT {c} FROM {rows} r)", c=commas([*cast, *place]), rows=relation.rows)
    aside = sql("(SELECT {c} FROM {rows} r)", c=commas([*cast, *place]), rows=relation.rows_keeping_aside)
    return replace(relation, columns=tuple(columns), rows=rows, rows_keeping_aside=aside)


def _cast(relation: Relation, column: str, own: str | None, whole: str) -> Sql:
    if not (is_plain_type(whole) and is_plain_type(own or whole)):
        there = f"is {own}" if own else "is not there"
        raise SourceError(
            "source.columns_differ",
            what=f"The column '{column}' {there} in '{relation.files[0].name}', and {whole} over all files.",
            why="A list, struct, map or enum of one type cannot be read as another without changing what it says.",
            do=f"Write '{column}' with one type in all files, or as text.",
        )
    value = sql("NULL") if own is None else name(column)
    return sql("CAST({v} AS {t}) AS {c}", v=value, t=engine_type(whole), c=name(column))


def write_part(
    engine: Engine,
    contract: Contract,
    plan: CheckPlan,
    relation: Relation,
    *,
    sources: tuple[SourceFile, ...],
    span: tuple[int, int] | None,
    timeless: bool,
    repeats: str,
    folder: Path,
) -> Part:
    """Check the files of a part and write its kept rows and its quarantine under ``folder``."""
    own = replace(plan, rows=relation.rows, rows_keeping_aside=relation.rows_keeping_aside)
    query = checked_query(contract, own)
    place = folder / _name_of(sources, repeats, plan.root)
    kept, broken = _split(engine, query, plan, place, read_twice=relation.format == "parquet")
    require_closed_quotes(engine, relation)
    unreadable = _write_unreadable(engine, relation, plan.root, place)
    events, days = adopt_by_day(engine, kept, table="events", columns=event_columns(plan))
    quarantine = engine.adopt([*broken, *unreadable], table="quarantine", columns=QUARANTINE)
    n_naive, n_early, n_twice = engine.one(
        sql(
            "SELECT count(*) FILTER (WHERE at_offset = ''), count(*) FILTER (WHERE known_day < app_day), count(*) FILTER (WHERE at_twice) FROM {s} s",
            s=table_scan(events),
        )
    )
    offsets = engine.rows(
        sql(
            "SELECT DISTINCT at_offset FROM {s} s WHERE at_offset <> '' ORDER BY at_offset",
            s=table_scan(events),
        )
    )
    return Part(
        sources=sources,
        span=span or _span_of(engine, [*kept, *broken]),
        timeless=timeless,
        repeats=repeats,
        events=replace(events, columns=()),
        quarantine=replace(quarantine, columns=()),
        days=days,
        n_naive=n_naive,
        n_early=n_early,
        n_twice=n_twice,
        offsets=tuple(str(o) for (o,) in offsets),
    )


def _span_of(engine: Engine, files: Sequence[Path]) -> tuple[int, int] | None:
    """The first and last instant of the rows of files just written; None where none has a time."""
    first, last = engine.one(
        sql("SELECT min(at_us), max(at_us) FROM {s} s", s=shim("scan", *[str(f) for f in files]))
    )
    return None if first is None else (int(first), int(last))


def carry_part(part: Part, *, root: Path, folder: Path) -> Part:
    """A part of an earlier load in the folder of this one: the same bytes under a second name."""
    place = folder / _name_of(part.sources, part.repeats, root)
    return replace(part, events=_carried(part.events, place), quarantine=_carried(part.quarantine, place))


def _carried(table: Table, place: Path) -> Table:
    moved: list[str] = []
    for file in map(Path, table.files):
        inside = file.parts[file.parts.index(place.name) + 1 :]
        target = place.joinpath(*inside)
        link_file(file, target)
        moved.append(str(target))
    return replace(table, files=tuple(moved))


def _name_of(sources: Iterable[SourceFile], repeats: str, root: Path) -> str:
    named = [(file.removeprefix(f"{root}/"), print_) for file, print_ in sources]
    return hashlib.sha256(repr((named, repeats)).encode()).hexdigest()[:16]


def _split(
    engine: Engine, query: Sql, plan: CheckPlan, place: Path, *, read_twice: bool
) -> tuple[list[Path], list[Path]]:
    """Write what is kept and what is broken; Parquet is read once for each, which is faster than to sort rows apart."""
    if not read_twice:
        parts = engine.write_parts(query, place / "checked", by=("is_broken",))
        kept, broken = list(parts.get(("false",), ())), list(parts.get(("true",), ()))
        return kept or [_none(engine, query, place, "kept")], broken or [
            _none(engine, query, place, "broken")
        ]
    columns = [c.name for c in event_columns(plan)] + ["at_offset", "at_twice"]
    kept_rows = sql(
        "SELECT {c} FROM ({q}) q WHERE NOT is_broken", c=commas([name(c) for c in columns]), q=query
    )
    broken_rows = sql("SELECT * FROM ({q}) q WHERE is_broken", q=query)
    return (
        list(engine.write_files(kept_rows, place, table="kept")),
        list(engine.write_files(broken_rows, place, table="broken")),
    )


def _none(engine: Engine, query: Sql, place: Path, table: str) -> Path:
    return engine.write_files(sql("SELECT * FROM ({q}) q LIMIT 0", q=query), place, table=table)[0]


def _write_unreadable(engine: Engine, relation: Relation, root: Path, place: Path) -> tuple[Path, ...]:
    """Lines that could not be split into columns, as rows of the quarantine."""
    if relation.broken is None:
        return ()
    lines = sql(
        "SELECT CAST(0 AS BIGINT) AS broken, concat('unreadable(', why, ')') AS codes, replace(CAST(f AS STRING), {root}, '') AS source_file, CAST(r AS BIGINT) AS source_row,"
        " md5(CAST(line AS STRING)) AS line_hash, CAST(line AS STRING) AS raw FROM ({aside}) AS t(f, r, why, line)",
        aside=relation.broken,
        root=f"{root}/",
    )
    return engine.write_files(lines, place, table="unreadable")
