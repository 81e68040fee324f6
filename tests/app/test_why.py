"""Why a forecast is what it is: the commands, Python and the chapter of the report say the same and add up."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import headwater as hw
from headwater.app.run import run
from headwater.core.block import Chart, Grid, Prose
from headwater.core.errors import UsageError

if TYPE_CHECKING:
    from conftest import Shop

MODELS = 'models = ["rate_so_far", "bg_nbd"]'
QUICK = "[settings.lightgbm_hurdle]\nrounds = 20\nlearning_rate = 0.2"
ADDS_UP = 1e-6  # SHAP values are sums of floats in another order than predictions


@pytest.fixture
def boosted(shops: Callable[..., Shop], order_lines: Callable[..., list[str]], tmp_path: Path) -> Shop:
    shop = shops(tmp_path / "boosted", lines=order_lines(n_users=500, n_days=260))
    return shop.set(MODELS, f'models = ["lightgbm_hurdle"]\n{QUICK}')


def test_the_factors_of_a_user_multiply_to_the_forecast_that_is_handed_over(
    boosted: Shop, headwater: Callable[..., Any]
) -> None:
    study = boosted.study()
    (job,) = study.jobs()
    rows = study.forecast("lightgbm_hurdle", job, proof=study.backtest(job)).rows.to_arrow().to_pylist()
    handed = {r["user_id"]: r["forecast"] for r in rows}
    users = sorted(handed)[:2]
    given = [w for u in users for w in ("--user", u)]
    said = headwater("drivers", "--model", "lightgbm_hurdle", *given, "--json", at=boosted.folder).json
    assert [u["user_id"] for u in said["users"]] == users
    for u in said["users"]:
        whole = u["shared"] * prod(d["factor"] for d in u["drivers"]) * u["others"]
        assert whole == pytest.approx(handed[u["user_id"]], rel=ADDS_UP)
    text = headwater("drivers", "--model", "lightgbm_hurdle", *given, at=boosted.folder)
    assert "what all users share" in text.out
    shares = headwater("drivers", "--model", "lightgbm_hurdle", "--json", at=boosted.folder).json["drivers"]
    assert sum(d["share"] for d in shares) == pytest.approx(1)

    for group in ([], ["--group", "country=de"]):
        words = ["changes", "--model", "lightgbm_hurdle", *group]
        change = headwater(*words, "--json", at=boosted.folder).json
        moved = change["come"] - change["gone"] + sum(change["by_column"].values()) + change["rest"]
        assert moved == pytest.approx(change["later"] - change["earlier"], abs=ADDS_UP * change["later"])
        assert abs(change["rest"]) < ADDS_UP * change["later"]  # all who stayed are looked at
        assert "who stayed" in headwater(*words, at=boosted.folder).out
    events = hw.read(boosted.folder)
    ledger = hw.ledger(events)
    days = [*change["cutoffs"], ledger.end_day - 40, ledger.end_day - 70]
    snapshot = hw.snapshot(ledger, cutoff=days, horizons=["30d", "7d"])
    model = hw.fit("lightgbm_hurdle", snapshot, target="revenue", horizon="30d")
    told = hw.changes(model, snapshot, earlier=change["cutoffs"][0], group={"country": "de"})
    assert (told.n_stayed, told.group) == (change["n_stayed"], "country de")
    assert hw.drivers(model, snapshot).drivers
    assert hw.user_drivers(model, snapshot, users=users)[1].user_id == users[1]
    for code, ask in {
        "drivers.no_cutoff": lambda: hw.drivers(model, snapshot, cutoff="1999-01-01"),
        "drivers.no_users": lambda: hw.user_drivers(model, snapshot, users=[]),
        "drivers.no_column": lambda: hw.changes(model, snapshot, earlier=days[1], group={"tenure_days": "x"}),
    }.items():
        with pytest.raises(UsageError, match=code):
            ask()
    with pytest.raises(UsageError, match=r"drivers\.no_cutoff"):
        hw.changes(model, snapshot, earlier="1999-01-01")


def test_what_cannot_be_explained_is_refused(shop: Shop, headwater: Callable[..., Any]) -> None:
    for words, code, finding in (
        (["drivers", "--model", "bg_nbd"], 2, "drivers.not_explained"),
        (["drivers", "--model", "bgnbd"], 2, "shelf.unknown"),
        (["changes", "--model", "bg_nbd", "--group", "country"], 2, "drivers.no_group"),
        (["changes", "--model", "bg_nbd", "--group", "land=de"], 2, "drivers.no_column"),
        (["changes", "--model", "bg_nbd", "--group", "country=xx"], 2, "drivers.nobody"),
        (["changes", "--model", "bg_nbd", "--since", "2031-01-01"], 2, "snapshot.cutoff_outside"),
    ):
        ran = headwater(*words, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (code, finding)
    chosen = headwater("drivers", "--json", at=shop.folder).json["error"]
    by_user = headwater("drivers", "--user", "u0001", "--json", at=shop.folder).json["error"]
    for error in (chosen, by_user):
        assert error["code"] == "drivers.not_explained"
        assert error["what"].startswith(("rate_so_far does", "cohort_mean does", "bg_nbd does"))
        assert "--model lightgbm_hurdle" in error["do"]


def test_the_report_says_why_by_the_chosen_model_or_that_it_cannot(
    boosted: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.app.plan._BASELINES", ())  # so that the boosted model is chosen
    published = run(boosted.study())
    (page,) = [p for p in published.told.document.pages if p.name.startswith("why_")]
    assert isinstance(page.blocks[0], Chart)
    drivers, whole, cohorts = [b for b in page.blocks if isinstance(b, Grid)]
    assert drivers.n_rows > 5
    amounts = [float(r[1]) for r in whole.stream()]  # pyright: ignore[reportArgumentType]
    assert sum(amounts[:-1]) == pytest.approx(amounts[-1], rel=ADDS_UP)
    assert cohorts.n_rows == 5
    assert "Revenue, 30 days: why" in (boosted.folder / "reports" / "report.html").read_text(encoding="utf-8")

    boosted.set('models = ["lightgbm_hurdle"]', 'models = ["bg_nbd"]')
    (page,) = [p for p in run(boosted.study()).told.document.pages if p.name.startswith("why_")]
    first = page.blocks[0]
    assert isinstance(first, Prose)
    assert first.text.startswith(
        "bg_nbd says nothing of single columns (BG/NBD for purchases, a spend model for money)."
    )
