"""Which comes first after the last purchase seen, the end of the customer or his next purchase?

The likelihood of a customer who may leave at any moment is the sum of two positive terms, so that nothing cancels:
he left after ``t_x``, before any purchase; or he bought next, after ``T``. The first depends on (x, t_x) only,
the second on (x, T) only: a million customers need a few thousand of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwater.numerics.maximize import Evaluation
from headwater.numerics.quadrature import LogTail, chunks
from headwater.numerics.rfm import Floats, Ints, RfmRows, distinct_pairs, dot, totals

__all__ = ["PairedRows", "mix"]

_ROWS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedRows:
    """Rows as indices into the distinct pairs (x, t_x), ``last``, and (x, T), ``age``."""

    users_by_x: Floats
    last: tuple[Floats, Floats]
    age: tuple[Floats, Floats]
    which_last: Ints
    which_age: Ints
    weights: Floats

    @classmethod
    def of(cls, rows: RfmRows) -> PairedRows:
        """Find the distinct pairs."""
        last, which_last = distinct_pairs(rows.x, rows.t_x)
        age, which_age = distinct_pairs(rows.x, rows.T)
        return cls(
            users_by_x=totals(rows.x.astype(np.int64), rows.weights),
            last=last,
            age=age,
            which_last=which_last,
            which_age=which_age,
            weights=rows.weights,
        )


def mix(ended: LogTail, bought: LogTail, *, rows: PairedRows) -> Evaluation:
    """Sum over rows of log(e^ended + e^bought) with derivatives; the terms are given by pair of ``last`` and ``age``."""
    k = ended.gradient.shape[0]
    value = 0.0
    by_last, by_age = np.zeros_like(ended.value), np.zeros_like(bought.value)
    hessian = np.zeros((k, k))
    for part in chunks(rows.weights.size, size=_ROWS):
        last, age, weight = rows.which_last[part], rows.which_age[part], rows.weights[part]
        log_ended, log_bought = ended.value[last], bought.value[age]
        both = np.logaddexp(log_ended, log_bought)
        value += dot(weight, both)
        gone = np.exp(log_ended - both)
        stayed = np.exp(log_bought - both)
        by_last += totals(last, weight * gone, size=by_last.size)
        by_age += totals(age, weight * stayed, size=by_age.size)
        gap = ended.gradient[:, last] - bought.gradient[:, age]
        hessian += np.einsum("in,jn->ij", gap * (weight * gone * stayed), gap)
    gradient = np.zeros(k)
    for tail, weight in ((ended, by_last), (bought, by_age)):
        gradient += np.einsum("in,n->i", tail.gradient, weight)
        hessian += np.einsum("ijn,n->ij", tail.hessian, weight)
    return Evaluation(value=value, gradient=gradient, hessian=hessian)
