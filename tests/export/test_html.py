"""The page in a real browser, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headwater.core.block import Chart, ChartKind, Document, Field, Form, Grid, Page, Role
from headwater.core.errors import UsageError
from headwater.export.html import Html

N_CHARTS = 6  # in the sample report


def one_page(*blocks: object) -> Document:
    return Document(title="t", lead="l", pages=(Page(name="p", title="P", blocks=blocks),))  # type: ignore[arg-type]


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.text.append(data)


@pytest.fixture(scope="module")
def page(report: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    Html().write(report, path)
    return path


@pytest.fixture(scope="module")
def parsed(page: Path) -> Tags:
    tags = Tags()
    tags.feed(page.read_text(encoding="utf-8"))
    return tags


def test_every_chart_draws_in_chromium_under_the_strict_policy(
    page: Path, dumped_dom: Callable[[Path], str]
) -> None:
    dom = dumped_dom(page)
    assert f'<body data-ok="{N_CHARTS}">' in dom
    drawn = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    assert drawn.count("<svg") == N_CHARTS


def test_a_script_that_is_not_ours_is_stopped_by_the_policy_in_chromium(
    page: Path, tmp_path: Path, dumped_dom: Callable[[Path], str]
) -> None:
    text = page.read_text(encoding="utf-8")
    intruder = "<script>document.documentElement.dataset.xss=1</script></body>"
    stopped, free = tmp_path / "stopped.html", tmp_path / "free.html"
    stopped.write_text(text.replace("</body>", intruder), encoding="utf-8")
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    free.write_text(without.replace("</body>", intruder), encoding="utf-8")
    assert 'data-xss="1"' not in dumped_dom(stopped)
    assert 'data-xss="1"' in dumped_dom(free)


def test_nothing_is_loaded_from_elsewhere(parsed: Tags) -> None:
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        assert not {"src", "srcset", "action", "style"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")


def test_the_policy_allows_only_hashed_scripts_and_styles(parsed: Tags) -> None:
    policy = next(a["content"] for t, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_readers_come_before_analysts_and_lead_before_both(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = [
        text.index(mark) for mark in ('class="lead"', 'id="p1"', 'id="p4"', 'class="analysts"', 'id="p5"')
    ]
    assert places == sorted(places)


def test_each_chart_has_a_caption_a_label_and_a_table(parsed: Tags) -> None:
    plots = [a for t, a in parsed.tags if a.get("class") == "plot"]
    assert len(plots) == N_CHARTS
    assert all(a["role"] == "img" and "line" in str(a["aria-label"]) for a in plots[-1:])
    assert sum(tag == "figcaption" for tag, _ in parsed.tags) == N_CHARTS


def test_cells_are_shown_by_their_form(parsed: Tags) -> None:
    shown = set(parsed.text)
    assert {"18,402", "$4.31", "38.1%", "2026-01-01", "7312345678901234000", "小红书 (Xiaohongshu)"} <= shown
    assert "Showing 25 of 1,500 rows; the workbook has all." in "".join(parsed.text)


def test_an_unknown_value_is_a_dash_and_never_a_zero(tmp_path: Path) -> None:
    fields = (Field(name="v", label="v", form=Form.NUMBER),)
    Html().write(one_page(Grid.of("g", "g", fields, [(None,), (float("nan"),), (0.0,)])), tmp_path / "a.html")
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", (tmp_path / "a.html").read_text(encoding="utf-8"))
    assert cells == ["–", "not finite", "0"]


def test_the_same_document_gives_the_same_bytes(report: Document, page: Path, tmp_path: Path) -> None:
    Html().write(report, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_a_large_grid_is_read_only_as_far_as_it_is_shown(tmp_path: Path) -> None:
    read: list[int] = []

    def stream():  # type: ignore[no-untyped-def]
        for i in range(10**9):
            read.append(i)
            yield (i,)

    fields = (Field(name="v", label="v", form=Form.INTEGER),)
    grid = Grid(name="g", title="g", fields=fields, n_rows=10**9, stream=stream, preview=50)
    Html().write(one_page(grid), tmp_path / "a.html")
    assert len(read) == 50


@pytest.mark.parametrize(
    ("rows", "n_rows", "code"),
    [
        ([(1,), (2,)], 3, "export.row_count"),
        ([(1,), (2,)], 1, "export.row_count"),
        ([(1, 2)], 1, "export.ragged_row"),
    ],
)
def test_a_table_that_is_not_what_it_says_is_refused_and_the_old_file_stays(
    tmp_path: Path, rows: list[tuple[int, ...]], n_rows: int, code: str
) -> None:
    path = tmp_path / "a.html"
    path.write_text("before", encoding="utf-8")
    grid = replace(Grid.of("g", "g", (Field(name="v", label="v"),), rows), n_rows=n_rows)
    with pytest.raises(UsageError, match=code):
        Html().write(one_page(grid), path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    assert path.read_text(encoding="utf-8") == "before"


def test_a_missing_folder_is_refused_with_the_next_step(tmp_path: Path, report: Document) -> None:
    with pytest.raises(UsageError, match=r"export\.no_folder"):
        Html().write(report, tmp_path / "absent" / "a.html")


@pytest.mark.parametrize(
    "roles",
    [
        ((Role.X, "x"),),
        ((Role.X, "x"), (Role.Y, "nope")),
        ((Role.X, "x"), (Role.Y, "y"), (Role.LOW, "y")),
    ],
)
def test_a_chart_with_a_missing_role_is_refused(tmp_path: Path, roles: tuple[tuple[Role, str], ...]) -> None:
    fields = (Field(name="x", label="x", form=Form.INTEGER), Field(name="y", label="y", form=Form.NUMBER))
    chart = Chart(
        name="c", title="c", kind=ChartKind.LINE, fields=fields, rows=((1, 2.0),), roles=roles, finding="f"
    )
    with pytest.raises(UsageError, match=r"export\.chart_role"):
        Html().write(one_page(chart), tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", list(ChartKind))
def test_a_chart_without_rows_still_draws(
    tmp_path: Path, kind: ChartKind, dumped_dom: Callable[[Path], str]
) -> None:
    fields = (Field(name="x", label="x", form=Form.NUMBER), Field(name="y", label="y", form=Form.NUMBER))
    roles = ((Role.X, "x"), (Role.Y, "y"))
    chart = Chart(name="c", title="c", kind=kind, fields=fields, rows=(), roles=roles, finding="f")
    Html().write(one_page(chart), tmp_path / "a.html")
    assert '<body data-ok="1">' in dumped_dom(tmp_path / "a.html")
