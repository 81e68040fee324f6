"""What is remembered of an experiment, as rows of plain tables: its plan, each look, each result, what came after.

Every row stands by itself: a result repeats what is needed to read it (method, level, sample ratio, verdict, version
of the code), so that SQL and BI need no join.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from hashlib import sha256

import pyarrow as pa

from headwater.core.finding import Severity
from headwater.core.span import date_of
from headwater.effects.plan import Plan
from headwater.effects.scorecard import Row, Scorecard

__all__ = [
    "AFTERWARDS",
    "LOOKS",
    "PLANS",
    "RESULTS",
    "Cells",
    "look_row",
    "plan_fingerprint",
    "plan_row",
    "plan_text",
    "result_rows",
]

Cells = Mapping[str, str | int | float | bool | date | None]


def _schema(**columns: str) -> pa.Schema:
    types = {
        "text": pa.string(),
        "number": pa.float64(),
        "count": pa.int64(),
        "day": pa.date32(),
        "yes": pa.bool_(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


PLANS = _schema(
    experiment="text", plan="text", question="text", registered_on="day", first_seen_on="day", arms="text", metrics="text",
    stop="text", alpha="number", plan_text="text",
)  # fmt: skip
LOOKS = _schema(
    experiment="text", plan="text", looked_on="day", n_users="count", share="number", was_read="yes", method="text",
    sample_ratio_p="number", trusted="yes", stance="text", because="text", code_version="text",
)  # fmt: skip
RESULTS = _schema(
    experiment="text", plan="text", looked_on="day", n_users="count", share="number", metric="text", part="text", kind="text",
    better="text", unit="text", arm="text", control="text", outcome="text", refused="text", n_control="count", n_arm="count",
    value_control="number", value_arm="number", difference="number", std_error="number", low="number", high="number",
    level="number", relative="number", rel_low="number", rel_high="number", p_value="number", p_adjusted="number",
    method="text", sample_ratio_p="number", trusted="yes", stance="text", code_version="text",
)  # fmt: skip
AFTERWARDS = _schema(
    experiment="text", arm="text", noted_on="day", shipped="yes", metric="text", relative="number", rel_low="number",
    rel_high="number", note="text",
)  # fmt: skip


def plan_text(plan: Plan) -> str:
    """The plan as JSON: every field, in one order."""
    return json.dumps(asdict(plan), sort_keys=True, ensure_ascii=False)


def plan_fingerprint(plan: Plan) -> str:
    """Equal for equal plans."""
    return sha256(plan_text(plan).encode()).hexdigest()[:16]


def plan_row(plan: Plan, *, today: int) -> Cells:
    """A row of ``PLANS``."""
    return {
        "experiment": plan.name,
        "plan": plan_fingerprint(plan),
        "question": plan.question,
        "registered_on": None if plan.registered_on is None else date_of(plan.registered_on),
        "first_seen_on": date_of(today),
        "arms": ", ".join(f"{a.name} {a.share:g}" for a in plan.arms),
        "metrics": ", ".join(f"{m.name} ({m.part.value})" for m in plan.metrics),
        "stop": plan.stop.method,
        "alpha": plan.alpha,
        "plan_text": plan_text(plan),
    }


def look_row(card: Scorecard, *, today: int, code_version: str) -> Cells:
    """A row of ``LOOKS``. ``was_read`` is false where the stop rule showed no effects: such a look spends no error."""
    return {
        **_of_look(card, today=today, code_version=code_version),
        "was_read": bool(card.rows),
        "method": card.method,
        "because": " ".join(card.verdict.because),
    }


def result_rows(card: Scorecard, *, today: int, code_version: str) -> list[Cells]:
    """Rows of ``RESULTS``, one for each metric and arm."""
    look = _of_look(card, today=today, code_version=code_version)
    return [{**look, **_of_row(row)} for row in card.rows]


def _of_look(card: Scorecard, *, today: int, code_version: str) -> Cells:
    n_users, planned = sum(n for _, n in card.arms), card.plan.stop.n_users
    return {
        "experiment": card.plan.name,
        "plan": plan_fingerprint(card.plan),
        "looked_on": date_of(today),
        "n_users": n_users,
        "share": n_users / planned if planned else None,
        "sample_ratio_p": next((c.p_value for c in card.checks if c.name == "sample_ratio"), None),
        "trusted": not any(f.severity is Severity.BLOCK for c in card.checks for f in c.findings),
        "stance": card.verdict.stance.value,
        "code_version": code_version,
    }


_PLAIN = (
    "arm", "control", "outcome", "n_control", "n_arm", "value_control", "value_arm", "difference", "std_error", "low",
    "high", "level", "relative", "rel_low", "rel_high", "p_value", "p_adjusted", "method",
)  # fmt: skip


def _of_row(row: Row) -> Cells:
    metric = row.metric
    return {
        "metric": metric.name,
        "part": metric.part.value,
        "kind": metric.kind,
        "better": metric.better.value,
        "unit": metric.unit,
        "refused": None if row.refused is None else row.refused.code,
        **{name: getattr(row, name) for name in _PLAIN},
    }
