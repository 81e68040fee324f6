"""Errors, shelves, tables and answers: what the other floors lean on."""

from __future__ import annotations

import dataclasses

import pytest

from headwater.core.answer import Estimate
from headwater.core.errors import (
    ConfigError,
    DataError,
    GateError,
    HeadwaterError,
    SourceError,
    UsageError,
    near_miss,
)
from headwater.core.finding import Finding, Severity
from headwater.core.shelf import Shelf
from headwater.core.table import Column, Kind, Table


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (HeadwaterError, 1),
        (UsageError, 2),
        (ConfigError, 3),
        (SourceError, 3),
        (GateError, 4),
        (DataError, 4),
    ],
)
def test_an_error_carries_a_blocking_finding_and_an_exit_code(error, exit_code):
    raised = error("some.code", what="Fact 3.", why="Consequence.", do="Step.", n=3)
    assert raised.finding == Finding(
        code="some.code",
        severity=Severity.BLOCK,
        what="Fact 3.",
        why="Consequence.",
        do="Step.",
        numbers={"n": 3},
    )
    assert raised.exit_code == exit_code
    assert str(raised) == "some.code: Fact 3. Consequence. Step."


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("revenu", ["revenue", "purchases"], "Did you mean 'revenue'?"),
        ("zzz", ["b", "a"], "Known: a, b."),
        ("zzz", [], "None is declared."),
    ],
)
def test_near_misses(name, known, says):
    assert near_miss(name, known) == says


def test_a_shelf_lists_files_and_refuses_what_is_not_there():
    shelf = Shelf[object](package="headwater.contracts.rules", kind="rule")
    assert "range" in shelf.names()
    assert shelf.load("range").__name__ == "Range"
    with pytest.raises(UsageError, match="Did you mean 'range'") as refused:
        shelf.load("rang")
    assert refused.value.finding.code == "shelf.unknown"


@pytest.mark.parametrize("name", ["", "..", "../secrets", "os", "__init__", "range.Range", "_private"])
def test_a_shelf_opens_its_own_files_only(name):
    with pytest.raises(UsageError):
        Shelf[object](package="headwater.contracts.rules", kind="rule").load(name)


def test_a_table_knows_its_columns():
    table = Table(name="t", files=(), columns=(Column(name="a", kind=Kind.TEXT),), n_rows=0, fingerprint="")
    assert table.column("a").kind is Kind.TEXT
    with pytest.raises(KeyError, match="b"):
        table.column("b")


def test_an_estimate_lies_within_its_interval():
    given = {"estimand": "e", "level": 0.9, "unit": "GBP", "n_users": 1, "method": "m"}
    assert Estimate(value=1.0, low=0.0, high=2.0, **given).high == 2.0
    with pytest.raises(ValueError, match="low"):
        Estimate(value=1.0, low=2.0, high=0.0, **given)


def test_nouns_are_frozen():
    column = Column(name="a", kind=Kind.TEXT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        column.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Column("a", Kind.TEXT)  # type: ignore[misc]


def test_findings_with_numbers_can_be_told_apart_in_a_set() -> None:
    one, same, other = (
        Finding(code="a.b", severity=Severity.NOTE, what=what, why="Why.", do="Do.", numbers={"n": 1})
        for what in ("One.", "One.", "Two.")
    )
    assert len({one, same, other}) == 2
