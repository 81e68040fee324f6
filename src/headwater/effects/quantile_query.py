"""Exact order statistics by query, in bounded memory: a sample says where to look, one scan counts what lies below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
import pyarrow.compute as pc

from headwater.effects.gathered import QuantileState
from headwater.effects.moment_query import MomentRows
from headwater.engine.engine import Engine
from headwater.engine.sql import Part, Sql, commas, name, shim, sql
from headwater.numerics.quantile_effect import bound_ranks

__all__ = ["caps_of", "quantile_states"]

_SAMPLED = 100_000  # values per column that say where the order statistics are, about
_ALL_BELOW = 400_000  # rows from which a sample is worth its time
_SLACK = 6.0  # standard errors of a sampled rank that a bracket reaches

Bracket = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A value of a row and the share at which it is looked at."""

    value: Sql
    share: float


def quantile_states(
    engine: Engine, rows: MomentRows, asked: Mapping[str, tuple[Sql, float]], *, n_rows: int
) -> dict[str, tuple[QuantileState, ...]]:
    """The quantile of each arm and the order statistics around it, by metric; arms without a value are left out."""
    asks = [_Asked(value=v, share=s) for v, s in asked.values()]
    found = _ranked(engine, rows, asks, n_rows=n_rows, key=rows.arm, bounds=True)
    return {
        metric: tuple(
            QuantileState(arm=arm, low=v[0], value=v[1], high=v[2], n=n, n_users=n)
            for arm, (n, v) in sorted(by_arm.items())
        )
        for metric, by_arm in zip(asked, found, strict=True)
    }


def caps_of(
    engine: Engine, rows: MomentRows, asked: Mapping[str, tuple[Sql, float]], *, n_rows: int
) -> dict[str, float]:
    """The smallest value that a share of all arms' users together does not exceed, by metric."""
    asks = [_Asked(value=v, share=s) for v, s in asked.values()]
    found = _ranked(engine, rows, asks, n_rows=n_rows, key=sql("''"), bounds=False)
    return {metric: by_key[""][1][0] for metric, by_key in zip(asked, found, strict=True) if "" in by_key}


def _ranked(
    engine: Engine, rows: MomentRows, asks: Sequence[_Asked], *, n_rows: int, key: Sql, bounds: bool
) -> list[dict[str, tuple[int, tuple[float, ...]]]]:
    """For each ask and key: how many values there are, and those at the ranks."""
    if not asks:
        return []
    brackets = _brackets(engine, rows, asks, n_rows=n_rows, key=key)
    counts = _counts(engine, rows, asks, brackets, key=key)
    found: list[dict[str, tuple[int, tuple[float, ...]]]] = []
    for ask, bracket, count in zip(asks, brackets, counts, strict=True):
        ranks = {k: _ranks(n, ask.share, bounds=bounds) for k, (n, _, _) in count.items() if n}
        is_inside = all(count[k][1] < r[0] and count[k][1] + count[k][2] >= r[-1] for k, r in ranks.items())
        looked = bracket if is_inside else (-inf, inf)
        below = {k: count[k][1] if is_inside else 0 for k in ranks}
        values = _at_ranks(engine, rows, ask=ask, bracket=looked, ranks=ranks, below=below, key=key)
        found.append({k: (count[k][0], values[k]) for k in ranks})
    return found


def _ranks(n: int, share: float, *, bounds: bool) -> tuple[int, ...]:
    return bound_ranks(n, share) if bounds else (min(max(ceil(n * share - 1e-9), 1), n),)


def _brackets(
    engine: Engine, rows: MomentRows, asks: Sequence[_Asked], *, n_rows: int, key: Sql
) -> list[Bracket]:
    """Between which values the order statistics lie, almost certainly; everywhere, of few rows."""
    if n_rows <= _ALL_BELOW:
        return [(-inf, inf)] * len(asks)
    sample = engine.arrow(
        sql(
            "SELECT {key} AS k, {values} FROM {sample} r WHERE {where}",
            key=key,
            values=[sql("{v} AS {a}", v=a.value, a=name(f"v{i}")) for i, a in enumerate(asks)],
            sample=shim("sampled", rows.rows, ceil(_SAMPLED / n_rows * 100)),
            where=rows.where,
        )
    )
    keys = pc.unique(sample.column("k")).to_pylist()
    brackets: list[Bracket] = []
    for i, ask in enumerate(asks):
        ends = [
            _bracket(
                sample.filter(pc.equal(sample.column("k"), k)).column(f"v{i}").drop_null().to_numpy(),
                ask.share,
            )
            for k in keys
        ]
        brackets.append((min(e[0] for e in ends), max(e[1] for e in ends)) if ends else (-inf, inf))
    return brackets


