"""Profile, infer, compare, audit and check on the command line; what is written for machines; the data card."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from headwater.app.card import card_blocks, volume_chart
from headwater.app.emit import check_rows, write_checks, write_junit
from headwater.core.block import Grid, Prose

CARD = '[card]\nowner = "growth"\nwho_may_use = "the growth team"\n'


def test_profile_needs_no_settings(headwater, shop):
    ran = headwater("profile", "orders.csv", at=shop.folder)
    assert ran.code == 0
    assert "ordered_at" in ran.out
    told = headwater("profile", "orders.csv", "--json", at=shop.folder).json
    lines = (shop.folder / "orders.csv").read_text().count("\n") - 1
    assert told["n_rows"] == lines
    assert {c["column"] for c in told["columns"]} == {
        "user_id",
        "ordered_at",
        "order_id",
        "amount",
        "country",
    }


def test_infer_writes_nothing_and_what_it_says_is_a_valid_list_of_rules(headwater, shop):
    import tomllib

    before = sorted(p.name for p in shop.folder.iterdir() if not p.name.startswith("."))
    ran = headwater("infer", "orders.csv", at=shop.folder)
    assert ran.code == 0
    rules = tomllib.loads(ran.out)["rules"]
    assert {"required", "one_of"} <= {r["rule"] for r in rules}
    assert sorted(p.name for p in shop.folder.iterdir() if not p.name.startswith(".")) == before


def test_compare_and_check_against_agree(headwater, shop, order_lines):
    (shop.folder / "last").mkdir()
    lines = order_lines()
    (shop.folder / "last" / "orders.csv").write_text(
        "user_id,ordered_at,order_id,amount,country\n" + "\n".join(lines[:-40]) + "\n", encoding="utf-8"
    )
    compared = headwater(
        "compare", "orders.csv", "last/orders.csv", "--at", "ordered_at", "--json", at=shop.folder
    ).json
    checked = headwater("check", "--against", "last/orders.csv", "--json", at=shop.folder).json
    assert compared["n_rows_now"] - compared["n_rows_last"] == 40
    assert checked["against"]["restated"] == compared["restated"]
    assert sum(d["n_now"] - d["n_last"] for d in compared["restated"]) <= 40


def test_results_for_machines_say_the_same_as_the_check(headwater, shop):
    (shop.folder / "out").mkdir()
    ran = headwater("check", "--jsonl", "out/c.jsonl", "--junit", "out/c.xml", "--json", at=shop.folder).json
    rows = [json.loads(line) for line in (shop.folder / "out/c.jsonl").read_text().splitlines()]
    by_code = {r["code"]: r["n_rows"] for r in rows if r["kind"] == "rule"}
    assert by_code == {r["code"]: r["n_rows"] for r in ran["rules"]}
    suite = ET.parse(shop.folder / "out/c.xml").getroot()
    assert int(suite.get("tests", "0")) == len(suite.findall("testcase")) == len(rows)
    assert suite.get("failures") == "0"


def test_a_rule_broken_too_often_fails_its_case(shop):
    shop.set('rule = "unique"', 'rule = "range"\ncolumns = ["amount"]\nabove = 1000\nmax_share = 0.01')
    events = shop.study().events(gate=False)
    failed = [r for r in check_rows(events) if r["state"] == "failed"]
    assert [r["code"] for r in failed] == ["range(amount above 1000)"]
    write_junit(check_rows(events), shop.folder / "c.xml")
    assert ET.parse(shop.folder / "c.xml").getroot().get("failures") == "1"


def test_junit_survives_what_xml_cannot_hold(tmp_path):
    row = {"kind": "rule", "code": "a<b>&\x00\x1b", "state": "failed", "what": "\ud800 ]]> \x07"}
    write_junit([row], tmp_path / "c.xml")
    case = ET.parse(tmp_path / "c.xml").getroot()[0]
    assert case.get("name") == "a<b>&��"


def test_audit_lists_every_alarm_and_its_settings_are_read(headwater, shop):
    told = headwater("audit", "--json", at=shop.folder).json
    assert {a["alarm"] for a in told["alarms"]} >= {"volume", "mix", "holes", "bots", "freshness"}
    assert told["n_scans"] == 1
    shop.config.write_text(
        shop.config.read_text() + '[[alarms]]\nalarm = "mix"\non = false\n', encoding="utf-8"
    )
    told = headwater("audit", "--json", at=shop.folder).json
    assert "mix" not in {a["alarm"] for a in told["alarms"]}


def test_an_unknown_alarm_is_refused_with_the_near_miss(headwater, shop):
    shop.config.write_text(shop.config.read_text() + '[[alarms]]\nalarm = "volum"\n', encoding="utf-8")
    ran = headwater("audit", at=shop.folder)
    assert ran.code == 3
    assert "volume" in ran.err


def test_the_data_card_says_what_when_how_much_faults_and_who(shop):
    shop.config.write_text(shop.config.read_text() + CARD, encoding="utf-8")
    study = shop.study()
    events, ledger, audit = study.events(), study.ledger(), study.audit()
    card, faults = card_blocks(events, ledger, audit, study.settings)
    assert isinstance(card, Grid)
    assert isinstance(faults, Prose)
    assert faults.text.startswith("No fault is known.")
    said = dict(card.stream())
    assert said["Owner"] == "growth"
    assert said["Who may use it"] == "the growth team"
    assert "not said" in said["Contact"]
    assert f"{events.events.n_rows:,} events of {ledger.users.n_rows:,} users" in said["How much"]
    assert said["When"].startswith("2024-01-01")
    chart = volume_chart(audit)
    observed = [r[1] for r in chart.rows if r[2] == "observed"]
    assert sum(observed) == events.events.n_rows


@pytest.mark.parametrize("forms", [["jsonl"], ["jsonl", "junit"]])
def test_checks_are_written_in_the_forms_asked_for(shop, forms):
    study = shop.study()
    written = write_checks(study.events(), study.audit(), folder=shop.folder / "reports", forms=forms)
    assert [p.suffix for p in written] == [{"jsonl": ".jsonl", "junit": ".xml"}[f] for f in forms]
    assert all(p.is_file() for p in written)


def test_a_run_delivers_the_checks_beside_the_report(headwater, shop):
    shop.set('formats = ["html"]', 'formats = ["html"]\nchecks = ["jsonl", "junit"]')
    ran = headwater("run", "--json", at=shop.folder).json
    assert {p.rsplit("/", 1)[-1] for p in ran["reports"]} >= {"report.html", "checks.jsonl", "checks.xml"}
    rows = [json.loads(line) for line in (shop.folder / "reports/checks.jsonl").read_text().splitlines()]
    assert {"rule", "alarm"} <= {r["kind"] for r in rows}
