"""Clusters as the units: what was randomized as a whole is one row."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.by_arm import ArmPair, pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric
from headwater.numerics.clusters import effective_clusters
from headwater.numerics.effect import ArmEstimate

__all__ = ["ClusterRobust"]

_FEW = 20  # clusters' worth in an arm below which t intervals are known to be too short (Cameron and Miller 2015)


class ClusterRobust:
    """Compares ratios of cluster totals, with degrees of freedom by how many equal clusters they are worth."""

    about: ClassVar[str] = (
        "clusters as units, totals over sizes, degrees of freedom by their effective number"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms of units that are clusters; a ratio is over what a cluster's size is."""
        pair = pair_of(metric, gathered, control=control, arm=arm)
        if isinstance(pair, Finding):
            return pair
        found = pair.compared("cluster-robust")
        if isinstance(found, Finding):
            return found
        worth = [_worth(pair, i) for i in (0, 1)]
        few = [_few(metric, pair.names[i], worth[i]) for i in (0, 1) if worth[i] < _FEW]
        return replace(
            found,
            control=_with_df(found.control, worth[0]),
            arm=_with_df(found.arm, worth[1]),
            findings=(*found.findings, *few),
        )


def _worth(pair: ArmPair, i: int) -> float:
    """Of a ratio by the sizes it is over; all clusters count alike in a mean."""
    whole = pair.moments[i].pooled()
    if pair.n_outcomes < 2:
        return float(whole.n[0])
    return effective_clusters(
        float(whole.n[0]),
        mean_size=float(whole.mean[0, 1]),
        size_variance=float(whole.covariance()[0, 1, 1]),
    )


def _with_df(estimate: ArmEstimate, worth: float) -> ArmEstimate:
    return replace(estimate, df=max(1.0, estimate.df - (estimate.n - worth)))


def _few(metric: Metric, arm: str, worth: float) -> Finding:
    return Finding(
        code="clusters.few",
        severity=Severity.WARN,
        what=f"{metric.name}: the clusters of arm {arm} are worth {worth:.1f} of equal size.",
        why=f"Below {_FEW} the error itself is uncertain, and intervals are too short however it is worked out.",
        do="Read it by the method permutation, or randomize more and smaller clusters.",
        numbers={"effective_clusters": worth},
    )
