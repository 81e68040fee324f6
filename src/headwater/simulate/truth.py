"""The truth of every user and of every experiment: expected value, alive or not, effects, propensities."""

from __future__ import annotations

from headwater.engine.sql import Sql, name, shim, sql
from headwater.simulate.activity import sessions
from headwater.simulate.calendar import DAY_US
from headwater.simulate.draws import rhythm_second, uniform
from headwater.simulate.outlook import HORIZONS
from headwater.simulate.people import PEOPLE, utc
from headwater.simulate.trials import (
    CHECKOUT,
    CIRCLE,
    FEED,
    LOST_SHARE,
    ONBOARDING,
    PUSH,
    TRIALS,
    WATCH,
    Trial,
)
from headwater.simulate.world import SEGMENTS, SUBSCRIPTION, World

__all__ = ["effects", "exposures", "trial_truth", "user_truth"]

_KEY = name("key")


def user_truth() -> Sql:
    """One row a user and truth date: segment, state, whether alive, and expected revenue over each horizon.

    Expected revenue is that of purchases, advertising and charges before refunds, given everything true of
    the user at that instant (rates, segment, whether there, experiment arms) and nothing later.
    """
    placed = sql(
        "SELECT p.*, n.truth_day, n.now_us, CASE WHEN n.local_day = p.signup_day THEN 'new' WHEN n.local_day < p.on1_end THEN 'there'"
        " WHEN p.on2_day IS NULL OR n.local_day >= p.on2_end THEN 'gone' WHEN n.local_day < p.on2_day THEN 'away' ELSE 'back' END AS state"
        " FROM {p} AS p JOIN sim_now AS n ON n.place_no = p.place_no WHERE p.signup_us < n.now_us",
        p=name(PEOPLE),
    )
    values = [_expected(h) for h in HORIZONS]
    joins = sql("")
    for horizon in HORIZONS:
        joins = sql(
            "{j} LEFT JOIN sim_outlook AS {o} ON {o}.truth_day = s.truth_day AND {o}.horizon = {h} AND {o}.place_no = s.place_no"
            " AND {o}.segment_no = s.segment_no AND {o}.churn_no = s.churn_no AND {o}.state = s.state",
            j=joins,
            o=name(f"o{horizon}"),
            h=horizon,
        )
    return sql(
        "SELECT s.user_id, CAST(s.truth_day AS INTEGER) AS truth_day, {segment} AS segment, s.state, s.state <> 'gone' AS is_alive, s.leaves AS leave_chance, s.active,"
        " s.buys, s.spend_micros / 1000000.0 AS spend_usd, {values} FROM ({s}) AS s {joins} ORDER BY s.user_no, s.truth_day",
        segment=_segment_name(),
        values=values,
        s=placed,
        joins=joins,
    )


def _expected(horizon: int) -> Sql:
    seen = name(f"o{horizon}")
    bought = sql(
        "s.active * s.buys * s.spend_micros * (coalesce({o}.days, 0.0) + s.checkout_effect * s.checkout_arm * coalesce({o}.checkout_days, 0.0)"
        " + {push} * coalesce(s.push_arm, 0) * coalesce({o}.push_days, 0.0))",
        o=seen,
        push=PUSH.direct,
    )
    shown = sql("s.active * s.ads * s.ad_micros * coalesce({o}.days, 0.0)", o=seen)
    return sql(
        "({b} + {a}) / 1000000.0 + {c} AS {n}", b=bought, a=shown, c=_charges(horizon), n=name(f"revenue_usd_next_{horizon}d")
    )  # fmt: skip


