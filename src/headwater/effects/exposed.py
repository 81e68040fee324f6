"""Who met which arm of an experiment, and when first: the log of exposures, one row a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine, table_scan
from headwater.engine.expression import compile_condition
from headwater.engine.sql import Sql, commas, conjunction, disjunction, name, shim, sql
from headwater.ledgers.measures import after_comma

__all__ = ["ArmCount", "Delay", "Exposed", "read_exposed"]

_MET = "users as exposed"
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long exposures of an arm took to be logged: median and 99th of 100 in hours, and the share after a day or more."""

    arm: str
    n_exposures: int
    median_hours: float
    p99_hours: float
    late_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCount:
    """Users of an arm: kept, crossed (by the arm they met first), first exposed on a day before it became known, triggered."""

    arm: str
    n_users: int
    n_crossed: int
    n_known_later: int | None
    n_triggered: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """The users of an experiment: ``users`` has a row each, with the arm, the first exposure and how many there were.

    Every row of the log is accounted for: ``n_exposures`` of ``n_users`` are kept; the others are ``n_before``
    the start, ``n_after`` the end, ``n_other_arm`` in arms that were not declared, or ``n_crossed_exposures`` of
    the ``n_crossed`` users who met several arms. ``first_day`` and ``end_day`` (exclusive) bound the experiment;
    None: not declared. ``keep`` are columns of the log as of a user's first exposure.
    """

    experiment: str
    arms: tuple[str, ...]
    users: Table
    first_day: int | None
    end_day: int | None
    n_rows: int
    n_exposures: int
    n_users: int
    n_crossed: int
    n_crossed_exposures: int
    n_before: int
    n_after: int
    n_other_arm: int
    n_met_before: int
    n_triggered: int | None
    keep: tuple[str, ...]
    by_arm: tuple[ArmCount, ...]
    delays: tuple[Delay, ...]
    findings: tuple[Finding, ...]
    sql: str


def read_exposed(
    engine: Engine,
    exposures: Table,
    *,
    experiment: str,
    arms: Sequence[str],
    folder: Path,
    first_day: int | None = None,
    end_day: int | None = None,
    time_zone: str = "UTC",
    trigger: str | None = None,
    keep: Sequence[str] = (),
) -> Exposed:
    """One row for each user who met exactly one of ``arms`` within the experiment's days.

    Parameters
    ----------
    exposures
        Rows of ``user_id``, ``experiment``, ``arm``, ``at_us``, ``app_day``, perhaps ``known_us``: a checked source.
    time_zone
        The app's, for the hour of the first exposure.
    trigger
        A condition over columns of the log, such as ``"would_differ == 1"``: a user is triggered where any of the
        exposures is. It must be told in all arms alike.

    Raises
    ------
    DataError
        Nobody met the experiment (``exposures.nobody``).
    ConfigError
        The trigger names a column that is not there.
    """
    query = _users_met(
        exposures,
        experiment=experiment,
        arms=arms,
        first_day=first_day,
        end_day=end_day,
        trigger=trigger,
        keep=keep,
        time_zone=time_zone,
    )
    columns = _columns(exposures, keep=keep, is_triggered=trigger is not None)
    engine.hold(_MET, query)
    try:
        counts = _counted(engine)
        n_triggered = counts.pop("n_triggered")
        if counts["n_users"] == 0:
            raise _nobody(experiment, arms, counts)
        by_arm = _by_arm(engine, arms, is_dated=_is_dated(exposures), is_triggered=trigger is not None)
        kept = _kept(columns, time_zone=time_zone)
        users = engine.write(kept, folder, table="exposed", columns=columns)
        text = engine.text(query)
    finally:
        engine.release(_MET)
    delays = _delays(
        engine, exposures, experiment=experiment, arms=arms, first_day=first_day, end_day=end_day
    )
    return Exposed(
        experiment=experiment,
        arms=tuple(arms),
        users=users,
        first_day=first_day,
        end_day=end_day,
        keep=tuple(keep),
        by_arm=by_arm,
        delays=delays,
        findings=(*_findings(experiment, counts, first_day, end_day), *_late(experiment, delays)),
        sql=text,
        n_triggered=n_triggered if trigger is not None else None,
        **counts,
    )


