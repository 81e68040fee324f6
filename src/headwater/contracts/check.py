"""The quality gate: read the source, keep what the contract allows, set the rest aside with its reasons.

A load is checked part by part (``contracts.parts``): files that did not change since an earlier load are not
read again, and the result is the same as if all were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from headwater.contracts.currency import Rates
from headwater.contracts.findings import check_result
from headwater.contracts.link import links_print
from headwater.contracts.links import join_links
from headwater.contracts.neighbors import hold_lookups
from headwater.contracts.parts import Grouping, SourceFile, carry_part, conformed, group_files, write_part
from headwater.contracts.plan import QUARANTINE, CheckPlan, event_columns, plan_checks
from headwater.contracts.query import checked_query
from headwater.contracts.recognize import no_rows
from headwater.contracts.repair_log import log_repairs
from headwater.contracts.repeats import (
    FileSpan,
    Opener,
    Repeats,
    find_repeats,
    needs_others,
    repeats_of,
    spans_of,
)
from headwater.contracts.results import failed_gates, rule_results
from headwater.core.contract import Contract, Events, Part
from headwater.core.errors import GateError
from headwater.core.finding import Finding
from headwater.core.identity import IdentityMap
from headwater.core.span import date_of, day_of
from headwater.core.table import joined
from headwater.engine.engine import Engine
from headwater.engine.sources import (
    Relation,
    SiftedFiles,
    check_broken_files,
    find_files,
    open_relation,
    read_sifted,
)

__all__ = ["check", "check_gate", "require_gate", "require_past"]

_DAY_US = 86_400_000_000


def check(
    engine: Engine,
    contract: Contract,
    *,
    root: Path,
    folder: Path,
    source_fingerprint: str,
    skip: Sequence[Path] = (),
    prints: Mapping[Path, str] | None = None,
    earlier: Events | None = None,
    given: Sequence[Path] | None = None,
    rates: Rates | None = None,
) -> Events:
    """Check a source against its contract and write ``events`` and ``quarantine`` under ``folder``.

    Parameters
    ----------
    skip
        Nothing under these folders is data.
    prints
        A fingerprint of the bytes of each file, where files may be known from an ``earlier`` load of the
        same contract. Without them everything is checked.
    given
        The files of a source that was landed; without them those at the source's path.
    rates
        Exchange rates, where the source's money is not all in the app's currency.

    Raises
    ------
    ConfigError
        The contract does not fit the source. A gate that fails is told by ``check_gate``.
    """
    files = given or find_files(root / contract.source.path, skip=skip)
    checked = partial(
        _checked,
        engine,
        contract,
        root=root,
        folder=folder,
        source_fingerprint=source_fingerprint,
        prints=prints,
        earlier=earlier,
        rates=rates,
    )
    source = contract.source
    carried = {f for p in (earlier.parts if earlier is not None else ()) for f in p.sources}
    return read_sifted(
        engine,
        files,
        checked,
        delimiter=source.delimiter,
        encoding=source.encoding,
        max_broken_files=contract.max_broken_files,
        sound={f for f, mark in (prints or {}).items() if (str(f), mark) in carried},
    )


def _checked(
    engine: Engine,
    contract: Contract,
    sifted: SiftedFiles,
    *,
    root: Path,
    folder: Path,
    source_fingerprint: str,
    prints: Mapping[Path, str] | None,
    earlier: Events | None,
    rates: Rates | None,
) -> Events:
    relation = _opened(engine, contract, sifted.files)
    plan, known_users = join_links(
        engine, contract, plan_checks(contract, relation, root=root), rates=rates, folder=folder
    )
    hold_lookups(engine, plan)
    layout = f"{relation.format} {relation.columns}"
    before = earlier if earlier is not None and prints and earlier.layout == layout else None
    grouping = _grouped(relation, plan, contract, prints=prints or {}, earlier=before)

    def opened(names: Iterable[str]) -> Relation:
        wanted = [Path(n) for n in names]
        if wanted == list(relation.files):
            return relation
        return conformed(_opened(engine, contract, wanted), relation.columns)

    fresh = [f for group in grouping.new for f, _ in group]
    spans = _spans(engine, plan, opened, fresh) if prints and _dated(relation, plan) else {}
    repeats = find_repeats(engine, contract, plan, grouping=grouping, spans=spans, open_files=opened)
    work = _Work(
        engine=engine, contract=contract, repeats=repeats, spans=spans, opened=opened, folder=folder / "parts"
    )
    parts = [_kept(work, p) for p in grouping.kept] + [_written(work, g) for g in grouping.new]
    events = joined([p.events for p in parts], columns=event_columns(plan))
    quarantine = joined([p.quarantine for p in parts], columns=QUARANTINE)
    repairs, repaired = log_repairs(engine, contract, plan, events, folder=folder)
    result = check_result(
        contract=contract,
        parts=parts,
        events=events,
        quarantine=quarantine,
        rules=rule_results(
            engine, contract, repeats.plan, quarantine, n_rows_in=events.n_rows + quarantine.n_rows
        ),
        relation=relation,
        layout=layout,
        source_fingerprint=source_fingerprint,
        sql_text=engine.text(checked_query(contract, plan)),
    )
    told = (*check_broken_files(sifted.files, sifted.broken), *_of_users(known_users))
    return replace(
        result,
        findings=(*told, *result.findings),
        repairs=repairs,
        repaired=repaired,
        n_scans=sifted.n_reads + repeats.plan.n_scans + (relation.format == "parquet") + bool(prints),
        identity=known_users,
    )


def _of_users(known: IdentityMap | None) -> tuple[Finding, ...]:
    return known.findings if known is not None else ()


def _opened(engine: Engine, contract: Contract, files: Sequence[Path]) -> Relation:
    source = contract.source
    return open_relation(engine, files, delimiter=source.delimiter, encoding=source.encoding)


def _grouped(
    relation: Relation,
    plan: CheckPlan,
    contract: Contract,
    *,
    prints: Mapping[Path, str],
    earlier: Events | None,
) -> Grouping:
    """The files in parts; a part whose rows meet other rates, owners of devices or dates than before is new."""
    judged_alike = _judged_alike(earlier.contract, contract) if earlier is not None else 0
    return group_files(
        [(str(f), prints.get(f, "")) for f in relation.files],
        sizes={str(f): f.stat().st_size for f in relation.files},
        earlier=earlier.parts if earlier is not None else (),
        holds=lambda p: (
            p.links == links_print(plan.links, p.span)
            and (judged_alike is None or (p.span is not None and p.span[1] < judged_alike))
        ),
        apart=relation.format == "parquet",
        alone=not any(needs_others(one) for one, _ in plan.checks),
    )


def _judged_alike(before: Contract, now: Contract) -> int | None:
    """The instant (microseconds) before which both contracts judge rows alike; None: always.

    Two loads of one project differ in what ``"today"`` stands for in ``not_future``, and rows well before
    the earlier date are in the future of neither.
    """
    if before.rules == now.rules:
        return None
    pairs = list(zip(before.rules, now.rules, strict=False))
    changed = [old for old, new in pairs if old != new]
    dates = [spec.settings.get("after") for spec in changed]
    if len(before.rules) != len(now.rules) or any(replace(o, settings=n.settings) != n for o, n in pairs):
        return 0
    if any(spec.rule != "not_future" for spec in changed) or not all(isinstance(d, str) for d in dates):
        return 0
    return min((day_of(str(d)) - 1) * _DAY_US for d in dates)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the parts of one load share."""

    engine: Engine
    contract: Contract
    repeats: Repeats
    spans: Mapping[str, FileSpan]
    opened: Opener
    folder: Path


