"""The road in Python: values chain, show themselves, turn into other tables, and are written to files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import headwater as hw
from headwater.core.answer import Stance
from headwater.core.errors import ConfigError, GateError, UsageError
from headwater.core.show import Shown

if TYPE_CHECKING:
    from conftest import Shop

HOSTILE = ["</script><script>window.__xss=1</script>", "=cmd|' /C calc'!A0", "<img src=x onerror=alert(1)>"]


@pytest.fixture(scope="module")
def road(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[..., Shop],
    order_lines: Callable[..., list[str]],
) -> Iterator[SimpleNamespace]:
    """Every step once, on a shop where three customers have hostile names."""
    lines = order_lines()
    names = dict(zip(("u0000", "u0001", "u0002"), HOSTILE, strict=True))
    lines = [",".join([f'"{names.get(u, u)}"', rest]) for u, rest in (line.split(",", 1) for line in lines)]
    shop = shops(tmp_path_factory.mktemp("road") / "shop", lines=lines)
    made = SimpleNamespace(shop=shop)
    made.events = hw.check(hw.read(shop.folder))
    made.ledger = hw.ledger(made.events)
    made.end = made.ledger.end_day
    made.users = hw.snapshot(made.ledger, cutoff=[made.end - 58, made.end - 30, made.end], horizons=["30d"])
    made.proof = hw.backtest(["rate_so_far", "bg_nbd"], made.ledger, target="revenue", horizon="30d", seed=7)
    made.model = hw.fit(made.proof.choice, made.users, target="revenue", horizon="30d", seed=7)
    made.values = hw.forecast(made.model, made.users)
    made.verdict = hw.decide("Mail the top tenth?", [made.proof, made.values])
    yield made


def results(road: SimpleNamespace) -> list[Shown]:
    return [road.events, road.ledger, road.users, road.proof, road.values]


def test_forecasts_over_several_horizons_are_made_to_agree(road: SimpleNamespace) -> None:
    month = replace(road.values, may_fall=False)
    rng, task = np.random.default_rng(5), road.values.task
    made = replace(
        month.forecast,
        **{p: getattr(month.forecast, p) * rng.uniform(0.1, 1.3) for p in ("mean", "low", "high")},
    )
    week = replace(month, task=replace(task, horizon_days=7), forecast=made)
    one, longer = hw.agree([month, week])
    assert (one.task.horizon_days, longer.task.horizon_days) == (7, 30)
    assert (longer.forecast.mean >= one.forecast.mean).all()
    assert one.forecast.mean + longer.forecast.mean == pytest.approx(made.mean + month.forecast.mean)
    assert road.values.may_fall  # customers send things back
    kept = replace(week, may_fall=True)
    assert hw.agree([road.values, kept]) == (kept, road.values)
    for others in ([], [week, week], [week, replace(month, cutoff=1)]):
        with pytest.raises(UsageError, match=r"horizons\.different"):
            hw.agree(others)


def test_the_chain_holds_together(road: SimpleNamespace) -> None:
    n_lines = (road.shop.folder / "orders.csv").read_text(encoding="utf-8").count("\n") - 1
    assert road.events.n_rows_in == n_lines == road.events.events.n_rows + road.events.quarantine.n_rows
    assert len(road.values.user_ids) == road.ledger.users.n_rows == 300
    assert road.values.forecast.mean.sum() > 0
    assert road.verdict.stance is Stance.CANNOT_SAY
    assert len(road.verdict.because) == 3
    assert set(road.proof.models) == {"rate_so_far", "bg_nbd"}


def test_the_ledger_adds_up_to_what_pandas_adds_up(road: SimpleNamespace) -> None:
    raw = pd.read_csv(road.shop.folder / "orders.csv")
    days = road.ledger.to_pandas()
    assert days["revenue"].sum() / 1e6 == pytest.approx(raw["amount"].sum(), abs=1e-6)
    assert days["purchases"].sum() == raw.loc[raw["amount"] > 0, "order_id"].nunique()
    assert len(days) == len(raw.assign(day=raw["ordered_at"].str[:10]).groupby(["user_id", "day"]))


def test_dict_arrow_pandas_and_polars_agree(road: SimpleNamespace) -> None:
    for result in results(road):
        arrow = result.to_arrow()
        assert isinstance(arrow, pa.Table)
        assert arrow.num_rows > 0
        assert result.to_polars().to_arrow().to_pylist() == arrow.to_pylist()
        one, other = result.to_pandas(), arrow.to_pandas()
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
        assert list(result.to_dict())
    grid = road.proof.to_dict()
    assert road.proof.to_arrow().to_pydict() == grid
    assert set(grid["model"]) == {"rate_so_far", "bg_nbd"}
    assert road.values.to_dict() == road.values.to_arrow().to_pydict()


def test_a_notebook_shows_hostile_names_as_text(road: SimpleNamespace) -> None:
    top = hw.snapshot(road.ledger, cutoff=road.end, horizons=["30d"])
    shown = hw.forecast(road.model, top)._repr_html_() + road.users._repr_html_() + road.events._repr_html_()
    assert "&lt;/script&gt;&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<img" not in shown
    for result in results(road):
        assert "<table>" in result._repr_html_()


def test_results_are_written_by_suffix(road: SimpleNamespace, tmp_path: Path) -> None:
    for number, result in enumerate([*results(road), road.verdict]):
        paths = hw.write(result, tmp_path / f"{number}.html", tmp_path / "deep" / f"{number}.xlsx")
        assert [p.stat().st_size > 1_000 for p in paths] == [True, True]
    assert HOSTILE[0] not in (tmp_path / "4.html").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"write\.unknown_suffix"):
        hw.write(road.verdict, tmp_path / "x.html", tmp_path / "x.docx")
    assert not (tmp_path / "x.html").exists()


def test_the_same_seed_gives_the_same_numbers(road: SimpleNamespace) -> None:
    again = hw.forecast(hw.fit("bg_nbd", road.users, target="revenue", horizon="30d", seed=7), road.users)
    one = hw.forecast(hw.fit("bg_nbd", road.users, target="revenue", horizon="30d", seed=7), road.users)
    np.testing.assert_array_equal(again.forecast.mean, one.forecast.mean)
    np.testing.assert_array_equal(again.forecast.high, one.forecast.high)


def test_an_earlier_cutoff_can_be_forecast_and_another_is_refused(road: SimpleNamespace) -> None:
    early = hw.forecast(road.model, road.users, cutoff=road.end - 58)
    assert 0 < len(early.user_ids) < 300
    with pytest.raises(UsageError, match=r"forecast\.nobody"):
        hw.forecast(road.model, road.users, cutoff=road.end - 57)


def test_a_horizon_the_snapshot_was_not_built_for_is_refused(road: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match=r"fit\.other_horizon"):
        hw.fit("bg_nbd", road.users, target="revenue", horizon="60d")


@pytest.mark.parametrize("model", ["bgnbd", "BG_NBD", ""])
def test_an_unknown_model_is_refused_before_anything_runs(road: SimpleNamespace, model: str) -> None:
    with pytest.raises(UsageError, match=r"shelf\.unknown"):
        hw.backtest([model], road.ledger, target="revenue", horizon="30d")
    with pytest.raises(UsageError, match=r"shelf\.unknown"):
        hw.fit(model, road.users, target="revenue", horizon="30d")


@pytest.mark.parametrize("cutoff", ["2023-12-31", "2024-01-01", date(2030, 1, 1), "01/02/2024"])
def test_a_cutoff_outside_the_log_is_refused(road: SimpleNamespace, cutoff: str | date) -> None:
    with pytest.raises(UsageError):
        hw.snapshot(road.ledger, cutoff=cutoff, horizons=["30d"])


def test_settings_may_be_a_dict(road: SimpleNamespace) -> None:
    settings = tomllib.loads(road.shop.config.read_text(encoding="utf-8"))
    events = hw.read(settings, root=road.shop.folder)
    assert events.events.fingerprint == road.events.events.fingerprint
    with pytest.raises(ConfigError):
        hw.read(settings | {"nonsense": {}}, root=road.shop.folder)


def test_a_failed_gate_is_told_by_check_and_not_by_read(shop: Shop) -> None:
    shop.set('rule = "unique"', 'rule = "range"\ncolumns = ["amount"]\nabove = 0\nmax_share = 0.001')
    events = hw.read(shop.config)
    assert events.quarantine.n_rows > 0
    with pytest.raises(GateError, match=r"gate\.failed"):
        hw.check(events)


def test_every_public_name_is_there() -> None:
    assert sorted(hw.__all__) == hw.__all__
    assert all(callable(getattr(hw, n)) for n in hw.__all__ if not n.startswith("_"))
    with pytest.raises(AttributeError, match="no attribute 'forecats'"):
        _ = hw.forecats