def _users_met(
    exposures: Table,
    *,
    experiment: str,
    arms: Sequence[str],
    first_day: int | None,
    end_day: int | None,
    trigger: str | None,
    keep: Sequence[str],
    time_zone: str,
) -> Sql:
    """A row for each user with any exposure: what lies before, inside and after, and the arms met inside."""
    kinds = {c.name: c.kind for c in exposures.columns}
    before, after = _outside(first_day, end_day)
    inside = sql("NOT ({b} OR {a})", b=before, a=after)
    met = compile_condition(trigger, kinds) if trigger else sql("FALSE")
    firsts = [
        sql(
            "min_by({c}, {o}) FILTER (WHERE is_inside AND {c} IS NOT NULL) AS {c}",
            c=name(c),
            o=shim("pair", sql("at_us"), name(c)),
        )
        for c in keep
    ]
    known = name("known_us") if "known_us" in kinds else sql("at_us")
    later = sql("{k} > app_day", k=shim("local_day", known, time_zone))
    return sql(
        "SELECT user_id, count(*) AS n_rows, min_by(arm, {then}) FILTER (WHERE is_inside) AS first_arm,"
        " min_by(is_known_later, {then}) FILTER (WHERE is_inside) AS is_known_later, min(arm) FILTER (WHERE is_inside) AS arm,"
        " max(arm) FILTER (WHERE is_inside) AS last_arm, min(at_us) FILTER (WHERE is_inside) AS exposed_us,"
        " CAST(min(app_day) FILTER (WHERE is_inside) AS INTEGER) AS exposed_day,"
        " count(*) FILTER (WHERE is_inside) AS n_exposures, count(*) FILTER (WHERE is_before) AS n_before,"
        " count(*) FILTER (WHERE is_after) AS n_after, max(CASE WHEN is_inside AND is_met THEN 1 ELSE 0 END) = 1 AS is_triggered,"
        " coalesce(min(arm) FILTER (WHERE is_inside) IN ({arms}), FALSE) AS is_declared{firsts}"
        " FROM (SELECT e.*, {before} AS is_before, {after} AS is_after, {inside} AS is_inside, {met} AS is_met, {later} AS is_known_later"
        " FROM {rows} e WHERE experiment = {experiment} AND arm IS NOT NULL) x GROUP BY user_id",
        arms=[sql("{a}", a=a) for a in arms],
        firsts=after_comma(firsts),
        then=shim("pair", sql("at_us"), sql("arm")),
        later=later,
        before=before,
        after=after,
        inside=inside,
        met=met,
        rows=table_scan(exposures),
        experiment=experiment,
    )


def _outside(first_day: int | None, end_day: int | None) -> tuple[Sql, Sql]:
    before = sql("FALSE") if first_day is None else sql("app_day < {d}", d=first_day)
    after = sql("FALSE") if end_day is None else sql("app_day >= {d}", d=end_day)
    return sql("({b})", b=before), sql("({a})", a=after)


def _counted(engine: Engine) -> dict[str, int]:
    kept = sql("(n_exposures > 0 AND arm = last_arm AND is_declared)")
    crossed = sql("(n_exposures > 0 AND arm <> last_arm)")
    other = sql("(n_exposures > 0 AND arm = last_arm AND NOT is_declared)")
    asked = {
        "n_rows": sql("sum(n_rows)"),
        "n_exposures": sql("sum(n_exposures) FILTER (WHERE {k})", k=kept),
        "n_users": sql("count(*) FILTER (WHERE {k})", k=kept),
        "n_crossed": sql("count(*) FILTER (WHERE {c})", c=crossed),
        "n_crossed_exposures": sql("sum(n_exposures) FILTER (WHERE {c})", c=crossed),
        "n_before": sql("sum(n_before)"),
        "n_after": sql("sum(n_after)"),
        "n_other_arm": sql("sum(n_exposures) FILTER (WHERE {o})", o=other),
        "n_met_before": sql("count(*) FILTER (WHERE {k} AND n_before > 0)", k=kept),
        "n_triggered": sql("count(*) FILTER (WHERE {k} AND is_triggered)", k=kept),
    }
    whole = [sql("CAST(coalesce({v}, 0) AS BIGINT)", v=v) for v in asked.values()]
    found = engine.one(sql("SELECT {w} FROM {m} m", w=commas(whole), m=name(_MET)))
    return {key: int(value) for key, value in zip(asked, found, strict=True)}


