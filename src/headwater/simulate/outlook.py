"""Expected future activity in closed form: the Markov chain of being there, summed over days.

A user is *there* (first spell), *away* (will be back), *back* (second spell) or *gone*. From one local day to
the next, *there* ends with chance p and leads to *away* with chance r; *away* ends with chance q; *back* ends
with chance p. On a day there or back the app is opened with chance ``active x season(day)``.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow as pa

from headwater.engine.engine import Engine
from headwater.simulate.calendar import DAY_US, midnight_us, share_of_day_before
from headwater.simulate.trials import CHECKOUT, CIRCLE, FEED, ONBOARDING, PUSH, WATCH, Trial
from headwater.simulate.world import (
    APP_ZONE,
    CHURN_MULTIPLIERS,
    PLACES,
    RETURN_DAILY,
    SEGMENTS,
    World,
)

__all__ = ["HORIZONS", "STATES", "presence", "register_outlook"]

HORIZONS = (30, 90, 365)
STATES = ("there", "away", "back")
_KINDS = tuple(product(range(len(SEGMENTS)), range(len(CHURN_MULTIPLIERS))))


def presence(*, leaves: float, returns: float, comes_back: float, days: int) -> np.ndarray:
    """The chance of being there or back on each of the next days, shape (3 states now, days); day 0 is now."""
    step = np.array(
        [
            [1 - leaves, leaves * returns, 0.0, leaves * (1 - returns)],
            [0.0, 1 - comes_back, comes_back, 0.0],
            [0.0, 0.0, 1 - leaves, leaves],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    now, found = np.eye(4)[:3], np.empty((3, days))
    for day in range(days):
        found[:, day] = now[:, 0] + now[:, 2]
        now = now @ step
    return found


def register_outlook(engine: Engine, world: World) -> None:
    """Make ``sim_now``, ``sim_outlook`` (for values) and ``sim_effect_days`` (for effects) readable."""
    chains = _chains(max(HORIZONS) + 3)
    engine.register("sim_now", _now(world))
    engine.register("sim_outlook", _outlook(world, chains))
    engine.register("sim_effect_days", _effect_days(world, chains))


def _chains(days: int) -> np.ndarray:
    """Presence of every kind of user, shape (kinds, 3, days)."""
    return np.stack(
        [
            presence(
                leaves=SEGMENTS[s].leave_daily * CHURN_MULTIPLIERS[c],
                returns=SEGMENTS[s].returns,
                comes_back=RETURN_DAILY,
                days=days,
            )
            for s, c in _KINDS
        ]
    )


def _now(world: World) -> pa.Table:
    """The instant of each truth date and the local day it falls on in each place."""
    rows: list[dict[str, int | float | str]] = [
        {
            "truth_day": day,
            "place_no": no,
            "now_us": midnight_us(day, APP_ZONE),
            "local_day": _local(day, p.zone)[0],
        }
        for day in world.truth_days
        for no, p in enumerate(PLACES)
    ]
    return _table(rows)


def _local(day: int, zone: str) -> tuple[int, float]:
    """The local day of the instant at which an app day begins, and the seconds passed in it."""
    instant = midnight_us(day, APP_ZONE)
    there = next(d for d in (day + 1, day, day - 1) if midnight_us(d, zone) <= instant)
    return there, (instant - midnight_us(there, zone)) / (DAY_US / 86_400)


def _outlook(world: World, chains: np.ndarray) -> pa.Table:
    """Expected active days (per unit of ``active``) in the window, and those of them in experiment windows."""
    rows: list[dict[str, int | float | str]] = []
    for truth_day, horizon, (place_no, place) in product(world.truth_days, HORIZONS, enumerate(PLACES)):
        first, passed = _local(truth_day, place.zone)
        last, left = _local(truth_day + horizon, place.zone)
        part = np.ones(last - first + 1)
        part[0] -= share_of_day_before(passed)
        part[-1] = share_of_day_before(left)
        days = np.arange(first, last + 1)
        weights = part * np.array([world.season(int(d)) for d in days])
        for state_no, state in enumerate((*STATES, "new")):
            seen = chains[:, state_no % len(STATES), : len(days)] * weights
            if state == "new":
                seen = seen * (np.arange(len(days)) > 0)
            rows += [
                {
                    "truth_day": truth_day,
                    "horizon": horizon,
                    "place_no": place_no,
                    "segment_no": s,
                    "churn_no": c,
                    "state": state,
                    "days": float(one.sum()),
                    "checkout_days": float(one[_inside(days, CHECKOUT, world)].sum()),
                    "push_days": float(one[_inside(days, PUSH, world)].sum()),
                }
                for (s, c), one in zip(_KINDS, seen, strict=True)
            ]
    return _table(rows)


def _inside(days: np.ndarray, trial: Trial, world: World) -> np.ndarray:
    return (days >= trial.first_day(world)) & (days < trial.end_day(world))


def _effect_days(world: World, chains: np.ndarray) -> pa.Table:
    """Expected active days under a fading effect from exposure to the end of a trial.

    Of an experiment without the day of exposure, which is active; of the push with its first day.
    """
    rows: list[dict[str, int | float | str]] = []
    for trial in (CHECKOUT, FEED, WATCH, CIRCLE, ONBOARDING, PUSH):
        begin, end = trial.first_day(world), trial.end_day(world)
        for day in range(begin, begin + 1 if trial is PUSH else end):
            after = np.arange(0 if trial is PUSH else 1, end - day)
            weights = np.array([world.season(day + int(k)) * trial.fade(int(k)) for k in after])
            sums = chains[:, :, after] @ weights if len(after) else np.zeros(chains.shape[:2])
            rows += [
                {
                    "trial": trial.name,
                    "exposed_day": day,
                    "segment_no": s,
                    "churn_no": c,
                    "state": state,
                    "days_after": float(sums[kind, state_no]),
                }
                for kind, (s, c) in enumerate(_KINDS)
                for state_no, state in enumerate(STATES)
            ]
    return _table(rows)


def _table(rows: list[dict[str, int | float | str]]) -> pa.Table:
    return pa.table({column: [row[column] for row in rows] for column in rows[0]})
