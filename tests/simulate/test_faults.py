"""The truth of planted faults against the rows of the files, read back with plain pyarrow."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.simulate.conftest import Made

from headwater.core.errors import UsageError
from headwater.simulate.planted import DEFAULT, KINDS, ROW_KINDS, Faults, draw_load_faults, read_faults
from headwater.simulate.project import LARGEST_AMOUNT_USD
from headwater.simulate.world import World

Row = dict[str, Any]
MOMENT = timedelta(seconds=1)


@pytest.fixture(scope="module")
def log(faulty: Made) -> dict[str, list[Row]]:
    """Every file that can be read, by its name in the truth."""
    files = (f for f in sorted((faulty.folder / "events").glob("*.parquet")) if "broken" not in f.name)
    return {f"events/{f.name}": pq.read_table(f).to_pylist() for f in files}


@pytest.fixture(scope="module")
def truth(faulty: Made) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in pq.read_table(faulty.folder / "truth" / "faults.parquet").to_pylist():
        found[row["kind"]].append(row)
    return found


def planted(kind: str, log: dict[str, list[Row]], truth: dict[str, list[Row]]) -> list[Row]:
    return [log[t["file"]][t["row"] - 1] for t in truth[kind]]


def test_every_kind_is_planted(truth: dict[str, list[Row]]) -> None:
    assert set(truth) == set(KINDS)


def test_a_row_has_one_fault_and_stands_once_in_the_truth(truth: dict[str, list[Row]]) -> None:
    places = Counter((t["file"], t["row"]) for kind in (*ROW_KINDS, "bot") for t in truth[kind])
    assert max(places.values()) == 1


def test_exact_duplicates_are_exactly_the_rows_that_come_again(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    """Whole-file check: recall and precision of the truth itself against counting equal rows."""
    again = set()
    for file, rows in log.items():
        seen: set[str] = set()
        for no, row in enumerate(rows, start=1):
            key = repr(sorted(row.items(), key=lambda i: i[0]))
            if key in seen:
                again.add((file, no))
            seen.add(key)
    assert again == {(t["file"], t["row"]) for t in truth["exact_duplicate"]}


def test_missing_ids_are_all_the_blank_ones(log: dict[str, list[Row]], truth: dict[str, list[Row]]) -> None:
    blank = {
        (f, i)
        for f, rows in log.items()
        for i, r in enumerate(rows, start=1)
        if not (r["user_id"] or "").strip()
    }
    assert blank == {(t["file"], t["row"]) for t in truth["missing_id"]}


def test_wrong_types_are_all_the_amounts_that_are_no_numbers(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    def is_number(text: str) -> bool:
        return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None

    bad = {(f, i) for f, rows in log.items() for i, r in enumerate(rows, start=1) if r["amount_usd"] is not None and not is_number(r["amount_usd"])}  # fmt: skip
    assert bad == {(t["file"], t["row"]) for t in truth["wrong_type"]}


def test_out_of_range_are_all_the_amounts_beyond_the_bound(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    def beyond(text: str | None) -> bool:
        try:
            return abs(float(text or "0")) > LARGEST_AMOUNT_USD
        except ValueError:
            return False

    bad = {(f, i) for f, rows in log.items() for i, r in enumerate(rows, start=1) if beyond(r["amount_usd"])}
    known = {(t["file"], t["row"]) for t in truth["out_of_range"]}
    (jump,) = truth["unit_jump"]
    jumped = [log[f][i - 1] for f, i in bad - known]  # a large purchase times 100 may lie beyond it too
    assert known <= bad
    assert all(r["platform"] == jump["value"] and r["event"] == "purchase" for r in jumped)
    assert len(jumped) < 0.1 * len(known)


def test_spellings_are_all_the_values_off_their_lists(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    for column, allowed, kind in (
        ("network", {"Google", "Meta", "AppLovin", None}, "alias"),
        ("currency", {"USD", "EUR", "GBP", None}, "trailing_junk"),
    ):
        off = {
            (f, i) for f, rows in log.items() for i, r in enumerate(rows, start=1) if r[column] not in allowed
        }
        assert off == {(t["file"], t["row"]) for t in truth[kind]}, kind


def test_times_lie_where_their_fault_says(
    faulty: Made, log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    users = {r["user_id"]: r["signed_up_at"] for r in pq.read_table(faulty.folder / "users").to_pylist()}
    end = datetime(1970, 1, 1) + timedelta(days=faulty.world.end_day)
    assert all(r["at"] > end + timedelta(days=300) for r in planted("future", log, truth))
    assert all(r["at"] > r["known_at"] + timedelta(hours=1) for r in planted("clock_skew", log, truth))
    assert all(r["known_at"] - r["at"] > timedelta(days=19) for r in planted("very_late", log, truth))
    assert all(
        r["at"] < users[r["user_id"]] - timedelta(hours=2) for r in planted("before_signup", log, truth)
    )
    ahead = {
        (f, i)
        for f, rows in log.items()
        for i, r in enumerate(rows, start=1)
        if r["at"] > r["known_at"] + MOMENT
    }
    known = {(t["file"], t["row"]) for kind in ("future", "clock_skew") for t in truth[kind]}
    assert ahead == known


def test_dangling_users_are_all_who_are_in_no_users_file(
    faulty: Made, log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    users = {r["user_id"] for r in pq.read_table(faulty.folder / "users").to_pylist()}
    off = {
        (f, i)
        for f, rows in log.items()
        for i, r in enumerate(rows, start=1)
        if (r["user_id"] or "").strip() and r["user_id"] not in users
    }
    assert off == {(t["file"], t["row"]) for t in truth["dangling_reference"]}


def test_personal_data_is_in_the_notes(log: dict[str, list[Row]], truth: dict[str, list[Row]]) -> None:
    notes = [r["note"] for r in planted("personal_data", log, truth)]
    kinds = [sum("@" in n for n in notes), sum("+1 212" in n for n in notes), sum("4111" in n for n in notes)]
    assert sum(kinds) == len(notes) > 20
    assert min(kinds) > 0


def test_second_purchases_have_a_first(log: dict[str, list[Row]], truth: dict[str, list[Row]]) -> None:
    by_order: dict[str, list[Row]] = defaultdict(list)
    by_user: dict[str, list[Row]] = defaultdict(list)
    for rows in log.values():
        for row in rows:
            if row["event"] == "purchase":
                by_order[row["order_id"]].append(row)
                by_user[row["user_id"]].append(row)
    assert all(len(by_order[r["order_id"]]) == 2 for r in planted("duplicate_order", log, truth))
    for row in planted("near_duplicate", log, truth):
        twins = [
            r for r in by_user[row["user_id"]] if timedelta(0) < row["at"] - r["at"] < timedelta(seconds=4)
        ]
        assert any(t["amount_usd"] == row["amount_usd"] and t["event_id"] != row["event_id"] for t in twins)


def test_bots_act_around_the_clock_at_one_pace(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    by_user: dict[str, list[datetime]] = defaultdict(list)
    for row in planted("bot", log, truth):
        by_user[row["user_id"]].append(row["at"])
    assert by_user
    for times in by_user.values():
        gaps = {b - a for a, b in zip(sorted(times), sorted(times)[1:], strict=False)}
        assert len(gaps) <= 2 or max(gaps) < 4 * min(gaps)
    longest = max(max(t) - min(t) for t in by_user.values())
    assert longest > timedelta(hours=19)


def test_holes_are_empty_and_their_neighbors_are_not(faulty: Made, log: dict[str, list[Row]]) -> None:
    assert faulty.faults is not None
    holes = {f.kind: f for f in draw_load_faults(faulty.world, faulty.faults)}
    times = [(int(r["at"].timestamp() * 1e6), r["platform"], (r["user_id"] or "")) for rows in log.values() for r in rows if abs(r["at"] - r["known_at"]) < timedelta(days=1)]  # fmt: skip
    offset = int((datetime(1970, 1, 2).timestamp() - 86_400) * 1e6)
    for kind in ("hole_all", "hole_platform"):
        hole = holes[kind]
        width = hole.end_us - hole.first_us
        inside = [
            t for t, p, _ in times if hole.first_us <= t - offset < hole.end_us and hole.value in {None, p}
        ]
        beside = [
            t
            for t, p, _ in times
            if hole.first_us - width <= t - offset < hole.first_us and hole.value in {None, p}
        ]
        assert len(beside) > 100
        assert len(inside) < 0.05 * len(beside)  # clocks that are ahead and second purchases may fall into it


def test_the_last_file_has_another_column_and_one_file_is_broken(
    faulty: Made, truth: dict[str, list[Row]]
) -> None:
    last = faulty.folder / truth["schema_drift"][0]["file"]
    assert "version" in pq.read_schema(last).names
    assert "app_version" not in pq.read_schema(last).names
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(faulty.folder / truth["broken_file"][0]["file"])


def test_users_with_many_devices_and_shared_ones_are_named(
    log: dict[str, list[Row]], truth: dict[str, list[Row]]
) -> None:
    devices: dict[str, set[str]] = defaultdict(set)
    for rows in log.values():
        for row in rows:
            devices[row["user_id"]].add(row["device_id"])
    shared = {
        u
        for u, d in devices.items()
        if u and u.strip() and not u.startswith("x") and any(x.startswith("shared") for x in d)
    }
    active = {t["user_id"] for t in truth["shared_device"]} & set(devices)
    assert shared == active != set()
    many = [len(devices[t["user_id"]]) for t in truth["many_devices"] if t["user_id"] in devices]
    assert max(many) > 10


def test_what_is_asked_for_is_read_and_the_rest_refused() -> None:
    assert read_faults("none", seed=1) is None
    assert read_faults("default", seed=1) == Faults(shares=DEFAULT, seed=1)
    assert read_faults("future=0.25, alias", seed=1) == Faults(
        shares={"future": 0.25, "alias": KINDS["alias"]}, seed=1
    )
    for wrong in ("futur", "future=2", "future=many"):
        with pytest.raises(UsageError) as caught:
            read_faults(wrong, seed=1)
        assert caught.value.finding.code == "simulate.fault"
    with pytest.raises(UsageError):
        World(seed=1, n_users=10, n_days=5)
