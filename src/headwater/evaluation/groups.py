"""Calibration and coverage by group: where a forecast that is right on the whole is wrong for a channel, a country, a cohort.

Whether the whole level is off is judged elsewhere (``trust``): here a group is compared with the others. Origins
share users and days, so their errors are averaged and their standard errors are not made smaller for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # pyright: ignore[reportMissingTypeStubs]

from headwater.core.finding import Finding, Severity
from headwater.evaluation.grouping import Grouping
from headwater.evaluation.scored import ScoredUsers
from headwater.numerics.multiplicity import adjusted

__all__ = ["DECILE", "GroupFit", "check_groups", "fits_of"]

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

DECILE = "decile"
"""The kind of group that holds the users of one tenth of the forecast."""

_LARGE = 200
_OFF = 0.20
_SHORT = 0.03
_LEVEL = 0.05
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFit:
    """One group at one origin: predicted and actual totals, a 95% interval of the actual one by its users' spread.

    ``std_error`` is that of actual less predicted, by its users' spread. ``covered`` is the share of users whose
    outcome fell inside their interval of that ``level``, with a binomial 95% interval; None without intervals.
    """

    model: str
    origin: int
    kind: str
    group: str
    n_users: int
    predicted: float
    actual: float
    low: float
    high: float
    std_error: float
    covered: float | None
    covered_low: float | None
    covered_high: float | None
    level: float | None


def fits_of(
    users: ScoredUsers, groupings: Mapping[str, Grouping], *, model: str, origin: int
) -> list[GroupFit]:
    """Every group that has a user, of every kind."""
    inside = None
    if users.low is not None and users.high is not None:
        inside = ((users.low <= users.actual) & (users.actual <= users.high)).astype(np.float64)
    made: list[GroupFit] = []
    for kind, grouping in groupings.items():
        n = grouping.sums(np.ones(users.n_users))
        predicted, actual = grouping.sums(users.predicted), grouping.sums(users.actual)
        spread = _sum_error(grouping, users.actual, n)
        apart = _sum_error(grouping, users.actual - users.predicted, n)
        held = None if inside is None else grouping.sums(inside)
        for i in np.flatnonzero(n > 0):
            covered, low, high = (None, None, None) if held is None else _share(held[i], n[i])
            made.append(
                GroupFit(
                    model=model,
                    origin=origin,
                    kind=kind,
                    group=grouping.names[i],
                    n_users=int(n[i]),
                    predicted=float(predicted[i]),
                    actual=float(actual[i]),
                    low=float(actual[i] - 1.96 * spread[i]),
                    high=float(actual[i] + 1.96 * spread[i]),
                    std_error=float(apart[i]),
                    covered=covered,
                    covered_low=low,
                    covered_high=high,
                    level=None if inside is None else users.level,
                )
            )
    return made


def check_groups(
    fits: Sequence[GroupFit], *, off: float = _OFF, short: float = _SHORT
) -> tuple[Finding, ...]:
    """Large groups of one model that are off beside the others, or whose intervals hold too few.

    Parameters
    ----------
    fits
        Of one model, at all origins.
    off
        A group is off where its actual total is so much above or below its forecast, all others' error taken
        out, on average over origins and in the same direction at each (0.2).
    short
        Coverage is short where it is so much below the level (0.03), on average over origins.

    Both must be clear of chance at 5% after Holm's correction for all groups looked at. Groups under 200 users
    at an origin are left out.
    """
    kept: dict[tuple[str, str], list[GroupFit]] = {}
    for fit in fits:
        kept.setdefault((fit.kind, fit.group), []).append(fit)
    n_origins = len({f.origin for f in fits})
    large = {
        at: found
        for at, found in kept.items()
        if len(found) == n_origins and min(f.n_users for f in found) >= _LARGE
    }
    return (*_off_finding(large, whole=_whole(fits), off=off), *_short_finding(large, short=short))


Large = Mapping[tuple[str, str], Sequence[GroupFit]]


def _off_finding(large: Large, *, whole: Mapping[int, float], off: float) -> list[Finding]:
    """Groups whose actual total is far from their forecast once everybody's error is taken out."""
    apart: dict[tuple[str, str], tuple[float, float, bool]] = {}
    for at, found in large.items():
        if at[0] == DECILE or any(f.predicted * whole[f.origin] <= 0 for f in found):
            continue
        errors = [f.actual / (f.predicted * whole[f.origin]) - 1 for f in found]
        std_error = float(np.mean([f.std_error / (f.predicted * whole[f.origin]) for f in found]))
        apart[at] = float(np.mean(errors)), std_error, len({e > 0 for e in errors}) == 1
    if not apart:
        return []
    z = np.array([abs(e) / max(s, 1e-300) for e, s, _ in apart.values()])
    p = adjusted(2 * special.ndtr(-z))
    bad = [
        (at, e)
        for (at, (e, _, same)), chance in zip(apart.items(), p, strict=True)
        if chance < _LEVEL and abs(e) > off and same
    ]
    if not bad:
        return []
    worst = sorted(bad, key=lambda b: -abs(b[1]))
    return [
        Finding(
            code="calibration.group_off",
            severity=Severity.WARN,
            what=f"{len(bad)} of {len(apart)} large groups came out more than {off:.0%} away from their forecast at every origin, "
            f"beside the error that all users share: {_listed(worst, lambda e: f'{e:+z.0%}')}.",
            why="Budgets and bids by group would be wrong by as much, though the total is right.",
            do="Use a model that knows the attribute, calibrate by group, or compare groups by what they brought.",
            numbers={"n_off": len(bad), "n_groups": len(apart), "worst": worst[0][1]},
        )
    ]


