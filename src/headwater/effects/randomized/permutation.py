"""Arms compared by permuting who was in which."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy import special

from headwater.core.finding import Finding, Severity
from headwater.effects.by_arm import pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric
from headwater.effects.user_rows import rows_of
from headwater.numerics.permutation import Permuted, permutation_test

__all__ = ["Permutation"]

_SEED = 20_261
_LEVEL = 0.95


class Permutation:
    """Compares means, shares and ratios; how far an interval reaches is what permuted assignments reach."""

    about: ClassVar[str] = (
        "the studentized difference under permuted assignments; for few users, clusters or events"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms as Welch does, with errors such that a 95% interval reaches as far as permutations do."""
        pair = pair_of(metric, gathered, control=control, arm=arm)
        if isinstance(pair, Finding):
            return pair
        plain = pair.without_covariates().compared("permutation")
        if isinstance(plain, Finding):
            return plain
        rows = rows_of(metric, gathered, arms=(control, arm))
        if isinstance(rows, Finding):
            return rows
        found = permutation_test(
            *rows,
            value=pair.kind.value,
            gradient=pair.kind.gradient,
            rng=np.random.default_rng(_SEED),
            level=_LEVEL,
        )
        return plain if found is None else _calibrated(plain, found, metric)


def _calibrated(plain: Compared, found: Permuted, metric: Metric) -> Compared:
    """Errors that normal distributions would need to reach as far."""
    wider = (found.critical / float(special.ndtri((1 + _LEVEL) / 2))) ** 2
    control, arm = (
        replace(side, variance=side.variance * wider, df=np.inf) for side in (plain.control, plain.arm)
    )
    how = "all" if found.is_exact else "random"
    return replace(
        plain,
        control=control,
        arm=arm,
        method=f"permutation ({found.n_assignments} {how} assignments)",
        findings=(*plain.findings, _p_note(metric, found)),
    )


def _p_note(metric: Metric, found: Permuted) -> Finding:
    return Finding(
        code="permutation.p_value",
        severity=Severity.NOTE,
        what=f"{metric.name}: a share of {found.p_value:.4g} of {found.n_assignments} assignments moves the arms as far apart.",
        why="It is the p-value by permutation; the one beside the interval is that of an error stretched to agree with it at 5%.",
        do="Go by this one where the two differ.",
        numbers={"p_value": found.p_value, "n_assignments": found.n_assignments},
    )
