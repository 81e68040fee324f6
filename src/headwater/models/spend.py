"""What a purchase day is worth: Gamma-Gamma for money, one factor for counts, and the share kept after refunds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.table import Kind
from headwater.engine.arrays import column_floats
from headwater.models.model import Floats, State, Training
from headwater.numerics import gamma_gamma
from headwater.numerics.gamma_gamma import GammaGammaParams, SpendRows
from headwater.numerics.maximize import Fit

__all__ = ["FEWEST_REPEATERS", "Worth", "fit_findings", "restore_worth", "worth_of"]

FEWEST_REPEATERS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a purchase day is worth and what is kept of it.

    ``spend`` is the fit of Gamma-Gamma (None where days are counted or every day has the value ``per_day``),
    ``kept_share`` what is left of the value of purchase days after what was given back on other days,
    ``never`` the mean outcome of users without any purchase.
    """

    spend: GammaGammaParams | None
    per_day: float
    kept_share: float
    never: float

    def of_a_day(self, x: Floats, value: Floats) -> Floats:
        """Expected worth of a future purchase day, before refunds, of users with ``x`` repeats worth ``value`` in all."""
        if self.spend is None:
            return np.full(value.shape, self.per_day)
        repeats, mean_spend = _spend_inputs(x, value)
        return gamma_gamma.expected_spend(self.spend, x=repeats, z=mean_spend)

    def draw(self, x: Floats, value: Floats, days: Any, *, rng: np.random.Generator) -> Floats:
        """Drawn worth of drawn numbers of purchase ``days``, shape (n_draws, n_users), after refunds."""
        if self.spend is None:
            return days * self.per_day * self.kept_share
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
    spend = cast("Mapping[str, float] | None", state["spend"])
    return Worth(
        spend=GammaGammaParams(**spend) if spend else None,
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
    return _money_worth(x, on_repeat, kept=kept, never=never)


def _money_worth(
    x: Floats, on_repeat: Floats, *, kept: float, never: float
) -> tuple[Worth, list[Finding], list[tuple[str, str]]]:
    repeater = x > 0
    mean = on_repeat[repeater] / x[repeater]
    usable = mean > 0
    if usable.sum() < FEWEST_REPEATERS:
        raise DataError(
            "fit.no_spend",
            what=f"Only {int(usable.sum()):,} repeat customers spent a positive amount.",
            why="What a purchase is worth cannot be learned from so few.",
            do="Check the money measure.",
        )
    fit = gamma_gamma.fit(
        SpendRows(x=x[repeater][usable], z=mean[usable], weights=np.ones(int(usable.sum())))
    )
    correlation = float(np.corrcoef(x[repeater][usable], mean[usable])[0, 1])
    gamma_gamma.population_mean(fit.params)
    findings = [
        *fit_findings(fit),
        *_left_out(int((~usable).sum()), usable.size),
        *_correlated(correlation),
    ]
    facts = [(f"spend {k}", f"{v:.4g}") for k, v in asdict(fit.params).items()]
    facts += [
        ("kept after refunds", f"{kept:.1%}"),
        ("correlation of spend and frequency", f"{correlation:.2f}"),
    ]
    return Worth(spend=fit.params, per_day=1.0, kept_share=kept, never=never), findings, facts


def fit_findings(fit: Fit[Any]) -> list[Finding]:
    """What a reader must know of a maximum-likelihood fit."""
    found: list[Finding] = []
    if not fit.converged:
        found.append(
            Finding(
                code="fit.not_converged",
                severity=Severity.WARN,
                what=f"The search for {', '.join(fit.names)} stopped after {fit.iterations} steps without converging.",
                why="Its forecasts may be off, and its standard errors mean nothing.",
                do="Trust the backtest, not the parameters; prefer another model.",
            )
        )
    if fit.boundary:
        found.append(
            Finding(
                code="fit.at_boundary",
                severity=Severity.WARN,
                what=f"The best fit lies at the edge of what is possible for {', '.join(fit.boundary)}.",
                why="The data do not show the behavior these parameters describe (customers who differ, or who leave); they are not estimates.",
                do="Trust the backtest, not the parameters; a model without them may serve as well.",
            )
        )
    unsure = [n for n in fit.vague if n not in fit.boundary]
    if unsure:
        found.append(
            Finding(
                code="fit.vague",
                severity=Severity.NOTE,
                what=f"The data leave {', '.join(unsure)} open by a factor of 7 or more either way.",
                why="Other values fit almost as well: forecasts are about the same, a story told from these parameters is not.",
                do="Use the forecasts as the backtest allows; do not explain customers by these parameters.",
            )
        )
    return found


def _kind(training: Training) -> Kind:
    measure = next((m for m in training.snapshot.measures if m.label == training.task.value), None)
    return measure.kind if measure is not None else Kind.INTEGER


def _never_bought(training: Training) -> float:
    """The mean matured outcome of users without any occasion; zero where none has matured."""
    repeats = f"{training.task.occasions}_repeats"
    rows = training.mature((repeats,))
    without = ~np.isfinite(column_floats(rows, repeats))
    return float(column_floats(rows, training.task.target)[without].mean()) if without.any() else 0.0


def _spend_inputs(x: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Repeats and their mean spend; a mean that is not positive tells nothing about spending and is left out."""
    mean = np.divide(value, x, out=np.zeros_like(value), where=x > 0)
    usable = mean > 0
    return np.where(usable, x, 0.0), np.where(usable, mean, 1.0)


def _left_out(n: int, n_repeaters: int) -> list[Finding]:
    if n == 0:
        return []
    return [
        Finding(
            code="gamma_gamma.not_positive",
            severity=Severity.NOTE,
            what=f"{n:,} of {n_repeaters:,} repeat customers have a mean spend of zero or less (refunds).",
            why="Gamma-Gamma describes positive spend; they are left out of its fit and take the population's mean spend.",
            do="Nothing, while they are few.",
        )
    ]


def _correlated(correlation: float) -> list[Finding]:
    if abs(correlation) < 0.3:
        return []
    return [
        Finding(
            code="gamma_gamma.correlated",
            severity=Severity.WARN,
            what=f"Frequency and mean spend correlate at {correlation:.2f}.",
            why="Gamma-Gamma assumes that they do not; the value of frequent customers is misjudged.",
            do="Compare with the hurdle model in the backtest.",
        )
    ]
