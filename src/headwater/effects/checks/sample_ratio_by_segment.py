"""Sample ratio by segment: in every segment arms got the shares of users that were planned."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from headwater.core.finding import Finding, Severity
from headwater.effects.check import LEVEL
from headwater.effects.checks._counts import arms_text, counts_by
from headwater.effects.gathered import Gathered
from headwater.effects.plan import Plan
from headwater.effects.scorecard import CheckResult

__all__ = ["SampleRatioBySegment"]


class SampleRatioBySegment:
    """Users of each segment (stratum), of each arm, against the planned shares."""

    about: ClassVar[str] = "arms got their shares in every segment"
    shows_effects: ClassVar[bool] = False

    def check(self, plan: Plan, gathered: Gathered) -> CheckResult:
        """Blocks where a segment fails at p < .001, over the segments by Bonferroni."""
        name = "sample_ratio_by_segment"
        segments = counts_by(plan, gathered, is_day=False)
        if segments is None:
            return CheckResult(name=name, about="fewer than two segments with enough users", ran=False)
        p = segments.p_least
        about = f"{len(segments.parts)} segments, the least even p = {p:.2g} (by Bonferroni)"
        if p < LEVEL and segments.follows(plan):
            about = f"{about}, in every segment about as over all: see sample_ratio"
            return CheckResult(name=name, about=about, ran=True, p_value=p)
        if p >= LEVEL:
            return CheckResult(name=name, about=about, ran=True, p_value=p)
        worst = int(np.argmin(segments.p))
        uneven = [one for one, q in zip(segments.parts, segments.p_adjusted, strict=True) if q < LEVEL]
        finding = Finding(
            code="srm.segment",
            severity=Severity.BLOCK,
            what=(
                f"In {len(uneven)} of {len(segments.parts)} segments arms did not get their shares, most of all in "
                f"'{segments.parts[worst]}': {arms_text(plan, segments.n[worst])}, p = {p:.2g}."
            ),
            why="Shares that fail in one segment may cancel over all: the arms then hold different users.",
            do=(
                "Look at how that segment assigns and logs exposures. Where the segment is what a user had after the exposure, "
                "the treatment may have moved users into it: cut segments by what was known before."
            ),
            numbers={"p_value": p, "n_segments": len(uneven), "segment": segments.parts[worst]},
        )
        return CheckResult(name=name, about=about, ran=True, p_value=p, findings=(finding,))
