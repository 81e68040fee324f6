"""Ids that repeat or stand in several arms, on rows counted by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.core.errors import DataError
from headwater.core.table import Kind
from headwater.effects import whole_units as module
from headwater.effects.facts import N_CROSSED, fact_of
from headwater.effects.gather import gather
from headwater.effects.metric import Metric
from headwater.effects.units import Units
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name

METRIC = (Metric(name="y", outcome="y"),)
KINDS = {"user": Kind.TEXT, "arm": Kind.TEXT, "city": Kind.TEXT, "y": Kind.NUMBER}


def rows(*given: tuple[str | None, str, float]) -> pa.Table:
    users, arms, ys = zip(*given, strict=True)
    return pa.table({"user": users, "arm": arms, "city": users, "y": ys})


def units(engine: DuckDB, table: pa.Table, **roles: object) -> Units:
    engine.register("rows", table)
    return Units(rows=name("rows"), columns=KINDS, arm="arm", **{"unit": "user", **roles})  # pyright: ignore[reportArgumentType]


PLAIN = [("1", "a", 1.0), ("2", "a", 2.0), ("3", "b", 3.0), ("4", "b", 5.0)]


def test_users_with_several_rows_are_refused_by_their_number(engine: DuckDB) -> None:
    with pytest.raises(DataError, match=r"1 of 4 values of 'user' have several rows") as refused:
        gather(engine, units(engine, rows(*PLAIN, ("2", "a", 9.0))), metrics=METRIC)
    assert refused.value.finding.code == "units.repeated"


def test_rows_that_are_declared_long_are_added_up(engine: DuckDB) -> None:
    found = gather(engine, units(engine, rows(*PLAIN, ("2", "a", 9.0)), is_long=True), metrics=METRIC)
    assert found.n_users.tolist() == [2, 2]
    assert found.metrics["y"].moments.mean[:, 0].tolist() == [6.0, 4.0]


@pytest.mark.parametrize("is_long", [False, True])
def test_a_user_of_both_arms_is_left_out_and_counted(engine: DuckDB, is_long: bool) -> None:
    table = rows(*PLAIN, ("5", "a", 100.0), ("5", "b", 100.0))
    found = gather(engine, units(engine, table, is_long=is_long), metrics=METRIC)
    assert found.n_users.tolist() == [2, 2]
    assert found.metrics["y"].moments.mean[:, 0].tolist() == [1.5, 4.0]
    (told,) = [f for f in found.findings if f.code == "exposures.crossed"]
    assert told.numbers["n_crossed"] == 1
    assert fact_of(found, N_CROSSED, "a") == fact_of(found, N_CROSSED, "b") == 0.5


def test_a_cluster_of_both_arms_is_left_out(engine: DuckDB) -> None:
    table = rows(*PLAIN, ("1", "a", 2.0), ("5", "a", 100.0), ("5", "b", 100.0))
    found = gather(engine, units(engine, table, unit=None, cluster="city"), metrics=METRIC)
    assert found.n_users.tolist() == [2, 2]


def test_rows_without_an_id_are_kept(engine: DuckDB) -> None:
    found = gather(engine, units(engine, rows(*PLAIN, (None, "a", 1.0), (None, "b", 1.0))), metrics=METRIC)
    assert found.n_users.tolist() == [3, 3]


def test_of_many_rows_a_part_is_looked_at_first_and_all_where_it_shows_a_fault(
    engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EXACT_UP_TO", 10)
    many = [(str(i), "ab"[i % 2], float(i)) for i in range(2000)]
    clean = gather(engine, units(engine, rows(*many)), metrics=METRIC)
    assert clean.n_users.sum() == 2000
    with pytest.raises(DataError, match="2,000 of 2,000"):
        gather(engine, units(engine, rows(*many, *many)), metrics=METRIC)
