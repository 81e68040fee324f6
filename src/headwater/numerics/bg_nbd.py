"""BG/NBD: how many purchases a customer makes who may drop out, unseen, after any repeat purchase.

Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2). While alive a
customer buys at rate lambda ~ Gamma(r, alpha); after each repeat purchase he drops out with probability
p ~ Beta(a, b). One phase a gap, no chance to leave at the first purchase: see ``beta_geometric``.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.numerics.beta_geometric import BetaGeometricParams, fit_family, log_likelihood
from headwater.numerics.beta_geometric_future import (
    draw_future_purchases,
    expected_for_new,
    expected_purchases,
    p_alive,
    probability_of_any_purchase,
    purchase_variance,
    simulate,
)
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows

__all__ = [
    "BgNbdParams",
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "fit",
    "log_likelihood",
    "p_alive",
    "probability_of_any_purchase",
    "purchase_variance",
    "simulate",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BgNbdParams(BetaGeometricParams):
    """``r, alpha``: Gamma shape and rate of buying, alpha in units of time; ``a, b``: Beta of dropout."""


def fit(rows: RfmRows, *, start: BgNbdParams | None = None) -> Fit[BgNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    return fit_family(rows, like=BgNbdParams(r=1.0, alpha=1.0, a=1.0, b=1.0), start=start)
