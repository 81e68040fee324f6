"""Faults planted with known truth: every deterministic rule and repair finds all of them and nothing else.

Recall and precision are 1.00 exactly: the set of rows found is the set of rows planted, for each code. The
truth is kept in plain Python; every setting is drawn, none is a default. Beside each fault stand rows that
just escape its rule.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from headwater.core.contract import RepairSpec, RuleSpec
from headwater.core.table import Kind

EXAMPLE = Path(str(files("headwater.app") / "examples/online_retail/online_retail.parquet"))


Log = dict[str, list[Any]]
CHANNELS = ("Google", "Meta", "TikTok")
KEEP = ("item", "channel", "country", "note", "order", "event_id")
TYPES = {"quantity": Kind.INTEGER, "price": Kind.MONEY, "seq": Kind.INTEGER, "signup": Kind.TIMESTAMP}


@dataclass
class Planted:
    """A log with faults: the rules and repairs to declare, and what must be found, by code and by repaired column."""

    log: Log
    rules: list[RuleSpec] = field(default_factory=list)
    repairs: list[RepairSpec] = field(default_factory=list)
    broken: dict[str, set[int]] = field(default_factory=dict)
    mended: dict[str, set[str]] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)

    def table(self) -> pa.Table:
        return pa.table({c: pa.array(v, pa.string()) for c, v in self.log.items()})

    def rule(self, rule: str, *columns: str, **settings: Any) -> None:
        self.rules.append(RuleSpec(rule=rule, columns=columns, settings=settings))


def small_log(draw: random.Random, n_rows: int = 900) -> Log:
    """A made-up log without a fault: no two rows of a user within a minute."""
    start = datetime(2021, 3, 1)
    times = [start + timedelta(seconds=97 * i + draw.randint(0, 30)) for i in range(n_rows)]
    return finished(
        {
            "user": [f"u{draw.randint(1, 25)}" for _ in times],
            "at": times,
            "item": [f"sku{draw.randint(1, 40)}" for _ in times],
            "price": [f"{draw.randint(1, 9_999) / 100:.2f}" for _ in times],
            "quantity": [str(draw.randint(-5, 90)) for _ in times],
            "order": [f"{600_000 + i}" for i in range(n_rows)],
            "country": [draw.choice(["France", "Spain", "Peru"]) for _ in times],
        },
        draw,
    )


def finished(log: Log, draw: random.Random) -> Log:
    """The columns that a log may lack: channel, note, clocks, a counter by user in order of time, an id."""
    n = len(log["user"])
    log["channel"] = [draw.choice(CHANNELS) for _ in range(n)]
    log["note"] = [draw.choice(["", "gift wrap", "ring twice at 14", "ref 20210301"]) for _ in range(n)]
    log["known"] = [at + timedelta(seconds=draw.randint(0, 50)) for at in log["at"]]
    log["signup"] = [at - timedelta(hours=draw.randint(0, 900)) for at in log["at"]]
    log["event_id"] = [f"e{i}" for i in range(n)]
    counts: dict[str, int] = {}
    log["seq"] = [""] * n
    for i in sorted(range(n), key=lambda i: (log["at"][i], i)):
        counts[log["user"][i]] = counts.get(log["user"][i], 0) + draw.randint(1, 3)
        log["seq"][i] = str(counts[log["user"][i]])
    return log


def luhn_number(draw: random.Random, *, right: bool) -> str:
    """A number of a card's length whose last digit passes, or fails, the check of ISO/IEC 7812-1."""
    digits = [draw.choice([2, 3, 4, 5, 6])] + [draw.randint(0, 9) for _ in range(draw.randint(12, 17))]
    doubled = [sum(divmod(2 * d, 10)) for d in digits[::-1][0::2]]
    check = -(sum(doubled) + sum(digits[::-1][1::2])) % 10
    return "".join(map(str, [*digits, check if right else (check + draw.randint(1, 9)) % 10]))


