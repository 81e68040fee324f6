"""Every file on every shelf: one public class named like the file, what it says of itself, and its page."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from pkgutil import iter_modules

import pytest

ROOT = Path(__file__).parents[2]
SHELVES = {
    "headwater.contracts.alarms": "docs/alarms",
    "headwater.contracts.repairs": "docs/repairs",
    "headwater.contracts.rules": "docs/rules",
    "headwater.snapshots.features": "docs/features",
    "headwater.effects.checks": "docs/checks",
    "headwater.effects.metrics": "docs/metrics",
    "headwater.effects.randomized": "docs/methods",
    "headwater.evaluation.scores": "docs/scores",
    "headwater.models.ltv": "docs/methods",
    "headwater.export": "docs/exporters",
}
FILES = [
    (package, module.name)
    for package in SHELVES
    for module in iter_modules(importlib.import_module(package).__path__)
    if not module.name.startswith("_")
]


def only_class(package, name):
    module = importlib.import_module(f"{package}.{name}")
    (public,) = module.__all__
    return module, getattr(module, public)


def test_no_shelf_is_empty():
    assert {package for package, _ in FILES} == set(SHELVES)


@pytest.mark.parametrize(("package", "name"), FILES)
def test_one_public_class_named_like_its_file(package, name):
    module, made = only_class(package, name)
    assert inspect.isclass(made)
    assert made.__module__ == module.__name__
    assert made.__name__ == "".join(part.capitalize() for part in name.split("_"))


@pytest.mark.parametrize(("package", "name"), FILES)
def test_it_says_what_it_is(package, name):
    _, made = only_class(package, name)
    assert inspect.cleandoc(made.__doc__ or "").endswith(".")
    said = made.suffix if package == "headwater.export" else made.about
    assert isinstance(said, str)
    assert said.startswith(".") == (package == "headwater.export")
    assert "\n" not in said
    assert len(said) < 120


@pytest.mark.parametrize(("package", "name"), FILES)
def test_its_page_is_written(package, name):
    page = ROOT / SHELVES[package] / f"{name}.md"
    assert page.is_file(), f"write {page.relative_to(ROOT)}"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(text) > 300


@pytest.mark.parametrize("package", SHELVES)
def test_every_page_is_about_a_file_that_is_there(package):
    names = {name for p, name in FILES if p == package}
    pages = {page.stem for page in (ROOT / SHELVES[package]).glob("*.md")}
    if SHELVES[package] == "docs/methods":
        assert names <= pages  # several shelves, and methods on none, have their pages there
    else:
        assert names == pages
