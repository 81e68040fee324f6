"""The data half of a run: sources checked, the ledger, the audit, snapshots. Only what changed is done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path

from headwater.app.catalog import file_fingerprints, source_fingerprint
from headwater.app.config import Settings, contract_of
from headwater.app.declared import DeclaredSources
from headwater.app.quality_settings import alarm_specs
from headwater.app.steps import Steps, ledger_key
from headwater.contracts.audit import audit
from headwater.contracts.check import check, require_gate, require_past
from headwater.core.audit import Audit, Hole
from headwater.core.contract import Contract, Events
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.sources import Sourced, SourceKind
from headwater.core.span import as_days, day_of
from headwater.engine.sources import known_rows
from headwater.engine.sql import Sql
from headwater.ledgers.build import build_ledger
from headwater.snapshots.ages import build_age_snapshot
from headwater.snapshots.attributes import ToldAttributes, check_attributes, read_attributes
from headwater.snapshots.build import build_cutoff, held_days, join_snapshots, require_inside
from headwater.snapshots.cut import Cut, cut_of, snapshot_key

__all__ = ["Dataset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    told: ToldAttributes | None


class Dataset:
    """Events, ledger, audit and snapshots of one workspace."""

    def __init__(
        self, root: Path, settings: Settings, contract: Contract, steps: Steps, *, today: date
    ) -> None:
        self.root = root
        self.settings = settings
        self.contract = contract
        self.steps = steps
        self.today = today
        self.declared = DeclaredSources(root, settings, contract, steps, today=today)
        self._events: Events | None = None
        self._ledger: Ledger | None = None
        self._audit: Audit | None = None
        self._told: tuple[ToldAttributes | None] | None = None
        self._snapshots: dict[tuple[object, ...], Snapshot] = {}

    def events(self, *, gate: bool = True) -> Events:
        """The quality gate. Raises ``GateError`` where the load fails it, unless ``gate`` is false.

        One session reads its source once: a file that changes meanwhile is seen by the next.
        """
        events = self._events = self._events or self._checked()
        if gate:
            require_gate(events)
            require_past(events, day_of(self.today))
        return events

    def _checked(self) -> Events:
        own = (self.root / self.settings.deliver.folder,)
        files = self.declared.events_files().files
        rates = self.declared.rates_for_events()
        prints = file_fingerprints(self._catalog, files)
        read = source_fingerprint(prints, root=self.root)
        looked_up = self.declared.looked_up(self.contract.rules)
        line = {"contract": contract_of(self.settings, today=date.min), "looked_up": looked_up}
        return self.steps.step(
            "check",
            {"contract": self.contract, "looked_up": looked_up, "source": read, "rates": rates},
            Events,
            lambda folder: check(
                self.steps.engine,
                self.contract,
                root=self.root,
                folder=folder,
                source_fingerprint=read,
                skip=own,
                prints=prints,
                earlier=self.steps.store.latest("check", line, Events),
                given=files,
                rates=rates,
            ),
            title="checking the data",
            n_rows=known_rows(files),
            line=line,
        )

    def sources(self) -> tuple[Sourced, ...]:
        """The declared sources beside the events, each through its gate."""
        return self.declared.checked()

    @property
    def _catalog(self) -> Path:
        return self.steps.store.root / "catalog.sqlite"

    def ledger(self) -> Ledger:
        """The ledger of the kept events; days whose events did not change are taken over."""
        self._ledger = self._ledger or self._built()
        return self._ledger

    def _built(self) -> Ledger:
        events = self.events()
        line = {
            "measures": self.contract.measures,
            "app": self.contract.app,
            "keep": self.contract.source.keep,
            "known_at": self.contract.source.known_at,
        }
        return self.steps.step(
            "ledger",
            line | {"events": events.events.fingerprint},
            Ledger,
            lambda folder: build_ledger(
                self.steps.engine,
                events,
                folder=folder,
                earlier=self.steps.store.latest("ledger", line, Ledger),
            ),
            title="building the ledger",
            n_rows=events.events.n_rows,
            line=line,
        )

    def audit(self) -> Audit:
        """What the alarms say of the load as a whole; freshness is judged against the day of the run."""
        self._audit = self._audit or self._audited()
        return self._audit

    def _audited(self) -> Audit:
        events, ledger = self.events(), self.ledger()
        specs = alarm_specs(self.settings.alarms)
        holidays = tuple(day_of(d) for d in self.settings.app.holidays)
        now = datetime.combine(self.today, time(), UTC)
        key = {
            "events": events.events.fingerprint,
            "ledger": ledger.days.fingerprint,
            "keep": self.contract.source.keep,
            "app": self.contract.app,
            "measures": self.contract.measures,
            "alarms": specs,
            "holidays": holidays,
            "now": now.isoformat(),
        }
        return self.steps.step(
            "audit",
            key,
            Audit,
            lambda folder: audit(
                self.steps.engine,
                events,
                ledger,
                alarms=specs,
                holidays=holidays,
                folder=folder,
                now_us=int(now.timestamp()) * 1_000_000,
            ),
            title="listening for alarms",
            n_rows=events.events.n_rows,
        )

    def told(self) -> ToldAttributes | None:
        """What dated sources of users tell of them (a channel, a plan), each from when it holds."""
        self._told = self._told or (self._read_told(),)
        return self._told[0]

    def untold(self) -> tuple[Finding, ...]:
        """What sources of users hold that no snapshot does."""
        if not self._tells_of_users:
            return ()
        return check_attributes(self.sources(), self.told())

    @property
    def _tells_of_users(self) -> bool:
        return any(s.kind is SourceKind.USERS for s in self.declared.others)

    def _read_told(self) -> ToldAttributes | None:
        if not self._tells_of_users:
            return None
        sources, zone = self.sources(), self.contract.app.time_zone
        return self.steps.step(
            "attributes",
            {"sources": [s.rows.fingerprint for s in sources], "time_zone": zone},
            _Told,
            lambda folder: _Told(
                told=read_attributes(self.steps.engine, sources, time_zone=zone, folder=folder)
            ),
        ).told

    def snapshot(
        self, *, cutoffs: Sequence[int], horizons: Sequence[int], as_of: int | None = None
    ) -> Snapshot:
        """A snapshot; ``as_of`` cuts the ledger itself. A cutoff that saw nothing new is taken over."""
        wanted = (tuple(sorted(set(cutoffs))), tuple(horizons), as_of)
        if wanted not in self._snapshots:
            taken = self._taken(wanted[0], horizons, as_of)
            self._snapshots[wanted] = replace(taken, findings=(*taken.findings, *self.untold()))
        return self._snapshots[wanted]

    def _taken(self, cutoffs: Sequence[int], horizons: Sequence[int], as_of: int | None) -> Snapshot:
        ledger, engine = self.ledger(), self.steps.engine
        require_inside(ledger, cutoffs, as_of=as_of)
        cuts = [self._cut(ledger, c, horizons, as_of) for c in cutoffs]
        if all(self._there(ledger, cut) for cut in cuts):
            return join_snapshots([self._cutoff(ledger, cut, None) for cut in cuts])
        with (
            self.steps.watched("taking snapshots", step="snapshot", n_rows=ledger.days.n_rows),
            held_days(engine, ledger) as days,
        ):
            return join_snapshots([self._cutoff(ledger, cut, days) for cut in cuts])

    def _cutoff(self, ledger: Ledger, cut: Cut, days: Sql | None) -> Snapshot:
        return self.steps.step(
            "snapshot",
            snapshot_key(ledger, cut),
            Snapshot,
            lambda folder: build_cutoff(self.steps.engine, ledger, cut, folder=folder, days=days),
        )

    def at_age(self, hours: int, *, horizon_days: int, cohort_days: int) -> Snapshot:
        """Users as known so many hours after their first event. Raises as ``build_age_snapshot`` does."""
        ledger, settings = self.ledger(), self.settings
        asked = {"age_hours": hours, "horizon_days": horizon_days, "cohort_days": cohort_days}
        return self.steps.step(
            "age_snapshot",
            {
                "ledger": ledger_key(ledger),
                "hours": ledger.user_hours.fingerprint,
                "view": self.view(),
                "asked": asked,
            },
            Snapshot,
            lambda folder: build_age_snapshot(
                self.steps.engine,
                ledger,
                age=f"{hours}h",
                horizons=(horizon_days,),
                folder=folder,
                cohort_days=cohort_days,
                time_zone=self.contract.app.time_zone,
                told=self.told(),
                holes=self._holes(),
                most_lost=settings.gate.max_hole_share,
            ),
            title=f"taking the snapshot at {hours} hours",
            n_rows=ledger.user_hours.n_rows,
        )

    def view(self) -> dict[str, object]:
        """What shapes every snapshot beside the ledger."""
        return {
            "windows": self.settings.features.windows,
            "holes": self._holes(),
            "max_hole_share": self.settings.gate.max_hole_share,
            "time_zone": self.contract.app.time_zone,
            "told": None if (told := self.told()) is None else told.rows.fingerprint,
        }

    def _holes(self) -> tuple[Hole, ...]:
        """The holes whose users can be told: everybody's, and those of a kept column's first value; others are only reported."""
        kept = {None, *self.contract.source.keep}
        return tuple(h for h in self.audit().holes if h.dimension in kept)

    def _cut(self, ledger: Ledger, cutoff: int, horizons: Sequence[int], as_of: int | None) -> Cut:
        return cut_of(
            ledger,
            cutoff=cutoff,
            horizons=horizons,
            as_of=as_of,
            windows=[as_days(w) for w in self.settings.features.windows],
            holes=self._holes(),
            most_lost=self.settings.gate.max_hole_share,
            time_zone=self.contract.app.time_zone,
            told=self.told(),
        )

    def _there(self, ledger: Ledger, cut: Cut) -> bool:
        return self.steps.store.find("snapshot", snapshot_key(ledger, cut), Snapshot) is not None
