"""The same project on two engines, step by step, to the figures of the report; where they differ, which, and an example of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from headwater.app.config import Settings
from headwater.app.plan import learning_cutoffs, origins_of, rungs_of
from headwater.app.same_figures import compare_blocks, compare_documents
from headwater.app.same_tables import TOLERANCE, Difference, Example, compare_tables, table_digest
from headwater.app.story import tell
from headwater.app.study import Study
from headwater.contracts.check import check_gate
from headwater.core.contract import Events
from headwater.core.errors import DataError
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.core.table import Table
from headwater.engine.engine import Engine

__all__ = ["TOLERANCE", "StepComparison", "verify_engines"]

_LEDGER: dict[str, tuple[str, ...]] = {
    "days": ("user_id", "app_day", "known_day"),
    "users": ("user_id",),
    "user_hours": ("user_id", "hour", "known_hour"),
}
_AT_REST = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class StepComparison:
    """One table, or one page of the report, made by two engines.

    ``n_rows`` counts the rows (of a page: the figures) of each; ``n_differing`` those that are on one side
    only or differ in a column; ``columns`` names where, and ``examples`` shows a value of both for each.
    ``gap`` says what was left out of the comparison, and why.
    """

    step: str
    n_rows: tuple[int, int]
    n_differing: int
    columns: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    gap: str = ""
    counted: str = "rows"

    @property
    def equal(self) -> bool:
        """Whether both engines made the same."""
        return self.n_differing == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A project on two engines, each in a workspace of its own."""

    one: Study
    other: Study

    def tables(
        self,
        step: str,
        a: Table | None,
        b: Table | None,
        *,
        keys: Sequence[str] = (),
        gap: tuple[str, str] = ("", ""),
    ) -> StepComparison:
        """Compare a table of both; ``gap`` is a column left out, and why."""
        if a is None or b is None:
            return _lonely(step, a, b)
        n_rows = (a.n_rows, b.n_rows)
        if table_digest(self.one.engine, a) == table_digest(self.other.engine, b):
            return StepComparison(step=step, n_rows=n_rows, n_differing=0, columns=())
        column, why = gap
        found = compare_tables(self.one.engine.reader, a, b, keys=keys, without=[column] if column else [])
        return _step(step, n_rows, found, gap=why)

    def said(self, step: str, a: Shown, b: Shown) -> StepComparison:
        """Compare what both results say of themselves."""
        found = compare_blocks(step, a.blocks(), b.blocks())
        return _step(f"{step}: account", found.n_figures, found.found, counted="figures")


def verify_engines(
    engines: tuple[Engine, Engine],
    settings: Settings,
    *,
    root: Path,
    scratch: Path,
    today: date,
    report: bool = True,
) -> Iterator[StepComparison]:
    """Run a project on two engines, each in a workspace of its own under ``scratch``; yields as it goes.

    The kept rows, the quarantine and the log of repairs; the identity map; the other declared sources; the
    ledger with its users and their first hours; the audit's metrics; the snapshots that a fit today and a
    backtest read; and with ``report`` the whole run, page by page. Where the load fails its gate on both,
    that is the last step.
    """
    one, other = (Study(root, settings, today=today, engine=e, workspace=scratch / e.name) for e in engines)
    pair = _Pair(one=one, other=other)
    events = one.events(gate=False), other.events(gate=False)
    yield from _of_check(pair, *events)
    refused = [check_gate(e) for e in events]
    if any(refused):
        yield _said("the gate refuses the load", *("; ".join(r) for r in refused))
        return
    yield from _of_sources(pair)
    ledgers = one.ledger(), other.ledger()
    for part, keys in _LEDGER.items():
        yield pair.tables(f"ledger: {part}", *(getattr(x, part) for x in ledgers), keys=keys)
    metrics = ("day", "metric", "dimension", "value")
    yield pair.tables("audit: metrics", one.audit().metrics, other.audit().metrics, keys=metrics)
    yield pair.said("audit", one.audit(), other.audit())
    yield from _of_snapshots(pair)
    if report:
        yield from _of_report(pair)