def check_gate(events: Events) -> tuple[str, ...]:
    """Which gates the load fails, as sentences; none when it passes."""
    return failed_gates(
        events.rules,
        n_quarantine=events.quarantine.n_rows,
        n_rows_in=events.n_rows_in,
        max_share=events.contract.max_share,
    )


def require_past(events: Events, today: int) -> None:
    """Raise ``GateError`` where a kept event is dated more than a day after ``today`` (an app day).

    One event in the year 2099 would make every window look complete and every user inactive.
    """
    if events.events.n_rows and events.end_day - 1 > today + 1:
        raise GateError(
            "gate.future",
            what=f"The last kept event is dated {date_of(events.end_day - 1)}, today is {date_of(today)}.",
            why="The log would seem to reach that far, and every user to have been silent since.",
            do='Add a rule: rule = "not_future" with after = "today", or correct the times.',
        )


def require_gate(events: Events) -> None:
    """Raise ``GateError`` where the load fails the gate or nothing is left, ``DataError`` where it has no row."""
    if events.n_rows_in == 0:
        raise no_rows(events.contract.source.path)
    if events.events.n_rows == 0:
        worst = max(events.rules, key=lambda r: r.n_rows)
        raise GateError(
            "gate.nothing_left",
            what=f"All {events.n_rows_in:,} rows are in quarantine; the rule broken most is {worst.code} ({worst.n_rows:,} rows).",
            why="There is no event to build on.",
            do=f"Look at the quarantine ({events.quarantine.files[0]}), then correct the source or the rule. Example: {worst.examples[0] if worst.examples else 'none'}",
        )
    failed = check_gate(events)
    if failed:
        raise GateError(
            "gate.failed",
            what="; ".join(failed) + ".",
            why="Numbers built on this load would be about another population.",
            do=f"Look at the quarantine ({events.quarantine.files[0]}); correct the source, or raise max_share if the loss is understood.",
        )


def _dated(relation: Relation, plan: CheckPlan) -> bool:
    """Whether it matters when the rows of a file happened; text is read once more to know."""
    return relation.format == "parquet" or bool(plan.links)


def _spans(engine: Engine, plan: CheckPlan, opened: Opener, files: Sequence[str]) -> dict[str, FileSpan]:
    if not files:
        return {}
    fresh = opened(files)
    return spans_of(engine, replace(plan, rows=fresh.rows, rows_keeping_aside=fresh.rows_keeping_aside))


def _written(work: _Work, group: Sequence[SourceFile]) -> Part:
    """Check the files of a part."""
    names = [f for f, _ in group]
    found = [work.spans[f] for f in names if f in work.spans]
    dated = [f.span for f in found if f.span is not None]
    span = (min(a for a, _ in dated), max(b for _, b in dated)) if dated else None
    made = write_part(
        work.engine,
        work.contract,
        work.repeats.plan,
        work.opened(names),
        sources=tuple(group),
        span=span,
        timeless=any(f.timeless for f in found),
        repeats=repeats_of(work.repeats.prints, names),
        folder=work.folder,
    )
    return replace(made, links=links_print(work.repeats.plan.links, span))


def _kept(work: _Work, part: Part) -> Part:
    """A part checked before: taken over, or checked again where other rows of it repeat others than before."""
    names = [f for f, _ in part.sources]
    if not work.repeats.seen.issuperset(names) or repeats_of(work.repeats.prints, names) == part.repeats:
        return carry_part(part, root=work.repeats.plan.root, folder=work.folder)
    return replace(_written(work, part.sources), span=part.span, timeless=part.timeless, links=part.links)
