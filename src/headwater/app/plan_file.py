"""A plan written as the file that an analysis is held to, with the day it was written on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit

from headwater.core.errors import UsageError
from headwater.core.span import date_of
from headwater.effects.metric import Better, Metric
from headwater.effects.plan import Plan

__all__ = ["plan_text", "write_plan"]


def write_plan(plan: Plan, path: Path, *, because: str = "") -> Path:
    """Write a plan file; a plan that is there stays as it is, because it may be what an experiment is held to.

    Raises
    ------
    UsageError
        ``design.plan_is_there``.
    """
    if path.exists():
        raise UsageError(
            "design.plan_is_there",
            what=f"There is a plan at '{path}'.",
            why="A plan that changes after the experiment began protects nothing.",
            do="Write to another file, or delete it if the experiment has not begun.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plan_text(plan, because=because), encoding="utf-8")
    return path


def plan_text(plan: Plan, *, because: str = "") -> str:
    """The TOML of a plan, as ``read_plan`` reads it; ``because`` stands above it."""
    document = tomlkit.document()
    for line in because.splitlines():
        document.add(tomlkit.comment(line))
    document["experiment"] = _without_none(
        {
            "name": plan.name,
            "question": plan.question,
            "registered_on": None if plan.registered_on is None else date_of(plan.registered_on),
            "arms": {a.name: a.share for a in plan.arms},
            "alpha": plan.alpha,
            "power": plan.power,
            "correction": plan.correction,
            "window": None if plan.window_days is None else f"{plan.window_days}d",
            "stop": _stop(plan),
            "metrics": {m.name: _metric(m) for m in plan.metrics},
        }
    )
    return tomlkit.dumps(document)


def _stop(plan: Plan) -> dict[str, Any]:
    stop = plan.stop
    return _without_none(
        {
            "method": stop.method,
            "ends_on": None if stop.ends_on is None else date_of(stop.ends_on),
            "n_users": stop.n_users,
            "looks": list(stop.looks) or None,
            "spending": stop.spending if stop.method == "group_sequential" else None,
        }
    )


def _metric(metric: Metric) -> dict[str, Any]:
    return _without_none(
        {
            "outcome": metric.outcome,
            "kind": metric.kind,
            "over": metric.over,
            "share": metric.share,
            "covariates": list(metric.covariates) or None,
            "days": None if metric.days is None else list(dict.fromkeys(metric.days)),
            "winsorize": metric.winsorize,
            "part": metric.part.value,
            "better": metric.better.value if metric.better is Better.LOWER else None,
            "margin": metric.margin,
            "unit": metric.unit or None,
        }
    )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}
