"""The query of one cutoff: one pass over the user-days, every partial once, every column a formula over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from headwater.core.ledger import Ledger
from headwater.core.table import Column, Kind, Known, Purpose
from headwater.engine.engine import table_scan
from headwater.engine.sql import Sql, commas, name, sql
from headwater.snapshots.attributes import attribute_columns, first_values_before, told_values_before
from headwater.snapshots.cut import Cut
from headwater.snapshots.feature import (
    Feature,
    FeatureColumn,
    FeatureSpec,
    Formula,
    ahead,
    formula,
    greatest,
    in_units,
)
from headwater.snapshots.features import FEATURES
from headwater.snapshots.holes import days_lost, users_in_holes

__all__ = ["FeatureChoice", "Plan", "every_feature", "seen_days", "snapshot_query"]

FeatureChoice = Sequence[type[Feature]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A snapshot's query and the columns it makes."""

    query: Sql
    columns: tuple[Column, ...]


def every_feature() -> FeatureChoice:
    """Every group of features on the shelf."""
    return tuple(FEATURES.load(n) for n in FEATURES.names())


def snapshot_query(
    ledger: Ledger,
    *,
    cut: Cut,
    features: FeatureChoice,
    days: Sql | None = None,
    users: Sql | None = None,
    told: Sql | None = None,
) -> Plan:
    """The query of a cutoff.

    ``days``, ``users`` and ``told`` replace the ledger's rows, its users and the told attributes (the leakage
    check poisons them).
    """
    spec = FeatureSpec(measures=ledger.measures, windows=cut.windows)
    made = [
        *_keys(cut),
        _left_edge(ledger, cut),
        *(c for kind in features for c in kind().columns(spec)),
        *_observed(cut),
        *_marks(cut),
        *_targets(ledger, cut),
    ]
    made += attribute_columns(ledger, cut.told, taken=[c.column.name for c in made])
    known = greatest(sql("age"))
    partials = dict.fromkeys(p for f in (known, *(c.formula for c in made)) for p in f.partials)
    names = {p: name(f"p{k}") for k, p in enumerate(partials)}
    beside = [
        users_in_holes(ledger.users, cut.lost, cutoff=cut.cutoff, as_of=cut.as_of),
        first_values_before(ledger, cutoff=None if cut.is_today else cut.cutoff, users=users),
        told_values_before(cut.told, cutoff=cut.cutoff, rows=told),
    ]
    query = sql(
        "SELECT {columns} FROM (SELECT user_id, any_value(bucket) AS bucket, {partials} FROM ({rows}) d GROUP BY user_id) p{beside}"
        " WHERE {known} IS NOT NULL ORDER BY user_id",
        columns=commas([sql("{x} AS {n}", x=c.formula.sql(names), n=name(c.column.name)) for c in made]),
        partials=commas([sql("{x} AS {n}", x=p.aggregate, n=n) for p, n in names.items()]),
        rows=seen_days(ledger, table_scan(ledger.days) if days is None else days, cut),
        beside=Sql(tuple(p for k, q in enumerate(beside) if q is not None for p in _joined(q, k).pieces)),
        known=known.sql(names),
    )
    return Plan(query=query, columns=tuple(c.column for c in made))


def _joined(query: Sql, place: int) -> Sql:
    return sql(" LEFT JOIN ({q}) {alias} USING (user_id)", q=query, alias=name(f"beside {place}"))


def seen_days(ledger: Ledger, days: Sql, cut: Cut) -> Sql:
    """User-days before the cutoff as known before it (for today's: all that is known), and those ahead."""
    early = sql("") if cut.is_today else sql(" AND (app_day >= {c} OR known_day < {c})", c=cut.cutoff)
    then = sql("") if cut.as_of is None else sql(" AND known_day < {a}", a=cut.as_of)
    sums = [name("n_events"), *(name(m.name) for m in ledger.measures)]
    rows = sql(
        "SELECT user_id, bucket, app_day, {c} - app_day AS age, {sums} FROM {days} WHERE app_day < {end}{early}{then}",
        c=cut.cutoff,
        sums=commas(sums),
        days=days,
        end=cut.reads_to,
        early=early,
        then=then,
    )
    if ledger.one_row_a_day:
        return rows
    return sql(
        "SELECT user_id, any_value(bucket) AS bucket, app_day, age, {sums} FROM ({rows}) r GROUP BY user_id, app_day, age",
        sums=commas([sql("CAST(sum({s}) AS BIGINT) AS {s}", s=s) for s in sums]),
        rows=rows,
    )


