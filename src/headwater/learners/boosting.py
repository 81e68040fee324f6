"""Gradient boosting (LightGBM), wrapped once: deterministic, text in and out, folds by user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import lightgbm as lgb

__all__ = ["Boosted", "Settings", "cross_fit", "fit_boosting", "restore_boosting"]

Floats = NDArray[np.float64]
_MANY_VALUES = 5_000_000
Objective = Literal["binary", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a boosted model is grown; the defaults are cautious for a few thousand rows."""

    rounds: int = 200
    learning_rate: float = 0.04
    leaves: int = 15
    rows_in_leaf: int = 40
    share_of_features: float = 0.8
    threads: int = 2

    def threads_for(self, n_values: int) -> int:
        """One thread for small matrices: waiting for each other costs small trees more than it gains."""
        return self.threads if n_values > _MANY_VALUES else 1


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted model."""

    booster: lgb.Booster

    def predict(self, features: Floats) -> Floats:
        """Predictions for a matrix of shape (n_rows, n_features): probabilities, or means."""
        return np.asarray(self.booster.predict(features), dtype=np.float64)

    def text(self) -> str:
        """LightGBM's own text format."""
        return self.booster.model_to_string()

    def gains(self) -> Floats:
        """What each feature's splits gained, shape (n_features,)."""
        return np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)


def fit_boosting(
    features: Floats,
    target: Floats,
    *,
    objective: Objective,
    names: Sequence[str],
    seed: int,
    settings: Settings | None = None,
) -> Boosted:
    """Grow trees on a matrix of shape (n_rows, n_features); NaN is a value of its own."""
    chosen = settings or Settings()
    parameters: dict[str, Any] = {
        "objective": objective,
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.leaves,
        "min_data_in_leaf": min(chosen.rows_in_leaf, max(1, target.size // 20)),
        "feature_fraction": chosen.share_of_features,
        "num_threads": chosen.threads_for(features.size),
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    lgb = _lightgbm()
    data = lgb.Dataset(features, label=target, feature_name=[f"f{i}" for i in range(len(names))])
    return Boosted(lgb.train(parameters, data, num_boost_round=chosen.rounds))


def restore_boosting(text: str) -> Boosted:
    """A model from its text. The caller has checked its checksum: LightGBM does not survive a damaged file."""
    return Boosted(_lightgbm().Booster(model_str=text))


def _lightgbm() -> Any:
    """The library, opened when it is needed: with pandas behind it, it takes half a second."""
    return import_module("lightgbm")


def cross_fit(
    features: Floats,
    target: Floats,
    *,
    objective: Objective,
    names: Sequence[str],
    folds: NDArray[np.int64],
    seed: int,
    settings: Settings | None = None,
) -> Floats:
    """Predictions for each row by a model that never saw the row's fold. ``folds`` has shape (n_rows,)."""
    held = np.empty(target.size)
    for fold in np.unique(folds):
        inside = folds == fold
        model = fit_boosting(
            features[~inside], target[~inside], objective=objective, names=names, seed=seed, settings=settings
        )
        held[inside] = model.predict(features[inside])
    return held
