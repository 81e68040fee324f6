"""Day by day: cutoffs made before are reused as days are appended, and nothing differs from a full rebuild."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.core.audit import Hole
from headwater.core.errors import DataError
from headwater.core.span import day_of
from headwater.snapshots.build import build_cutoff, held_days, join_snapshots
from headwater.snapshots.cut import cut_of, snapshot_key

FIRST = day_of("2020-01-01")
SPAN = 24
HORIZONS = (3, 7)
DAY_US = 86_400_000_000


def arrivals(line, rng, *, late):
    """Events of six users over SPAN days, some known days later; somebody comes every day."""
    lines = [line(user="edge", day=FIRST + d, known=FIRST + d, order=f"e{d}", pence=100) for d in range(SPAN)]
    for k in range(50):
        day = FIRST + rng.randrange(SPAN)
        lag = rng.choice([0, 0, 1, 3, 9]) if late else 0
        user = rng.choice("abcdef")
        pence = rng.choice([100, 0, -50])
        lines.append(line(user=user, day=day, known=day + lag, order=f"{user}{k % 7}", pence=pence))
    return lines


def known_by(lines, day):
    return [x for x in lines if x.known < day and x.day < day]


def rows_sorted(snapshot):
    return sorted(snapshot.to_arrow().to_pylist(), key=lambda r: (r["cutoff"], r["user_id"]))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), late=st.booleans(), data=st.data())
def test_days_appended_one_by_one_are_a_full_rebuild(shared_bench, line, shop_log, seed, late, data):
    bench = shared_bench
    lines = arrivals(line, random.Random(seed), late=late)
    steps = sorted(data.draw(st.sets(st.integers(8, SPAN), min_size=2, max_size=4)))
    cache, cuts_before, had, n_reused = {}, {}, [], 0
    for end in (FIRST + s for s in steps):
        now = known_by(lines, end)
        ledger = bench.ledger(**shop_log(now))
        fresh = [x for x in now if x not in had]
        touched = min((x.day for x in fresh), default=end)
        parts = []
        for cutoff in range(FIRST + 4, end + 1, 4):
            cut = cut_of(ledger, cutoff=cutoff, horizons=HORIZONS)
            key = repr(snapshot_key(ledger, cut))
            before = cuts_before.get(cutoff)
            if before and before[0].reads_to <= touched and _sees_alike(before[0], cut):
                assert key == before[1], "a cutoff that reads no touched day keeps its key"
            n_reused += key in cache
            cache[key] = cache.get(key) or build_cutoff(bench.engine, ledger, cut, folder=bench.folder())
            cuts_before[cutoff] = (cut, key)
            parts.append(cache[key])
        whole = bench.snapshot(ledger, cutoffs=range(FIRST + 4, end + 1, 4), horizons=HORIZONS)
        joined = join_snapshots(parts)
        assert rows_sorted(joined) == rows_sorted(whole)
        assert joined.rows.fingerprint == whole.rows.fingerprint
        had = now
    matured = [
        s for s in steps if s >= 4 + max(HORIZONS)
    ]  # by then the first cutoff saw both its windows end
    assert late or len(matured) < 2 or n_reused > 0


def _sees_alike(a, b):
    """Whether two ends of the log observed the same of the windows."""
    return (a.matured, a.is_today) == (b.matured, b.is_today) and [a.seen_to(h) for h in a.horizons] == [
        b.seen_to(h) for h in b.horizons
    ]


@pytest.fixture
def ledgers(bench, line, shop_log):
    """The same log with one more purchase on a given day (None: as it is)."""
    lines = arrivals(line, random.Random(5), late=False)

    def make(day=None):
        more = [] if day is None else [line(user="a", day=day, known=day, order="more", pence=7)]
        return bench.ledger(**shop_log([*lines, *more]))

    return make


@pytest.mark.parametrize(
    ("day", "changes"), [(0, True), (9, True), (10, True), (16, True), (17, False), (23, False)]
)
def test_a_key_changes_with_the_days_it_reads_and_no_others(ledgers, day, changes):
    """Cutoff 10 with horizons of 3 and 7 days reads days 0 to 16."""

    def key(ledger):
        return snapshot_key(ledger, cut_of(ledger, cutoff=FIRST + 10, horizons=HORIZONS))

    assert (key(ledgers(FIRST + day)) != key(ledgers())) == changes


def test_a_key_does_not_read_ahead_into_a_window_that_has_not_matured(ledgers):
    """Cutoff 20 with a horizon of 7 days: the log ends on day 23, the target is empty whatever happens."""

    def key(ledger):
        return snapshot_key(ledger, cut_of(ledger, cutoff=FIRST + 20, horizons=(7,)))

    assert key(ledgers(FIRST + 22)) == key(ledgers())


@pytest.mark.parametrize(
    "change",
    [
        {"horizons": (3,)},
        {"windows": (7, 28)},
        {"as_of": FIRST + 18},
        {"holes": (Hole(first_us=(FIRST + 12) * DAY_US, end_us=(FIRST + 13) * DAY_US),)},
    ],
    ids=["horizons", "windows", "as_of", "holes"],
)
def test_a_key_changes_with_what_is_asked(ledgers, change):
    ledger, asked = ledgers(), {"cutoff": FIRST + 10, "horizons": HORIZONS}
    assert snapshot_key(ledger, cut_of(ledger, **{**asked, **change})) != snapshot_key(
        ledger, cut_of(ledger, **asked)
    )


def test_a_hole_out_of_reach_moves_no_key_that_was_made_with_holes(ledgers):
    near = Hole(first_us=(FIRST + 12) * DAY_US, end_us=(FIRST + 13) * DAY_US)
    far = Hole(first_us=(FIRST + 20) * DAY_US, end_us=(FIRST + 21) * DAY_US)
    ledger = ledgers()
    one, both = (
        snapshot_key(ledger, cut_of(ledger, cutoff=FIRST + 10, horizons=HORIZONS, holes=holes))
        for holes in ((near,), (near, far))
    )
    assert one == both


def test_held_days_give_what_the_files_give(bench, ledgers):
    ledger = ledgers()
    cut = cut_of(ledger, cutoff=FIRST + 10, horizons=HORIZONS)
    with held_days(bench.engine, ledger) as days:
        held = build_cutoff(bench.engine, ledger, cut, folder=bench.folder(), days=days)
    read = build_cutoff(bench.engine, ledger, cut, folder=bench.folder())
    assert held.rows.fingerprint == read.rows.fingerprint
    assert held.sql == read.sql
    assert ledger.days.files[0] in read.sql


def test_a_part_may_be_empty_but_not_all_of_them(bench, line, shop_log):
    lines = [
        line(user="a", day=FIRST, known=FIRST + 9, order="1", pence=1),
        line(user="b", day=FIRST + 20, known=FIRST + 20, order="2", pence=1),
    ]
    ledger = bench.ledger(**shop_log(lines))
    early, later = (
        build_cutoff(
            bench.engine, ledger, cut_of(ledger, cutoff=FIRST + c, horizons=(7,)), folder=bench.folder()
        )
        for c in (5, 15)
    )
    assert (early.rows.n_rows, later.rows.n_rows) == (0, 1)
    assert join_snapshots([later, early]).cutoffs == (FIRST + 5, FIRST + 15)
    with pytest.raises(DataError):
        join_snapshots([early])


def test_parts_of_different_questions_are_not_joined(bench, ledgers):
    ledger = ledgers()
    week, day = (
        build_cutoff(
            bench.engine, ledger, cut_of(ledger, cutoff=FIRST + c, horizons=(h,)), folder=bench.folder()
        )
        for c, h in ((10, 7), (12, 1))
    )
    with pytest.raises(ValueError, match="same columns"):
        join_snapshots([week, day])
