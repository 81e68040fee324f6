"""BG/NBD: how many purchases a customer makes who may drop out, unseen, after any repeat purchase.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2). While alive a
customer buys at rate lambda ~ Gamma(r, alpha); after each repeat purchase he drops out with probability
p ~ Beta(a, b). One phase a gap, no chance to leave at the first purchase: see ``beta_geometric``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwater.numerics.beta_geometric import (
    BetaGeometricParams,
    Family,
    evaluate,
    fit_family,
    log_likelihood,
)
from headwater.numerics.beta_geometric_future import (
    draw_future_purchases,
    expected_for_new,
    expected_purchases,
    p_alive,
    probability_of_any_purchase,
    purchase_variance,
    simulate,
)
from headwater.numerics.maximize import Evaluation, Fit, Objective, in_logs
from headwater.numerics.rfm import Floats, RfmRows

__all__ = [
    "BgNbdParams",
    "by_logs",
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "fit",
    "log_likelihood",
    "p_alive",
    "probability_of_any_purchase",
    "purchase_variance",
    "simulate",
    "slopes_by_time",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BgNbdParams(BetaGeometricParams):
    """``r, alpha``: Gamma shape and rate of buying, alpha in units of time; ``a, b``: Beta of dropout."""


def fit(rows: RfmRows, *, start: BgNbdParams | None = None) -> Fit[BgNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    return fit_family(rows, like=BgNbdParams(r=1.0, alpha=1.0, a=1.0, b=1.0), start=start)


def by_logs(rows: RfmRows) -> Objective:
    """The log-likelihood of rows with its derivatives, by the logarithms of the parameters in written order."""
    family = Family.of(rows, like=BgNbdParams(r=1.0, alpha=1.0, a=1.0, b=1.0))

    def objective(logs: Floats) -> Evaluation:
        point = np.exp(logs)
        return in_logs(evaluate(point, family=family), at=point)

    return objective


def slopes_by_time(params: BgNbdParams, *, rows: RfmRows) -> tuple[Floats, Floats]:
    """Derivatives of each row's log-likelihood by ``t_x`` and by ``T``, ``(n,)`` each; never positive."""
    dead = np.where(rows.x > 0, 1 - p_alive(params, x=rows.x, t_x=rows.t_x, T=rows.T), 0.0)
    power = params.r + rows.x
    return -power * dead / (params.alpha + rows.t_x), -power * (1 - dead) / (params.alpha + rows.T)
