"""The network models: judged on users and days they did not learn from, the same for a seed, horizons in order."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from headwater.core.errors import DataError, UsageError
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.arrays import column_floats, column_objects
from headwater.models.forecasting import fit_model
from headwater.models.ltv._networks import NetworkForecast, steady_factor
from headwater.models.ltv.multi_distribution_network import MultiDistributionNetwork
from headwater.models.ltv.ordered_horizons_network import OrderedHorizonsNetwork
from headwater.models.ltv.ziln_network import ZilnNetwork

if TYPE_CHECKING:
    from conftest import Known, World

MODELS = [ZilnNetwork, MultiDistributionNetwork, OrderedHorizonsNetwork]
ERROR_LEFT = 0.7  # of a mean by age; with every user's own past to learn from it is about half
TOTAL = 0.15  # over four other seeds of this world at most 9%
SUMS = 1e-9


def ladder(world: World, *cutoffs: int, horizons: tuple[int, ...] = (7, 14, 30), seed: int = 7) -> Any:
    training = world.training(*cutoffs, seed=seed)
    days = [int(c) for c in training.snapshot.cutoffs]
    snapshot = world.bench.snapshot(world.ledger, cutoffs=days, horizons=horizons)
    return replace(training, snapshot=snapshot)


@pytest.mark.deep
@pytest.mark.parametrize("model", MODELS)
def test_it_beats_the_mean_by_age_on_simulated_users_with_known_truth(known: Known, model: Any) -> None:
    training = known.world.training()
    truth = np.array([known.truth[u] for u in known.world.users(training)])
    predictor = model().fit(training)
    got = predictor.predict(training.at_now(predictor.columns))
    means = known.world.forecast(fit_model("cohort_mean", training), training).mean
    assert np.abs(got - truth).mean() < ERROR_LEFT * np.abs(means - truth).mean()
    assert spearmanr(got, truth).statistic > spearmanr(means, truth).statistic + 0.3
    assert got.sum() == pytest.approx(truth.sum(), rel=TOTAL)


@pytest.mark.deep
def test_the_order_of_the_log_and_the_names_of_columns_change_nothing(
    world_of: Callable[..., World],
) -> None:
    rng = np.random.default_rng(1)
    events = [
        (f"u{u:03d}", int(d), float(rng.integers(1, 90)))
        for u in range(200)
        for d in np.flatnonzero(rng.random(130) < 0.03 + 0.1 * (u % 2))
    ]
    worlds = [world_of(e) for e in (events, [events[i] for i in rng.permutation(len(events))])]
    one, other = (OrderedHorizonsNetwork().fit(ladder(w)) for w in worlds)
    assert json.dumps(one.state()) == json.dumps(other.state())
    names = {c.name: f"other_{k}" for k, c in enumerate(ladder(worlds[0]).snapshot.features)}
    named = rewritten(
        ladder(worlds[0]),
        worlds[0].bench.folder(),
        lambda rows: rows.rename_columns([names.get(c, c) for c in rows.column_names]),
        lambda columns: [replace(c, name=names.get(c.name, c.name)) for c in columns],
    )
    again = OrderedHorizonsNetwork().fit(named)
    assert one.held_out is not None
    assert again.held_out is not None
    np.testing.assert_array_equal(one.held_out.predicted, again.held_out.predicted)


def rewritten(
    training: Any, folder: Path, rows: Callable[[Any], Any], columns: Callable[[Any], list[Column]]
) -> Any:
    """The same training with other rows and columns in each of its files."""
    table = training.snapshot.rows
    files = [str(folder / f"{k}.parquet") for k in range(len(table.files))]
    for old, new in zip(table.files, files, strict=True):
        pq.write_table(rows(pq.read_table(old)), new)
    made = replace(table, files=tuple(files), columns=tuple(columns(table.columns)))
    return replace(training, snapshot=replace(training.snapshot, rows=made))


@pytest.mark.deep
def test_an_attribute_that_tells_what_users_are_worth_is_learned(known: Known) -> None:
    """New users have no history; their campaign says which third of the truth they belong to."""
    thirds = np.quantile(list(known.truth.values()), [1 / 3, 2 / 3])
    campaigns = {u: f"campaign {np.searchsorted(thirds, v)}" for u, v in known.truth.items()}

    def add_campaign(rows: pa.Table) -> pa.Table:
        return rows.append_column("campaign", pa.array([campaigns[u] for u in rows["user_id"].to_pylist()]))

    plain = known.world.training()
    attribute = Column(name="campaign", kind=Kind.TEXT, purpose=Purpose.ATTRIBUTE)
    told = rewritten(plain, known.world.bench.folder(), add_campaign, lambda c: [*c, attribute])
    errors: list[float] = []
    for training in (plain, told):
        predictor = ZilnNetwork().fit(training)
        rows = training.at_now((*predictor.columns, "user_id"))
        truth = np.array([known.truth[u] for u in column_objects(rows, "user_id")])
        errors.append(float(np.abs(predictor.predict(rows) - truth).mean()))
    assert "campaign" in predictor.columns
    assert errors[1] < 0.9 * errors[0]
    elsewhere = rows.set_column(
        rows.column_names.index("campaign"), "campaign", pa.array(["new"] * len(rows))
    )
    assert np.isfinite(predictor.predict(elsewhere)).all()


@pytest.mark.deep
def test_it_is_judged_on_users_it_did_not_learn_from_at_the_latest_matured_cutoff(known: Known) -> None:
    training = ladder(known.world)
    predictor = OrderedHorizonsNetwork().fit(training)
    pairs = predictor.held_out
    assert pairs is not None
    rows = training.last_matured(("bucket",))
    by_fold = np.argsort(column_floats(rows, "bucket") % 3, kind="stable")
    np.testing.assert_array_equal(pairs.actual, column_floats(rows, training.task.target)[by_fold])
    assert not any(f.code == "network.same_time" for f in predictor.findings)


@pytest.mark.deep
def test_one_matured_cutoff_is_enough_and_said(known: Known) -> None:
    world = known.world
    predictor = ZilnNetwork().fit(world.training(world.end, world.end - 30))
    assert [f.code for f in predictor.findings if f.code == "network.same_time"]


@pytest.mark.deep
def test_horizons_of_a_trained_network_never_cross_and_end_at_the_tasks_own(known: Known) -> None:
    training = ladder(known.world)
    predictor = OrderedHorizonsNetwork().fit(training)
    assert isinstance(predictor, NetworkForecast)
    rows = training.at_now(predictor.columns)
    got = predictor.by_rung(rows)
    assert predictor.rungs == (7, 14, 30)
    assert (np.diff(got, axis=1) >= 0).all()
    np.testing.assert_array_equal(got[:, -1], predictor.predict(rows))
    days = np.array(predictor.rungs) / 30
    np.testing.assert_allclose(got.sum(axis=0) / got[:, -1].sum(), days, atol=0.06)  # the world is stationary
    assert predictor.spread(rows, level=0.9, rng=np.random.default_rng(0)) is None


@pytest.mark.deep
def test_users_too_young_for_the_whole_window_teach_the_horizons_they_have_reached(known: Known) -> None:
    world = known.world
    matured = (world.end, world.end - 30, world.end - 44, world.end - 58)
    plain = OrderedHorizonsNetwork().fit(ladder(world, *matured))
    young = OrderedHorizonsNetwork().fit(ladder(world, *matured, world.end - 8))
    one, other = (int(dict(p.facts)["rows learned from"].replace(",", "")) for p in (plain, young))
    assert other - one == len(world.users(world.training(world.end - 8)))


@pytest.mark.deep
def test_a_horizon_to_which_too_few_add_anything_is_joined_with_its_neighbor(
    world_of: Callable[..., World],
) -> None:
    """Nobody buys in the first week after any cutoff."""
    cutoffs = (60, 90, 120)
    rng = np.random.default_rng(2)
    events = [
        (f"u{u:03d}", int(d), 5.0)
        for u in range(300)
        for d in rng.integers(0, 151, 25)
        if not any(c <= d < c + 7 for c in cutoffs)
    ]
    world = world_of([*events, ("u000", 150, 5.0)])
    predictor = OrderedHorizonsNetwork().fit(ladder(world, 150, *cutoffs, horizons=(7, 30)))
    assert predictor.rungs == (30,)


@pytest.mark.deep
def test_too_few_amounts_are_refused(world_of: Callable[..., World]) -> None:
    events = [(f"u{i:03d}", i % 50, 5.0) for i in range(300)] + [(f"u{i:03d}", 80, 5.0) for i in range(29)]
    world = world_of([*events, ("u001", 169, 5.0)])
    with pytest.raises(DataError, match=r"fit\.nothing_to_learn"):
        ZilnNetwork().fit(world.training(60, 170))


@pytest.mark.deep
def test_what_is_given_back_is_taken_off_every_forecast(world_of: Callable[..., World]) -> None:
    """A tenth of every purchase is refunded the next day."""
    rng = np.random.default_rng(3)
    days = [(f"u{u:03d}", int(d)) for u in range(400) for d in np.flatnonzero(rng.random(199) < 0.08)]
    world = world_of([e for u, d in days for e in ((u, d, 50.0), (u, d + 1, -5.0))])
    training = world.training()
    predictor = ZilnNetwork().fit(training)
    wanted = column_floats(training.last_matured(()), training.task.target)
    got = predictor.predict(training.last_matured(predictor.columns))
    assert got.mean() == pytest.approx(wanted.mean(), rel=0.1)


@pytest.mark.deep
def test_a_hole_that_empties_a_short_horizon_or_a_long_one_of_some_users_leaves_forecasts_finite(
    known: Known,
) -> None:
    """As a hole of a day does to a week of its users, and one of many days to a month at an earlier cutoff."""
    plain = ladder(known.world)
    last = int(column_floats(plain.last_matured(("cutoff",)), "cutoff")[0])
    week, month = plain.target_of(7), plain.target_of(30)

    def emptied(rows: pa.Table) -> pa.Table:
        cutoffs, buckets = column_floats(rows, "cutoff"), column_floats(rows, "bucket")
        for column, struck in (
            (week, (buckets % 4 == 0) & (cutoffs == last) | (cutoffs == last - 28)),
            (month, cutoffs == last - 14),
        ):
            at = rows.column_names.index(column)
            values = pa.array(
                column_floats(rows, column), mask=struck | np.isnan(column_floats(rows, column))
            )
            rows = rows.set_column(at, column, values)
        return rows

    holed = rewritten(plain, known.world.bench.folder(), emptied, list)
    predictor = OrderedHorizonsNetwork().fit(holed)
    assert isinstance(predictor, NetworkForecast)
    assert predictor.rungs == (7, 14, 30)
    assert np.isfinite(predictor.factors).all()
    assert np.isfinite(predictor.kept_share)
    rows = holed.at_now(predictor.columns)
    assert np.isfinite(predictor.by_rung(rows)).all()
    pairs = predictor.held_out
    assert pairs is not None
    held = plain.last_matured(("bucket",))
    known_at_all = column_floats(held, "bucket") % 4 != 0
    assert pairs.actual.sum() == pytest.approx(column_floats(held, month)[known_at_all].sum(), rel=SUMS)
    assert np.isfinite(pairs.predicted).all()
    whole = OrderedHorizonsNetwork().fit(plain)
    assert predictor.predict(rows).sum() == pytest.approx(whole.predict(rows).sum(), rel=TOTAL)


def test_without_pytorch_a_network_is_refused_before_anything_is_read(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for model in MODELS:
        with pytest.raises(UsageError, match=r"extra\.missing"):
            model().fit(known.world.training())


def test_a_factor_that_noise_explains_is_one_and_one_that_it_does_not_is_kept() -> None:
    rng = np.random.default_rng(4)
    expected = rng.gamma(2.0, 10.0, 4_000)
    factors = [
        [steady_factor(expected * rng.gamma(0.2, 5.0, 4_000) * true, expected) for _ in range(200)]
        for true in (1.0, 1.5)
    ]
    assert np.mean(np.isclose(factors[0], 1.0)) > 0.6  # noise exceeds itself for a third of draws
    assert np.mean(factors[1]) == pytest.approx(1.5, rel=0.02)
    assert steady_factor(np.zeros(5), np.ones(5)) == 1.0
