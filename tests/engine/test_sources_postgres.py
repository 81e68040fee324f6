"""PostgreSQL as a source, on a real server started for these tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.errors import ConfigError, SourceError
from headwater.engine import place_postgres
from headwater.engine.landing import Landed, write_pieces
from headwater.engine.places import land_source

adbc = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="the extra 'postgres' is not installed")
_spec = importlib.util.spec_from_file_location(
    "headwater_tests_postgres", Path(__file__).with_name("postgres.py")
)
assert _spec and _spec.loader
cluster = importlib.util.module_from_spec(_spec)
sys.modules["headwater_tests_postgres"] = cluster
_spec.loader.exec_module(cluster)

PASSWORD = "it's a: s/ecret"


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    programs = cluster.find_server()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (initdb)")
    with cluster.server(programs, password=PASSWORD) as folder:
        yield folder


@pytest.fixture
def ask(socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)

    def land(table: str, **settings: Any) -> Landed:
        path = settings.pop("path", f"postgresql://headwater@/postgres?host={socket}")
        return land_source(path, root=tmp_path, folder=tmp_path / "landing", table=table, **settings)

    return land


@pytest.fixture
def run(socket: str) -> Any:
    def execute(*statements: str) -> list[Any]:
        with closing(adbc.connect(f"postgresql://headwater@/postgres?host={socket}", autocommit=True, db_kwargs={})) as connection, closing(connection.cursor()) as cursor:  # fmt: skip
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return execute


def _table(landed: Landed) -> pa.Table:
    return pa.concat_tables([pq.read_table(f) for f in landed.files])


def test_values_of_every_plain_type_arrive_as_they_are(ask: Any, run: Any) -> None:
    run(
        "CREATE TABLE kinds (small int2, whole int8, price numeric(12, 2), free numeric, ratio float8, yes bool, name text,"
        ' at timestamptz, local timestamp, day date, id uuid, bag jsonb, "odd ""name" varchar(5))',
        "INSERT INTO kinds VALUES (1, 9007199254740993, 12.30, 0.1, 0.5, true, 'Zoë', '2024-03-31 01:30:00+01', '2024-01-01 10:00', '2024-02-29', '50c0ff8d-80df-45ac-9ce6-34b2540f5b9a', '{\"a\": 1}', 'x'),"
        " (NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'infinity', '-infinity', 'infinity', NULL, NULL, NULL)",
    )
    first, second = _table(ask("public.kinds")).to_pylist()
    assert first == {
        "small": 1, "whole": 9007199254740993, "price": Decimal("12.30"), "free": "0.1", "ratio": 0.5, "yes": True, "name": "Zoë",
        "at": datetime(2024, 3, 31, 0, 30, tzinfo=UTC), "local": datetime(2024, 1, 1, 10), "day": date(2024, 2, 29),
        "id": "50c0ff8d-80df-45ac-9ce6-34b2540f5b9a", "bag": '{"a": 1}', 'odd "name': "x",
    }  # fmt: skip
    assert set(second.values()) == {None}


def test_pieces_read_in_parallel_are_the_whole_table_in_its_order(
    ask: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        "CREATE TABLE long AS SELECT i AS id, repeat('x', i % 100) AS filling FROM generate_series(1, 20000) i"
    )
    monkeypatch.setattr(place_postgres, "_PIECE_BYTES", 128 * 1024)
    landed = ask("long", threads=4)
    assert len(landed.files) > 5
    assert _table(landed)["id"].to_pylist() == list(range(1, 20001))


def test_an_appended_row_changes_the_last_piece_only(
    ask: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE growing AS SELECT i AS id, repeat('x', 50) AS filling FROM generate_series(1, 20000) i")
    monkeypatch.setattr(place_postgres, "_PIECE_BYTES", 128 * 1024)
    before = ask("growing")
    assert ask("growing").files == before.files
    run("INSERT INTO growing VALUES (20001, 'new')")
    after = ask("growing")
    assert len(set(before.files) ^ set(after.files)) <= 2
    assert _table(after).num_rows == 20001
    assert sorted(f.name for f in after.files[0].parent.glob("*.parquet")) == sorted(
        f.name for f in after.files
    )


def test_pieces_agree_while_the_table_is_written_to(
    ask: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each piece is read, money moves between two rows far apart: any one snapshot has the same total."""
    run(
        "CREATE TABLE accounts AS SELECT i AS id, 100 AS amount, repeat('x', 200) AS filling FROM generate_series(1, 5000) i"
    )
    monkeypatch.setattr(place_postgres, "_PIECE_BYTES", 128 * 1024)
    moves: list[int] = []

    def moving(*given: Any) -> Any:
        run("UPDATE accounts SET amount = amount + CASE WHEN id = 1 THEN 7 ELSE -7 END WHERE id IN (1, 5000)")
        moves.append(1)
        return write_pieces(*given)

    monkeypatch.setattr(place_postgres, "write_pieces", moving)
    for threads in (1, 3):
        rows = _table(ask("accounts", threads=threads))
        assert (rows.num_rows, sum(rows["amount"].to_pylist())) == (5000, 500_000)
    assert len(moves) > 10


def test_partitioned_tables_and_views_are_read_whole(ask: Any, run: Any) -> None:
    run(
        "CREATE TABLE log (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
        "INSERT INTO log VALUES (1, '2024-01-05'), (2, '2024-02-05'), (3, '2024-02-06')",
        "CREATE VIEW seen AS SELECT id FROM log WHERE id > 1",
        "CREATE TABLE nothing (id int)",
    )
    assert sorted(_table(ask("log"))["id"].to_pylist()) == [1, 2, 3]
    assert sorted(_table(ask("seen"))["id"].to_pylist()) == [2, 3]
    assert (_table(ask("nothing")).num_rows, _table(ask("nothing")).column_names) == (0, ["id"])


def test_a_hostile_table_name_is_a_name_and_nothing_else(ask: Any, run: Any) -> None:
    hostile = 'x"; DROP TABLE hostages; --'
    run("CREATE TABLE hostages (id int)", 'CREATE TABLE "x""; DROP TABLE hostages; --" AS SELECT 1 AS id')
    assert _table(ask(hostile))["id"].to_pylist() == [1]
    assert run("SELECT count(*) FROM hostages") == [(0,)]


def test_a_password_may_come_from_a_variable_and_not_from_the_file(
    ask: Any, run: Any, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE secret AS SELECT 1 AS id")
    monkeypatch.delenv("PGPASSWORD")
    path = f"postgresql://headwater:${{DB_PASSWORD}}@/postgres?host={socket}"
    assert _table(ask("secret", path=path, variables={"DB_PASSWORD": PASSWORD}))["id"].to_pylist() == [1]
    for wrong, code in (
        (path, "source.no_variable"),
        (path.replace("${DB_PASSWORD}", "hunter2"), "source.password_in_file"),
    ):
        with pytest.raises(ConfigError) as refused:
            ask("secret", path=wrong)
        assert refused.value.finding.code == code
        assert "hunter2" not in str(refused.value)
    with pytest.raises(SourceError) as refused:
        ask("secret", path=path, variables={"DB_PASSWORD": "wr0ng-pass"})
    assert refused.value.finding.code == "source.unreachable"
    assert "wr0ng-pass" not in str(refused.value)


def test_a_table_that_is_not_there_and_a_server_that_is_not_there(ask: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        ask("public.nowhere")
    assert refused.value.finding.code == "source.no_table"
    with pytest.raises(SourceError) as refused:
        ask("x", path=f"postgresql://headwater@/postgres?host={tmp_path}")
    assert refused.value.finding.code == "source.unreachable"
