"""The same project on two engines, step by step: each table's digest on its own engine, and where digests differ, which rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.app.config import Settings
from headwater.app.plan import jobs_of, learning_cutoffs, origins_of
from headwater.contracts.check import check
from headwater.core.contract import Contract, Events
from headwater.core.errors import DataError
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import date_of
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import Sql, commas, name, shim, sql
from headwater.ledgers.build import build_ledger
from headwater.models.ltv import LTV_MODELS
from headwater.snapshots.build import build_snapshot

__all__ = ["TOLERANCE", "StepComparison", "compare_tables", "table_digest", "verify_engines"]

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class StepComparison:
    """One table made by two engines.

    ``n_differing`` counts rows that are on one side only or differ in a column; ``columns`` names those
    that differ (counts, sums, days, ids and text exactly, doubles by more than ``TOLERANCE`` of their size).
    """

    step: str
    n_rows: tuple[int, int]
    n_differing: int
    columns: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both engines made the same rows."""
        return self.n_differing == 0


def verify_engines(
    engines: tuple[Engine, Engine],
    settings: Settings,
    contract: Contract,
    *,
    root: Path,
    scratch: Path,
    skip: Sequence[Path] = (),
) -> Iterator[StepComparison]:
    """Run the steps of a project on two engines, each in a folder of its own under ``scratch``; yields as it goes.

    The steps: the kept rows and the quarantine, the ledger with its users and their first hours, and for
    each ``[[predict]]`` the snapshots that a fit today and a backtest read.
    """
    one, other = engines
    checked = {e.name: _checked(e, contract, root, scratch, skip) for e in engines}
    for part in ("events", "quarantine"):
        yield _compared(one, other, f"check: {part}", {n: getattr(v, part) for n, v in checked.items()}, ())
    ledgers = {e.name: build_ledger(e, checked[e.name], folder=scratch / e.name / "ledger") for e in engines}
    for part, keys in _LEDGER.items():
        yield _compared(
            one, other, f"ledger: {part}", {n: getattr(v, part) for n, v in ledgers.items()}, keys
        )
    for label, wanted in _snapshots(settings, ledgers[one.name]):
        made = {e.name: wanted.build(e, ledgers[e.name], scratch / e.name / label) for e in engines}
        rows = {n: v.rows for n, v in made.items()}
        yield _compared(one, other, f"snapshot: {label}", rows, ("user_id", "cutoff"))


