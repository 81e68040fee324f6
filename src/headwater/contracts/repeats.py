"""Rows that repeat others, or stand too near them: found over a whole load, or over what a few files touch.

An appended or replaced file can only change which rows repeat others where its times overlap. So only files
that overlap it in time are looked at again, where every such rule is about rows of (nearly) one time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.duplicates import mark_duplicates
from headwater.contracts.neighbors import mark_neighbors
from headwater.contracts.parts import Grouping
from headwater.contracts.plan import CheckPlan
from headwater.contracts.rows import typed_rows
from headwater.contracts.rule import BrokenWhen
from headwater.core.contract import Contract, Part
from headwater.engine.engine import Engine, row_hash
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.sql import name, sql

__all__ = ["FileSpan", "Opener", "Repeats", "find_repeats", "needs_others", "repeats_of", "spans_of"]

_NEAR_US = 86_400_000_000

Span = tuple[int, int]
Opener = Callable[[Iterable[str]], Relation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """The plan with its marks held in the engine; ``prints`` say by file which rows are marked ('' for none).

    ``seen`` are the files that were looked at: of the others nothing changed.
    """

    plan: CheckPlan
    prints: Mapping[str, str]
    seen: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpan:
    """When the rows of a file happened: first and last instant in microseconds (None: none is readable), and whether some have no time."""

    span: Span | None
    timeless: bool


def spans_of(engine: Engine, plan: CheckPlan) -> dict[str, FileSpan]:
    """When the rows of each file of the plan happened."""
    found = engine.rows(
        sql(
            "SELECT {file}, min(at_us), max(at_us), count(*) FILTER (WHERE at_us IS NULL) FROM ({rows}) t GROUP BY {file}",
            file=name(FILE),
            rows=typed_rows(plan, plan.rows),
        )
    )
    return {
        str(file): FileSpan(span=None if first is None else (int(first), int(last)), timeless=n > 0)
        for file, first, last, n in found
    }


def find_repeats(
    engine: Engine,
    contract: Contract,
    plan: CheckPlan,
    *,
    grouping: Grouping,
    spans: Mapping[str, FileSpan],
    open_files: Opener,
) -> Repeats:
    """Mark the rows that repeat others, over as few files as will do."""
    scope = _scope(grouping, spans) if grouping.kept and _is_local(contract, plan) else _whole(grouping)
    marked = plan
    if scope.looked_at:
        opened = open_files(sorted(scope.looked_at))
        whole = replace(plan, rows=opened.rows, rows_keeping_aside=opened.rows_keeping_aside)
        when = {f: _when(p) for p in grouping.kept for f, _ in p.sources} | dict(spans)
        places_hold = opened.format == "parquet"  # a row of text is counted over all files read with its own
        apart = places_hold and _same_time(contract, plan)
        pieces = _pieces({f: when.get(f) for f in scope.looked_at}, most=engine.piece_bytes) if apart else ()
        rows = [open_files(files).rows for files in pieces] if len(pieces) > 1 else [opened.rows]
        marked = mark_neighbors(engine, mark_duplicates(engine, whole, rows))
    return Repeats(plan=marked, prints=_prints(engine, marked), seen=scope.known)


def repeats_of(prints: Mapping[str, str], files: Iterable[str]) -> str:
    """One fingerprint of the marked rows of some files; '' where none is marked."""
    marked = sorted((f, prints[f]) for f in files if f in prints)
    return hashlib.sha256(repr(marked).encode()).hexdigest()[:16] if marked else ""


def needs_others(one: BrokenWhen) -> bool:
    """Whether other rows tell if a row breaks it."""
    return bool(one.duplicate_of) or one.near is not None


def _is_local(contract: Contract, plan: CheckPlan) -> bool:
    """Whether a row can only repeat, or stand near, rows of (nearly) its own time; so too where no rule asks."""
    return all(
        contract.source.at in one.duplicate_of
        if one.near is None
        else one.near.value == sql("at_us") and one.near.most <= _NEAR_US
        for one, _ in plan.checks
        if needs_others(one)
    )


def _same_time(contract: Contract, plan: CheckPlan) -> bool:
    """Whether a row can only repeat rows of exactly its own time."""
    return all(contract.source.at in one.duplicate_of for one, _ in plan.checks if one.duplicate_of)


def _pieces(when: Mapping[str, FileSpan | None], *, most: int) -> list[list[str]]:
    """Files in groups of which no two hold rows of one time; a group is closed when it has ``most`` bytes.

    Small groups are looked through in a fraction of the time and memory that all files at once need.
    """
    dated = {f: w.span for f, w in when.items() if w is not None and w.span is not None and not w.timeless}
    if len(dated) < len(when):
        return [sorted(when)]
    groups: list[list[str]] = []
    end, n_bytes = None, 0
    for file, (first, last) in sorted(dated.items(), key=lambda item: item[1]):
        if end is None or (first > end and n_bytes >= most):
            groups.append([])
            n_bytes = 0
        groups[-1].append(file)
        n_bytes += Path(file).stat().st_size
        end = last if end is None else max(end, last)
    return [sorted(g) for g in groups]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """The files to look at, and those of them whose marks are then known in full."""

    looked_at: frozenset[str]
    known: frozenset[str]


def _scope(grouping: Grouping, spans: Mapping[str, FileSpan]) -> _Scope:
    """New files and kept parts that overlap a new or gone one in time.

    Marks of a kept part may vanish with a file that is gone; where it has some, all that overlaps it is
    looked at too.
    """
    new = [f for group in grouping.new for f, _ in group]
    moved = [spans[f] for f in new if f in spans] + [_when(p) for p in grouping.gone]
    near = [p for p in grouping.kept if _overlaps(_when(p), moved)]
    marked = [_when(p) for p in near if p.repeats]
    around = [p for p in grouping.kept if _overlaps(_when(p), marked)]
    known = frozenset([*new, *_files(near)])
    return _Scope(looked_at=known | frozenset(_files(around)), known=known)


def _when(part: Part) -> FileSpan:
    return FileSpan(span=part.span, timeless=part.timeless)


def _overlaps(one: FileSpan, others: Sequence[FileSpan]) -> bool:
    """Whether rows of both may be of one time; rows without a time are of one time with each other."""
    return any(
        (one.timeless and o.timeless)
        or (one.span is not None and o.span is not None and _touch(one.span, o.span))
        for o in others
    )


def _touch(one: Span, other: Span) -> bool:
    return other[0] <= one[1] + _NEAR_US and one[0] - _NEAR_US <= other[1]


def _whole(grouping: Grouping) -> _Scope:
    every = frozenset([*_files(grouping.kept), *(f for group in grouping.new for f, _ in group)])
    return _Scope(looked_at=every, known=every)


def _files(parts: Iterable[Part]) -> list[str]:
    return [f for p in parts for f, _ in p.sources]


def _prints(engine: Engine, plan: CheckPlan) -> dict[str, str]:
    prints: dict[str, list[str]] = {}
    for view in plan.marks:
        for file, n, total in engine.rows(
            sql(
                "SELECT {file}, count(*), sum({h}) FROM {v} GROUP BY {file}",
                file=name(FILE),
                h=row_hash([ROW, "bits"]),
                v=name(view),
            )
        ):
            prints.setdefault(str(file), []).append(f"{view} {n} {total}")
    return {file: "; ".join(found) for file, found in prints.items()}
