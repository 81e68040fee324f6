"""A world written as files: the log in months or days of receipt, the other sources, the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from headwater.core.errors import UsageError
from headwater.core.span import date_of
from headwater.engine.engine import Engine
from headwater.engine.sql import shim
from headwater.simulate.activity import as_logged, received_rows
from headwater.simulate.calendar import DAY_US, midnight_us, register_calendar
from headwater.simulate.faults import Faults, merge_fault_truth, write_fault_users, write_faulty
from headwater.simulate.files import write_rows
from headwater.simulate.outlook import register_outlook
from headwater.simulate.people import hold_people
from headwater.simulate.streams import costs, exchange_rates, user_streams
from headwater.simulate.truth import effects, trial_truth, user_truth
from headwater.simulate.world import APP_ZONE, World

__all__ = ["Period", "Simulated", "Told", "periods", "simulate"]

_STAMP = "simulated.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A month or day of receipt in the app's zone; ``end_us`` is exclusive and may be cut by ``until``."""

    label: str
    first_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What was written: files of this call, and the events in them."""

    folder: Path
    n_users: int
    n_events: int
    n_files: int
    n_kept: int
    until: str


class Told(Protocol):
    """Told which file is done, of how many."""

    def __call__(self, done: int, of: int) -> None:
        """Take note."""
        ...


def simulate(
    engine: Engine,
    world: World,
    *,
    folder: Path,
    by: str = "month",
    until_day: int | None = None,
    faults: Faults | None = None,
    told: Told | None = None,
) -> Simulated:
    """Write a world, or what is new of it, under ``folder``.

    Files of the log that are complete and there already are kept, so a later ``until_day`` (exclusive, an app
    day) appends; the same world gives the same rows whatever was written when. Raises ``UsageError``
    (``simulate.other_world``) where the folder holds another world.
    """
    until = min(until_day or world.end_day, world.end_day)
    cut = list(periods(world, by=by, until_day=until))
    earlier = _stamped(folder, world, by=by, faults=faults)
    register_calendar(engine, world)
    register_outlook(engine, world)
    folder.mkdir(parents=True, exist_ok=True)
    n_events = n_files = n_kept = 0
    for chunk_no, (first, end) in enumerate(world.chunks):
        hold_people(engine, world, first, end)
        _write_streams(engine, world, folder, chunk_no, until=until)
        if faults is not None:
            write_fault_users(engine, faults, folder, chunk_no)
        for no, period in enumerate(cut):
            path = folder / "events" / f"{period.label}-{chunk_no:05d}.parquet"
            if path.is_file() and period.end_us <= earlier:
                n_kept += 1
                continue
            n_events += _write_log(engine, world, path, period, folder=folder, faults=faults)
            n_files += 1
            if told is not None:
                told(chunk_no * len(cut) + no + 1, len(cut) * len(world.chunks))
    _write_world(engine, world, folder, until=until, faults=faults)
    _stamp(folder, world, by=by, faults=faults, until=until)
    return Simulated(folder=folder, n_users=world.n_users, n_events=n_events, n_files=n_files, n_kept=n_kept, until=date_of(until).isoformat())  # fmt: skip


def periods(world: World, *, by: str, until_day: int) -> Iterator[Period]:
    """The months or days of receipt from the world's first day to ``until_day``, exclusive."""
    if by not in {"day", "month"}:
        raise UsageError(
            "simulate.by",
            what=f"The log cannot be cut by '{by}'.",
            why="Nothing was written.",
            do="Give --by day or --by month.",
        )
    first = world.first_day
    while first < until_day:
        label = date_of(first).isoformat()[: 10 if by == "day" else 7]
        end = first + 1
        while by == "month" and date_of(end).isoformat()[:7] == label:
            end += 1
        begin = (first - 3) * DAY_US if first == world.first_day else midnight_us(first, APP_ZONE)
        yield Period(label=label, first_us=begin, end_us=midnight_us(min(end, until_day), APP_ZONE))
        first = end


def _write_log(
    engine: Engine, world: World, path: Path, period: Period, *, folder: Path, faults: Faults | None
) -> int:
    rows = received_rows(world, period.first_us, period.end_us)
    if faults is not None:
        return write_faulty(
            engine, world, faults, rows, path, folder=folder, period_us=(period.first_us, period.end_us)
        )
    return write_rows(engine, as_logged(rows), path)


def _write_streams(engine: Engine, world: World, folder: Path, chunk_no: int, *, until: int) -> None:
    part = f"part-{chunk_no:05d}.parquet"
    for stream, rows in user_streams(world, until_us=midnight_us(until, APP_ZONE)).items():
        write_rows(engine, rows, folder / stream / part)
    write_rows(engine, user_truth(), folder / "truth" / "users" / part)
    write_rows(engine, effects(world), folder / "truth" / "effects" / part)


def _write_world(engine: Engine, world: World, folder: Path, *, until: int, faults: Faults | None) -> None:
    write_rows(engine, costs(world, until_day=until), folder / "costs.parquet")
    write_rows(engine, exchange_rates(until_day=until), folder / "fx.parquet")
    parts = sorted(str(f) for f in (folder / "truth" / "effects").glob("*.parquet"))
    write_rows(engine, trial_truth(shim("scan", *parts)), folder / "truth" / "experiments.parquet")
    if faults is not None:
        merge_fault_truth(engine, world, faults, folder)


def _stamp_of(world: World, *, by: str, faults: Faults | None) -> dict[str, object]:
    return {"world": asdict(world), "by": by, "faults": dict(faults.shares) if faults else {}}


def _stamped(folder: Path, world: World, *, by: str, faults: Faults | None) -> int:
    """The instant up to which the folder holds this world; 0 where it holds none yet."""
    path = folder / _STAMP
    if not path.is_file():
        return 0
    there = json.loads(path.read_text(encoding="utf-8"))
    until_us = int(there.pop("until_us"))
    if there != json.loads(json.dumps(_stamp_of(world, by=by, faults=faults))):
        raise UsageError(
            "simulate.other_world",
            what=f"'{folder}' holds a world made with other settings: {json.dumps(there)}.",
            why="Days of two worlds in one log would belong to nobody.",
            do="Give another --to, or the same --users, --days, --from, --season, --seed, --by, --chunk and --faults.",
        )
    return until_us


def _stamp(folder: Path, world: World, *, by: str, faults: Faults | None, until: int) -> None:
    stamp = _stamp_of(world, by=by, faults=faults) | {"until_us": midnight_us(until, APP_ZONE)}
    draft = folder / f"{_STAMP}.part"
    draft.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / _STAMP)
