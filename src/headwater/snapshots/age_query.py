"""The query of an age: one pass over the first hours for what is known, one over the days for what comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from headwater.core.audit import Hole
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger
from headwater.core.span import parse_span
from headwater.core.table import Column, Kind, Known, Purpose
from headwater.engine.engine import table_scan
from headwater.engine.sql import Sql, commas, name, shim, sql
from headwater.ledgers.hours import FIRST_HOURS
from headwater.snapshots.age_features import age_features
from headwater.snapshots.age_holes import lost_at_age
from headwater.snapshots.attributes import (
    ToldAttributes,
    attribute_columns,
    first_values_at,
    told_values_at,
)
from headwater.snapshots.feature import FeatureColumn, Formula, formula, greatest, in_units, total
from headwater.snapshots.query import Plan

__all__ = ["AgeCut", "age_cut", "age_query"]

_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeCut:
    """An age in hours and what can be seen of it: ``end_day`` ends the log, a window has ended by ``settled``.

    Users first seen before ``edge_day`` are left out.
    """

    hours: int
    horizons: tuple[int, ...]
    end_day: int
    settled: int
    edge_day: int
    as_of: int | None
    cohort_days: int
    time_zone: str
    told: ToldAttributes | None
    holes: tuple[Hole, ...] = ()
    most_lost: float = 0.0

    @property
    def us(self) -> int:
        """The age in microseconds."""
        return self.hours * _HOUR_US

    @property
    def cohort(self) -> Sql:
        """The last first day of the user's cohort."""
        last = self.end_day - 1
        back = shim("integer_division", sql("({e} - first_day)", e=last), self.cohort_days)
        return sql("CAST({e} - {n} * {b} AS INTEGER)", e=last, n=self.cohort_days, b=back)


def age_cut(
    ledger: Ledger,
    *,
    age: str,
    horizons: Sequence[int],
    as_of: int | None,
    cohort_days: int,
    time_zone: str,
    told: ToldAttributes | None,
    holes: Sequence[Hole] = (),
    most_lost: float = 0.0,
) -> AgeCut:
    """An age and what can be seen of it. Raises ``UsageError`` for an age or a horizon that is none."""
    span = parse_span(age)
    hours = span // timedelta(hours=1)
    if not 1 <= hours <= FIRST_HOURS:
        raise UsageError(
            "snapshot.age",
            what=f"The age is {hours} hours; the ledger holds the first {FIRST_HOURS} hours of each user.",
            why="Of a later hour it does not know what came before it.",
            do=f"Choose an age of 1h to {FIRST_HOURS}h, or a snapshot at a cutoff.",
        )
    wanted = tuple(sorted(set(horizons)))
    short = [h for h in wanted if h * 24 <= hours]
    if short or not wanted or cohort_days < 1:
        raise UsageError(
            "snapshot.age_horizon",
            what=f"At an age of {hours} hours, with cohorts of {cohort_days} days: horizons {', '.join(f'{h}d' for h in short) or 'none'}.",
            why="Nothing is left to predict of a window that has ended at the age, and a cohort has at least a day.",
            do=f"Choose horizons of at least {hours // 24 + 1}d, counted from the first day.",
        )
    end = ledger.end_day if as_of is None else min(ledger.end_day, as_of)
    return AgeCut(
        hours=hours,
        horizons=wanted,
        end_day=end,
        settled=end if as_of is None else end - ledger.settle_days,
        edge_day=ledger.first_day + ledger.left_edge_days,
        as_of=as_of,
        cohort_days=cohort_days,
        time_zone=time_zone,
        told=told,
        holes=tuple(holes),
        most_lost=most_lost,
    )