def plant(log: Log, draw: random.Random, *, n_each: int) -> Planted:
    """Plant every deterministic fault into ``n_each`` rows of its own, beside rows that just escape each rule."""
    planted = Planted(log=log, items=sorted(set(log["item"])))
    settled = _settled(log)
    order = list(range(len(log["user"])))
    draw.shuffle(order)
    taken: set[int] = set()

    def some(allowed: Callable[[int], bool] = lambda _: True) -> list[int]:
        found = list(islice((i for i in order if i not in taken and allowed(i)), n_each))
        assert len(found) == n_each
        taken.update(found)
        return found

    _shapes(planted, draw, some)
    _times(planted, draw, some)
    _neighbors(planted, draw, some, settled)
    _private(planted, draw, some)
    _repaired(planted, draw, some)
    log["at"] = [str(at) for at in log["at"]]
    log["known"] = [str(at) for at in log["known"]]
    log["signup"] = ["" if at is None else str(at) for at in log["signup"]]
    _copies(planted, draw, some)
    return planted


Some = Callable[..., list[int]]


def _settled(log: Log) -> set[int]:
    """One row of each user that is the first of its instant and has ten earlier rows: its counter may fall."""
    rows: dict[str, list[int]] = {}
    for i in sorted(range(len(log["at"])), key=lambda i: (log["at"][i], i)):
        rows.setdefault(log["user"][i], []).append(i)
    times = log["at"]
    found = {
        user: next((b for a, b in pairwise(own[10:]) if times[a] < times[b]), None)
        for user, own in rows.items()
    }
    return {i for i in found.values() if i is not None}


def _set(
    planted: Planted, column: str, rows: list[int], values: Callable[[int], Any], code: str | None
) -> None:
    for i in rows:
        planted.log[column][i] = values(i)
    if code is not None:
        planted.broken.setdefault(code, set()).update(rows)


def _shapes(planted: Planted, draw: random.Random, some: Some) -> None:
    log = planted.log
    _set(planted, "user", some(), lambda _: draw.choice(["", " ", "\t"]), "required(user)")
    _set(planted, "quantity", some(), lambda i: f"{log['quantity'][i]}x", "type(quantity)")
    _set(planted, "price", some(), lambda _: draw.choice(["cheap", "1,2,3", "--5"]), "type(price)")
    most = draw.randint(50_000, 90_000)
    planted.rule("range", "price", at_most=most)
    _set(
        planted,
        "price",
        some(),
        lambda _: f"{most + draw.randint(1, 99) / 100:.2f}",
        f"range(price at_most {most})",
    )
    _set(planted, "price", some(), lambda _: f"{most}", None)
    least = -draw.randint(100_000, 200_000)
    planted.rule("range", "quantity", above=least)
    _set(
        planted,
        "quantity",
        some(),
        lambda _: str(least - draw.randint(0, 9)),
        f"range(quantity above {least:g})",
    )
    _set(planted, "quantity", some(), lambda _: str(least + 1), None)
    planted.rule("one_of", "channel", values=(*CHANNELS, "Organic"))
    _set(planted, "channel", some(), lambda _: draw.choice(["Bing", "google ads", "meta"]), "one_of(channel)")
    planted.rule("matches", "order", pattern="[AC]?[0-9]{6}")
    _set(
        planted,
        "order",
        some(),
        lambda _: draw.choice(["12345", "X123456", "123456 ", "1234567"]),
        "matches(order)",
    )
    planted.rule("references", "item", path="items.csv", column="sku")
    _set(planted, "item", some(), lambda i: f"no{i}", "references(item in items.csv)")


