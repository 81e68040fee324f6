"""Arms compared by drawing their users again."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS, SmoothKind
from headwater.effects.metric import Metric
from headwater.effects.user_rows import rows_of
from headwater.numerics.effect import ArmEstimate
from headwater.numerics.moments import of_rows
from headwater.numerics.quantile_effect import bound_ranks
from headwater.numerics.redrawn import redrawn

__all__ = ["Bootstrap"]

_SEED = 20_262
_RESAMPLES = 1000


class Bootstrap:
    """Compares any metric by the spread of its values over users drawn with replacement: a check on the formulas."""

    about: ClassVar[str] = (
        "errors by drawing each arm's users again; a check on the formulas of other methods"
    )

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms; their errors are standard deviations over resamples."""
        rows = rows_of(metric, gathered, arms=(control, arm))
        if isinstance(rows, Finding):
            return rows
        kind = METRIC_KINDS.load(metric.kind)()
        rng = np.random.default_rng(_SEED)
        found: list[ArmEstimate] = []
        for name, own in zip((control, arm), rows, strict=True):
            if isinstance(kind, SmoothKind):
                for finding in kind.findings(metric, of_rows(own), arm=name):
                    if finding.severity is Severity.BLOCK:
                        return finding
                values = redrawn(own, resamples=_RESAMPLES, rng=rng, value=kind.value)
                value = kind.value(own.mean(axis=0))
            else:
                share = 0.5 if metric.share is None else metric.share
                values = redrawn(own, resamples=_RESAMPLES, rng=rng, share=share)
                value = float(np.sort(own[:, 0])[bound_ranks(len(own), share)[1] - 1])
            variance = float(values.var(ddof=1)) * len(own) / (len(own) - 1)
            found.append(
                ArmEstimate(value=value, variance=variance, df=float(len(own) - 1), n=float(len(own)))
            )
        return Compared(
            control=found[0], arm=found[1], covariance=0.0, method=f"bootstrap ({_RESAMPLES} resamples)"
        )
