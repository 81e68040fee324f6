"""The workbook read back by other programs: calamine reads it, LibreOffice computes it anew."""

from __future__ import annotations

import io
import math
import re
import statistics
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from headwater.core.block import (
    Cell,
    Chart,
    ChartKind,
    Document,
    Field,
    Form,
    Grid,
    Page,
    Role,
    WhatIf,
    WhatIfInput,
    WhatIfOutput,
)
from headwater.core.errors import UsageError
from headwater.export import excel
from headwater.export.excel import Excel

RECALCULATED = 1e-9  # relative: both programs use doubles; quantile functions agree to about 1e-12
SHEET = "What if we spend more"
LIMIT = 1_048_576  # rows of a sheet (ECMA-376, Excel's specifications)


def one_page(*blocks: object) -> Document:
    return Document(title="t", lead="l", pages=(Page(name="p", title="P", blocks=blocks),))  # type: ignore[arg-type]


def rows_of(path: Path, sheet: str) -> list[list[object]]:
    return CalamineWorkbook.from_path(str(path)).get_sheet_by_name(sheet).to_python(skip_empty_area=False)


def parts(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as book:
        return {
            n: book.read(n).decode("utf-8") for n in book.namelist() if n.endswith((".xml", ".rels", ".vml"))
        }


@pytest.fixture(scope="module")
def book(report: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("excel") / "report.xlsx"
    Excel().write(report, path)
    return path


def test_sheets_come_in_reading_order(book: Path) -> None:
    names = CalamineWorkbook.from_path(str(book)).sheet_names
    assert names == [
        "Summary",
        "The answer",
        "Payback",
        SHEET,
        "Users to talk to",
        "Users by predicted value",
        "Backtest",
        "How it was computed",
        "Chart data",
    ]


def test_rows_come_back_through_calamine_with_ids_as_text_and_negatives_as_numbers(
    book: Path, report: Document
) -> None:
    grid = next(b for page in report.pages for b in page.blocks if isinstance(b, Grid) and b.name == "users")
    table = rows_of(book, "Users by predicted value")
    assert table[0][:3] == ["User", "Channel", "First seen"]
    assert len(table) == grid.n_rows + 1
    for written, row in zip(table[1:], grid.stream(), strict=True):
        assert written[0] == row[0]
        assert written[1] == row[1]
        assert str(written[2]) == row[2]
        assert written[3:6] == list(row[3:6])
        assert written[6] == ("" if row[6] is None else row[6])
        assert written[7] is row[7]


def test_tables_keep_their_names_so_that_pivots_survive(book: Path) -> None:
    tables = [text for name, text in parts(book).items() if name.startswith("xl/tables/")]
    assert {re.search(r'displayName="([^"]+)"', text)[1] for text in tables} == {
        "channels",
        "users",
        "parameters",
    }  # type: ignore[index]
    workbook = CalamineWorkbook.from_path(str(book), load_tables=True)
    assert sorted(workbook.table_names or []) == ["channels", "parameters", "users"]


def formulas(path: Path) -> dict[str, tuple[str, str]]:
    """Cell to (formula, cached value) on the what-if sheet."""
    for text in parts(path).values():
        cells = re.findall(r'<c r="([A-Z]+\d+)"[^>]*><f>([^<]*)</f><v>([^<]*)</v>', text)
        if cells:
            return {cell: (formula, value) for cell, formula, value in cells}
    return {}


def test_formulas_stand_on_the_what_if_sheet_only(book: Path) -> None:
    with_formula = [n for n, t in parts(book).items() if n.startswith("xl/worksheets/") and "<f>" in t]
    assert with_formula == ["xl/worksheets/sheet4.xml"]
    assert len(formulas(book)) == 4


def test_libreoffice_recalculation_equals_every_cached_value(
    book: Path, recalculated: Callable[[Path], Path]
) -> None:
    anew = rows_of(recalculated(book), SHEET)
    cached = formulas(book)
    assert cached
    for cell, (_, value) in cached.items():
        row = int(re.sub(r"\D", "", cell)) - 1
        assert anew[row][1] == pytest.approx(float(value), rel=RECALCULATED), cell


def test_normal_quantile_recalculated_by_libreoffice_equals_the_standard_library(
    book: Path, recalculated: Callable[[Path], Path]
) -> None:
    values = {row[0]: row[1] for row in rows_of(recalculated(book), SHEET) if row}
    assert values["Normal quantile used"] == pytest.approx(
        statistics.NormalDist().inv_cdf(0.95), rel=RECALCULATED
    )


def test_a_changed_input_moves_the_outputs_as_python_says(
    book: Path, tmp_path: Path, recalculated: Callable[[Path], Path]
) -> None:
    changed = tmp_path / "changed.xlsx"
    with zipfile.ZipFile(book) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "xl/worksheets/sheet4.xml":
                data, n = re.subn(rb'(<c r="B6"[^>]*><v>)2\.4(</v>)', rb"\g<1>3.2\2", data)
                assert n == 1
            target.writestr(name, data)
    values = {row[0]: row[1] for row in rows_of(recalculated(changed), SHEET) if row}
    installs = 50_000 / 3.2
    assert values["Installs"] == pytest.approx(installs, rel=RECALCULATED)
    assert values["Revenue in 90 days"] == pytest.approx(installs * 3.10, rel=RECALCULATED)
    assert values["Return on spend"] == pytest.approx(installs * 3.10 / 50_000 - 1, rel=RECALCULATED)


def test_inputs_are_named_validated_and_prompted(book: Path) -> None:
    text = parts(book)
    names = dict(re.findall(r'<definedName name="([^"]+)"[^>]*>([^<]+)<', text["xl/workbook.xml"]))
    assert names["spend"] == f"'{SHEET}'!$B$5"
    assert {"spend", "cpi", "ltv_90d", "installs", "revenue_90d", "return_share", "z_90"} <= names.keys()
    sheet = text["xl/worksheets/sheet4.xml"]
    assert sheet.count("<dataValidation ") == 3
    assert 'promptTitle="Cost per install"' in sheet


def test_two_models_with_the_same_names_do_not_touch_each_other(
    tmp_path: Path, recalculated: Callable[[Path], Path]
) -> None:
    def model(title: str, value: float) -> WhatIf:
        a = WhatIfInput(name="a", label="A", value=value, form=Form.NUMBER, low=0, high=10)
        b = WhatIfOutput(name="b", label="B", value=2 * value, form=Form.NUMBER, formula="a*2")
        return WhatIf(name=title, title=title, inputs=(a,), outputs=(b,))

    path = tmp_path / "two.xlsx"
    Excel().write(one_page(model("first", 1.0), model("second", 4.0)), path)
    anew = recalculated(path)
    assert {r[0]: r[1] for r in rows_of(anew, "first")}["B"] == pytest.approx(2.0)
    assert {r[0]: r[1] for r in rows_of(anew, "second")}["B"] == pytest.approx(8.0)


def what_if(*, formula: str = "a+1", name: str = "a", value: float = 1.0, high: float = 5.0) -> Document:
    given = WhatIfInput(name=name, label="A", value=value, form=Form.NUMBER, low=0, high=high)
    out = WhatIfOutput(name="out", label="O", value=2.0, form=Form.NUMBER, formula=formula)
    return one_page(WhatIf(name="m", title="m", inputs=(given,), outputs=(out,)))


@pytest.mark.parametrize(
    "formula",
    [
        'HYPERLINK("http://evil","x")',
        "cmd|' /C calc'!A0",
        "WEBSERVICE(a)",
        "A1+1",
        "later*2",
        "'Other'!A1",
        "[1]S!A1",
        '"text"',
        "a;1",
        "INDIRECT(a)",
        "a\n+x",
        "",
        "(a",
        "a)",
        "IF(a,1",
    ],
)
def test_a_formula_beyond_arithmetic_is_refused(tmp_path: Path, formula: str) -> None:
    with pytest.raises(UsageError, match=r"export\.what_if_formula"):
        Excel().write(what_if(formula=formula), tmp_path / "a.xlsx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["A1", "XFD1048576", "R1C1", "r", "C", "two words", "1st", "", "é", "true"])
def test_a_name_excel_cannot_give_a_cell_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"export\.what_if_name"):
        Excel().write(what_if(name=name, formula="1"), tmp_path / "a.xlsx")


@pytest.mark.parametrize("value", [math.nan, math.inf, 6.0, -1.0])
def test_an_input_outside_its_limits_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(UsageError, match=r"export\.what_if_value"):
        Excel().write(what_if(value=value), tmp_path / "a.xlsx")


def test_numbers_excel_would_round_stay_text_and_unknown_stays_empty(tmp_path: Path) -> None:
    fields = tuple(
        Field(name=n, label=n, form=f) for n, f in (("i", Form.INTEGER), ("x", Form.NUMBER), ("d", Form.DATE))
    )
    rows: list[tuple[Cell, ...]] = [
        (7_312_345_678_901_234_567, math.nan, "2026-08-01"),
        (-12, -0.5, "not a date"),
        (None, math.inf, "1899-12-31"),
    ]
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(Grid.of("g", "g", fields, rows)), path)
    written = [row[:3] for row in rows_of(path, "P")][-4:]
    assert written[1][:2] == ["7312345678901234567", "not finite"]
    assert str(written[1][2]) == "2026-08-01"
    assert written[2] == [-12, -0.5, "not a date"]
    assert written[3] == ["", "not finite", "1899-12-31"]


def test_sheet_and_column_names_are_legal_and_unique(tmp_path: Path) -> None:
    titles = ["a/b", "a\\b", "A B", "x" * 40, "x" * 31, "'quoted'", "History", "", "Summary", "Chart data"]
    fields = [Field(name="v", label=label) for label in ("v", "V", "", "two\nlines", "_x0041_", "v (2)")]
    grid = Grid.of("R1C1", "g", fields, [("1",) * 6])
    pages = tuple(Page(name=str(i), title=t, blocks=(grid,)) for i, t in enumerate(titles))
    path = tmp_path / "a.xlsx"
    Excel().write(Document(title="t", lead="l", pages=pages), path)
    names = CalamineWorkbook.from_path(str(path)).sheet_names
    assert len({name.lower() for name in names}) == len(names) == len(titles) + 2
    assert all(0 < len(name) <= 31 and not re.search(r"[\[\]:*?/\\]|^'|'$", name) for name in names)
    tables = [t for n, t in parts(path).items() if n.startswith("xl/tables/")]
    assert len({re.search(r'displayName="([^"]+)"', t)[1].lower() for t in tables}) == len(titles)  # type: ignore[index]
    columns = re.findall(r'<tableColumn id="\d+" name="([^"]+)"', tables[0])
    assert len({column.lower() for column in columns}) == len(fields)


def test_text_beyond_the_limit_is_cut_visibly_and_counted(tmp_path: Path) -> None:
    grid = Grid.of("g", "g", [Field(name="v", label="v")], [("长" * 40_000,), ("a\x00b",)])
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(grid), path)
    cells = [str(cell) for row in rows_of(path, "P") for cell in row]
    assert max(map(len, cells)) == 32_767
    assert any(cell.endswith("长…") for cell in cells)
    assert "a\ufffdb" in cells
    method = " ".join(str(cell) for row in rows_of(path, "How it was computed") for cell in row)
    assert "1 texts were longer than 32,767 characters" in method
    assert "1 texts held control characters" in method


