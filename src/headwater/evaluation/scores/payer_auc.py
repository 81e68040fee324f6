"""Payer AUC: how well the prediction tells users who paid from users who did not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.evaluation.scored import (
    Better,
    Floats,
    ScoredUsers,
    Weights,
    predicted_ranks,
    ratio,
    resampled,
)

__all__ = ["PayerAuc"]


class PayerAuc:
    """Probability that a payer is predicted above a non-payer, a tie counting half.

    A payer has purchases above zero where they are known, else an outcome above zero: a user whose refunds
    outweigh purchases is then no payer.
    """

    about: ClassVar[str] = "How often a user who paid was predicted above one who did not."
    better: ClassVar[Better] = Better.HIGHER
    unit: ClassVar[str] = "probability"

    def refuse(self, sample: ScoredUsers) -> Finding | None:
        """``score.one_class`` where nobody or everybody paid."""
        n_payers = int(sample.payers.sum())
        if 0 < n_payers < sample.n_users:
            return None
        return Finding(
            code="score.one_class",
            severity=Severity.BLOCK,
            what=f"{n_payers:,} of {sample.n_users:,} users paid.",
            why="There is no pair of a payer and a non-payer to compare.",
            do="Take a different horizon or more users.",
            numbers={"n_payers": n_payers, "n_users": sample.n_users},
        )

    def value(self, sample: ScoredUsers, weights: Weights | None = None) -> Floats:
        """The probability on each resample, shape (resamples,)."""
        return resampled(sample, weights=weights, one=_auc)


def _auc(sample: ScoredUsers, weights: Floats) -> Floats:
    ranks, _ = predicted_ranks(sample, weights)
    paid = weights * sample.payers
    n_payers = paid.sum(axis=1)
    n_others = weights.sum(axis=1) - n_payers
    above = np.einsum("bi,bi->b", paid, np.take(ranks, sample.by_predicted.block, axis=1))
    return ratio(above, n_payers * n_others) + 0.5
