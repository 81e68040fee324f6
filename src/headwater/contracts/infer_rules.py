"""Propose rules from data: candidates from the first rows, each counted over all rows before it is proposed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from headwater.contracts.infer import Proposal
from headwater.contracts.looks import Look, look_at, time_readings, value_counts
from headwater.core.contract import RuleSpec
from headwater.engine.engine import Engine
from headwater.engine.sources import open_relation
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["propose_rules"]

_MOST_VALUES = 20
_LEAST_ROWS = 200
_RARE = 0.01
_KEY_WORDS = frozenset({"id", "uuid", "key", "no"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A rule that the first rows keep, and the condition under which a row breaks it."""

    spec: RuleSpec
    broken: Sql
    says: str


def propose_rules(engine: Engine, path: Path, proposal: Proposal) -> tuple[tuple[RuleSpec, str], ...]:
    """Rules with their evidence: those of the contract proposed, then what the columns keep.

    A candidate that more than 1% of all rows break is dropped: it describes the first rows, not the data.
    ``max_share`` is four times the share seen, rounded up, and at least 0.1%.
    """
    relation = open_relation(engine, path, encoding=proposal.source.encoding)
    looks = look_at(engine, relation)
    few = [
        k.column
        for k in looks
        if k.kind.value == "text" and 1 < k.n_distinct <= _MOST_VALUES and not k.is_numeric
    ]
    values = dict(zip(few, value_counts(engine, relation, few), strict=True))
    given = [(rule, _reason(proposal, i)) for i, rule in enumerate(proposal.rules)]
    covered = {(r.rule, r.columns) for r, _ in given}
    candidates = [
        c
        for k in looks
        for c in _candidates(k, proposal, values.get(k.column, {}))
        if (c.spec.rule, c.spec.columns) not in covered
    ]
    keys = [k for k in looks if _may_be_key(k)]
    if not candidates and not keys:
        return tuple(given)
    counts = [sql("count(*) FILTER (WHERE {b})", b=c.broken) for c in candidates]
    counts += [sql("count({c}) - count(DISTINCT {c})", c=name(k.column)) for k in keys]
    n, *broken = engine.one(sql("SELECT count(*), {c} FROM {rows}", c=commas(counts), rows=relation.rows))
    kept = [
        _kept(c, k, n)
        for c, k in zip(candidates, broken[: len(candidates)], strict=True)
        if n and k / n <= _RARE
    ]
    unique = [
        (
            RuleSpec(rule="unique", columns=(k.column,), max_share=0.001),
            f"None of {n:,} rows repeats a {k.column}.",
        )
        for k, again in zip(keys, broken[len(candidates) :], strict=True)
        if again == 0
    ]
    return (*given, *kept, *unique)


def _reason(proposal: Proposal, index: int) -> str:
    choice = proposal.choice(f"rules.{index}")
    return choice.reason if choice else ""


def _kept(candidate: _Candidate, broken: int, n: int) -> tuple[RuleSpec, str]:
    share = broken / n
    allowed = max(0.001, -(-share * 4_000 // 1) / 1_000)
    spec = RuleSpec(
        rule=candidate.spec.rule,
        columns=candidate.spec.columns,
        settings=candidate.spec.settings,
        max_share=allowed,
    )
    return spec, f"{candidate.says}; {broken:,} of {n:,} rows break it."


def _candidates(look: Look, proposal: Proposal, values: dict[str, int]) -> list[_Candidate]:
    source = proposal.source
    if look.n_rows < _LEAST_ROWS or not look.n_filled:
        return []
    column, found = look.column, list[_Candidate]()
    text = sql("nullif({t}, '')", t=shim("trimmed", name(column)))
    mine = column in {source.event, *source.keep, *source.types} or _KEY_WORDS & set(look.words)
    if look.n_filled == look.n_rows and mine and column not in {source.user, source.at}:
        found.append(
            _Candidate(
                spec=RuleSpec(rule="required", columns=(column,)),
                broken=sql("{t} IS NULL", t=text),
                says=f"All of the first {look.n_rows:,} rows have a value in {column}",
            )
        )
    if values and column in {source.event, *source.keep} and look.rows_per_value >= _LEAST_ROWS / 10:
        listed = sorted(values)
        found.append(
            _Candidate(
                spec=RuleSpec(rule="one_of", columns=(column,), settings={"values": tuple(listed)}),
                broken=sql("{t} NOT IN ({v})", t=text, v=commas([sql("{x}", x=v) for v in listed])),
                says=f"{column} takes {len(listed)} values",
            )
        )
    if look.is_numeric and column in source.types and look.low >= 0:
        found.append(
            _Candidate(
                spec=RuleSpec(rule="range", columns=(column,), settings={"at_least": 0}),
                broken=sql("TRY_CAST({t} AS DOUBLE) < 0", t=text),
                says=f"No {column} of the first {look.n_rows:,} rows is below zero",
            )
        )
    pattern = _shape(look) if _KEY_WORDS & set(look.words) else None
    if pattern is not None:
        found.append(
            _Candidate(
                spec=RuleSpec(rule="matches", columns=(column,), settings={"pattern": pattern}),
                broken=sql("NOT {m}", m=shim("matches", text, pattern)),
                says=f"Every {column} looked at has the shape {pattern}",
            )
        )
    if look.n_at_sign and not time_readings(look):
        found.append(
            _Candidate(
                spec=RuleSpec(rule="personal_data", columns=(column,)),
                broken=sql("FALSE"),
                says=f"{look.n_at_sign:,} values of {column} hold an @: this sets them aside",
            )
        )
    return found


def _may_be_key(look: Look) -> bool:
    full = look.n_rows >= _LEAST_ROWS and look.n_filled == look.n_rows == look.n_distinct
    return full and bool(_KEY_WORDS & set(look.words))


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
