"""One account that is most of a total is named first, with its share; a shop without one says nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.app.story import tell
from headwater.core.block import Callout
from headwater.core.finding import Severity
from headwater.engine.arrays import column_floats, column_objects

if TYPE_CHECKING:
    from conftest import Shop

N_DAYS = 200  # as the lines of the shop


def test_a_test_account_is_named_first_with_its_share(
    shops: Callable[..., Shop], order_lines: Callable[..., list[str]], tmp_path: Path
) -> None:
    lines = order_lines()
    first = date.fromisoformat(min(line.split(",")[1][:10] for line in lines))
    qa = [f"qa_bot,{first + timedelta(days=i)} 10:00:00,q{i:05d},999.00,fr" for i in range(N_DAYS)]
    study = shops(tmp_path / "qa", lines=[*lines, *qa]).study()
    told = tell(study)
    (worth,) = told.worths
    rows = worth.forecast.rows.to_arrow()
    mine = dict(zip(column_objects(rows, "user_id"), column_floats(rows, "forecast"), strict=True))
    (user,) = worth.heavy
    assert user.user_id == "qa_bot"
    assert user.expected == pytest.approx(mine["qa_bot"] / sum(mine.values()), rel=1e-9)
    warned = [b.finding for b in told.document.pages[0].blocks if isinstance(b, Callout)]
    (said,) = [f for f in warned if f.code == "forecast.heavy_user"]
    assert said.severity is Severity.WARN
    assert said.numbers["share"] == pytest.approx(user.largest)
    assert f"'qa_bot' is {user.expected:.0%} of all revenue expected" in said.what
    assert "'qa_bot'" in told.document.lead


def test_a_shop_without_a_whale_names_nobody(shop: Shop) -> None:
    told = tell(shop.study())
    assert told.worths[0].heavy == ()
    assert "One user alone" not in told.document.lead
