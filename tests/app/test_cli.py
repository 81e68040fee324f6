"""The command line: exit codes, one JSON object, progress on stderr, rehearsals, seeds, and a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.app.store import Store

if TYPE_CHECKING:
    from conftest import Ran, Shop

Run = Callable[..., "Ran"]


def fingerprint_of_tree(folder: Path, *, without: str = ".headwater") -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and without not in p.parts
    }


def test_run_as_a_program_answers_on_stdout_and_reports_progress_on_stderr(shop: Shop, shell: Run) -> None:
    first = shell("run", at=shop.folder)
    assert first.code == 0
    assert re.search(r"300 customers known by then are expected to bring [\d,]+ USD", first.out)
    assert str(shop.folder / "reports" / "report.html") in first.out
    assert re.findall(r"(checking the data|building the ledger|writing the report).*: done", first.err) == [
        "checking the data",
        "building the ledger",
        "writing the report",
    ]
    second = shell("run", "--json", at=shop.folder)
    assert (second.code, second.err) == (0, "")
    assert second.json["n_reused"] == second.json["n_steps"] > 5
    assert second.json["lead"] in first.out
    account = second.json["events"]
    assert account["n_rows_in"] == account["n_kept"] + account["n_quarantined"]


def test_errors_as_a_program(shop: Shop, shell: Run) -> None:
    """One exit code of each kind; that the others have the right one is tested in this process."""
    wrong = shell("run", "--nonsense", at=shop.folder)
    assert (wrong.code, wrong.out) == (2, "")
    assert "error command.usage" in wrong.err
    shop.set("[app]", "[ap]")
    broken = shell("run", "--json", at=shop.folder)
    assert (broken.code, broken.json["exit_code"], broken.json["ok"]) == (3, 3, False)
    assert broken.json["error"]["do"] == "Did you mean 'app'?"


def test_every_step_has_its_command_and_one_json_object(shop: Shop, headwater: Run) -> None:
    words = {
        "check": [],
        "ledger": [],
        "snapshot": ["--cutoff", "2024-06-01", "--cutoff", "2024-05-01", "--horizon", "30d"],
        "backtest": [],
        "fit": ["--model", "bg_nbd"],
        "predict": ["--target", "revenue", "--horizon", "30d"],
        "leakage": [],
        "run": [],
        "report": [],
    }
    said = {}
    for command, options in words.items():
        ran = headwater(command, *options, "--json", at=shop.folder)
        assert ran.code == 0, ran.err
        assert (ran.json["command"], ran.json["ok"], ran.err) == (command, True, "")
        said[command] = ran.json
    assert said["backtest"]["choice"] == said["predict"]["model"]
    assert said["run"]["totals"][0]["value"] == said["predict"]["total"] > 0
    assert said["snapshot"]["n_features"] > 20
    assert len(said["snapshot"]["files"]) == words["snapshot"].count("--cutoff")
    assert Path(said["fit"]["file"]).is_file()
    for command, options in words.items():
        ran = headwater(command, *options, "--quiet", at=shop.folder)
        assert (ran.code, ran.err) == (0, "")
        assert len(ran.out) > 20
        assert not ran.out.startswith("{")


@pytest.mark.parametrize(
    ("words", "code", "finding"),
    [
        (["run", "--config", "elsewhere/headwater.toml"], 3, "config.not_found"),
        (["runn"], 2, "command.usage"),
        (["run", "--seed", "x"], 2, "command.usage"),
        (["run", "--seed", "-1"], 2, "command.usage"),
        (["run", "--threads", "0"], 2, "threads.number"),
        (["run", "--threads", "513"], 2, "threads.number"),
        (["check", "--threads", "600"], 2, "threads.number"),
        (["profile", "orders.csv", "--threads", "600"], 2, "threads.number"),
        (["profile", "orders.csv", "--memory", "lots"], 2, "memory.unreadable"),
        (["run", "--memory", "lots"], 2, "memory.unreadable"),
        (["snapshot", "--cutoff", "2024-06-01"], 2, "command.usage"),
        (["snapshot", "--cutoff", "01.06.2024", "--horizon", "30d"], 2, "date.unreadable"),
        (["snapshot", "--cutoff", "2031-01-01", "--horizon", "30d"], 2, "snapshot.cutoff_outside"),
        (["snapshot", "--cutoff", "2024-06-01", "--horizon", "30"], 2, "span.unreadable"),
        (["predict", "--model", "bgnbd"], 2, "shelf.unknown"),
        (["fit", "--model", "bgnbd"], 2, "shelf.unknown"),
        (["predict", "--model", "pareto_nbd"], 2, "predict.untested"),
        (["fit", "--target", "revenu"], 2, "predict.not_declared"),
        (["fit", "--horizon", "60d"], 2, "predict.not_declared"),
        (["explain", "quarantine.row"], 2, "explain.unknown"),
        (["demo", "cdnoww"], 2, "demo.unknown"),
        (["init", "nowhere.csv"], 3, "source.not_found"),
        (["init", "orders.csv"], 2, "init.exists"),
    ],
)
def test_a_wrong_call_has_its_code_and_changes_nothing(
    shop: Shop, headwater: Run, words: list[str], code: int, finding: str
) -> None:
    before = fingerprint_of_tree(shop.folder)
    ran = headwater(*words, "--json", at=shop.folder)
    assert (ran.code, ran.json["exit_code"], ran.json["error"]["code"]) == (code, code, finding)
    assert all(ran.json["error"][part] for part in ("what", "why", "do"))
    assert f"error {finding}" in ran.err
    assert fingerprint_of_tree(shop.folder) == before


def test_a_load_that_fails_its_gate_leaves_with_4_and_an_account(shop: Shop, headwater: Run) -> None:
    shop.set('rule = "unique"', 'rule = "range"\ncolumns = ["amount"]\nabove = 0\nmax_share = 0.001')
    for command in ("check", "run"):
        ran = headwater(command, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (4, "gate.failed")
        assert "range(amount above 0)" in ran.json["error"]["what"]
    assert not (shop.folder / "reports").exists()


def test_a_fault_of_ours_leaves_with_1_and_its_trace_in_a_file(
    shop: Shop, headwater: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("headwater.app.cli.commands.run_all", fail)
    ran = headwater("run", "--json", at=shop.folder)
    assert (ran.code, ran.json["exit_code"], ran.json["error"]["code"]) == (1, 1, "unexpected")
    assert "Traceback" not in ran.err + ran.out
    assert "ZeroDivisionError" in (shop.store / "last-error.txt").read_text(encoding="utf-8")


def test_a_busy_workspace_is_said(shop: Shop, headwater: Run) -> None:
    with Store(shop.folder).held():
        ran = headwater("run", "--json", at=shop.folder)
    assert (ran.json["ok"], ran.json["error"]["code"]) == (False, "workspace.busy")


def test_a_rehearsal_changes_nothing_outside_the_workspace_folder(shop: Shop, headwater: Run) -> None:
    before = fingerprint_of_tree(shop.folder)
    for command in (["run"], ["check"], ["backtest"], ["init", "orders.csv", "--force"]):
        ran = headwater(*command, "--dry-run", "--json", at=shop.folder)
        assert (ran.code, ran.json["dry_run"]) == (0, True)
    assert fingerprint_of_tree(shop.folder) == before
    assert list(shop.store.glob("steps/*/*")) == []
    assert headwater("ledger", "--quiet", at=shop.folder).code == 0
    held = fingerprint_of_tree(shop.store, without="nothing")
    ran = headwater("run", "--dry-run", at=shop.folder)
    assert "nothing was computed, and no result or report was written" in ran.out
    assert "up to date, would be reused: check, ledger\n" in ran.out
    assert "would run first:             audit (listening for alarms)" in ran.out
    later = "snapshot, backtest, fit, forecast, trust, why, groups, curves, added_up, report"
    assert f"then, where needed:          {later}" in ran.out
    assert fingerprint_of_tree(shop.store, without="nothing") == held


def test_a_rehearsal_whose_steps_are_all_there_writes_nothing_either(shop: Shop, headwater: Run) -> None:
    assert headwater("curves", "--horizon", "14d", "--cohorts", "week", at=shop.folder).code == 0
    before = fingerprint_of_tree(shop.folder)
    page = shop.folder / "curves.html"
    ran = headwater(
        "curves", "--horizon", "14d", "--cohorts", "week", "--to", page, "--dry-run", at=shop.folder
    )
    assert (ran.code, page.exists()) == (0, False)
    assert fingerprint_of_tree(shop.folder) == before


def test_a_rehearsed_demo_lays_nothing_out(tmp_path: Path, headwater: Run) -> None:
    ran = headwater("demo", "cdnow", "--folder", tmp_path / "demo", "--dry-run", "--json", at=tmp_path)
    assert (ran.code, ran.json["dry_run"]) == (0, True)
    assert fingerprint_of_tree(tmp_path) == {}


def test_the_seed_repeats_and_changes(shop: Shop, headwater: Run) -> None:
    said = [headwater("backtest", "--json", "--seed", s, at=shop.folder).json for s in (1, 2, 1)]
    (shop.store / "steps" / "backtest").rename(shop.store / "away")
    said.append(headwater("backtest", "--json", "--seed", 1, at=shop.folder).json)
    assert said[0] == said[2] == said[3]
    drawn = {"interval_width", "interval_coverage"}  # a model without matured windows draws its own spread
    one, two = ({k: v for k, v in s["scores"].items() if k not in drawn} for s in said[:2])
    assert one == two
    intervals = [headwater("run", "--json", "--seed", s, at=shop.folder).json["fingerprints"] for s in (1, 2)]
    assert set(intervals[0].values()) != set(intervals[1].values())


def test_doctor_finds_this_machine_well(shop: Shop, headwater: Run) -> None:
    ran = headwater("doctor", "--json", at=shop.folder)
    assert ran.code == 0
    assert {"Python", "duckdb", "free disk"} <= {c["what"] for c in ran.json["checks"]}
    assert headwater("doctor", at=shop.folder).out.startswith("ok")


def test_explain_knows_what_errors_say(headwater: Run, tmp_path: Path) -> None:
    for code in ("quarantine.rows", "config.unknown_key", "fit.vague"):
        ran = headwater("explain", code, at=tmp_path)
        assert ran.code == 0
        assert ran.out.startswith(f"{code}\n")
        assert "What to do." in ran.out
    assert headwater("explain", "fit.vague", "--json", at=tmp_path).json["code"] == "fit.vague"


def test_help_and_version(headwater: Run, tmp_path: Path) -> None:
    for words in ([], ["--help"], ["run", "--help"]):
        ran = headwater(*words, at=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        assert "Usage: headwater" in ran.out
    assert headwater("version", "--json", at=tmp_path).json["version"].count(".") == 2


def test_init_then_run_needs_no_hand(
    tmp_path: Path, headwater: Run, order_lines: Callable[..., list[str]]
) -> None:
    header = "user_id,ordered_at,order_id,amount,country"
    (tmp_path / "orders.csv").write_text("\n".join([header, *order_lines()]) + "\n", encoding="utf-8")
    wrote = headwater("init", "orders.csv", "--json", at=tmp_path)
    assert wrote.code == 0
    assert wrote.json["settings"] == (tmp_path / "headwater.toml").read_text(encoding="utf-8")
    checked = headwater("check", "--json", at=tmp_path)
    assert checked.code == 0
    assert checked.json["n_rows_in"] == len(order_lines())


def test_a_terminal_shows_bars_and_ends_well(
    shop: Shop, environment: dict[str, str], command: list[str]
) -> None:
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [*command, "run"],
        cwd=shop.folder,
        env=environment | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert started.wait(timeout=10) == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "testing 3 models on the past (revenue_30d): done" in text
    assert "taking snapshots" in text
    assert "Traceback" not in text
    assert "are expected to bring" in text