def _charges(horizon: int) -> Sql:
    """Expected subscription charges of the window: the chance of the next, then a geometric sum of renewals."""
    period, trial = SUBSCRIPTION.period_days * DAY_US, SUBSCRIPTION.trial_days * DAY_US
    made = sql("greatest(0, ceil((s.now_us - s.signup_us - {t}) / {p}))", t=trial, p=float(period))
    by_end = sql(
        "greatest(0, ceil((s.now_us + {h} - s.signup_us - {t}) / {p}))", h=horizon * DAY_US, t=trial, p=float(period)
    )  # fmt: skip
    chance = sql(
        "CASE WHEN s.payments < {k} THEN 0.0 WHEN s.now_us > s.signup_us + {t} + {k} * {p} - {day} THEN CASE WHEN s.payments > {k} THEN 1.0 ELSE 0.0 END"
        " WHEN {k} = 0 THEN {converts} ELSE {renews} END",
        k=made,
        t=trial,
        p=float(period),
        day=DAY_US,
        converts=_converts(),
        renews=SUBSCRIPTION.renews,
    )
    return sql(
        "CASE WHEN s.payments IS NULL THEN 0.0 ELSE {price} * ({chance}) * (1.0 - power({r}, {n} - {k})) / (1.0 - {r}) END",
        price=SUBSCRIPTION.price_usd,
        chance=chance,
        r=SUBSCRIPTION.renews,
        n=by_end,
        k=made,
    )


def _converts() -> Sql:
    chain = sql("CASE s.segment_no")
    for no, segment in enumerate(SEGMENTS):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=segment.converts)
    return sql("{c} END", c=chain)


def _segment_name() -> Sql:
    chain = sql("CASE s.segment_no")
    for no, segment in enumerate(SEGMENTS):
        chain = sql("{c} WHEN {n} THEN {v}", c=chain, n=no, v=segment.name)
    return sql("{c} END", c=chain)


def effects(world: World) -> Sql:
    """One row a user and experiment whose effect could have reached the user: arm, exposure, chance, true effect.

    ``effect`` is the expected difference treated less untreated, all else as it was, in the outcome from
    exposure to the end of the experiment; ``effect_if_all`` the difference all treated less nobody treated.
    """
    parts = [_trial_effects(world, t) for t in TRIALS] + [_push_effects(world)]
    whole = parts[0]
    for part in parts[1:]:
        whole = sql("{w} UNION ALL {p}", w=whole, p=part)
    return sql(
        "SELECT user_id, experiment, arm, exposed_at, chance, is_logged, effect, effect_if_all FROM ({w}) AS w", w=whole
    )  # fmt: skip


def exposures(world: World, *, until_us: int) -> Sql:
    """What the app logged of its experiments before an instant."""
    return sql(
        "SELECT user_id, experiment, arm, exposed_at AS {at} FROM ({e}) AS e WHERE is_logged AND exposed_at < {until}",
        at=name("at"),
        e=effects(world),
        until=shim("timestamp_of", until_us),
    )


def trial_truth(files: Sql) -> Sql:
    """The truth of every experiment over its exposed users: numbers, mean effects, and the effect on the treated."""
    return sql(
        "SELECT experiment, count(*) AS n_users, count(*) FILTER (WHERE arm = 'treatment') AS n_treated, count(*) FILTER (WHERE is_logged) AS n_logged,"
        " avg(effect) AS effect, avg(effect) FILTER (WHERE arm = 'treatment') AS effect_on_treated, avg(effect_if_all) AS effect_if_all"
        " FROM {files} GROUP BY experiment ORDER BY experiment",
        files=files,
    )


