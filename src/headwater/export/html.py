"""A report as one offline page: no request leaves it, no text from data can run in it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headwater.core.block import (
    Block,
    Callout,
    Cell,
    Chart,
    Code,
    Document,
    Field,
    Form,
    Grid,
    Heading,
    Page,
    Prose,
    WhatIf,
    WhatIfInput,
    WhatIfOutput,
)
from headwater.core.finding import Severity
from headwater.export._atomic import replacing
from headwater.export._charts import vega_spec
from headwater.export._forms import decimals, is_number, is_numeric, label_with_unit, shown
from headwater.export._rows import checked_rows
from headwater.export._text import visible

__all__ = ["Html"]

ASSETS = Path(__file__).parent / "_html"
KINDS = {
    Heading: "heading",
    Prose: "prose",
    Code: "code",
    Callout: "callout",
    Grid: "grid",
    Chart: "chart",
    WhatIf: "what_if",
}
SIGNS = {Severity.NOTE: ("i", "Note"), Severity.WARN: ("!", "Warning"), Severity.BLOCK: ("×", "Blocked")}
JSON_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _TableView:
    """A table ready to print: the header, rows of (text, sort key), and how much of the whole it is."""

    fields: tuple[Field, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockView:
    """A block with all that the template needs beside it."""

    kind: str
    block: Block
    anchor: str
    table: _TableView | None = None
    spec: str = ""
    sign: tuple[str, str] = ("", "")
    level: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _PageView:
    page: Page
    anchor: str
    blocks: tuple[_BlockView, ...]


class Html:
    """Writes a document as one self-contained HTML file for people to read, sort, hover and print."""

    suffix: ClassVar[str] = ".html"

    def write(self, document: Document, path: Path) -> None:
        """Write the whole page to ``path``, or nothing.

        Parameters
        ----------
        document
            What to write. Every text in it is treated as plain text.
        path
            The file to make or replace; its folder must exist.

        Raises
        ------
        UsageError
            ``export.no_folder``, ``export.chart_role``, ``export.ragged_row``, ``export.row_count``.
        """
        page = _page(document)
        with replacing(path) as draft:
            draft.write_text(page, encoding="utf-8", newline="\n")


def _page(document: Document) -> str:
    views = [_page_view(page, f"p{i}") for i, page in enumerate(document.pages, start=1)]
    scripts = [_asset("app.js")]
    if any(view.kind == "chart" for page in views for view in page.blocks):
        scripts.insert(0, _asset("bundle.js"))
    style = _asset("app.css")
    return _template().render(
        document=document,
        readers=[view for view in views if not view.page.analyst],
        analysts=[view for view in views if view.page.analyst],
        policy=_policy(scripts, style),
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        style=Markup(style),  # noqa: S704
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _template() -> Any:
    world = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    world.filters["label"] = label_with_unit
    world.filters["json_text"] = _json_text
    return world.get_template("report.html")


def _policy(scripts: list[str], style: str) -> str:
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _json_text(value: object) -> Markup:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in JSON_ESCAPES.items():
        text = text.replace(character, escape)
    return Markup(text)  # noqa: S704


def _page_view(page: Page, anchor: str) -> _PageView:
    blocks = tuple(_block_view(block, f"{anchor}b{i}") for i, block in enumerate(page.blocks, start=1))
    return _PageView(page=page, anchor=anchor, blocks=blocks)


def _block_view(block: Block, anchor: str) -> _BlockView:
    kind = KINDS[type(block)]
    match block:
        case Heading():
            level = min(max(block.level, 2) + 1, 6)
            return _BlockView(kind=kind, block=block, anchor=anchor, level=level)
        case Callout():
            return _BlockView(kind=kind, block=block, anchor=anchor, sign=SIGNS[block.finding.severity])
        case Grid():
            rows = tuple(checked_rows(block, at_most=block.preview))
            table = _table(block.fields, rows, n_rows=block.n_rows)
            return _BlockView(kind=kind, block=block, anchor=anchor, table=table)
        case Chart():
            table, spec = _table(block.fields, block.rows), _json_text(vega_spec(block))
            return _BlockView(kind=kind, block=block, anchor=anchor, table=table, spec=spec)
        case WhatIf():
            return _BlockView(kind=kind, block=block, anchor=anchor, table=_what_if_table(block))
        case Prose() | Code():
            return _BlockView(kind=kind, block=block, anchor=anchor)


def _table(fields: tuple[Field, ...], rows: tuple[tuple[Cell, ...], ...], n_rows: int = -1) -> _TableView:
    places = [decimals(field, (row[i] for row in rows)) for i, field in enumerate(fields)]
    printed = tuple(
        tuple((shown(cell, f, p), _sort_key(cell)) for cell, f, p in zip(row, fields, places, strict=True))
        for row in rows
    )
    numeric = tuple(is_numeric(field.form) for field in fields)
    return _TableView(
        fields=fields, numeric=numeric, rows=printed, n_rows=n_rows if n_rows >= 0 else len(rows)
    )


def _sort_key(cell: Cell) -> str:
    return repr(cell) if is_number(cell) else ""


def _what_if_table(block: WhatIf) -> _TableView:
    fields = (Field(name="label", label="Quantity"), Field(name="value", label="Value", form=Form.NUMBER))
    rows = tuple(_what_if_rows(block))
    return _TableView(fields=fields, numeric=(False, True), rows=rows, n_rows=len(rows))


def _what_if_rows(block: WhatIf) -> Iterator[tuple[tuple[str, str], ...]]:
    parts: tuple[WhatIfInput | WhatIfOutput, ...] = (*block.inputs, *block.outputs)
    for part in parts:
        field = Field(name=part.name, label=part.label, form=part.form)
        role = "input" if isinstance(part, WhatIfInput) else "output"
        text = shown(part.value, field, decimals(field, [part.value]))
        yield (part.label, ""), (text, _sort_key(part.value)), (part.note, role)
