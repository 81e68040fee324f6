"""The truth tables against what the simulated log shows, and the log against clocks and shares worked out apart from it."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.simulate.conftest import Made

from headwater.core.span import date_of
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name, sql
from headwater.simulate.calendar import RHYTHM, midnight_us, share_of_day_before
from headwater.simulate.outlook import presence
from headwater.simulate.trials import PUSH_LOGIT
from headwater.simulate.world import APP_ZONE, PLACES, SEGMENTS, Season, World, salt
from headwater.simulate.write import simulate

STANDARD_ERRORS = 4.5  # two-sided chance of a miss under 1e-5 for each comparison, for a fixed seed
EVENTS = "events/*.parquet"


def files(made: Made, pattern: str) -> str:
    return str(made.folder / pattern)


def revenue_beside_expected(made: Made, day: int, horizon: int) -> tuple[int, float, float, float]:
    """Users, mean of what they brought less what was expected, its standard error, mean expected."""
    return made.engine.one(
        sql(
            "SELECT count(*), avg(coalesce(r.usd, 0) - t.expected), stddev(coalesce(r.usd, 0) - t.expected) / sqrt(count(*)), avg(t.expected)"
            " FROM (SELECT user_id, {c} AS expected FROM read_parquet({truth}) WHERE truth_day = {day}) AS t LEFT JOIN"
            ' (SELECT user_id, sum(amount_usd) AS usd FROM read_parquet({events}) WHERE event <> \'refund\' AND epoch_us("at") >= {a} AND epoch_us("at") < {b}'
            " GROUP BY user_id) AS r USING (user_id)",
            c=name(f"revenue_usd_next_{horizon}d"),
            truth=files(made, "truth/users/*.parquet"),
            events=files(made, EVENTS),
            day=day,
            a=midnight_us(day, APP_ZONE),
            b=midnight_us(day + horizon, APP_ZONE),
        )
    )


@pytest.mark.parametrize(("which", "horizon"), [(0, 30), (0, 90), (1, 30)])
def test_expected_revenue_is_what_users_bring_on_average(town: Made, which: int, horizon: int) -> None:
    n, gap, error, expected = revenue_beside_expected(town, town.world.truth_days[which], horizon)
    assert n > 5_000
    assert expected > 0.5
    assert abs(gap) < STANDARD_ERRORS * error


@pytest.mark.parametrize("seasons", [Season.STEADY, Season.STRONG])
def test_expected_revenue_knows_the_season(seasons: Season, tmp_path: Path, reader: DuckDB) -> None:
    """From half of the way (in May) a strong year's next 90 days hold the sale of June."""
    world = World(seed=13, n_users=3_000, n_days=240, seasons=seasons)
    simulate(reader, world, folder=tmp_path)
    made = Made(world=world, folder=tmp_path, engine=reader)
    _, gap, error, expected = revenue_beside_expected(made, world.truth_days[0], 90)
    assert expected > 0.5
    assert abs(gap) < STANDARD_ERRORS * error


def test_seasons_are_shares_of_the_best_day() -> None:
    days = range(
        World(seed=1, n_users=1, n_days=60).first_day, World(seed=1, n_users=1, n_days=60).first_day + 730
    )
    shapes = {
        s: np.array([World(seed=1, n_users=1, n_days=60, seasons=s).season(d) for d in days]) for s in Season
    }
    assert all(((shape > 0) & (shape <= 1)).all() for shape in shapes.values())
    assert np.ptp(shapes[Season.STEADY]) == 0
    weeks = {s: shape[:728].reshape(-1, 7).mean(axis=1) for s, shape in shapes.items()}
    assert np.ptp(weeks[Season.MILD]) < 0.2 < np.ptp(weeks[Season.STRONG])


def test_expected_revenue_tells_users_apart_in_the_right_measure(town: Made) -> None:
    """In groups of users by expected value, the mean of what they bring is the mean expected.

    The lower half is one group: its purchases are so rare that a tenth of it may hold none, and no standard error.
    """
    day = town.world.truth_days[0]
    rows = town.engine.rows(
        sql(
            "SELECT ntile(10) OVER (ORDER BY t.expected) AS tenth, coalesce(r.usd, 0) - t.expected AS gap"
            " FROM (SELECT user_id, revenue_usd_next_90d AS expected FROM read_parquet({truth}) WHERE truth_day = {day} AND state <> 'gone') AS t LEFT JOIN"
            ' (SELECT user_id, sum(amount_usd) AS usd FROM read_parquet({events}) WHERE event <> \'refund\' AND epoch_us("at") >= {a} AND epoch_us("at") < {b}'
            " GROUP BY user_id) AS r USING (user_id)",
            truth=files(town, "truth/users/*.parquet"),
            events=files(town, EVENTS),
            day=day,
            a=midnight_us(day, APP_ZONE),
            b=midnight_us(day + 90, APP_ZONE),
        )
    )
    gaps = np.array(rows, dtype=float)
    for first, last in ((1, 5), (6, 8), (9, 9), (10, 10)):
        one = gaps[(gaps[:, 0] >= first) & (gaps[:, 0] <= last), 1]
        assert abs(one.mean()) < STANDARD_ERRORS * one.std(ddof=1) / math.sqrt(len(one)), (first, last)


