"""What ``--dry-run`` says: that nothing was done, which steps are up to date, which would run."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.app.cli.speak import Reply
from headwater.app.config import Settings
from headwater.app.study import Study
from headwater.app.watch import WouldRun

__all__ = ["rehearsed"]

_OF_A_TARGET = ("snapshot", "backtest", "fit", "forecast")
_DATA = ("check", "ledger", "audit")
_WHOLE = (*_DATA, *_OF_A_TARGET, "report")
_ROADS = {
    "check": ("check",),
    "ledger": ("check", "ledger"),
    "audit": _DATA,
    "leakage": ("check", "ledger", "leakage"),
    "snapshot": (*_DATA, "snapshot"),
    "backtest": (*_DATA, "snapshot", "backtest"),
    "fit": (*_DATA, "snapshot", "backtest", "fit"),
    "predict": (*_DATA, *_OF_A_TARGET),
}


def rehearsed(command: str, study: Study, first: WouldRun | None) -> Reply:
    """What a command would do; ``first`` is the first step that is not there, None where all are.

    What comes after the first step depends on its result, so the steps after it are named, not promised.
    """
    there = tuple(dict.fromkeys(label.split()[0] for label in study.steps))
    later = later_steps(command, study.settings, first.step, there) if first else ()
    data = {
        "dry_run": True,
        "first_step": str(first) if first else None,
        "step": first.step if first else None,
        "later_steps": list(later),
        "reused": sorted(there),
    }
    return Reply(text=_text(command, study, first, there, later), data=data)


def later_steps(command: str, settings: Settings, first: str, there: Sequence[str]) -> tuple[str, ...]:
    """The steps of a command that may have to run after the first: those behind it on the road that are not there.

    Each target and horizon walks the same steps, so where there are several the road turns back to them.
    """
    road = _ROADS.get(command, _WHOLE)
    begun = road.index(first) + 1 if first in road else 0
    several = sum(len(p.horizons) for p in settings.predict) > 1 and command not in _ROADS
    again = _OF_A_TARGET if first in _OF_A_TARGET else ()
    mine = [s for s in road if s in road[begun:] or s in again]
    behind = [s for s in mine if several or s not in {first, *there}]
    seen = first == "source" or "source" in there or len(settings.sources) == 1
    return tuple(behind) if seen or command in _ROADS else ("source", *behind)


def _text(
    command: str, study: Study, first: WouldRun | None, there: Sequence[str], later: Sequence[str]
) -> str:
    head = f"Dry run of 'headwater {command}': nothing was computed, and no result or report was written."
    lines = [head, f"  up to date, would be reused: {', '.join(there) or 'nothing yet'}"]
    if first is None:
        lines.append("Every step is there already: nothing would be computed.")
        if command not in _ROADS:
            folder = study.settings.deliver.folder
            lines.append(f"The report would be put into '{folder}' again where it is missing there.")
        return "\n".join(lines)
    lines.append(f"  would run first:             {first.step} ({first})")
    if later:
        lines += [
            f"  then, where needed:          {', '.join(later)}",
            "Which of the later steps are reused is known only when the one before them is done.",
        ]
    return "\n".join(lines)
