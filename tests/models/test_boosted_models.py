"""What all boosted models must keep: any order of rows, any names of columns, saved and restored, explained to the sum."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.errors import UsageError
from headwater.core.ledger import Snapshot
from headwater.core.table import Column, Kind, Purpose
from headwater.engine.arrays import column_floats
from headwater.models.changes import changes_of, what_changed
from headwater.models.drivers import Explains, drivers_of, user_drivers
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Predictor, Training
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from conftest import Known

MODELS = ["lightgbm_hurdle", "lightgbm_increments", "lightgbm_tweedie", "lightgbm_ziln"]
ADDS_UP = 1e-6  # SHAP values are sums of floats in another order than predictions
EXACT = 1e-9
QUICK = {"rounds": 12, "leaves": 7, "learning_rate": 0.3}
ROUNDING = 1e-9  # sums of trees and of bands in floats


@dataclass(frozen=True)
class Fitted:
    training: Training
    predictor: Predictor
    rows: pa.Table

    @property
    def by_user(self) -> dict[str, float]:
        users = self.rows.column("user_id").to_pylist()
        return dict(zip(users, self.predictor.predict(self.rows).tolist(), strict=True))


def changed(snapshot: Snapshot, folder: Path, change: Callable[[pa.Table], pa.Table]) -> Snapshot:
    """The snapshot with its rows changed, and its columns known by their old places and purposes."""
    before = snapshot.rows.to_arrow()
    after = change(before)
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    pq.write_table(after, path)
    known = dict(zip(before.column_names, snapshot.rows.columns, strict=True))
    columns = [
        replace(known.get(before.column_names[i]), name=name)
        if i < len(before.column_names)
        else Column(name=name, kind=Kind.NUMBER, purpose=Purpose.FEATURE)
        for i, name in enumerate(after.column_names)
    ]
    return replace(snapshot, rows=replace(snapshot.rows, files=(str(path),), columns=tuple(columns)))


def shuffled(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(np.random.default_rng(5).permutation(rows.num_rows)))


def fit(name: str, training: Training) -> Fitted:
    training = replace(training, rng=np.random.default_rng(7), settings=QUICK, shared={})
    predictor = LTV_MODELS.load(name)().fit(training)
    return Fitted(
        training=training, predictor=predictor, rows=training.at_now((*predictor.columns, "user_id"))
    )


@pytest.fixture(scope="module")
def training(known: Known) -> Training:
    """A few cutoffs with a channel of each user and two horizons, so that every model has all it can use."""
    world = known.world
    cutoffs = [world.end - k for k in (0, 10, 30, 60)]
    base = world.training(*cutoffs)
    snapshot = world.bench.snapshot(
        world.ledger, cutoffs=[c + base.now - world.end for c in cutoffs], horizons=(7, 30)
    )
    assert [c.name for c in snapshot.attributes] == ["channel"]
    return replace(base, snapshot=snapshot)


@pytest.fixture(scope="module")
def fitted(training: Training) -> Callable[[str], Fitted]:
    made: dict[str, Fitted] = {}

    def one(name: str) -> Fitted:
        if name not in made:
            made[name] = fit(name, training)
        return made[name]

    return one


@pytest.mark.parametrize("name", MODELS)
def test_the_order_of_rows_changes_no_bit(
    fitted: Callable[[str], Fitted], training: Training, tmp_path: Path, name: str
) -> None:
    again = fit(name, replace(training, snapshot=changed(training.snapshot, tmp_path, shuffled)))
    assert again.by_user == fitted(name).by_user


@pytest.mark.parametrize("name", MODELS)
def test_the_names_of_columns_change_no_bit(
    fitted: Callable[[str], Fitted], training: Training, tmp_path: Path, name: str
) -> None:
    features = {c.name for c in training.snapshot.features}

    def renamed(rows: pa.Table) -> pa.Table:
        return rows.rename_columns([f"z {n[::-1]}" if n in features else n for n in rows.column_names])

    again = fit(name, replace(training, snapshot=changed(training.snapshot, tmp_path, renamed)))
    assert not features & set(again.predictor.columns)
    assert again.by_user == fitted(name).by_user


@pytest.mark.parametrize("name", MODELS)
def test_a_restored_model_predicts_and_explains_the_same(fitted: Callable[[str], Fitted], name: str) -> None:
    one = fitted(name)
    again = LTV_MODELS.load(name)().restore(
        one.training.task, json.loads(json.dumps(one.predictor.state(), sort_keys=True))
    )
    np.testing.assert_array_equal(again.predict(one.rows), one.predictor.predict(one.rows))
    assert isinstance(again, Explains)
    assert again.columns == one.predictor.columns


@pytest.mark.parametrize("name", MODELS)
def test_contributions_sum_to_the_log_of_the_forecast(fitted: Callable[[str], Fitted], name: str) -> None:
    one = fitted(name)
    assert isinstance(one.predictor, Explains)
    made = one.predictor.contributions(one.rows)
    told = np.exp(made.base + made.parts.sum(axis=1))
    np.testing.assert_allclose(told, one.predictor.predict(one.rows), rtol=ADDS_UP)
    assert np.ptp(made.base) < ADDS_UP


@pytest.mark.parametrize("name", MODELS)
def test_held_out_pairs_are_the_latest_matured_window_and_their_total_is_met(
    fitted: Callable[[str], Fitted], name: str
) -> None:
    one = fitted(name)
    pairs = one.predictor.held_out
    assert pairs is not None
    latest = one.training.last_matured(())
    actual = column_floats(latest, one.training.task.target)
    np.testing.assert_allclose(pairs.actual, actual, rtol=EXACT)
    everyone = column_floats(one.training.mature(()), one.training.task.target).sum()
    assert pairs.predicted.sum() == pytest.approx(actual.sum(), rel=0.5)
    assert (pairs.predicted > 0).all()
    assert everyone > 0


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_find_the_order_of_users_with_known_truth(
    fitted: Callable[[str], Fitted], known: Known, name: str
) -> None:
    one = fitted(name).by_user
    truth = np.array([known.truth[u] for u in one])
    got = np.array(list(one.values()))
    assert np.corrcoef(np.log(got), np.log(truth + 1e-3))[0, 1] > 0.5


def test_a_planted_column_from_the_future_dominates_the_drivers(training: Training, tmp_path: Path) -> None:
    """Where a feature is the outcome itself, nearly all that the model goes by is that feature."""
    target = training.task.target

    def leaked(rows: pa.Table) -> pa.Table:
        outcome = np.nan_to_num(column_floats(rows, target), nan=0.0)
        return rows.append_column("tomorrow", pa.array(outcome))

    one = fit("lightgbm_hurdle", replace(training, snapshot=changed(training.snapshot, tmp_path, leaked)))
    top = drivers_of(one.predictor, one.training.snapshot, cutoff=one.training.past_cutoffs[-1]).drivers[0]
    assert top.column == "tomorrow"
    assert top.share > 0.5
    assert top.direction == "rises with it"


def test_drivers_are_told_with_their_values(fitted: Callable[[str], Fitted], training: Training) -> None:
    one = fitted("lightgbm_hurdle")
    whole = drivers_of(one.predictor, training.snapshot, cutoff=training.now)
    assert sum(d.share for d in whole.drivers) == pytest.approx(1.0)
    assert whole.blocks()
    users = one.rows.column("user_id").to_pylist()[:2]
    told = user_drivers(one.predictor, training.snapshot, cutoff=training.now, users=users, top=2)
    assert [d.user_id for d in told] == users
    first = told[0].drivers[0]
    value = one.rows.column(first.column)[0].as_py()
    assert first.value in {str(value), "none", f"{value:,.4g}" if isinstance(value, float) else ""}
    assert "times" in str(first)
    for d in told:
        product = d.shared * d.drivers[0].factor * d.drivers[1].factor * d.others
        assert product == pytest.approx(one.by_user[d.user_id], rel=ADDS_UP)
        assert d.forecast == pytest.approx(one.by_user[d.user_id], rel=ADDS_UP)
    with pytest.raises(UsageError, match=r"drivers\.nobody"):
        user_drivers(one.predictor, training.snapshot, cutoff=training.now, users=["nobody"])


@pytest.mark.parametrize("group", [None, {"channel": "ads"}], ids=["all", "ads"])
@pytest.mark.parametrize("name", ["lightgbm_hurdle", "lightgbm_increments"])
def test_what_changed_sums_exactly_to_the_change(
    fitted: Callable[[str], Fitted], training: Training, name: str, group: dict[str, str] | None
) -> None:
    one = fitted(name)
    earlier, later = training.now - 60, training.now
    change = what_changed(one.predictor, training.snapshot, earlier=earlier, later=later, group=group)
    parts = change.come - change.gone + sum(v for _, v in change.by_column) + change.rest
    assert parts == pytest.approx(change.later - change.earlier, abs=EXACT * change.later)
    assert abs(change.rest) < ADDS_UP * change.later
    assert change.n_gone == 0  # nobody leaves a snapshot
    assert change.n_come > 0
    assert "forecast" in str(change.blocks()[0])


@pytest.mark.parametrize("name", ["average", "pareto_nbd"])
def test_what_changed_sums_exactly_for_a_blend_and_for_a_model_without_columns(
    training: Training, name: str
) -> None:
    model = LTV_MODELS.load(name)().fit(replace(training, by_model={"lightgbm_hurdle": QUICK}, shared={}))
    change = what_changed(model, training.snapshot, earlier=training.now - 60, later=training.now)
    assert change.earlier == pytest.approx(
        model.predict(rows_at(training.snapshot, training.now - 60, model.columns)).sum()
    )
    parts = change.come - change.gone + sum(v for _, v in change.by_column) + change.rest
    assert parts == pytest.approx(change.later - change.earlier, abs=EXACT * change.later)
    assert abs(change.rest) < ADDS_UP * change.later
    columns = [c for c, _ in change.by_column]
    assert ("what pareto_nbd says" in columns) == (name == "average")
    assert (len(columns) > 1) == (name == "average")
    if name == "average":
        assert "weight is 0.50" in drivers_of(model, training.snapshot, cutoff=training.now).told


def test_parts_read_off_some_users_add_up_to_what_all_moved(
    fitted: Callable[[str], Fitted], training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside everybody's own parts, which are the truth here: the largest movers for sure and one in four of the others."""
    one = fitted("lightgbm_hurdle").predictor
    days = {"earlier": training.now - 60, "later": training.now}
    sizes = [rows_at(training.snapshot, d, ("user_id",)).num_rows for d in days.values()]
    half = [np.arange(n) % 2 == 0 for n in sizes]
    members = {"all": (np.ones(sizes[0], bool), np.ones(sizes[1], bool)), "half": (half[0], half[1])}
    truth = changes_of(one, training.snapshot, members=members, **days)
    monkeypatch.setattr("headwater.models.changes._MOVED_MOST", 200)
    monkeypatch.setattr("headwater.models.changes._SPREAD", 250)
    for told, true in zip(changes_of(one, training.snapshot, members=members, **days), truth, strict=True):
        assert told.n_looked_at <= 450 < true.n_looked_at or told.group == "half"
        assert abs(told.rest) < ADDS_UP * told.later
        assert (told.later, told.n_stayed) == (true.later, true.n_stayed)
        moved, right = dict(told.by_column), dict(true.by_column)
        assert np.corrcoef([moved[c] for c in right], list(right.values()))[0, 1] > 0.95  # a sample's error


