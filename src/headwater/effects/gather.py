"""From the rows of an experiment to all that its analysis sees of them: one query for the moments of all metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headwater.effects.added_up import added_up
from headwater.effects.arms_met import arms_met
from headwater.effects.gathered import Gathered
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Metric
from headwater.effects.moment_query import MomentRows, Summed, Wanted, centers_of, moment_query, sum_up
from headwater.effects.survival_query import with_survival
from headwater.effects.units import Units, value_of
from headwater.effects.user_rows import with_user_rows
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, sql

__all__ = ["gather"]


def gather(engine: Engine, units: Units, *, metrics: Sequence[Metric], arms: Sequence[str] = ()) -> Gathered:
    """Moments of every metric by arm, stratum and day of exposure.

    Parameters
    ----------
    arms
        The planned ones, control first; users of others are left out and counted. None: all that are there.

    Raises
    ------
    DataError
        The arms cannot be told (``arms.*``), or units have several rows (``units.repeated``).
    ConfigError
        A metric names a column that is not there (``expression.refused``), or is no number (``metric.not_a_number``).
    """
    if units.is_long or units.cluster is not None:
        with added_up(engine, units, metrics=metrics) as rows_of_units:
            return rows_of_units.named(
                gather(engine, rows_of_units.units, metrics=rows_of_units.metrics, arms=arms)
            )
    met = arms_met(engine, units, arms=arms)
    rows = MomentRows(
        rows=units.rows,
        arm=units.arm_text,
        strata=units.stratum_texts,
        day=units.exposed_day,
        where=sql("{arm} IN ({arms})", arm=units.arm_text, arms=[sql("{a}", a=a) for a in met.arms]),
    )
    wanted = [_wanted(m, units) for m in metrics]
    centers = centers_of(engine, rows, [v for w in wanted for v in w.values])
    text = engine.text(moment_query(rows, wanted, centers)[0])
    found = _summed(engine, rows, wanted, centers)
    gathered = Gathered(
        groups=found.groups,
        n_users=found.n_users,
        metrics=with_survival(engine, rows, units, metrics, found.states),
        findings=met.findings,
        sql=text,
        facts={**met.facts, **_imputed(found)},
    )
    return with_user_rows(gathered, engine=engine, units=units, metrics=metrics)


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
        looks_for_largest=metric.kind != "proportion",
    )
