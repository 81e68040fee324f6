"""Who there is: every user's place, kind, true life and true habits, drawn once."""

from __future__ import annotations

from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, name, shim, sql
from headwater.simulate.calendar import SIGNUP_SLOTS
from headwater.simulate.draws import geometric, lognormal, pick, rhythm_second, spell, uniform
from headwater.simulate.trials import CHECKOUT, CIRCLE, FEED, ONBOARDING, PUSH, PUSH_LOGIT, WATCH
from headwater.simulate.world import (
    CAMPAIGNS,
    CHURN_MULTIPLIERS,
    CLUSTER_SIZE,
    PLACES,
    RETURN_DAILY,
    SEGMENTS,
    SUBSCRIPTION,
    Segment,
    World,
    salt,
)

__all__ = ["PEOPLE", "hold_people", "utc"]

PEOPLE = "sim_people"
_KEY = name("key")


def hold_people(engine: Engine, world: World, first: int, end: int) -> int:
    """Draw the users with numbers ``first`` to ``end`` (exclusive) and hold them as ``sim_people``."""
    return engine.hold(PEOPLE, _people(world, first, end))


def utc(start_us: Sql, second: Sql, switch_s: Sql, shift_s: Sql) -> Sql:
    """UTC microseconds of a local second of a day that may move its clocks."""
    return sql(
        "({start} + CAST(floor(({s} - CASE WHEN {s} >= {switch} THEN {shift} ELSE 0 END) * 1000000.0) AS BIGINT))",
        start=start_us,
        s=second,
        switch=switch_s,
        shift=shift_s,
    )


def _of_segment(field: str) -> Sql:
    """A number that every user of a segment has."""
    chain = sql("CASE segment_no")
    for no, segment in enumerate(SEGMENTS):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=float(getattr(segment, field)))
    return sql("{c} END", c=chain)


def _of_place(values: list[str] | list[float]) -> Sql:
    chain = sql("CASE place_no")
    for no, value in enumerate(values):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=value)
    return sql("{c} END", c=chain)


def _of_campaign(field: str) -> Sql:
    chain = sql("CASE campaign_no")
    for no, campaign in enumerate(CAMPAIGNS):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=str(getattr(campaign, field)))
    return sql("{c} END", c=chain)


def _segment_no() -> Sql:
    chain = sql("CASE campaign_no")
    for no, campaign in enumerate(CAMPAIGNS):
        mix = [(k, share / 100) for k, share in enumerate(campaign.segments_of_100)]
        chain = sql("{c} WHEN {n} THEN {p}", c=chain, n=no, p=pick(uniform(_KEY, "segment"), mix))
    return sql("{c} END", c=chain)


def _drawn(world: World, first: int, end: int) -> Sql:
    """The user's key and what depends on nothing else."""
    keyed = sql(
        "SELECT CAST(t.n AS BIGINT) AS user_no, {key} AS key, {circle} AS circle_key FROM range({first}, {end}) AS t(n)",
        key=shim("mix", shim("mix", shim("quick_hash", sql("CAST({s} AS BIGINT)", s=world.seed)), salt("user")), sql("t.n")),
        circle=shim(
            "mix",
            shim("mix", shim("quick_hash", sql("CAST({s} AS BIGINT)", s=world.seed)), salt("circle")),
            sql("CAST(floor(t.n / {size}) AS BIGINT)", size=CLUSTER_SIZE),
        ),
        first=first,
        end=end,
    )  # fmt: skip
    return sql(
        "SELECT user_no, key, circle_key, {place} AS place_no, {campaign} AS campaign_no,"
        " CASE WHEN {ios} < 0.42 THEN 'ios' ELSE 'android' END AS platform,"
        " CAST(floor({slot} * {slots}) AS BIGINT) AS signup_slot, {second} AS signup_s,"
        " {churn} AS churn_no FROM ({keyed}) AS keyed",
        place=pick(uniform(_KEY, "place"), [(i, p.users_of_100 / 100) for i, p in enumerate(PLACES)]),
        campaign=pick(
            uniform(_KEY, "campaign"), [(i, c.users_of_100 / 100) for i, c in enumerate(CAMPAIGNS)]
        ),
        ios=uniform(_KEY, "platform"),
        slot=uniform(_KEY, "signup day"),
        slots=SIGNUP_SLOTS,
        second=rhythm_second(uniform(_KEY, "signup second")),
        churn=sql("CAST(floor({u} * {n}) AS INTEGER)", u=uniform(_KEY, "churn"), n=len(CHURN_MULTIPLIERS)),
        keyed=keyed,
    )