def _short_finding(large: Large, *, short: float) -> list[Finding]:
    """Groups whose intervals hold too few outcomes."""
    held: dict[tuple[str, str], tuple[float, float, float]] = {}
    for at, found in large.items():
        known = [(f.covered, f.level) for f in found if f.covered is not None and f.level is not None]
        if len(known) == len(found):
            n = min(f.n_users for f in found)
            held[at] = float(np.mean([c for c, _ in known])), known[0][1], float(n)
    if not held:
        return []
    p = adjusted(np.array([_chance_of_fewer(c, n, level) for c, level, n in held.values()]))
    bad = [
        (at, c)
        for (at, (c, level, _)), chance in zip(held.items(), p, strict=True)
        if chance < _LEVEL and c < level - short
    ]
    if not bad:
        return []
    worst = sorted(bad, key=lambda b: b[1])
    level = next(iter(held.values()))[1]
    return [
        Finding(
            code="coverage.group_short",
            severity=Severity.WARN,
            what=f"Intervals of {level:.0%} held fewer than {level - short:.0%} of outcomes in {len(bad)} of {len(held)} large groups: "
            f"{_listed(worst, lambda c: f'{c:.0%}')}.",
            why="For these users the bounds are too narrow; a plan for the bad case rests on them.",
            do="Read their intervals as lower levels, or calibrate intervals within the group.",
            numbers={"n_short": len(bad), "n_groups": len(held), "worst": worst[0][1]},
        )
    ]


def _chance_of_fewer(share: float, n: float, level: float) -> float:
    """The chance that at most this share of n users lies inside intervals that hold the level."""
    k = np.floor(share * n + 1e-9)
    return 1.0 if k >= n else float(special.betainc(n - k, k + 1, 1 - level))


def _listed(bad: Sequence[tuple[tuple[str, str], float]], shown: Callable[[float], str]) -> str:
    named = [f"{kind} {group} ({shown(value)})" for (kind, group), value in bad[:_NAMED]]
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return ", ".join(named) + more


def _whole(fits: Sequence[GroupFit]) -> dict[int, float]:
    """Actual over predicted of all users at each origin, from the kind of group seen first."""
    kind = fits[0].kind if fits else ""
    sums: dict[int, list[float]] = {}
    for fit in fits:
        if fit.kind == kind:
            total = sums.setdefault(fit.origin, [0.0, 0.0])
            total[0] += fit.actual
            total[1] += fit.predicted
    return {
        origin: actual / predicted if predicted > 0 else 0.0 for origin, (actual, predicted) in sums.items()
    }


def _sum_error(grouping: Grouping, values: Floats, n: Floats) -> Floats:
    """Standard error of each group's sum, by the spread of its users."""
    mean = grouping.sums(values) / np.maximum(n, 1)
    squares = grouping.sums((values - mean[grouping.codes]) ** 2)
    return np.sqrt(n * squares / np.maximum(n - 1, 1))


def _share(held: float, n: float) -> tuple[float, float, float]:
    """A share with its exact binomial 95% interval (Clopper and Pearson)."""
    low = float(special.betaincinv(held, n - held + 1, 0.025)) if held > 0 else 0.0
    high = float(special.betaincinv(held + 1, n - held, 0.975)) if held < n else 1.0
    return float(held / n), low, high
