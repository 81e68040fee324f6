"""The gate for sources beside the events: the same plan, query and quarantine, for users, costs, rates and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from headwater.contracts.currency import RATE_USED, Rates, hold_rates, in_app_currency
from headwater.contracts.duplicates import mark_duplicates
from headwater.contracts.kinds import output_columns, part_name, plan_source
from headwater.contracts.neighbors import hold_lookups, mark_neighbors
from headwater.contracts.parts import write_part
from headwater.contracts.plan import QUARANTINE, CheckPlan
from headwater.contracts.query import checked_query
from headwater.contracts.results import failed_gates, rule_results
from headwater.core.contract import App, Contract, RuleResult, Source
from headwater.core.errors import ConfigError, GateError
from headwater.core.finding import Finding, Severity
from headwater.core.sources import OtherSource, Sourced
from headwater.core.table import Column, Kind, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sources import (
    SiftedFiles,
    check_broken_files,
    find_files,
    open_relation,
    read_sifted,
)
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["check_source", "require_source_gate"]

_ORIGINAL = "part amount as it came"


def check_source(
    engine: Engine,
    source: OtherSource,
    *,
    app: App,
    root: Path,
    folder: Path,
    source_fingerprint: str,
    files: Sequence[Path] | None = None,
    rates: Rates | None = None,
) -> Sourced:
    """Check one source beside the events and write its ``rows`` and ``quarantine`` under ``folder``.

    Parameters
    ----------
    files
        The files to read where the source was landed; without them those at ``source.path`` under ``root``.
    rates
        Exchange rates, for a source whose amounts are not all in the app's currency.

    Raises
    ------
    ConfigError
        The source does not fit its files (``source.missing_part``, ``source.missing_column``), or its amounts
        are in other currencies and there are no rates (``currency.no_source``).
    SourceError
        The files cannot be read.
    """
    checked = partial(
        _checked,
        engine,
        source,
        app=app,
        root=root,
        folder=folder,
        source_fingerprint=source_fingerprint,
        rates=rates,
    )
    return read_sifted(
        engine,
        tuple(files) if files is not None else find_files(root / source.path),
        checked,
        delimiter=source.delimiter,
        encoding=source.encoding,
        max_broken_files=source.max_broken_files,
    )


def _checked(
    engine: Engine,
    source: OtherSource,
    sifted: SiftedFiles,
    *,
    app: App,
    root: Path,
    folder: Path,
    source_fingerprint: str,
    rates: Rates | None,
) -> Sourced:
    relation = open_relation(engine, sifted.files, delimiter=source.delimiter, encoding=source.encoding)
    plan = _priced(engine, source, plan_source(source, app, relation, root=root), app=app, rates=rates)
    hold_lookups(engine, plan)
    plan = mark_neighbors(engine, mark_duplicates(engine, plan))
    contract = _as_contract(source, app)
    part = write_part(engine, contract, plan, relation, sources=((source.path, source_fingerprint),), span=None, timeless=False, repeats="", folder=folder / "parts")  # fmt: skip
    columns = _columns(source, plan)
    rows = engine.write(_clean(columns, part.events), folder, table="rows", columns=[c for c, _ in columns])
    quarantine = replace(part.quarantine, columns=QUARANTINE)
    n_rows_in = rows.n_rows + quarantine.n_rows
    rules = rule_results(engine, contract, plan, quarantine, n_rows_in=n_rows_in)
    return Sourced(
        source=source,
        rows=rows,
        quarantine=quarantine,
        n_rows_in=n_rows_in,
        rules=rules,
        findings=(
            *check_broken_files(sifted.files, sifted.broken),
            *_quarantined(source, rules, rows, quarantine),
        ),
        source_fingerprint=source_fingerprint,
        sql=engine.text(checked_query(contract, plan)),
    )


def require_source_gate(checked: Sourced) -> None:
    """Raise ``GateError`` (``gate.failed``) where more rows break a rule, or are in quarantine, than the source allows."""
    failed = failed_gates(
        checked.rules,
        n_quarantine=checked.quarantine.n_rows,
        n_rows_in=checked.n_rows_in,
        max_share=checked.source.max_share,
    )
    if failed:
        raise GateError(
            "gate.failed",
            what=f"In the source '{checked.source.name}', {'; '.join(failed)}.",
            why="Numbers built on this load would be about another population.",
            do=f"Look at the quarantine ({checked.quarantine.files[0]}); correct the source, or raise max_share if the loss is understood.",
        )


def _as_contract(source: OtherSource, app: App) -> Contract:
    """What the shared query asks a contract: nothing but that the time is no text column of events."""
    given = Source(path=source.path, user="", at="", event_is=source.kind.value, at_format="epoch_us")
    return Contract(app=app, source=given, measures=(), rules=source.rules, max_share=source.max_share)


def _priced(
    engine: Engine, source: OtherSource, plan: CheckPlan, *, app: App, rates: Rates | None
) -> CheckPlan:
    """The plan with its amounts in the app's currency."""
    amount = part_name("amount")
    if "amount" not in source.columns:
        return plan
    if "currency" not in source.columns and source.currency_is in {None, app.currency}:
        return plan
    if rates is None:
        raise ConfigError(
            "currency.no_source",
            what=f"The amounts of '{source.name}' are in other currencies than {app.currency}, and there are no exchange rates.",
            why="Amounts of several currencies cannot be added.",
            do='Add a source of kind = "fx" with day, currency and rate.',
        )
    hold_rates(engine, rates, app=app)
    code = (
        name(part_name("currency"))
        if "currency" in source.columns
        else sql("{c}", c=source.currency_is or "")
    )
    return in_app_currency(
        plan, app=app, money=(amount,), currency=code, original={amount: _ORIGINAL}, rates=rates
    )


