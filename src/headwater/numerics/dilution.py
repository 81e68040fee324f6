"""Effects on those a treatment can touch, diluted to everyone (Deng et al. 2021, arXiv 2112.13299; Kohavi, Tang and Xu 2020, chapter 20).

With r the share of triggered users, m_a their means in arm a and m_0 the means of all others, whom no arm can touch,
everyone's means in arm a are ``r m_a + (1 - r) m_0``: the others are estimated once, from all arms together.
"""

from __future__ import annotations

import numpy as np

from headwater.numerics.adjusted import AdjustedMeans
from headwater.numerics.moments import Moments

__all__ = ["diluted_means"]


def diluted_means(triggered: AdjustedMeans, others: Moments, *, n_triggered: float) -> AdjustedMeans:
    """Everyone's means in each arm, with their covariance.

    Parameters
    ----------
    triggered
        Means of c outcomes of triggered users by arm.
    others
        Moments of the same outcomes of all other users, whatever their arm, as one group; two or more.
    n_triggered
        How many users were triggered, in all arms.
    """
    n_others = float(others.n[0])
    n = n_triggered + n_others
    r = n_triggered / n
    beside, own = others.mean[0], others.covariance()[0] / n_others
    away = triggered.means - beside
    of_share = r * (1 - r) / n * np.einsum("ia,jb->ijab", away, away)
    covariance = r * r * triggered.covariance + (1 - r) ** 2 * own + of_share
    return AdjustedMeans(means=r * triggered.means + (1 - r) * beside, covariance=covariance, df=triggered.df)