_LEDGER: dict[str, tuple[str, ...]] = {
    "days": ("user_id", "app_day", "known_day"),
    "users": ("user_id",),
    "user_hours": ("user_id", "hour"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A snapshot that a job reads."""

    cutoffs: tuple[int, ...]
    horizon: int
    as_of: int | None

    def build(self, engine: Engine, ledger: Ledger, folder: Path) -> Snapshot:
        return build_snapshot(
            engine, ledger, cutoffs=self.cutoffs, horizons=(self.horizon,), folder=folder, as_of=self.as_of
        )


def _snapshots(settings: Settings, ledger: Ledger) -> Iterator[tuple[str, _Wanted]]:
    for job in jobs_of(settings.predict, ledger, LTV_MODELS.names()):
        horizon, every = job.task.horizon_days, job.every_days
        try:
            past = origins_of(ledger, horizon_days=horizon, every_days=every, n_origins=job.n_origins)
        except DataError:
            past = ()
        for origin in (ledger.end_day, *past):
            cutoffs = learning_cutoffs(ledger, origin=origin, horizon_days=horizon, every_days=every)
            as_of = None if origin == ledger.end_day else origin
            yield f"{job.name} at {date_of(origin)}", _Wanted(cutoffs=cutoffs, horizon=horizon, as_of=as_of)


def _checked(engine: Engine, contract: Contract, root: Path, scratch: Path, skip: Sequence[Path]) -> Events:
    folder = scratch / engine.name / "check"
    return check(engine, contract, root=root, folder=folder, source_fingerprint="verify", skip=skip)


def _compared(
    one: Engine, other: Engine, step: str, tables: Mapping[str, Table], keys: tuple[str, ...]
) -> StepComparison:
    a, b = tables[one.name], tables[other.name]
    if table_digest(one, a) == table_digest(other, b):
        return StepComparison(step=step, n_rows=(a.n_rows, b.n_rows), n_differing=0, columns=())
    n_differing, columns = compare_tables(one.reader, a, b, keys=keys)
    return StepComparison(step=step, n_rows=(a.n_rows, b.n_rows), n_differing=n_differing, columns=columns)


def table_digest(engine: Engine, table: Table) -> tuple[int, int]:
    """The number of rows, and the sum of their md5 digests: the same on every engine for the same rows.

    A double counts with six decimals, so that the last bits of a division do not show.
    """
    text = sql("concat_ws(chr(31), {c})", c=commas([_text(c) for c in table.columns]))
    row = engine.one(
        sql(
            "SELECT count(*), coalesce(sum(CAST({d} AS DECIMAL(38, 0))), 0) FROM {s} t",
            d=shim("digest", text),
            s=table_scan(table),
        )
    )
    return int(row[0]), int(row[1])


def compare_tables(
    reader: Engine, a: Table, b: Table, *, keys: Sequence[str] = ()
) -> tuple[int, tuple[str, ...]]:
    """How many rows differ, and in which columns; rows are matched by ``keys``, or as wholes where there are none."""
    exact = [c.name for c in a.columns if c.kind is not Kind.NUMBER]
    matched = list(keys) or exact
    counts = [
        sql("count(CASE WHEN {d} THEN 1 END) AS {n}", d=_differs(c), n=name(c.name))
        for c in a.columns
        if c.name not in matched
    ]
    lonely = sql("x.there IS NULL OR y.there IS NULL")
    any_of = [_differs(c) for c in a.columns if c.name not in matched]
    differs = lonely
    for one in any_of:
        differs = sql("{a} OR {b}", a=differs, b=one)
    row = reader.one(
        sql(
            "SELECT count(CASE WHEN {differs} THEN 1 END), count(CASE WHEN {lonely} THEN 1 END), {counts} FROM {x} x FULL JOIN {y} y ON {on}",
            differs=differs,
            lonely=lonely,
            counts=commas(counts) if counts else sql("0"),
            x=_numbered(a, matched),
            y=_numbered(b, matched),
            on=_on(matched),
        )
    )
    found = dict(zip((c.name for c in a.columns if c.name not in matched), row[2:], strict=False))
    rows = ("which rows there are",) if row[1] else ()
    return int(row[0]), (*rows, *(c for c, n in found.items() if n))


def _text(column: Column) -> Sql:
    value = name(column.name)
    if column.kind is Kind.NUMBER:
        value = sql("TRY_CAST({v} AS DECIMAL(38, 6))", v=value)
    return sql("coalesce(CAST({v} AS STRING), {none})", v=value, none="~")


def _differs(column: Column) -> Sql:
    """Whether two matched rows differ in a column."""
    x, y = sql("x.{c}", c=name(column.name)), sql("y.{c}", c=name(column.name))
    both = sql("x.there IS NOT NULL AND y.there IS NOT NULL")
    if column.kind is not Kind.NUMBER:
        return sql("({both} AND {x} IS DISTINCT FROM {y})", both=both, x=x, y=y)
    far = sql("abs({x} - {y}) > {t} * greatest(abs({x}), abs({y}))", x=x, y=y, t=TOLERANCE)
    return sql(
        "({both} AND (({x} IS NULL) <> ({y} IS NULL) OR coalesce({far}, FALSE)))",
        both=both,
        x=x,
        y=y,
        far=far,
    )


def _numbered(table: Table, matched: Sequence[str]) -> Sql:
    """The rows with a number among those that match alike, so that repeated rows are matched one to one."""
    rest = [name(c.name) for c in table.columns if c.name not in matched] or [sql("1")]
    return sql(
        "(SELECT t.*, 1 AS there, row_number() OVER (PARTITION BY {k} ORDER BY {r}) AS copy FROM {s} t)",
        k=commas([name(m) for m in matched]),
        r=commas(rest),
        s=table_scan(table),
    )


def _on(matched: Sequence[str]) -> Sql:
    on = sql("x.copy = y.copy")
    for m in matched:
        on = sql("{on} AND x.{m} IS NOT DISTINCT FROM y.{m}", on=on, m=name(m))
    return on
