"""Facts of ``Gathered.facts``: what is counted of an arm beside the moments, keyed by its name and the arm's.

Whoever gathers writes those that the log tells; a check whose facts are missing says that it cannot run.
"""

from __future__ import annotations

from headwater.effects.gathered import Gathered

__all__ = [
    "N_ASSIGNED",
    "N_CROSSED",
    "N_DELAYED",
    "N_ELSEWHERE",
    "PRIOR_SD",
    "SKEWNESS",
    "STRATA_ARE_CLUSTERS",
    "UNITS_ARE_CLUSTERS",
    "fact_key",
    "fact_of",
]

N_ASSIGNED = "n_assigned"  # users of an arm, triggered or not; of a triggered analysis only
N_CROSSED = "n_crossed"  # users who met an arm first and another one too; they are left out of the users
N_DELAYED = "n_delayed"  # users of an arm whose first exposure became known on a later app day
N_ELSEWHERE = (
    "n_elsewhere"  # with "/<earlier arm>": users of an arm who had met an arm of another experiment before
)
PRIOR_SD = "prior_sd"  # by metric: standard deviation of relative effects in past experiments
SKEWNESS = "skewness"  # by metric: of the outcome, over all arms
STRATA_ARE_CLUSTERS = "strata_are_clusters"  # 1 where strata are groups of users who know each other
UNITS_ARE_CLUSTERS = (
    "units_are_clusters"  # 1 where a unit is a group of users randomized as a whole, its rows added up
)


def fact_key(name: str, of: str) -> str:
    """The key of a fact about an arm or a metric.

    >>> fact_key(N_CROSSED, "control")
    'n_crossed/control'
    """
    return f"{name}/{of}"


def fact_of(gathered: Gathered, name: str, of: str) -> float | None:
    """A fact about an arm or a metric; None where it was not gathered."""
    return gathered.facts.get(fact_key(name, of))
