"""Gradient boosting (LightGBM), wrapped once: deterministic, text in and out, binned once, folds by user."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from headwater.learners.boosting_losses import Objective, lognormal_start, lognormal_step, loss_of, settled

if TYPE_CHECKING:
    import lightgbm as lgb

__all__ = [
    "Boosted",
    "BoostingData",
    "CrossFit",
    "Settings",
    "cross_fit",
    "fit_boosting",
    "predicting_with",
    "restore_boosting",
]

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Rows = NDArray[np.int32]
_MANY_VALUES = 5_000_000
_LOOK_EVERY, _PATIENCE = 5, 8
_CHUNK = 200_000
_PREDICTING: ContextVar[int] = ContextVar("threads of predictions", default=1)
_BINNING = {"data_random_seed": 1, "feature_pre_filter": False, "enable_bundle": False, "verbosity": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a boosted model is grown; the defaults are cautious for a few thousand rows.

    ``rounds`` is the most: where rows are held out, growing stops when they gain nothing more.
    ``rising`` has 1 for features in which predictions may only rise, -1 for those in which they may only fall.
    """

    rounds: int = 400
    learning_rate: float = 0.04
    leaves: int = 15
    rows_in_leaf: int = 40
    share_of_features: float = 0.8
    penalty: float = 0.0
    threads: int = 2
    rising: tuple[int, ...] = ()

    def in_leaf(self, n_rows: int) -> int:
        """The fewest rows of a leaf where so many are learned from: a twentieth of them at most, so that trees can split."""
        return min(self.rows_in_leaf, max(1, n_rows // 20))

    def threads_for(self, n_values: int) -> int:
        """One thread for small matrices: waiting for each other costs small trees more than it gains."""
        return self.threads if n_values > _MANY_VALUES else 1


@dataclass(frozen=True, slots=True)
class BoostingData:
    """Binned features, made once and shared by objectives and folds; the matrix they came from is not kept."""

    bins: lgb.Dataset
    n_rows: int
    n_features: int

    @classmethod
    def of(cls, features: Features, *, categorical: Sequence[int] = (), threads: int = 1) -> BoostingData:
        """Bin a matrix of shape (n_rows, n_features), NaN as a value of its own; ``categorical`` are the places of columns that hold codes."""
        bins: lgb.Dataset = _lightgbm().Dataset(
            features,
            label=np.zeros(features.shape[0], dtype=np.float32),
            feature_name=[f"f{i}" for i in range(features.shape[1])],
            categorical_feature=list(categorical),
            params=_BINNING | {"num_threads": threads if features.size > _MANY_VALUES else 1},
        )
        return cls(bins.construct(), *features.shape)

    def part(
        self, rows: Rows, target: Floats, *, weights: Floats | None, start: Floats | None
    ) -> lgb.Dataset:
        """Some rows, in order, with their target (and weights, and where their scores begin); nothing is binned again."""
        part = self.bins.subset([0])
        part.used_indices = rows  # pyright: ignore[reportAttributeAccessIssue]  subset() would sort them as a list of Python numbers
        part.construct()
        part.set_label(target[rows])
        if weights is not None:
            part.set_weight(weights[rows])
        if start is not None:
            part.set_init_score(np.tile(start, (rows.size, 1)))
        return part


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted model. ``start`` is added to raw scores, shape (n_outputs,)."""

    booster: lgb.Booster
    objective: Objective
    start: tuple[float, ...] = ()

    def predict(self, features: Features) -> Floats:
        """Chances, means or quantiles of shape (n_rows,); of a lognormal (mu, sigma), shape (n_rows, 2)."""
        parts = [
            np.asarray(self.booster.predict(rows, num_threads=_threads(features)), dtype=np.float64)
            for rows in _chunks(features)
        ]
        return self._finished(np.concatenate(parts))

    def contributions(self, features: Features) -> Floats:
        """SHAP values of the raw score, shape (n_rows, n_outputs, n_features + 1); the last is what all share."""
        n_outputs, wide = self.objective.n_outputs, features.shape[1] + 1
        parts = [
            np.asarray(
                self.booster.predict(rows, pred_contrib=True, num_threads=_threads(features)),
                dtype=np.float64,
            ).reshape(rows.shape[0], n_outputs, wide)
            for rows in _chunks(features)
        ]
        whole = np.concatenate(parts)
        if self.start:
            whole[:, :, -1] += np.asarray(self.start)
        return whole

    def gains(self) -> Floats:
        """What each feature's splits gained, as shares of all, shape (n_features,)."""
        gains = np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)
        return gains / max(float(gains.sum()), 1e-300)

    def state(self) -> dict[str, object]:
        """Numbers and LightGBM's own text."""
        return {
            "text": self.booster.model_to_string(),
            "objective": asdict(self.objective),
            "start": list(self.start),
        }

    def _finished(self, raw: Floats) -> Floats:
        """What was predicted, from LightGBM's own output: for an objective of ours these are scores."""
        if self.objective.kind != "lognormal":
            return raw
        start = np.asarray(self.start)
        return settled(raw + start, start)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """Predictions of each row by a model that never saw its fold, and for how many rounds it paid to grow."""

    held: Floats
    rounds: int


@contextmanager
def predicting_with(threads: int) -> Generator[None]:
    """Let boosted models predict with so many threads while the block runs; elsewhere they take one."""
    before = _PREDICTING.set(threads)
    try:
        yield
    finally:
        _PREDICTING.reset(before)


def fit_boosting(
    data: BoostingData,
    target: Floats,
    *,
    objective: Objective,
    seed: int,
    settings: Settings,
    rows: Rows | None = None,
    weights: Floats | None = None,
) -> Boosted:
    """Grow ``settings.rounds`` trees on ``rows`` (all unless given) of a target of shape (n_rows,)."""
    rows = np.arange(data.n_rows, dtype=np.int32) if rows is None else rows
    grown = _Growing(data, target, objective, settings, rows=rows, weights=weights, seed=seed)
    for _ in range(settings.rounds):
        grown.step()
    return grown.boosted()


def cross_fit(
    data: BoostingData,
    target: Floats,
    *,
    objective: Objective,
    folds: NDArray[np.int64],
    seed: int,
    settings: Settings,
    rows: Rows | None = None,
    weights: Floats | None = None,
) -> CrossFit:
    """Predict each row by a model that never saw the row's fold; ``folds`` has shape (n_rows,).

    ``rows`` teach (all unless given); every row is predicted but those of a fold below zero, which only teach (NaN). The first fold's model grows until its held-out
    rows have gained nothing for 40 rounds, and the others as far.
    """
    teaching = np.ones(data.n_rows, dtype=np.bool_)
    if rows is not None:
        teaching[:] = False
        teaching[rows] = True
    held = np.full((data.n_rows, objective.n_outputs), np.nan)
    rounds = 0
    for fold in np.unique(folds[folds >= 0]):
        inside = folds == fold
        out = np.flatnonzero(inside).astype(np.int32)
        grown = _Growing(
            data,
            target,
            objective,
            settings,
            rows=np.flatnonzero(~inside & teaching).astype(np.int32),
            weights=weights,
            seed=seed,
            held=out,
        )
        if rounds == 0:
            rounds, best = _grow_while_it_pays(grown, target[out], teaching[out], most=settings.rounds)
        else:
            for _ in range(rounds):
                grown.step()
            best = grown.predicted()
        held[inside] = best.reshape(out.size, -1)
    return CrossFit(held=held[:, 0] if objective.n_outputs == 1 else held, rounds=rounds)


def restore_boosting(state: Mapping[str, object]) -> Boosted:
    """A model from its state. The caller has checked its checksum: LightGBM does not survive a damaged text."""
    return Boosted(
        _lightgbm().Booster(model_str=str(state["text"])),
        Objective(**cast("dict[str, Any]", state["objective"])),
        tuple(float(v) for v in cast("list[float]", state["start"])),
    )


class _Growing:
    """A model that grows by one round at a time, and what it predicts for rows held out."""

    def __init__(
        self,
        data: BoostingData,
        target: Floats,
        objective: Objective,
        settings: Settings,
        *,
        rows: Rows,
        weights: Floats | None,
        seed: int,
        held: Rows | None = None,
    ) -> None:
        self._objective, self._target = objective, target[rows]
        ours = objective.kind == "lognormal"
        self._start = lognormal_start(self._target) if ours else None
        train = data.part(rows, target, weights=weights, start=self._start)
        n_values = rows.size * data.n_features
        parameters = _parameters(objective, settings, seed=seed, n_rows=rows.size, n_values=n_values)
        self._booster: lgb.Booster = _lightgbm().Booster(parameters, train)
        if held is not None:
            self._booster.add_valid(data.part(held, target, weights=None, start=self._start), "held")

    def step(self) -> None:
        """One more tree for each output."""
        self._booster.update(fobj=self._slopes if self._start is not None else None)

    def predicted(self) -> Floats:
        """Predictions of the rows held out, as LightGBM keeps them while it grows."""
        seen: list[Floats] = []

        def copy(scores: Floats, data: object) -> tuple[str, float, bool]:
            del data
            seen.append(scores.copy())
            return "copied", 0.0, False

        self._booster.eval_valid(feval=copy)
        return settled(seen[0], self._start) if self._start is not None else seen[0]

    def boosted(self) -> Boosted:
        """The model as it is now."""
        self._booster.free_dataset()
        return Boosted(
            self._booster, self._objective, () if self._start is None else tuple(self._start.tolist())
        )

    def loss(self, predicted: Floats, target: Floats) -> float:
        """The mean loss of what it is grown for."""
        return loss_of(self._objective, predicted, target)

    def _slopes(self, scores: Floats, data: object) -> tuple[Floats, Floats]:
        del data
        return lognormal_step(self._target, scores, cast("Floats", self._start))


def _grow_while_it_pays(
    grown: _Growing, target: Floats, judged: NDArray[np.bool_], *, most: int
) -> tuple[int, Floats]:
    """Grow until the rows held out gain nothing more: the best number of rounds, and their predictions then."""
    best, rounds, kept = np.inf, 1, np.empty(0)
    for done in range(1, most + 1):
        grown.step()
        if done % _LOOK_EVERY and done < most:
            continue
        seen = grown.predicted()
        loss = grown.loss(seen[judged], target[judged]) if judged.any() else -float(done)
        if loss < best:
            best, rounds, kept = loss, done, seen
        elif done - rounds >= _LOOK_EVERY * _PATIENCE:
            break
    return rounds, kept


def _parameters(
    objective: Objective, settings: Settings, *, seed: int, n_rows: int, n_values: int
) -> dict[str, Any]:
    ours = objective.kind == "lognormal"
    return {
        "objective": "none" if ours else objective.kind,
        "num_class": objective.n_outputs,
        "metric": "None",
        "tweedie_variance_power": objective.power,
        "alpha": objective.level,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.in_leaf(n_rows),
        "feature_fraction": settings.share_of_features,
        "lambda_l2": settings.penalty,
        "num_threads": settings.threads_for(n_values),
        "seed": seed,
        "deterministic": True,
        # Rows kept row by row are indexed for the share of zeros in all rows: LightGBM 4.7 reads past the
        # end where a part has far fewer of them, as those who pay do. Columns, not bundled, have no such index.
        "force_col_wise": True,
        **({"monotone_constraints": list(settings.rising)} if any(settings.rising) else {}),
        **_BINNING,
    }


def _threads(features: Features) -> int:
    """One for few values, otherwise as many as ``predicting_with`` allows."""
    return _PREDICTING.get() if features.size > _MANY_VALUES else 1


def _chunks(features: Features) -> Iterator[Features]:
    """Runs of rows, each laid out row by row as prediction reads it."""
    for at in range(0, max(features.shape[0], 1), _CHUNK):
        yield np.ascontiguousarray(features[at : at + _CHUNK])


def _lightgbm() -> Any:
    """The library, opened when it is needed: with pandas behind it, it takes half a second."""
    return import_module("lightgbm")