def _typed(world: World, first: int, end: int) -> Sql:
    """The kind of user: segment, chance to leave, sign-up day."""
    return sql(
        "SELECT d.*, s.signup_day, {segment} AS segment_no, {country} AS country, {currency} AS currency,"
        " {price} AS price_level, {channel} AS channel, {campaign} AS campaign"
        " FROM ({drawn}) AS d JOIN sim_signup AS s USING (signup_slot)",
        segment=_segment_no(),
        country=_of_place([p.country for p in PLACES]),
        currency=_of_place([p.currency for p in PLACES]),
        price=_of_place([p.price_level for p in PLACES]),
        channel=_of_campaign("channel"),
        campaign=_of_campaign("name"),
        drawn=_drawn(world, first, end),
    )


def _lives(world: World, first: int, end: int) -> Sql:
    """When each user is there: a first spell and, for some, a second after a pause; days are half-open."""
    leave = sql("CASE churn_no")
    for no, times in enumerate(CHURN_MULTIPLIERS):
        leave = sql("{c} WHEN {n} THEN {t}", c=leave, n=no, t=times)
    hazard = sql("SELECT *, {rate} * {times} END AS leaves FROM ({t}) AS t", rate=_of_segment("leave_daily"), times=leave, t=_typed(world, first, end))  # fmt: skip
    first_spell = sql(
        "SELECT *, signup_day + {life} AS on1_end FROM ({h}) AS h", life=spell(_KEY, "first spell", name("leaves")), h=hazard
    )  # fmt: skip
    pause = sql(
        "SELECT *, CASE WHEN {u} < {r} THEN on1_end + {pause} END AS on2_day FROM ({f}) AS f",
        u=uniform(_KEY, "returns"),
        r=_of_segment("returns"),
        pause=spell(_KEY, "pause", sql("{p}", p=RETURN_DAILY)),
        f=first_spell,
    )
    return sql(
        "SELECT *, on2_day + {life} AS on2_end FROM ({p}) AS p", life=spell(_KEY, "second spell", name("leaves")), p=pause
    )  # fmt: skip


