"""MBG/CNBD-k: regular buyers who may drop out after any purchase, the first one included.

Reutterer, Platzer & Schroeder (2021), Leveraging purchase regularity for predicting customer behavior the easy
way, International Journal of Research in Marketing 38(1). Gaps are Erlang-k: k = 1 is MBG/NBD, a larger k is a
steadier rhythm. See ``beta_geometric``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from headwater.numerics.beta_geometric import BetaGeometricParams, fit_family, log_likelihood
from headwater.numerics.beta_geometric_future import (
    draw_future_purchases,
    expected_for_new,
    expected_purchases,
    p_alive,
    probability_of_any_purchase,
    simulate,
)
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows

__all__ = [
    "LARGEST_K",
    "MbgCnbdKParams",
    "draw_future_purchases",
    "expected_for_new",
    "expected_purchases",
    "fit",
    "log_likelihood",
    "p_alive",
    "probability_of_any_purchase",
    "simulate",
]

LARGEST_K: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class MbgCnbdKParams(BetaGeometricParams):
    """``k`` phases a gap, each at a rate with Gamma shape and rate ``r, alpha``; ``a, b``: Beta of dropout.

    A customer of rate lambda buys every k/lambda: with k = 3, alpha/r is a third of the usual gap.
    """

    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", int(self.k))

    @property
    def phases(self) -> int:
        """Exponential phases of a gap between purchases."""
        return self.k

    @property
    def at_first(self) -> int:
        """The first purchase is a chance to leave."""
        return 1


def fit(
    rows: RfmRows, *, k: int | None = None, start: MbgCnbdKParams | None = None, largest_k: int = LARGEST_K
) -> Fit[MbgCnbdKParams]:
    """Maximum-likelihood estimates at ``k``, or at the k of ``start`` (where the climb then begins), or at the best k.

    The best k is the first at which the likelihood of (x, t_x) stops rising: how often a customer came and when last.
    The single gaps are not needed (given k and t_x they say nothing of the other parameters), though with them k would
    be known better. Standard errors take k as known.
    """
    if k is not None or start is not None:
        return _fit_at(rows, k=start.k if k is None and start is not None else k or 1, start=start)
    best = _fit_at(rows, k=1)
    for more in range(2, largest_k + 1):
        next_one = _fit_at(rows, k=more, start=best.params)
        if next_one.log_likelihood <= best.log_likelihood:
            break
        best = next_one
    return best


def _fit_at(rows: RfmRows, *, k: int, start: MbgCnbdKParams | None = None) -> Fit[MbgCnbdKParams]:
    """The fit at one k; from another k's estimate with phases as much faster as there are more of them."""
    like = MbgCnbdKParams(r=1.0, alpha=1.0, a=1.0, b=1.0, k=k)
    moved = None if start is None else replace(start.rescale(start.k / k), k=k)
    return fit_family(rows, like=like, start=moved)
