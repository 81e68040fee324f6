"""All moments of an experiment's metrics in one query: sums of what is left after a constant near the mean is taken off.

``sum(x * x)`` loses every digit where the mean is large beside the spread. ``sum((x - c) * (y - c'))`` does not, in
the same single pass, where c is near the mean (Chan, Golub and LeVeque 1983); whether it was is looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.effects.gathered import Group, MetricState
from headwater.engine.engine import Engine
from headwater.engine.sql import Part, Sql, commas, name, sql
from headwater.numerics.moments import Moments

__all__ = ["MomentRows", "Summed", "Wanted", "centers_of", "moment_query", "sum_up"]

_HEAD_ROWS = 10_000
_FAR = (
    1e4  # squared distance of center and mean over the variance, beyond which a second pass is worth its time
)
_MISSING = "(missing)"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A metric as values of a row: outcomes (NULL where missing), covariates, and what else to look for.

    ``is_masked`` counts covariates only where the outcomes are there; without it they are counted everywhere, which
    is the same, and faster, where no outcome is missing.
    """

    metric: str
    columns: tuple[str, ...]
    outcomes: tuple[Sql, ...]
    covariates: tuple[Sql, ...] = ()
    raw: Sql | None = None
    cap: float | None = None
    looks_for_largest: bool = True
    is_masked: bool = False

    @property
    def values(self) -> tuple[Sql, ...]:
        """Outcomes, then covariates."""
        return (*self.outcomes, *self.covariates)


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentRows:
    """The rows to sum over: the parts of a query below the aggregates."""

    rows: Sql
    arm: Sql
    strata: tuple[Sql, ...]
    day: Sql
    where: Sql


