"""Attributes: what was known of a user in words before a cutoff, such as a country or a channel.

They come from the events (the first values of the kept columns, as the ledger's users hold them) and from
declared sources of kind ``users`` whose rows are dated. A source's own word goes before what events say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.sources import Sourced, SourceKind
from headwater.core.table import Column, Kind, Purpose, Table
from headwater.engine.engine import Engine, adopt_by_day, table_scan
from headwater.engine.sql import Sql, commas, name, shim, sql, union_all
from headwater.ledgers.attributes import ALWAYS_FEW, MOST_VALUES, ROWS_A_VALUE, mark_attributes
from headwater.snapshots.feature import FeatureColumn, formula

__all__ = [
    "TOLD_DAY",
    "ToldAttributes",
    "attribute_columns",
    "check_attributes",
    "first_attributes",
    "first_told_before",
    "first_values_at",
    "first_values_before",
    "read_attributes",
    "told_values_at",
    "told_values_before",
]

TOLD_DAY = "told day"
"""The day from which a first told value holds."""

_FIRST = "first "


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldAttributes:
    """What sources of kind ``users`` tell: a row for each user and instant from which it holds.

    ``rows`` has ``user_id``, ``app_day``, ``at_us`` and the told columns, of which those of few values have
    the purpose ``ATTRIBUTE``; ``day_fingerprints`` are those of the rows of each app day.
    """

    rows: Table
    day_fingerprints: tuple[tuple[int, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes."""
        return tuple(c.name for c in self.rows.columns if c.purpose is Purpose.ATTRIBUTE)


def read_attributes(
    engine: Engine, sources: Sequence[Sourced], *, time_zone: str, folder: Path
) -> ToldAttributes | None:
    """The dated attributes that sources of kind ``users`` tell; None where there is none.

    Only a source that says from when its rows hold (``changed_at``; a sign-up time will do) is read: of an
    undated row nobody can say whether it was known by a cutoff. ``time_zone`` is the app's.
    """
    dated = [s for s in sources if s.source.kind is SourceKind.USERS and "changed_at" in s.source.columns]
    texts = dict.fromkeys(c for s in dated for c in _texts(s))
    if not texts:
        return None
    each = [
        sql(
            "SELECT user_id, {day} AS app_day, changed_us AS at_us, {values} FROM {rows} r WHERE changed_us IS NOT NULL",
            day=shim("local_day", sql("changed_us"), time_zone),
            values=commas([_given(c, c in _texts(s)) for c in texts]),
            rows=table_scan(s.rows),
        )
        for s in dated
    ]
    columns = (
        Column(name="user_id", kind=Kind.TEXT, purpose=Purpose.KEY),
        Column(name="app_day", kind=Kind.DAY, purpose=Purpose.KEY, about="the app's day from which it holds"),
        Column(name="at_us", kind=Kind.TIMESTAMP, about="from when it holds"),
        *(Column(name=c, kind=Kind.TEXT, about="told by a source of users") for c in texts),
    )
    files = engine.write_files(union_all(each), folder, table="attributes")
    rows, prints = adopt_by_day(engine, files, table="attributes", columns=columns)
    return ToldAttributes(rows=mark_attributes(engine, rows, list(texts)), day_fingerprints=prints)


def check_attributes(sources: Sequence[Sourced], told: ToldAttributes | None) -> tuple[Finding, ...]:
    """What sources of kind ``users`` hold that no snapshot does: undated rows, columns that are no attributes."""
    used = told.names if told is not None else ()
    found: list[Finding] = []
    for source in (s for s in sources if s.source.kind is SourceKind.USERS):
        left = [c for c in source.source.keep if c not in used]
        if "changed_at" not in source.source.columns:
            found.append(_undated(source))
        elif left:
            found.append(_unused(source, left))
    return tuple(found)


def _undated(source: Sourced) -> Finding:
    kept = ", ".join(source.source.keep) or "none"
    return Finding(
        code="attributes.undated",
        severity=Severity.WARN,
        what=f"The source '{source.source.name}' ({source.rows.n_rows:,} rows) does not say from when its rows hold; no snapshot holds what it tells (columns kept: {kept}).",
        why="Of an undated row nobody can say whether it was known by a cutoff: a plan bought later would look like a cause. No model and no group uses it.",
        do='Name the column from when a row holds (changed_at = "signed_up_at") under its [[sources]]; for what never changes, such as the channel a user came by, the sign-up time will do.',
        numbers={"n_rows": source.rows.n_rows},
    )


def _unused(source: Sourced, columns: Sequence[str]) -> Finding:
    return Finding(
        code="attributes.unused",
        severity=Severity.NOTE,
        what=f"Of what the source '{source.source.name}' keeps, no snapshot holds {', '.join(columns)}.",
        why=f"An attribute is text of few different values ({ALWAYS_FEW}, or one for every {ROWS_A_VALUE} rows, and {MOST_VALUES} at most): of a value that few users share nothing can be learned.",
        do='Keep a coarser column (a country in place of a city), or type a code that stands for a group as text (types = { plan = "text" }).',
        numbers={"n_columns": len(columns)},
    )


