"""Answers beside the forecasts, through the commands, the Python functions and the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import headwater as hw
from headwater.core.block import Callout
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger
from headwater.core.span import date_of, day_of
from headwater.models.cohort_counts import AGE_DAYS

EXACT = 1e-9  # sums of a few hundred doubles


@pytest.fixture(scope="module")
def firsts(order_lines: Any) -> dict[str, str]:
    """The day of each customer's first order."""
    days: dict[str, str] = {}
    for line in order_lines():
        user, at, *_ = line.split(",")
        days[user] = min(days.get(user, at[:10]), at[:10])
    return days


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[..., Any],
    order_lines: Any,
    firsts: dict[str, str],
) -> Any:
    """The shop with a dated source that tells each customer's channel, and a name that cuts nothing."""
    shop = shops(tmp_path_factory.mktemp("told") / "shop", lines=order_lines())
    rows = [f"{u},{d},{'ads' if int(u[1:]) % 2 else 'friends'},name {u}\n" for u, d in firsts.items()]
    (shop.folder / "users.csv").write_text("user_id,since,channel,mood\n" + "".join(rows))
    return shop.set(
        "[measures]",
        '[[sources]]\nkind = "users"\npath = "users.csv"\nuser = "user_id"\nchanged_at = "since"\nkeep = ["channel", "mood"]\n[measures]',
    )


def test_curves_by_a_told_channel_and_users_that_add_up_to_them(
    told: Any, headwater: Callable[..., Any]
) -> None:
    ran = headwater("curves", "--by", "channel", "--json", "-q", at=told.folder)
    assert ran.code == 0, ran.err
    assert [c["group"] for c in ran.json["curves"]] == ["ads", "friends"]
    assert ran.json["n_origins"] > 0
    whole = headwater("curves", "--add-up", "--json", "-q", "--to", "c.html", at=told.folder)
    assert whole.code == 0, whole.err
    made = whole.json["added_up"]
    rows = pq.read_table(made["rows"][0]).to_pylist()
    for one in made["sums"]:
        inside = [r for r in rows if r["cohort"] == one["cohort"]]
        assert sum(r["reconciled"] for r in inside) == pytest.approx(one["agreed"], rel=EXACT)
        assert min(one["users"], one["curve"]) <= one["agreed"] + EXACT
        assert one["agreed"] <= max(one["users"], one["curve"]) + EXACT
    assert "Cohorts and their users made to agree" in (told.folder / "c.html").read_text(encoding="utf-8")


def test_the_value_of_each_customer_with_the_chance_of_being_one_still(
    told: Any, headwater: Callable[..., Any]
) -> None:
    ran = headwater("value", "--horizon", "180d", "--json", "-q", at=told.folder)
    assert ran.code == 0, ran.err
    rows = [r for r in pq.read_table(ran.json["rows"][0]).to_pylist() if r["value"] is not None]
    assert len(rows) == ran.json["n_valued"] > 100
    assert sum(r["value"] for r in rows) == pytest.approx(ran.json["total"], rel=EXACT)
    assert all(0 <= r["p_alive"] <= 1 and 0 <= r["purchases"] <= r["expected_purchases"] for r in rows)
    ever = headwater("value", "--horizon", "forever", "--json", "-q", at=told.folder)
    assert ever.json["total"] > ran.json["total"]
    refused = headwater("value", "--yearly-rate", "-2", at=told.folder)
    assert refused.code == 2
    assert "value.rate" in refused.err
    other = headwater("value", "--model", "rate_so_far", at=told.folder)
    assert other.code == 2
    assert "value.no_process" in other.err
    assert "pareto_nbd" in other.err
    assert "USD of revenue over 180 days" in ran.json["says"]


def test_a_horizon_beyond_the_log_is_said_to_be_untried_before_any_figure(
    told: Any, headwater: Callable[..., Any]
) -> None:
    """The shop's log has 200 days: 199 can be asked, 300 lead with the verdict, 9,999 are refused."""
    for command in ("value", "curves"):
        ran = headwater(command, "--horizon", "300d", "-q", at=told.folder)
        assert ran.code == 0, ran.err
        assert ran.out.startswith("Cannot say (horizon.beyond_log): The figure looks 300 days ahead")
        assert "or load a log at least twice as long" in ran.out.split("\n")[0]
        inside = headwater(command, "--horizon", "190d", "-q", at=told.folder)
        assert "horizon.beyond_log" not in inside.out
        refused = headwater(command, "--horizon", "9999d", at=told.folder)
        assert refused.code == 2
        assert "horizon.too_long" in refused.err
    ledger = hw.ledger(hw.check(hw.read(told.folder)))
    users = hw.snapshot(ledger, cutoff=ledger.end_day, horizons=["30d"])
    model = hw.fit("bg_nbd", users, target="revenue", horizon="30d")
    first, *_ = hw.value(model, users).blocks()
    assert isinstance(first, Callout)
    assert first.finding.code == "horizon.beyond_log"
    with pytest.raises(UsageError, match=r"horizon\.too_long"):
        hw.value(model, users, horizon="9999d")


def test_the_report_says_first_that_a_value_for_ever_is_untried(
    told: Any, headwater: Callable[..., Any]
) -> None:
    ever = headwater("value", "--horizon", "forever", "-q", at=told.folder)
    assert ever.out.startswith("Cannot say (horizon.beyond_log): The figure looks for ever")


