"""What a new user met: each command says the same of the same file, and says what it leaves out.

Expectations are what was planted in the files of the test, or the order of the road in ARCHITECTURE.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.app.card import card_blocks
from headwater.app.cli import commands, quality, replies
from headwater.app.config import read_settings
from headwater.app.run import Published
from headwater.core.block import Callout, Grid, Page
from headwater.core.contract import RuleResult
from headwater.core.finding import Finding, Severity
from headwater.engine.web_page import begins_web_page

Run = Callable[..., Any]
Shop = Any
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body><p>Please, sign in.</p></body></html>\n"
WORDS = ("code", "what", "why", "do")


def small(shop: Shop) -> Shop:
    """One quick target, so that a whole run takes a moment."""
    return shop.set('models = ["rate_so_far", "bg_nbd"]', 'models = ["rate_so_far"]')


def events_file(path: Path, *, page: bool = False, n: int = 40) -> None:
    lines = [f"u{i % 5},{datetime(2024, 1, 1, 9) + timedelta(days=i)},{i}.50,{path.stem}" for i in range(n)]
    path.write_text(
        PAGE if page else "\n".join(["user_id,at,amount,country", *lines]) + "\n", encoding="utf-8"
    )


# --threads


def test_the_threads_of_the_settings_file_and_of_the_option_have_one_limit(shop, headwater) -> None:
    """docs/configuration.md: 1 to 512."""
    assert headwater("version", "--threads", "512", at=shop.folder).code == 0
    asked = headwater("check", "--threads", "600", "--json", at=shop.folder)
    text = shop.config.read_text(encoding="utf-8")
    shop.config.write_text(f"{text}[run]\nthreads = 600\n", encoding="utf-8")
    written = headwater("check", "--json", at=shop.folder)
    for ran, code in ((asked, (2, "threads.number")), (written, (3, "config.value"))):
        assert (ran.code, ran.json["error"]["code"]) == code
        assert "512" in ran.json["error"]["what"]
    assert not (shop.store / "steps" / "check").exists()


# the data card


def test_the_card_names_every_column_that_is_read_money_among_them(shop) -> None:
    study = shop.study()
    card, _ = card_blocks(study.events(), study.ledger(), None, study.settings)
    assert isinstance(card, Grid)
    assert dict(card.stream())["Columns"] == "user_id, ordered_at, country, amount, order_id"


@pytest.mark.parametrize(
    ("n", "shown", "more"), [(12, 12, None), (13, 13, "and 1 more"), (40, 13, "and 28 more")]
)
def test_known_faults_that_are_not_shown_are_counted(shop, n: int, shown: int, more: str | None) -> None:
    study = shop.study()
    rules = tuple(
        RuleResult(code=f"rule {i}", about="planted", n_rows=1_000 - i, share=0.1, max_share=None)
        for i in range(n)
    )
    events = replace(study.events(), rules=rules, findings=())
    _, faults = card_blocks(events, study.ledger(), None, study.settings)
    assert isinstance(faults, Grid)
    rows = list(faults.stream())
    assert [r[0] for r in rows[:12]] == [f"rule {i}" for i in range(12)]
    assert len(rows) == shown
    if more is not None:
        assert rows[-1][0] == more
        assert "headwater audit" in str(rows[-1][2])


# a web page under the name of data


@pytest.mark.parametrize("command", [["init"], ["profile"], ["infer"], ["check"]])
@pytest.mark.parametrize("page", [PAGE, "\ufeff\n<html lang='en'>\n<body>502 Bad Gateway</body></html>"])
def test_a_web_page_saved_as_csv_is_refused(shop, headwater, command: list[str], page: str) -> None:
    (shop.folder / "orders.csv").write_text(page, encoding="utf-8")
    words = command if command == ["check"] else [*command, "orders.csv"]
    ran = headwater(*words, "--json", *(["--force"] if command == ["init"] else []), at=shop.folder)
    assert (ran.code, ran.json["error"]["code"]) == (3, "source.web_page")
    assert "'orders.csv'" in ran.json["error"]["what"]


def test_a_web_page_among_good_files_is_named_and_set_aside(shop, headwater) -> None:
    shop.set('path = "orders.csv"', 'path = "many"')
    text = shop.config.read_text(encoding="utf-8").replace("ordered_at", "at")
    text = re.sub(r"purchases = .*\n", "", text).split("[[predict]]")[0] + "[gate]\nmax_broken_files = 0.3\n"
    shop.config.write_text(text, encoding="utf-8")
    (shop.folder / "many").mkdir()
    for i in range(4):
        events_file(shop.folder / "many" / f"day{i}.csv", page=i == 2)
    ran = headwater("check", "--json", at=shop.folder)
    assert ran.code == 0, ran
    assert ran.json["n_rows_in"] == 3 * 40
    (told,) = [f for f in ran.json["findings"] if f["code"] == "source.broken_files"]
    assert "'day2.csv': it is a web page (HTML)" in told["what"]


@pytest.mark.parametrize("head", [b"html,body\n1,2\n", b"user_id,page\nu1,<html>\n", b"", b"<xml>"])
def test_data_that_speak_of_web_pages_are_none(head: bytes) -> None:
    assert not begins_web_page(head)


# a header and nothing more


def test_a_header_without_rows_is_said_in_one_way(shop, headwater) -> None:
    (shop.folder / "orders.csv").write_text("user_id,ordered_at,order_id,amount,country\n", encoding="utf-8")
    commands = [
        ["init", "orders.csv", "--force"],
        ["profile", "orders.csv"],
        ["infer", "orders.csv"],
        ["check"],
        ["run"],
    ]
    ran = [headwater(*command, "--json", at=shop.folder) for command in commands]
    assert {r.code for r in ran} == {4}
    assert {tuple(r.json["error"][w] for w in WORDS) for r in ran} == {
        tuple(ran[0].json["error"][w] for w in WORDS)
    }
    assert ran[0].json["error"]["code"] == "source.no_rows"


# a load time


def test_infer_says_the_load_time_and_stays_valid(tmp_path: Path, headwater) -> None:
    import tomllib

    start = datetime(2024, 1, 1, 9)
    rows = [
        f"u{i % 5},{start + timedelta(hours=6 * i)},{start + timedelta(hours=6 * i, minutes=5)},2.50"
        for i in range(300)
    ]
    (tmp_path / "e.csv").write_text(
        "\n".join(["user_id,at,_loaded_at,amount", *rows]) + "\n", encoding="utf-8"
    )
    ran = headwater("infer", "e.csv", at=tmp_path)
    assert ran.code == 0
    assert '# Under [[sources]]: known_at = "_loaded_at"' in ran.out
    assert "5.0 minutes in the median" in " ".join(ran.out.replace("#", "").split())
    assert "known_at" not in tomllib.loads(ran.out)
    known = headwater("infer", "e.csv", "--json", at=tmp_path).json["known_at"]
    assert known["column"] == "_loaded_at"
    assert headwater("init", "e.csv", at=tmp_path).code == 0
    assert read_settings(tmp_path / "headwater.toml").events_source().known_at == "_loaded_at"


# --dry-run


def test_a_rehearsal_says_what_is_there_what_would_run_and_what_follows(shop, headwater) -> None:
    """The order of the road: check, ledger, audit, snapshots, backtest, fit, forecast, report."""
    first = headwater("run", "--dry-run", "--json", at=small(shop).folder).json
    assert (first["step"], first["reused"]) == ("check", [])
    after = ["fit", "forecast", "trust", "why", "groups", "curves", "added_up", "report"]
    assert first["later_steps"] == ["ledger", "audit", "snapshot", "backtest", *after]
    assert headwater("check", "--dry-run", "--json", at=shop.folder).json["later_steps"] == []
    assert headwater("backtest", "--quiet", at=shop.folder).code == 0
    then = headwater("run", "--dry-run", "--json", at=shop.folder).json
    assert then["reused"] == ["audit", "backtest", "check", "ledger"]
    assert then["step"] == "snapshot", "of the end of the log, which no test on the past has read"
    assert then["later_steps"] == after
    assert not (shop.folder / "reports").exists()


@pytest.mark.parametrize(
    "words",
    [["ledger"], ["audit"], ["backtest"], ["fit"], ["fit", "--model", "rate_so_far"], ["predict"]],
    ids=" ".join,
)
def test_a_rehearsal_names_the_steps_that_the_command_then_makes(shop, headwater, words: list[str]) -> None:
    told = headwater(*words, "--dry-run", "--json", at=small(shop).folder).json
    assert headwater(*words, "--quiet", at=shop.folder).code == 0
    assert {told["step"], *told["later_steps"]} == {p.name for p in (shop.store / "steps").iterdir()}


def test_a_rehearsed_comparison_compares_nothing_and_is_named(
    shop, headwater, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[object] = []
    real = quality.compare_loads

    def counted(*given: Any, **more: Any) -> Any:
        compared.append(given)
        return real(*given, **more)

    monkeypatch.setattr(quality, "compare_loads", counted)
    last = shop.folder / "last.csv"
    last.write_bytes((shop.folder / "orders.csv").read_bytes())
    words = ["check", "--against", last]
    told = headwater(*words, "--dry-run", "--json", at=shop.folder).json
    assert (told["step"], told["later_steps"]) == ("check", ["compare"])
    assert headwater("check", "--quiet", at=shop.folder).code == 0
    told = headwater(*words, "--dry-run", "--json", at=shop.folder).json
    assert (told["step"], told["later_steps"], told["reused"]) == ("compare", [], ["check"])
    said = headwater(*words, "--dry-run", at=shop.folder).out
    assert "nothing was computed" in said
    assert "compare (comparing with 'last.csv')" in said
    assert compared == []
    assert headwater(*words, "--json", at=shop.folder).json["against"]["n_rows_last"] > 0
    assert len(compared) == 1


@pytest.mark.parametrize(("n", "told"), [(1, "read the warning in"), (2, "read the 2 warnings in")])
def test_one_warning_is_told_as_one(
    shop, headwater, monkeypatch: pytest.MonkeyPatch, n: int, told: str
) -> None:
    finding = Finding(code="planted", severity=Severity.WARN, what="A.", why="B.", do="C.")
    blocks = tuple(Callout(finding=replace(finding, what=f"{i}.")) for i in range(n))
    page = Page(name="planted", title="Planted", blocks=blocks)
    real = replies.run_reply

    def planted(study: Any, published: Published) -> Any:
        document = replace(published.told.document, pages=(page,))
        return real(study, replace(published, told=replace(published.told, document=document)))

    monkeypatch.setattr(commands, "run_reply", planted)
    assert told in headwater("run", "--quiet", at=small(shop).folder).out


def test_a_rehearsal_of_what_is_done_writes_no_report(shop, headwater) -> None:
    assert headwater("run", "--quiet", at=small(shop).folder).code == 0
    report = shop.folder / "reports" / "report.html"
    report.unlink()
    ran = headwater("run", "--dry-run", at=shop.folder)
    assert "Every step is there already: nothing would be computed." in ran.out
    assert "into 'reports' again" in ran.out
    assert not report.exists()


@pytest.mark.parametrize("command", ["check", "audit"])
def test_a_rehearsal_writes_no_files_for_machines(shop, headwater, command: str) -> None:
    assert headwater("audit", "--quiet", at=shop.folder).code == 0
    words = [command, "--jsonl", "out.jsonl", "--junit", "out.xml"]
    assert headwater(*words, "--dry-run", at=shop.folder).code == 0
    assert not list(shop.folder.glob("out.*"))
    assert headwater(*words, at=shop.folder).code == 0
    assert len(list(shop.folder.glob("out.*"))) == 2


def test_a_rehearsal_of_the_poison_test_poisons_nothing(shop, headwater) -> None:
    assert headwater("ledger", "--quiet", at=shop.folder).code == 0
    told = headwater("leakage", "--dry-run", "--json", at=shop.folder).json
    assert (told["step"], told["reused"], told["later_steps"]) == ("leakage", ["check", "ledger"], [])
