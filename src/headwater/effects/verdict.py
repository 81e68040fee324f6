"""The verdict on an experiment by its plan's rule: act, hold, or cannot say, with what would change it.

Act on an arm where a primary metric is clearly better, none is clearly worse, and every guardrail holds. What blocks
trust, or comes before the stop rule allows, is "cannot say", whatever the figures are.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.core.answer import Stance, Verdict
from headwater.core.finding import Finding
from headwater.effects.metric import Part
from headwater.effects.plan import Plan
from headwater.effects.reading import Reading
from headwater.effects.scorecard import CheckResult, Row
from headwater.effects.trust import blocking

__all__ = ["verdict_of"]


def verdict_of(
    plan: Plan,
    rows: Sequence[Row],
    checks: Sequence[CheckResult],
    reading: Reading,
    *,
    blocked: Sequence[Finding] = (),
) -> Verdict:
    """By the rows of every arm; ``blocked`` are findings of the gathering that forbid a verdict."""
    question = plan.question or f"Should one of {_listed([a.name for a in plan.treatments])} be rolled out?"
    against = [*blocked, *blocking(checks)]
    if against:
        return _cannot(question, against, "A check of trust failed")
    if not reading.may_decide:
        return _cannot(question, reading.findings, "The stop rule does not let figures be read yet")
    stances = {arm.name: _of_arm(arm.name, rows) for arm in plan.treatments}
    wins = [arm for arm, (stance, _) in stances.items() if stance is Stance.ACT]
    if wins:
        best = max(wins, key=lambda arm: _strength(arm, rows))
        return _won(plan, question, best, stances[best][1], others=[w for w in wins if w != best])
    stance = Stance.HOLD if any(s is Stance.HOLD for s, _ in stances.values()) else Stance.CANNOT_SAY
    because = [f"{arm}: {why}" if len(stances) > 1 else why for arm, (_, why) in stances.items()]
    return Verdict(
        question=question, stance=stance, because=tuple(because), would_change=(_needs(rows, stance),)
    )


def _cannot(question: str, findings: Sequence[Finding], why: str) -> Verdict:
    return Verdict(
        question=question,
        stance=Stance.CANNOT_SAY,
        because=(f"{why}.", *(f.what for f in findings)),
        would_change=tuple(dict.fromkeys(f.do for f in findings)),
        findings=tuple(findings),
    )


def _of_arm(arm: str, rows: Sequence[Row]) -> tuple[Stance, str]:
    own = [r for r in rows if r.arm == arm]
    primary = [r for r in own if r.metric.part is Part.PRIMARY]
    guards = [r for r in own if r.metric.part is Part.GUARDRAIL]
    harmed = [r for r in guards if r.outcome == "harmed"]
    worse = [r for r in primary if r.outcome == "worse"]
    if harmed or worse:
        return Stance.HOLD, f"{_told(worse + harmed)} came out worse beyond chance."
    if any(r.refused for r in primary):
        refused = next(r for r in primary if r.refused)
        return (
            Stance.CANNOT_SAY,
            f"{refused.metric.name} has no figure: {refused.refused.what if refused.refused else ''}",
        )
    better = [r for r in primary if r.outcome == "better"]
    open_guards = [r for r in guards if r.outcome in {"not shown within margin", "refused"}]
    if not better:
        return Stance.CANNOT_SAY, f"no primary metric is clear of zero: {_told(primary)}."
    if open_guards:
        return Stance.HOLD, f"{_told(better)} came out better, but {_told(open_guards)} is not shown to hold."
    return Stance.ACT, f"{_told(better)} came out better beyond chance, and no guardrail is harmed."


def _won(plan: Plan, question: str, best: str, why: str, *, others: Sequence[str]) -> Verdict:
    beside = (f"{_listed(others)} would do too; which of them is best was not tested.",) if others else ()
    unplanned = () if plan.registered_on else ("No plan was written down before, so this is a suggestion.",)
    return Verdict(
        question=question,
        stance=Stance.ACT,
        because=(f"roll out {best}: {why}", *beside, *unplanned),
        would_change=("A guardrail that turns, or the effect fading in a holdout kept after the roll-out.",),
    )


def _strength(arm: str, rows: Sequence[Row]) -> float:
    found = [
        abs(r.difference / r.std_error)
        for r in rows
        if r.arm == arm
        and r.outcome == "better"
        and r.metric.part is Part.PRIMARY
        and r.difference
        and r.std_error
    ]
    return max(found, default=0.0)


def _needs(rows: Sequence[Row], stance: Stance) -> str:
    if stance is Stance.HOLD:
        return "A change of the treatment that removes the harm, tested anew."
    ends = [r.high for r in rows if r.metric.part is Part.PRIMARY and r.high is not None]
    if not ends:
        return "Data that carry the primary metric."
    return (
        "More users, or a metric with less noise: the intervals say how large an effect may still be there."
    )


def _told(rows: Sequence[Row]) -> str:
    return _listed([_figure(r) for r in rows]) or "none"


def _figure(row: Row) -> str:
    if row.relative is not None and row.rel_low is not None and row.rel_high is not None:
        return f"{row.metric.name} {row.relative:+.1%} ({row.rel_low:+.1%} to {row.rel_high:+.1%})"
    if row.difference is not None and row.low is not None and row.high is not None:
        return f"{row.metric.name} {row.difference:+.4g} ({row.low:+.4g} to {row.high:+.4g})"
    return row.metric.name


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))