def age_query(
    ledger: Ledger,
    cut: AgeCut,
    *,
    hours: Sql | None = None,
    days: Sql | None = None,
    users: Sql | None = None,
    told: Sql | None = None,
) -> Plan:
    """The query of an age.

    ``hours``, ``days``, ``users`` and ``told`` replace the ledger's rows and the told attributes (the leakage
    check poisons them).
    """
    made = [
        *_keys(cut),
        *age_features(ledger.measures, cut.hours, time_zone=cut.time_zone),
        *_observed(cut),
        *_marks(cut),
        *_targets(ledger, cut),
    ]
    made += attribute_columns(ledger, cut.told, taken=[c.column.name for c in made])
    oldest = greatest(sql("age"))
    partials = dict.fromkeys(p for f in (oldest, *(c.formula for c in made)) for p in f.partials)
    names = {p: name(f"p{k}") for k, p in enumerate(partials)}
    people = _people(ledger, cut, users)
    beside = told_values_at(cut.told, age_us=cut.us, people=people, rows=told)
    query = sql(
        "SELECT {columns} FROM (SELECT user_id, {partials} FROM ({seen}) d GROUP BY user_id) p"
        " JOIN ({people}) u USING (user_id) LEFT JOIN ({ahead}) t USING (user_id){told}"
        " WHERE {oldest} = {age} ORDER BY cutoff, user_id",
        columns=commas([sql("{x} AS {n}", x=c.formula.sql(names), n=name(c.column.name)) for c in made]),
        partials=commas([sql("{x} AS {n}", x=p.aggregate, n=n) for p, n in names.items()]),
        seen=_seen(ledger, table_scan(ledger.user_hours) if hours is None else hours, cut),
        people=people,
        ahead=_ahead(ledger, table_scan(ledger.days) if days is None else days, people, cut),
        told=sql("") if beside is None else sql(" LEFT JOIN ({b}) b USING (user_id)", b=beside),
        oldest=oldest.sql(names),
        age=cut.hours,
    )
    return Plan(query=query, columns=tuple(c.column for c in made))


def _seen(ledger: Ledger, hours: Sql, cut: AgeCut) -> Sql:
    """The hours before the age as known at it; ``age`` counts back from it, the last hour is 1."""
    sums = [sql("CAST(sum({m}) AS BIGINT) AS {m}", m=name(m)) for m in _summed(ledger)]
    return sql(
        "SELECT user_id, {a} - hour AS age, {sums} FROM {hours} h WHERE hour < {a} AND known_hour < {a} GROUP BY user_id, hour",
        a=cut.hours,
        sums=commas(sums),
        hours=hours,
    )


def _summed(ledger: Ledger) -> list[str]:
    return ["n_events", "active_days", *(m.name for m in ledger.measures)]


def _people(ledger: Ledger, cut: AgeCut, users: Sql | None) -> Sql:
    """Users who reached the age before the end of the log, with the first values known at it."""
    firsts = [*first_values_at(ledger, age_us=cut.us), *_lost(ledger, cut)]
    return sql(
        "SELECT {fields} FROM {users} w WHERE first_day >= {edge} AND {day} < {end}",
        fields=commas([sql("user_id"), sql("bucket"), sql("first_day"), sql("first_us"), *firsts]),
        users=table_scan(ledger.users) if users is None else users,
        edge=cut.edge_day,
        day=shim("local_day", sql("(first_us + {last})", last=cut.us - 1), cut.time_zone),
        end=cut.end_day,
    )


def _lost(ledger: Ledger, cut: AgeCut) -> list[Sql]:
    return lost_at_age(
        ledger,
        cut.holes,
        hours=cut.hours,
        horizons=cut.horizons,
        time_zone=cut.time_zone,
        as_of=cut.as_of,
    )


def _ahead(ledger: Ledger, days: Sql, people: Sql, cut: AgeCut) -> Sql:
    """For each user the sums over each horizon from the first day on."""
    then = sql("") if cut.as_of is None else sql(" AND known_day < {a}", a=cut.as_of)
    sums = [name(m.name) for m in ledger.measures]
    rows = sql(
        "SELECT d.user_id, d.app_day - f.first_day AS since, {sums} FROM {days} d JOIN (SELECT user_id, first_day FROM ({people}) w) f"
        " ON d.user_id = f.user_id WHERE d.app_day - f.first_day < {longest}{then}",
        sums=commas([sql("1 AS active_days"), *sums]),
        days=days,
        people=people,
        longest=max(cut.horizons),
        then=then,
    )
    if not ledger.one_row_a_day:
        summed = [sql("1 AS active_days"), *(sql("CAST(sum({s}) AS BIGINT) AS {s}", s=s) for s in sums)]
        rows = sql("SELECT user_id, since, {sums} FROM ({r}) r GROUP BY user_id, since", sums=commas(summed), r=rows)  # fmt: skip
    windows = [
        sql(
            "CAST(sum(CASE WHEN since < {h} THEN {m} ELSE 0 END) AS BIGINT) AS {n}", h=h, m=name(m), n=name(f"{m} in {h}")
        )
        for h in cut.horizons
        for m in ("active_days", *(m.name for m in ledger.measures))
    ]  # fmt: skip
    return sql("SELECT user_id, {windows} FROM ({rows}) r GROUP BY user_id", windows=commas(windows), rows=rows)  # fmt: skip