def _times(planted: Planted, draw: random.Random, some: Some) -> None:
    """Times that are wrong; the counter and the other clocks of these rows are kept out of it."""
    log, times = planted.log, planted.log["at"]
    last = (max(times) + timedelta(days=draw.randint(3, 40))).replace(hour=0, minute=0, second=0)
    first = (min(times) - timedelta(days=draw.randint(3, 40))).replace(hour=0, minute=0, second=0)
    planted.rule("not_future", after=last.date().isoformat())
    planted.rule("not_before", on=first.date().isoformat())
    within, before = draw.randint(1_000, 9_000), draw.randint(60, 900)
    planted.rule("clock_skew", within=f"{within}s", known_before=f"{before}s")
    late = within + draw.randint(100, 5_000)
    planted.rule("late", within=f"{late}s")
    slack = draw.randint(1, 300)
    planted.rule("after_user_created", "signup", tolerance=f"{slack}min")

    def moved(rows: list[int], to: Callable[[], datetime], code: str | None) -> None:
        _set(planted, "at", rows, lambda _: to(), code)
        for i in rows:
            log["known"][i], log["signup"][i], log["seq"][i] = log["at"][i], None, ""

    def known(rows: list[int], seconds: Callable[[], int], *codes: str) -> None:
        _set(planted, "known", rows, lambda i: log["at"][i] + timedelta(seconds=seconds()), None)
        for code in codes:
            planted.broken.setdefault(code, set()).update(rows)

    day = timedelta(days=1)
    moved(
        some(),
        lambda: last + day + timedelta(seconds=draw.randint(0, 9_999_999)),
        f"not_future({last.date()})",
    )
    moved(some(), lambda: last + timedelta(seconds=86_399), None)
    moved(
        some(), lambda: first - timedelta(seconds=draw.randint(1, 9_999_999)), f"not_before({first.date()})"
    )
    moved(some(), lambda: first, None)
    behind, ahead = f"clock_skew(behind {within}s)", f"clock_skew(ahead {before}s)"
    known(some(), lambda: within + draw.randint(1, late - within), behind)
    known(some(), lambda: within)
    known(some(), lambda: late + draw.randint(1, 10**6), behind, f"late({late}s)")
    known(some(), lambda: -before - draw.randint(1, 10**6), ahead)
    known(some(), lambda: -before)
    minutes = timedelta(minutes=slack)
    _set(
        planted,
        "signup",
        some(),
        lambda i: log["at"][i] + minutes + timedelta(seconds=draw.randint(1, 10**6)),
        "after_user_created(signup)",
    )
    _set(planted, "signup", some(), lambda i: log["at"][i] + minutes, None)
    rows = some()
    moved(rows, lambda: datetime(2000, 1, 1), None)
    for i in rows:
        log["at"][i], log["known"][i] = (
            draw.choice(["soon", "2021-13-01", "31/31/2021"]),
            datetime(2021, 1, 1),
        )
    planted.broken["type(at)"] = set(rows)


def _neighbors(planted: Planted, draw: random.Random, some: Some, settled: set[int]) -> None:
    planted.rule("ordered", "seq")
    rows = some(lambda i: i in settled and planted.log["seq"][i] != "")
    _set(planted, "seq", rows, lambda _: str(-draw.randint(0, 999)), "ordered(seq)")


def _private(planted: Planted, draw: random.Random, some: Some) -> None:
    planted.rule("personal_data", "note")
    word = lambda: "".join(draw.choices("abcxyz", k=draw.randint(3, 9)))  # noqa: E731
    mail = lambda _: f"{word()} {word()}.{word()}@{word()}.{draw.choice(['com', 'co.uk'])} {word()}"  # noqa: E731
    phone = lambda _: f"call +44 20 {draw.randint(1000, 9999)} {draw.randint(1000, 9999)}"  # noqa: E731
    _set(planted, "note", some(), mail, "personal_data(note: email)")
    _set(planted, "note", some(), lambda _: f"{word()}@{word()} at {word()}", None)
    _set(planted, "note", some(), phone, "personal_data(note: phone)")
    _set(
        planted,
        "note",
        some(),
        lambda _: f"paid {luhn_number(draw, right=True)}, {word()}",
        "personal_data(note: card)",
    )
    _set(planted, "note", some(), lambda _: f"paid {luhn_number(draw, right=False)}, {word()}", None)


def _repaired(planted: Planted, draw: random.Random, some: Some) -> None:
    log = planted.log
    junk = draw.choice([";", "#", "~"])
    planted.repairs += [
        RepairSpec(repair="strip_trailing", columns=("country",), settings={"characters": junk}),
        RepairSpec(
            repair="aliases", columns=("channel",), aliases={"Google": ("google", "GOOGLE "), "Meta": ("fb",)}
        ),
        RepairSpec(repair="parse_number", columns=("price",)),
    ]
    changes = (
        ("country", lambda i: log["country"][i] + junk * draw.randint(1, 4)),
        ("channel", lambda _: draw.choice(["google", "GOOGLE ", "fb"])),
        ("price", lambda _: f"£{draw.randint(1, 40)},{draw.randint(100, 999)}.5"),
    )
    for column, change in changes:
        rows = some()
        _set(planted, column, rows, change, None)
        planted.mended[column] = {log["event_id"][i] for i in rows}


