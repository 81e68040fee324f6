"""The record of experiments: a folder of plain Parquet tables that anything reads, and that earlier looks come back from.

A look exists when ``looks.parquet`` has it, which is written last: a kill at any moment leaves the last complete
state readable, and what stands without its look is left out and written anew.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from headwater import __version__
from headwater.core.block import Block, Field, Form, Grid, Prose
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.effects.memory import (
    AFTERWARDS,
    LOOKS,
    PLANS,
    RESULTS,
    Cells,
    look_row,
    plan_fingerprint,
    plan_row,
    result_rows,
)
from headwater.effects.plan import Plan
from headwater.effects.scorecard import Scorecard
from headwater.export._atomic import replacing

__all__ = ["Record", "changed_plan", "looks_of", "note_afterwards", "recorded", "remember", "results"]

_TABLES = {
    "plans": PLANS,
    "results": RESULTS,
    "afterwards": AFTERWARDS,
    "looks": LOOKS,
}  # in order of writing
_LOOK = ("experiment", "plan", "looked_on", "n_users")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Record(Shown):
    """What a folder remembers; each table is a list of rows, oldest first."""

    plans: list[dict[str, Any]]
    looks: list[dict[str, Any]]
    results: list[dict[str, Any]]
    afterwards: list[dict[str, Any]]

    def blocks(self) -> tuple[Block, ...]:
        """How many there are, and the last look of each experiment."""
        last = {look["experiment"]: look for look in self.looks}
        after = {row["experiment"]: row for row in self.afterwards}
        fields = (
            Field(name="experiment", label="Experiment"),
            Field(name="looked_on", label="Last look"),
            Field(name="n_looks", label="Looks", form=Form.INTEGER),
            Field(name="n_users", label="Users", form=Form.INTEGER),
            Field(name="share", label="Of the plan", form=Form.SHARE),
            Field(name="stance", label="Verdict"),
            Field(name="trusted", label="Trusted"),
            Field(name="shipped", label="Shipped"),
            Field(name="because", label="Because"),
        )
        rows = [
            (
                name, look["looked_on"].isoformat(), sum(x["experiment"] == name for x in self.looks), look["n_users"],
                look["share"], look["stance"], "yes" if look["trusted"] else "no", _shipped(after.get(name)), look["because"],
            )
            for name, look in last.items()
        ]  # fmt: skip
        told = f"{len(last)} experiments, {len(self.looks)} looks, {len(self.results)} results."
        return Prose(text=told, lead=True), Grid.of("experiments", "Experiments", fields, rows)


def _shipped(after: dict[str, Any] | None) -> str:
    return "" if after is None or after["shipped"] is None else "yes" if after["shipped"] else "no"


def remember(card: Scorecard, folder: Path, *, today: int) -> None:
    """Add a look and its results; the same look of the same plan takes the place of its former self.

    Raises ``DataError`` (``record.unreadable``) before anything is changed.
    """
    look = look_row(card, today=today, code_version=__version__)
    rows = result_rows(card, today=today, code_version=__version__)

    def added(old: Record) -> Record:
        known = {p["plan"] for p in old.plans}
        plan = plan_row(card.plan, today=today)
        return Record(
            plans=[*old.plans, *([dict(plan)] if plan["plan"] not in known else [])],
            looks=[*_others(old.looks, look), dict(look)],
            results=[*_others(old.results, look), *map(dict, rows)],
            afterwards=old.afterwards,
        )

    _change(folder, added)


def note_afterwards(
    folder: Path,
    experiment: str,
    *,
    today: int,
    arm: str = "",
    shipped: bool | None = None,
    metric: str | None = None,
    read_out: tuple[float, float, float] | None = None,
    note: str = "",
) -> None:
    """What happened later: whether an arm was shipped, and what a holdout said.

    ``read_out`` is the relative effect of ``metric`` in a later holdout with its low and high bounds.
    """
    relative, low, high = read_out or (None, None, None)
    row = {
        "experiment": experiment, "arm": arm, "noted_on": date_of(today), "shipped": shipped, "metric": metric,
        "relative": relative, "rel_low": low, "rel_high": high, "note": note,
    }  # fmt: skip

    def added(old: Record) -> Record:
        return Record(
            plans=old.plans, looks=old.looks, results=old.results, afterwards=[*old.afterwards, row]
        )

    _change(folder, added)


def recorded(folder: Path) -> Record:
    """All that is remembered; empty where nothing was yet. Results whose look was never completed are left out."""
    tables = {name: _read(folder / f"{name}.parquet", schema) for name, schema in _TABLES.items()}
    complete = {_key(look) for look in tables["looks"]}
    results = [r for r in tables["results"] if _key(r) in complete]
    return Record(**(tables | {"results": results}))


def results(folder: Path) -> pa.Table:
    """The results of all looks, one row for each metric and arm."""
    return pa.Table.from_pylist(recorded(folder).results, schema=RESULTS)


def looks_of(folder: Path, plan: Plan, *, n_users: int) -> tuple[float, ...]:
    """Shares of the planned users at earlier looks at effects, for the stop rule; empty where the plan names none.

    Looks that had as many users as now are this one, read again.
    """
    planned = plan.stop.n_users
    looks = [x for x in recorded(folder).looks if x["experiment"] == plan.name and x["was_read"]]
    return tuple(sorted({x["n_users"] / planned for x in looks if x["n_users"] < n_users})) if planned else ()


def changed_plan(folder: Path, plan: Plan) -> tuple[Finding, ...]:
    """A warning where an earlier look was held to another plan that had been written down."""
    mine = plan_fingerprint(plan)
    before = [
        p for p in recorded(folder).plans
        if p["experiment"] == plan.name and p["registered_on"] is not None and p["plan"] != mine
    ]  # fmt: skip
    if not before:
        return ()
    first = before[0]
    return (
        Finding(
            code="record.plan_changed",
            severity=Severity.WARN,
            what=f"The plan of {plan.name} is not the one it was held to on {first['first_seen_on']}: then {first['metrics']}, alpha {first['alpha']:g}, stop rule {first['stop']}.",
            why="A plan that changes after a look at the data can be chosen by what the data said; its error rates no longer hold.",
            do="Go back to the first plan, or give the new question a name and users of its own. The record keeps both plans.",
        ),
    )


def _others(rows: Iterable[dict[str, Any]], look: Cells) -> list[dict[str, Any]]:
    return [r for r in rows if _key(r) != _key(look)]


def _key(row: Cells) -> tuple[Any, ...]:
    return tuple(row[name] for name in _LOOK)


def _change(folder: Path, change: Callable[[Record], Record]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        new = change(recorded(folder))
        for name, schema in _TABLES.items():
            rows: Sequence[dict[str, Any]] = getattr(new, name)
            if rows or (folder / f"{name}.parquet").exists():
                with replacing(folder / f"{name}.parquet") as draft:
                    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), draft)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Wait for whoever else is writing."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        table = parquet.ParquetFile(path).read()
        strange = set(table.column_names) ^ set(schema.names)
        if not strange:
            return table.cast(schema).to_pylist()
        told = f"its columns differ by {', '.join(sorted(strange))}"
    except (OSError, pa.ArrowException) as error:
        told = str(error).splitlines()[0]
    raise DataError(
        "record.unreadable",
        what=f"{path} cannot be read as part of a record of experiments: {told}.",
        why="Writing anew what could not be read would lose what it remembers; nothing was written.",
        do="Name another folder with --record, or bring the file back from a copy.",
    )
