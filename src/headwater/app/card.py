"""The data card: what the data are, when, how much, their known faults, and who may use them."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.app.config import Settings
from headwater.core.audit import Audit
from headwater.core.block import Block, Cell, Chart, ChartKind, Field, Form, Grid, Prose, Role
from headwater.core.contract import Events
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.span import date_of
from headwater.engine.expression import columns_of

__all__ = ["card_blocks", "volume_chart"]

_NOT_SAID = "not said; write it under [card] in headwater.toml"
_MOST_FAULTS = 12
_WHERE_MORE = (
    "All of them: in the account and the alarms below, and in 'headwater check' and 'headwater audit'."
)


def card_blocks(
    events: Events,
    ledger: Ledger,
    audit: Audit | None,
    settings: Settings,
    *,
    beside: Sequence[tuple[str, str]] = (),
    findings: Sequence[Finding] = (),
) -> tuple[Block, ...]:
    """The card as a grid, then its known faults as another.

    ``beside`` are lines about the other sources, ``findings`` what is to be known of them.
    """
    facts = [
        *_what(events, settings),
        *beside,
        *_how_much(events, ledger),
        *_when(events, ledger, audit),
        *_who(settings),
    ]
    card = Grid.of(
        "data_card",
        "The data card",
        (Field(name="about", label="About"), Field(name="answer", label="Answer")),
        facts,
    )
    faults = _faults(events, audit, findings)
    fields = (
        Field(name="code", label="Fault"),
        Field(name="rows", label="Rows", form=Form.INTEGER),
        Field(name="what", label="What is known"),
    )
    note = "What was looked for and not found is not listed; what was not looked for is not known."
    if not faults:
        return (card, Prose(text=f"No fault is known. {note}"))
    return (card, Grid.of("known_faults", "Known faults", fields, faults, note=note))


def volume_chart(audit: Audit) -> Chart:
    """Events by day with what was expected: the metric over time that a dashboard would draw."""
    rows = audit.metrics.to_arrow(
        ["day", "metric", "dimension", "observed", "expected", "flagged"]
    ).to_pylist()
    mine = [r for r in rows if r["metric"] == "n_events" and not r["dimension"]]
    n = sum(r["flagged"] for r in mine)
    drawn: list[tuple[Cell, ...]] = [
        (str(date_of(r["day"])), round(r[series]), series)
        for series in ("observed", "expected")
        for r in mine
        if r[series] is not None
    ]
    return Chart(
        name="volume_by_day",
        title="Events by day",
        kind=ChartKind.LINE,
        fields=(
            Field(name="day", label="Day", form=Form.DATE),
            Field(name="n_events", label="Events", form=Form.INTEGER),
            Field(name="series", label="Series"),
        ),
        rows=tuple(drawn),
        roles=((Role.X, "day"), (Role.Y, "n_events"), (Role.SERIES, "series")),
        finding=f"The alarm for volume flags {n} of {len(mine)} days for all events together; single values have their own rows in the audit.",
    )


def _what(events: Events, settings: Settings) -> list[tuple[Cell, ...]]:
    source = events.contract.source
    measures = events.contract.measures
    named = [
        source.user,
        source.at,
        source.known_at,
        source.event,
        source.currency,
        *source.keep,
        *source.types,
    ]
    counted = [c for m in measures for text in (m.expression, m.where) if text for c in columns_of(text)]
    columns = [c for c in (*named, *counted) if c]
    return [
        (
            "What",
            f"{source.event_is or source.event} events of {events.contract.app.name}, from {source.path}",
        ),
        ("Collected for", settings.card.purpose or _NOT_SAID),
        ("Columns", ", ".join(dict.fromkeys(columns))),
        (
            "Measures",
            ", ".join(f"{m.name}{f' ({m.unit})' if m.unit else ''}" for m in measures),
        ),
        ("Fingerprint", events.events.fingerprint),
    ]


def _how_much(events: Events, ledger: Ledger) -> list[tuple[Cell, ...]]:
    share = events.quarantine.n_rows / events.n_rows_in if events.n_rows_in else 0.0
    return [
        ("How much", f"{events.events.n_rows:,} events of {ledger.users.n_rows:,} users; {events.quarantine.n_rows:,} rows ({share:.1%}) in quarantine"),
        ("Grain", f"one row an event; {ledger.days.n_rows:,} user-days in the ledger"),
    ]  # fmt: skip


def _when(events: Events, ledger: Ledger, audit: Audit | None) -> list[tuple[Cell, ...]]:
    zone = events.contract.app.time_zone
    span = f"{date_of(events.first_day)} to {date_of(events.end_day - 1)}, days cut in {zone}"
    late = (
        f"{ledger.settle_days} days after it" if ledger.settle_days else "at once (no load time is declared)"
    )
    holes = "not looked for" if audit is None else f"{len(audit.holes)}, {_hole_days(audit):,.1f} days in all"
    return [("When", span), ("99% of a day is known", late), ("Holes", holes)]


def _hole_days(audit: Audit) -> float:
    return sum(h.end_us - h.first_us for h in audit.holes) / 86_400_000_000


def _who(settings: Settings) -> list[tuple[Cell, ...]]:
    card = settings.card
    return [
        ("Owner", card.owner or _NOT_SAID),
        ("Contact", card.contact or _NOT_SAID),
        ("Who may use it", card.who_may_use or _NOT_SAID),
    ]


def _faults(events: Events, audit: Audit | None, others: Sequence[Finding]) -> list[tuple[Cell, ...]]:
    """Rules that rows broke, then warnings of the gate and the alarms."""
    rules = sorted((r for r in events.rules if r.n_rows), key=lambda r: -r.n_rows)
    found: list[tuple[Cell, ...]] = [(r.code, r.n_rows, f"{r.about}; set aside") for r in rules]
    every = (*events.findings, *others, *(audit.findings if audit else ()))
    for f in every:
        rows = f.numbers.get("n_rows")
        if f.severity is not Severity.NOTE:
            found.append((f.code, rows if isinstance(rows, int) else None, f.what))
    if len(found) <= _MOST_FAULTS:
        return found
    more = f"and {len(found) - _MOST_FAULTS} more"
    return [*found[:_MOST_FAULTS], (more, None, _WHERE_MORE)]
