"""Newcomers through the command, the Python function and the report, on a simulated shop with known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headwater as hw
from headwater.app.answer_pages import newcomer_pages
from headwater.app.newcomers import newcomers_of
from headwater.core.errors import DataError

HORIZON, N_DAYS, A_DAY = 30, 150, 8
BEGIN = datetime(2024, 1, 1)
# A total of a few dozen users strays by their spread: three standard errors, and a tenth for what few cohorts teach.
ERRORS, LEARNED = 3.0, 0.1
# Keen customers, a third of all, buy thrice on the first day, others once: an age of a day must rank by that.
TELLS = 0.3
# Two users of three buy again: a mean over whole cohorts is off by the one or two that a cohort ends with.
EVEN = 0.01


def shop_of_newcomers() -> tuple[list[str], dict[str, float], dict[str, datetime]]:
    """Order lines within the log; what each user brings in the first 30 days, later ones too; when each came."""
    rng = np.random.default_rng(20261130)
    lines: list[str] = []
    truth: dict[str, float] = {}
    came: dict[str, datetime] = {}
    for k in range(N_DAYS * A_DAY):
        user, first = f"u{k:05d}", BEGIN + timedelta(days=k // A_DAY, minutes=int(rng.integers(30, 1_000)))
        keen = rng.random() < 1 / 3
        at = [first, *(first + timedelta(hours=h) for h in ((2, 5) if keen else ()))]
        at += [
            first.replace(hour=0) + timedelta(days=int(d), hours=12)
            for d in rng.choice(np.arange(1, HORIZON), rng.poisson(8 if keen else 1), replace=False)
        ]
        amounts = rng.gamma(4, 5, len(at)).round(2)
        truth[user], came[user] = float(amounts.sum()), first
        lines += [
            f"{user},{t:%Y-%m-%d %H:%M:%S},o{k}-{j},{a:.2f},fr"
            for j, (t, a) in enumerate(zip(at, amounts, strict=True))
            if t < BEGIN + timedelta(days=N_DAYS)
        ]
    return lines, truth, came


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shops: Callable[..., Any]) -> Any:
    lines, truth, came = shop_of_newcomers()
    return shops(tmp_path_factory.mktemp("new") / "shop", lines=lines), truth, came


def test_newcomers_bring_what_the_simulation_says(made: Any, headwater: Callable[..., Any]) -> None:
    shop, truth, came = made
    ran = headwater("newcomers", "--json", "-q", "--to", "n.html", at=shop.folder)
    assert ran.code == 0, ran.err
    assert [a["hours"] for a in ran.json["ages"]] == [1, 24, 72]
    rows = pq.read_table(ran.json["rows"][0]).to_pylist()
    assert len(rows) == ran.json["n_users"] == sum(a["n_newcomers"] for a in ran.json["ages"])
    actual = np.array([truth[r["user_id"]] for r in rows])
    spread = float(actual.std()) * np.sqrt(actual.size)
    assert abs(ran.json["total"] - actual.sum()) < ERRORS * spread + LEARNED * actual.sum()
    end = BEGIN + timedelta(days=N_DAYS)
    for r in rows:
        age = (end - came[r["user_id"]]) / timedelta(hours=1)
        assert r["age_hours"] == max(h for h in (1, 24, 72) if h <= age)
        assert r["so_far"] <= r["expected"]
        assert r["low"] <= r["expected"] <= r["high"]
    hour, day, _ = ran.json["ages"]
    assert day["ranking"] > hour["ranking"] + TELLS
    assert day["error"] < hour["error"]
    assert all(a["held_out"] and a["n_users"] == ran.json["n_cohort"] for a in ran.json["ages"])
    assert ran.json["cohort_days"] == 35  # 8 a day: five weeks are the fewest with 250 users
    assert (shop.folder / "n.html").is_file()


def test_the_ranking_of_each_age_has_a_verdict_in_words(made: Any) -> None:
    """Beside chance, beside what is known that ranks as well, and clearly above it."""
    values = newcomers_of(made[0].study(), measure="revenue")
    rankings = ((0.01, 0.0), (0.6, 0.6), (0.8, 0.5))
    ages = tuple(
        replace(a, ranking=r, ranking_so_far=k) for a, (r, k) in zip(values.ages, rankings, strict=True)
    )
    adds, known, blind = replace(values, ages=ages).verdict().split("; ")
    assert adds.startswith("Verdict: at 3d it may put newcomers in order")
    assert known == "at 24h it adds next to nothing to what is known by then, which ranks them as well"
    assert blind.startswith("at 1h it adds next to nothing over what is known at sign-up: it cannot say")


def test_an_age_that_cannot_be_fitted_leaves_the_others_standing(
    tmp_path: Path, shops: Callable[..., Any], headwater: Callable[..., Any]
) -> None:
    """Of users who only ever buy on the first day, nothing is left to learn at an age of two days."""
    lines = [
        f"u{k:05d},{BEGIN + timedelta(days=k // A_DAY, hours=h):%Y-%m-%d %H:%M:%S},o{k}-{h},10.00,fr"
        for k in range(90 * A_DAY)
        for h in ((1, 5) if k % 3 else (1,))
    ]
    shop = shops(tmp_path / "shop", lines=lines)
    asked = ("newcomers", "--ages", "1h,2d", "--horizon", "7d", "--model", "cohort_mean", "--json", "-q")
    ran = headwater(*asked, at=shop.folder)
    assert ran.code == 0, ran.err
    assert [a["hours"] for a in ran.json["ages"]] == [1]
    assert ran.json["findings"][0]["code"] == "newcomers.age_left_out"
    assert ran.json["total"] == pytest.approx(ran.json["n_users"] * (10 + 10 * 2 / 3), rel=EVEN)


def test_wrong_ages_models_and_horizons_are_refused(made: Any, headwater: Callable[..., Any]) -> None:
    shop, *_ = made
    assert headwater("newcomers", "--ages", "soon", at=shop.folder).code == 2
    for wrong in ("0h", "8d", ""):
        ran = headwater("newcomers", "--ages", wrong, at=shop.folder)
        assert ran.code == 2
        assert "newcomers.ages" in ran.err
    refused = headwater("newcomers", "--model", "bg_nbd", at=shop.folder)
    assert refused.code == 4
    assert "newcomers.no_age" in refused.err
    assert "occasions by day" in refused.err
    long = headwater("newcomers", "--horizon", "140d", at=shop.folder)
    assert long.code == 4
    assert "newcomers.no_age" in long.err


def test_in_python_and_as_a_chapter_only_where_it_is_asked_for(
    made: Any, headwater: Callable[..., Any]
) -> None:
    shop, *_ = made
    ledger = hw.ledger(hw.check(hw.read(shop.folder)))
    values = hw.newcomers(ledger, target="purchases", horizon="14d", ages=["6h"], model="cohort_mean")
    assert values.to_arrow().num_rows == values.rows.n_rows > 0
    assert not values.ages[0].held_out
    with pytest.raises(DataError, match=r"newcomers\.no_age"):
        hw.newcomers(ledger, target="revenue", cohort_days=1)
    assert newcomer_pages(shop.study()) == ()
    shop.set("[deliver]", '[newcomers]\nages = ["12h"]\nmodel = "cohort_mean"\n[deliver]')
    dry = headwater("newcomers", "--dry-run", "--json", at=shop.folder)
    assert dry.json["step"] == "age_snapshot"
    assert dry.json["later_steps"] == ["newcomers"]
    assert headwater("run", "--json", "-q", at=shop.folder).code == 0
    report = shop.folder / "reports" / "report.html"
    assert "what newcomers will be worth" in report.read_text(encoding="utf-8")
    shop.set('ages = ["12h"]', 'ages = ["9d"]')
    wrong = headwater("check", at=shop.folder)
    assert wrong.code == 3
    assert "no age of a newcomer" in wrong.err
