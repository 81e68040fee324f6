"""Headwater: from a raw event log to a decision that can be defended.

The road in a dozen functions::

    import headwater as hw

    events = hw.check(hw.read("headwater.toml"))
    ledger = hw.ledger(events)
    proof = hw.backtest(["rate_so_far", "bg_nbd", "lightgbm_hurdle"], ledger, target="revenue", horizon="90d")
    users = hw.snapshot(ledger, cutoff="2011-09-11", horizons=["90d"])
    values = hw.forecast(hw.fit(proof.choice, users, target="revenue", horizon="90d"), users)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.app.answers import add_up, curves, newcomers, value
    from headwater.app.design_file import design
    from headwater.app.experiment_file import estimate
    from headwater.app.reasons import changes, drivers, tune, user_drivers
    from headwater.app.road import (
        agree,
        backtest,
        check,
        decide,
        fit,
        forecast,
        ledger,
        profile,
        read,
        snapshot,
        write,
    )
    from headwater.app.scoring import score_on_spark

__all__ = [
    "__version__",
    "add_up",
    "agree",
    "backtest",
    "changes",
    "check",
    "curves",
    "decide",
    "design",
    "drivers",
    "estimate",
    "fit",
    "forecast",
    "ledger",
    "newcomers",
    "profile",
    "read",
    "score_on_spark",
    "snapshot",
    "tune",
    "user_drivers",
    "value",
    "write",
]

__version__ = "0.1.0"
_ELSEWHERE = {
    "add_up": "answers",
    "changes": "reasons",
    "curves": "answers",
    "design": "design_file",
    "drivers": "reasons",
    "estimate": "experiment_file",
    "newcomers": "answers",
    "score_on_spark": "scoring",
    "tune": "reasons",
    "user_drivers": "reasons",
    "value": "answers",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"headwater.app.{_ELSEWHERE.get(name, 'road')}"), name)
    raise AttributeError(f"module 'headwater' has no attribute '{name}'")