def _keys(cut: AgeCut) -> list[FeatureColumn]:
    days = "days since 1970"
    cohort = "the last first day of the user's cohort"
    return [
        FeatureColumn(
            column=Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
            formula=formula("{x}", x=name("user_id")),
        ),
        FeatureColumn(
            column=Column(name="cutoff", kind=Kind.DAY, purpose=Purpose.KEY, unit=days, about=cohort),
            formula=formula("{x}", x=cut.cohort),
        ),
        FeatureColumn(
            column=Column(name="bucket", kind=Kind.INTEGER, about="md5 bucket of the user, 0 to 63"),
            formula=formula("{x}", x=name("bucket")),
        ),
        FeatureColumn(
            column=Column(name="first_day", kind=Kind.DAY, unit=days, about="the user's first app day"),
            formula=formula("{x}", x=name("first_day")),
        ),
    ]


def _observed(cut: AgeCut) -> list[FeatureColumn]:
    return [
        FeatureColumn(
            column=Column(
                name=f"observed_days_{h}d",
                kind=Kind.INTEGER,
                unit="days",
                purpose=Purpose.FLAG,
                known=Known.AFTER_CUTOFF,
                about=f"days of the first {h} inside the log",
            ),
            formula=formula(
                "CAST(least({h}, {e} - {f}) AS INTEGER)", h=h, e=cut.end_day, f=name("first_day")
            ),
        )
        for h in cut.horizons
    ]


def _marks(cut: AgeCut) -> list[FeatureColumn]:
    """What holes took: hours before the age, days of each window; nothing where no holes were given."""
    if not cut.holes:
        return []
    early = Column(name="hole_hours", kind=Kind.INTEGER, unit="hours", purpose=Purpose.FLAG, about=f"of the first {cut.hours} hours, those that a hole in the log touches")  # fmt: skip
    return [
        FeatureColumn(column=early, formula=formula("{x}", x=name("hole_hours"))),
        *(
            FeatureColumn(
                column=Column(name=f"hole_days_{h}d", kind=Kind.INTEGER, unit="days", purpose=Purpose.FLAG, known=Known.AFTER_CUTOFF, about=f"of the first {h} days, those that a hole in the log touches"),
                formula=formula("{x}", x=name(f"lost in {h}")),
            )
            for h in cut.horizons
        ),
    ]  # fmt: skip


def _targets(ledger: Ledger, cut: AgeCut) -> list[FeatureColumn]:
    """For each measure and horizon what is added from the age on, and the whole of the window."""
    made: list[FeatureColumn] = []
    for h in cut.horizons:
        days, known = formula("{d}", d=name(f"active_days in {h}")), total(sql("active_days"))
        rest = formula("CAST({d} - {k} AS DOUBLE)", d=days, k=known)
        made += _added(cut, h, label="active_days", unit="days", rest=rest)
        made += _whole(
            cut, h, label="active_days", unit="days", all_of=formula("CAST({d} AS DOUBLE)", d=days)
        )
        for m in ledger.measures:
            whole = formula("{w}", w=name(f"{m.name} in {h}"))
            rest = in_units(m, formula("({w} - {k})", w=whole, k=total(name(m.name))))
            made += _added(cut, h, label=m.label, unit=m.unit, rest=rest)
            made += _whole(cut, h, label=m.label, unit=m.unit, all_of=in_units(m, whole))
    return made


def _added(cut: AgeCut, horizon: int, *, label: str, unit: str, rest: Formula) -> list[FeatureColumn]:
    about = f"{label} from the age on, in the first {horizon} days"
    return [_target(cut, f"{label}_next_{horizon}d", unit, horizon, about=about, made=rest)]


def _whole(cut: AgeCut, horizon: int, *, label: str, unit: str, all_of: Formula) -> list[FeatureColumn]:
    about = f"{label} in the first {horizon} days"
    return [_target(cut, f"{label}_first_{horizon}d", unit, horizon, about=about, made=all_of)]


def _target(cut: AgeCut, label: str, unit: str, horizon: int, *, about: str, made: Formula) -> FeatureColumn:
    column = Column(
        name=label,
        kind=Kind.NUMBER,
        unit=unit,
        purpose=Purpose.TARGET,
        known=Known.AFTER_CUTOFF,
        about=f"{about}; empty until they have ended for the whole cohort, and where holes took more than is allowed",
    )
    whole = sql("TRUE")
    if cut.holes:
        most = sql("{d} <= {n}", d=name(f"lost in {horizon}"), n=int(cut.most_lost * horizon))
        whole = sql("{e} = 0 AND {m}", e=name("hole_hours"), m=most)
    ended = formula(
        "CASE WHEN {c} + {h} <= {end} AND {w} THEN {m} END",
        c=cut.cohort,
        h=horizon,
        end=cut.settled,
        w=whole,
        m=made,
    )
    return FeatureColumn(column=column, formula=ended)
