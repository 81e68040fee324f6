"""What users do: active days, sessions, views, advertising, purchases, refunds and subscriptions, as SQL.

Every function gives the rows received by the server in a window of UTC time, and the same rows whatever
the windows: a row's numbers are hashes of whom and what it is about.
"""

from __future__ import annotations

from headwater.engine.sql import Sql, name, shim, sql
from headwater.simulate.calendar import DAY_US
from headwater.simulate.draws import exponential, geometric, lognormal, pick, rhythm_second, uniform
from headwater.simulate.people import PEOPLE, utc
from headwater.simulate.trials import CHECKOUT, CIRCLE, FEED, PUSH, WATCH
from headwater.simulate.world import SUBSCRIPTION, World

__all__ = [
    "COLUMNS",
    "LATE_DAYS",
    "REFUND_DAYS",
    "REFUND_SHARE",
    "active_days",
    "as_logged",
    "purchase_chance",
    "received_rows",
    "sessions",
]

COLUMNS = (
    "event_id",
    "user_id",
    "device_id",
    "event",
    "at",
    "known_at",
    "platform",
    "app_version",
    "country",
    "amount",
    "currency",
    "amount_usd",
    "order_id",
    "network",
    "content_id",
    "watched_ms",
    "note",
)
LATE_DAYS = 3
REFUND_SHARE = 0.03
REFUND_DAYS = 10
_DAY, _EVENT = name("day_key"), name("event_key")
_OFFLINE = 0.03


def active_days(world: World, first_day: int, end_day: int) -> Sql:
    """User-days with at least one session, by local day: the user's columns, the day, its clock and its key."""
    first, last = max(first_day, world.first_day), end_day
    days = sql(
        "SELECT p.*, {each1} AS day FROM {p} AS p WHERE signup_day < {last} AND on1_end > {first}"
        " UNION ALL SELECT p.*, {each2} AS day FROM {p} AS p WHERE on2_day < {last} AND on2_end > {first}",
        each1=shim("each", sql("greatest(signup_day, {f})", f=first), sql("least(on1_end, {l})", l=last)),
        each2=shim("each", sql("greatest(on2_day, {f})", f=first), sql("least(on2_end, {l})", l=last)),
        p=name(PEOPLE),
        first=first,
        last=last,
    )
    keyed = sql("SELECT *, {k} AS day_key FROM ({d}) AS d", k=shim("mix", name("key"), name("day")), d=days)
    return sql(
        "SELECT k.*, c.start_us, c.switch_s, c.shift_s FROM ({k}) AS k JOIN sim_clock AS c ON c.place_no = k.place_no AND c.day = k.day"
        " WHERE k.day = k.signup_day OR {u} < k.active * c.weight",
        k=keyed,
        u=uniform(sql("k.day_key"), "active"),
    )


def received_rows(world: World, first_us: int, end_us: int) -> Sql:
    """All events the server received from ``first_us`` to before ``end_us`` (UTC microseconds).

    ``COLUMNS``, but times as ``at_us`` and ``known_us``; and whom a row is about: ``key``, ``signup_us``.
    """
    return sql(
        "SELECT event_key, key, signup_us, {id} AS event_id, user_id, {device} AS device_id, event, at_us, known_us, platform, {version} AS app_version,"
        " country, amount, currency, amount_usd, order_id, network, content_id, watched_ms, note"
        " FROM ({dense} UNION ALL {buys} UNION ALL {subs}) AS e",
        id=sql("CAST({k} >> 1 AS BIGINT)", k=_EVENT),
        device=sql(
            "CASE WHEN other_device_id IS NOT NULL AND {u} < 0.5 THEN other_device_id ELSE device_id END",
            u=uniform(_DAY, "device"),
        ),
        version=sql(
            "concat('3.', CAST(greatest(0, CAST(floor((day - {first}) / 28.0) AS BIGINT) - version_lag) AS STRING), '.0')",
            first=world.first_day,
        ),
        dense=_dense(world, first_us, end_us),
        buys=_purchases(world, first_us, end_us),
        subs=_subscriptions(world, first_us, end_us),
    )


def as_logged(rows: Sql) -> Sql:
    """Rows with the ``COLUMNS`` of the log, times as timestamps."""
    times = {"at": "at_us", "known_at": "known_us"}
    columns = [
        sql("{t} AS {c}", t=shim("timestamp_of", name(times[c])), c=name(c)) if c in times else name(c)
        for c in COLUMNS
    ]
    return sql("SELECT {c} FROM ({r}) AS r", c=columns, r=rows)


