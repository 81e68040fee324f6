"""The effect on everyone, by way of those a treatment can touch."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.finding import Finding, Severity
from headwater.effects.by_arm import pair_of
from headwater.effects.compared import Compared
from headwater.effects.gathered import Gathered
from headwater.effects.metric import Metric
from headwater.effects.triggered import is_triggered_analysis, triggered_part, untriggered_part
from headwater.numerics.adjusted import adjusted_means
from headwater.numerics.dilution import diluted_means
from headwater.numerics.effect import ArmEstimate

__all__ = ["Diluted"]


class Diluted:
    """Compares triggered users, with covariates where there are some, and weighs them with all others, who cannot differ."""

    about: ClassVar[str] = "the effect on triggered users, diluted to everyone"

    def compare(self, metric: Metric, gathered: Gathered, *, control: str, arm: str) -> Compared | Finding:
        """Estimate both arms over all users; the others are taken from all arms together."""
        if not is_triggered_analysis(gathered):
            return _unmarked(metric)
        pair = pair_of(metric, triggered_part(gathered), control=control, arm=arm)
        if isinstance(pair, Finding):
            return pair
        own = range(pair.n_outcomes)
        others = untriggered_part(gathered).metrics[metric.name].moments.pooled().columns(own)
        n_triggered = float(pair.everyone.n.sum())
        among = adjusted_means(pair.moments, pair.everyone, n_outcomes=pair.n_outcomes)
        found = diluted_means(among, others, n_triggered=n_triggered)
        slopes = [pair.kind.gradient(mean) for mean in found.means]
        estimates = [
            ArmEstimate(
                value=pair.kind.value(found.means[i]),
                variance=float(slopes[i] @ found.covariance[i, i] @ slopes[i]),
                df=float(found.df[i]),
                n=float(pair.moments[i].n.sum()),
            )
            for i in (0, 1)
        ]
        share = n_triggered / (n_triggered + float(others.n[0]))
        return Compared(
            control=estimates[0],
            arm=estimates[1],
            covariance=float(slopes[0] @ found.covariance[0, 1] @ slopes[1]),
            method=f"triggered, diluted to everyone ({share:.1%} triggered)",
            findings=pair.findings,
        )


def _unmarked(metric: Metric) -> Finding:
    return Finding(
        code="trigger.unmarked",
        severity=Severity.BLOCK,
        what=f"{metric.name}: the users are not told apart into triggered and others.",
        why="An effect can be diluted only where it is known whom the treatment could touch.",
        do='Declare a trigger, such as trigger = "would_differ == 1".',
    )
