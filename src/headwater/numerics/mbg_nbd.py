"""MBG/NBD: BG/NBD whose customers may also drop out right after their first purchase.

Batislam, Denizel & Filiztekin (2007), Empirical Validation and Comparison of Models for Customer Base Analysis,
International Journal of Research in Marketing 24(3). One phase a gap, the first purchase is a chance to leave too:
see ``beta_geometric``.
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
    "MbgNbdParams",
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
class MbgNbdParams(BetaGeometricParams):
    """``r, alpha``: Gamma shape and rate of buying, alpha in units of time; ``a, b``: Beta of dropout."""

    @property
    def at_first(self) -> int:
        """The first purchase is a chance to leave."""
        return 1


def fit(rows: RfmRows, *, start: MbgNbdParams | None = None) -> Fit[MbgNbdParams]:
    """Maximum-likelihood estimates, the same in any unit of time; ``Fit`` says how to read the diagnosis.

    ``start`` is where the climb begins, such as the estimate of a bootstrap; without it, at moments.
    """
    return fit_family(rows, like=MbgNbdParams(r=1.0, alpha=1.0, a=1.0, b=1.0), start=start)