def sessions(world: World, first_day: int, end_day: int) -> Sql:
    """Active local days with how much happens in them, and when their one or two sessions begin (``s1``, ``s2``)."""
    late = sql(
        "CASE WHEN {u} < {p} THEN least({most} * 1.0, {e} * 21600000000.0) ELSE 0.0 END",
        u=uniform(_DAY, "offline"),
        p=_OFFLINE,
        most=LATE_DAYS * DAY_US,
        e=exponential(_DAY, "late"),
    )
    counted = sql(
        "SELECT *, CASE WHEN day > signup_day AND {two} < 0.35 THEN 2 ELSE 1 END AS n_sessions, CAST({late} AS BIGINT) AS late_us,"
        " CASE WHEN day = signup_day THEN signup_s ELSE {s1} END AS s1, {s2} AS s2,"
        " {n_views} AS n_views, {n_ads} AS n_ads FROM ({days}) AS a",
        two=uniform(_DAY, "sessions"),
        late=sql("floor({l})", l=late),
        s1=rhythm_second(uniform(_DAY, "first session")),
        s2=rhythm_second(uniform(_DAY, "second session")),
        n_views=geometric(_DAY, "views", sql("(views * {m})", m=_view_effects(world))),
        n_ads=geometric(_DAY, "ads", name("ads")),
        days=active_days(world, first_day, end_day),
    )
    return sql(
        "SELECT user_no, key, signup_us, user_id, device_id, other_device_id, platform, country, version_lag, signup_day, ad_micros, day, day_key, start_us, switch_s, shift_s,"
        " n_sessions, n_views, n_ads, late_us, lasts, CASE WHEN day = signup_day THEN s1 ELSE least(s1, 86399.0 - lasts) END AS s1, least(CASE WHEN abs(s1 - s2) < 900 THEN s2 + 1800.0 ELSE s2 END, 86399.0 - lasts) AS s2"
        " FROM (SELECT *, CASE WHEN day = signup_day THEN least(60.0 + 8.0 * (n_views + n_ads), 86399.9 - signup_s) ELSE 60.0 + 8.0 * (n_views + n_ads) END AS lasts"
        " FROM ({c}) AS c) AS l",
        c=counted,
    )


def _view_effects(world: World) -> Sql:
    """What experiments do to a user's mean views on a day: 1 outside of them."""
    feed = sql(
        "CASE WHEN feed_arm = 1 AND day BETWEEN {a} AND {b} THEN {d} * exp(-{rate} * (day - greatest(signup_day, {a}))) ELSE 0.0 END",
        a=FEED.first_day(world),
        b=FEED.end_day(world) - 1,
        d=FEED.direct,
        rate=0.6931471805599453 / (FEED.half_life_days or 1.0),
    )
    watch = sql(
        "CASE WHEN day BETWEEN {a} AND {b} THEN {d} * watch_arm + {s} * watch_share ELSE 0.0 END",
        a=WATCH.first_day(world),
        b=WATCH.end_day(world) - 1,
        d=WATCH.direct,
        s=WATCH.spill,
    )
    circle = sql(
        "CASE WHEN day BETWEEN {a} AND {b} THEN {e} * circle_arm ELSE 0.0 END",
        a=CIRCLE.first_day(world),
        b=CIRCLE.end_day(world) - 1,
        e=CIRCLE.direct + CIRCLE.spill,
    )
    return sql("(1.0 + {f} + {w} + {c})", f=feed, w=watch, c=circle)


def _received(first_us: int, end_us: int) -> Sql:
    return sql("known_us >= {a} AND known_us < {b}", a=first_us, b=end_us)


def _days(first_us: int, end_us: int) -> tuple[int, int]:
    """The local days whose events, sent at once, can be received in a window: first and end."""
    return first_us // DAY_US - 1, -(-end_us // DAY_US) + 1