def _by_arm(
    engine: Engine, arms: Sequence[str], *, is_dated: bool, is_triggered: bool
) -> tuple[ArmCount, ...]:
    kept = sql("(arm = last_arm AND is_declared)")
    found = engine.rows(
        sql(
            "SELECT first_arm, count(*) FILTER (WHERE {k}), count(*) FILTER (WHERE arm <> last_arm),"
            " count(*) FILTER (WHERE {k} AND is_known_later), count(*) FILTER (WHERE {k} AND is_triggered)"
            " FROM {m} m WHERE n_exposures > 0 GROUP BY first_arm",
            k=kept,
            m=name(_MET),
        )
    )
    counts = {str(arm): (int(n), int(c), int(k), int(t)) for arm, n, c, k, t in found}
    return tuple(
        ArmCount(
            arm=arm,
            n_users=n_users,
            n_crossed=n_crossed,
            n_known_later=later if is_dated else None,
            n_triggered=triggered if is_triggered else None,
        )
        for arm, (n_users, n_crossed, later, triggered) in ((a, counts.get(a, (0, 0, 0, 0))) for a in arms)
    )


def _is_dated(exposures: Table) -> bool:
    """Whether the log says when it was received."""
    return any(c.name == "known_us" for c in exposures.columns)


def _kept(columns: Sequence[Column], *, time_zone: str) -> Sql:
    hour = sql("CAST(extract(hour FROM {at}) AS INTEGER)", at=shim("local_at", sql("exposed_us"), time_zone))
    cells = [
        sql("{h} AS exposed_hour", h=hour) if c.name == "exposed_hour" else name(c.name) for c in columns
    ]
    return sql(
        "SELECT {cells} FROM {m} m WHERE n_exposures > 0 AND arm = last_arm AND is_declared ORDER BY exposed_day, user_id",
        cells=commas(cells),
        m=name(_MET),
    )


def _columns(exposures: Table, *, keep: Sequence[str], is_triggered: bool) -> tuple[Column, ...]:
    kinds = {c.name: c.kind for c in exposures.columns}
    met = Column(name="is_triggered", kind=Kind.BOOLEAN, about="whether the experience could differ")
    return (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="arm", kind=Kind.TEXT, about="the only arm met"),
        Column(name="exposed_day", kind=Kind.DAY, about="the app day of the first exposure"),
        Column(name="exposed_us", kind=Kind.TIMESTAMP, about="the first exposure"),
        Column(name="exposed_hour", kind=Kind.INTEGER, about="its hour by the app's clock"),
        Column(name="n_exposures", kind=Kind.INTEGER, about="how many there were"),
        *((met,) if is_triggered else ()),
        *(Column(name=c, kind=kinds[c], about="as of the first exposure") for c in keep),
    )


def _delays(
    engine: Engine,
    exposures: Table,
    *,
    experiment: str,
    arms: Sequence[str],
    first_day: int | None,
    end_day: int | None,
) -> tuple[Delay, ...]:
    """By arm, where the log says when it was received."""
    if not _is_dated(exposures):
        return ()
    inside = sql("NOT ({o})", o=disjunction(_outside(first_day, end_day)))
    asked = [sql("experiment = {e}", e=experiment), inside, sql("known_us IS NOT NULL")]
    found = engine.rows(
        sql(
            "SELECT arm, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY known_us - at_us),"
            " percentile_cont(0.99) WITHIN GROUP (ORDER BY known_us - at_us),"
            " avg(CASE WHEN known_us - at_us >= {day} THEN 1.0 ELSE 0.0 END)"
            " FROM {rows} e WHERE {asked} AND arm IN ({arms}) GROUP BY arm ORDER BY arm",
            day=_DAY_US,
            rows=table_scan(exposures),
            asked=conjunction(asked),
            arms=[sql("{a}", a=a) for a in arms],
        )
    )
    return tuple(
        Delay(
            arm=str(arm),
            n_exposures=int(n),
            median_hours=float(median) / _HOUR_US,
            p99_hours=float(p99) / _HOUR_US,
            late_share=float(late),
        )
        for arm, n, median, p99, late in found
    )


