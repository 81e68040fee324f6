"""Running totals of exposed users, against brute force in plain Python; a daily append against a rebuild."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.contract import Aggregate, Measure
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger
from headwater.core.span import date_of, day_of
from headwater.core.table import Column, Kind, Table
from headwater.effects.day_totals import DayTotal
from headwater.effects.exposed import Exposed, read_exposed
from headwater.effects.running_totals import RunningTotals, running_totals, units_of
from headwater.engine.sql import sql

START = day_of("2024-03-01")
FIRST, END, N_DAYS = START + 6, START + 14, 20  # of the experiment; of the log
TOTALS = (
    DayTotal(name="spend", measure="spend", end=4),
    DayTotal(name="active_days", measure="active_days", end=4),
    DayTotal(name="spend_before", measure="spend", first=-5, end=0),
    DayTotal(name="back_later", measure="active_days", first=3, end=6),
    DayTotal(name="to_end", measure="spend"),
    DayTotal(name="bought_on", measure="spend", end=6, is_first_day=True),
)
SPEND = Measure(name="spend", aggregate=Aggregate.SUM, expression="amount")

Event = tuple[str, int, int, int]  # user, day, day it became known, amount
Met = tuple[str, str, int]  # user, arm, day


def ledger_of(bench: Any, events: list[Event], *, until: int) -> Ledger:
    """The ledger of what was known before a day."""
    lines = [f"{u},{date_of(d)} 10:00:00,{date_of(k)} 11:00:00,{a}" for u, d, k, a in events if k < until]
    closing = f"closing,{date_of(until - 1)} 10:00:00,{date_of(until - 1)} 11:00:00,0"
    return bench.ledger(
        "\n".join(["user,at,known,amount", *lines, closing]) + "\n",
        measures=[SPEND],
        known_at="known",
        types={"amount": Kind.INTEGER},
    )


def exposed_of(bench: Any, met: list[Met], *, until: int, end_day: int | None = END) -> Exposed:
    seen = [m for m in met if m[2] < until]
    rows = pa.table(
        {
            "user_id": [u for u, _, _ in seen],
            "experiment": ["x"] * len(seen),
            "arm": [a for _, a, _ in seen],
            "at_us": [d * 86_400_000_000 for _, _, d in seen],
            "app_day": pa.array([d for _, _, d in seen], pa.int32()),
        }
    )
    bench.engine.register("met", rows)
    columns = [Column(name=c, kind=Kind.TEXT) for c in rows.column_names]
    table = bench.engine.write(sql("SELECT * FROM met"), bench.folder(), table="rows", columns=columns)
    return read_exposed(bench.engine, table, experiment="x", arms=("a", "b"), first_day=FIRST, end_day=end_day, folder=bench.folder())  # fmt: skip


def brute_force(events: list[Event], met: list[Met], *, until: int) -> dict[str, tuple[Any, ...]]:
    """What the totals must be, one user and one event at a time."""
    found: dict[str, tuple[Any, ...]] = {}
    for user in sorted({u for u, _, d in met if FIRST <= d < min(END, until)}):
        mine = [(a, d) for u, a, d in met if u == user and FIRST <= d < min(END, until)]
        if len({a for a, _ in mine}) > 1:
            continue
        day = min(d for _, d in mine)
        days: dict[int, int] = {}
        for u, d, k, amount in events:
            if u == user and k < until:
                days[d - day] = days.get(d - day, 0) + amount
        bought = [o for o, spent in days.items() if 0 <= o < 6 and spent > 0]
        found[user] = (
            sum(v for o, v in days.items() if 0 <= o < 4),
            sum(1 for o in days if 0 <= o < 4),
            sum(v for o, v in days.items() if -5 <= o < 0),
            sum(1 for o in days if 3 <= o < 6),
            sum(v for o, v in days.items() if o >= 0 and o + day < END),
            min(bought) if bought else None,
        )
    return found


def totals_of(running: RunningTotals) -> dict[str, tuple[Any, ...]]:
    rows = running.rows.to_arrow().to_pylist()
    return {r["user_id"]: tuple(r[t.name] for t in TOTALS) for r in rows}


def world(seed: int, *, late_share: float) -> tuple[list[Event], list[Met]]:
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for user in range(12):
        for day in range(START, START + N_DAYS):
            if rng.random() < 0.45:
                known = day + (int(rng.integers(1, 5)) if rng.random() < late_share else 0)
                events.append((f"u{user}", day, known, int(rng.integers(0, 3)) * 5))
    met = [
        (f"u{user}", "a" if user % 2 or rng.random() < 0.1 else "b", int(rng.integers(FIRST - 1, END + 1)))
        for user in range(12)
        for _ in range(2)
    ]
    return events, met


@given(seed=st.integers(0, 2**31), late_share=st.sampled_from([0.0, 0.25]), step=st.integers(2, 5))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_appending_days_equals_a_rebuild_and_brute_force(
    shared_bench: Any, seed: int, late_share: float, step: int
) -> None:
    """Days come one by one or several at once, facts of earlier days come late, users cross arms later."""
    bench = shared_bench
    events, met = world(seed, late_share=late_share)
    running, until = None, START
    for until in [*range(FIRST + 3, START + N_DAYS, step), START + N_DAYS]:
        if brute_force([], met, until=until):
            ledger, exposed = ledger_of(bench, events, until=until), exposed_of(bench, met, until=until)
            running = running_totals(bench.engine, exposed, ledger, totals=TOTALS, folder=bench.folder(), earlier=running)  # fmt: skip
            assert totals_of(running) == brute_force(events, met, until=until)
            assert running.n_kept + running.n_appended + running.n_rebuilt == running.rows.n_rows
    exposed, ledger = exposed_of(bench, met, until=until), ledger_of(bench, events, until=until)
    anew = running_totals(bench.engine, exposed, ledger, totals=TOTALS, folder=bench.folder())
    assert running is not None
    assert anew.rows.fingerprint == running.rows.fingerprint
    assert anew.day_fingerprints == running.day_fingerprints


def test_a_day_more_adds_to_open_windows_only_by_hand(bench: Any) -> None:
    events = [("u", START + d, START + d, 5) for d in range(N_DAYS)] + [("v", START, START, 1)]
    met = [("u", "a", FIRST), ("v", "b", FIRST + 6)]
    totals = TOTALS[:3]

    def at(until: int, earlier: RunningTotals | None) -> RunningTotals:
        return running_totals(
            bench.engine,
            exposed_of(bench, met, until=until),
            ledger_of(bench, events, until=until),
            totals=totals,
            folder=bench.folder(),
            earlier=earlier,
        )

    first = at(FIRST + 8, None)
    second = at(FIRST + 9, first)
    assert (first.n_kept, first.n_appended, first.n_rebuilt) == (0, 0, 2)
    assert (second.n_kept, second.n_appended, second.n_rebuilt) == (1, 1, 0)


def test_a_window_that_is_not_over_is_null_never_a_part_of_it(bench: Any) -> None:
    events = [("u", START + d, START + d, 5) for d in range(N_DAYS)]
    exposed = exposed_of(bench, [("u", "a", FIRST)], until=FIRST + 3)

    def units(n_days: int) -> dict[str, Any]:
        ledger = ledger_of(bench, events, until=FIRST + n_days)
        running = running_totals(bench.engine, exposed, ledger, totals=TOTALS, folder=bench.folder())
        (row,) = bench.engine.arrow(units_of(running)).to_pylist()
        return row

    before, after = units(3), units(4)
    assert (before["observed_days"], before["spend"], before["active_days"]) == (3, None, None)
    assert before["spend_before"] == 25.0
    assert before["bought_on"] == 0
    assert (after["observed_days"], after["spend"], after["active_days"]) == (4, 20.0, 4.0)
    assert (after["back_later"], after["to_end"]) == (None, None)


def test_restated_days_are_said(bench: Any) -> None:
    met = [("u", "a", FIRST)]
    events = [("u", FIRST, FIRST, 5), ("u", FIRST, FIRST + 2, 7)]
    runs: list[RunningTotals] = []
    for until in (FIRST + 2, FIRST + 3):
        runs.append(
            running_totals(
                bench.engine,
                exposed_of(bench, met, until=until),
                ledger_of(bench, events, until=until),
                totals=TOTALS[:1],
                folder=bench.folder(),
                earlier=runs[-1] if runs else None,
            )
        )
    assert [r.rows.to_arrow().to_pylist()[0]["spend"] for r in runs] == [5, 12]
    assert "experiment.restated" in {f.code for f in runs[1].findings}
    assert "experiment.short_history" not in {f.code for f in runs[1].findings}


def test_a_measure_that_is_not_there_is_refused(bench: Any) -> None:
    exposed = exposed_of(bench, [("u", "a", FIRST)], until=END)
    ledger = ledger_of(bench, [("u", FIRST, FIRST, 5)], until=END)
    with pytest.raises(UsageError):
        running_totals(bench.engine, exposed, ledger, totals=[DayTotal(name="x", measure="spent", end=3)], folder=bench.folder())  # fmt: skip


def test_rows_are_as_exposed(bench: Any) -> None:
    exposed = exposed_of(bench, [("u", "a", FIRST)], until=END)
    ledger = ledger_of(bench, [("u", FIRST, FIRST, 5)], until=END)
    rows: Table = running_totals(bench.engine, exposed, ledger, totals=TOTALS, folder=bench.folder()).rows
    assert [c.name for c in rows.columns][:5] == ["user_id", "arm", "exposed_day", "exposed_us", "exposed_hour"]  # fmt: skip