def _bracket(sample: np.ndarray, share: float) -> Bracket:
    reach = _SLACK * sqrt(share * (1 - share) / sample.size) if sample.size else inf
    below, above = share - reach, share + reach
    ordered = np.sort(sample)
    low = float(ordered[int(below * sample.size)]) if below > 0 else -inf
    high = float(ordered[int(above * sample.size)]) if above < 1 else inf
    return low, high


def _counts(
    engine: Engine, rows: MomentRows, asks: Sequence[_Asked], brackets: Sequence[Bracket], *, key: Sql
) -> list[dict[str, tuple[int, int, int]]]:
    """For each ask and key: values in all, below the bracket, and inside it."""
    counted: list[Sql] = []
    for i, bracket in enumerate(brackets):
        v = name(f"v{i}")
        counted += [
            sql("count({v})", v=v),
            sql("sum(CASE WHEN {b} THEN 1 ELSE 0 END)", b=_below(v, bracket)),
            sql("sum(CASE WHEN {i} THEN 1 ELSE 0 END)", i=_inside(v, bracket)),
        ]
    found = engine.rows(
        sql(
            "SELECT k, {counted} FROM (SELECT {key} AS k, {values} FROM {rows} r WHERE {where}) v GROUP BY k",
            counted=commas(counted),
            key=key,
            values=[sql("{v} AS {a}", v=a.value, a=name(f"v{i}")) for i, a in enumerate(asks)],
            rows=rows.rows,
            where=rows.where,
        )
    )
    return [
        {str(row[0]): (int(row[1 + 3 * i]), int(row[2 + 3 * i]), int(row[3 + 3 * i])) for row in found}
        for i in range(len(asks))
    ]


def _below(value: Sql, bracket: Bracket) -> Sql:
    return sql("FALSE") if bracket[0] == -inf else sql("{v} < {low}", v=value, low=bracket[0])


def _inside(value: Sql, bracket: Bracket) -> Sql:
    low = sql("{v} IS NOT NULL", v=value) if bracket[0] == -inf else sql("{v} >= {x}", v=value, x=bracket[0])
    return low if bracket[1] == inf else sql("{low} AND {v} <= {x}", low=low, v=value, x=bracket[1])


def _at_ranks(
    engine: Engine,
    rows: MomentRows,
    *,
    ask: _Asked,
    bracket: Bracket,
    ranks: Mapping[str, tuple[int, ...]],
    below: Mapping[str, int],
    key: Sql,
) -> dict[str, tuple[float, ...]]:
    n_ranks = len(next(iter(ranks.values()), ()))
    if not n_ranks:
        return {}
    picked = [
        sql(
            "min(CASE WHEN c >= {r} THEN v END)",
            r=_by_key({k: r[i] - below[k] for k, r in ranks.items()}),
        )
        for i in range(n_ranks)
    ]
    found = engine.rows(
        sql(
            "SELECT k, {picked} FROM (SELECT k, v, sum(n) OVER (PARTITION BY k ORDER BY v) AS c FROM"
            " (SELECT k, v, count(*) AS n FROM (SELECT {key} AS k, {value} AS v FROM {rows} r WHERE {where}) x"
            " WHERE {inside} GROUP BY k, v) y) z GROUP BY k",
            picked=commas(picked),
            key=key,
            value=ask.value,
            rows=rows.rows,
            where=rows.where,
            inside=_inside(sql("v"), bracket),
        )
    )
    return {str(row[0]): tuple(float(v) for v in row[1:]) for row in found}


def _by_key(numbers: Mapping[str, Part]) -> Sql:
    arms = [sql("WHEN k = {k} THEN {n}", k=k, n=n) for k, n in numbers.items()]
    joined = arms[0]
    for arm in arms[1:]:
        joined = sql("{a} {b}", a=joined, b=arm)
    return sql("CASE {arms} END", arms=joined)