def test_a_fit_tells_its_errors_and_criteria(told: Any, headwater: Callable[..., Any]) -> None:
    facts = headwater("fit", "--model", "bg_nbd", "--json", "-q", at=told.folder).json["facts"]
    assert "standard error" in facts["r"]
    assert "90% interval" in facts["r"]
    likelihood, aic, bic = (float(facts[k].replace(",", "")) for k in ("log-likelihood", "AIC", "BIC"))
    assert aic == pytest.approx(2 * 4 - 2 * likelihood, abs=0.2)  # shown to one decimal
    assert bic > aic


def test_what_cannot_be_drawn_is_refused_with_what_can(told: Any, headwater: Callable[..., Any]) -> None:
    ran = headwater("curves", "--by", "mood", at=told.folder)
    assert ran.code == 2
    assert "curves.no_attribute" in ran.err
    assert "known of them: channel, country." in ran.err
    assert headwater("curves", "--cohorts", "year", at=told.folder).code == 2
    past = headwater("curves", "--add-up", "--as-of", "2024-06-01", at=told.folder)
    assert past.code == 2
    assert "curves.unlike" in past.err
    ahead = headwater("curves", "--as-of", "2030-01-01", at=told.folder)
    assert ahead.code == 2
    assert "snapshot.cutoff_outside" in ahead.err
    dry = headwater("curves", "--horizon", "60d", "--dry-run", "--json", at=told.folder)
    assert dry.json["step"] == "curves"
    assert dry.json["later_steps"] == []


def test_the_report_draws_curves_or_says_why_not(told: Any, headwater: Callable[..., Any]) -> None:
    told.set(
        "[deliver]",
        '[value]\nhorizon = "forever"\nmodel = "mbg_nbd"\n[curves]\nby = ["channel", "mood"]\n[deliver]',
    )
    ran = headwater("run", "--json", "-q", at=told.folder)
    assert ran.code == 0, ran.err
    page = (told.folder / "reports" / "report.html").read_text(encoding="utf-8")
    assert "value by cohort and age" in page
    assert "By channel" in page
    assert "Nothing tells a &#x27;mood&#x27;" in page or "Nothing tells a &#39;mood&#39;" in page
    assert "made to add up to the cohort" in page
    assert "What customers are worth today" in page
    assert re.search(r"bring [\d,]+ USD of revenue for ever, in today", page)
    assert "no customer was observed for longer than that" in page
    assert "mbg_nbd was not among the models tested" in page


def _labels(firsts: dict[str, str], ledger: Ledger, *, by: str) -> dict[str, tuple[str, str]]:
    """Cohort and channel of each user who is counted, from the lines of the shop's file."""
    made: dict[str, tuple[str, str]] = {}
    for user, at in firsts.items():
        day = day_of(at)
        monday = date_of(day - date_of(day).weekday())
        if day >= ledger.first_day + ledger.left_edge_days and ledger.end_day - day >= AGE_DAYS[by]:
            cohort = at[:7] if by == "month" else str(monday)
            made[user] = (cohort, "ads" if int(user[1:]) % 2 else "friends")
    return made


def test_users_scaled_in_python_add_up_to_their_cohorts(told: Any, firsts: dict[str, str]) -> None:
    ledger = hw.ledger(hw.check(hw.read(told.folder)))
    users = hw.snapshot(ledger, cutoff=ledger.end_day, horizons=["30d"])
    values = hw.forecast(hw.fit("bg_nbd", users, target="revenue", horizon="30d"), users)
    proof = hw.backtest(["bg_nbd"], ledger, target="revenue", horizon="30d")
    drawn = hw.curves(ledger, target="revenue", horizon="30d", by="channel")
    agreed = hw.add_up(values, drawn, ledger=ledger, proof=proof)
    assert agreed.user_ids == values.user_ids
    assert drawn.total_error is not None  # by channel the users were never tested, so the curve stands alone
    label = _labels(firsts, ledger, by=drawn.by)
    for cohort in drawn.cohorts:
        inside = [i for i, u in enumerate(values.user_ids) if label.get(u) == (cohort.cohort, cohort.group)]
        assert len(inside) == cohort.n_users
        assert float(agreed.forecast.mean[inside].sum()) == pytest.approx(cohort.expected, rel=EXACT)
    outside = [i for i, u in enumerate(values.user_ids) if u not in label]
    assert np.array_equal(agreed.forecast.mean[outside], values.forecast.mean[outside])
    assert agreed.forecast.bins is None
    assert agreed.forecast.quantiles(np.array([0.5])) is None
    assert np.all(agreed.forecast.low <= agreed.forecast.mean)
    model = hw.fit("bg_nbd", users, target="revenue", horizon="30d")
    with pytest.raises(UsageError, match=r"forecast\.nobody"):
        hw.value(model, users, cutoff="1999-01-01")
    assert "USD of revenue over 365 days" in hw.value(model, users).summary()
    with pytest.raises(UsageError, match=r"curves\.cohorts"):
        hw.curves(ledger, target="revenue", cohorts="day")  # pyright: ignore[reportArgumentType]  a word that a person may type
    with pytest.raises(UsageError, match=r"curves\.unlike"):
        hw.add_up(values, hw.curves(ledger, target="revenue", horizon="60d"), ledger=ledger, proof=proof)