def test_presence_against_a_plain_random_walk() -> None:
    rng = np.random.default_rng(1)
    leaves, returns, back, n = 0.1, 0.4, 0.05, 40_000
    state, seen = np.zeros(n, dtype=int), []
    for _ in range(30):
        seen.append(np.isin(state, (0, 2)).mean())
        u, v = rng.random(n), rng.random(n)
        after = np.where(v < returns, 1, 3)
        state = np.select(
            [(state == 0) & (u < leaves), (state == 1) & (u < back), (state == 2) & (u < leaves)],
            [after, 2, 3],
            state,
        )
    expected = presence(leaves=leaves, returns=returns, comes_back=back, days=30)[0]
    assert np.abs(np.array(seen) - expected).max() < STANDARD_ERRORS * 0.5 / math.sqrt(n)


def test_nobody_gone_is_ever_active_again(town: Made) -> None:
    day = town.world.truth_days[0]
    (later,) = town.engine.one(
        sql(
            "SELECT count(*) FROM read_parquet({e}) JOIN read_parquet({t}) AS t USING (user_id) WHERE t.truth_day = {d} AND NOT t.is_alive AND event = 'app_open' AND epoch_us(\"at\") > {a}",
            e=files(town, EVENTS),
            t=files(town, "truth/users/*.parquet"),
            d=day,
            a=midnight_us(day + 1, APP_ZONE),
        )
    )
    assert later == 0


def per_user_outcomes(
    town: Made, trial: str, *, days_end: int, what: str
) -> list[tuple[str, float, float, float]]:
    """(arm, outcome, true effect, chance) of exposed users, from exposure to the end of the trial."""
    value = {"usd": sql("amount_usd"), "n": sql("CAST(1 AS DOUBLE)")}[what]
    event = {"usd": sql("event = 'purchase'"), "n": sql("event IN ('video_view', 'like', 'share')")}[what]
    return town.engine.rows(
        sql(
            'SELECT x.arm, coalesce(sum({v}) FILTER (WHERE {e} AND v."at" >= x.exposed_at AND epoch_us(v."at") < {end}), 0.0), any_value(x.effect), any_value(x.chance)'
            " FROM read_parquet({x}) AS x LEFT JOIN read_parquet({events}) AS v USING (user_id) WHERE x.experiment = {trial} GROUP BY x.user_id, x.arm",
            v=value,
            e=event,
            end=days_end * 86_400_000_000,
            x=files(town, "truth/effects/*.parquet"),
            events=files(town, EVENTS),
            trial=trial,
        )
    )


@pytest.mark.parametrize(
    ("trial", "share", "days", "what"),
    [("checkout", 0.35, 28, "usd"), ("new_feed", 0.45, 28, "n"), ("watch_together", 0.60, 21, "n")],
)
def test_difference_of_arms_is_the_true_average_effect(
    town: Made, trial: str, share: float, days: int, what: str
) -> None:
    rows = per_user_outcomes(town, trial, days_end=town.world.day_at(share) + days, what=what)
    treated = np.array([r[1] for r in rows if r[0] == "treatment"])
    control = np.array([r[1] for r in rows if r[0] == "control"])
    true = np.mean([r[2] for r in rows])
    error = math.sqrt(treated.var(ddof=1) / len(treated) + control.var(ddof=1) / len(control))
    assert abs(treated.mean() - control.mean() - true) < STANDARD_ERRORS * error
    if what == "n":
        assert true > 0


