"""Delta, Iceberg, DuckDB files and object stores as sources, each written by its own package."""

from __future__ import annotations

import base64
import json
import struct
import uuid
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.errors import SourceError
from headwater.engine.landing import Landed, write_pieces
from headwater.engine.places import land_source

ROWS = pa.table({"user": ["a", "b", "c"], "n": pa.array([1, 2, 3], pa.int64()), "day": ["x", "x", "y"]})


@pytest.fixture
def land(tmp_path: Path) -> Any:
    def call(path: str, **settings: Any) -> Landed:
        return land_source(path, root=tmp_path, folder=tmp_path / "landing", **settings)

    return call


def _rows(landed: Landed) -> list[dict[str, Any]]:
    read = [pq.ParquetFile(f).read() for f in landed.files]
    return sorted(pa.concat_tables(read).to_pylist(), key=lambda r: (str(r["user"]), r["n"]))


def test_a_stream_is_cut_into_pieces_of_stated_size(tmp_path: Path) -> None:
    rows = pa.table({"n": list(range(300_000))})
    files = list(write_pieces(rows.to_batches(max_chunksize=1000), rows.schema, tmp_path, rows=122_880))
    assert [pq.ParquetFile(f).metadata.num_rows for f in files] == [122_880, 122_880, 54_240]
    assert pa.concat_tables([pq.read_table(f) for f in files])["n"].to_pylist() == list(range(300_000))


def test_a_duckdb_table_and_a_view_are_landed_and_again_only_after_a_change(
    tmp_path: Path, land: Any
) -> None:
    file = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(file)) as db:
        db.execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.events AS SELECT 'a' AS \"user\", 1 AS n, UUID '50c0ff8d-80df-45ac-9ce6-34b2540f5b9a' AS id, [1, 2] AS list, TIMESTAMP_NS '2024-01-01 00:00:00.000000001' AS at"
        )
        db.execute('CREATE VIEW seen AS SELECT "user", n FROM shop.events')
    first = land("warehouse.duckdb", table="shop.events")
    assert pq.read_table(first.files[0]).select(["user", "n", "id", "list"]).to_pylist() == [
        {"user": "a", "n": 1, "id": "50c0ff8d-80df-45ac-9ce6-34b2540f5b9a", "list": "[1, 2]"}
    ]
    stamp = first.files[0].stat().st_mtime_ns
    assert land("warehouse.duckdb", table="shop.events").files[0].stat().st_mtime_ns == stamp
    assert _rows(land("warehouse.duckdb", table="seen")) == [{"user": "a", "n": 1}]
    with duckdb.connect(str(file)) as db:
        db.execute("INSERT INTO shop.events (\"user\", n) VALUES ('b', 2)")
    assert len(_rows(land("warehouse.duckdb", table="seen"))) == 2
    for table in ("event", None):
        with pytest.raises(SourceError) as refused:
            land("warehouse.duckdb", table=table)
        assert refused.value.finding.code == "source.no_table"


def test_a_plain_delta_table_is_read_in_place_at_its_version(tmp_path: Path, land: Any) -> None:
    lake = pytest.importorskip("deltalake", reason="the extra 'delta' is not installed")
    lake.write_deltalake(str(tmp_path / "lake"), ROWS)
    first = land("lake")
    assert _rows(first) == ROWS.to_pylist()
    assert all(f.is_relative_to(tmp_path / "lake") for f in first.files)
    lake.DeltaTable(str(tmp_path / "lake")).delete("n = 2")
    second = land("lake")
    assert [r["n"] for r in _rows(second)] == [1, 3]
    assert first.version != second.version


def test_a_partitioned_delta_table_and_one_with_a_later_column_keep_every_value(
    tmp_path: Path, land: Any
) -> None:
    lake = pytest.importorskip("deltalake", reason="the extra 'delta' is not installed")
    lake.write_deltalake(str(tmp_path / "lake"), ROWS, partition_by=["day"])
    assert _rows(land("lake")) == ROWS.to_pylist()
    later = ROWS.append_column("more", pa.array(["m"] * 3))
    lake.write_deltalake(str(tmp_path / "lake"), later, mode="append", schema_mode="merge")
    assert sorted(str(r["more"]) for r in _rows(land("lake"))) == ["None"] * 3 + ["m"] * 3


def test_deletion_vectors_of_a_delta_table_are_honored(tmp_path: Path, land: Any) -> None:
    """The vector is written by hand after the protocol: rows 0 and 2 of the only file are deleted."""
    lake = pytest.importorskip("deltalake", reason="the extra 'delta' is not installed")
    lake.write_deltalake(str(tmp_path / "lake"), ROWS)
    log = tmp_path / "lake" / "_delta_log"
    actions = [json.loads(line) for line in (log / f"{0:020d}.json").read_text().splitlines()]
    add = next(a["add"] for a in actions if "add" in a)
    vector = {"storageType": "i", "pathOrInlineDv": _z85(_bitmap([0, 2])), "sizeInBytes": len(_bitmap([0, 2])), "cardinality": 2}  # fmt: skip
    remove = {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}
    features = ["deletionVectors"]
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": features,
        "writerFeatures": features,
    }
    lines = [{"protocol": protocol}, {"remove": remove}, {"add": add | {"deletionVector": vector}}]
    (log / f"{1:020d}.json").write_text("\n".join(json.dumps(line) for line in lines))
    assert _rows(land("lake")) == [{"user": "b", "n": 2, "day": "x"}]


