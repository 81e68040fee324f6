"""Origins to test at and cutoffs to learn from, by hand: days are counted from the log's first day."""

from __future__ import annotations

import pytest

from headwater.app.config import CutoffSettings, PredictSettings
from headwater.app.plan import jobs_of, learning_cutoffs, origins_of, rungs_of, task_of
from headwater.core.errors import DataError, UsageError
from headwater.core.ledger import Ledger, LedgerMeasure
from headwater.core.table import Kind, Table

FIRST = 19_000


def ledger_of(n_days: int, *, counted: bool = True) -> Ledger:
    """A log of so many days with two measures; the rows do not matter here."""
    nothing = Table(name="ledger", files=(), columns=(), n_rows=0, fingerprint="")
    revenue = LedgerMeasure(name="revenue", kind=Kind.MONEY, unit="GBP", scale=1_000_000, counts=False)
    purchases = LedgerMeasure(name="purchases", kind=Kind.INTEGER, unit="", scale=1, counts=True)
    return Ledger(
        days=nothing,
        users=nothing,
        user_hours=nothing,
        measures=(revenue, purchases) if counted else (revenue,),
        first_day=FIRST,
        end_day=FIRST + n_days,
        settle_days=0,
        left_edge_days=28,
        one_row_a_day=True,
        findings=(),
        sql="",
    )


@pytest.mark.parametrize(
    ("n_days", "origins"),
    [
        (400, [310, 282, 254]),  # all three have a window of 90 and four weeks before them
        (250, [160, 132]),  # the third, 104, has no matured window with four weeks of history
        (208, [118]),  # 118 = 90 + 28, just enough
        (207, [117]),  # one day less: 90 days of history will do, and the next, 89, has not even those
        (180, [90]),
    ],
)
def test_origins_have_a_window_after_and_history_before(n_days: int, origins: list[int]) -> None:
    found = origins_of(ledger_of(n_days), horizon_days=90, every_days=28, n_origins=3)
    assert [o - FIRST for o in found] == origins


def test_a_log_too_short_for_a_test_is_refused_with_the_longest_horizon_that_fits() -> None:
    with pytest.raises(DataError) as error:
        origins_of(ledger_of(179), horizon_days=90, every_days=28, n_origins=3)
    assert error.value.finding.code == "backtest.no_origin"
    assert "at most 89 days" in error.value.finding.do
    assert origins_of(ledger_of(179), horizon_days=89, every_days=28, n_origins=3)


def test_learning_cutoffs_are_the_origin_and_windows_that_ended_by_it() -> None:
    found = learning_cutoffs(ledger_of(400), origin=FIRST + 310, horizon_days=90, every_days=28)
    assert [c - FIRST for c in found] == [310, 303, 280, 220, 192, 164, 136, 108, 80]
    assert all(c + 90 <= FIRST + 310 for c in found[3:])


def test_younger_cutoffs_have_ended_a_shorter_rung() -> None:
    assert rungs_of(90) == (7, 30, 90)
    assert rungs_of(365) == (7, 30, 90, 180, 365)
    found = learning_cutoffs(ledger_of(400), origin=FIRST + 310, horizon_days=90, every_days=28)
    assert [c + r for c, r in zip(found[1:3], rungs_of(90), strict=False)] == [FIRST + 310] * 2


def test_a_long_horizon_has_cutoffs_on_which_what_was_learned_can_be_tried() -> None:
    origin = FIRST + 1_500
    found = learning_cutoffs(ledger_of(1_600), origin=origin, horizon_days=365, every_days=28)
    assert [origin - c for c in found if c <= origin - 2 * 365] == [730, 758]
    assert not [
        c
        for c in learning_cutoffs(ledger_of(800), origin=FIRST + 700, horizon_days=365, every_days=28)
        if c < FIRST + 28
    ]


def test_learning_cutoffs_have_four_weeks_of_history() -> None:
    found = learning_cutoffs(ledger_of(400), origin=FIRST + 150, horizon_days=90, every_days=28)
    assert [c - FIRST for c in found] == [150, 143, 120, 60, 32]


@pytest.mark.parametrize(
    ("measure", "given", "expected"),
    [
        ("revenue", None, ("revenue_gbp_next_30d", "revenue_gbp", "purchases", "GBP")),
        ("revenue", "active_days", ("revenue_gbp_next_30d", "revenue_gbp", "active_days", "GBP")),
        ("purchases", None, ("purchases_next_30d", "purchases", "purchases", "purchases")),
        ("active_days", None, ("active_days_next_30d", "active_days", "active_days", "days")),
    ],
)
def test_a_task_in_full(measure: str, given: str | None, expected: tuple[str, ...]) -> None:
    task = task_of(ledger_of(400), measure, 30, occasions=given)
    assert (task.target, task.value, task.occasions, task.unit) == expected


def test_without_a_counted_measure_active_days_are_the_occasions() -> None:
    assert task_of(ledger_of(400, counted=False), "revenue", 30).occasions == "active_days"


@pytest.mark.parametrize("names", [("revenu", None), ("revenue", "purchase")])
def test_an_unknown_measure_is_refused_with_the_near_miss(names: tuple[str, str | None]) -> None:
    with pytest.raises(UsageError, match=r"Did you mean '(revenue|purchases)'"):
        task_of(ledger_of(400), names[0], 30, occasions=names[1])


def test_jobs_are_one_for_each_target_and_horizon() -> None:
    settings = [
        PredictSettings(
            target="revenue", horizons=["30d", "2w"], cutoffs=CutoffSettings(every="1w", origins=2)
        ),
        PredictSettings(target="active_days", models=["bg_nbd"]),
    ]
    jobs = jobs_of(settings, ledger_of(400), ("bg_nbd", "rate_so_far"))
    assert jobs[2].models == ("rate_so_far", "cohort_mean", "bg_nbd")  # the naive ones always stand beside
    assert [j.name for j in jobs] == ["revenue_30d", "revenue_14d", "active_days_90d"]
    assert [(j.every_days, j.n_origins, len(j.models)) for j in jobs] == [(7, 2, 3), (7, 2, 3), (28, 3, 3)]
