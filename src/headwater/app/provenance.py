"""Where every number of a report comes from: its sources, the files its rules look into, fingerprints, seed and version."""

from __future__ import annotations

from collections.abc import Sequence

from headwater import __version__
from headwater.app.study import Study
from headwater.core.contract import Events, RuleSpec
from headwater.core.ledger import Ledger
from headwater.core.sources import Sourced, SourceKind
from headwater.core.span import date_of
from headwater.snapshots.attributes import ToldAttributes

__all__ = ["part_of", "provenance_of"]

_PARTS = {SourceKind.FX: "amounts in the app's currency", SourceKind.USERS: "in no number"}


def provenance_of(study: Study, events: Events, ledger: Ledger) -> tuple[tuple[str, str], ...]:
    """The lines at the foot of a report: what, and its fingerprint."""
    others = study.sources()
    rules = (*events.contract.rules, *(r for s in others for r in s.source.rules))
    return (
        ("Headwater", __version__),
        ("source", f"{events.contract.source.path} ({events.source_fingerprint})"),
        *(
            (
                f"source {s.source.name}",
                f"{s.source.path} ({s.source_fingerprint}; {part_of(s, study.told())})",
            )
            for s in others
        ),
        *(("looked up in", path) for path in _looked_up(rules)),
        (
            "log",
            f"{date_of(events.first_day)} to {date_of(events.end_day - 1)}, days cut in {events.contract.app.time_zone}",
        ),
        ("events", events.events.fingerprint),
        ("quarantine", events.quarantine.fingerprint),
        ("ledger", ledger.days.fingerprint),
        ("seed", str(study.seed)),
    )


def part_of(source: Sourced, told: ToldAttributes | None) -> str:
    """What a source beside the events has to do with the numbers: ``attributes channel, plan``."""
    is_users = source.source.kind is SourceKind.USERS
    names = [c for c in source.source.keep if told is not None and c in told.names]
    if is_users and names and "changed_at" in source.source.columns:
        return f"attributes {', '.join(names)}"
    return _PARTS.get(source.source.kind, "checked; in no forecast")


def _looked_up(rules: Sequence[RuleSpec]) -> list[str]:
    found = [spec.settings.get("path") for spec in rules]
    return sorted({path for path in found if isinstance(path, str)})