def _dense(world: World, first_us: int, end_us: int) -> Sql:
    """Opens, views, likes, shares and ad impressions: first the opens of a day, then views, then ads."""
    recent, end_day = _days(first_us, end_us)
    each = sql(
        "SELECT *, {each} AS j FROM ({s}) AS s WHERE day >= {recent} OR late_us > 0",
        each=shim("each", 0, sql("n_sessions + n_views + n_ads")),
        s=sessions(world, recent - LATE_DAYS - 1, end_day),
        recent=recent,
    )
    keyed = sql("SELECT *, {k} AS event_key FROM ({e}) AS e", k=shim("mix", _DAY, name("j")), e=each)
    placed = sql(
        "SELECT *, CASE WHEN j >= n_sessions + n_views THEN 'ad_impression' WHEN j < n_sessions THEN 'app_open' ELSE {kind} END AS event,"
        " {at} AS at_us FROM ({k}) AS k",
        kind=pick(uniform(_EVENT, "kind"), [("video_view", 0.83), ("like", 0.13), ("share", 0.04)]),
        at=utc(name("start_us"), _second(), name("switch_s"), name("shift_s")),
        k=keyed,
    )
    priced = sql(
        "SELECT *, at_us + 200000 + CAST(floor({delay} * 1500000.0) AS BIGINT) + late_us AS known_us,"
        " CASE event WHEN 'ad_impression' THEN floor(ad_micros * {price} + 0.5) / 1000000.0 END AS amount FROM ({p}) AS p",
        delay=exponential(_DAY, "delay"),
        price=exponential(_EVENT, "price"),
        p=placed,
    )
    return sql(
        "SELECT event_key, key, signup_us, day_key, user_id, device_id, other_device_id, event, at_us, known_us, platform, version_lag, day, country,"
        " amount, CASE event WHEN 'ad_impression' THEN 'USD' END AS currency, amount AS amount_usd, CAST(NULL AS STRING) AS order_id,"
        " CASE event WHEN 'ad_impression' THEN {network} END AS network,"
        " CASE WHEN event IN ('video_view', 'like', 'share') THEN CAST(floor(exp({video} * 11.5)) AS BIGINT) END AS content_id,"
        " CASE WHEN j >= n_sessions THEN CAST(floor({watched} * 9000.0) AS BIGINT) END AS watched_ms,"
        " CASE event WHEN 'share' THEN {note} END AS note FROM ({p}) AS p WHERE {received}",
        network=pick(uniform(_EVENT, "network"), [("Google", 0.5), ("Meta", 0.3), ("AppLovin", 0.2)]),
        video=uniform(_EVENT, "video"),
        watched=exponential(_EVENT, "watched"),
        note=pick(uniform(_EVENT, "note"), [("", 0.8), ("so funny", 0.1), ("watch this", 0.06), ("for you", 0.04)]),
        p=priced,
        received=_received(first_us, end_us),
    )  # fmt: skip


def _second() -> Sql:
    """The local second of an event: its session's begin, and a moment within it but for the open itself."""
    second = sql("(n_sessions = 2 AND (j = 1 OR (j > 1 AND {u} < 0.5)))", u=uniform(_EVENT, "session"))
    return sql(
        "(CASE WHEN {second} THEN s2 ELSE s1 END + CASE WHEN j < n_sessions THEN 0.0 ELSE lasts * {u} END)",
        second=second,
        u=uniform(_EVENT, "moment"),
    )


def purchase_chance(world: World) -> Sql:
    """The chance that a user buys on an active day, with what experiment and push do to it."""
    return sql(
        "(buys * (1.0 + CASE WHEN day BETWEEN {a} AND {b} THEN checkout_effect * checkout_arm ELSE 0.0 END"
        " + CASE WHEN day BETWEEN {c} AND {d} THEN {push} * coalesce(push_arm, 0) ELSE 0.0 END))",
        a=CHECKOUT.first_day(world),
        b=CHECKOUT.end_day(world) - 1,
        c=PUSH.first_day(world),
        d=PUSH.end_day(world) - 1,
        push=PUSH.direct,
    )


def _purchases(world: World, first_us: int, end_us: int) -> Sql:
    """Purchases of active days and the refunds of some, both confirmed by the server at once."""
    recent, end_day = _days(first_us, end_us)
    bought = sql(
        "SELECT *, {at} AS bought_us, greatest(10000.0, floor(spend_micros * {amount} / 10000.0 + 0.5) * 10000.0) AS micros,"
        " CASE WHEN {refund} < {share} THEN CAST(floor((0.5 + {wait} * {most}) * {day_us}) AS BIGINT) END AS refund_after"
        " FROM ({days}) AS d WHERE {u} < {chance}",
        at=utc(name("start_us"), _purchase_second(), name("switch_s"), name("shift_s")),
        amount=lognormal(_DAY, "amount", 1.0),
        refund=uniform(_DAY, "refund"),
        share=REFUND_SHARE,
        wait=uniform(_DAY, "refund wait"),
        most=REFUND_DAYS - 0.5,
        day_us=float(DAY_US),
        days=active_days(world, recent - REFUND_DAYS - 1, end_day),
        u=uniform(_DAY, "buys"),
        chance=purchase_chance(world),
    )
    both = sql(
        "SELECT *, 'purchase' AS event, bought_us AS at_us, 1.0 AS sign FROM ({b}) AS b"
        " UNION ALL SELECT *, 'refund' AS event, bought_us + refund_after AS at_us, -1.0 AS sign FROM ({b}) AS r WHERE refund_after IS NOT NULL",
        b=bought,
    )
    return _sold(both, order=_DAY, first_us=first_us, end_us=end_us)


