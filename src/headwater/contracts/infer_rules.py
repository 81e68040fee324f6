"""Propose rules from data: candidates from the first rows, each tried by the gate on all rows before it is proposed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from headwater.contracts.facts import is_reserved
from headwater.contracts.infer import Proposal, contract_of
from headwater.contracts.looks import Look, look_at, time_readings
from headwater.contracts.rule_dates import dated, future_rule
from headwater.contracts.spellings import spelled, spellings_of
from headwater.contracts.trial import Trial, evidence, try_rules
from headwater.core.contract import RepairSpec, RuleSpec
from headwater.core.finding import Finding
from headwater.engine.engine import Engine
from headwater.engine.sources import (
    MOST_BROKEN_LOOKED_AT,
    Relation,
    SiftedFiles,
    check_broken_files,
    find_files,
    open_relation,
    read_sifted,
)

__all__ = ["Suggested", "propose_rules"]

_MOST_VALUES = 20
_LEAST_ROWS = 200
_RARE = 0.01
_KEY_WORDS = frozenset({"id", "uuid", "key", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """Repairs and rules to copy, each with its evidence; what was tried and is not proposed; and what all do together.

    ``n_broken`` of ``n_rows`` rows break at least one rule proposed, or a type: they would go to quarantine.
    ``known_at`` is the column of the time a row became known with its evidence, where there is one; ``findings``
    name the files that could not be read.
    """

    repairs: tuple[tuple[RepairSpec, str], ...]
    rules: tuple[tuple[RuleSpec, str], ...]
    dropped: tuple[str, ...]
    n_rows: int
    n_broken: int | None
    known_at: tuple[str, str] | None = None
    findings: tuple[Finding, ...] = ()


def propose_rules(engine: Engine, path: Path, proposal: Proposal, *, today: date | None = None) -> Suggested:
    """Rules that the data meet: those of the contract proposed, then what the columns keep.

    Each is counted with the gate's own conditions, after the repairs, over all rows. A rule that more than 1%
    of them break is dropped and told: it describes the first rows, not the data. ``max_share`` is four times
    the share seen, rounded up, and at least 0.1%.
    """
    return read_sifted(
        engine,
        find_files(path),
        lambda sifted: _proposed(engine, sifted, proposal, today=today),
        encoding=proposal.source.encoding,
        max_broken_files=MOST_BROKEN_LOOKED_AT,
    )


def _proposed(engine: Engine, sifted: SiftedFiles, proposal: Proposal, *, today: date | None) -> Suggested:
    relation = open_relation(engine, sifted.files, encoding=proposal.source.encoding)
    looks = look_at(engine, relation)
    found = _candidates(engine, relation, looks, proposal)
    if today is not None:
        found.append(future_rule(proposal.last_on, today=today, zone=proposal.time_zone))
    given = {(r.rule, r.columns) for r in proposal.rules}
    more = [(spec, why) for spec, why in found if (spec.rule, spec.columns) not in given]
    specs = [*proposal.rules, *(spec for spec, _ in more)]
    contract = contract_of(proposal)
    known = proposal.source.known_at
    trial = try_rules(engine, relation, contract, [dated(s, today=today) for s in specs])
    kept, dropped = _judged(proposal, more, trial)
    whole = (
        trial
        if not dropped
        else try_rules(engine, relation, contract, [dated(s, today=today) for s, _ in kept])
    )
    return Suggested(
        repairs=tuple((r, _reason(proposal, f"repairs.{i}")) for i, r in enumerate(proposal.repairs)),
        rules=tuple(kept),
        dropped=tuple(dropped),
        n_rows=trial.n_rows,
        n_broken=whole.n_broken,
        known_at=(known, _reason(proposal, "sources.known_at")) if known is not None else None,
        findings=check_broken_files(sifted.files, sifted.broken),
    )


def _reason(proposal: Proposal, setting: str) -> str:
    choice = proposal.choice(setting)
    return choice.reason if choice else ""


def _judged(
    proposal: Proposal, more: Sequence[tuple[RuleSpec, str]], trial: Trial
) -> tuple[list[tuple[RuleSpec, str]], list[str]]:
    """The rules with their shares and evidence, and what is told of those that are dropped."""
    kept = [(rule, _reason(proposal, f"rules.{i}")) for i, rule in enumerate(proposal.rules)]
    dropped: list[str] = []
    for (spec, why), n in zip(more, trial.broken[len(kept) :], strict=True):
        told = f"{evidence(spec, n, trial.n_rows)} {why}".rstrip()
        if trial.share(n) > (0.0 if spec.rule == "unique" else _RARE):
            dropped.append(f"{spec.rule} on {', '.join(spec.columns) or 'the time'}: {told}")
        else:
            kept.append((replace(spec, max_share=_allowed(trial.share(n))), told))
    return kept, dropped


def _allowed(share: float) -> float:
    return min(1.0, max(0.001, math.ceil(share * 4_000) / 1_000))


def _candidates(
    engine: Engine, relation: Relation, looks: Sequence[Look], proposal: Proposal
) -> list[tuple[RuleSpec, str]]:
    mine = {proposal.source.event, proposal.source.user}
    usable = [
        k
        for k in looks
        if k.n_rows >= _LEAST_ROWS and k.n_filled and (k.column in mine or not is_reserved(k.column))
    ]
    found = [c for look in usable for c in _of_column(look, proposal)]
    listed = [k for k in usable if _is_listed(k, proposal)]
    for column, values in spellings_of(engine, relation, [k.column for k in listed]).items():
        one = spelled(column, values)
        repaired = {c for r in proposal.repairs for c in r.columns}
        allowed = (
            one.values
            if column in repaired or not one.repairs
            else tuple(sorted(v for v in values if v.strip()))
        )
        allowed = ("", *allowed) if any(not v.strip() for v in values) else allowed
        found.append((RuleSpec(rule="one_of", columns=(column,), settings={"values": allowed}), ""))
    keys = [k for k in usable if _may_be_key(k)]
    return [*found, *((RuleSpec(rule="unique", columns=(k.column,)), "") for k in keys)]


def _is_listed(look: Look, proposal: Proposal) -> bool:
    """A column of few values that the contract keeps: new ones are worth a look."""
    return (
        look.column in {proposal.source.event, *proposal.source.keep}
        and look.kind.value == "text"
        and 1 < look.n_distinct <= _MOST_VALUES
        and not look.is_numeric
        and look.longest <= 80
        and look.rows_per_value >= _LEAST_ROWS / 10
    )


def _of_column(look: Look, proposal: Proposal) -> list[tuple[RuleSpec, str]]:
    """What one column keeps in the first rows."""
    source, column, found = proposal.source, look.column, list[tuple[RuleSpec, str]]()
    mine = column in {source.event, *source.keep, *source.types} or _KEY_WORDS & set(look.words)
    if look.n_filled == look.n_rows and mine and column not in {source.user, source.at}:
        found.append((RuleSpec(rule="required", columns=(column,)), ""))
    if look.is_numeric and column in source.types and look.low >= 0:
        found.append((RuleSpec(rule="range", columns=(column,), settings={"at_least": 0}), ""))
    pattern = _shape(look) if _KEY_WORDS & set(look.words) else None
    if pattern is not None:
        found.append((RuleSpec(rule="matches", columns=(column,), settings={"pattern": pattern}), ""))
    if look.n_at_sign and not time_readings(look):
        found.append((RuleSpec(rule="personal_data", columns=(column,)), ""))
    return found


def _may_be_key(look: Look) -> bool:
    return look.n_filled == look.n_rows == look.n_distinct and bool(_KEY_WORDS & set(look.words))


def _shape(look: Look) -> str | None:
    """One pattern that all first values have: runs of digits and letters, as long as they are alike.

    Free text and values of many shapes have none.
    """
    shapes = {re.sub(r"[A-Z]", "A", re.sub(r"[a-z]", "a", re.sub(r"\d", "0", e))) for e in look.examples}
    if len(shapes) != 1 or not look.examples:
        return None
    (shape,) = shapes
    if not re.fullmatch(r"[0Aa_-]{2,40}", shape):
        return None
    runs = re.findall(r"0+|A+|a+|_+|-+", shape)
    known = {"0": "[0-9]", "A": "[A-Z]", "a": "[a-z]", "_": "_", "-": "-"}
    return "".join(known[r[0]] + (f"{{{len(r)}}}" if len(r) > 1 else "") for r in runs)