def _trial_effects(world: World, trial: Trial) -> Sql:
    """Users exposed to an experiment: its first session of the user, on or after the first day."""
    begin, end = trial.first_day(world), trial.end_day(world)
    first = sql(
        "SELECT user_no, min(day) AS exposed_day, min({at}) AS exposed_us FROM ({s}) AS s GROUP BY user_no",
        at=utc(name("start_us"), _first_second(), name("switch_s"), name("shift_s")),
        s=sessions(world, begin, end),
    )
    arm = name(f"{_column(trial)}_arm")
    effect, if_all = _sizes(trial)
    return sql(
        "SELECT p.user_id, {trial} AS experiment, CASE WHEN {arm} = 1 THEN 'treatment' ELSE 'control' END AS arm, {at} AS exposed_at, 0.5 AS chance,"
        " {logged} AS is_logged, ({effect}) * {lasting} AS effect, ({if_all}) * {lasting} AS effect_if_all"
        " FROM {people} AS p JOIN ({first}) AS f USING (user_no) JOIN sim_effect_days AS d ON d.trial = {trial} AND d.exposed_day = f.exposed_day"
        " AND d.segment_no = p.segment_no AND d.churn_no = p.churn_no AND d.state = CASE WHEN f.exposed_day < p.on1_end THEN 'there' ELSE 'back' END",
        trial=trial.name,
        arm=arm,
        at=shim("timestamp_of", name("exposed_us")),
        logged=_is_logged(trial),
        effect=effect,
        if_all=if_all,
        lasting=_lasting(trial, begin),
        people=name(PEOPLE),
        first=first,
    )


def _first_second() -> Sql:
    return sql("CASE WHEN n_sessions = 2 THEN least(s1, s2) ELSE s1 END")


def _lasting(trial: Trial, begin: int) -> Sql:
    """Expected active days under the effect: the day of exposure, then those to come, faded."""
    if trial.half_life_days is None:
        return sql("(1.0 + active * days_after)")
    return sql(
        "(1.0 + active * days_after) * exp(-{rate} * (f.exposed_day - greatest(signup_day, {begin})))",
        rate=0.6931471805599453 / trial.half_life_days,
        begin=begin,
    )


def _column(trial: Trial) -> str:
    return {CHECKOUT: "checkout", FEED: "feed", WATCH: "watch", CIRCLE: "circle", ONBOARDING: "onboarding"}[
        trial
    ]


def _sizes(trial: Trial) -> tuple[Sql, Sql]:
    """The effect on an active day for one user treated, and for all treated."""
    if trial is CHECKOUT:
        bought = sql("buys * spend_micros / 1000000.0 * checkout_effect")
        return bought, bought
    if trial is ONBOARDING:
        return sql("0.0"), sql("0.0")
    own = trial.direct + trial.spill if trial.by_cluster else trial.direct
    return sql("views * {d}", d=own), sql("views * {d}", d=trial.direct + trial.spill)


def _is_logged(trial: Trial) -> Sql:
    if trial is not ONBOARDING:
        return sql("TRUE")
    lost = uniform(_KEY, "lost exposure")
    return sql("NOT (onboarding_arm = 1 AND platform = 'android' AND {u} < {s})", u=lost, s=LOST_SHARE)


def _push_effects(world: World) -> Sql:
    """Users who could have been sent the push: all who had signed up; those gone have no effect."""
    day = PUSH.first_day(world)
    state = sql(
        "CASE WHEN {d} < on1_end THEN 'there' WHEN on2_day IS NULL OR {d} >= on2_end THEN 'gone' WHEN {d} < on2_day THEN 'away' ELSE 'back' END", d=day
    )  # fmt: skip
    at = utc(name("start_us"), rhythm_second(uniform(_KEY, "push second")), name("switch_s"), name("shift_s"))
    effect = sql("buys * spend_micros / 1000000.0 * {e} * active * coalesce(days_after, 0.0)", e=PUSH.direct)
    return sql(
        "SELECT p.user_id, {trial} AS experiment, CASE WHEN push_arm = 1 THEN 'treatment' ELSE 'control' END AS arm, {at} AS exposed_at, push_p AS chance,"
        " TRUE AS is_logged, {effect} AS effect, {effect} AS effect_if_all FROM (SELECT *, {state} AS state FROM {people} WHERE push_arm IS NOT NULL) AS p"
        " JOIN sim_clock AS c ON c.place_no = p.place_no AND c.day = {day}"
        " LEFT JOIN sim_effect_days AS d ON d.trial = {trial} AND d.segment_no = p.segment_no AND d.churn_no = p.churn_no AND d.state = p.state",
        trial=PUSH.name,
        at=shim("timestamp_of", at),
        effect=effect,
        state=state,
        people=name(PEOPLE),
        day=day,
    )
