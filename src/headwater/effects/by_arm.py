"""The moments of a metric by arm and stratum, and two arms compared through adjusted means."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding, Severity
from headwater.effects.compared import Compared
from headwater.effects.facts import UNITS_ARE_CLUSTERS
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.numerics.adjusted import AdjustedMeans, adjusted_means
from headwater.numerics.effect import ArmEstimate
from headwater.numerics.moments import Moments
from headwater.numerics.sample_ratio import homogeneity

__all__ = ["ArmPair", "counted", "pair_of", "shares_move"]

_LEAST_IN_STRATUM = 2  # fewer show no spread
_ROUNDING = 1e-9
_MOVED = 0.001


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmPair:
    """Two arms of a metric: ``moments`` of control and arm, and those of ``everyone``, one group for each stratum.

    The first ``n_outcomes`` columns are the kind's own, the others covariates.
    """

    kind: SmoothKind
    metric: Metric
    names: tuple[str, str]
    moments: tuple[Moments, Moments]
    everyone: Moments
    n_outcomes: int
    findings: tuple[Finding, ...] = ()

    @property
    def n_covariates(self) -> int:
        """How many covariates there are."""
        return self.everyone.mean.shape[1] - self.n_outcomes

    @property
    def n_strata(self) -> int:
        """How many strata are kept apart."""
        return self.everyone.n_groups

    def without_covariates(self) -> ArmPair:
        """The same arms by the outcome alone."""
        own = range(self.n_outcomes)
        control, arm = (m.columns(own) for m in self.moments)
        return replace(self, moments=(control, arm), everyone=self.everyone.columns(own))

    def compared(self, method: str) -> Compared | Finding:
        """The metric of the adjusted means, with the share of the variance that adjusting took away."""
        n_needed = self.n_strata + self.n_covariates + 1
        for name, moments in zip(self.names, self.moments, strict=True):
            if moments.n.sum() < n_needed:
                return _few(self.metric, name, n=int(moments.n.sum()), needed=n_needed)
        found = adjusted_means(self.moments, self.everyone, n_outcomes=self.n_outcomes)
        (control, arm), covariance = self._estimates(found)
        return Compared(
            control=control,
            arm=arm,
            covariance=covariance,
            method=method,
            variance_removed=self._removed(control.variance + arm.variance - 2 * covariance),
            findings=self.findings,
        )

    def _estimates(self, found: AdjustedMeans) -> tuple[tuple[ArmEstimate, ArmEstimate], float]:
        slopes = [self.kind.gradient(mean) for mean in found.means]
        control, arm = (
            ArmEstimate(
                value=self.kind.value(found.means[i]),
                variance=float(slopes[i] @ found.covariance[i, i] @ slopes[i]),
                df=float(found.df[i]),
                n=float(self.moments[i].n.sum()),
            )
            for i in (0, 1)
        )
        return (control, arm), float(slopes[0] @ found.covariance[0, 1] @ slopes[1])

    def _removed(self, variance: float) -> float | None:
        if self.n_strata == 1 and self.n_covariates == 0:
            return None
        control, arm = (m.pooled() for m in self.without_covariates().moments)
        plain = replace(self.without_covariates(), moments=(control, arm), everyone=control)
        found = adjusted_means(plain.moments, plain.everyone, n_outcomes=self.n_outcomes)
        before = sum(estimate.variance for estimate in plain._estimates(found)[0])
        return 1 - variance / before if before > 0 else None


def pair_of(
    metric: Metric, gathered: Gathered, *, control: str, arm: str, stratified: bool = False
) -> ArmPair | Finding:
    """What a metric has of two arms; a blocking finding where the metric cannot be known in one of them."""
    state = gathered.metrics[metric.name]
    if gathered.facts.get(UNITS_ARE_CLUSTERS) and metric.over is None:
        metric = replace(metric, kind="ratio", over=state.columns[1])
    kind = METRIC_KINDS.load(metric.kind)()
    if not isinstance(kind, SmoothKind):
        return _unfit(metric)
    arms = tuple(dict.fromkeys(group.arm for group in gathered.groups))
    stratum_of = _strata(gathered) if stratified else ["" for _ in gathered.groups]
    strata = tuple(sorted(set(stratum_of)))
    place = {(a, s): i * len(strata) + j for i, a in enumerate(arms) for j, s in enumerate(strata)}
    cells = state.moments.merged(
        [place[g.arm, s] for g, s in zip(gathered.groups, stratum_of, strict=True)], len(place)
    )
    moments = {
        a: cells.of(np.arange(i * len(strata), (i + 1) * len(strata), dtype=np.intp))
        for i, a in enumerate(arms)
    }
    own = range(len(kind.columns(metric)))
    findings: list[Finding] = []
    for name in (control, arm):
        known = moments[name].columns(own) if name in moments else _nobody(len(own))
        if _is_impossible(known):
            return _impossible(metric, name)
        findings.extend(kind.findings(metric, known, arm=name))
    blocking = [f for f in findings if f.severity is Severity.BLOCK]
    if blocking:
        return blocking[0]
    labels = _joined_strata(np.stack([moments[control].n, moments[arm].n]))
    n_kept = int(labels.max()) + 1
    return ArmPair(
        kind=kind,
        metric=metric,
        names=(control, arm),
        moments=(moments[control].merged(labels, n_kept), moments[arm].merged(labels, n_kept)),
        everyone=cells.merged(np.tile(labels, len(arms)), n_kept),
        n_outcomes=len(own),
        findings=tuple(findings),
    )


def counted(n: int, one: str, many: str) -> str:
    """How many of what.

    >>> counted(1, "stratum", "strata"), counted(3, "stratum", "strata")
    ('1 stratum', '3 strata')
    """
    return f"{n} {one if n == 1 else many}"


def shares_move(gathered: Gathered) -> bool:
    """Whether the shares of the arms differ between days of exposure by more than chance (chi-square, 1 in 1000)."""
    arms = {a: i for i, a in enumerate(dict.fromkeys(g.arm for g in gathered.groups))}
    days = {d: i for i, d in enumerate(dict.fromkeys(g.day for g in gathered.groups))}
    counts = np.zeros((len(days), len(arms)), dtype=np.int64)
    for group, n in zip(gathered.groups, gathered.n_users, strict=True):
        counts[days[group.day], arms[group.arm]] += n
    return homogeneity(counts[counts.sum(axis=1) > 0])[1] < _MOVED


def _strata(gathered: Gathered) -> list[str]:
    """The stratum of each group: where shares of arms moved, that of its day too."""
    if not shares_move(gathered):
        return [g.stratum for g in gathered.groups]
    return [f"{g.stratum} {g.day}" for g in gathered.groups]


def _joined_strata(n: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which stratum each becomes: those too thin in one of two arms, of ``n`` (2, strata), are joined to one, with the next smallest where need be."""
    order = np.argsort(n.min(axis=0), kind="stable")
    thin = n[:, order].min(axis=0) < _LEAST_IN_STRATUM
    n_joined = int(thin.sum())
    while 0 < n_joined < order.size and n[:, order[:n_joined]].sum(axis=1).min() < _LEAST_IN_STRATUM:
        n_joined += 1
    labels = np.empty(order.size, dtype=np.intp)
    labels[order] = np.maximum(np.arange(order.size) - max(n_joined - 1, 0), 0)
    return labels


