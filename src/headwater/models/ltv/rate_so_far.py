"""Rate so far: the user goes on as before. The baseline every model must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa
from scipy import special

from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Pairs, Predictor, State, Training

__all__ = ["RateSoFar"]


class RateSoFar:
    """What the user was worth on repeat occasions, per day of age, times the horizon.

    The first occasion is what made the user a user and is left out, as in the x / T rule of the
    buy-till-you-die literature.
    """

    about: ClassVar[str] = "the user's own rate since the first occasion, carried on"
    simplicity: ClassVar[int] = 1
    by_default: ClassVar[bool] = True

    def fit(self, training: Training) -> Predictor:
        """Nothing is estimated but the mean value of an occasion, for the spread of users with none."""
        rate = _Rate(task=training.task, worth=1.0)
        repeats, value, _ = (column_floats(training.at_now(rate.columns), c) for c in rate.columns)
        occasions = np.nansum(repeats)
        return _Rate(task=training.task, worth=float(np.nansum(value) / occasions) if occasions > 0 else 0.0)

    def restore(self, task: Task, state: State) -> Predictor:
        """The rate of a saved state."""
        return _Rate(task=task, worth=float(cast("float", state["worth"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    task: Task
    worth: float
    findings: tuple[Finding, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    held_out: Pairs | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        on = self.task.occasions
        value = f"{on}_repeats" if self.task.value == "active_days" else f"{self.task.value}_on_repeat_{on}"
        return (f"{on}_repeats", value, f"{on}_age")

    def predict(self, rows: pa.Table) -> Floats:
        _, value, age = (column_floats(rows, c) for c in self.columns)
        return np.nan_to_num(value) / _days(age) * self.task.horizon_days

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        """Occasions as a Poisson count whose rate has Jeffreys' prior; each worth the user's mean."""
        repeats, value, age = (np.nan_to_num(column_floats(rows, c)) for c in self.columns)
        share = _days(age) / (_days(age) + self.task.horizon_days)
        worth = np.divide(value, repeats, out=np.full(value.shape, self.worth), where=repeats > 0)
        tails = [_count_quantile(q, repeats + 0.5, share) * worth for q in ((1 - level) / 2, (1 + level) / 2)]
        del rng
        variance = (repeats + 0.5) * (1 - share) / share**2 * worth**2
        return Draws(low=np.minimum(*tails), high=np.maximum(*tails), variance=variance)

    def state(self) -> State:
        return {"worth": self.worth}


def _count_quantile(q: float, size: Floats, share: Floats) -> Floats:
    """The quantile of a negative binomial count with a size that need not be whole."""
    at = special.nbdtrik(q, size, share)
    return np.where(share**size >= q, 0.0, np.ceil(np.nan_to_num(at)))


def _days(age: Floats) -> Floats:
    return np.maximum(np.nan_to_num(age), 1.0)
