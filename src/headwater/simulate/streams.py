"""The sources beside events, as they stood at a moment: users, devices, campaigns, subscriptions, exchange rates."""

from __future__ import annotations

from headwater.engine.sql import Sql, name, shim, sql, union_all
from headwater.simulate.calendar import DAY_US
from headwater.simulate.draws import exponential, geometric, uniform
from headwater.simulate.people import PEOPLE
from headwater.simulate.truth import exposures
from headwater.simulate.world import CAMPAIGNS, PLACES, SUBSCRIPTION, World, expected_signup_weights, salt

__all__ = ["WORLD_STREAMS", "costs", "exchange_rates", "user_streams"]

_KEY = name("key")
WORLD_STREAMS = ("costs", "fx")


def user_streams(world: World, *, until_us: int) -> dict[str, Sql]:
    """Queries of the held users' rows in each source but events, known before an instant."""
    return {
        "users": _users(until_us),
        "logins": _logins(until_us),
        "visits": _visits(until_us),
        "impressions": _touches(until_us),
        "subscriptions": _subscriptions(until_us),
        "exposures": exposures(world, until_us=until_us),
    }


def _users(until_us: int) -> Sql:
    zone = sql("CASE place_no")
    for no, place in enumerate(PLACES):
        zone = sql("{z} WHEN {n} THEN {v}", z=zone, n=no, v=place.zone)
    return sql(
        "SELECT user_id, {at} AS signed_up_at, country, {zone} END AS time_zone, currency, platform, channel, campaign, score AS onboarding_score, device_id"
        " FROM {p} WHERE signup_us < {u} ORDER BY user_no",
        at=shim("timestamp_of", name("signup_us")),
        zone=zone,
        p=name(PEOPLE),
        u=until_us,
    )


def _logins(until_us: int) -> Sql:
    return sql(
        "SELECT device_id, user_id, {at} AS {at_name} FROM ("
        "SELECT user_no, device_id, user_id, signup_us AS at_us FROM {p}"
        " UNION ALL SELECT user_no, other_device_id AS device_id, user_id, signup_us + 3600000000 AS at_us FROM {p} WHERE other_device_id IS NOT NULL"
        ") AS l WHERE at_us < {u} ORDER BY user_no, device_id",
        at=shim("timestamp_of", name("at_us")),
        at_name=name("at"),
        p=name(PEOPLE),
        u=until_us,
    )


def _visits(until_us: int) -> Sql:
    """Opens of a device before its owner signed up: nobody's name is on them."""
    each = sql(
        "SELECT user_no, key, device_id, platform, country, signup_us, {each} AS j FROM {p}",
        each=shim("each", 0, geometric(_KEY, "visits", sql("0.6"))),
        p=name(PEOPLE),
    )
    when = sql(
        "SELECT *, signup_us - CAST(floor({wait} * (j + 1) * {day}) AS BIGINT) AS at_us FROM ({e}) AS e",
        wait=exponential(shim("mix", _KEY, sql("j + 1000000")), "visit"),
        day=float(DAY_US),
        e=each,
    )
    return sql(
        "SELECT device_id, 'app_open' AS event, {at} AS {at_name}, platform, country FROM ({w}) AS w WHERE at_us < {u} ORDER BY user_no, at_us",
        at=shim("timestamp_of", name("at_us")),
        at_name=name("at"),
        w=when,
        u=until_us,
    )


def _touches(until_us: int) -> Sql:
    """Advertisements of campaigns seen on a device before its owner signed up; the last one was clicked."""
    each = sql(
        "SELECT user_no, key, device_id, channel, campaign, country, signup_us, {each} AS j FROM {p} WHERE channel <> 'organic'",
        each=shim("each", 0, sql("1 + {g}", g=geometric(_KEY, "touches", sql("1.2")))),
        p=name(PEOPLE),
    )
    when = sql(
        "SELECT *, signup_us - 120000000 - CASE WHEN j = 0 THEN 0 ELSE CAST(floor({wait} * j * {day}) AS BIGINT) END AS at_us FROM ({e}) AS e",
        wait=exponential(shim("mix", _KEY, sql("j + 2000000")), "touch"),
        day=float(DAY_US),
        e=each,
    )
    return sql(
        "SELECT device_id, channel, campaign, country, {at} AS {at_name}, j = 0 AS is_click FROM ({w}) AS w WHERE at_us < {u} ORDER BY user_no, at_us",
        at=shim("timestamp_of", name("at_us")),
        at_name=name("at"),
        w=when,
        u=until_us,
    )


