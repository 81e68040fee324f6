"""From what was gathered to a scorecard: pure functions, no user's row is seen again.

The order is that of trust: the checks first, then whether the stop rule lets figures be read, then the effects.
A row's interval is at the level at which the plan's correction tests that row, so that p-value, absolute and
relative interval and the word beside them cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headwater.core.finding import Finding, Severity
from headwater.effects.choose_method import method_for
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Plan
from headwater.effects.reading import Reading
from headwater.effects.scorecard import Row, Scorecard
from headwater.effects.stopping import STOPPING
from headwater.effects.trust import trust
from headwater.effects.verdict import verdict_of
from headwater.numerics.effect import Effect, effect_of
from headwater.numerics.multiplicity import adjusted, rates

__all__ = ["analyze"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tested:
    """A metric in an arm with its comparison and the p-value under the stop rule; no p-value where it was refused."""

    metric: Metric
    arm: str
    compared: Compared | Finding
    p_value: float | None


def analyze(
    plan: Plan,
    gathered: Gathered,
    *,
    today: int | None = None,
    looked: tuple[float, ...] = (),
) -> Scorecard:
    """The scorecard of an experiment.

    Parameters
    ----------
    today
        The app day of the analysis; None where the data carry no days.
    looked
        Shares of the planned users at earlier looks, for group sequential plans.
    """
    reading = _read(plan, gathered, today=today, alpha=plan.alpha, looked=looked)
    shown = reading.may_decide
    checks = trust(plan, gathered, may_decide=shown)
    tested = [
        _tested(m, arm.name, plan, gathered, reading) for m in plan.metrics for arm in plan.treatments
    ] if shown else []  # fmt: skip
    rows = tuple(_rows(plan, gathered, tested, today=today, looked=looked))
    findings = (*gathered.findings, *(_unplanned(plan) or reading.findings))
    return Scorecard(
        plan=plan,
        arms=tuple((a.name, gathered.users_of(a.name)) for a in plan.arms),
        rows=rows,
        checks=checks,
        verdict=verdict_of(plan, rows, checks, reading, blocked=_blocking(gathered.findings)),
        method=reading.method,
        findings=findings,
        sql=gathered.sql,
    )


def _blocking(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(f for f in findings if f.severity is Severity.BLOCK)


def _unplanned(plan: Plan) -> tuple[Finding, ...]:
    if plan.registered_on is not None:
        return ()
    return (
        Finding(
            code="plan.none",
            severity=Severity.WARN,
            what=f"No plan was written down before: all {len(plan.metrics)} metrics were named at the analysis.",
            why="Metrics, users and the day of the end can be chosen, knowingly or not, until something is clear; the error rates hold only for what was fixed before.",
            do="Treat it as a suggestion. Next time write the plan first: headwater experiment design --plan.",
        ),
    )


def _read(
    plan: Plan, gathered: Gathered, *, today: int | None, alpha: float, looked: tuple[float, ...]
) -> Reading:
    rule = STOPPING.load(plan.stop.method)()
    n_users = sum(gathered.users_of(a.name) for a in plan.arms)
    return rule.read(plan, n_users=n_users, today=today, alpha=alpha, looked=looked)


def _tested(metric: Metric, arm: str, plan: Plan, gathered: Gathered, reading: Reading) -> _Tested:
    method = method_for(metric, gathered)
    if isinstance(method, Finding):
        return _Tested(metric=metric, arm=arm, compared=method, p_value=None)
    compared = method.compare(metric, gathered, control=plan.control.name, arm=arm)
    if isinstance(compared, Finding):
        return _Tested(metric=metric, arm=arm, compared=compared, p_value=None)
    effect = effect_of(compared.control, compared.arm, covariance=compared.covariance)
    if effect is None:
        return _Tested(metric=metric, arm=arm, compared=_no_spread(metric, arm), p_value=None)
    p = effect.p_value if reading.p_of is None else reading.p_of(effect.statistic)
    return _Tested(metric=metric, arm=arm, compared=compared, p_value=p)


def _no_spread(metric: Metric, arm: str) -> Finding:
    return Finding(
        code="effect.no_spread",
        severity=Severity.WARN,
        what=f"Every user of {arm} and of the control has the same {metric.name}.",
        why="Without any spread nothing says how far the difference may be off; it is not shown to be zero.",
        do="Look whether the column is filled, or take a metric that varies.",
    )


def _rows(
    plan: Plan, gathered: Gathered, tested: Sequence[_Tested], *, today: int | None, looked: tuple[float, ...]
) -> list[Row]:
    """Every test as a row: corrected within its part, its interval at the level at which it was tested."""
    made: dict[int, Row] = {}
    for part in Part:
        family = [(i, t) for i, t in enumerate(tested) if t.metric.part is part]
        ps = [t.p_value for _, t in family if t.p_value is not None]
        how = _CORRECTIONS[part] or plan.correction
        corrected = iter(adjusted(ps, how=how).tolist())
        alphas = iter(rates(ps, alpha=plan.alpha, how=how).tolist())
        for i, t in family:
            if isinstance(t.compared, Finding) or t.p_value is None:
                made[i] = _refused(plan, gathered, t)
                continue
            reading = _read(plan, gathered, today=today, alpha=(alpha := next(alphas)), looked=looked)
            made[i] = _row(plan, gathered, t, p_adjusted=next(corrected), alpha=alpha, reading=reading)
    return [made[i] for i in range(len(tested))]


_CORRECTIONS: dict[Part, str | None] = {Part.PRIMARY: None, Part.SECONDARY: "bh", Part.GUARDRAIL: "none"}
"""Goals by the plan's correction, secondary ones by their false discovery rate, guardrails each on its own."""


