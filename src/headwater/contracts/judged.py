"""A metric judged day by day against the days before: what volume, mix and jumps of a unit have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.contracts.alarm import (
    Flags,
    Floats,
    Heard,
    Metric,
    Scope,
    closed_weekdays,
    runs_of,
    whole_days,
)
from headwater.contracts.tally import Series
from headwater.core.finding import Finding
from headwater.numerics.robust import Baseline, seasonal_baseline

__all__ = ["LEAST_DAYS", "MOST_FINDINGS", "TOO_SHORT", "Judged", "Stretch", "judge", "stretches"]

LEAST_DAYS = 28
MOST_FINDINGS = 10
TOO_SHORT = "it needs more than four weeks of whole days"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Days in a row on which one series is flagged: positions of both, and the smallest p of the days."""

    series: int
    days: NDArray[np.int64]
    p: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """The verdict on every day of every series; ``level`` is that of each of the ``n_tests``."""

    base: Baseline
    n_tests: int
    level: float

    def metric(
        self, metric: str, series: Sequence[Series], value: Floats, *, back: Callable[[Floats], Floats]
    ) -> Metric:
        """The days as a metric; ``back`` leads from the scale of the judgment to the metric's own unit."""
        expected, low, high = (back(x) for x in (self.base.expected, self.base.low, self.base.high))
        return Metric(
            metric=metric, series=tuple(series), value=value, expected=expected, low=low, high=high, flagged=self.base.flagged
        )  # fmt: skip

    def heard(self, metric: Metric, findings: Sequence[Finding]) -> Heard:
        """What the alarm says."""
        return Heard(
            n_tests=self.n_tests,
            level=self.level,
            n_flagged=int(metric.flagged.sum()),
            flags_are="days of a series",
            findings=tuple(findings),
            metrics=(metric,),
        )


def judge(
    scope: Scope,
    link: Floats,
    noise: Floats,
    *,
    least: float = 0.0,
    counts: Floats | None = None,
    totals: Floats | None = None,
) -> Judged | None:
    """Judge each whole day of each series, as ``seasonal_baseline`` says; None where no day can be judged.

    Where the link is made of ``counts``, days before a series begins and its closed weekdays are left out.
    """
    usable = whole_days(scope)[None, :] & np.isfinite(link)
    if counts is not None:
        usable &= ~closed_weekdays(counts, scope.tally.weekday) & (np.cumsum(counts, axis=1) > 0)
    if totals is not None:
        usable &= totals > 0
    n_tests = int(usable[:, LEAST_DAYS:].sum())
    if not n_tests:
        return None
    level = scope.level / n_tests
    base = seasonal_baseline(
        link, noise, weekday=scope.tally.weekday, usable=usable, judged=usable, level=level, least=least,
        counts=counts, totals=totals,
    )  # fmt: skip
    return Judged(base=base, n_tests=n_tests, level=level)


def stretches(flags: Flags, p: Floats) -> list[Stretch]:
    """Every run of flagged days of every series, the surest first; ``flags`` and ``p`` have shape (series, days)."""
    found = [
        Stretch(series=i, days=days, p=float(p[i, days].min()))
        for i, row in enumerate(flags)
        for days in (np.arange(first, end) for first, end in runs_of(row))
    ]
    return sorted(found, key=lambda s: s.p)