def _is_impossible(moments: Moments) -> bool:
    spread = np.diagonal(moments.scatter, axis1=1, axis2=2)
    return bool((spread < -_ROUNDING * moments.n[:, None] * moments.mean**2).any())


def _nobody(k: int) -> Moments:
    return Moments(n=np.zeros(1), mean=np.zeros((1, k)), scatter=np.zeros((1, k, k)))


def _few(metric: Metric, arm: str, *, n: int, needed: int) -> Finding:
    return Finding(
        code="metric.too_few_users",
        severity=Severity.BLOCK,
        what=f"{metric.name}: {n} users of arm {arm} have an outcome; with these covariates and strata {needed} are needed.",
        why="A regression with as many terms as users fits them exactly and leaves no error to see.",
        do="Wait for more users, or name fewer covariates and strata.",
        numbers={"n_users": n, "n_needed": needed},
    )


def _impossible(metric: Metric, arm: str) -> Finding:
    return Finding(
        code="metric.impossible",
        severity=Severity.BLOCK,
        what=f"{metric.name}: the squares of arm {arm} add up to less than its mean alone demands.",
        why="No users can have such sums: they lost their digits, or belong to different users.",
        do="Look where the sums come from, and give centered moments or the users' rows.",
    )


def _unfit(metric: Metric) -> Finding:
    return Finding(
        code="method.unfit",
        severity=Severity.BLOCK,
        what=f"{metric.name} is of the kind {metric.kind}, which is no function of means.",
        why="A method by means has nothing to go by.",
        do="Leave the method to Headwater, which takes one that serves the kind.",
    )
