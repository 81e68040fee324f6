"""What a purchase day is worth: Gamma-Gamma or a credibility mean for money, one factor for counts, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from headwater.core.finding import Finding
from headwater.core.table import Kind
from headwater.engine.arrays import column_floats
from headwater.models.fit_findings import fit_findings
from headwater.models.model import Floats, State, Training
from headwater.models.spend_choice import FEWEST_REPEATERS, Spend, choose_spend
from headwater.numerics import gamma_gamma
from headwater.numerics.credibility import Credibility
from headwater.numerics.gamma_gamma import GammaGammaParams

__all__ = ["FEWEST_REPEATERS", "Worth", "fit_findings", "restore_worth", "worth_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a purchase day is worth and what is kept of it.

    ``spend`` is Gamma-Gamma or a credibility mean (None where days are counted or each has the value ``per_day``),
    ``kept_share`` what is left of the value of purchase days after what was given back on other days,
    ``never`` the mean outcome of users without any purchase.
    """

    spend: Spend | None
    per_day: float
    kept_share: float
    never: float

    def of_a_day(self, x: Floats, value: Floats) -> Floats:
        """Expected worth of a future purchase day, before refunds, of users with ``x`` repeats worth ``value`` in all."""
        if self.spend is None:
            return np.full(value.shape, self.per_day)
        if isinstance(self.spend, Credibility):
            return self.spend.expected(x, value=_mean(x, value))
        repeats, mean_spend = _spend_inputs(x, value)
        return gamma_gamma.expected_spend(self.spend, x=repeats, z=mean_spend)

    def draw(self, x: Floats, value: Floats, days: Any, *, rng: np.random.Generator) -> Floats:
        """Drawn worth of drawn numbers of purchase ``days``, shape (n_draws, n_users), after refunds."""
        if self.spend is None:
            return days * self.per_day * self.kept_share
        if isinstance(self.spend, Credibility):
            total = self.spend.draw_total(x, value=_mean(x, value), n_purchases=days, rng=rng)
            return total * self.kept_share
        repeats, mean_spend = _spend_inputs(x, value)
        money = gamma_gamma.draw_total_spend(self.spend, x=repeats, z=mean_spend, n_purchases=days, rng=rng)
        return money * self.kept_share

    def state(self) -> State:
        """Numbers from which ``restore_worth`` makes the same."""
        return {
            "spend": asdict(self.spend) if self.spend else None,
            "per_day": self.per_day,
            "kept_share": self.kept_share,
            "never": self.never,
        }


def restore_worth(state: State) -> Worth:
    """The worth of a saved state."""
    return Worth(
        spend=_restored(cast("Mapping[str, Any] | None", state["spend"])),
        per_day=float(cast("float", state["per_day"])),
        kept_share=float(cast("float", state["kept_share"])),
        never=float(cast("float", state["never"])),
    )


def worth_of(training: Training) -> tuple[Worth, list[Finding], list[tuple[str, str]]]:
    """Learn what a purchase day is worth at the latest cutoff. Raises ``DataError`` (``fit.no_spend``)."""
    task = training.task
    never = _never_bought(training)
    if task.value == "active_days":
        return Worth(spend=None, per_day=1.0, kept_share=1.0, never=never), [], []
    repeats, value = f"{task.occasions}_repeats", f"{task.value}_on_repeat_{task.occasions}"
    total, off = f"{task.value}_total", f"{task.value}_off_{task.occasions}"
    rows = training.at_now((repeats, value, total, off))
    x, on_repeat, all_of_it, off_days = (column_floats(rows, c) for c in (repeats, value, total, off))
    on_days = float(np.nansum(all_of_it) - np.nansum(off_days))
    kept = float(np.nansum(all_of_it)) / on_days if on_days > 0 else 1.0
    bought = np.isfinite(x)
    x, on_repeat = x[bought], on_repeat[bought]
    if _kind(training) is not Kind.MONEY:
        per_day = float(on_repeat.sum() / x.sum()) if x.sum() else 1.0
        return (
            Worth(spend=None, per_day=per_day, kept_share=kept, never=never),
            [],
            [("per purchase day", f"{per_day:.3f}")],
        )
    spend, findings, facts = choose_spend(training)
    worth = Worth(spend=spend, per_day=1.0, kept_share=kept, never=never)
    return worth, findings, [*facts, ("kept after refunds", f"{kept:.1%}")]


def _restored(spend: Mapping[str, Any] | None) -> Spend | None:
    if not spend:
        return None
    return Credibility(**spend) if "between" in spend else GammaGammaParams(**spend)


def _kind(training: Training) -> Kind:
    measure = next((m for m in training.snapshot.measures if m.label == training.task.value), None)
    return measure.kind if measure is not None else Kind.INTEGER


def _never_bought(training: Training) -> float:
    """The mean matured outcome of users without any occasion; zero where none has matured."""
    repeats = f"{training.task.occasions}_repeats"
    rows = training.mature((repeats,))
    without = ~np.isfinite(column_floats(rows, repeats))
    return float(column_floats(rows, training.task.target)[without].mean()) if without.any() else 0.0


def _mean(x: Floats, value: Floats) -> Floats:
    return np.divide(value, x, out=np.zeros_like(value), where=x > 0)


def _spend_inputs(x: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Repeats and their mean spend; a mean that is not positive tells Gamma-Gamma nothing and is left out."""
    mean = _mean(x, value)
    usable = mean > 0
    return np.where(usable, x, 0.0), np.where(usable, mean, 1.0)
