"""The declared sources of a workspace: landed where they are not files here, checked, the exchange rates read off them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from headwater.app.catalog import file_fingerprints, source_fingerprint
from headwater.app.config import Settings, other_sources_of
from headwater.app.steps import Steps
from headwater.contracts.currency import Rates, rates_of
from headwater.contracts.kinds_check import check_source, require_source_gate
from headwater.core.contract import Contract, RuleSpec
from headwater.core.sources import OtherSource, Sourced, SourceKind
from headwater.engine.landing import Landed
from headwater.engine.places import land_source
from headwater.engine.sources import find_files

__all__ = ["DeclaredSources"]


class DeclaredSources:
    """The sources that ``headwater.toml`` names, wherever they are."""

    def __init__(
        self, root: Path, settings: Settings, contract: Contract, steps: Steps, *, today: date
    ) -> None:
        self.root = root
        self.settings = settings
        self.contract = contract
        self.steps = steps
        self.others = other_sources_of(settings, today=today)

    def events_files(self) -> Landed:
        """The files of the events, landed where the source is elsewhere."""
        source = self.contract.source
        return self._landed(source.path, source.table, "events")

    def rates_for_events(self) -> Rates | None:
        """The exchange rates, where the events' money may be in other currencies."""
        source = self.contract.source
        return self._rates() if source.currency is not None or source.currency_is is not None else None

    def checked(self) -> tuple[Sourced, ...]:
        """Every source beside the events, checked; exchange rates first. Raises ``GateError`` where one fails its gate."""
        return tuple(self._checked(source) for source in self.others)

    def _rates(self) -> Rates | None:
        fx = next((s for s in self.others if s.kind is SourceKind.FX), None)
        return rates_of(self.steps.engine, self._checked(fx)) if fx is not None else None

    def _checked(self, source: OtherSource) -> Sourced:
        landed = self._landed(source.path, source.table, source.name)
        prints = file_fingerprints(self.steps.store.root / "catalog.sqlite", landed.files)
        read = source_fingerprint(prints, root=self.root)
        rates = self._rates() if _is_priced(source) else None
        made = self.steps.step(
            "source",
            {
                "source": source,
                "app": self.contract.app,
                "read": read,
                "rates": rates,
                "looked_up": self.looked_up(source.rules),
            },
            Sourced,
            lambda folder: check_source(
                self.steps.engine,
                source,
                app=self.contract.app,
                root=self.root,
                folder=folder,
                source_fingerprint=read,
                files=landed.files,
                rates=rates,
            ),
            title=f"checking {source.name}",
        )
        require_source_gate(made)
        return made

    def looked_up(self, rules: Sequence[RuleSpec]) -> str:
        """A fingerprint of the files in which rules look values up."""
        named = [spec.settings.get("path") for spec in rules]
        files = [f for path in named if isinstance(path, str) for f in find_files(self.root / path)]
        prints = file_fingerprints(self.steps.store.root / "catalog.sqlite", files)
        return source_fingerprint(prints, root=self.root)

    def _landed(self, path: str, table: str | None, name: str) -> Landed:
        return land_source(
            path,
            root=self.root,
            folder=self.steps.store.root / "landing" / name,
            table=table,
            threads=self.steps.engine.threads,
            skip=(self.root / self.settings.deliver.folder,),
            variables=os.environ,
            engine=self.steps.engine,
        )


def _is_priced(source: OtherSource) -> bool:
    return "amount" in source.columns and ("currency" in source.columns or source.currency_is is not None)