def first_attributes(ledger: Ledger) -> tuple[str, ...]:
    """The kept columns whose first values are attributes."""
    return tuple(c.name.removeprefix(_FIRST) for c in ledger.users.columns if c.purpose is Purpose.ATTRIBUTE)


def attribute_columns(
    ledger: Ledger, told: ToldAttributes | None, *, taken: Collection[str]
) -> tuple[FeatureColumn, ...]:
    """The attribute columns of a snapshot, over what the two queries below name.

    Each is named as in its source; where a column of the snapshot has that name (``taken``, whatever the
    case), with ``first_`` before it.
    """
    told_names = told.names if told is not None else ()
    firsts = [c for c in first_attributes(ledger) if c not in told_names]
    used = {t.casefold() for t in taken}
    made: list[FeatureColumn] = []
    for column, own, about in (
        *((c, f"told {c}", f"{c}, as last told by a source of users before the cutoff") for c in told_names),
        *((c, f"{_FIRST}{c}", f"the {c} that was known first") for c in firsts),
    ):
        label = column
        while label.casefold() in used:
            label = f"first_{label}"
        used.add(label.casefold())
        shown = Column(name=label, kind=Kind.TEXT, purpose=Purpose.ATTRIBUTE, about=about)
        made.append(FeatureColumn(column=shown, formula=formula("{v}", v=name(own))))
    return tuple(made)


def first_values_before(ledger: Ledger, *, cutoff: int | None, users: Sql | None = None) -> Sql | None:
    """For each user the first values known before a cutoff (``first <c>``), whenever known for None; None without attributes.

    ``users`` replaces the ledger's users.
    """
    kept = first_attributes(ledger)
    if not kept:
        return None
    values = [
        sql("{f}", f=name(f"{_FIRST}{c}"))
        if cutoff is None
        else sql(
            "CASE WHEN {d} < {t} THEN {f} END AS {f}", d=name(f"day {c}"), t=cutoff, f=name(f"{_FIRST}{c}")
        )
        for c in kept
    ]
    scan = table_scan(ledger.users) if users is None else users
    return sql("SELECT user_id, {values} FROM {users} u", values=commas(values), users=scan)


def first_values_at(ledger: Ledger, *, age_us: int) -> list[Sql]:
    """The first values known before an age of the user (``first <c>``), over the ledger's users."""
    return [
        sql(
            "CASE WHEN {at} < first_us + {age} THEN {f} END AS {f}",
            at=name(f"at {c}"),
            age=age_us,
            f=name(f"{_FIRST}{c}"),
        )
        for c in first_attributes(ledger)
    ]


def told_values_before(told: ToldAttributes | None, *, cutoff: int, rows: Sql | None = None) -> Sql | None:
    """For each user the values told last before a cutoff (``told <c>``); None without attributes.

    ``rows`` replaces those of the source.
    """
    if told is None or not told.names:
        return None
    return sql(
        "SELECT user_id, {values} FROM {rows} r WHERE app_day < {cutoff} GROUP BY user_id",
        values=commas(_last_told(told)),
        rows=table_scan(told.rows) if rows is None else rows,
        cutoff=cutoff,
    )


def first_told_before(told: ToldAttributes, attribute: str, *, cutoff: int) -> Sql:
    """For each user the value of one attribute that was told first (by its own name), before a cutoff, and its day (``TOLD_DAY``)."""
    return sql(
        "SELECT user_id, min_by({a}, {o}) AS {a}, min(app_day) AS {d} FROM {rows} r WHERE {a} IS NOT NULL AND app_day < {cutoff} GROUP BY user_id",
        a=name(attribute),
        o=shim("pair", sql("at_us"), name(attribute)),
        d=name(TOLD_DAY),
        rows=table_scan(told.rows),
        cutoff=cutoff,
    )


def told_values_at(
    told: ToldAttributes | None, *, age_us: int, people: Sql, rows: Sql | None = None
) -> Sql | None:
    """As ``told_values_before``, before an age of each of the ``people`` (with ``first_us``)."""
    if told is None or not told.names:
        return None
    return sql(
        "SELECT user_id, {values} FROM (SELECT r.*, f.first_us AS began FROM {rows} r JOIN (SELECT user_id, first_us FROM ({people}) w) f"
        " ON r.user_id = f.user_id) r WHERE at_us < began + {age} GROUP BY user_id",
        values=commas(_last_told(told)),
        rows=table_scan(told.rows) if rows is None else rows,
        people=people,
        age=age_us,
    )


def _last_told(told: ToldAttributes) -> list[Sql]:
    return [
        sql(
            "max_by({c}, {o}) FILTER (WHERE {c} IS NOT NULL) AS {t}",
            c=name(c),
            o=shim("pair", sql("at_us"), name(c)),
            t=name(f"told {c}"),
        )
        for c in told.names
    ]


def _texts(source: Sourced) -> tuple[str, ...]:
    kinds = {c.name: c.kind for c in source.rows.columns}
    return tuple(c for c in source.source.keep if kinds[c] is Kind.TEXT)


def _given(column: str, there: bool) -> Sql:
    value = sql("nullif({c}, '')", c=name(column)) if there else sql("CAST(NULL AS STRING)")
    return sql("{v} AS {c}", v=value, c=name(column))
