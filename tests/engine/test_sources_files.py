"""Files as a source: partitions in folders, packed files, a broken file among many."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.errors import SourceError
from headwater.engine.duckdb import DuckDB
from headwater.engine.sift import check_broken_files, find_damage, sift_files
from headwater.engine.sources import find_files, open_relation
from headwater.engine.sql import name, sql

SECONDS_FOR_A_THOUSAND_FILES = 20  # about 1 s on an idle machine of two cores; others may use it


def _rows(engine: DuckDB, relation: Any, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(engine.rows(sql("SELECT {c} FROM {r} r", c=[name(c) for c in columns], r=relation.rows)))


def _write(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def _many(root: Path, n: int) -> list[Path]:
    return [_write(root / f"{i:04d}.parquet", user=[f"u{i}"], n=[i]) for i in range(n)]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_folders_of_partitions_become_columns(tmp_path: Path, engine: DuckDB, kind: str) -> None:
    for day, place in (
        ("2024-01-01", "GB"),
        ("2024-01-02", "a%20b"),
        ("2024-01-02", "__HIVE_DEFAULT_PARTITION__"),
    ):
        folder = tmp_path / f"day={day}" / f"place={place}"
        folder.mkdir(parents=True)
        match kind:
            case "parquet":
                _write(folder / "x.parquet", user=["a"])
            case "csv":
                (folder / "x.csv").write_text("user,n\na,1\n", encoding="utf-8")
            case _:
                (folder / "x.jsonl").write_text('{"user": "a"}\n', encoding="utf-8")
    relation = open_relation(engine, tmp_path)
    assert [c for c, _ in relation.columns if c != "n"] == ["user", "day", "place"]
    assert engine.rows(
        sql(
            "SELECT {c} FROM {r} r ORDER BY 2, 3 NULLS LAST",
            c=[name(c) for c in ("user", "day", "place")],
            r=relation.rows,
        )
    ) == [("a", "2024-01-01", "GB"), ("a", "2024-01-02", "a b"), ("a", "2024-01-02", None)]


def test_a_column_of_the_file_wins_over_a_folder_of_its_name(tmp_path: Path, engine: DuckDB) -> None:
    _write(tmp_path / "day=2024-01-01" / "x.parquet", day=["from the file"])
    assert _rows(engine, open_relation(engine, tmp_path), "day") == [("from the file",)]


def test_files_of_different_partitions_are_refused(tmp_path: Path, engine: DuckDB) -> None:
    _write(tmp_path / "day=1" / "x.parquet", n=[1])
    _write(tmp_path / "month=1" / "x.parquet", n=[1])
    with pytest.raises(SourceError) as refused:
        open_relation(engine, tmp_path)
    assert refused.value.finding.code == "source.partitions_differ"


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_packed_text_is_read(tmp_path: Path, engine: DuckDB, packing: str) -> None:
    _pack(tmp_path / f"log.csv.{packing}", b"user,n\na,1\nb,2\n")
    assert _rows(engine, open_relation(engine, tmp_path / f"log.csv.{packing}"), "user", "n") == [
        ("a", "1"),
        ("b", "2"),
    ]


def test_an_explicit_list_of_files_is_read_as_it_is(tmp_path: Path, engine: DuckDB) -> None:
    files = _many(tmp_path, 5)
    relation = open_relation(engine, files[1:3])
    assert relation.files == tuple(files[1:3])
    assert _rows(engine, relation, "user", "__row") == [("u1", 1), ("u2", 1)]


def test_broken_files_among_a_thousand_are_named_and_the_others_read(tmp_path: Path, engine: DuckDB) -> None:
    files = _many(tmp_path, 1000)
    cut, foreign, odd, none = files[10], files[200], files[500], files[999]
    cut.write_bytes(cut.read_bytes()[:-6])
    foreign.write_bytes(b"<html>502 Bad Gateway</html>")
    _write(odd, user=["x"], amount=[1])
    none.write_bytes(b"")
    started = time.monotonic()
    relation = open_relation(engine, tmp_path)
    assert time.monotonic() - started < SECONDS_FOR_A_THOUSAND_FILES
    assert [(b.path, b.code) for b in relation.broken_files] == [
        (cut, "source.unreadable"),
        (foreign, "source.unreadable"),
        (odd, "source.columns_differ"),
        (none, "source.empty"),
    ]
    assert relation.broken_files[2].reason == "it lacks n, it also has amount"
    good = {f"u{i}" for i in range(1000)} - {"u10", "u200", "u500", "u999"}
    assert {r[0] for r in _rows(engine, relation, "user")} == good


def test_the_finding_says_which_how_many_and_what_share(tmp_path: Path, engine: DuckDB) -> None:
    files = _many(tmp_path, 200)
    files[7].write_bytes(b"x" * 100)
    sifted = sift_files(engine, find_files(tmp_path))
    (finding,) = check_broken_files(sifted.files, sifted.broken)
    total = sum(f.stat().st_size for f in files)
    assert finding.code == "source.broken_files"
    assert "1 of 200 files (0.50% of files" in finding.what
    assert f"{100 / total:.2%} of bytes" in finding.what
    assert "'0007.parquet'" in finding.what
    assert check_broken_files(sift_files(engine, files[8:]).files, sift_files(engine, files[8:]).broken) == ()


def test_more_broken_files_than_allowed_stop_the_load(tmp_path: Path, engine: DuckDB) -> None:
    files = _many(tmp_path, 10)
    files[3].write_bytes(b"no parquet")
    with pytest.raises(SourceError) as refused:
        open_relation(engine, tmp_path)
    assert refused.value.finding.code == "source.unreadable"
    assert "0003.parquet" in refused.value.finding.what
    assert len(open_relation(engine, tmp_path, max_broken_files=0.1).broken_files) == 1


def test_one_file_alone_that_is_broken_is_an_error_whatever_is_allowed(
    tmp_path: Path, engine: DuckDB
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceError):
        open_relation(engine, tmp_path, max_broken_files=1.0)


@pytest.mark.parametrize(("packing", "damage"), [("gz", "cut"), ("gz", "flipped"), ("zst", "cut")])
def test_a_damaged_packed_file_is_set_aside(
    tmp_path: Path, engine: DuckDB, packing: str, damage: str
) -> None:
    # a flipped byte in Zstandard without a checksum (which is optional there) is other text, not damage
    for i in range(100):
        text = "user,n\n" + "".join(f"u{i},{k * 7919 % 1000}\n" for k in range(500))
        _pack(tmp_path / f"{i:03d}.csv.{packing}", text.encode())
    bad = tmp_path / f"042.csv.{packing}"
    packed = bytearray(bad.read_bytes())
    if damage == "cut":
        packed = packed[: len(packed) * 2 // 3]
    else:
        packed[len(packed) // 2] ^= 0xFF
    bad.write_bytes(bytes(packed))
    relation = open_relation(engine, tmp_path)
    assert [b.path for b in relation.broken_files] == [bad]
    assert engine.one(sql("SELECT count(*) FROM {r} r", r=relation.rows)) == (99 * 500,)


def test_text_files_with_other_columns_are_set_aside(tmp_path: Path, engine: DuckDB) -> None:
    for i in range(100):
        (tmp_path / f"{i:03d}.csv").write_text(
            "user,n\na,1\n" if i != 50 else "user;amount\na;1\n", encoding="utf-8"
        )
    relation = open_relation(engine, tmp_path)
    assert [(b.path.name, b.code) for b in relation.broken_files] == [("050.csv", "source.columns_differ")]


def test_damage_inside_the_pages_is_found_when_asked_for(tmp_path: Path, engine: DuckDB) -> None:
    good = _write(tmp_path / "good.parquet", text=[f"value {i * 7919 % 1000}" for i in range(50_000)])
    bad = tmp_path / "bad.parquet"
    data = bytearray(good.read_bytes())
    data[200:2000] = bytes(1800)
    bad.write_bytes(bytes(data))
    assert [b.path for b in find_damage(engine, [good, bad])] == [bad]


def _pack(path: Path, data: bytes) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
        return
    with pa.output_stream(str(path), compression="zstd") as out:
        out.write(data)
