"""Occasions: what the buy-till-you-die models need of a user's past (x, t_x, T and value on repeat days)."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import LedgerMeasure
from headwater.engine.sql import Sql, name, sql
from headwater.snapshots.feature import (
    FeatureColumn,
    FeatureSpec,
    earliest,
    feature,
    formula,
    greatest,
    in_units,
    least,
    total,
)

__all__ = ["Occasions"]


class Occasions:
    """Repeat occasions, days from the first to the last, age since the first, and value after the first day.

    An occasion is a day on which a counted measure is above zero (for ``active_days``: any event). A day
    counts once. Age runs from the first occasion's day to the last day before the cutoff, as in Fader,
    Hardie and Lee (2005).
    """

    about: ClassVar[str] = "repeat occasions, time of the last one, age, and value on repeat days"

    def columns(self, spec: FeatureSpec) -> tuple[FeatureColumn, ...]:
        """For each counted measure and for active days; NULL where there was no occasion."""
        kinds: list[tuple[str, Sql | None]] = [
            ("active_days", None),
            *((m.name, sql("{m} > 0", m=name(m.name))) for m in spec.counted),
        ]
        return tuple(c for label, happens in kinds for c in _of(label, happens, spec))


def _valued(label: str, spec: FeatureSpec) -> list[LedgerMeasure]:
    """What an occasion may be worth: the summed measures, and its own count (several purchases a day)."""
    return [m for m in spec.measures if not m.counts or m.name == label]


def _of(label: str, happens: Sql | None, spec: FeatureSpec) -> list[FeatureColumn]:
    oldest, newest = greatest(sql("age"), when=happens), least(sql("age"), when=happens)
    made = [
        feature(
            f"{label}_repeats",
            formula("nullif({n}, 0) - 1", n=total(sql("1"), when=happens)),
            about=f"days with {label} after the first such day (x)",
            unit="days",
        ),
        feature(
            f"{label}_first_to_last",
            formula("{o} - {n}", o=oldest, n=newest),
            about=f"days from the first to the last day with {label} (t_x)",
            unit="days",
        ),
        feature(
            f"{label}_age",
            formula("{o} - 1", o=oldest),
            about=f"days from the first day with {label} to the last day before the cutoff (T)",
            unit="days",
        ),
    ]
    for m in _valued(label, spec):
        value = name(m.name)
        off = formula("0") if happens is None else total(value, when=sql("NOT ({h})", h=happens))
        whole, first = total(value, when=happens), earliest(value, when=happens)
        made.append(
            feature(
                f"{m.label}_off_{label}",
                in_units(m, off),
                about=f"{m.name} on days without {label} (refunds, mostly)",
                unit=m.unit,
            )
        )
        made.append(
            feature(
                f"{m.label}_on_repeat_{label}",
                formula("{t} - {f}", t=in_units(m, whole), f=in_units(m, first)),
                about=f"{m.name} on days with {label} after the first such day",
                unit=m.unit,
            )
        )
    return made
