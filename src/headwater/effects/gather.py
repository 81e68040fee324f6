"""From the rows of an experiment to all that its analysis sees of them: one query for the moments of all metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.effects.added_up import added_up
from headwater.effects.arms_met import ArmsMet, arms_met
from headwater.effects.gathered import Gathered, MetricState
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.effects.moment_query import MomentRows, Summed, Wanted, centers_of, moment_query, sum_up
from headwater.effects.quantile_query import caps_of, quantile_states
from headwater.effects.survival_query import with_survival
from headwater.effects.units import Units, value_of
from headwater.effects.user_rows import with_user_rows
from headwater.effects.whole_units import whole_units
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, sql

__all__ = ["gather"]

_SIZED = ("mean", "ratio", "quantile")


def gather(engine: Engine, units: Units, *, metrics: Sequence[Metric], arms: Sequence[str] = ()) -> Gathered:
    """Moments of every metric by arm, stratum and day of exposure.

    Parameters
    ----------
    arms
        The planned ones, control first; users of others are left out and counted. None: all that are there.

    Raises
    ------
    DataError
        The arms cannot be told (``arms.*``), or units have several rows that were not declared long (``units.repeated``).
    UsageError
        A metric does not say what its kind needs (``metric.incomplete``).
    ConfigError
        A metric names a column that is not there (``expression.refused``), or is no number (``metric.not_a_number``).
    """
    met = arms_met(engine, units, arms=arms)
    whole = whole_units(engine, units, arms=met.arms, n_rows=met.n_rows)
    if units.is_long or units.cluster is not None:
        with added_up(engine, whole.units, metrics=metrics) as rows_of_units:
            found = _gathered(engine, rows_of_units.units, metrics=rows_of_units.metrics, met=met)
            gathered = rows_of_units.named(found)
    else:
        gathered = _gathered(engine, whole.units, metrics=metrics, met=met)
    return replace(
        gathered,
        findings=(*met.findings, *whole.findings),
        facts={**gathered.facts, **met.facts, **whole.facts},
    )


def _gathered(engine: Engine, units: Units, *, metrics: Sequence[Metric], met: ArmsMet) -> Gathered:
    """The moments of units with one row each."""
    rows = MomentRows(
        rows=units.rows,
        arm=units.arm_text,
        strata=units.stratum_texts,
        day=units.exposed_day,
        where=sql("{arm} IN ({arms})", arm=units.arm_text, arms=[sql("{a}", a=a) for a in met.arms]),
    )
    wanted = _capped(engine, rows, [_wanted(m, units) for m in metrics], metrics, n_rows=met.n_rows)
    centers = centers_of(engine, rows, [v for w in wanted for v in w.values])
    text = engine.text(moment_query(rows, wanted, centers)[0])
    found = _summed(engine, rows, wanted, centers)
    states = _with_quantiles(engine, rows, metrics=metrics, wanted=wanted, found=found, n_rows=met.n_rows)
    gathered = Gathered(
        groups=found.groups,
        n_users=found.n_users,
        metrics=with_survival(engine, rows, units, metrics, states),
        sql=text,
        facts={**_imputed(found), **_raw_totals(found)},
    )
    return with_user_rows(gathered, engine=engine, units=units, metrics=metrics)


def _with_quantiles(
    engine: Engine,
    rows: MomentRows,
    *,
    metrics: Sequence[Metric],
    wanted: Sequence[Wanted],
    found: Summed,
    n_rows: int,
) -> dict[str, MetricState]:
    """The states of all metrics, those of quantiles with their order statistics."""
    shares = {
        m.name: (w.outcomes[0], m.share)
        for m, w in zip(metrics, wanted, strict=True)
        if m.kind == "quantile" and m.share is not None
    }
    quantiles = quantile_states(engine, rows, shares, n_rows=n_rows)
    return {m: replace(s, quantiles=quantiles[m]) if m in quantiles else s for m, s in found.states.items()}


def _capped(
    engine: Engine, rows: MomentRows, wanted: Sequence[Wanted], metrics: Sequence[Metric], *, n_rows: int
) -> list[Wanted]:
    """The same, outcomes of winsorized metrics cut at the quantile of all arms together."""
    asked = {
        m.name: (w.outcomes[0], m.winsorize)
        for m, w in zip(metrics, wanted, strict=True)
        if m.winsorize is not None
    }
    caps = caps_of(engine, rows, asked, n_rows=n_rows)
    return [_cut(w, caps[w.metric]) if w.metric in caps else w for w in wanted]


def _cut(wanted: Wanted, cap: float) -> Wanted:
    raw = wanted.outcomes[0]
    cut = sql("CASE WHEN {x} > {cap} THEN {cap} ELSE {x} END", x=raw, cap=cap)
    return replace(wanted, outcomes=(cut, *wanted.outcomes[1:]), raw=raw, cap=cap)


def _raw_totals(found: Summed) -> dict[str, float]:
    """Totals of winsorized outcomes as they were, by metric and arm."""
    totals: dict[str, float] = {}
    for metric, by_group in found.raw_totals.items():
        for group, total in zip(found.groups, by_group, strict=True):
            key = f"raw_total/{metric}/{group.arm}"
            totals[key] = totals.get(key, 0.0) + float(total)
    return totals


def _imputed(found: Summed) -> dict[str, float]:
    """How many users got a covariate's usual value in place of none, by metric and covariate."""
    return {
        f"n_imputed/{metric}/{covariate}": float(n.sum())
        for (metric, covariate), n in found.unknown.items()
        if n.any()
    }


def _summed(engine: Engine, rows: MomentRows, wanted: Sequence[Wanted], centers: dict[Sql, float]) -> Summed:
    """The sums of one pass; a second one for metrics with missing outcomes beside covariates, or a poor center."""
    found = sum_up(engine, rows, wanted, centers)
    again = [
        replace(w, is_masked=True)
        for w in wanted
        if any(v in found.far for v in w.values) or (w.covariates and found.states[w.metric].n_missing.any())
    ]
    if not again:
        return found
    better = sum_up(engine, rows, again, {**centers, **found.far})
    return replace(
        found,
        states={**found.states, **better.states},
        unknown={**found.unknown, **better.unknown},
        raw_totals={**found.raw_totals, **better.raw_totals},
    )


def _wanted(metric: Metric, units: Units) -> Wanted:
    outcomes = METRIC_KINDS.load(metric.kind)().columns(metric)
    return Wanted(
        metric=metric.name,
        columns=(*outcomes, *metric.covariates),
        outcomes=tuple(value_of(o, units.columns) for o in outcomes),
        covariates=tuple(value_of(c, units.columns) for c in metric.covariates),
        looks_for_largest=metric.kind in _SIZED,
    )