@dataclass(slots=True)
class _Asked:
    """Aggregates, each once, in order."""

    found: dict[Sql, int] = field(default_factory=dict[Sql, int])

    def __call__(self, aggregate: Sql) -> int:
        return self.found.setdefault(aggregate, len(self.found))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summed:
    """What the query said: ``states`` by metric, and the centers with which another pass would do better.

    ``unknown`` counts by metric and covariate, shape (groups,), the users without it; ``raw_totals`` are of
    winsorized metrics, before the cap, shape (groups,).
    """

    groups: tuple[Group, ...]
    n_users: NDArray[np.int64]
    states: Mapping[str, MetricState]
    unknown: Mapping[tuple[str, str], NDArray[np.int64]]
    raw_totals: Mapping[str, Floats]
    far: Mapping[Sql, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where the aggregates of a metric stand in a row of the result."""

    n: int
    sums: tuple[int, ...]
    products: Mapping[tuple[int, int], int]
    known: tuple[int, ...]
    largest: int | None
    n_capped: int | None
    raw_total: int | None


def centers_of(engine: Engine, rows: MomentRows, values: Sequence[Sql]) -> dict[Sql, float]:
    """A constant near the mean of each value, of the first rows; 0 where these have none."""
    distinct = list(dict.fromkeys(values))
    head = sql("(SELECT * FROM {r} r WHERE {w} LIMIT {n}) h", r=rows.rows, w=rows.where, n=_HEAD_ROWS)
    found = engine.one(
        sql("SELECT {means} FROM {head}", means=commas([sql("avg({v})", v=v) for v in distinct]), head=head)
    )
    return {v: _short(m) for v, m in zip(distinct, found, strict=True)}


def _short(mean: float | None) -> float:
    return 0.0 if mean is None or not np.isfinite(mean) else float(f"{mean:.9g}")


def moment_query(
    rows: MomentRows, wanted: Sequence[Wanted], centers: Mapping[Sql, float]
) -> tuple[Sql, list[_Places]]:
    """The query, and where the figures of each metric stand behind its keys and the count of users."""
    aliases = {
        v: f"x{i}"
        for i, v in enumerate(
            dict.fromkeys(v for w in wanted for v in (*w.values, *([w.raw] if w.raw else [])))
        )
    }
    asked = _Asked()
    asked(sql("count(*)"))
    places = [_places(w, aliases, asked) for w in wanted]
    strata = [sql("{s} AS {a}", s=s, a=name(f"s{i}")) for i, s in enumerate(rows.strata)]
    keys = [name("arm"), name("day"), *(name(f"s{i}") for i in range(len(strata)))]
    values = [sql("{v} AS {a}", v=v, a=name(a)) for v, a in aliases.items()]
    shifted = [
        sql("({x} - {c}) AS {d}", x=name(a), c=centers[v], d=name(_shifted(a)))
        for v, a in aliases.items()
        if v in centers
    ]
    query = sql(
        "SELECT {keys}, {aggregates}\nFROM (SELECT {keys}, {xs}\n FROM (SELECT {arm} AS arm, {day} AS day, {inner}\n  FROM {rows} r WHERE {where}) v) d\nGROUP BY {keys}",
        keys=keys,
        aggregates=commas(list(asked.found)),
        xs=commas([*(name(a) for a in aliases.values()), *shifted]),
        arm=rows.arm,
        day=rows.day,
        inner=commas([*strata, *values]),
        rows=rows.rows,
        where=rows.where,
    )
    return query, places


def _shifted(alias: str) -> str:
    return f"d{alias[1:]}"


def _places(wanted: Wanted, aliases: Mapping[Sql, str], asked: _Asked) -> _Places:
    xs = [name(aliases[v]) for v in wanted.values]
    n_outcomes = len(wanted.outcomes)
    shifted = [name(_shifted(aliases[v])) for v in wanted.values]
    ds = [d if i < n_outcomes else sql("coalesce({d}, 0)", d=d) for i, d in enumerate(shifted)]
    there = _conjunction(xs[:n_outcomes])

    def masked(value: Sql, *, covers: int) -> Sql:
        """``value``, NULL unless all outcomes are there; ``covers`` of them are in it already."""
        needs = covers < n_outcomes and (wanted.is_masked or covers > 0)
        return sql("CASE WHEN {t} THEN {v} END", t=there, v=value) if needs else value

    def covered(*columns: int) -> int:
        return len({c for c in columns if c < n_outcomes})

    products = {
        (i, j): asked(sql("sum({v})", v=masked(sql("{a} * {b}", a=ds[i], b=ds[j]), covers=covered(i, j))))
        for i in range(len(ds))
        for j in range(i + 1)
    }
    outcome = xs[0]
    return _Places(
        n=asked(sql("count({v})", v=masked(outcome, covers=1))),
        sums=tuple(asked(sql("sum({v})", v=masked(d, covers=covered(i)))) for i, d in enumerate(ds)),
        products=products,
        known=tuple(asked(sql("count({v})", v=masked(x, covers=0))) for x in xs[n_outcomes:]),
        largest=asked(sql("max({v})", v=masked(sql("abs({x})", x=outcome), covers=1)))
        if wanted.looks_for_largest
        else None,
        n_capped=None if wanted.raw is None else asked(_above(name(aliases[wanted.raw]), wanted.cap)),
        raw_total=None if wanted.raw is None else asked(sql("sum({x})", x=name(aliases[wanted.raw]))),
    )


def _above(value: Sql, cap: Part) -> Sql:
    return sql("sum(CASE WHEN {v} > {c} THEN 1 ELSE 0 END)", v=value, c=cap)


def _conjunction(values: Sequence[Sql]) -> Sql:
    tests = [sql("{v} IS NOT NULL", v=v) for v in values]
    return tests[0] if len(tests) == 1 else sql("{a} AND {b}", a=tests[0], b=tests[1])


def sum_up(
    engine: Engine, rows: MomentRows, wanted: Sequence[Wanted], centers: Mapping[Sql, float]
) -> Summed:
    """Run the query and make centered moments of its sums."""
    query, places = moment_query(rows, wanted, centers)
    n_keys = 2 + len(rows.strata)
    found = sorted(
        engine.rows(query), key=lambda row: tuple(("" if k is None else str(k)) for k in row[:n_keys])
    )
    groups = tuple(_group(row[:n_keys]) for row in found)
    figures = np.array([[_figure(v) for v in row[n_keys:]] for row in found]).reshape(len(found), -1)
    n_users = figures[:, 0].astype(np.int64)
    states: dict[str, MetricState] = {}
    unknown: dict[tuple[str, str], NDArray[np.int64]] = {}
    far: dict[Sql, float] = {}
    for w, p in zip(wanted, places, strict=True):
        at = np.array([centers[v] for v in w.values])
        states[w.metric] = _state(w, p, figures, n_users, at)
        for column, place in zip(w.columns[len(w.outcomes) :], p.known, strict=True):
            missing = figures[:, p.n] - figures[:, place]
            unknown[w.metric, column] = np.maximum(missing, 0).astype(np.int64)
        far |= _far(w, states[w.metric].moments, at)
        far |= _usual(w, p, figures, at)
    raw = {
        w.metric: np.nan_to_num(figures[:, p.raw_total])
        for w, p in zip(wanted, places, strict=True)
        if p.raw_total is not None
    }
    return Summed(groups=groups, n_users=n_users, states=states, unknown=unknown, raw_totals=raw, far=far)


def _group(keys: Sequence[Any]) -> Group:
    arm, day, *strata = keys
    return Group(
        arm=str(arm),
        stratum=" | ".join(_MISSING if s is None else str(s) for s in strata),
        day=None if day is None else int(day),
    )


def _figure(value: Any) -> float:
    return np.nan if value is None else float(value)


def _state(
    w: Wanted, p: _Places, figures: Floats, n_users: NDArray[np.int64], centers: Floats
) -> MetricState:
    n = figures[:, p.n]
    sums = np.nan_to_num(figures[:, list(p.sums)])
    off = sums / np.where(n > 0, n, 1.0)[:, None]
    k = len(p.sums)
    scatter = np.zeros((n.size, k, k))
    for (i, j), place in p.products.items():
        centered = np.nan_to_num(figures[:, place]) - sums[:, i] * off[:, j]
        scatter[:, i, j] = scatter[:, j, i] = np.maximum(centered, 0.0) if i == j else centered
    mean = np.where(n[:, None] > 0, centers + off, 0.0)
    return MetricState(
        columns=w.columns,
        moments=Moments(n=n, mean=mean, scatter=scatter),
        n_missing=n_users - n.astype(np.int64),
        n_capped=None if p.n_capped is None else np.nan_to_num(figures[:, p.n_capped]).astype(np.int64),
        cap=w.cap,
        largest=None if p.largest is None else np.nan_to_num(figures[:, p.largest]),
    )


def _far(w: Wanted, moments: Moments, centers: Floats) -> dict[Sql, float]:
    """Better centers for values whose center turned out far from the mean beside their spread."""
    pooled = moments.pooled()
    n, mean = pooled.n[0], pooled.mean[0]
    spread = np.diagonal(pooled.scatter[0])
    is_far = n * (mean - centers) ** 2 > _FAR * np.maximum(spread, 0.0)
    moved = is_far & (mean != centers) & (n > 1)
    return {v: float(m) for v, m, f in zip(w.values, mean, moved, strict=True) if f}


def _usual(w: Wanted, p: _Places, figures: Floats, centers: Floats) -> dict[Sql, float]:
    """The mean of covariates that some users lack: it stands in for them, and must not depend on which rows came first."""
    found: dict[Sql, float] = {}
    n_outcomes = len(w.outcomes)
    for i, place in enumerate(p.known, start=n_outcomes):
        known = figures[:, place].sum()
        if 0 < known < figures[:, p.n].sum():
            found[w.values[i]] = float(centers[i] + np.nansum(figures[:, p.sums[i]]) / known)
    return found
