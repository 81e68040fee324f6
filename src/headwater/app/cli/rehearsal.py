"""What ``--dry-run`` says: that nothing was done, which steps are up to date, which would run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headwater.app.cli.speak import Reply
from headwater.app.config import Settings
from headwater.app.study import Study
from headwater.app.watch import WouldRun

__all__ = ["rehearsed"]

_OF_A_TARGET = ("snapshot", "backtest", "fit", "forecast", "agree", "trust", "why", "groups")
_FITTED = ("check", "ledger", "audit", "snapshot", "backtest", "fit")
_WHOLE = (
    "check",
    "ledger",
    "audit",
    *_OF_A_TARGET,
    "curves",
    "added_up",
    "age_snapshot",
    "newcomers",
    "value",
    "report",
)
_ADDED_UP = tuple(
    s for s in _WHOLE if s not in {"trust", "why", "groups", "age_snapshot", "newcomers", "value", "report"}
)


def rehearsed(command: str, study: Study, first: WouldRun | None, *, given: Collection[str]) -> Reply:
    """What a command would do; ``first`` is the first step that is not there, None where all are.

    What comes after the first step depends on its result, so the steps after it are named, not promised.
    ``given`` names the options of the command that were given.
    """
    there = tuple(dict.fromkeys(label.split()[0] for label in study.steps))
    road = road_of(command, given)
    later = later_steps(road, study.settings, first.step, there) if first else ()
    data = {
        "dry_run": True,
        "first_step": str(first) if first else None,
        "step": first.step if first else None,
        "later_steps": list(later),
        "reused": sorted(there),
    }
    text = _text(f"headwater {command}", first, there, later)
    if first is None and "report" in road:
        text += f"\nThe report would be put into '{study.settings.deliver.folder}' again where it is missing there."
    return Reply(text=text, data=data)


def road_of(command: str, given: Collection[str]) -> tuple[str, ...]:
    """The steps of a command in their order: the whole road as far as the step of that name, but for what options change."""
    short = {
        "check": ("check", "compare") if "against" in given else ("check",),
        "tune": ("check", "ledger", "audit", "snapshot", "tune"),
        "leakage": ("check", "ledger", "leakage"),
        "curves": _ADDED_UP if "add_up" in given else ("check", "ledger", "curves"),
        "newcomers": ("check", "ledger", "audit", "age_snapshot", "newcomers"),
        "value": ("check", "ledger", "audit", "snapshot", "fit", "value"),
    }
    match command:
        case _ if command in short:
            return short[command]
        case "drivers":
            return tuple(s for s in (*_FITTED, "why") if not (s == "backtest" and "model" in given))
        case "fit" | "changes":
            return tuple(s for s in _FITTED if not (s == "backtest" and "model" in given))
        case "predict":
            return _WHOLE[: _WHOLE.index("why")]
        case _:
            return _WHOLE[: _WHOLE.index(command) + 1] if command in _WHOLE else _WHOLE


def later_steps(road: Sequence[str], settings: Settings, first: str, there: Sequence[str]) -> tuple[str, ...]:
    """The steps of a road that may have to run after the first: those behind it that are not there.

    Each target and horizon walks the same steps, so where there are several the whole road turns back to them.
    """
    is_whole = "report" in road
    begun = road.index(first) + 1 if first in road else 0
    several = sum(len(p.horizons) for p in settings.predict) > 1 and is_whole
    again = _OF_A_TARGET if first in _OF_A_TARGET else ()
    alone = all(len(p.horizons) == 1 for p in settings.predict)
    left_out = {"agree"} if alone else set[str]()
    left_out |= {"value"} if is_whole and settings.value is None else set[str]()
    left_out |= {"age_snapshot", "newcomers"} if is_whole and settings.newcomers is None else set[str]()
    mine = [s for s in road if (s in road[begun:] or s in again) and s not in left_out]
    behind = [s for s in mine if several or s not in {first, *there}]
    seen = first == "source" or "source" in there or len(settings.sources) == 1
    return ("source", *behind) if is_whole and not seen else tuple(behind)


def _text(command: str, first: WouldRun | None, there: Sequence[str], later: Sequence[str]) -> str:
    head = f"Dry run of '{command}': nothing was computed, and no result or report was written."
    lines = [head, f"  up to date, would be reused: {', '.join(there) or 'nothing yet'}"]
    if first is None:
        return "\n".join([*lines, "Every step is there already: nothing would be computed."])
    lines.append(f"  would run first:             {first.step} ({first})")
    if later:
        lines += [
            f"  then, where needed:          {', '.join(later)}",
            "Which of the later steps are reused is known only when the one before them is done.",
        ]
    return "\n".join(lines)
