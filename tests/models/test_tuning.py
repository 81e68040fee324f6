"""Tuning a model: on past origins only, the defaults first, every trial told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import DataError, UsageError
from headwater.models.ltv.lightgbm_hurdle import LightgbmHurdle
from headwater.models.model import Training, require_signal
from headwater.models.tuning import Tuning, tune

if TYPE_CHECKING:
    from conftest import Known


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@dataclass(frozen=True)
class Stub:
    columns: tuple[str, ...]
    mean: float

    def predict(self, rows: pa.Table) -> np.ndarray:
        return np.full(rows.num_rows, self.mean)


def tuned(training: Training, *, seconds: float = 40, model: str = "lightgbm_hurdle") -> Tuning:
    return tune(model, training, seconds=seconds, clock=Clock(), rng=np.random.default_rng(1))


def test_only_the_past_is_seen_and_the_defaults_stand_first(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = known.world
    training = world.training(*(world.end - k for k in (0, 30, 44, 60, 90)))
    seen: list[Training] = []

    def stub(self: LightgbmHurdle, given: Training) -> Any:
        """The mean of what had matured, off by the learning rate: the lower, the better."""
        seen.append(given)
        mean = float(require_signal(given, given.mature(())).mean())
        off = 1 + given.settings.get("learning_rate", 0.1)
        return Stub(columns=(), mean=mean * off)

    monkeypatch.setattr(LightgbmHurdle, "fit", stub)
    found = tuned(training)
    assert found.origins == tuple(training.past_cutoffs[-len(found.origins) :])
    assert all(t.now in found.origins for t in seen)
    assert found.found.trials[0].settings == {}
    assert any(k == "without" for t in found.found.trials for k in t.settings)
    prose, how, grid = found.blocks()
    assert "defaults" in str(prose) or "fitted with" in str(prose)
    assert "on what was known then" in str(how)
    assert grid.n_rows == len(found.found.trials)  # pyright: ignore[reportAttributeAccessIssue]


def test_what_cannot_be_tuned_says_so(known: Known) -> None:
    with pytest.raises(UsageError, match=r"tune\.no_settings"):
        tuned(known.world.training(), model="cohort_mean")
    with pytest.raises(DataError, match=r"tune\.no_past"):
        tuned(known.world.training(known.world.end))