def test_circles_show_the_whole_effect_that_single_users_hide(town: Made) -> None:
    """Randomized by circle of friends the difference is direct and spill together; errors by circle."""
    rows = town.engine.rows(
        sql(
            "SELECT CAST(floor(CAST(substr(x.user_id, 2) AS BIGINT) / 20) AS BIGINT) AS circle, x.arm, count(DISTINCT x.user_id), count(v.event), sum(DISTINCT x.effect)"
            " FROM read_parquet({x}) AS x LEFT JOIN read_parquet({events}) AS v ON v.user_id = x.user_id AND v.event IN ('video_view', 'like', 'share') AND v.\"at\" >= x.exposed_at AND epoch_us(v.\"at\") < {end}"
            " WHERE x.experiment = 'watch_together_circles' GROUP BY circle, x.arm",
            end=(town.world.day_at(0.70) + 14) * 86_400_000_000,
            x=files(town, "truth/effects/*.parquet"),
            events=files(town, EVENTS),
        )
    )
    assert len({r[0] for r in rows}) == len(rows)  # one arm a circle
    by_arm = {
        arm: np.array([(r[2], r[3]) for r in rows if r[1] == arm], dtype=float)
        for arm in ("treatment", "control")
    }
    means, errors = {}, {}
    for arm, cells in by_arm.items():
        means[arm] = cells[:, 1].sum() / cells[:, 0].sum()
        residual = cells[:, 1] - means[arm] * cells[:, 0]
        errors[arm] = math.sqrt(len(cells)) * residual.std(ddof=1) / cells[:, 0].sum()
    true = sum(r[4] for r in rows) / sum(r[2] for r in rows)
    assert abs(means["treatment"] - means["control"] - true) < STANDARD_ERRORS * math.hypot(*errors.values())


def test_a_declared_half_split_is_not_what_was_logged(town: Made) -> None:
    arms = Counter(
        row["arm"]
        for f in (town.folder / "exposures").glob("*.parquet")
        for row in pq.read_table(f).to_pylist()
        if row["experiment"] == "onboarding"
    )
    treated, total = arms["treatment"], sum(arms.values())
    assert (total - 2 * treated) / math.sqrt(total) > 4  # z of a binomial with half
    effects = pq.read_table(town.folder / "truth" / "effects").to_pylist()
    every = Counter(r["arm"] for r in effects if r["experiment"] == "onboarding")
    whole = sum(every.values())
    assert abs(whole - 2 * every["treatment"]) / math.sqrt(whole) < STANDARD_ERRORS


def test_push_propensity_against_its_formula_and_weighting_mends_what_naive_gets_wrong(town: Made) -> None:
    users = {r["user_id"]: r for r in pq.read_table(town.folder / "users").to_pylist()}
    pushed = [
        r for r in pq.read_table(town.folder / "truth" / "effects").to_pylist() if r["experiment"] == "push"
    ]
    for row in pushed[:2_000]:
        user = users[row["user_id"]]
        logit = (
            PUSH_LOGIT.intercept
            + PUSH_LOGIT.score * (user["onboarding_score"] - 3)
            + PUSH_LOGIT.ios * (user["platform"] == "ios")
            + PUSH_LOGIT.paid * (user["channel"] not in {"organic", "referral"})
        )
        assert row["chance"] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-12)
    rows = per_user_outcomes(town, "push", days_end=town.world.day_at(0.40) + 30, what="usd")
    arm = np.array([r[0] == "treatment" for r in rows], dtype=float)
    y, p = np.array([r[1] for r in rows]), np.array([r[3] for r in rows])
    true = np.mean([r[2] for r in rows])
    assert abs(arm.mean() - p.mean()) < STANDARD_ERRORS * math.sqrt(p.mean() * (1 - p.mean()) / len(p))
    scores = arm * y / p - (1 - arm) * y / (1 - p)  # Horvitz and Thompson 1952
    naive = y[arm == 1].mean() - y[arm == 0].mean()
    assert abs(scores.mean() - true) < STANDARD_ERRORS * scores.std(ddof=1) / math.sqrt(len(y))
    assert naive > 2 * true > 0


def test_sessions_keep_the_rhythm_of_the_local_clock_over_daylight_saving(town: Made) -> None:
    """Local hours worked out by zoneinfo, before and after the clocks go forward in March, in three zones."""
    zones = {"America/New_York", "Europe/Berlin", "Asia/Kolkata"}
    users = {
        r["user_id"]: r["time_zone"]
        for r in pq.read_table(town.folder / "users").to_pylist()
        if r["time_zone"] in zones
    }
    for month in ("2025-02", "2025-06"):
        rows = pq.read_table(
            town.folder / "events" / f"{month}-00000.parquet", columns=["user_id", "event", "at"]
        ).to_pylist()
        opens = [r for r in rows if r["event"] == "app_open" and r["user_id"] in users]
        for zone in zones:
            there = ZoneInfo(zone)
            local = [
                r["at"].replace(tzinfo=UTC).astimezone(there) for r in opens if users[r["user_id"]] == zone
            ]
            assert len(local) > 1_000
            for begin, end, share in RHYTHM[:-1]:
                seen = sum(begin <= t.hour < end for t in local) / len(local)
                assert abs(seen - share) < STANDARD_ERRORS * math.sqrt(share / len(local)) + 0.002, (
                    zone,
                    month,
                    begin,
                )


