"""Whether a forecast may be trusted at all: what a backtest and the log say against it.

One bad origin is no proof that a model is wrong, and one lucky one no proof that it is right: origins are
combined, those whose windows overlap holes are left out. Origins share users and days, so standard errors are
averaged over them and never made smaller for their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headwater.core.answer import Estimate
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.evaluation.backtest import MOST_HOLES, Backtest
from headwater.evaluation.shift import Shift
from headwater.evaluation.standing import SCORE_WORDS, Place, Standing

__all__ = ["NAIVE_MODELS", "check_trust"]

NAIVE_MODELS = ("rate_so_far", "cohort_mean")
"""What anybody would do without a model."""

_OFF = 0.25
_Z = 1.96
_MANY_MOVED = 0.25
_NAMED = 5
_LEAST_DAYS = 28


def check_trust(
    backtest: Backtest,
    *,
    model: str | None = None,
    naive: Sequence[str] = NAIVE_MODELS,
    history_days: int | None = None,
    hole_shares: Mapping[int, float] | None = None,
    shifts: Sequence[Shift] = (),
    off: float = _OFF,
) -> tuple[Finding, ...]:
    """What speaks against trusting the forecast; a blocking finding means "cannot say".

    Parameters
    ----------
    model
        Which made the forecast, where it is not the choice. It is not compared with the naive models; how it stands
        beside the leader is said instead.
    naive
        Models that any other has to beat; those that were not in the backtest are passed over.
    history_days
        Length of the log up to today.
    hole_shares
        By origin, the share of the days of its target windows that lie in holes, averaged over users. Origins
        above ``MOST_HOLES`` (5%) are left out of the questions asked here; a backtest that was told of holes has
        left them out before, unless no other remained.
    shifts
        From ``population_shift``.
    off
        The total is off where it is so much above or below what came (0.25).
    """
    lost = {o: s for o, s in (hole_shares or {}).items() if s > MOST_HOLES and o in backtest.origins}
    usable = [o for o in backtest.origins if o not in lost]
    found = [
        *(f for f in backtest.choice.findings if f.severity is Severity.BLOCK),
        *_holes(lost, n_origins=len(backtest.origins)),
        *_history(backtest, history_days),
        *_shifted(shifts),
    ]
    name = model or backtest.choice.name
    found += _one_origin(usable)
    if usable:
        found += (
            _against_naive(backtest, usable, naive)
            if name == backtest.choice.name
            else _not_the_choice(backtest, name)
        )
        may_order = not any(f.severity is Severity.BLOCK for f in found) and _orders(backtest, name)
        found += _calibration(backtest, name, usable, off=off, may_order=may_order)
    return tuple(found)


def _holes(lost: Mapping[int, float], *, n_origins: int) -> list[Finding]:
    if not lost:
        return []
    days = ", ".join(f"{date_of(o)} ({s:.0%} of its days)" for o, s in sorted(lost.items()))
    all_lost = len(lost) == n_origins
    return [
        Finding(
            code="trust.holes",
            severity=Severity.BLOCK if all_lost else Severity.WARN,
            what=f"The target windows of {len(lost)} of {n_origins} origins overlap holes in the log: {days}.",
            why="What happened in a hole is missing, so forecasts from there look too high."
            + (" No origin is left to judge the models on." if all_lost else " They are left out here."),
            do="Load the missing days again, or test at origins whose windows are whole.",
            numbers={"n_lost": len(lost), "n_origins": n_origins},
        )
    ]


def _history(backtest: Backtest, days: int | None) -> list[Finding]:
    horizon = backtest.task.horizon_days
    if days is None or days >= max(3 * horizon, _LEAST_DAYS):
        return []
    if days < _LEAST_DAYS and days >= 2 * horizon:
        return [_few_weeks(days, horizon)]
    short = days < 2 * horizon
    return [
        Finding(
            code="trust.short_history",
            severity=Severity.BLOCK if short else Severity.WARN,
            what=f"The log has {days} days; the forecast looks {horizon} days ahead.",
            why="With less than two horizons no forecast can be held against what came."
            if short
            else "With less than three horizons no model can learn from a window that ended and be tested on a later one.",
            do=f"Use a horizon of up to {days // 3} days, or load earlier history.",
            numbers={"history_days": days, "horizon_days": horizon},
        )
    ]


def _few_weeks(days: int, horizon: int) -> Finding:
    return Finding(
        code="trust.short_history",
        severity=Severity.BLOCK,
        what=f"The log has {days} days, fewer than {_LEAST_DAYS}; the forecast looks {horizon} {_days(horizon)} ahead.",
        why="Each weekday was seen a few times only and no month ended: what a few days bring cannot be told from how such days are.",
        do=f"Load at least {_LEAST_DAYS} days.",
        numbers={"history_days": days, "horizon_days": horizon},
    )


def _days(n: int) -> str:
    return "day" if n == 1 else "days"


def _one_origin(usable: Sequence[int]) -> list[Finding]:
    """One origin decides nothing: a good score there may be luck."""
    if len(usable) != 1:
        return []
    return [
        Finding(
            code="trust.one_origin",
            severity=Severity.BLOCK,
            what=f"Only one past origin ({date_of(usable[0])}) could be tried.",
            why="Neither order nor total was seen to hold twice; one window cannot tell a good model from a lucky one.",
            do="Use a shorter horizon, cutoffs closer together, or a longer log, so that at least two origins (better three) can be tried.",
        )
    ]


def _orders(backtest: Backtest, model: str) -> bool:
    """Whether the order was better than chance at every origin."""
    known = [a for a in backtest.standing("normalized_gini").answers[model] if isinstance(a, Estimate)]
    return bool(known) and min(a.low for a in known) > 0


def _shifted(shifts: Sequence[Shift]) -> list[Finding]:
    moved = sorted((s for s in shifts if s.moved), key=lambda s: -s.psi)
    if not moved:
        return []
    named = ", ".join(f"{s.column} ({s.psi:.2f}, usually up to {s.usual:.2f})" for s in moved[:_NAMED])
    many = len(moved) >= _MANY_MOVED * len(shifts)
    return [
        Finding(
            code="trust.population_shift",
            severity=Severity.BLOCK if many else Severity.WARN,
            what=f"{len(moved)} of {len(shifts)} columns are distributed otherwise than at the training cutoffs, by stability index: {named}.",
            why="The models learned from other people than those they are asked about; past errors do not say how far they will be off.",
            do="Find out what changed (a campaign, a source, a definition), and wait for a window of such users to end, or forecast without them.",
            numbers={"n_moved": len(moved), "n_columns": len(shifts), "largest": moved[0].psi},
        )
    ]


def _against_naive(backtest: Backtest, usable: Sequence[int], naive: Sequence[str]) -> list[Finding]:
    """Whether the chosen model is clearly better than every naive one, on ranking and on level."""
    name, known = backtest.choice.name, backtest.choice.beside_choice
    present = [m for m in naive if m in backtest.models]
    if not present or not known:
        return []
    over = f"Over {len(usable)} origin{'s' if len(usable) > 1 else ''}"
    if name in present:
        return [_no_better(_naive_chosen(backtest, over))]
    level_with = {s: [m for m in present if not _beaten(backtest, s, m, usable)] for s in known}
    behind = [s for s in known if level_with[s]]
    figures = {s: _figures(backtest, s, level_with[s] or present, usable) for s in known}
    if not behind:
        return []
    if len(behind) == len(known):
        return [
            _no_better(f"{over} {name} was not clearly better than {' nor than '.join(figures.values())}.")
        ]
    (ahead,) = (s for s in known if s not in behind)
    lost, gained = SCORE_WORDS[behind[0].score], SCORE_WORDS[ahead.score]
    rules = " and ".join(level_with[behind[0]])
    return [
        Finding(
            code="trust.naive_on_one",
            severity=Severity.NOTE,
            what=f"{over} {name} was clearly better than {figures[ahead]}, but not than {figures[behind[0]]}.",
            why=f"What it is known to add to a rule that anybody can compute is the {gained}; its {lost} may be no better than that of {rules}.",
            do=f"Rely on {name} for the {gained}, and hold its {lost} against {rules}.",
        )
    ]


def _not_the_choice(backtest: Backtest, model: str) -> list[Finding]:
    """A model that was named in place of the chosen one: where it is clearly worse than the leader."""
    beside = backtest.choice.beside_leader
    worse = [SCORE_WORDS[s.score] for s in beside if s.places.get(model) is Place.CLEARLY_WORSE]
    held = (
        f"{model} is clearly worse than {backtest.choice.leader} on {' and '.join(worse)}"
        if worse
        else f"{model} is not the simplest close to {backtest.choice.leader}, the leader"
    )
    return [
        Finding(
            code="trust.not_the_choice",
            severity=Severity.WARN if worse else Severity.NOTE,
            what=f"{model} was named; the past speaks for {backtest.choice.name}: {held}.",
            why="A model taken for another reason than how it did at past origins may do worse.",
            do=f"Leave the model out to have that of {backtest.choice.name}, or say why {model} was taken.",
        )
    ]


def _naive_chosen(backtest: Backtest, over: str) -> str:
    name, leader = backtest.choice.name, backtest.choice.leader
    if name == leader:
        return f"{over} no model had a better balance of ranking and level than {name}, a naive rule."
    return f"{over} {name}, a naive rule, was close to {leader}, which leads, on ranking and on level."


def _no_better(what: str) -> Finding:
    return Finding(
        code="trust.no_better_than_naive",
        severity=Severity.BLOCK,
        what=what,
        why="A rule that anybody can compute does as well; nothing was shown to be gained by a model.",
        do="Use the naive rule, or give the models more to learn from: a longer log, more features, more users.",
    )


def _beaten(backtest: Backtest, standing: Standing, model: str, usable: Sequence[int]) -> bool:
    """Whether the model is clearly further from the best value than the one it is measured against; never where it could not be scored."""
    if model not in standing.places:
        return False
    found = [d for o, d in _by_origin(backtest, standing, standing.differences[model]) if o in usable]
    return bool(found) and float(np.mean([d.value for d in found])) > _Z * float(
        np.mean([d.std_error or 0.0 for d in found])
    )


def _by_origin(
    backtest: Backtest, standing: Standing, differences: Sequence[Estimate]
) -> list[tuple[int, Estimate]]:
    """Differences, beside the origins at which the score is known."""
    answers = standing.answers[standing.leader or ""]
    known = [o for o, a in zip(backtest.origins, answers, strict=True) if isinstance(a, Estimate)]
    return list(zip(known, differences, strict=True))


def _figures(backtest: Backtest, standing: Standing, rules: Sequence[str], usable: Sequence[int]) -> str:
    """The rules by name, the score, and what each has of it."""

    def shown(model: str) -> str:
        pairs = zip(backtest.origins, standing.answers[model], strict=True)
        values = [a.value for o, a in pairs if o in usable and isinstance(a, Estimate)]
        return f"{np.mean(values):.3f}" if model in standing.places and values else "no score"

    beside = " and ".join(shown(m) for m in rules)
    mine = shown(backtest.choice.name)
    return f"{' and '.join(rules)} on {SCORE_WORDS[standing.score]} ({standing.score} {mine} beside {beside})"


def _calibration(
    backtest: Backtest, model: str, usable: Sequence[int], *, off: float, may_order: bool
) -> list[Finding]:
    answers = backtest.standing("total_bias").answers[model]
    known = {
        o: a.value
        for o, a in zip(backtest.origins, answers, strict=True)
        if o in usable and isinstance(a, Estimate)
    }
    if not known:
        return []
    mean, last = float(np.mean(list(known.values()))), known[max(known)]
    alike = sum(abs(b) > off and b * mean > 0 for b in known.values())
    figures = ", ".join(f"{b:+z.0%} from {date_of(o)}" for o, b in sorted(known.items()))
    if len(known) > 1 and abs(mean) > off and 2 * alike > len(known):
        return [
            Finding(
                code="trust.calibration_off",
                severity=Severity.BLOCK,
                what=f"Totals of {model} were off by {mean:+z.0%} on average: {figures}.",
                why=f"More than {off:.0%} at most origins is no chance of one season; the total to come will be off as well.",
                do=f"{'Use the order of users, not the total; calibrate' if may_order else 'Do not use the total; calibrate'} on the latest window, or take a model that knows the season.",
                numbers={"mean": mean, "last": last, "n_origins": len(known)},
            )
        ]
    if abs(last) > off:
        before = ", ".join(f"{b:+z.0%} from {date_of(o)}" for o, b in sorted(known.items())[:-1])
        beside = f"the earlier ones by {before}" if before else "no other origin can bear it out"
        return [
            Finding(
                code="trust.calibration_once",
                severity=Severity.WARN,
                what=f"The latest total of {model}, from {date_of(max(known))}, was off by {last:+z.0%}, {beside}.",
                why="It may be the season, or the beginning of a change; one origin cannot tell.",
                do="Look at what happened since that origin, and test again when the next window has ended.",
                numbers={"mean": mean, "last": last, "n_origins": len(known)},
            )
        ]
    return []