def _bitmap(deleted: list[int]) -> bytes:
    """Delta's RoaringBitmapArray in the portable form: magic, one key, one array container."""
    values = struct.pack(f"<{len(deleted)}H", *deleted)
    roaring = struct.pack("<IIHHI", 12346, 1, 0, len(deleted) - 1, 16) + values
    whole = struct.pack("<I", 1681511377) + struct.pack("<QI", 1, 0) + roaring
    return whole + bytes(-len(whole) % 4)


def _z85(data: bytes) -> str:
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    plain = base64.b85encode(data).decode()
    own = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    return plain.translate(str.maketrans(own, letters))


def test_a_delta_folder_that_is_none_is_refused(tmp_path: Path, land: Any) -> None:
    pytest.importorskip("deltalake", reason="the extra 'delta' is not installed")
    (tmp_path / "lake" / "_delta_log").mkdir(parents=True)
    with pytest.raises(SourceError) as refused:
        land("lake")
    assert refused.value.finding.code == "source.unreadable"


@pytest.fixture
def iceberg(tmp_path: Path) -> Any:
    sql_catalog = pytest.importorskip("pyiceberg.catalog.sql", reason="the extra 'iceberg' is not installed")
    catalog = sql_catalog.SqlCatalog(
        "test", uri=f"sqlite:///{tmp_path / 'catalog.db'}", warehouse=f"file://{tmp_path / 'warehouse'}"
    )
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.events", schema=ROWS.schema)
    table.append(ROWS)
    yield table
    catalog.close()


def test_an_iceberg_table_is_read_by_catalog_and_by_folder_at_its_snapshot(
    tmp_path: Path, land: Any, iceberg: Any
) -> None:
    by_catalog = land("iceberg+sqlite:///catalog.db", table="shop.events")
    assert _rows(by_catalog) == ROWS.to_pylist()
    assert (
        by_catalog.version
        == f"iceberg:{iceberg.metadata.table_uuid}@{iceberg.current_snapshot().snapshot_id}"
    )
    folder = Path(iceberg.location().removeprefix("file://")).relative_to(tmp_path)
    assert _rows(land(str(folder))) == ROWS.to_pylist()
    iceberg.delete("n = 2")
    assert [r["n"] for r in _rows(land(str(folder)))] == [1, 3]
    assert land(str(folder)).version != by_catalog.version


def test_an_iceberg_table_that_is_not_there(tmp_path: Path, land: Any, iceberg: Any) -> None:
    for path, table in (
        ("iceberg+sqlite:///catalog.db", "shop.event"),
        ("iceberg+sqlite:///none.db", "shop.events"),
    ):
        with pytest.raises(SourceError) as refused:
            land(path, table=table)
        assert refused.value.finding.code == "source.unreadable"


@pytest.fixture
def bucket() -> str:
    return f"/bucket-{uuid.uuid4().hex}"


def test_objects_of_a_store_are_fetched_once_and_again_when_they_change(
    tmp_path: Path, land: Any, bucket: str
) -> None:
    store = fsspec.filesystem("memory")
    for day in (1, 2):
        with store.open(f"{bucket}/events/day=2024-01-0{day}/x.csv", "wb") as out:
            out.write(b"user,n\na,1\n")
    store.pipe(f"{bucket}/events/.hidden/y.csv", b"user,n\nz,9\n")
    store.pipe(f"{bucket}/events/readme.md", b"not data")
    address = f"memory:/{bucket}/events"
    first = land(address)
    assert [f.parent.name for f in first.files] == ["day=2024-01-01", "day=2024-01-02"]
    stamps = [f.stat().st_mtime_ns for f in first.files]
    again = land(f"{address}/*/*.csv")
    assert sorted(f.name for f in again.files) == ["x.csv", "x.csv"]
    again = land(address)
    assert [f.parent.name for f in again.files] == ["day=2024-01-01", "day=2024-01-02"]
    store.pipe(f"{bucket}/events/day=2024-01-02/x.csv", b"user,n\nb,2\nc,3\n")
    changed = land(address)
    assert changed.files[0] == again.files[0]
    assert changed.files[1] != again.files[1]
    assert changed.files[1].read_bytes() == b"user,n\nb,2\nc,3\n"
    assert changed.version != again.version
    assert stamps


def test_a_local_folder_by_address_gives_the_same_bytes(tmp_path: Path, land: Any) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(ROWS, tmp_path / "data" / "x.parquet")
    assert _rows(land(f"file://{tmp_path}/data/*.parquet")) == ROWS.to_pylist()
    assert _rows(land(f"file://{tmp_path}/data/x.parquet")) == ROWS.to_pylist()


def test_an_address_without_data_and_a_store_nobody_knows(land: Any, bucket: str) -> None:
    for address, code in (
        (f"memory:/{bucket}/none", "source.not_found"),
        ("nostore://x/y", "source.unreachable"),
        ("spark://a.b", "source.only_on_spark"),
    ):
        with pytest.raises(SourceError) as refused:
            land(address)
        assert refused.value.finding.code == code