def _subscriptions(until_us: int) -> Sql:
    """One row a trial, with what was charged and whether it was canceled before the instant."""
    trial, period = SUBSCRIPTION.trial_days * DAY_US, SUBSCRIPTION.period_days * DAY_US
    ends = sql("signup_us + {t} + payments * {p} - {d}", t=trial, p=period, d=DAY_US)
    return sql(
        "SELECT user_id, {started} AS started_at, CASE WHEN payments > 0 AND signup_us + {t} < {u} THEN {paid} END AS first_paid_at,"
        " CASE WHEN {ends} < {u} THEN {canceled} END AS canceled_at,"
        " CASE WHEN {ends} < {u} THEN 'canceled' WHEN signup_us + {t} < {u} THEN 'active' ELSE 'trial' END AS status, {price} AS price_usd,"
        " {days} AS period_days FROM {p} WHERE payments IS NOT NULL AND signup_us + 60000000 < {u} ORDER BY user_no",
        started=shim("timestamp_of", sql("signup_us + 60000000")),
        paid=shim("timestamp_of", sql("signup_us + {t}", t=trial)),
        canceled=shim("timestamp_of", ends),
        ends=ends,
        t=trial,
        u=until_us,
        price=SUBSCRIPTION.price_usd,
        days=SUBSCRIPTION.period_days,
        p=name(PEOPLE),
    )


def costs(world: World, *, until_day: int) -> Sql:
    """What each campaign cost on each day: its price of an install times the sign-ups it was bought for, give or take."""
    weights = list(expected_signup_weights(world))
    days = sql(
        "SELECT signup_day AS day, CAST(count(*) AS DOUBLE) / 65536.0 * {n} AS signups FROM sim_signup GROUP BY signup_day",
        n=float(world.n_users),
    )
    assert len(weights) == world.n_days
    key = shim("mix", shim("quick_hash", sql("CAST({s} AS BIGINT)", s=world.seed)), salt("costs"))
    each = [
        sql(
            "SELECT day, {channel} AS channel, {campaign} AS campaign, {share} * signups * {price} * (0.85 + 0.3 * {u}) AS cost, signups * {share} AS bought FROM ({d}) AS d",
            channel=campaign.channel,
            campaign=campaign.name,
            share=campaign.users_of_100 / 100,
            price=campaign.cost_usd,
            u=uniform(shim("mix", key, sql("day * 100 + {n}", n=no)), "cost"),
            d=days,
        )
        for no, campaign in enumerate(CAMPAIGNS)
    ]
    return sql(
        "SELECT {iso} AS {day}, channel, campaign, floor(cost * 100.0 + 0.5) / 100.0 AS cost_usd, CAST(floor(bought * 40.0) AS BIGINT) AS impressions,"
        " CAST(floor(bought * 1.5) AS BIGINT) AS clicks FROM ({r}) AS r WHERE cost > 0 AND day < {u} ORDER BY day, campaign",
        iso=shim("iso_of_day", name("day")),
        day=name("day"),
        r=union_all(each) or sql(""),
        u=until_day,
    )


def exchange_rates(*, until_day: int) -> Sql:
    """Units of each currency for a US dollar, by UTC day."""
    return sql(
        "SELECT {iso} AS {day}, currency, per_usd FROM sim_fx WHERE fx_day < {u} ORDER BY fx_day, currency",
        iso=shim("iso_of_day", name("fx_day")),
        day=name("day"),
        u=until_day,
    )
