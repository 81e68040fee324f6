"""How much groups truly differ, when each was measured with an error that is known."""

from __future__ import annotations

from headwater.numerics.rfm import Floats

__all__ = ["variance_between"]


def variance_between(values: Floats, *, variances: Floats) -> tuple[float, float]:
    """Variance of the true values, at least 0, and their mean, by moments (DerSimonian & Laird 1986).

    Parameters
    ----------
    values, variances
        One measured value a group and the variance of its error, ``(n_groups,)``.
    """
    weight = 1 / variances
    total = float(weight.sum())
    mean = float((weight * values).sum() / total)
    excess = float((weight * (values - mean) ** 2).sum()) - (values.size - 1)
    scale = total - float((weight**2).sum()) / total
    between = max(0.0, excess / scale) if scale > 0 else 0.0
    again = 1 / (variances + between)
    return between, float((again * values).sum() / again.sum())