def test_rows_beyond_a_sheet_are_announced_and_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.export._sheets.MOST_ROWS", 1_001)
    monkeypatch.setattr(excel, "STREAMED_CELLS", 100)

    def stream() -> Iterator[tuple[Cell, ...]]:
        return iter((i,) for i in range(1_500))

    grid = Grid(
        name="big",
        title="Big",
        fields=(Field(name="v", label="v", form=Form.INTEGER),),
        n_rows=1_500,
        stream=stream,
    )
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(grid), path)
    rows = rows_of(path, "Big")
    assert rows[0][0] == "A sheet holds 999 of the 1,500 rows; the other 501 are not here."
    assert [row[0] for row in rows[1:]] == ["v", *range(999)]
    assert any("501 are not here" in str(cell) for row in rows_of(path, "P") for cell in row)
    assert not [name for name in parts(path) if name.startswith("xl/tables/")]
    assert '<definedName name="big">' in parts(path)["xl/workbook.xml"]


@pytest.mark.slow
def test_a_full_sheet_holds_1_048_575_rows(tmp_path: Path) -> None:
    n = LIMIT - 1
    field = Field(name="v", label="v", form=Form.INTEGER)
    grid = Grid(name="big", title="Big", fields=(field,), n_rows=n, stream=lambda: ((i,) for i in range(n)))
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(grid), path)
    rows = rows_of(path, "Big")
    assert len(rows) == LIMIT
    assert rows[-1] == [n - 1]


