"""Which method serves a metric, by what it declares and what the data have."""

from __future__ import annotations

from headwater.core.finding import Finding, Severity
from headwater.effects.by_arm import shares_move
from headwater.effects.compared import RANDOMIZED, Method
from headwater.effects.facts import UNITS_ARE_CLUSTERS
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.effects.triggered import is_triggered_analysis

__all__ = ["PREDICTED", "method_for", "method_name"]

PREDICTED = "predicted_"
"""How a column begins that holds what a model, fitted to other users, expected of a user."""


def method_for(metric: Metric, gathered: Gathered) -> Method | Finding:
    """The method; a blocking finding where nothing was gathered of the metric."""
    if metric.name not in gathered.metrics:
        return Finding(
            code="metric.not_gathered",
            severity=Severity.BLOCK,
            what=f"Nothing was gathered of {metric.name}.",
            why="Without moments or order statistics there is nothing to compare.",
            do="Gather the users again with this metric among the plan's.",
        )
    return RANDOMIZED.load(method_name(metric, gathered))()


def method_name(metric: Metric, gathered: Gathered) -> str:
    """The name of the method on the shelf ``effects/randomized``: the one a metric names, or else the one that fits.

    Clusters come first: rows that were randomized together must not be taken apart. Then strata, and days where a
    staged roll-out moved the shares of the arms (covariates go along; of a triggered experiment the strata say whom it could touch); then covariates; else the kind's own.
    """
    if metric.method is not None:
        return metric.method
    kind = METRIC_KINDS.load(metric.kind)()
    if not isinstance(kind, SmoothKind):
        return kind.method
    if gathered.facts.get(UNITS_ARE_CLUSTERS):
        return "cluster_robust"
    if len({group.stratum for group in gathered.groups}) > 1 or shares_move(gathered):
        return "diluted" if is_triggered_analysis(gathered) else "post_stratified"
    covariates = gathered.metrics[metric.name].columns[len(kind.columns(metric)) :]
    if any(covariate.startswith(PREDICTED) for covariate in covariates):
        return "ml_covariate"
    return "cuped" if covariates else kind.method
