"""Answers beside the forecast of every user, in Python: curves of cohorts and channels, newcomers, discounted value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import inf

import numpy as np

from headwater.app.curves import curves_of, require_alike, users_error
from headwater.app.newcomers import NewcomerValues, newcomers_of
from headwater.app.road import UserForecast, day_given, study_of
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import as_days
from headwater.evaluation.backtest import Backtest
from headwater.models.cohort_counts import Cohort
from headwater.models.cohort_curves import CohortCurves, places_of_users, reconciled
from headwater.models.forecasting import FittedModel, nobody_at
from headwater.models.reach import beyond_log, require_reach
from headwater.models.value import DiscountedValue, discounted_value
from headwater.numerics.curve_totals import adjustment
from headwater.snapshots.rows import rows_at

__all__ = ["add_up", "curves", "newcomers", "value"]


def curves(
    ledger: Ledger,
    *,
    target: str,
    horizon: str | timedelta = "90d",
    by: str | None = None,
    cohorts: Cohort | None = None,
    as_of: str | date | int | None = None,
    level: float = 0.9,
) -> CohortCurves:
    """What cohorts brought by age and are to bring, all together or by an attribute such as ``"channel"``.

    Cohorts are months (ages of 30 days) where the log spans eight such ages, else weeks. Raises ``DataError``
    where nobody was seen for one whole age (``curves.nobody``) or nothing was brought (``curves.no_value``),
    ``UsageError`` for an attribute that is none (``curves.no_attribute``).
    """
    return curves_of(
        study_of(ledger.days),
        measure=target,
        by=by,
        cohorts=cohorts,
        horizon_days=as_days(horizon),
        as_of=None if as_of is None else day_given(as_of),
        level=level,
    )


def add_up(values: UserForecast, curves: CohortCurves, *, ledger: Ledger, proof: Backtest) -> UserForecast:
    """The users' forecasts scaled within each cohort, so that they add up to its total.

    That total is the curve's and the users', each weighed by one over its squared error on past cohorts. ``proof`` has the
    model's by month; by week or by an attribute it was never tested, and the curve stands alone. Users in no cohort are left
    as they are. Bounds are scaled with the mean; where a cohort has forecasts below zero all are shifted, and bounds reach
    as far further. Quantiles at other levels, learned for the means as they were, are given up. Raises ``UsageError``
    (``curves.unlike``) where both are not of one measure, cutoff and horizon.
    """
    require_alike(curves, values.task, cutoff=values.cutoff)
    study, made = study_of(ledger.days), values.forecast
    place = places_of_users(study.engine, ledger, curves, user_ids=values.user_ids, told=study.told())
    error = users_error(proof, values.model, curves)
    mean, sums = reconciled(curves, mean=made.mean, cohort=place, users_error=inf if error is None else error)
    inside = place >= 0
    factor, shift = np.ones_like(mean), np.zeros_like(mean)
    factor[inside], shift[inside] = adjustment(made.mean[inside], by=place[inside], sums=sums)
    scaled = replace(
        made,
        mean=mean,
        low=np.minimum(made.low * factor + np.minimum(shift, 0.0), mean),
        high=np.maximum(made.high * factor + np.maximum(shift, 0.0), mean),
        variance=made.variance * factor**2,
        bins=made.bins if np.array_equal(mean, made.mean) else None,
    )
    return replace(values, forecast=scaled)


def newcomers(
    ledger: Ledger,
    *,
    target: str,
    horizon: str | timedelta | None = None,
    ages: Sequence[str] | None = None,
    model: str | None = None,
    cohort_days: int | None = None,
) -> NewcomerValues:
    """What users hours or days old will be worth over their first days, and how such forecasts did before.

    Each is forecast at the oldest of the ``ages`` it reached. What is left out is as ``[newcomers]`` says, else
    ``1h, 24h, 3d`` by ``lightgbm_hurdle`` over the longest horizon under ``[[predict]]`` (30 days where there is
    none), in cohorts of as many weeks as 250 users take. Raises ``DataError`` where no age can be
    fitted (``newcomers.no_age``) or nobody is new (``forecast.nobody``), ``UsageError`` for ages that are none.
    """
    return newcomers_of(
        study_of(ledger.days),
        measure=target,
        horizon_days=None if horizon is None else as_days(horizon),
        ages=ages,
        model=model,
        cohort_days=cohort_days,
    )


def value(
    model: FittedModel,
    snapshot: Snapshot,
    *,
    horizon: str | timedelta | None = "365d",
    yearly_rate: float = 0.1,
    cutoff: str | date | int | None = None,
) -> DiscountedValue:
    """What the purchases to come of each user of a snapshot's cutoff (the latest, unless named) are worth today.

    ``horizon`` None is for ever, which needs a discount. Raises ``UsageError`` for a model that knows one horizon
    only (``value.no_process``), a rate that gives no value (``value.rate``), ten lengths of the log
    (``horizon.too_long``) or a cutoff that the snapshot has not, ``DataError`` where it has nobody at it (both
    ``forecast.nobody``).
    """
    day = max(snapshot.cutoffs) if cutoff is None else day_given(cutoff)
    rows = rows_at(snapshot, day, ("user_id", *model.predictor.columns))
    if rows.num_rows == 0:
        raise nobody_at(snapshot, day)
    log, days = study_of(snapshot.rows).ledger(), None if horizon is None else as_days(horizon)
    require_reach(days, day - log.first_day)
    made = discounted_value(model.predictor, rows, horizon=horizon, yearly_rate=yearly_rate, task=model.task)
    return replace(made, findings=(*beyond_log(days, day - log.first_day), *made.findings))
