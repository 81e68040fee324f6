"""What a newcomer reads around the gate: folders, codes, an unchanged run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from headwater.app.cli.written import files_told


@pytest.mark.parametrize("command", ["check", "audit"])
def test_results_are_not_written_into_a_folder_that_is_not_there(shop, headwater, command: str) -> None:
    for option in ("--jsonl", "--junit"):
        ran = headwater(command, option, "reprots/out.txt", "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (2, "output.no_folder")
        assert "reprots" in ran.json["error"]["what"]
    assert not (shop.folder / "reprots").exists()
    assert not list((shop.store / "steps").glob("*")), "it was refused before the work, not after"
    assert headwater(command, "--jsonl", ".", at=shop.folder).code == 2


def test_the_quarantine_is_told_as_one_place_with_a_line_that_reads_it(shop, headwater) -> None:
    lines = shop.folder.joinpath("orders.csv").read_text().splitlines()
    half = len(lines) // 2
    (shop.folder / "log").mkdir()
    for n, part in enumerate((lines[1:half], lines[half:])):
        text = "\n".join([lines[0], *part, part[-1]]) + "\n"
        (shop.folder / "log" / f"{n}.csv").write_text(text, encoding="utf-8")
    shop.set('path = "orders.csv"', 'path = "log"')
    ran = headwater("check", at=shop.folder)
    told = [line for line in ran.out.splitlines() if line.startswith("quarantine:")]
    assert re.match(r"quarantine: \d files? in /", told[-1])
    query = ran.out.split("or in DuckDB:")[1].strip().splitlines()[0]
    assert len(duckdb.sql(query).fetchall()) == 2
    profiled = re.search(r"headwater profile (\S+)", ran.out)
    assert profiled
    assert headwater("profile", profiled[1].strip("'"), "--json", at=shop.folder).json["n_rows"] == 2


def test_files_that_no_pattern_finds_alone_are_not_told_by_one(tmp_path: Path) -> None:
    for name in ("a/x.parquet", "b/x.parquet", "c/x.parquet"):
        (tmp_path / name).parent.mkdir()
        parquet.write_table(pa.table({"x": [1]}), tmp_path / name)
    some = [str(tmp_path / "a/x.parquet"), str(tmp_path / "b/x.parquet")]
    assert "**" not in "".join(files_told("rows", some))
    every = [*some, str(tmp_path / "c/x.parquet")]
    assert f"{tmp_path}/**/x.parquet" in "".join(files_told("rows", every))
    parquet.write_table(pa.table({"x": [1]}), tmp_path / "a" / "more.parquet")
    two = files_told("rows", [*every, str(tmp_path / "a" / "more.parquet")])
    assert len(duckdb.sql(two[-1].split("DuckDB:")[1]).fetchall()) == 4
    parquet.write_table(pa.table({"x": []}), tmp_path / "a" / "none.parquet")
    assert files_told("rows", [*every, str(tmp_path / "a" / "none.parquet")]) == files_told("rows", every)
    assert files_told("rows", []) == []


def test_explain_lists_subjects_then_codes_then_one(headwater, tmp_path: Path) -> None:
    listed = headwater("explain", at=tmp_path)
    assert listed.code == 0
    codes = headwater("explain", "--json", at=tmp_path).json["codes"]
    assert len(listed.out.splitlines()) < len(codes) / 2, "by subject, not a line a code"
    assert {c.split(".")[0] for c in codes} == {
        line.split()[0] for line in listed.out.splitlines()[2:] if line and line[0] != " "
    }
    subject = headwater("explain", "quarantine", at=tmp_path).out
    assert "quarantine.rows" in subject
    assert "**" not in subject


def test_explain_knows_the_codes_that_stand_in_the_quarantine(headwater, tmp_path: Path) -> None:
    ran = headwater("explain", "range(UnitPrice above 0)", at=tmp_path)
    assert ran.code == 0
    assert "within the bounds" in ran.out


@pytest.mark.parametrize(
    ("typed", "meant"), [("quarantine.row", "quarantine.rows"), ("alarm.holes", "alarm.hole"), ("hole", "alarm.hole")]
)  # fmt: skip
def test_an_unknown_code_is_answered_with_the_nearest(headwater, tmp_path: Path, typed: str, meant: str) -> None:  # fmt: skip
    ran = headwater("explain", typed, at=tmp_path)
    assert (ran.code, f"'{meant}'" in ran.err) == (2, True)
    assert len(ran.err) < 500, "not the whole list"


def test_a_run_in_which_nothing_changed_does_not_wake_what_trains_and_draws(shop, headwater) -> None:
    """The second run reads no event, and opens neither the boosting library nor the charts'."""
    assert headwater("run", at=shop.folder).code == 0
    listening = "import sys; from headwater.app.cli import main\ntry:\n    main()\nfinally:\n    print(sorted({'lightgbm', 'altair', 'pandas', 'xlsxwriter'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", listening, "run", "--json"], cwd=shop.folder, capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["n_reused"] == said["n_steps"] > 0
    assert done.stderr.strip().splitlines()[-1] == "[]"
