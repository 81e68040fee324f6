"""Which method serves a metric."""

from dataclasses import replace

import numpy as np
import pytest

from headwater.core.finding import Finding
from headwater.effects.choose_method import method_for, method_name
from headwater.effects.facts import UNITS_ARE_CLUSTERS
from headwater.effects.gathered import Group
from headwater.effects.metric import Metric

PLAIN = Metric(name="m", outcome="y")


def _rows(k: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {arm: rng.normal(size=(50, k)) for arm in "ab"}


@pytest.mark.parametrize(
    ("metric", "columns", "chosen"),
    [
        (PLAIN, ("y",), "welch"),
        (Metric(name="m", kind="proportion", outcome="y"), ("y",), "welch"),
        (Metric(name="m", kind="ratio", outcome="y", over="d"), ("y", "d"), "welch"),
        (replace(PLAIN, covariates=("x",)), ("y", "x"), "cuped"),
        (replace(PLAIN, covariates=("x", "predicted_m")), ("y", "x", "predicted_m"), "ml_covariate"),
        (Metric(name="m", kind="quantile", outcome="y", share=0.5), ("y",), "order_statistics"),
    ],
)
def test_by_what_the_metric_declares(gathered_of, metric: Metric, columns, chosen: str):
    assert method_name(metric, gathered_of(_rows(len(columns)), columns=columns)) == chosen


def test_strata_clusters_and_a_staged_roll_out(gathered_of):
    rows = _rows(1)
    strata = {(arm, s): r for arm, r in rows.items() for s in "uv"}
    assert method_name(PLAIN, gathered_of(strata)) == "post_stratified"
    gathered = gathered_of(rows)
    assert method_name(PLAIN, replace(gathered, facts={UNITS_ARE_CLUSTERS: 1})) == "cluster_robust"
    staged = gathered_of(
        {("a", "0"): rows["a"], ("a", "1"): rows["a"][:5], ("b", "0"): rows["b"][:5], ("b", "1"): rows["b"]}
    )
    by_day = replace(staged, groups=tuple(Group(arm=g.arm, day=int(g.stratum)) for g in staged.groups))
    assert method_name(PLAIN, by_day) == "post_stratified"


def test_a_metric_that_was_not_gathered_is_refused(gathered_of):
    found = method_for(Metric(name="other", outcome="y"), gathered_of(_rows(1)))
    assert isinstance(found, Finding)
    assert found.code == "metric.not_gathered"
