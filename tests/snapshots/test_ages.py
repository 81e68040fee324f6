"""Snapshots at an age: what was known so many hours after the first event, against plain Python over the events."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from headwater.core.audit import Hole
from headwater.core.contract import Aggregate, Measure
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Task
from headwater.core.span import day_of
from headwater.core.table import Kind, Purpose
from headwater.engine.sql import name, sql
from headwater.models.model import Training
from headwater.snapshots import age_query as built
from headwater.snapshots.age_leakage import check_age_leakage
from headwater.snapshots.ages import build_age_snapshot

# Both sides divide the same whole numbers once or twice; one rounding each is left.
REL_TOLERANCE = 1e-12
EPOCH, BEGIN = datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
FIRST, SPAN, ZONE = day_of("2024-03-01"), 60, "Europe/London"  # over the change to summer time
HOUR = timedelta(hours=1)
MEASURES = (
    Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount"),
    Measure(name="orders", aggregate=Aggregate.COUNT_DISTINCT, expression="order", where="amount > 0"),
)


def random_events(seed, *, late, n_users=25):
    """(user, at, known, order, pence, country); bursts in the first hours and days, some known hours later."""
    rng = random.Random(seed)
    made = [("edge", BEGIN, BEGIN, "e", 1, "gb"), ("edge", BEGIN + timedelta(days=SPAN - 1), BEGIN + timedelta(days=SPAN - 1), "e", 1, "gb")]  # fmt: skip
    for k in range(n_users):
        first = BEGIN + timedelta(minutes=rng.randrange(SPAN * 1_000))
        for j in range(rng.randrange(1, 12)):
            at = first + timedelta(minutes=0 if j == 0 else int(rng.random() ** 4 * 30 * 1_440))
            known = at + timedelta(minutes=rng.choice([0, 0, 30, 200, 3_000]) if late and j else 0)
            if known < BEGIN + timedelta(days=SPAN):
                made.append((f"u{k}", at, known, f"o{rng.randrange(4)}", rng.choice([0, 250, 1_999, -300]), rng.choice(["gb", "fr", ""])))  # fmt: skip
    return made


def ledger_of(bench, events, *, late, **settings):
    rows = "".join(
        f"{u},{at:%Y-%m-%d %H:%M:%S}Z,{known:%Y-%m-%d %H:%M:%S}Z,{order},{pence / 100:.2f},{country}\n"
        for u, at, known, order, pence, country in events
    )
    return bench.ledger(
        f"user,at,known,order,amount,country\n{rows}",
        zone=ZONE,
        known_at="known" if late else None,
        types={"amount": Kind.MONEY},
        measures=MEASURES,
        keep=("country",),
        **settings,
    )


def snapshot_of(bench, ledger, age, **settings):
    asked = {"horizons": (8, 30), "time_zone": ZONE, **settings}
    return build_age_snapshot(bench.engine, ledger, age=age, folder=bench.folder(), **asked)


def local_day(at):
    return day_of(at.astimezone(ZoneInfo(ZONE)).date())


def by_hand(events, user, hours):
    """What was known of a user at an age, and the days after; None where nothing of the first hour was known."""
    own = [e for e in events if e[0] == user]
    first = min(e[1] for e in own)
    known = [e for e in own if e[1] < first + hours * HOUR and e[2] < first + hours * HOUR]
    by_hour = {}
    for e in known:
        by_hour.setdefault((e[1] - first) // HOUR, []).append(e)
    if 0 not in by_hour:
        return None
    named = sorted((e[2], e[1], e[5]) for e in own if e[5] and e[2] < first + hours * HOUR)
    local = first.astimezone(ZoneInfo(ZONE))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return {
        "first_day": local_day(first),
        "first_seen_weekday": local.weekday(),
        "first_seen_hour": (local.replace(tzinfo=None) - midnight) / HOUR,
        "tenure_days": hours / 24,
        "n_events_so_far": len(known),
        "n_events_last_half": sum(len(v) for h, v in by_hour.items() if h >= hours - max(1, hours // 2)),
        "active_hours": len(by_hour),
        "active_days_so_far": len({local_day(e[1]) for e in known}),
        "hours_since_active": hours - 1 - max(by_hour),
        "revenue_gbp_so_far": sum(e[4] for e in known) / 100,
        "revenue_gbp_best_hour": max(sum(e[4] for e in v) for v in by_hour.values()) / 100,
        "orders_so_far": len({e[3] for e in known if e[4] > 0}),
        "country": named[0][2] if named else None,
        **{
            f"revenue_gbp_first_{s}h": sum(e[4] for h, v in by_hour.items() if h < s for e in v) / 100
            for s in (1, 6, 24, 72)
            if s < hours
        },
        **{
            f"n_events_first_{s}h": sum(len(v) for h, v in by_hour.items() if h < s)
            for s in (1, 6, 24, 72)
            if s < hours
        },
    }


def ahead_by_hand(events, user, horizon):
    own = [e for e in events if e[0] == user]
    first = local_day(min(e[1] for e in own))
    inside = [e for e in own if local_day(e[1]) < first + horizon]
    return sum(e[4] for e in inside) / 100, len({local_day(e[1]) for e in inside})


@pytest.mark.parametrize(("seed", "late"), [(1, False), (2, True), (3, True)])
def test_an_age_against_plain_python(bench, rows_of, seed, late):
    events = random_events(seed, late=late)
    ledger = ledger_of(bench, events, late=late)
    end = datetime(2024, 4, 30, tzinfo=ZoneInfo(ZONE))
    assert ledger.end_day == local_day(end)
    for hours in (1, 6, 30, 168):
        snapshot = snapshot_of(bench, ledger, f"{hours}h")
        found = {r["user_id"]: r for r in rows_of(snapshot.rows)}
        reached = {u for u in {e[0] for e in events} if min(e[1] for e in events if e[0] == u) + hours * HOUR <= end}  # fmt: skip
        expected = {u: made for u in sorted(reached) if (made := by_hand(events, u, hours))}
        assert found.keys() == expected.keys()
        assert len(found) > 15
        for user, features in expected.items():
            row = found[user]
            for column, value in features.items():
                close = pytest.approx(value, rel=REL_TOLERANCE) if isinstance(value, float) else value
                assert row[column] == close, (user, hours, column)
            for h in (8, 30):
                whole, days = ahead_by_hand(events, user, h)
                if row["cutoff"] + h > ledger.end_day:
                    assert row[f"revenue_gbp_first_{h}d"] is row[f"revenue_gbp_next_{h}d"] is None
                    continue
                assert row[f"revenue_gbp_first_{h}d"] == pytest.approx(whole)
                so_far = row["revenue_gbp_so_far"] + row[f"revenue_gbp_next_{h}d"]
                assert so_far == pytest.approx(whole, abs=1e-9)  # a sum and a difference of doubles
                assert row["active_days_so_far"] + row[f"active_days_next_{h}d"] == days
                assert row[f"active_days_next_{h}d"] >= 0
                assert row[f"observed_days_{h}d"] == h


def test_cohorts_end_together_and_hold_out_the_later_ones(bench, rows_of):
    ledger = ledger_of(bench, random_events(5, late=False, n_users=60), late=False)
    snapshot = snapshot_of(bench, ledger, "6h")
    rows = rows_of(snapshot.rows)
    for r in rows:
        assert 0 <= r["cutoff"] - r["first_day"] < 7
        assert (ledger.end_day - 1 - r["cutoff"]) % 7 == 0
        assert (r["revenue_gbp_next_8d"] is None) == (r["cutoff"] + 8 > ledger.end_day)
        assert r["observed_days_8d"] == min(8, ledger.end_day - r["first_day"])
    assert snapshot.cutoffs == tuple(sorted({r["cutoff"] for r in rows}))
    task = Task(measure="revenue", unit="GBP", horizon_days=8, target="revenue_gbp_next_8d", occasions="orders", value="revenue_gbp")  # fmt: skip
    training = Training(snapshot=snapshot, task=task, engine=bench.engine, rng=None)
    cutoff = snapshot.cutoffs[-3]
    learned = training.back_at(cutoff).mature(("first_day",)).to_pylist()
    assert learned
    assert all(r["first_day"] + 8 <= cutoff for r in learned)


@pytest.mark.parametrize("late", [False, True])
def test_as_of_is_what_could_be_built_then(bench, rows_of, late):
    """Features and finished windows as from the log cut off that day."""
    as_of = FIRST + 40
    events = random_events(7, late=late, n_users=40)
    then = [e for e in events if local_day(e[1]) < as_of and local_day(e[2]) < as_of]
    then.append(("last", *[BEGIN + timedelta(days=39)] * 2, "x", 1, "gb"))
    whole, cut = (ledger_of(bench, some, late=late) for some in (events, then))
    assert cut.end_day == as_of
    now, past = (rows_of(snapshot_of(bench, x, "24h", as_of=as_of).rows) for x in (whole, cut))
    if late:  # how late facts come is read off the whole log, and so which windows have settled
        now, past = ([{k: v for k, v in r.items() if "_next_" not in k and "_first_8d" not in k and "_first_30d" not in k} for r in rows] for rows in (now, past))  # fmt: skip
    assert [r for r in past if r["user_id"] != "last"] == now


def test_users_of_the_left_edge_are_left_out(bench, rows_of):
    ledger = ledger_of(bench, random_events(3, late=False), late=False, left_edge_days=20)
    snapshot = snapshot_of(bench, ledger, "6h")
    assert min(r["first_day"] for r in rows_of(snapshot.rows)) >= FIRST + 20
    assert [f.code for f in snapshot.findings] == ["snapshot.left_edge"]


def test_an_age_that_cannot_be_is_refused(bench):
    ledger = ledger_of(bench, random_events(1, late=False), late=False)
    for age, horizons, code in (
        ("0h", (30,), "snapshot.age"),
        ("8d", (30,), "snapshot.age"),
        ("7d", (7,), "snapshot.age_horizon"),
        ("6h", (), "snapshot.age_horizon"),
    ):
        with pytest.raises(UsageError) as refused:
            snapshot_of(bench, ledger, age, horizons=horizons)
        assert refused.value.finding.code == code
    with pytest.raises(DataError) as nobody:
        snapshot_of(bench, ledger_of(bench, random_events(1, late=False), late=False, left_edge_days=99), "1h")  # fmt: skip
    assert nobody.value.finding.code == "snapshot.nobody"


def leaks(bench, ledger, age="6h"):
    return check_age_leakage(
        bench.engine, ledger, age=age, horizons=(30,), time_zone=ZONE, folder=bench.folder()
    )


@pytest.mark.parametrize("late", [False, True])
def test_nothing_after_the_age_moves_a_feature(bench, late):
    ledger = ledger_of(bench, random_events(2, late=late), late=late)
    for age in ("1h", "6h", "72h"):
        report = leaks(bench, ledger, age)
        assert report.findings == ()
        assert report.n_targets == report.n_targets_moved == 6
        columns = snapshot_of(bench, ledger, age).rows.columns
        assert report.n_features >= sum(c.purpose in {Purpose.FEATURE, Purpose.ATTRIBUTE} for c in columns)


@pytest.mark.parametrize("condition", ["hour <= {a}", "known_hour <= {a}", "country"])
def test_a_look_past_the_age_is_named(bench, monkeypatch, condition):
    ledger = ledger_of(bench, random_events(2, late=True), late=True)
    if condition == "country":
        monkeypatch.setattr(built, "first_values_at", lambda ledger, *, age_us: [name("first country")])
        assert leaks(bench, ledger).moved == ("country",)
        return

    def seen(ledger, hours, cut):
        bounds = {
            "hour <= {a}": sql("hour <= {a} AND known_hour <= {a}", a=cut.hours),
            "known_hour <= {a}": sql("hour < {a} AND known_hour <= {a}", a=cut.hours),
        }
        return sql(
            "SELECT user_id, {a} - hour AS age, sum(n_events) AS n_events, sum(active_days) AS active_days, sum(revenue) AS revenue, sum(orders) AS orders"
            " FROM {h} h WHERE {b} GROUP BY user_id, hour",
            a=cut.hours,
            h=hours,
            b=bounds[condition],
        )

    monkeypatch.setattr(built, "_seen", seen)
    assert "revenue_gbp_so_far" in leaks(bench, ledger).moved


HOLES = (
    Hole(first_us=int((BEGIN + timedelta(days=9, hours=3)).timestamp()) * 1_000_000, end_us=int((BEGIN + timedelta(days=9, hours=5, minutes=30)).timestamp()) * 1_000_000),
    Hole(first_us=int((BEGIN + timedelta(days=20)).timestamp()) * 1_000_000, end_us=int((BEGIN + timedelta(days=22)).timestamp()) * 1_000_000, dimension="country", value="fr"),
)  # fmt: skip


@pytest.mark.parametrize(("age", "most_lost"), [("6h", 0.0), ("6h", 0.1), ("3d", 0.0)])
def test_what_holes_took_from_newcomers_against_plain_python(bench, rows_of, age, most_lost):
    """Hours and days that a hole touches are counted one by one; of a country's hole, by who was known to be of it."""
    events = random_events(5, late=False, n_users=60)
    ledger = ledger_of(bench, events, late=False)
    plain = {r["user_id"]: r for r in rows_of(snapshot_of(bench, ledger, age).rows)}
    holed = snapshot_of(bench, ledger, age, holes=HOLES, most_lost=most_lost)
    hours = {"6h": 6, "3d": 72}[age]
    n_early = 0
    for row in rows_of(holed.rows):
        own = sorted((e for e in events if e[0] == row["user_id"]), key=lambda e: e[1])
        first = own[0][1]
        country = min((e for e in own if e[5]), key=lambda e: (e[1], e[5]), default=None)
        lost_hours, lost_days = 0, {8: set(), 30: set()}
        for hole in HOLES:
            a, b = (EPOCH + timedelta(microseconds=us) for us in (hole.first_us, hole.end_us))
            is_of_it = hole.dimension is None or (country is not None and country[5] == hole.value)
            if is_of_it and (hole.dimension is None or country[1] < first + hours * HOUR):
                lost_hours += sum(first + k * HOUR < b and first + (k + 1) * HOUR > a for k in range(hours))
            days = range(local_day(a), local_day(b - timedelta(microseconds=1)) + 1)
            for h in lost_days if is_of_it else ():
                lost_days[h] |= {d for d in days if local_day(first) <= d < local_day(first) + h}
        assert row["hole_hours"] == lost_hours
        n_early += lost_hours > 0
        for h, days in lost_days.items():
            assert row[f"hole_days_{h}d"] == len(days)
            target = f"orders_next_{h}d"
            is_whole = lost_hours == 0 and len(days) <= most_lost * h
            assert row[target] == (plain[row["user_id"]][target] if is_whole else None)
    assert n_early > 0
    (found,) = [f for f in holed.findings if f.code == "snapshot.early_holes"]
    assert found.numbers["n_early"] == n_early


def test_marks_of_holes_are_there_where_holes_are_and_are_no_features(bench):
    ledger = ledger_of(bench, random_events(6, late=True), late=True)
    plain = snapshot_of(bench, ledger, "6h")
    assert not any(c.name.startswith("hole_") for c in plain.rows.columns)
    marked = snapshot_of(bench, ledger, "6h", holes=HOLES)
    assert {"hole_hours", "hole_days_8d", "hole_days_30d"}.isdisjoint({c.name for c in marked.features})
