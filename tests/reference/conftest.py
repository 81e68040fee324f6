"""CDNOW as the papers use it: the 1/10 sample, 39 weeks of calibration, 39 of holdout, time in weeks."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray

CALIBRATION_END = date(1997, 9, 30)


@dataclass(frozen=True)
class Cdnow:
    """One entry per customer, in order of sample id."""

    x: NDArray[np.float64]
    t_x: NDArray[np.float64]
    T: NDArray[np.float64]
    z: NDArray[np.float64]
    holdout: NDArray[np.float64]


@pytest.fixture(scope="session")
def cdnow() -> Cdnow:
    source = files("headwater.app") / "examples" / "cdnow" / "CDNOW_sample.txt.gz"
    text = gzip.decompress(source.read_bytes()).decode("ascii")
    spend_by_day: dict[str, dict[date, float]] = {}
    for line in text.splitlines():
        _, customer, day, _, dollars = line.split()
        when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
        days = spend_by_day.setdefault(customer, {})
        days[when] = days.get(when, 0.0) + float(dollars)
    return Cdnow(*np.array([_summary(days) for _, days in sorted(spend_by_day.items())]).T)


def _summary(days: dict[date, float]) -> tuple[float, float, float, float, float]:
    first, *later = sorted(days)
    repeats = [day for day in later if day <= CALIBRATION_END]
    last = (repeats[-1] - first).days / 7 if repeats else 0.0
    spend = sum(days[day] for day in repeats) / max(len(repeats), 1)
    return len(repeats), last, (CALIBRATION_END - first).days / 7, spend, len(later) - len(repeats)
