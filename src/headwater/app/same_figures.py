"""Two reports told from two engines: is every figure the same, and if not, which is not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headwater.app.same_tables import TOLERANCE, Difference, Example
from headwater.core.block import (
    Block,
    Callout,
    Cell,
    Chart,
    Code,
    Document,
    Grid,
    Heading,
    Prose,
    WhatIf,
)

__all__ = ["PageComparison", "compare_blocks", "compare_documents"]

_PLACE = re.compile(r"\S*\.headwater/\S+")
_NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?|-?\d+[eE][-+]?\d+")
_OF_THE_ENGINE = frozenset({("data_card", "Fingerprint")})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageComparison:
    """One page of both reports: how many figures and sentences each shows, and which differ."""

    page: str
    n_figures: tuple[int, int]
    found: Difference


def compare_documents(one: Document, other: Document) -> tuple[PageComparison, ...]:
    """Page by page: every sentence, cell, point of a chart, finding and formula.

    Doubles may differ by ``TOLERANCE`` of their size. Left out is what names the engine and not the data: its
    SQL, its fingerprints, and the folder in which a step lies.
    """
    pages = {p.name: p for p in one.pages}, {p.name: p for p in other.pages}
    names = list(dict.fromkeys([*pages[0], *pages[1]]))
    top = _compared(
        "title", {"title": one.title, "lead": one.lead}, {"title": other.title, "lead": other.lead}
    )
    return (top, *(compare_blocks(n, *(p[n].blocks if n in p else () for p in pages)) for n in names))


def compare_blocks(page: str, one: Iterable[Block], other: Iterable[Block]) -> PageComparison:
    """The blocks of one page, or of one result."""
    return _compared(page, _figures(one), _figures(other))


def _compared(page: str, one: dict[str, Cell], other: dict[str, Cell]) -> PageComparison:
    differ = [
        at
        for at in dict.fromkeys([*one, *other])
        if not (at in one and at in other and _same(one[at], other[at]))
    ]
    examples = tuple(Example(column=at, where="", values=(_told(one, at), _told(other, at))) for at in differ)
    found = Difference(n_rows=len(differ), columns=tuple(differ), examples=examples)
    return PageComparison(page=page, n_figures=(len(one), len(other)), found=found)


def _told(figures: dict[str, Cell], at: str) -> str:
    return repr(figures[at]) if at in figures else "nothing"


def _same(a: Cell, b: Cell) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=TOLERANCE)
    if isinstance(a, str) and isinstance(b, str):
        return _PLACE.sub("", a) == _PLACE.sub("", b) or ('{"' in a and '{"' in b and _same_row(a, b))
    return type(a) is type(b) and a == b


def _same_row(a: str, b: str) -> bool:
    """Whether two raw rows, cut short as examples are, say the same: each engine writes doubles in its own way."""
    one, other = (_NUMBER.sub(lambda n: repr(float(n[0])), text.partition("…")[0]) for text in (a, b))
    if "…" not in a or "…" not in b:
        return one == other
    both = min(len(one), len(other))
    return one[:both].rpartition(",")[0] == other[:both].rpartition(",")[0]


def _figures(blocks: Iterable[Block]) -> dict[str, Cell]:
    """Everything blocks show, by its place among them."""
    found: dict[str, Cell] = {}
    for number, block in enumerate(blocks):
        found |= {f"{number} {at}": value for at, value in _of_block(block)}
    return found


def _of_block(block: Block) -> Iterator[tuple[str, Cell]]:
    match block:
        case Heading(text=text) | Prose(text=text):
            yield "text", text
        case Code():
            return
        case Callout(finding=f):
            yield from (("code", f.code), ("what", f.what), ("why", f.why), ("do", f.do))
        case Grid():
            yield f"{block.name} note", block.note
            yield from _of_rows(block.name, [f.name for f in block.fields], block.stream())
        case Chart():
            yield f"{block.name} finding", block.finding
            yield from _of_rows(block.name, [f.name for f in block.fields], iter(block.rows))
        case WhatIf():
            yield from ((f"{block.name} {i.name}", i.value) for i in (*block.inputs, *block.outputs))
            yield from ((f"{block.name} {o.name} formula", o.formula) for o in block.outputs)


def _of_rows(block: str, columns: list[str], rows: Iterator[tuple[Cell, ...]]) -> Iterator[tuple[str, Cell]]:
    for number, row in enumerate(rows):
        if (block, row[0]) not in _OF_THE_ENGINE:
            yield from ((f"{block} row {number + 1} {c}", v) for c, v in zip(columns, row, strict=True))
