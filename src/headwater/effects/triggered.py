"""Users whose experience could differ between arms, and the others: the parts of a triggered experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headwater.effects.facts import N_ASSIGNED, fact_key
from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.units import Units
from headwater.engine.sql import name, sql

__all__ = [
    "TRIGGERED",
    "UNTRIGGERED",
    "is_triggered_analysis",
    "triggered_part",
    "triggered_units",
    "untriggered_part",
]

TRIGGERED, UNTRIGGERED = "triggered", "untriggered"
_BETWEEN = " | "


def is_triggered_analysis(gathered: Gathered) -> bool:
    """Whether the first stratum says who was triggered, and some were not."""
    return {TRIGGERED, UNTRIGGERED} <= {g.stratum.split(_BETWEEN)[0] for g in gathered.groups}


def triggered_units(units: Units) -> Units:
    """The units whose experience could differ, of units whose first stratum says so: what to gather of metrics that moments do not serve."""
    mark, *strata = units.strata
    rows = sql("(SELECT * FROM {r} r WHERE {m} = {t})", r=units.rows, m=name(mark), t=TRIGGERED)
    return replace(units, rows=rows, strata=tuple(strata))


def triggered_part(gathered: Gathered) -> Gathered:
    """The users whose experience could differ; the facts tell how many were assigned."""
    arms = dict.fromkeys(g.arm for g in gathered.groups)
    assigned = {fact_key(N_ASSIGNED, arm): float(gathered.users_of(arm)) for arm in arms}
    return _part(gathered, TRIGGERED, facts={**gathered.facts, **assigned})


def untriggered_part(gathered: Gathered) -> Gathered:
    """The users whose experience was the same in all arms: an A/A test."""
    return _part(gathered, UNTRIGGERED, facts={})


def _part(gathered: Gathered, which: str, *, facts: Mapping[str, float]) -> Gathered:
    kept = [i for i, g in enumerate(gathered.groups) if g.stratum.split(_BETWEEN)[0] == which]
    at = np.array(kept, dtype=np.intp)
    rest = [gathered.groups[i].stratum.split(_BETWEEN)[1:] for i in kept]
    return replace(
        gathered,
        groups=tuple(
            replace(gathered.groups[i], stratum=_BETWEEN.join(names))
            for i, names in zip(kept, rest, strict=True)
        ),
        n_users=gathered.n_users[at],
        metrics={metric: _of(state, at) for metric, state in gathered.metrics.items()},
        facts=facts,
    )


def _of(state: MetricState, at: NDArray[np.intp]) -> MetricState:
    """Some groups of a metric; what is of an arm as a whole (order statistics, survival, rows) is left out."""
    return replace(
        state,
        moments=state.moments.of(at),
        n_missing=state.n_missing[at],
        n_capped=None if state.n_capped is None else state.n_capped[at],
        largest=None if state.largest is None else state.largest[at],
        quantiles=(),
        rows=(),
        survival=(),
    )