def _refused(plan: Plan, gathered: Gathered, tested: _Tested) -> Row:
    finding = tested.compared
    return Row(
        metric=tested.metric,
        arm=tested.arm,
        control=plan.control.name,
        n_control=gathered.users_of(plan.control.name),
        n_arm=gathered.users_of(tested.arm),
        outcome="refused",
        refused=finding if isinstance(finding, Finding) else None,
    )


def _row(
    plan: Plan, gathered: Gathered, tested: _Tested, *, p_adjusted: float, alpha: float, reading: Reading
) -> Row:
    compared = tested.compared
    assert isinstance(compared, Compared)
    effect = effect_of(
        compared.control,
        compared.arm,
        covariance=compared.covariance,
        level=1 - alpha,
        reach=reading.reach,
    )
    assert effect is not None
    return replace(
        _refused(plan, gathered, tested),
        n_control=round(compared.control.n),
        n_arm=round(compared.arm.n),
        outcome=_reads(tested.metric, effect),
        value_control=compared.control.value,
        value_arm=compared.arm.value,
        difference=effect.difference,
        std_error=effect.std_error,
        low=effect.low,
        high=effect.high,
        level=1 - alpha,
        relative=effect.relative,
        rel_low=effect.rel_low,
        rel_high=effect.rel_high,
        p_value=tested.p_value,
        p_adjusted=p_adjusted,
        method=f"{compared.method}, {reading.method}",
        removed=compared.variance_removed,
        findings=compared.findings,
    )


def _reads(metric: Metric, effect: Effect) -> str:
    sign = 1 if metric.better is Better.HIGHER else -1
    worst, best = sorted((sign * effect.low, sign * effect.high))
    if metric.part is Part.GUARDRAIL:
        return _guarded(metric, effect, worst=worst, best=best)
    return "better" if worst > 0 else "worse" if best < 0 else "unclear"


def _guarded(metric: Metric, effect: Effect, *, worst: float, best: float) -> str:
    if best < 0:
        return "harmed"
    if metric.margin is None:
        return "better" if worst > 0 else "unclear"
    bounds = (effect.rel_low, effect.rel_high)
    if bounds[0] is None or bounds[1] is None:
        return "not shown within margin"
    harm = -bounds[0] if metric.better is Better.HIGHER else bounds[1]
    return "within margin" if harm < metric.margin else "not shown within margin"
