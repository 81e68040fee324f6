"""What speaks against a forecast reaches the verdicts and the first sentence; users unlike those learned from are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headwater.app.agree import chosen_forecast
from headwater.app.story import tell
from headwater.app.trusted import trust_findings
from headwater.app.verdicts import verdicts
from headwater.app.worth import group_totals, worth_of
from headwater.core.answer import Stance
from headwater.core.finding import Finding, Severity
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats, column_objects

if TYPE_CHECKING:
    from conftest import Shop

SUMS = 1e-9  # the same numbers added in another order


def against(code: str) -> Finding:
    return Finding(code=code, severity=Severity.BLOCK, what="It was off.", why="It will be.", do="Wait.")


def test_a_blocking_finding_turns_verdicts_into_cannot_say(shop: Shop) -> None:
    study = shop.study()
    (job,) = study.jobs()
    proof, agreed = chosen_forecast(study, job)
    worth = worth_of(study, agreed.over(job.task))
    order, total, _ = verdicts(proof, worth)
    assert order.stance is Stance.ACT
    order, total, _ = verdicts(proof, worth, [against("trust.no_better_than_naive")])
    assert (order.stance, total.stance) == (Stance.CANNOT_SAY, Stance.CANNOT_SAY)
    assert order.because[0] == "It was off."
    assert order.would_change == ("Wait.",)
    order, total, _ = verdicts(proof, worth, [against("trust.calibration_off")])
    assert (order.stance, total.stance) == (
        Stance.ACT,
        Stance.CANNOT_SAY,
    )  # the total is off, the order stands


def test_a_report_that_cannot_be_defended_says_so_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.app.story.trust_findings", lambda *_: (against("trust.holes"),))
    told = tell(shop.study())
    assert "cannot be defended: It was off." in told.document.lead


def test_users_unlike_those_learned_from_are_seen(
    shops: Callable[..., Shop], order_lines: Callable[..., list[str]], tmp_path: Path
) -> None:
    """In the last four weeks twice as many new customers come from a country that was never seen."""
    calm = shops(tmp_path / "calm", lines=order_lines())
    study = calm.study()
    (job,) = study.jobs()
    found = {f.code for f in trust_findings(study, job, study.backtest(job))}
    assert "trust.population_shift" not in found
    rng = np.random.default_rng(3)
    first = study.ledger().end_day - 28
    crowd = [
        f"n{i:04d},{date_of(int(first + rng.integers(0, 27)))} 12:00:00,x{i:05d},9.00,jp" for i in range(600)
    ]
    study = shops(tmp_path / "moved", lines=[*order_lines(), *crowd]).study()
    (job,) = study.jobs()
    (shifted,) = [
        f for f in trust_findings(study, job, study.backtest(job)) if f.code == "trust.population_shift"
    ]
    assert "country" in shifted.what


def test_totals_of_cohorts_and_countries_add_up_and_have_intervals(shop: Shop) -> None:
    study = shop.study()
    (job,) = study.jobs()
    _, agreed = chosen_forecast(study, job)
    forecast = agreed.over(job.task)
    snapshot = study.learned_from(job, study.ledger().end_day)
    totals = group_totals(study, worth_of(study, forecast), snapshot)
    whole = column_floats(forecast.rows.to_arrow(), "forecast").sum()
    assert set(totals) == {"month", "tenure", "country"}
    for groups in totals.values():
        assert sum(e.value for e in groups.values()) == pytest.approx(whole, rel=SUMS)
        assert all(e.low <= e.value <= e.high for e in groups.values())
    rows = forecast.rows.to_arrow()
    mine = dict(zip(column_objects(rows, "user_id"), column_floats(rows, "forecast"), strict=True))
    french = sum(f for u, f in mine.items() if int(u[1:]) % 3)  # as the lines of the shop are made
    assert totals["country"]["fr"].value == pytest.approx(french, rel=SUMS)
