"""The scorecard: figures that agree with each other, trust before effects, and nothing before the stop rule allows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from headwater.core.answer import Stance
from headwater.core.block import Grid
from headwater.effects.analyze import analyze
from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan, StopRule
from headwater.numerics.moments import of_rows, stacked

SCIPY_RTOL = 1e-9  # the same arithmetic in another order

GMV = Metric(name="gmv", outcome="gmv", part=Part.PRIMARY)
ORDERS = Metric(name="orders", outcome="orders", part=Part.PRIMARY)
CRASHES = Metric(name="crashes", outcome="crashes", part=Part.GUARDRAIL, better=Better.LOWER, margin=0.05)
PLAN = Plan(
    name="test",
    question="",
    arms=(Arm(name="control", share=0.5), Arm(name="treatment", share=0.5)),
    metrics=(GMV, ORDERS, CRASHES),
    registered_on=20_000,
)


def _outcomes(
    *, lift: float = 0.0, harm: float = 0.0, n: int = 4000, seed: int = 1
) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    arms: dict[str, dict[str, np.ndarray]] = {}
    for arm, up, bad in (("control", 0.0, 0.0), ("treatment", lift, harm)):
        arms[arm] = {
            "gmv": rng.gamma(2.0, 5.0, n) * (1 + up),
            "orders": rng.poisson(2.0, n).astype(float),
            "crashes": rng.poisson(1.0 * (1 + bad), n).astype(float),
        }
    return arms


def _gathered(arms: dict[str, dict[str, np.ndarray]]) -> Gathered:
    metrics = next(iter(arms.values()))
    counts = np.array([len(a["gmv"]) for a in arms.values()])
    return Gathered(
        groups=tuple(Group(arm=name) for name in arms),
        n_users=counts,
        metrics={
            m: MetricState(
                columns=(m,),
                moments=stacked([of_rows(a[m][:, None]) for a in arms.values()]),
                n_missing=np.zeros(len(arms), dtype=np.int64),
            )
            for m in metrics
        },
    )


def test_a_row_is_scipys_welch_test():
    arms = _outcomes(lift=0.05)
    row = analyze(replace(PLAN, correction="none"), _gathered(arms)).row("gmv", "treatment")
    theirs = stats.ttest_ind(arms["treatment"]["gmv"], arms["control"]["gmv"], equal_var=False)
    assert row.p_value == pytest.approx(theirs.pvalue, rel=SCIPY_RTOL)
    interval = theirs.confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("correction", ["holm", "bonferroni", "bh", "none"])
def test_word_interval_relative_interval_and_adjusted_p_never_disagree(seed: int, correction: str):
    lift = 0.02 * (seed % 4)
    card = analyze(replace(PLAN, correction=correction), _gathered(_outcomes(lift=lift, n=1500, seed=seed)))
    for row in card.rows:
        assert row.low is not None and row.high is not None and row.p_adjusted is not None
        assert row.rel_low is not None and row.rel_high is not None
        clear = row.low > 0 or row.high < 0
        assert clear == (row.rel_low > 0 or row.rel_high < 0)
        assert clear == (row.p_adjusted <= card.plan.alpha)
        if row.metric.part is Part.PRIMARY:
            assert clear == (row.outcome in {"better", "worse"})


def test_a_clear_gain_with_guardrails_that_hold_is_rolled_out():
    card = analyze(PLAN, _gathered(_outcomes(lift=0.2, n=20_000, seed=2)))
    assert card.verdict.stance is Stance.ACT
    assert card.row("crashes", "treatment").outcome == "within margin"


def test_a_harmed_guardrail_holds_whatever_the_gain():
    card = analyze(PLAN, _gathered(_outcomes(lift=0.2, harm=0.2, n=20_000)))
    assert card.row("gmv", "treatment").outcome == "better"
    assert card.row("crashes", "treatment").outcome == "harmed"
    assert card.verdict.stance is Stance.HOLD


def test_a_guardrail_not_shown_to_hold_holds():
    card = analyze(PLAN, _gathered(_outcomes(lift=0.5, n=300)))
    assert card.row("gmv", "treatment").outcome == "better"
    assert card.row("crashes", "treatment").outcome == "not shown within margin"
    assert card.verdict.stance is Stance.HOLD


def test_no_clear_effect_is_cannot_say_not_no_effect():
    card = analyze(PLAN, _gathered(_outcomes()))
    assert card.verdict.stance is Stance.CANNOT_SAY
    assert "more users" in " ".join(card.verdict.would_change).lower()


def test_a_sample_ratio_mismatch_withholds_the_verdict_on_any_gain():
    arms = _outcomes(lift=0.5)
    short = {k: v[:3000] for k, v in arms["treatment"].items()}
    card = analyze(PLAN, _gathered({"control": arms["control"], "treatment": short}))
    assert card.verdict.stance is Stance.CANNOT_SAY
    assert any(f.code == "srm.mismatch" for f in card.verdict.findings)


def test_a_fixed_plan_shows_no_effect_before_its_end_however_it_is_asked():
    plan = replace(PLAN, stop=StopRule(method="fixed", n_users=100_000))
    card = analyze(plan, _gathered(_outcomes(lift=0.5)))
    assert card.rows == ()
    assert card.checks
    assert card.verdict.stance is Stance.CANNOT_SAY
    told = "\n".join(str(b) for b in card.blocks())
    assert "0.5" not in told.replace("0.5 of", "")
    grid = next(b for b in card.blocks() if isinstance(b, Grid) and b.name == "effects")
    assert list(grid.stream()) == []


def test_no_check_tells_an_effect_before_the_planned_end():
    """An effect of 50%, and one user worth a third of an arm: both are told at the end, neither before it."""
    arms = _outcomes(lift=0.5)
    arms["treatment"]["gmv"][0] = 20_000.0
    gathered = _gathered(arms)
    largest = np.array([a["gmv"].max() for a in arms.values()])
    gathered = replace(
        gathered, metrics={**gathered.metrics, "gmv": replace(gathered.metrics["gmv"], largest=largest)}
    )
    telling = {"effect.too_large", "outlier.influence", "novelty.trend"}

    def told(plan: Plan) -> set[str]:
        card = analyze(plan, gathered)
        return {f.code for c in card.checks for f in c.findings}

    early = replace(PLAN, stop=StopRule(method="fixed", n_users=100_000))
    late = replace(PLAN, stop=StopRule(method="fixed", n_users=8_000))
    assert told(late) & telling
    assert not told(early) & telling
    card = analyze(early, gathered)
    assert {c.name for c in card.checks if "stop rule" in c.about} == {
        "interference_hint", "novelty", "outlier_influence", "twyman",
    }  # fmt: skip


def test_an_analysis_without_a_plan_says_so():
    card = analyze(replace(PLAN, registered_on=None), _gathered(_outcomes()))
    assert "plan.none" in {f.code for f in card.findings}


def test_arms_named_the_other_way_round_turn_the_signs():
    arms = _outcomes(lift=0.1)
    one = analyze(PLAN, _gathered(arms)).row("gmv", "treatment")
    swapped = {"control": arms["treatment"], "treatment": arms["control"]}
    other = analyze(PLAN, _gathered(swapped)).row("gmv", "treatment")
    assert one.difference == pytest.approx(-(other.difference or 0), rel=SCIPY_RTOL)
    assert one.p_value == pytest.approx(other.p_value, rel=SCIPY_RTOL)


def test_a_metric_nobody_gathered_is_refused_by_name():
    missing = Metric(name="refunds", outcome="refunds", part=Part.PRIMARY)
    card = analyze(replace(PLAN, metrics=(GMV, missing)), _gathered(_outcomes(lift=0.2)))
    row = card.row("refunds", "treatment")
    assert row.difference is None
    assert row.refused is not None
    assert card.verdict.stance is Stance.CANNOT_SAY