def _columns(source: OtherSource, plan: CheckPlan) -> tuple[tuple[Column, Sql], ...]:
    columns = output_columns(source, plan)
    if not plan.links:
        return columns
    return (
        *columns,
        (Column(name="amount_original", kind=Kind.MONEY, about="the amount as it came"), name(_ORIGINAL)),
        (
            Column(name=RATE_USED, kind=Kind.INTEGER, unit="10^-12", about="the exchange rate used"),
            name(RATE_USED),
        ),
    )


def _clean(columns: Sequence[tuple[Column, Sql]], checked: Table) -> Sql:
    cells = [sql("{v} AS {c}", v=value, c=name(column.name)) for column, value in columns]
    order = [sql("{c}", c=name(column.name)) for column, _ in columns]
    return sql(
        "SELECT {cells} FROM {s} s ORDER BY {order}",
        cells=commas(cells),
        s=table_scan(checked),
        order=commas(order),
    )


def _quarantined(
    source: OtherSource, rules: Sequence[RuleResult], rows: Table, quarantine: Table
) -> tuple[Finding, ...]:
    if quarantine.n_rows == 0:
        return ()
    n_in = rows.n_rows + quarantine.n_rows
    causes = ", ".join(
        f"{r.code} {r.n_rows:,}" for r in sorted(rules, key=lambda r: -r.n_rows)[:4] if r.n_rows
    )
    share = quarantine.n_rows / n_in
    return (
        Finding(
            code="quarantine.rows",
            severity=Severity.WARN if share > 0.01 else Severity.NOTE,
            what=f"In '{source.name}', {quarantine.n_rows:,} of {n_in:,} rows ({share:.1%}) are in quarantine: {causes}.",
            why="Every number below is about the rows kept; a row may break several rules, so the counts add to more.",
            do="Look at the quarantine table; if a rule is wrong, change it and run again.",
            numbers={"n_quarantined": quarantine.n_rows, "n_rows_in": n_in},
        ),
    )
