"""Text files whose lines end in several ways, and columns under another name: named and set aside, or read where that can be."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.contracts.profile import profile
from headwater.core.errors import SourceError
from headwater.engine.line_ends import name_mixed_lines
from headwater.engine.sift import check_broken_files, sift_files
from headwater.engine.sources import open_relation
from headwater.engine.sql import sql

LINES = [f"u{i},{i}.5" for i in range(200)]


def text(end="\n", *, head="user_id,amount", lines=LINES):
    return end.join([head, *lines]) + end


def write(path, content):
    path.write_text(content, encoding="utf-8", newline="")
    return path


def many(folder, n=8):
    return [write(folder / f"f{i}.csv", text()) for i in range(n)]


def n_rows(engine, path, **given):
    return engine.one(sql("SELECT count(user_id) FROM {r} r", r=open_relation(engine, path, **given).rows))[0]


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
@pytest.mark.parametrize("at", ["begin", "end"])
def test_a_file_of_two_line_ends_is_named_and_set_aside(engine, tmp_path, ends, at):
    files = many(tmp_path)
    other = text(ends, lines=LINES[:50])
    mixed = other + text(lines=LINES[:50]) if at == "begin" else text(lines=LINES[:50]) + other
    bad = write(tmp_path / "mixed.csv", mixed)
    sifted = sift_files(engine, [*files, bad], max_broken_files=0.2)
    (told,) = sifted.broken
    assert (told.path, told.code) == (bad, "source.line_ends")
    assert sifted.files == tuple(files)
    assert (
        "'mixed.csv': its lines end in several ways"
        in check_broken_files(sifted.files, sifted.broken)[0].what
    )
    assert n_rows(engine, tmp_path, max_broken_files=0.2) == 8 * len(LINES)


def test_too_many_of_them_stop_the_load_with_the_name_and_the_counts(engine, tmp_path):
    bad = write(tmp_path / "mixed.csv", text("\r\n", lines=LINES[:49]) + text(lines=LINES[:59]))
    with pytest.raises(SourceError) as caught:
        sift_files(engine, [*many(tmp_path), bad])
    told = caught.value.finding
    assert told.code == "source.line_ends"
    assert "'mixed.csv'" in told.what
    assert "50 with CR LF" in told.what
    assert "60 with LF" in told.what


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_one_line_end_each_are_read_together(engine, tmp_path, end):
    many(tmp_path)
    write(tmp_path / "other.csv", text(end))
    assert n_rows(engine, tmp_path) == 9 * len(LINES)


def test_line_breaks_inside_quotes_are_values(engine, tmp_path):
    lines = [*LINES, '"u\n1",2', '"u""\r2",2']
    assert name_mixed_lines([write(tmp_path / "a.csv", text("\r\n", lines=lines))]) is None
    assert n_rows(engine, tmp_path / "a.csv") == len(lines)


def test_a_stretch_in_the_middle_of_a_large_file_is_named_when_the_read_fails(engine, tmp_path):
    lines = LINES * 600
    lines[60_000] += "\r"
    path = write(tmp_path / "island.csv", text(lines=lines))
    with pytest.raises(SourceError, match=r"'island\.csv' end in several ways: 1 with CR LF"):
        profile(engine, path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_renamed_column_is_told_as_one(engine, tmp_path, form):
    def made(name, column):
        if form == "csv":
            return write(tmp_path / f"{name}.csv", text(head=f"user_id,{column}"))
        rows = pa.table({"user_id": [line.split(",")[0] for line in LINES], column: [line.split(",")[1] for line in LINES]})  # fmt: skip
        pq.write_table(rows, tmp_path / f"{name}.parquet")
        return tmp_path / f"{name}.parquet"

    files = [made(f"f{i}", "amount") for i in range(8)]
    odd = made("odd", "total")
    (told,) = sift_files(engine, [*files, odd], max_broken_files=0.2).broken
    assert told.path == odd
    assert told.reason == "column amount is gone, column total is new; the same type and 100% of the same values (renamed?)"  # fmt: skip
    with pytest.raises(SourceError, match=r"'odd\..*column amount is gone, column total is new"):
        sift_files(engine, [*files, odd])


def test_a_column_of_another_type_is_no_renamed_one(engine, tmp_path):
    files = many(tmp_path)
    odd = write(tmp_path / "odd.csv", text(head="user_id,note", lines=[f"u{i},word {i}" for i in range(99)]))
    (told,) = sift_files(engine, [*files, odd], max_broken_files=0.2).broken
    assert told.reason == "it lacks amount, it also has note"
