"""Occasions: what the buy-till-you-die models need of a user's past (x, t_x, T and value on repeat days)."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.ledger import LedgerMeasure
from headwater.engine.sql import Sql, name, sql
from headwater.snapshots.feature import FeatureColumn, FeatureSpec, feature, in_units

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
        kinds = [
            ("active_days", sql("TRUE")),
            *((m.name, sql("{m} > 0", m=name(m.name))) for m in spec.counted),
        ]
        return tuple(c for label, happens in kinds for c in _of(label, happens, spec))


def _valued(label: str, spec: FeatureSpec) -> list[LedgerMeasure]:
    """What an occasion may be worth: the summed measures, and its own count (several purchases a day)."""
    return [m for m in spec.measures if not m.counts or m.name == label]


def _of(label: str, happens: Sql, spec: FeatureSpec) -> list[FeatureColumn]:
    oldest = sql("max(age) FILTER (WHERE {h})", h=happens)
    newest = sql("min(age) FILTER (WHERE {h})", h=happens)
    made = [
        feature(
            f"{label}_repeats",
            about=f"days with {label} after the first such day (x)",
            unit="days",
            aggregate=sql("CAST(nullif(count(*) FILTER (WHERE {h}), 0) - 1 AS DOUBLE)", h=happens),
        ),
        feature(
            f"{label}_first_to_last",
            about=f"days from the first to the last day with {label} (t_x)",
            unit="days",
            aggregate=sql("CAST({o} - {n} AS DOUBLE)", o=oldest, n=newest),
        ),
        feature(
            f"{label}_age",
            about=f"days from the first day with {label} to the last day before the cutoff (T)",
            unit="days",
            aggregate=sql("CAST({o} - 1 AS DOUBLE)", o=oldest),
        ),
    ]
    for m in _valued(label, spec):
        value, total = (
            name(m.name),
            in_units(m, sql("sum({v}) FILTER (WHERE {h})", v=name(m.name), h=happens)),
        )
        first = in_units(m, sql("max_by({v}, age) FILTER (WHERE {h})", v=value, h=happens))
        off = in_units(m, sql("coalesce(sum({v}) FILTER (WHERE NOT ({h})), 0)", v=value, h=happens))
        made.append(
            feature(
                f"{m.label}_off_{label}",
                about=f"{m.name} on days without {label} (refunds, mostly)",
                unit=m.unit,
                aggregate=off,
            )
        )
        made.append(
            feature(
                f"{m.label}_on_repeat_{label}",
                about=f"{m.name} on days with {label} after the first such day",
                unit=m.unit,
                aggregate=sql("({t} - {f})", t=total, f=first),
            )
        )
    return made
