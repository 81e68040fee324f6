"""The report's page about the data: the card, the account of rows, what the alarms say, the other sources."""

from __future__ import annotations

from os.path import commonpath
from pathlib import Path

from headwater.app.card import card_blocks, volume_chart
from headwater.app.provenance import part_of
from headwater.app.study import Study
from headwater.core.block import Block, Heading, Page, Prose, callouts
from headwater.core.contract import Events
from headwater.core.ledger import Ledger

__all__ = ["data_page"]


def data_page(study: Study, events: Events, ledger: Ledger) -> Page:
    """What the data are, what was wrong with them, and where the rows in quarantine lie."""
    audit = study.audit()
    volume = volume_chart(audit)
    kept = commonpath([str(Path(f).parent.relative_to(study.root)) for f in events.quarantine.files])
    held = Prose(
        text=f"They make {ledger.days.n_rows:,} user-days of {ledger.users.n_rows:,} users. The rows in quarantine are kept under {kept}, "
        f"each with the codes of all rules it broke, its file and its place in it ({events.rows_are})."
    )
    return Page(
        name="data",
        title="The data and what was wrong with them",
        blocks=(
            *card_blocks(
                events, ledger, audit, study.settings, beside=_beside(study), findings=study.untold()
            ),
            *events.blocks(),
            held,
            *callouts(ledger.findings),
            *(events.identity.blocks() if events.identity else ()),
            *((volume,) if volume.rows else ()),
            *audit.blocks(),
            *_others(study),
            *callouts(study.untold()),
        ),
    )


def _others(study: Study) -> list[Block]:
    """The declared sources beside the events, each with its account."""
    blocks: list[Block] = []
    for source in study.sources():
        blocks += [Heading(text=f"{source.source.name}: {source.source.kind.value}"), *source.blocks()]
    return blocks


def _beside(study: Study) -> tuple[tuple[str, str], ...]:
    """The other sources as lines of the data card."""
    return tuple(
        (
            f"Beside them: {s.source.name}",
            f"{s.rows.n_rows:,} rows of {s.source.kind.value} from {s.source.path}; {part_of(s, study.told())}",
        )
        for s in study.sources()
    )
