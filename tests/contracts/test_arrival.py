"""The load time that ``headwater init`` proposes, on small files whose delays are planted; expectations stand in the rows.

A load time hides rows from every past cutoff before it, so what is no load time, or was loaded anew, must not be taken.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from headwater.app.config import contract_of, settings_of
from headwater.app.propose import settings_text
from headwater.contracts.check import check, require_gate
from headwater.contracts.infer import Proposal, Sure, propose
from headwater.contracts.infer_rules import propose_rules
from headwater.core.contract import Events
from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import table_scan
from headwater.engine.sql import sql

TODAY = date(2026, 1, 1)
N = 400
START = datetime(2024, 1, 25, 9, 30)
LAG = timedelta(seconds=90)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    made = DuckDB(threads=1, memory="500MB", spill=tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


def happened(i: int) -> datetime:
    """Ten events a day on forty days."""
    return START + timedelta(days=i // 10, minutes=7 * (i % 10))


def written(path: Path, column: str, known: list[datetime | str], *, at: str = "event_time") -> Path:
    lines = [f"user_id,{column},{at},amount"]
    lines += [f"u{i % 7},{k},{happened(i)},{i % 9}.50" for i, k in enumerate(known)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def gated(engine: DuckDB, proposal: Proposal, folder: Path) -> Events:
    """The proposal as it is written and read again, through the gate on the same data."""
    settings = settings_of(tomllib.loads(settings_text(proposal, path=proposal.source.path)))
    contract = contract_of(settings, today=TODAY)
    assert contract.source.known_at == proposal.source.known_at
    events = check(engine, contract, root=folder, folder=folder / "gate", source_fingerprint="test")
    require_gate(events)
    return events


def prompt() -> list[datetime | str]:
    return [happened(i) + LAG for i in range(N)]


@pytest.mark.parametrize(
    "column",
    ["_loaded_at", "ingested_at", "received_at", "_fivetran_synced", "server_received_time", "known_at"],
)
def test_a_load_or_receipt_time_is_proposed_wherever_it_stands(
    engine: DuckDB, tmp_path: Path, column: str
) -> None:
    known = prompt()
    for i in range(0, N, 50):
        known[i] = happened(i) + timedelta(days=2)
    p = propose(engine, written(tmp_path / "e.csv", column, known), today=TODAY)
    assert (p.source.at, p.source.known_at) == ("event_time", column)
    events = gated(engine, p, tmp_path)
    late = engine.one(
        sql("SELECT count(*) FROM {t} WHERE known_us - at_us = 172800000000", t=table_scan(events.events))
    )
    assert (events.events.n_rows, late) == (N, (8,))


def test_the_comment_gives_the_share_and_the_median_delay_planted(engine: DuckDB, tmp_path: Path) -> None:
    known = prompt()
    known[5] = happened(5) - timedelta(minutes=1)
    p = propose(engine, written(tmp_path / "e.csv", "received_at", known), today=TODAY)
    choice = p.choice("sources.known_at")
    assert choice is not None and choice.sure is Sure.LIKELY
    assert "not before the event in 399 of 400 rows (99.75%)" in choice.reason
    assert "1.5 minutes in the median" in choice.reason
    text = settings_text(p, path="e.csv")
    comments = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    assert choice.reason in comments
    gated(engine, p, tmp_path)


def test_a_creation_time_beside_the_events_own_must_be_confirmed(engine: DuckDB, tmp_path: Path) -> None:
    p = propose(engine, written(tmp_path / "e.csv", "created_at", prompt()), today=TODAY)
    choice = p.choice("sources.known_at")
    assert p.source.known_at == "created_at"
    assert choice is not None and choice.sure is Sure.CONFIRM
    gated(engine, p, tmp_path)


def test_the_load_time_is_preferred_to_the_receipt(engine: DuckDB, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    lines = ["user_id,received_at,event_time,_loaded_at,amount"]
    lines += [f"u{i % 7},{happened(i) + LAG},{happened(i)},{happened(i) + 2 * LAG},1.50" for i in range(N)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert propose(engine, path, today=TODAY).source.known_at == "_loaded_at"


@pytest.mark.parametrize("column", ["shipped_at", "updated_at", "expires_at"])
def test_a_later_time_of_another_name_is_not_taken(engine: DuckDB, tmp_path: Path, column: str) -> None:
    p = propose(engine, written(tmp_path / "e.csv", column, prompt()), today=TODAY)
    assert (p.source.at, p.source.known_at) == ("event_time", None)


def test_a_load_time_that_lies_before_many_events_is_not_taken(engine: DuckDB, tmp_path: Path) -> None:
    known = prompt()
    known[::10] = [happened(i) - LAG for i in range(0, N, 10)]
    assert propose(engine, written(tmp_path / "e.csv", "loaded_at", known)).source.known_at is None


def test_a_load_time_that_many_rows_lack_is_not_taken(engine: DuckDB, tmp_path: Path) -> None:
    """Rows without it would go to quarantine."""
    known = prompt()
    known[::10] = [""] * (N // 10)
    p = propose(engine, written(tmp_path / "e.csv", "loaded_at", known), today=TODAY)
    assert p.source.known_at is None
    assert gated(engine, p, tmp_path).events.n_rows == N


def test_a_load_time_equal_to_the_event_tells_nothing(engine: DuckDB, tmp_path: Path) -> None:
    known: list[datetime | str] = [happened(i) for i in range(N)]
    assert propose(engine, written(tmp_path / "e.csv", "loaded_at", known)).source.known_at is None


@pytest.mark.parametrize(
    "known",
    [
        [happened(N) + timedelta(days=1)] * N,
        [happened(N) + timedelta(days=i % 5) for i in range(N)],
        [happened(N) if i < N // 2 else happened(i) + LAG for i in range(N)],
    ],
    ids=["one day", "five days", "half of it"],
)
def test_a_history_loaded_anew_is_told_not_taken(
    engine: DuckDB, tmp_path: Path, known: list[datetime | str]
) -> None:
    """Half of forty days, reloaded after them, came over 7 days late."""
    p = propose(engine, written(tmp_path / "e.csv", "loaded_at", known), today=TODAY)
    assert p.source.known_at is None
    assert "init.loaded_at_once" in {f.code for f in p.findings}


def test_rules_are_tried_under_the_load_time_proposed(engine: DuckDB, tmp_path: Path) -> None:
    """Two of 400 rows have no load time: the gate sets them aside, and the trial says so."""
    known = prompt()
    known[3] = known[77] = ""
    path = written(tmp_path / "e.csv", "loaded_at", known)
    p = propose(engine, path, today=TODAY)
    assert p.source.known_at == "loaded_at"
    assert propose_rules(engine, path, p, today=TODAY).n_broken == 2
    assert gated(engine, p, tmp_path).quarantine.n_rows == 2


def late_in_part(n_late: int, days: float, n: int = N) -> list[datetime | str]:
    """Prompt rows, of which ``n_late`` came so many days late, spread over the log."""
    late = {(i * n) // n_late for i in range(n_late)}
    assert len(late) == n_late
    return [happened(i) + (timedelta(days=days) if i in late else LAG) for i in range(n)]


@pytest.mark.parametrize(("n_late", "days"), [(24, 40), (199, 40), (24, 400)])
def test_a_late_tail_is_what_a_load_time_is_for(
    engine: DuckDB, tmp_path: Path, n_late: int, days: int
) -> None:
    """Planted: most rows prompt, some over a month late. It is proposed, and says how many came so late."""
    p = propose(
        engine, written(tmp_path / "e.csv", "loaded_at", late_in_part(n_late, days)), today=date(2027, 1, 1)
    )
    assert p.source.known_at == "loaded_at"
    assert "init.loaded_at_once" not in {f.code for f in p.findings}
    choice = p.choice("sources.known_at")
    assert choice is not None
    assert f"{n_late} of {N} rows ({n_late / N:.2%}) came more than 31 days late" in choice.reason


def test_no_late_tail_is_told_where_none_is(engine: DuckDB, tmp_path: Path) -> None:
    """31 days are not more than 31 days."""
    p = propose(engine, written(tmp_path / "e.csv", "loaded_at", late_in_part(24, 31)), today=TODAY)
    choice = p.choice("sources.known_at")
    assert choice is not None
    assert "31 days" not in choice.reason
    assert "quarantine" not in choice.reason


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ([happened(N) + timedelta(days=1)] * N, "all 400 rows came on one day for 40 days of events:"),
        (late_in_part(300, 8), "300 of 400 rows (75.00%) came more than 7 days after they happened"),
    ],
    ids=["one load", "most rows late"],
)
def test_what_is_told_of_a_history_loaded_anew_is_what_was_planted(
    engine: DuckDB, tmp_path: Path, known: list[datetime | str], told: str
) -> None:
    p = propose(engine, written(tmp_path / "e.csv", "loaded_at", known), today=TODAY)
    (found,) = [f for f in p.findings if f.code == "init.loaded_at_once"]
    assert told in found.what
    assert "median" not in found.what


def test_rows_without_the_load_time_are_told_as_the_gate_takes_them(engine: DuckDB, tmp_path: Path) -> None:
    """Planted: three of 400 rows, two empty and one that is no time. The gate sets aside those three."""
    known = prompt()
    known[3] = known[77] = ""
    known[200] = "never"
    p = propose(engine, written(tmp_path / "e.csv", "loaded_at", known), today=TODAY)
    choice = p.choice("sources.known_at")
    assert choice is not None
    assert "in 397 of 397 rows" in choice.reason
    assert "3 of 400 rows (0.75%) have no such time that can be read: the gate puts them in quarantine" in (
        choice.reason
    )
    events = gated(engine, p, tmp_path)
    assert (events.quarantine.n_rows, events.events.n_rows) == (3, 397)
    assert {r.code: r.n_rows for r in events.rules if r.n_rows} == {
        "required(loaded_at)": 2,
        "type(loaded_at)": 1,
    }
