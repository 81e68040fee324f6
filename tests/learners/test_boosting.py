"""The wrapped learner: held-out means unseen, shares bins without changing anything, and finds what was planted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headwater.learners.boosting import (
    Boosted,
    BoostingData,
    Settings,
    cross_fit,
    fit_boosting,
    restore_boosting,
)
from headwater.learners.boosting_encoder import Encoder, Words
from headwater.learners.boosting_losses import Objective

NOISE = 0.1  # three standard errors of a correlation of 1,000 users without any
ROUNDING = 1e-9  # sums of trees in another order
SHAPES = 0.9  # correlation of what was planted and what 4,000 rows show of it
QUICK = Settings(rounds=60, learning_rate=0.1)

RNG = np.random.default_rng(20261130)
N = 4_000
X = np.asfortranarray(RNG.normal(size=(N, 4)).astype(np.float32))
X[:, 3] = RNG.integers(0, 6, N)
MU, SIGMA = 1 + X[:, 0].astype(float), np.exp(0.4 * X[:, 1].astype(float) - 0.5)
PAYS = RNG.random(N) < stats.norm.cdf(X[:, 2])
Y = np.where(PAYS, np.exp(MU + SIGMA * RNG.normal(size=N)), 0.0)
FOLDS = (np.arange(N) % 5).astype(np.int64)
PAYING = np.flatnonzero(PAYS).astype(np.int32)
OBJECTIVES = [
    Objective(kind="binary"),
    Objective(kind="regression"),
    Objective(kind="gamma"),
    Objective(kind="tweedie", power=1.4),
    Objective(kind="quantile", level=0.8),
    Objective(kind="lognormal"),
]


@pytest.fixture(scope="module")
def data() -> BoostingData:
    return BoostingData.of(X, categorical=[3])


def _task(objective: Objective) -> dict[str, Any]:
    rows = PAYING if objective.kind in {"gamma", "lognormal"} else None
    target = PAYS.astype(float) if objective.kind == "binary" else Y
    return {"target": target, "objective": objective, "rows": rows, "seed": 1, "settings": QUICK}


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
def test_held_out_predictions_are_those_of_a_model_grown_on_the_other_folds_alone(
    data: BoostingData, objective: Objective
) -> None:
    task = _task(objective)
    crossed = cross_fit(data, folds=FOLDS, **task)
    others = np.flatnonzero(FOLDS != 2) if task["rows"] is None else PAYING[FOLDS[PAYING] != 2]
    alone = fit_boosting(
        data,
        **task
        | {"rows": others.astype(np.int32), "settings": Settings(rounds=crossed.rounds, learning_rate=0.1)},
    )
    np.testing.assert_allclose(alone.predict(X[FOLDS == 2]), crossed.held[FOLDS == 2], rtol=ROUNDING)


def test_cross_fitted_predictions_never_saw_their_own_user() -> None:
    """Every user has a target and a mark that tells nothing of others: only a model that saw the user knows it."""
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(1_000), 6)
    mark, target = rng.random(1_000)[user][:, None].astype(np.float32), rng.normal(size=1_000)[user]
    common: dict[str, Any] = {"objective": Objective(kind="regression"), "seed": 1, "settings": Settings()}
    marked = BoostingData.of(mark)
    by_user = cross_fit(marked, target, folds=(user % 5).astype(np.int64), **common).held
    by_row = cross_fit(marked, target, folds=(np.arange(user.size) % 5).astype(np.int64), **common).held
    assert abs(np.corrcoef(by_user, target)[0, 1]) < NOISE
    assert np.corrcoef(by_row, target)[0, 1] > 3 * NOISE


def test_growing_stops_early_where_there_is_nothing_to_learn(data: BoostingData) -> None:
    noise = np.random.default_rng(3).normal(size=N)
    crossed = cross_fit(
        data, noise, objective=Objective(kind="regression"), folds=FOLDS, seed=1, settings=Settings()
    )
    assert crossed.rounds <= 20


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
def test_contributions_sum_to_the_raw_score_and_a_restored_model_is_the_same(
    data: BoostingData, objective: Objective
) -> None:
    fitted = fit_boosting(data, **_task(objective))
    again = restore_boosting(fitted.state())
    few = X[:50]
    np.testing.assert_array_equal(again.predict(few), fitted.predict(few))
    summed = fitted.contributions(few).sum(axis=-1)
    raw = np.asarray(fitted.booster.predict(few, raw_score=True)).reshape(50, -1)
    start = np.asarray(fitted.start) if fitted.start else 0.0
    np.testing.assert_allclose(summed, raw + start, rtol=1e-6, atol=1e-6)  # SHAP sums in other orders


def test_the_lognormal_objective_finds_planted_location_and_spread(data: BoostingData) -> None:
    fitted: Boosted = fit_boosting(data, **_task(Objective(kind="lognormal")))
    mu, sigma = fitted.predict(X).T
    assert np.corrcoef(mu, MU)[0, 1] > SHAPES
    assert np.corrcoef(np.log(sigma), np.log(SIGMA))[0, 1] > SHAPES
    z = (np.log(Y[PAYING]) - mu[PAYING]) / sigma[PAYING]
    assert z.std() == pytest.approx(1.0, abs=0.1)


def test_rising_features_never_lower_a_prediction(data: BoostingData) -> None:
    fitted = fit_boosting(
        data,
        Y,
        objective=Objective(kind="tweedie"),
        seed=1,
        settings=Settings(rounds=60, rising=(1, 0, 1, 0)),
    )
    grid = np.repeat(X[:40], 60, axis=0)
    grid[:, 0] = np.tile(np.linspace(-3, 3, 60), 40)
    assert (np.diff(fitted.predict(grid).reshape(40, 60), axis=1) >= 0).all()


def test_weights_count_rows(data: BoostingData) -> None:
    """A weight of two is a row twice: leaf values are weighted means, so the two models agree closely."""
    weights = np.where(X[:, 0] > 0, 2.0, 1.0)
    twice = np.concatenate([np.arange(N), np.flatnonzero(X[:, 0] > 0)])
    settings = Settings(rounds=20, rows_in_leaf=1, leaves=4, share_of_features=1.0)
    task: dict[str, Any] = {"objective": Objective(kind="regression"), "seed": 1, "settings": settings}
    weighted = fit_boosting(data, Y, weights=weights, **task)
    repeated = fit_boosting(BoostingData.of(np.asfortranarray(X[twice])), Y[twice], **task)
    one, two = weighted.predict(X), repeated.predict(X)
    assert np.corrcoef(one, two)[0, 1] > 0.98  # bins are cut anew from the repeated rows


def test_words_get_codes_by_frequency_and_what_is_rare_or_new_shares_one() -> None:
    rows = pa.table({"channel": ["b"] * 30 + ["a"] * 30 + ["c"] * 40 + ["rare"] * 3 + [None] * 2})
    words = Words.learned("channel", rows)
    assert words.values == ("c", "a", "b")
    new = pa.table({"channel": ["a", "c", "rare", "never seen", None]})
    np.testing.assert_array_equal(words.codes(new), [1, 0, 3, 3, 4])


def test_an_encoder_is_the_same_from_its_state_and_reads_arrow_in_any_column_order() -> None:
    rows = pa.table({"channel": ["x"] * 20 + ["y"] * 25, "spent": pa.array([1] * 44 + [None], pa.int64())})
    encoder = Encoder(numbers=("spent",), words=(Words.learned("channel", rows),))
    again = Encoder.restored(encoder.state())
    assert again == encoder
    words = tuple(Words(column=c, values=("x", "y")) for c in ("platform", "country"))
    two = Encoder(numbers=(), words=words)  # not in the order of the alphabet: a file may sort its keys
    assert Encoder.restored(json.loads(json.dumps(two.state(), sort_keys=True))) == two
    matrix = again.matrix(rows)
    assert matrix.dtype == np.float32
    assert matrix.flags.f_contiguous
    assert np.isnan(matrix[44, 0])
    np.testing.assert_array_equal(matrix, encoder.matrix(rows.select(["spent", "channel"])))
    assert list(encoder.groups(matrix)) == ["channel"]


def test_a_part_with_far_fewer_zeros_than_the_whole_is_learned_from() -> None:
    """As those who pay are among all users: LightGBM's rows, kept row by row, crash or are misread here."""
    rng = np.random.default_rng(7)
    n, wide = 13_000, 38
    full = np.arange(n) % 5 == 0
    matrix = rng.gamma(1, 1, (n, wide)).astype(np.float32)
    matrix[~full] = np.where(rng.random((n - full.sum(), wide)) < 0.02, matrix[~full], 0)
    target = np.where(full, np.exp(matrix[:, 0].astype(float)), 0.0)
    rows = np.flatnonzero(full).astype(np.int32)
    gamma = {"objective": Objective(kind="gamma"), "seed": 1, "settings": QUICK}
    among = fit_boosting(BoostingData.of(matrix), target, rows=rows, **gamma)
    alone = fit_boosting(BoostingData.of(matrix[rows]), target[rows], **gamma)
    seen = [m.predict(matrix[rows]) for m in (among, alone)]
    assert np.corrcoef(np.log(seen[0]), matrix[rows, 0])[0, 1] > SHAPES
    assert np.corrcoef(*seen)[0, 1] > SHAPES
