"""Stop rules: what they let be read, and that what they let be read keeps its level, by simulation."""

import numpy as np
import pytest
from scipy import stats

from headwater.core.errors import UsageError
from headwater.core.finding import Severity
from headwater.effects.plan import Arm, Plan, StopRule
from headwater.effects.reading import Reading
from headwater.effects.stopping import STOPPING

DAY = 20_000
N = 10_000
RULES = ("group_sequential", "confidence_sequence", "msprt")
N_RUNS = 4_000


def _plan(**stop) -> Plan:
    return Plan(
        name="t",
        question="?",
        arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5)),
        metrics=(),
        stop=StopRule(**stop),
    )


def _read(plan: Plan, n_users: int = N, today: int | None = None, alpha: float = 0.05, looked=()) -> Reading:
    return STOPPING.load(plan.stop.method)().read(
        plan, n_users=n_users, today=today, alpha=alpha, looked=looked
    )


def _codes(reading: Reading) -> list[str]:
    return [f.code for f in reading.findings]


def test_the_shelf_has_the_four_rules():
    assert set(STOPPING.names()) >= {"fixed", *RULES}


def test_fixed_before_its_end_decides_nothing_and_says_what_peeking_costs():
    reading = _read(_plan(n_users=N), n_users=3 * N // 4, looked=(0.25, 0.5))
    assert not reading.may_decide
    (finding,) = reading.findings
    assert (finding.code, finding.severity) == ("stopping.not_ended", Severity.BLOCK)
    rng = np.random.default_rng(1)  # four looks at 5% each, by simulation
    z = np.cumsum(rng.normal(size=(100_000, 4)), axis=1) / np.sqrt(np.arange(1, 5))
    error = (np.abs(z) > 1.96).any(axis=1).mean()
    assert finding.numbers["error"] == pytest.approx(error, abs=0.004)
    assert f"{finding.numbers['error']:.1%}" in finding.what


def test_fixed_at_its_end_is_a_single_look_and_remembers_the_looks_before():
    reading = _read(_plan(n_users=N), n_users=N + 5)
    assert (reading.may_decide, reading.reach, reading.p_of, reading.findings) == (True, None, None, ())
    assert _codes(_read(_plan(n_users=N), looked=(0.3,))) == ["stopping.peeked"]


@pytest.mark.parametrize(
    ("today", "may_decide", "codes"),
    [(DAY, True, []), (DAY - 1, False, ["stopping.not_ended"]), (None, False, ["stopping.no_day"])],
)
def test_fixed_by_days(today, may_decide, codes):
    reading = _read(_plan(ends_on=DAY), today=today)
    assert (reading.may_decide, _codes(reading)) == (may_decide, codes)


def test_fixed_by_days_counts_users_for_what_peeking_costs_only():
    reading = _read(_plan(ends_on=DAY, n_users=N), n_users=2 * N, today=DAY - 3)
    assert not reading.may_decide
    assert reading.findings[0].numbers["error"] == pytest.approx(0.05, abs=1e-9)


def test_a_plan_without_an_end_is_read_with_a_warning():
    reading = _read(_plan())
    assert reading.may_decide
    assert [(f.code, f.severity) for f in reading.findings] == [("stopping.no_end", Severity.WARN)]


@pytest.mark.parametrize("rule", RULES)
def test_sequential_rules_need_the_planned_users(rule):
    reading = _read(_plan(method=rule))
    assert (reading.may_decide, _codes(reading)) == (False, ["stopping.no_planned_users"])


@pytest.mark.parametrize("rule", RULES)
def test_interval_and_p_value_agree_at_every_look(rule):
    plan = _plan(method=rule, n_users=N, looks=(0.25, 0.5, 0.75, 1.0))
    for n_users in (1000, 2500, 5200, 10_000):
        reading = _read(plan, n_users=n_users)
        assert reading.reach is not None
        assert reading.p_of is not None
        assert reading.p_of(reading.reach * 1.0001) < 0.05 < reading.p_of(reading.reach * 0.9999)


@pytest.mark.parametrize("rule", RULES)
def test_a_stricter_test_of_several_agrees_with_the_p_value_of_the_plan(rule):
    """A correction tests at another error rate: its interval and the p-value must not disagree."""
    plan = _plan(method=rule, n_users=N, looks=(0.25, 0.5, 0.75, 1.0))
    p_of = _read(plan, n_users=5000).p_of
    for alpha in (0.05 / 2, 0.05 / 7, 0.1):
        reach = _read(plan, n_users=5000, alpha=alpha).reach
        assert p_of is not None
        assert reach is not None
        assert p_of(reach * 1.0001) < alpha < p_of(reach * 0.9999)


def test_group_sequential_at_planned_looks_has_the_bounds_of_sas_seqdesign():
    plan = _plan(method="group_sequential", n_users=N, looks=(0.25, 0.5, 0.75, 1.0))
    reach = [_read(plan, n_users=int(N * s)).reach for s in plan.stop.looks]
    assert reach == pytest.approx([4.33263, 2.96333, 2.35902, 2.01409], abs=3e-4)
    assert reach == [
        _read(plan, n_users=int(N * s), looked=plan.stop.looks[:i]).reach
        for i, s in enumerate(plan.stop.looks)
    ]


def test_a_look_near_a_planned_one_is_that_one():
    plan = _plan(method="group_sequential", n_users=N, looks=(0.25, 0.5, 0.75, 1.0))
    assert "look 2 at 52%" in _read(plan, n_users=5200).method
    assert "look 2 at 49%" in _read(plan, n_users=4900).method


def test_the_same_data_read_twice_are_one_look():
    plan = _plan(method="group_sequential", n_users=N)
    assert (
        _read(plan, n_users=5000, looked=(0.25, 0.5)).reach == _read(plan, n_users=5000, looked=(0.25,)).reach
    )


def test_group_sequential_beyond_and_short_of_the_planned_users():
    plan = _plan(method="group_sequential", n_users=N, ends_on=DAY)
    assert _codes(_read(plan, n_users=12_000, looked=(0.5,), today=DAY)) == ["stopping.over_planned"]
    short = _read(plan, n_users=8000, looked=(0.5,), today=DAY)
    assert _codes(short) == ["stopping.under_planned"]
    before = _read(plan, n_users=8000, looked=(0.5,), today=DAY - 1).reach
    assert short.reach is not None
    assert before is not None
    assert short.reach < before
    again = _read(plan, n_users=12_000, looked=(0.5, 1.1))
    assert (again.may_decide, _codes(again)) == (False, ["stopping.already_over"])


def test_an_unknown_spending_function_is_refused_by_name():
    with pytest.raises(UsageError, match="obrien_fleming"):
        _read(_plan(method="group_sequential", n_users=N, spending="obrien_flemming"))


def test_msprt_and_confidence_sequence_are_near_relatives():
    """The prior of mSPRT at 80% power is (1.96 + 0.84)^2 = 7.849 times the variance at the end, the sequence's 7.936."""
    reach = [_read(_plan(method=m, n_users=N)).reach for m in ("msprt", "confidence_sequence")]
    assert reach[0] == pytest.approx(reach[1], rel=1e-4)


def test_few_users_are_warned_of():
    assert _codes(_read(_plan(method="confidence_sequence", n_users=N), n_users=50)) == ["stopping.few_users"]
    assert not _read(_plan(method="confidence_sequence", n_users=N), n_users=0).may_decide


@pytest.mark.parametrize("rule", RULES)
def test_looks_at_times_nobody_planned_keep_the_level_by_simulation(rule):
    """Walks without an effect, looked at 12 times, unevenly; the share ever beyond the reach is at most 5%."""
    shares = np.array([0.05, 0.1, 0.18, 0.2, 0.33, 0.4, 0.52, 0.6, 0.75, 0.8, 0.95, 1.1])
    plan = _plan(method=rule, n_users=N)
    reach = np.array(
        [_read(plan, n_users=int(N * s), looked=tuple(shares[:i])).reach for i, s in enumerate(shares)],
        dtype=float,
    )
    steps = np.diff(shares, prepend=0.0)
    rng = np.random.default_rng(4)
    z = np.cumsum(rng.normal(0, np.sqrt(steps), size=(N_RUNS, 12)), axis=1) / np.sqrt(shares)
    wrong = int((np.abs(z) > reach).any(axis=1).sum())
    assert wrong <= stats.binom.ppf(0.999, N_RUNS, 0.05)
    if rule == "group_sequential":
        assert wrong >= stats.binom.ppf(0.001, N_RUNS, 0.05)