def test_the_days_on_which_clocks_move_have_no_gap_and_no_lost_hour() -> None:
    """Sydney, Berlin and New York: each local second of the calendar's day against zoneinfo."""
    from headwater.simulate.calendar import _day_in

    for zone, moved in (("America/New_York", "2025-03-09"), ("America/New_York", "2025-11-02"), ("Europe/Berlin", "2025-10-26"), ("Australia/Sydney", "2025-10-05")):  # fmt: skip
        day = (datetime.fromisoformat(moved).date() - date_of(0)).days
        start, switch, shift = _day_in(zone, day)
        for second in range(0, 86_400, 300):
            ours = start + (second - (shift if second >= switch else 0)) * 1_000_000
            naive = datetime.fromisoformat(moved).replace(hour=second // 3600, minute=second // 60 % 60)
            theirs = naive.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).timestamp() * 1e6
            assert ours == theirs, (zone, moved, second)


def test_value_is_heavy_tailed_and_most_users_bring_next_to_nothing(town: Made) -> None:
    spent = np.array(
        [r[0] for r in town.engine.rows(sql("SELECT sum(amount_usd) FROM read_parquet({e}) WHERE amount_usd > 0 GROUP BY user_id", e=files(town, EVENTS)))]
    )  # fmt: skip
    spent.sort()
    assert spent[-len(spent) // 100 :].sum() / spent.sum() > 0.4
    assert np.median(spent) < 0.1 * spent.mean()


def test_ad_impressions_pay_about_a_fifth_of_a_cent(town: Made) -> None:
    mean, least = town.engine.one(
        sql("SELECT avg(amount_usd), min(amount_usd) FROM read_parquet({e}) WHERE event = 'ad_impression'", e=files(town, EVENTS))
    )  # fmt: skip
    assert 0.001 < mean < 0.003
    assert least >= 0


def test_every_row_keeps_its_promises(town: Made) -> None:
    """Clean logs: unique ids, never known before it happened, never late beyond three days, never before sign-up."""
    n, ids, early, late, before, unknown = town.engine.one(
        sql(
            'SELECT count(*), count(DISTINCT event_id), count(*) FILTER (WHERE known_at < e."at"), count(*) FILTER (WHERE epoch_us(known_at) - epoch_us(e."at") > {late}),'
            ' count(*) FILTER (WHERE e."at" < signed_up_at - INTERVAL 1 MILLISECOND), count(*) FILTER (WHERE u.user_id IS NULL) FROM read_parquet({e}) AS e LEFT JOIN read_parquet({u}) AS u USING (user_id)',
            late=3 * 86_400_000_000 + 60_000_000,
            e=files(town, EVENTS),
            u=files(town, "users/*.parquet"),
        )
    )
    assert n == ids > 1_000_000
    assert (early, late, before, unknown) == (0, 0, 0, 0)


def test_money_in_own_currency_follows_the_table_of_rates(town: Made) -> None:
    rates = {
        (r["day"], r["currency"]): r["per_usd"] for r in pq.read_table(town.folder / "fx.parquet").to_pylist()
    }
    sold = [
        r
        for r in pq.read_table(town.folder / "events" / "2025-05-00000.parquet").to_pylist()
        if r["event"] == "purchase"
    ]
    assert {r["currency"] for r in sold} == {"USD", "EUR", "GBP"}
    for row in sold:
        rate = rates[(row["at"].date().isoformat(), row["currency"])]
        assert row["amount"] == pytest.approx(row["amount_usd"] * rate, abs=0.0051)


def test_segments_of_the_truth_have_their_declared_shares_of_life(town: Made) -> None:
    """The share of users alive falls in the order of the declared chances to leave."""
    rows = [
        r
        for r in pq.read_table(town.folder / "truth" / "users").to_pylist()
        if r["truth_day"] == town.world.end_day
    ]
    alive = {s.name: np.mean([r["is_alive"] for r in rows if r["segment"] == s.name]) for s in SEGMENTS}
    assert alive["casual"] < alive["regular"] < alive["fan"]


def test_rhythm_and_shares_add_to_one() -> None:
    assert sum(share for _, _, share in RHYTHM) == pytest.approx(1)
    assert share_of_day_before(86_400) == pytest.approx(1)
    assert share_of_day_before(9 * 3600) == pytest.approx(0.18)
    assert sum(p.users_of_100 for p in PLACES) == 100
    assert salt("a", "bc") != salt("ab", "c")
    assert World(seed=1, n_users=45, n_days=60, users_at_a_time=20).chunks == ((0, 20), (20, 40), (40, 45))
