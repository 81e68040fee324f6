"""What a reader must know of a maximum-likelihood fit."""

from __future__ import annotations

from typing import Any

from headwater.core.finding import Finding, Severity
from headwater.numerics.maximize import Fit

__all__ = ["fit_findings"]


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
