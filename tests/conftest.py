"""What many tests need: an engine, and a bench that turns a few lines of data into events, a ledger, a snapshot."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import headwater.engine.arrays  # registers the reader of tables
from headwater.contracts.check import check
from headwater.core.contract import Aggregate, App, Contract, Events, Measure, RepairSpec, RuleSpec, Source
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import day_of
from headwater.core.table import Table
from headwater.engine.duckdb import DuckDB
from headwater.ledgers.build import build_ledger
from headwater.snapshots.build import build_snapshot

assert headwater.engine.arrays


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is asked of every model needs PyTorch where the model is a network."""
    for item in items:
        given = getattr(item, "callspec", None)
        if given and any(str(v).endswith("_network") for v in given.params.values()):
            item.add_marker("deep")


@pytest.fixture(scope="session", autouse=True)
def _texts_end_once() -> Iterator[None]:
    """Whatever is said in a test, every part of it ends with one mark, and no mark is doubled."""
    with pytest.MonkeyPatch.context() as patch:
        made = Finding.__init__

        def checked(self: Finding, **parts: Any) -> None:
            made(self, **parts)
            if _is_said_by_us(sys._getframe(1)):
                for text in (self.what, self.why, self.do):
                    assert is_one_text(text), f"{self.code}: {text}"

        patch.setattr(Finding, "__init__", checked)
        yield


def _is_said_by_us(frame: FrameType | None) -> bool:
    """Whether a finding is made by the package, not by a test."""
    while frame is not None and frame.f_code.co_filename.endswith("core/errors.py"):
        frame = frame.f_back
    return frame is not None and "/src/headwater/" in frame.f_code.co_filename


def is_one_text(text: str) -> bool:
    """Whether a text ends with exactly one mark and has none doubled (".:", "?.", "..") after a word.

    >>> is_one_text("Did you mean 'a'?"), is_one_text("Did you mean 'a'?."), is_one_text("Write 1..3.")
    (True, False, True)
    """
    own = re.sub(r"(?<!\w)'[^']*'(?!\w)", "'it'", text)
    ends = re.search(r"((?<![.?!;:,])[.?!]\)?|=\.\.\.)$", own)
    return bool(ends) and not re.search(r"[a-z'\")\]][.?!][.:;,?!](?!\w|\.)", own)


@dataclass
class Bench:
    """Each call works in a folder of its own."""

    engine: DuckDB
    root: Path
    _calls: list[Path] = field(default_factory=list)

    def folder(self) -> Path:
        made = self.root / f"call {len(self._calls)}"
        made.mkdir()
        self._calls.append(made)
        return made

    def contract(
        self,
        path: str,
        *,
        zone: str = "UTC",
        rules: Sequence[RuleSpec] = (),
        repairs: Sequence[RepairSpec] = (),
        measures: Sequence[Measure] = (),
        max_share: float = 1.0,
        left_edge_days: int = 0,
        launched_on: str | None = None,
        **source: Any,
    ) -> Contract:
        app = App(
            name="test",
            time_zone=zone,
            currency="GBP",
            launched_on=launched_on,
            left_edge_days=left_edge_days,
        )
        declared = {"user": "user", "at": "at"} | source
        if "event" not in declared:
            declared["event_is"] = "purchase"
        return Contract(
            app=app,
            source=Source(path=path, **declared),
            measures=tuple(measures),
            rules=tuple(rules),
            repairs=tuple(repairs),
            max_share=max_share,
        )

    def check(self, data: str | bytes | pa.Table | None, *, path: str = "log.csv", **settings: Any) -> Events:
        """Write ``data`` to ``path`` (nothing where it is None) and check it."""
        root = self.folder()
        match data:
            case bytes():
                (root / path).write_bytes(data)
            case str():
                (root / path).write_bytes(data.encode())
            case pa.Table():
                pq.write_table(data, root / path)
        return self.check_in(root, self.contract(path, **settings))

    def check_in(self, root: Path, contract: Contract) -> Events:
        return check(self.engine, contract, root=root, folder=self.folder(), source_fingerprint="none")

    def ledger(self, data: str | bytes | pa.Table, **settings: Any) -> Ledger:
        return build_ledger(self.engine, self.check(data, **settings), folder=self.folder())

    def snapshot(self, ledger: Ledger, *, cutoffs: Sequence[str | int], **settings: Any) -> Snapshot:
        days = [c if isinstance(c, int) else day_of(c) for c in cutoffs]
        return build_snapshot(
            self.engine, ledger, cutoffs=days, folder=self.folder(), **{"horizons": (7,), **settings}
        )


def _bench(root: Path) -> Iterator[Bench]:
    engine = DuckDB(threads=2, memory="500MB", spill=root / "spill")
    yield Bench(engine=engine, root=root)
    engine.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from _bench(tmp_path)


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One engine for a whole module: for Hypothesis, which asks many times."""
    yield from _bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture
def engine(bench: Bench) -> DuckDB:
    return bench.engine


@pytest.fixture
def revenue() -> Measure:
    return Measure(name="revenue", aggregate=Aggregate.SUM, expression="quantity * price", unit="GBP")


@pytest.fixture
def rows_of() -> Any:
    """The rows of a table as dicts, in file order."""

    def read(table: Table, *columns: str) -> list[dict[str, Any]]:
        return table.to_arrow(columns or None).to_pylist()

    return read