def _of_check(pair: _Pair, one: Events, other: Events) -> Iterator[StepComparison]:
    yield pair.tables("check: events", one.events, other.events, keys=("user_id", "at_us", "event"))
    keys, gap = ("source_file", "source_row"), ("", "")
    if one.rows_are != other.rows_are and len({f for p in one.parts for f, _ in p.sources}) > 1:
        keys = ("source_file", "raw")
        gap = (
            "source_row",
            "source_row, which counts within each text file on Spark, over all files on DuckDB",
        )
    yield pair.tables("check: quarantine", one.quarantine, other.quarantine, keys=keys, gap=gap)
    yield pair.said("check", one, other)
    if one.repairs is not None or other.repairs is not None:
        yield pair.tables(
            "check: repairs", one.repairs, other.repairs, keys=("column_name", "from_value", "to_value")
        )
    if one.identity is not None and other.identity is not None:
        yield pair.tables(
            "check: identity", one.identity.rows, other.identity.rows, keys=("device_id", "login_id")
        )


def _of_sources(pair: _Pair) -> Iterator[StepComparison]:
    for a, b in zip(pair.one.sources(), pair.other.sources(), strict=True):
        label = f"source {a.source.name}"
        yield pair.tables(f"{label}: rows", a.rows, b.rows)
        yield pair.tables(
            f"{label}: quarantine", a.quarantine, b.quarantine, keys=("source_file", "source_row")
        )
        yield pair.said(label, a, b)


def _of_snapshots(pair: _Pair) -> Iterator[StepComparison]:
    for label, cutoffs, horizons, as_of in _wanted(pair.one):
        made = [s.snapshot(cutoffs=cutoffs, horizons=horizons, as_of=as_of) for s in (pair.one, pair.other)]
        yield pair.tables(f"snapshot: {label}", made[0].rows, made[1].rows, keys=("user_id", "cutoff"))


def _wanted(study: Study) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...], int | None]]:
    """The snapshots that jobs read: label, cutoffs, horizons, the day the ledger is cut at."""
    ledger, jobs = study.ledger(), study.jobs()
    if not jobs:
        yield f"at {date_of(ledger.end_day)}", (ledger.end_day,), (_AT_REST,), None
    for job in jobs:
        horizon, every = job.task.horizon_days, job.every_days
        try:
            past = origins_of(ledger, horizon_days=horizon, every_days=every, n_origins=job.n_origins)
        except DataError:
            past = ()
        for origin in (ledger.end_day, *past):
            cutoffs = learning_cutoffs(ledger, origin=origin, horizon_days=horizon, every_days=every)
            yield (
                f"{job.name} at {date_of(origin)}",
                cutoffs,
                rungs_of(horizon),
                None if origin == ledger.end_day else origin,
            )


def _of_report(pair: _Pair) -> Iterator[StepComparison]:
    for page in compare_documents(tell(pair.one).document, tell(pair.other).document):
        yield _step(f"report: {page.page}", page.n_figures, page.found, counted="figures")


def _step(
    step: str, n_rows: tuple[int, int], found: Difference, *, gap: str = "", counted: str = "rows"
) -> StepComparison:
    return StepComparison(
        step=step,
        n_rows=n_rows,
        n_differing=found.n_rows,
        columns=found.columns,
        examples=found.examples,
        gap=gap,
        counted=counted,
    )


def _lonely(step: str, a: Table | None, b: Table | None) -> StepComparison:
    n_rows = (a.n_rows if a else 0, b.n_rows if b else 0)
    return StepComparison(step=step, n_rows=n_rows, n_differing=max(1, *n_rows), columns=("the table",))


def _said(step: str, one: str, other: str) -> StepComparison:
    example = Example(column="refusal", where="", values=(one or "passes", other or "passes"))
    differs = one != other
    return StepComparison(
        step=step,
        n_rows=(1, 1),
        n_differing=int(differs),
        columns=("refusal",) if differs else (),
        examples=(example,) if differs else (),
        counted="gate",
    )