@pytest.mark.parametrize("kind", list(ChartKind))
def test_native_charts_point_at_the_cells_of_the_chart_data_sheet(tmp_path: Path, kind: ChartKind) -> None:
    numeric = kind in {ChartKind.LINE, ChartKind.CALIBRATION}
    at = Field(name="x", label="At", form=Form.NUMBER if numeric else Form.TEXT)
    fields = (
        at,
        *(Field(name=n, label=n, form=Form.NUMBER) for n in ("y", "low", "high")),
        Field(name="s", label="s"),
    )
    rows = tuple(
        (i if numeric else f"c{i}", i + 1.0, i + 0.5, i + 1.75, s) for s in ("one", "two") for i in range(3)
    )
    roles = ((Role.X, "x"), (Role.Y, "y"), (Role.LOW, "low"), (Role.HIGH, "high"), (Role.SERIES, "s"))
    chart = Chart(name="c", title="C", kind=kind, fields=fields, rows=rows, roles=roles, finding="f")
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(chart), path)
    xml = parts(path)["xl/charts/chart1.xml"]
    table = rows_of(path, "Chart data")
    plus = re.findall(r"<c:plus><c:numRef><c:f>'Chart data'!\$([A-Z])\$(\d+):\$[A-Z]\$(\d+)<", xml)
    assert len(plus) == 2
    for column, first, last in plus:
        cells = [table[row][ord(column) - ord("A")] for row in range(int(first) - 1, int(last))]
        assert cells == [0.75, 0.75, 0.75]
    assert "one" in xml
    assert ("Perfect agreement" in xml) is (kind is ChartKind.CALIBRATION)


def test_the_same_document_gives_the_same_bytes(report: Document, book: Path, tmp_path: Path) -> None:
    Excel().write(report, tmp_path / "again.xlsx")
    assert (tmp_path / "again.xlsx").read_bytes() == book.read_bytes()


def test_an_empty_grid_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    Excel().write(one_page(Grid.of("g", "g", [Field(name="v", label="v")], [])), path)
    assert ["No rows."] in [[c for c in row if c] for row in rows_of(path, "P")]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_failing_stream_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(excel, "STREAMED_CELLS", 0 if streamed else 10**9)
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"before")

    def stream() -> Iterator[tuple[Cell, ...]]:
        yield ("1",)
        raise OSError("the disk went away")

    grid = replace(Grid.of("g", "g", [Field(name="v", label="v")], [("1",), ("2",)]), stream=stream)
    with pytest.raises(OSError, match="the disk went away"):
        Excel().write(one_page(grid), path)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.xlsx"]


def test_the_workbook_is_a_zip_without_macros_or_links(book: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(book.read_bytes())) as archive:
        assert archive.testzip() is None
        assert not [n for n in archive.namelist() if "vbaProject" in n or "externalLink" in n]