def test_models_without_contributions_say_so(training: Training) -> None:
    mean = LTV_MODELS.load("cohort_mean")().fit(training)
    with pytest.raises(UsageError, match=r"drivers\.not_explained"):
        drivers_of(mean, training.snapshot, cutoff=training.now)


def test_a_setting_that_is_not_known_is_refused_and_a_group_of_features_can_be_left_out(
    training: Training,
) -> None:
    hurdle: Any = LTV_MODELS.load("lightgbm_hurdle")()
    with pytest.raises(UsageError, match=r"fit\.unknown_setting"):
        hurdle.fit(replace(training, settings={"leafs": 3.0}))
    with pytest.raises(UsageError, match=r"fit\.unknown_setting"):
        hurdle.fit(replace(training, settings={"without": ("nothing",)}))
    without = hurdle.fit(replace(training, settings=QUICK | {"without": ("trend", "attributes")}))
    assert not [c for c in without.columns if c.endswith("_trend")]
    assert "channel" not in without.columns
    assert "channel" in hurdle.fit(replace(training, settings=QUICK)).columns


@pytest.mark.parametrize("name", ["lightgbm_hurdle", "lightgbm_increments", "lightgbm_tweedie"])
def test_a_forecast_never_falls_in_a_rising_feature_nor_rises_in_a_falling_one(
    training: Training, name: str
) -> None:
    """By brute force: each of 60 users with 80 values of the weightiest feature and all else as it is."""

    def steps(**wish: tuple[str, ...]) -> np.ndarray:
        fitted = model.fit(replace(training, settings=QUICK | wish, shared={}))
        said = fitted.predict(grid).reshape(60, 80)
        return np.diff(said, axis=1) / said.max()

    model: Any = LTV_MODELS.load(name)()
    free = model.fit(replace(training, settings=QUICK, shared={}))
    feature = dict(free.facts)["features that gained most"].split(", ")[0]
    rows = training.at_now(free.columns).slice(0, 60)
    grid = rows.take(pa.array(np.repeat(np.arange(60), 80)))
    seen = column_floats(training.at_now((feature,)), feature)
    values = pa.array(np.tile(np.linspace(np.nanmin(seen) - 1, np.nanmax(seen) + 1, 80), 60))
    grid = grid.set_column(grid.column_names.index(feature), feature, values)
    assert np.ptp(steps()) > 0.01
    assert steps(rising=(feature,)).min() >= -ROUNDING
    assert steps(falling=(feature,)).max() <= ROUNDING