def _copies(planted: Planted, draw: random.Random, some: Some) -> None:
    """Rows that come again, exactly or seconds later, at the end of the log; the counter leaves them out."""
    log = planted.log
    within = draw.randint(2, 40)
    alike = ("item", "price", "quantity", "order")
    planted.rule("near_duplicate", *alike, within=f"{within}s")
    planted.rule("unique")
    near = f"near_duplicate({', '.join(alike)}, {within}s)"

    def again(rows: list[int], seconds: int | None, *codes: str) -> None:
        for i in rows:
            log["seq"][i] = ""
            for given in log.values():
                given.append(given[i])
            if seconds is not None:
                log["at"][-1] = str(datetime.fromisoformat(log["at"][i]) + timedelta(seconds=seconds))
                log["event_id"][-1] = f"e{len(log['event_id'])}"
            for code in codes:
                planted.broken.setdefault(code, set()).add(len(log["at"]) - 1)

    again(some(), None, "unique(row)", near)
    again(some(), within, near)
    again(some(), within + 1)


def retail_log(draw: random.Random) -> Log:
    """Online Retail without the faults it came with: no customer, no positive price, exact repeats."""
    rows = pq.read_table(EXAMPLE).to_pydict()
    seen: set[tuple[str, ...]] = set()
    log: Log = {c: [] for c in ("user", "at", "item", "price", "quantity", "order", "country", "about")}
    for number, item, about, quantity, at, price, user, country in zip(*rows.values(), strict=True):
        key = (user, item, price, quantity, number)
        if user and float(price) > 0 and key not in seen:
            seen.add(key)
            row = (user, datetime.fromisoformat(at), item, price, quantity, number, country, about)
            for column, value in zip(log.values(), row, strict=True):
                column.append(value)
    return finished(log, draw)


def found_by_code(
    bench, rows_of, planted: Planted, *, path: str
) -> tuple[dict[str, set[int]], dict[str, set[str]]]:
    """The rows (from 0) that each code condemned, and the events whose value each repair changed."""
    root = bench.folder()
    (root / "items.csv").write_text("sku\n" + "\n".join(f'"{i}"' for i in planted.items) + "\n")
    table = planted.table()
    if path.endswith(".parquet"):
        pq.write_table(table, root / path)
    else:
        pa.csv.write_csv(table, root / path)
    events = bench.check_in(
        root,
        bench.contract(
            path,
            rules=planted.rules,
            repairs=planted.repairs,
            types=TYPES,
            keep=KEEP,
            known_at="known",
            delimiter=None if path.endswith(".parquet") else ",",
        ),
    )
    found: dict[str, set[int]] = {}
    for row in rows_of(events.quarantine, "codes", "source_row"):
        for code in row["codes"].split("; "):
            found.setdefault(code, set()).add(row["source_row"] - 1)
    assert {r.code: r.n_rows for r in events.rules if r.n_rows} == {c: len(r) for c, r in found.items()}
    assert events.n_rows_in == table.num_rows == events.events.n_rows + events.quarantine.n_rows
    scan = {c: events.events.to_arrow(["event_id", f"raw_{c}"]).to_pylist() for c in planted.mended}
    logged = {c: {r["from_value"] for r in rows_of(events.repairs) if r["column_name"] == c} for c in scan}
    return found, {c: {r["event_id"] for r in rows if r[f"raw_{c}"] in logged[c]} for c, rows in scan.items()}


def assert_exact(found: dict[str, set], truth: dict[str, set]) -> None:
    """Recall and precision of 1.00, code by code."""
    missed = {
        c: sorted(rows - found.get(c, set()))[:5] for c, rows in truth.items() if rows - found.get(c, set())
    }
    false = {
        c: sorted(rows - truth.get(c, set()))[:5] for c, rows in found.items() if rows - truth.get(c, set())
    }
    assert missed == {}
    assert false == {}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("path", ["log.parquet", "log.csv"])
def test_every_fault_planted_in_a_generated_log_is_found_and_nothing_else(bench, rows_of, seed, path):
    draw = random.Random(seed)
    planted = plant(small_log(draw), draw, n_each=draw.randint(3, 12))
    found, mended = found_by_code(bench, rows_of, planted, path=path)
    assert len(planted.broken) == 21
    assert_exact(found, planted.broken)
    assert_exact(mended, planted.mended)


@pytest.mark.slow
def test_every_fault_planted_in_online_retail_is_found_and_nothing_else(bench, rows_of):
    draw = random.Random(2011)
    planted = plant(retail_log(draw), draw, n_each=137)
    found, mended = found_by_code(bench, rows_of, planted, path="log.parquet")
    assert_exact(found, planted.broken)
    assert_exact(mended, planted.mended)
