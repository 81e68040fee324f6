"""Every file on a shelf has its page and is named in a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headwater.app.store import SHELVES_IN_KEYS

SHELVES = {  # package: folder of its pages
    "contracts/alarms": "docs/alarms",
    "contracts/repairs": "docs/repairs",
    "contracts/rules": "docs/rules",
    "effects/checks": "docs/checks",
    "effects/metrics": "docs/metrics",
    "effects/randomized": "docs/methods",
    "effects/stopping": "docs/methods",
    "evaluation/scores": "docs/scores",
    "export": "docs/exporters",
    "models/ltv": "docs/methods",
    "snapshots/features": "docs/features",
}
METHOD_HEADINGS = [
    "Question",
    "Estimand",
    "Assumptions",
    "Formula",
    "When it lies",
    "Checked against",
    "Sources",
]
LEAST_HEADINGS = {"When it lies", "Checked against"}  # what every page about a number must say


@pytest.mark.parametrize(("package", "pages"), SHELVES.items())
def test_every_file_on_a_shelf_has_its_page(root: Path, package: str, pages: str) -> None:
    names = _names(root / "src/headwater" / package)
    assert names, f"the shelf {package} is empty"
    written = {p.stem for p in (root / pages).glob("*.md")}
    assert sorted(names - written) == []


@pytest.mark.parametrize("package", SHELVES)
def test_every_file_on_a_shelf_is_named_in_a_test(root: Path, package: str) -> None:
    text = "\n".join(
        p.read_text(encoding="utf-8")
        for p in sorted((root / "tests").rglob("*.py"))
        if "house" not in p.parts
    )
    words = set(re.findall(r"\w+", text))
    names = _names(root / "src/headwater" / package)
    assert [n for n in sorted(names) if not {n, _class_name(n)} & words] == []


def test_every_shelf_of_the_package_is_listed_here(root: Path) -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted((root / "src").rglob("*.py")))
    declared = set(re.findall(r'= Shelf\[\w+\]\(\s*package="headwater\.([\w.]+)"', text))
    assert declared, "no shelf was found"
    assert declared <= {p.replace("/", ".") for p in SHELVES}
    assert {p.replace("/", ".") for p in SHELVES} == {s.removeprefix("headwater.") for s in SHELVES_IN_KEYS}


def test_pages_of_methods_have_the_seven_headings_in_order(root: Path) -> None:
    wrong = {
        p.name: h for p in (root / "docs/methods").glob("*.md") if (h := _headings(p)) != METHOD_HEADINGS
    }
    assert wrong == {}


def test_pages_of_scores_say_when_they_lie_and_what_checked_them(root: Path) -> None:
    wrong = {p.name for p in (root / "docs/scores").glob("*.md") if not set(_headings(p)) >= LEAST_HEADINGS}
    assert wrong == set()


def test_no_page_describes_a_file_that_is_gone(root: Path) -> None:
    lost = {
        f"{pages}/{page.name}"
        for package, pages in SHELVES.items()
        if pages != "docs/methods"  # methods that are no model (bootstrap, conformal) have pages too
        for page in (root / pages).glob("*.md")
        if page.stem not in _names(root / "src/headwater" / package) | {"README"}
    }
    assert lost == set()


def _names(folder: Path) -> set[str]:
    return {p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")}


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _headings(page: Path) -> list[str]:
    return re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
