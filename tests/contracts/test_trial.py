"""What is proposed holds in the data it comes from: counts against the gate itself, and against pandas."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from headwater.app.config import contract_of as contract_of_settings
from headwater.app.config import settings_of
from headwater.app.propose import settings_text
from headwater.app.rules_text import rules_text
from headwater.contracts.check import check, check_gate
from headwater.contracts.infer import contract_of, propose
from headwater.contracts.infer_rules import propose_rules
from headwater.contracts.spellings import spelled
from headwater.contracts.trial import try_rules
from headwater.core.contract import RuleSpec
from headwater.core.table import Kind
from headwater.engine.sources import open_relation

SEED = 20261124
TODAY = date(2026, 2, 20)


def dirty(n=4_000):
    """Orders whose faults the first look does not tell: blanks, spellings, stray ids, refunds, words among amounts."""
    rng = np.random.default_rng(SEED)
    frame = pd.DataFrame({
        "order_id": np.char.add("A-", np.char.zfill(np.arange(n).astype(str), 6)),
        "user_id": rng.integers(0, 300, n).astype(str),
        "ordered_at": (pd.Timestamp("2026-01-05") + pd.to_timedelta(np.sort(rng.integers(0, 40 * 86_400, n)), unit="s")).astype(str),
        "amount": rng.lognormal(3, 1, n).round(2).astype(str),
        "channel": rng.choice(["google", "Google", "meta", "Meta "], n, p=[0.5, 0.1, 0.38, 0.02]),
        "score": np.where(rng.random(n) < 0.1, "n/a", rng.integers(0, 90, n).astype(str)),
        "contact": np.where(rng.random(n) < 0.3, "jo@shop.example", "none"),
    })  # fmt: skip
    frame.loc[rng.choice(np.arange(2_000, n), 12, replace=False), "order_id"] = "lost"
    frame.loc[rng.choice(np.arange(2_000, n), 30, replace=False), "amount"] = "free"
    return frame


@pytest.fixture
def path(tmp_path):
    dirty().to_csv(tmp_path / "orders.csv", index=False)
    return tmp_path / "orders.csv"


def settings_with(proposal, found, path):
    text = settings_text(proposal, path=str(path)) + "\n" + rules_text(found)
    return settings_of(tomllib.loads(text))


def test_all_that_is_proposed_together_passes_the_gate_on_the_same_data(engine, path, tmp_path):
    proposal = propose(engine, path, today=TODAY)
    found = propose_rules(engine, path, proposal, today=TODAY)
    contract = contract_of_settings(settings_with(proposal, found, path), today=TODAY)
    events = check(engine, contract, root=tmp_path, folder=tmp_path / "gate", source_fingerprint="x")
    assert check_gate(events) == ()
    assert events.quarantine.n_rows == found.n_broken
    assert events.n_rows_in == found.n_rows


def test_the_evidence_says_what_the_gate_counts(engine, path, tmp_path):
    proposal = propose(engine, path, today=TODAY)
    found = propose_rules(engine, path, proposal, today=TODAY)
    contract = contract_of_settings(settings_with(proposal, found, path), today=TODAY)
    events = check(engine, contract, root=tmp_path, folder=tmp_path / "gate", source_fingerprint="x")
    counted = {r.code: r.n_rows for r in events.rules}
    told = {(spec.rule, spec.columns): why for spec, why in found.rules}
    assert counted["matches(order_id)"] == 12
    assert told["matches", ("order_id",)].startswith("12 of 4,000 rows (0.30%)")
    for (rule, columns), why in told.items():
        code = f"{rule}({columns[0]})" if columns else ""
        if code in counted:
            assert why.startswith(f"{counted[code]:,} of 4,000 rows")


def test_trials_count_what_pandas_counts(engine, path):
    frame = dirty()
    rules = [
        RuleSpec(rule="one_of", columns=("channel",), settings={"values": ("google", "meta")}),
        RuleSpec(rule="unique", columns=("order_id",)),
        RuleSpec(rule="range", columns=("amount",), settings={"at_most": 50}),
        *(RuleSpec(rule="matches", columns=("score",), settings={"pattern": p}) for p in ("[0-9]", "[0-9]+")),
        *(RuleSpec(rule="range", columns=("amount",), settings={"at_most": k}) for k in range(100, 140)),
    ]  # fmt: skip
    proposal = propose(engine, path, today=TODAY)
    plain = replace(contract_of(proposal), repairs=())
    trial = try_rules(engine, open_relation(engine, path), plain, rules)
    amounts = pd.to_numeric(frame.amount, errors="coerce")
    assert trial.n_rows == len(frame)
    assert trial.broken[:3] == (
        (~frame.channel.isin(["google", "meta"])).sum(),
        frame.order_id.duplicated().sum(),
        (amounts > 50).sum(),
    )
    assert trial.broken[3:5] == ((frame.score.str.len() > 1).sum(), (frame.score == "n/a").sum())
    assert list(trial.broken[5:]) == [(amounts > k).sum() for k in range(100, 140)]
    assert trial.always["type(amount)"] == amounts.isna().sum() == 30
    assert trial.n_broken is None, "so many rules are more than one pass holds"


def test_spellings_become_repairs_and_the_list_is_of_what_is_left(engine, path):
    proposal = propose(engine, path, today=TODAY)
    found = propose_rules(engine, path, proposal, today=TODAY)
    assert [(r.repair, r.columns) for r, _ in found.repairs] == [("trim", ("channel",)), ("aliases", ("channel",))]  # fmt: skip
    assert found.repairs[1][0].aliases == {"google": ("Google",), "meta": ("Meta",)}
    (listed,) = [spec for spec, _ in found.rules if spec.rule == "one_of"]
    assert listed.settings["values"] == ("google", "meta")


def test_what_many_rows_break_is_told_not_proposed(engine, path):
    proposal = propose(engine, path, today=TODAY)
    found = propose_rules(engine, path, proposal, today=TODAY)
    assert "personal_data" not in {spec.rule for spec, _ in found.rules}
    (told,) = [d for d in found.dropped if d.startswith("personal_data on contact")]
    assert f"{(dirty().contact != 'none').sum():,} of 4,000 rows" in told


def test_the_most_frequent_spelling_stays_and_one_spelling_needs_no_repair():
    assert spelled("c", {"a": 3, "b": 1, "": 7}).repairs == ()
    assert spelled("c", {"NEW  York": 2, "New York": 5}).values == ("New York",)
    assert [r.repair for r, _ in spelled("c", {"a": 1, " a": 4}).repairs] == ["trim"]


def test_a_column_that_is_nearly_numbers_is_kept_as_text_and_said(engine, path):
    frame = dirty()
    proposal = propose(engine, path, today=TODAY)
    n = (frame.score == "n/a").sum()
    assert proposal.source.types["score"] is Kind.TEXT
    assert proposal.source.types["amount"] is Kind.MONEY
    (told,) = [f for f in proposal.findings if f.code == "init.mixed_column"]
    assert told.numbers == {"n_unread": n, "n_filled": len(frame)}
    said = " ".join(line[2:] for line in settings_text(proposal, path="x.csv").splitlines() if line.startswith("# "))  # fmt: skip
    assert f"{n} of 4,000 values of score" in said
    assert "most often 'n/a': kept as text" in said
    assert "30 of 4,000 values of amount (0.75%) are no number, most often 'free'" in said


def test_a_column_of_money_by_name_that_is_a_tenth_words_is_a_warning(engine, path):
    frame = dirty()
    frame.loc[frame.index % 10 == 0, "amount"] = "free"
    frame.to_csv(path, index=False)
    (told,) = [f for f in propose(engine, path).findings if f.numbers.get("n_unread") == (frame.amount == "free").sum()]  # fmt: skip
    assert told.severity == "warn"
    assert '"amount" = "money"' in told.do


@pytest.mark.parametrize(
    ("last", "after"), [(TODAY, "today"), (TODAY - timedelta(days=31), "today"), (TODAY - timedelta(days=32), None)]
)  # fmt: skip
def test_no_event_after_today_where_the_log_is_alive_and_after_its_last_day_where_it_ended(
    engine, path, last, after
):
    frame = dirty()
    shift = pd.Timestamp(last) - pd.to_datetime(frame.ordered_at).max().normalize()
    frame["ordered_at"] = (pd.to_datetime(frame.ordered_at) + shift).astype(str)
    frame.to_csv(path, index=False)
    found = propose_rules(engine, path, propose(engine, path, today=TODAY), today=TODAY)
    (rule,) = [spec for spec, _ in found.rules if spec.rule == "not_future"]
    assert rule.settings["after"] == (after or last.isoformat())


def test_events_that_differ_in_case_are_left_apart(engine, tmp_path):
    """``Purchase`` of the client and ``purchase`` of the server, each counted: one may not become the other."""
    rows = [
        f"u{k},2024-01-{k % 28 + 1:02d},{e},{c}"
        for k in range(400)
        for e, c in (("Purchase", "Web"), ("purchase", "web"))
    ]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(["user_id,time,event,channel", *rows]), encoding="utf-8")
    proposal = propose(engine, file, today=TODAY)
    repaired = {c for spec in proposal.repairs for c in spec.columns}
    assert proposal.source.event == "event"
    assert repaired == {"channel"}
