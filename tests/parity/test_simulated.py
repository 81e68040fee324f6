"""A simulated app with planted faults through every compiled step on both engines: the gate with all rules, identity,
money in several currencies, the other sources, the ledger, the alarms, the snapshots."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headwater.app.config import Settings, settings_of
from headwater.app.simulated import make_world
from headwater.app.verify import StepComparison, verify_engines
from headwater.contracts.rules import RULES
from headwater.core.sources import SourceKind
from headwater.engine.engine import Engine

TODAY = date(2026, 1, 1)
MORE_RULES: list[dict[str, Any]] = [
    {"rule": "not_before", "on": date(2025, 1, 4)},
    {"rule": "late", "within": "1d"},
    {"rule": "matches", "columns": ["app_version"], "pattern": r"\d+\.\d+(\.\d+)?"},
    {"rule": "ordered", "columns": ["watched_ms"], "per": ["device_id"]},
    {"rule": "type", "columns": ["amount"]},
]
REPAIRS = [
    {"repair": "trim", "columns": ["network", "country"]},
    {"repair": "case_fold", "columns": ["network"]},
    {"repair": "aliases", "columns": ["network"], "values": {"Meta": ["meta", "facebook"], "Google": ["google"]}},
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"kind": "users", "path": "users/*.parquet", "user": "user_id", "keep": ["channel", "country"]},
    {"kind": "exposures", "path": "exposures/*.parquet", "user": "user_id", "at": "at", "experiment": "experiment", "arm": "arm"},
    {"kind": "costs", "path": "costs.parquet", "day": "day", "channel": "channel", "campaign": "campaign", "amount": "cost_usd", "currency_is": "EUR"},
    {"kind": "impressions", "path": "impressions/*.parquet", "campaign": "campaign", "at": "at"},
    {"kind": "subscriptions", "path": "subscriptions/*.parquet", "user": "user_id", "started_at": "started_at", "ended_at": "canceled_at", "amount": "price_usd", "plan": "status"},
    {"kind": "fx", "path": "fx.parquet", "day": "day", "currency": "currency", "rate": "per_usd"},
]  # fmt: skip


def whole(raw: dict[str, Any]) -> dict[str, Any]:
    """The simulated project with every rule of the shelf, every kind of source, repairs, currencies and identity."""
    events = raw["sources"][0] | {
        "currency": "currency",
        "types": {"amount": "money", "watched_ms": "integer"},
    }
    names = {r["rule"] for r in raw["rules"]}
    own = [
        r for r in raw["rules"] if "amount_usd" not in r.get("columns", ()) or r["rule"] == "near_duplicate"
    ]
    own = [r | {"columns": ["amount"]} if r["rule"] == "near_duplicate" else r for r in own]
    amount = [{"rule": "range", "columns": ["amount"], "at_least": 0, "at_most": 500}]
    return raw | {
        "sources": [events, *OTHERS],
        "measures": {
            "revenue": {"sum": "amount", "unit": "USD", "where": "lower(event) in ['purchase', 'renew']"},
            "buys": {"count": True, "where": "upper(event) == 'PURCHASE'"},
            "orders": {"count_distinct": "order_id"},
        },
        "repairs": REPAIRS,
        "rules": [*own, *amount, *(r for r in MORE_RULES if r["rule"] not in names)],
        "gate": {"max_share": 1.0, "max_broken_files": 0.5},
        "identity": {"device": "device_id", "login": "user_id"},
        "predict": [],
    }


@pytest.fixture(scope="module")
def made(
    duck: Engine, spark: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, list[StepComparison], Path]:
    root = tmp_path_factory.mktemp("simulated")
    make_world(root, n_users=60, n_days=70, faults="default", threads=2, memory="1GB")
    raw = tomllib.loads((root / "headwater.toml").read_text())
    settings = settings_of(whole(raw))
    steps = verify_engines(
        (duck, spark), settings, root=root, scratch=root / "scratch", today=TODAY, report=False
    )
    return settings, list(steps), root


def test_every_step_of_a_faulty_log_is_the_same_on_both(made: Any) -> None:
    _, steps, _ = made
    assert [(s.step, s.columns[:5], s.examples[:5]) for s in steps if not s.equal] == []
    names = [s.step for s in steps]
    assert {"check: events", "check: quarantine", "check: repairs", "check: identity"} <= set(names)
    assert {f"source {kind.value}: rows" for kind in SourceKind} <= set(names)
    assert {"ledger: days", "audit: metrics", "audit: account"} <= set(names)
    assert any(n.startswith("snapshot: ") for n in names)
    assert all(s.n_rows[0] == s.n_rows[1] > 0 for s in steps if "quarantine" not in s.step)


def test_the_project_asks_every_rule_of_the_shelf(made: Any) -> None:
    settings, _, _ = made
    assert {r.rule for r in settings.rules} == set(RULES.names())


def test_the_planted_faults_are_in_quarantine(made: Any) -> None:
    _, steps, root = made
    planted = pq.read_table(root / "truth" / "fault_rows").num_rows
    (quarantine,) = [s for s in steps if s.step == "check: quarantine"]
    assert quarantine.n_rows[0] > 0.2 * planted > 5