def _purchase_second() -> Sql:
    return sql(
        "CASE WHEN day = signup_day THEN least(signup_s + 30.0, 86398.0) ELSE {s} END",
        s=rhythm_second(uniform(_DAY, "purchase second")),
    )


def _sold(rows: Sql, *, order: Sql, first_us: int, end_us: int) -> Sql:
    """Rows with ``micros`` of US dollars, a sign and an order, in the user's own currency too."""
    known = sql("SELECT *, at_us + 500000 AS known_us FROM ({r}) AS r", r=rows)
    return sql(
        "SELECT {key} AS event_key, key, signup_us, day_key, user_id, device_id, other_device_id, event, at_us, known_us, platform, version_lag, day, country,"
        " CASE WHEN micros > 0 THEN sign * floor(micros * per_usd / 10000.0 + 0.5) / 100.0 END AS amount, CASE WHEN micros > 0 THEN k.currency END AS currency,"
        " CASE WHEN micros > 0 THEN sign * micros / 1000000.0 END AS amount_usd,"
        " CASE WHEN micros > 0 THEN concat('o', CAST({order} AS STRING)) END AS order_id,"
        " CAST(NULL AS STRING) AS network, CAST(NULL AS BIGINT) AS content_id, CAST(NULL AS BIGINT) AS watched_ms, CAST(NULL AS STRING) AS note"
        " FROM ({k}) AS k JOIN sim_fx AS f ON f.currency = k.currency AND f.fx_day = CAST(floor(k.at_us / {day_us}) AS BIGINT) WHERE {received}",
        key=shim("mix", order, sql("CASE event WHEN 'refund' THEN 1000002 ELSE 1000001 END")),
        order=order,
        k=known,
        day_us=float(DAY_US),
        received=_received(first_us, end_us),
    )


def _subscriptions(world: World, first_us: int, end_us: int) -> Sql:
    """Trial, first charge, renewals and the cancel, a day before the charge that does not come."""
    trial_us, period_us = SUBSCRIPTION.trial_days * DAY_US, SUBSCRIPTION.period_days * DAY_US
    steps = sql(
        "SELECT p.*, {each} AS step FROM {p} AS p WHERE payments IS NOT NULL AND signup_us < {end_us}",
        each=shim("each", -1, sql("payments + 1")),
        p=name(PEOPLE),
        end_us=end_us,
    )
    due = sql("signup_us + {t} + step * {p}", t=trial_us, p=period_us)
    placed = sql(
        "SELECT *, CASE WHEN step = -1 THEN 'trial_start' WHEN step = payments THEN 'cancel' WHEN step = 0 THEN 'subscribe' ELSE 'renew' END AS event,"
        " CASE WHEN step = -1 THEN signup_us + 60000000 WHEN step = payments THEN {due} - {day} ELSE {due} END AS at_us FROM ({s}) AS s",
        due=due,
        day=DAY_US,
        s=steps,
    )
    rows = sql(
        "SELECT *, {k} AS day_key, CAST(floor(at_us / {day_us}) AS BIGINT) AS day, 1.0 AS sign,"
        " CASE WHEN event IN ('subscribe', 'renew') THEN {price} ELSE 0.0 END AS micros FROM ({p}) AS p"
        " WHERE at_us < {end} AND at_us >= {first}",
        k=shim("mix", shim("mix", name("key"), 77), name("step")),
        day_us=float(DAY_US),
        price=SUBSCRIPTION.price_usd * 1e6,
        p=placed,
        end=min(end_us, (world.end_day + 2) * DAY_US),
        first=first_us - DAY_US,
    )
    return _sold(rows, order=_DAY, first_us=first_us, end_us=end_us)
