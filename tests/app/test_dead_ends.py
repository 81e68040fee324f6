"""Logs on which nothing can be shown: the run ends with a report that says so, and one horizon does not take down another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from headwater.app import story
from headwater.app.story import tell
from headwater.core.answer import Stance
from headwater.core.block import Grid
from headwater.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Shop
    from headwater.app.agree import Agreed
    from headwater.app.plan import Job
    from headwater.app.study import Study
    from headwater.evaluation.backtest import Backtest

FIRST = date(2024, 1, 1)


def never_again() -> list[str]:
    """Everybody buys once in the first month; half a year later one new customer comes."""
    bought = [(f"u{i:04d}", FIRST + timedelta(days=i % 30)) for i in range(200)]
    return [
        f"{u},{day} 12:00:00,o{i:04d},9.50,fr"
        for i, (u, day) in enumerate([*bought, ("late", FIRST + timedelta(days=200))])
    ]


def one_user() -> list[str]:
    return [f"u1,{FIRST + timedelta(days=7 * i)} 12:00:00,o{i:04d},9.50,fr" for i in range(28)]


@pytest.mark.parametrize("lines", [never_again, one_user])
def test_where_nothing_can_be_scored_the_simplest_forecast_is_handed_over_as_cannot_say(
    shops: Callable[..., Shop], tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    told = tell(shops(tmp_path / "shop", lines=lines()).study())
    assert told.refused == ()
    assert told.choices == (("revenue_30d", "rate_so_far"),)
    assert [v.stance for v in told.verdicts[0]] == [Stance.CANNOT_SAY] * 3
    assert "cannot be defended" in told.document.lead
    for verdict in told.verdicts[0][:2]:
        assert "No model could be scored on ranking or level." in verdict.because[0]
        assert "more users" in verdict.would_change[0]


def test_what_fails_takes_down_nothing_else_and_the_first_sentence_agrees_with_the_verdicts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """180 days are too long for the log, and today's users cannot carry one of the models that were not chosen."""
    named = story.named_forecast

    def failing(study: Study, model: str, job: Job) -> tuple[Backtest, Agreed]:
        if model == "rate_so_far":
            raise DataError("fit.no_mature_target", what="Nothing matured today.", why="No.", do="Wait.")
        return named(study, model, job)

    monkeypatch.setattr(story, "named_forecast", failing)
    told = tell(shop.set('horizons = ["30d"]', 'horizons = ["30d", "180d"]').study())
    assert [name for name, _ in told.refused] == ["revenue_180d"]
    assert told.choices == (("revenue_30d", "bg_nbd"),)
    order, total, _ = told.verdicts[0]
    assert (order.stance, total.stance) == (Stance.ACT, Stance.HOLD)
    assert "30 days" in told.document.lead
    assert "Plan with the interval, not with the figure." in told.document.lead
    grids = {b.name: b for b in told.document.pages[0].blocks if isinstance(b, Grid)}
    assert [row[-1] for row in grids["totals"].stream()] == ["hold"]
    assert "rate_so_far: Nothing matured today." in grids["contenders"].note