def _people(world: World, first: int, end: int) -> Sql:
    """One row a user: what the app knows and what only the simulation knows."""
    push_day = PUSH.first_day(world)
    base = sql(
        "SELECT l.user_no, l.key, circle_key, l.place_no, segment_no, churn_no, leaves, country, currency, price_level, platform, channel, campaign,"
        " concat('u', lpad(CAST(l.user_no AS STRING), 10, '0')) AS user_id, concat('d', lpad(CAST(l.user_no AS STRING), 10, '0'), 'a') AS device_id,"
        " CASE WHEN {two} < 0.15 THEN concat('d', lpad(CAST(l.user_no AS STRING), 10, '0'), 'b') END AS other_device_id,"
        " signup_day, signup_s, {signup_us} AS signup_us, on1_end, on2_day, on2_end,"
        " {low} + ({high} - {low}) * {habit} AS active, {views} * {taste} AS views, {ads} * (0.6 + 0.8 * {adload}) AS ads,"
        " CASE platform WHEN 'ios' THEN 2600.0 ELSE 1700.0 END * price_level AS ad_micros,"
        " CASE WHEN {payer} < 0.6 THEN {buys} / 0.6 ELSE 0.0 END AS buys, {spend} * 1000000.0 * price_level * {purse} AS spend_micros,"
        " {score} AS score, CAST(floor({lag} * {lag} * 3.0) AS BIGINT) AS version_lag,"
        " CASE WHEN {trial} < {trials} THEN CASE WHEN {convert} < {converts} THEN 1 + {renewals} ELSE 0 END END AS payments"
        " FROM ({lives}) AS l JOIN sim_clock AS c ON c.place_no = l.place_no AND c.day = l.signup_day",
        two=uniform(_KEY, "two devices"),
        signup_us=utc(name("start_us"), name("signup_s"), name("switch_s"), name("shift_s")),
        low=_of_segment("active_low"),
        high=_of_segment("active_high"),
        habit=uniform(_KEY, "habit"),
        views=_of_segment("views"),
        taste=lognormal(_KEY, "taste", 0.5),
        ads=_of_segment("ads"),
        adload=uniform(_KEY, "ad load"),
        payer=uniform(_KEY, "payer"),
        buys=_of_segment("buys"),
        spend=_of_segment("spend_usd"),
        purse=lognormal(_KEY, "purse", 0.8),
        score=sql("(1 + {g})", g=_binomial("score", 4)),
        lag=uniform(_KEY, "version"),
        trial=uniform(_KEY, "trial"),
        trials=_of_segment("trials"),
        convert=uniform(_KEY, "convert"),
        converts=_of_segment("converts"),
        renewals=geometric(_KEY, "renewals", sql("{m}", m=SUBSCRIPTION.renews / (1 - SUBSCRIPTION.renews))),
        lives=_lives(world, first, end),
    )
    armed = sql(
        "SELECT *, {checkout} AS checkout_arm, {feed} AS feed_arm, {watch} AS watch_arm, {circle} AS circle_arm, {onboarding} AS onboarding_arm,"
        " CASE WHEN signup_day < {push_day} THEN {p} END AS push_p FROM ({base}) AS b",
        checkout=_arm(_KEY, CHECKOUT.name),
        feed=_arm(_KEY, FEED.name),
        watch=_arm(_KEY, WATCH.name),
        circle=_arm(name("circle_key"), CIRCLE.name),
        onboarding=_arm(_KEY, ONBOARDING.name),
        push_day=push_day,
        p=_propensity(),
        base=base,
    )
    return sql(
        "SELECT *, CASE WHEN push_p IS NULL THEN NULL WHEN {u} < push_p THEN 1 ELSE 0 END AS push_arm,"
        " avg(watch_arm) OVER (PARTITION BY circle_key) AS watch_share,"
        " CASE segment_no {effects} END AS checkout_effect FROM ({a}) AS a ORDER BY user_no",
        u=uniform(_KEY, "push"),
        effects=_segment_effects(),
        a=armed,
    )


def _segment_effects() -> Sql:
    chain = sql("")
    for no, segment in enumerate(SEGMENTS):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=_effect(segment))
    return chain


def _effect(segment: Segment) -> float:
    return segment.checkout_effect


def _binomial(what: str, trials: int) -> Sql:
    total = sql("0")
    for i in range(trials):
        total = sql("{t} + CASE WHEN {u} < {p} THEN 1 ELSE 0 END", t=total, u=uniform(_KEY, f"{what} {i}"), p=_of_segment("score"))  # fmt: skip
    return total


def _arm(key: Sql, trial: str) -> Sql:
    return sql("CASE WHEN {u} < 0.5 THEN 1 ELSE 0 END", u=uniform(key, trial))


def _propensity() -> Sql:
    logit = sql(
        "{c} + {score} * (score - 3) + CASE platform WHEN 'ios' THEN {ios} ELSE 0.0 END"
        " + CASE WHEN channel IN ('organic', 'referral') THEN 0.0 ELSE {paid} END",
        c=PUSH_LOGIT.intercept,
        score=PUSH_LOGIT.score,
        ios=PUSH_LOGIT.ios,
        paid=PUSH_LOGIT.paid,
    )
    return sql("1.0 / (1.0 + exp(-({l})))", l=logit)