def _plain(expression: Sql) -> Formula:
    return formula("{x}", x=expression)


def _keys(cut: Cut) -> list[FeatureColumn]:
    return [
        FeatureColumn(
            column=Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
            formula=_plain(name("user_id")),
        ),
        FeatureColumn(
            column=Column(name="cutoff", kind=Kind.DAY, purpose=Purpose.KEY, unit="days since 1970"),
            formula=_plain(sql("CAST({c} AS INTEGER)", c=cut.cutoff)),
        ),
        FeatureColumn(
            column=Column(name="bucket", kind=Kind.INTEGER, about="md5 bucket of the user, 0 to 63"),
            formula=_plain(name("bucket")),
        ),
    ]


def _left_edge(ledger: Ledger, cut: Cut) -> FeatureColumn:
    column = Column(
        name="at_left_edge",
        kind=Kind.BOOLEAN,
        purpose=Purpose.FLAG,
        about="first seen so early in the log that the user may not be new",
    )
    edge = ledger.first_day + ledger.left_edge_days
    first = formula("({c} - {o} < {e})", c=cut.cutoff, o=greatest(sql("age")), e=edge)
    return FeatureColumn(column=column, formula=first)


def _flag(label: str, days: Sql, *, about: str, known: Known = Known.AFTER_CUTOFF) -> FeatureColumn:
    column = Column(
        name=label, kind=Kind.INTEGER, unit="days", purpose=Purpose.FLAG, known=known, about=about
    )
    return FeatureColumn(column=column, formula=_plain(sql("CAST({d} AS INTEGER)", d=days)))


def _observed(cut: Cut) -> list[FeatureColumn]:
    return [
        _flag(
            f"observed_days_{h}d",
            sql(
                "{n} - ({lost})",
                n=cut.seen_to(h) - cut.cutoff,
                lost=days_lost(cut.lost, cut.cutoff, cut.seen_to(h)),
            ),
            about=f"days of the {h}-day window inside the log" + (", not in a hole" if cut.lost else ""),
        )
        for h in cut.horizons
    ]


def _marks(cut: Cut) -> list[FeatureColumn]:
    """Days in a hole, ahead and behind; nothing where no hole was declared."""
    if not cut.lost:
        return []
    back = max(cut.windows)
    marks = [
        _flag(
            f"hole_days_{h}d",
            days_lost(cut.lost, cut.cutoff, cut.seen_to(h)),
            about=f"days of the {h}-day window touched by a hole in the log",
        )
        for h in cut.horizons
    ]
    past = _flag(
        f"hole_days_past_{back}d",
        days_lost(cut.lost, cut.cutoff - back, cut.cutoff, by_cutoff=True),
        about=f"days of the last {back} touched by a hole in the log, by what was known of the user before the cutoff",
        known=Known.BY_CUTOFF,
    )
    return [*marks, past]


def _targets(ledger: Ledger, cut: Cut) -> list[FeatureColumn]:
    made: list[FeatureColumn] = []
    for h in cut.horizons:
        active = formula("CAST({n} AS DOUBLE)", n=ahead(sql("1"), days=h))
        made.append(_target(cut, "active_days", "days", h, active))
        made += [
            _target(cut, m.label, m.unit, h, in_units(m, ahead(name(m.name), days=h)))
            for m in ledger.measures
        ]
    return made


def _target(cut: Cut, label: str, unit: str, horizon: int, whole: Formula) -> FeatureColumn:
    column = Column(
        name=f"{label}_next_{horizon}d",
        kind=Kind.NUMBER,
        unit=unit,
        purpose=Purpose.TARGET,
        known=Known.AFTER_CUTOFF,
        about=f"{label} in the {horizon} days from the cutoff on; empty unless all of them were observed",
    )
    if horizon not in cut.matured:
        return FeatureColumn(column=column, formula=formula("CAST(NULL AS DOUBLE)"))
    if not cut.lost:
        return FeatureColumn(column=column, formula=whole)
    lost = days_lost(cut.lost, cut.cutoff, cut.cutoff + horizon)
    return FeatureColumn(
        column=column,
        formula=formula(
            "CASE WHEN {l} <= {most} THEN {w} END", l=lost, w=whole, most=floor(cut.most_lost * horizon)
        ),
    )
