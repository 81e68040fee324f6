"""Rules tried on data before they are proposed: how many rows the gate itself would set aside for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.duplicates import mark_duplicates
from headwater.contracts.plan import CheckPlan, plan_checks
from headwater.contracts.query import checked_query
from headwater.core.contract import Contract, RuleSpec
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation
from headwater.engine.sql import commas, sql

__all__ = ["Trial", "evidence", "try_rules"]

_MOST_CHECKS = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the gate does to the readable rows of a source.

    ``broken`` has a number for each rule tried, in their order: rows that break the worst of its checks, as
    the gate compares them with ``max_share``. ``always`` counts the checks that need no rule, by code.
    ``n_broken`` counts rows that break any of them, each once; None where one pass could not hold all rules.
    """

    n_rows: int
    broken: tuple[int, ...]
    always: Mapping[str, int]
    n_broken: int | None

    def share(self, n: int) -> float:
        """A count as a share of the rows."""
        return n / self.n_rows if self.n_rows else 0.0


def try_rules(engine: Engine, relation: Relation, contract: Contract, rules: Sequence[RuleSpec]) -> Trial:
    """Count the rows that break each rule, with the rules' own conditions, over all rows.

    The contract's own rules are left out; its repairs and types are done. One pass holds about fifty checks;
    rules about repeats take up to two more.

    Raises
    ------
    ConfigError
        A rule does not fit the source.
    """
    plain = replace(contract, rules=())
    base = tuple(one.code for one, _ in _planned(relation, plain, ()).checks)
    own = [_codes(relation, plain, spec) for spec in rules]
    batches = list(_batches(own, room=_MOST_CHECKS - len(base)))
    passes = [
        _counted(engine, plain, _planned(relation, plain, [rules[i] for i in some])) for some in batches
    ]
    broken = [
        max((counts[c] for c in own[i]), default=0)
        for some, (_, _, counts) in zip(batches, passes, strict=True)
        for i in some
    ]
    return Trial(
        n_rows=passes[0][0],
        broken=tuple(broken),
        always={c: passes[0][2][c] for c in base},
        n_broken=passes[0][1] if len(passes) == 1 else None,
    )


def evidence(spec: RuleSpec, n_broken: int, n_rows: int) -> str:
    """What a rule found, with its counts: the sentence that stands above the rule where it is proposed."""
    column = ", ".join(spec.columns)
    seen = f"{n_broken:,} of {n_rows:,} rows" + (f" ({_percent(n_broken / n_rows)})" if n_broken else "")
    bounds = " and ".join(f"{b.replace('_', ' ')} {v}" for b, v in spec.settings.items())
    same = f"{column} of an earlier row" if column else "whole of an earlier row; the first one stays"
    said = {
        "required": f"have no {column}",
        "one_of": f"hold another {column} than these {len(_listed(spec))}",
        "range": f"hold {column} that is not {bounds}",
        "matches": f"hold {column} of another shape",
        "unique": f"repeat the {same}",
        "personal_data": f"hold an e-mail address, a phone or a card number in {column}: this sets them aside",
        "not_future": f"are dated after {spec.settings.get('after')}",
    }
    return f"{seen} {said.get(spec.rule, 'break it')}."


def _listed(spec: RuleSpec) -> tuple[object, ...]:
    values = spec.settings.get("values")
    return values if isinstance(values, tuple) else ()


def _percent(share: float) -> str:
    """A share that is not zero never reads as zero.

    >>> _percent(0.25), _percent(1e-9)
    ('25.00%', 'under 0.01%')
    """
    return f"{share:.2%}" if share >= 0.0001 else "under 0.01%"


def _batches(codes: Sequence[tuple[str, ...]], *, room: int) -> Iterator[list[int]]:
    """Numbers of rules whose checks fit into one pass each, no two of one code; at least one pass.

    A rule may add the type of its column as a check, so it takes twice its room.

    >>> list(_batches([("a",), ("b",), ("c", "d", "e"), ("a",), ("a",)], room=7))
    [[0, 1], [2], [3], [4]]
    """
    batch, used = list[int](), list[str]()
    for i, mine in enumerate(codes):
        if batch and (2 * len([*used, *mine]) > room or set(used) & set(mine)):
            yield batch
            batch, used = [], []
        batch.append(i)
        used += mine
    yield batch


def _planned(relation: Relation, contract: Contract, rules: Sequence[RuleSpec]) -> CheckPlan:
    plan = plan_checks(replace(contract, rules=tuple(rules)), relation, root=Path())
    return replace(plan, rows_keeping_aside=plan.rows)


def _codes(relation: Relation, contract: Contract, spec: RuleSpec) -> tuple[str, ...]:
    """The codes of one rule's checks."""
    alone = _planned(relation, contract, (replace(spec, max_share=1.0),))
    return tuple(one.code for one, limit in alone.checks if limit is not None)


def _counted(engine: Engine, contract: Contract, plan: CheckPlan) -> tuple[int, int, dict[str, int]]:
    """Rows, rows that break anything, and rows that break each check."""
    marked = mark_duplicates(engine, plan)
    each = [sql("count(*) FILTER (WHERE (broken & {b}) <> 0)", b=1 << i) for i in range(len(plan.checks))]
    counts = commas([sql("count(*)"), sql("count(*) FILTER (WHERE broken <> 0)"), *each])
    n_rows, n_broken, *found = engine.one(
        sql("SELECT {c} FROM ({q}) AS tried", c=counts, q=checked_query(contract, marked))
    )
    by_code = {one.code: int(n) for (one, _), n in zip(plan.checks, found, strict=True)}
    return int(n_rows), int(n_broken), by_code