def _findings(
    experiment: str, counts: dict[str, int], first_day: int | None, end_day: int | None
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    n_users, n_crossed = counts["n_users"], counts["n_crossed"]
    if n_crossed:
        share = n_crossed / (n_users + n_crossed)
        found.append(
            Finding(
                code="exposures.crossed",
                severity=Severity.WARN if share > 0.01 else Severity.NOTE,
                what=f"{n_crossed:,} of {n_users + n_crossed:,} users of '{experiment}' ({share:.2%}) met more than one arm; they are left out.",
                why="Their outcome belongs to no arm; where one arm crosses more than another, leaving them out tips the comparison.",
                do="See that arms are assigned by a stable user id (a login on a second device is the usual cause); look at the sample ratio check.",
                numbers={"n_crossed": n_crossed, "share": share},
            )
        )
    if counts["n_other_arm"]:
        found.append(
            Finding(
                code="exposures.unknown_arm",
                severity=Severity.WARN,
                what=f"{counts['n_other_arm']:,} exposures of '{experiment}' are to arms that are not declared; they are left out.",
                why="The shares planned are of the declared arms only.",
                do="Declare every arm under arms, or see why the log holds others.",
                numbers={"n_other_arm": counts["n_other_arm"]},
            )
        )
    outside = counts["n_before"] + counts["n_after"]
    if outside:
        since = "its start" if first_day is None else str(date_of(first_day))
        until = "its end" if end_day is None else str(date_of(end_day))
        found.append(
            Finding(
                code="exposures.outside",
                severity=Severity.WARN if counts["n_met_before"] else Severity.NOTE,
                what=f"{counts['n_before']:,} exposures of '{experiment}' are before {since} and {counts['n_after']:,} on or after {until}; they are left out. {counts['n_met_before']:,} users who are kept were met before the start.",
                why="Whoever was met before the start was treated before the first day that counts: what is known of them before is no longer untouched.",
                do="Correct starts_on or ends_on under [[experiments]], or see who was exposed before the start.",
                numbers={k: counts[k] for k in ("n_before", "n_after", "n_met_before")},
            )
        )
    return tuple(found)


def _late(experiment: str, delays: Sequence[Delay]) -> tuple[Finding, ...]:
    worst = max(delays, key=lambda d: d.late_share, default=None)
    if worst is None or worst.late_share <= 0.01:
        return ()
    by_arm = ", ".join(f"{d.arm} {d.late_share:.1%}" for d in delays)
    return (
        Finding(
            code="exposures.late",
            severity=Severity.WARN,
            what=f"Exposures of '{experiment}' reach the log a day or more after they happened: {by_arm}.",
            why="The latest days hold only the exposures that came quickly, which need not be the same users in every arm.",
            do="Read the experiment a few days after its last exposure, and compare the arms' delays.",
            numbers={f"late_share {d.arm}": d.late_share for d in delays},
        ),
    )


def _nobody(experiment: str, arms: Sequence[str], counts: dict[str, int]) -> DataError:
    left_out = f"{counts['n_before'] + counts['n_after']:,} outside its days, {counts['n_other_arm']:,} to other arms, {counts['n_crossed']:,} users in several"
    return DataError(
        "exposures.nobody",
        what=f"Nobody met the experiment '{experiment}' in the arms {', '.join(arms)}: of {counts['n_rows']:,} exposures, {left_out}.",
        why="There are no users to compare.",
        do="Check the experiment's name, its arms and its days against the source of exposures.",
    )
