"""Commands about the data as a whole: profile, compare, infer, audit; and what ``check`` writes for machines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.app.cli.program import app
from headwater.app.cli.replies import check_reply
from headwater.app.cli.session import JsonLines, JUnit, Options, answer, in_workspace, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.cli.written import files_told, require_folder
from headwater.app.emit import check_rows, write_jsonl, write_junit
from headwater.app.rules_text import rules_text
from headwater.app.store import Store
from headwater.app.study import Study
from headwater.app.watch import WouldRun
from headwater.contracts.compare_loads import compare_loads
from headwater.contracts.infer import propose
from headwater.contracts.infer_rules import propose_rules
from headwater.contracts.profile import profile as profile_of
from headwater.contracts.shifts import LoadComparison
from headwater.core.audit import Audit
from headwater.core.block import Grid
from headwater.core.profile import Profile
from headwater.core.show import Shown
from headwater.engine.duckdb import DuckDB

__all__ = ["audit", "checked", "compare", "infer", "profile"]

Data = Annotated[Path, typer.Argument(help="A file, folder or glob: CSV, TSV, JSON lines, Parquet, Excel.")]


@app.command()
@with_options
def profile(options: Options, data: Data) -> None:
    """What is in this file: every column, suspicious things first. No settings are needed."""
    answer(options, "profile", lambda: _profile(options, data))


@app.command()
@with_options
def compare(
    options: Options,
    now: Annotated[Path, typer.Argument(help="The load now: a file, folder or glob.")],
    last: Annotated[Path, typer.Argument(help="An earlier load.")],
    at: Annotated[str | None, typer.Option(help="The time column, where it cannot be found.")] = None,
) -> None:
    """Two loads side by side: columns, new values, restated days, distributions that moved."""
    answer(options, "compare", lambda: comparison_reply(compare_loads(_engine(options), now, last, at=at)))


@app.command()
@with_options
def infer(
    options: Options,
    data: Data,
    user: Annotated[str | None, typer.Option(help="The user column, where it cannot be found.")] = None,
    at: Annotated[str | None, typer.Option(help="The time column, where it cannot be found.")] = None,
) -> None:
    """Propose rules for data, each with its evidence; nothing is written."""
    answer(options, "infer", lambda: _infer(options, data, user=user, at=at))


@app.command()
@with_options
def audit(
    options: Options,
    jsonl: JsonLines = None,
    junit: JUnit = None,
) -> None:
    """What the alarms say of the load as a whole: volume, mix, holes, bots and more. Nothing is deleted."""
    in_workspace(options, "audit", lambda study: _audited(study, jsonl=jsonl, junit=junit))


def _audited(study: Study, *, jsonl: Path | None, junit: Path | None) -> Reply:
    _require_folders(jsonl=jsonl, junit=junit)
    found = study.audit()
    if not study.rehearsal:
        _written(check_rows(study.events(gate=False), found), jsonl=jsonl, junit=junit)
    return audit_reply(found)


def _require_folders(*, jsonl: Path | None, junit: Path | None) -> None:
    require_folder(jsonl, "--jsonl")
    require_folder(junit, "--junit")


def _written(rows: Sequence[dict[str, Any]], *, jsonl: Path | None, junit: Path | None) -> None:
    if jsonl is not None:
        write_jsonl(rows, jsonl)
    if junit is not None:
        write_junit(rows, junit)


def checked(study: Study, *, against: Path | None, jsonl: Path | None, junit: Path | None) -> Reply:
    """The reply of ``check``: files for machines are written first, even where the gate then refuses the load."""
    _require_folders(jsonl=jsonl, junit=junit)
    rows = check_rows(study.events(gate=False))
    if not study.rehearsal:
        _written(rows, jsonl=jsonl, junit=junit)
    reply = check_reply(study)
    if against is None:
        return reply
    if study.rehearsal:
        raise WouldRun(f"comparing with '{against.name}'", step="compare")
    more = comparison_reply(_against(study, against))
    return Reply(text=f"{reply.text}\n\n{more.text}", data={**reply.data, "against": more.data})


def comparison_reply(found: LoadComparison) -> Reply:
    """What two loads differ in."""
    data = {
        "n_rows_now": found.n_rows_now,
        "n_rows_last": found.n_rows_last,
        "added": list(found.added),
        "gone": list(found.gone),
        "renamed": [{"gone": r.gone, "new": r.new, "same": r.same} for r in found.renamed],
        "retyped": [list(r) for r in found.retyped],
        "new_values": [{"column": v.column, "value": v.value, "n_rows": v.n_rows, "share": v.share, "first_day": v.first_day} for v in found.new_values],
        "restated": [{"day": d.day, "n_now": d.n_now, "n_last": d.n_last} for d in found.restated],
        "shifts": [{"column": s.column, "psi": s.psi, "p_value": s.p_value} for s in found.shifts],
        "findings": [finding_data(f) for f in found.findings],
    }  # fmt: skip
    head = f"{found.n_rows_now:,} rows now, {found.n_rows_last:,} in the load before ({found.n_rows_now - found.n_rows_last:+,})."
    return Reply(
        text="\n".join([head, *(finding_line(f) for f in found.findings), "", _grids(found)]), data=data
    )


def audit_reply(found: Audit) -> Reply:
    """What the alarms say."""
    data = {
        "alarms": [
            {"alarm": a.alarm, "n_tests": a.n_tests, "level": a.level, "n_flagged": a.n_flagged, "flags_are": a.flags_are, "n_findings": a.n_findings, "skipped": a.skipped}
            for a in found.alarms
        ],
        "findings": [finding_data(f) for f in found.findings],
        "holes": [
            {"first_us": h.first_us, "end_us": h.end_us, "hours": h.hours, "span": h.span(found.time_zone), "dimension": h.dimension, "value": h.value}
            for h in found.holes
        ],
        "metrics": list(found.metrics.files),
        "false_alarms": found.false_alarms,
        "n_scans": found.n_scans,
    }  # fmt: skip
    text = [
        *(finding_line(f) for f in found.findings),
        "",
        _grids(found),
        "",
        *files_told("metrics by day", found.metrics.files),
    ]
    return Reply(text="\n".join(text), data=data)


def _profile(options: Options, data: Path) -> Reply:
    found = profile_of(_engine(options), data)
    return Reply(text=_profile_text(found), data=_profile_data(found))


def _profile_text(found: Profile) -> str:
    head = f"{found.n_rows:,} rows, {len(found.columns)} columns, {found.format}. Top values and shapes are of the first {found.n_looked:,} rows; numbers of different values are approximate."
    return "\n".join([head, "", *(finding_line(f) for f in found.findings), _grids(found)])


def _profile_data(found: Profile) -> dict[str, Any]:
    columns = [
        {
            "column": c.column, "type": c.engine_type, "reads_as": c.reads_as, "n_filled": c.n_filled, "n_distinct": c.n_distinct,
            "least": c.least, "largest": c.largest, "quantiles": list(c.quantiles), "top": [list(t) for t in c.top], "suspicions": list(c.suspicions),
        }
        for c in found.columns
    ]  # fmt: skip
    return {
        "path": found.path, "format": found.format, "n_files": found.n_files, "n_rows": found.n_rows, "n_looked": found.n_looked,
        "columns": columns, "findings": [finding_data(f) for f in found.findings],
    }  # fmt: skip


def _infer(options: Options, data: Path, *, user: str | None, at: str | None) -> Reply:
    engine = _engine(options)
    proposal = propose(engine, data, user=user, at=at, today=date.today())
    found = propose_rules(engine, data, proposal, today=date.today())
    text = rules_text(found)
    rules = [
        {"rule": spec.rule, "columns": list(spec.columns), "settings": dict(spec.settings), "max_share": spec.max_share, "evidence": why}
        for spec, why in found.rules
    ]  # fmt: skip
    repairs = [
        {"repair": spec.repair, "columns": list(spec.columns), "values": {k: list(v) for k, v in spec.aliases.items()}, "evidence": why}
        for spec, why in found.repairs
    ]  # fmt: skip
    known = {"column": found.known_at[0], "evidence": found.known_at[1]} if found.known_at else None
    counts = {
        "n_rows": found.n_rows,
        "n_broken": found.n_broken,
        "known_at": known,
        "findings": [finding_data(f) for f in found.findings],
    }
    return Reply(text=text, data={**counts, "repairs": repairs, "rules": rules, "not_proposed": list(found.dropped), "text": text})  # fmt: skip


def _against(study: Study, last: Path) -> LoadComparison:
    source = study.contract.source
    return compare_loads(
        _engine_of(study), study.root / source.path, last, at=source.at, at_format=source.at_format, delimiter=source.delimiter,
        encoding=source.encoding,
    )  # fmt: skip


def _engine_of(study: Study) -> DuckDB:
    """An engine for raw files, whatever runs the steps."""
    return DuckDB(threads=study.engine.threads, memory=study.engine.memory, spill=study.store.spill)


def _engine(options: Options) -> DuckDB:
    spill = Store(options.root).spill
    return DuckDB(threads=options.threads or 2, memory=options.memory or "1500MB", spill=spill)


def _grids(found: Shown) -> str:
    """Every grid with rows as text, under its title."""
    shown = [b for b in found.blocks() if isinstance(b, Grid) and b.n_rows]
    return "\n\n".join(f"{g.title}\n{grid_text(g)}" for g in shown)
