"""The rule of a staged roll-out, case by case."""

from __future__ import annotations

from itertools import pairwise

import pytest

from headwater.core.answer import Stance, Verdict
from headwater.core.errors import UsageError
from headwater.core.finding import Finding, Severity
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.effects.rollout import STAGES, Move, next_stage
from headwater.effects.scorecard import CheckResult, Row, Scorecard

CRASHES = Metric(name="crashes", outcome="crashes", part=Part.GUARDRAIL, better=Better.LOWER, margin=0.02)
STAYED = Metric(name="stayed", outcome="stayed", part=Part.GUARDRAIL, margin=0.01)
REVENUE = Metric(name="revenue", outcome="revenue", part=Part.PRIMARY)
BLOCKED = Finding(code="srm.mismatch", severity=Severity.BLOCK, what="It is uneven.", why="So.", do="Look.")
PLAN = Plan(
    name="p",
    question="q?",
    arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5)),
    metrics=(CRASHES, STAYED),
)


def row(metric, outcome, refused=None):
    return Row(metric=metric, arm="b", control="a", n_control=9, n_arm=9, outcome=outcome, refused=refused)


def card(*rows, checks=()):
    verdict = Verdict(question="q?", stance=Stance.HOLD, because=("b",), would_change=("c",))
    return Scorecard(
        plan=PLAN, arms=(("a", 9), ("b", 9)), rows=rows, checks=checks, verdict=verdict, method="test"
    )


OPEN = "not shown within margin"
FINE = (row(CRASHES, OPEN), row(STAYED, OPEN))


def test_while_guardrails_hold_each_stage_leads_to_the_next():
    proven = (
        row(CRASHES, "within margin"),
        row(STAYED, "within margin"),
    )
    for now, then in pairwise(STAGES):
        found = next_stage(card(*proven), coverage=now, n_days=1)
        assert (found.move, found.coverage) == (Move.RAISE, then)
    assert next_stage(card(*proven), coverage=1.0, n_days=9).move is Move.WAIT


@pytest.mark.parametrize("harm", [row(CRASHES, "harmed"), row(STAYED, "harmed")])
def test_a_guardrail_that_is_clearly_worse_withdraws_whatever_else_is_said(harm):
    blocking = CheckResult(name="sample_ratio", about="x", ran=True, findings=(BLOCKED,))
    found = next_stage(card(harm, checks=(blocking,)), coverage=0.25, n_days=0)
    assert (found.move, found.coverage) == (Move.WITHDRAW, 0.0)
    assert harm.metric.name in found.because[0]


@pytest.mark.parametrize(
    "harmless", [row(CRASHES, "within margin"), row(STAYED, "better"), row(REVENUE, "worse")]
)
def test_what_is_better_or_no_guardrail_does_not_withdraw(harmless):
    assert next_stage(card(harmless), coverage=0.25, n_days=1).move is Move.RAISE


def test_it_waits_for_trust_for_numbers_and_for_days():
    blocking = CheckResult(name="sample_ratio", about="x", ran=True, findings=(BLOCKED,))
    cases = [
        (card(*FINE, checks=(blocking,)), 3),
        (card(row(CRASHES, "refused", refused=BLOCKED)), 3),
        (card(row(CRASHES, "not read yet")), 3),
        (card(*FINE), 1),
    ]
    for given, n_days in cases:
        found = next_stage(given, coverage=0.05, n_days=n_days, least_days=2)
        assert (found.move, found.coverage) == (Move.WAIT, 0.05)
        assert len(found.because) == 1


def test_from_half_of_the_users_on_a_guardrail_must_be_within_its_margin():
    assert next_stage(card(*FINE), coverage=0.25, n_days=1).move is Move.RAISE
    found = next_stage(card(*FINE), coverage=0.5, n_days=1)
    assert found.move is Move.WAIT
    assert "margin of 2.0%" in found.because[0]


def test_a_coverage_that_is_no_stage_is_refused():
    with pytest.raises(UsageError, match=r"rollout\.stage"):
        next_stage(card(), coverage=0.3, n_days=1)
