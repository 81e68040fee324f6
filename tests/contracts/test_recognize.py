"""What a path is, where no reader takes it: named by what Python's own writers of these files made."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.contracts.compare_loads import compare_loads
from headwater.contracts.infer import propose
from headwater.contracts.profile import profile
from headwater.contracts.recognize import require_data
from headwater.core.errors import SourceError


def refused(path):
    with pytest.raises(SourceError) as caught:
        require_data(path)
    return caught.value.finding


def databases(folder):
    with duckdb.connect(str(folder / "x.duckdb")) as made:
        made.execute("CREATE TABLE orders AS SELECT 1 AS a")
    with sqlite3.connect(folder / "x.sqlite") as lite:
        lite.execute("CREATE TABLE t (a)")
    lite.close()


def test_a_database_names_its_tables_and_the_next_step(tmp_path):
    databases(tmp_path)
    told = refused(tmp_path / "x.duckdb")
    assert told.code == "source.unknown_kind"
    assert "DuckDB database" in told.what
    assert "orders" in told.do
    assert 'table = "orders"' in told.do
    assert "SQLite" in refused(tmp_path / "x.sqlite").what


def test_an_archive_names_what_is_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as made:
        made.writestr("jan/orders.csv", "a\n1\n")
    told = refused(tmp_path / "z.zip")
    assert "zip archive" in told.what
    assert "jan/orders.csv" in told.do


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.foo", b"a,b\n1,2\n", "looks like text"),
        ("x.bin", b"\0\1\2", "no kind that is known"),
        ("x.xlsx", b"<html>sorry</html>", "not an Excel"),
        ("x.parquet", b"<html>sorry</html>", "not Parquet"),
        ("x.pdf", b"%PDF-1.7", "PDF"),
        ("x.csv", b"PK\x03\x04....", "zip archive, although its ending is '.csv'"),
        ("x.csv", gzip.compress(b"a,b\n", mtime=0), "packed with gzip, although"),
    ],
)
def test_other_files_are_told_by_their_first_bytes(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    told = refused(tmp_path / name)
    assert (told.code, says in told.what) == ("source.unknown_kind", True), told.what


def test_a_folder_says_what_it_holds(tmp_path):
    assert "holds no file" in refused(tmp_path).what
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    told = refused(tmp_path)
    assert (told.code, "1 .pdf" in told.what, "PDF document" in told.do) == ("source.not_found", True, True)


def test_nothing_there_names_what_is_near(tmp_path):
    (tmp_path / "orders.csv").write_text("a\n1\n", encoding="utf-8")
    assert "orders.csv" in refused(tmp_path / "order.csv").do
    assert "There is no folder" in refused(tmp_path / "no" / "order.csv").do


def test_what_can_be_read_is_let_through(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "latin.csv").write_bytes("a\nPerú\n".encode("latin-1"))
    for path in [*tmp_path.iterdir(), tmp_path, tmp_path / "*.parquet"]:
        require_data(path)


@pytest.mark.parametrize("look", [profile, propose, lambda e, p: compare_loads(e, p, p)])
def test_every_command_that_looks_asks_first(engine, tmp_path, look):
    databases(tmp_path)
    with pytest.raises(SourceError, match="DuckDB database"):
        look(engine, tmp_path / "x.duckdb")
