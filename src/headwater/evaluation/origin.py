"""One origin of a backtest: each model's users are judged one after the other, and only what is needed of them is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import DataError, HeadwaterError
from headwater.core.finding import Finding
from headwater.evaluation.budget import ErrorBudget, error_budget
from headwater.evaluation.grouping import Grouping, Labels, by_decile
from headwater.evaluation.groups import DECILE, GroupFit, fits_of
from headwater.evaluation.scored import Score, ScoredUsers
from headwater.evaluation.stability import RankStability, matched, rank_stability
from headwater.evaluation.totals import GroupTotals
from headwater.evaluation.trials import Outcome, trials_of
from headwater.numerics.forecast import Forecast
from headwater.numerics.resample import Bootstrap, draw_bootstrap

__all__ = ["Asked", "Tried", "stability_of", "try_origin"]

Floats = NDArray[np.float64]
_NOT_INSTALLED = "extra.missing"

_LEVELS: Floats = (np.arange(20) + 0.5) / 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a backtest asks of an origin, as in ``run_backtest``."""

    actual: Callable[[int], Floats]
    forecast: Callable[[str, int], Forecast]
    groups: Callable[[int], Mapping[str, Labels]] | None = None
    users: Callable[[int], pa.Array] | None = None
    truth: Callable[[int], Floats] | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Tried:
    """What is left of one origin once its users have been judged, by model.

    ``users`` are the ids of those who are followed to other origins, ``followed`` their rows, ``means`` their forecasts.
    """

    origin: int
    bootstrap: Bootstrap
    n_unknown: int
    users: pa.Array | None = None
    followed: NDArray[np.intp] | None = None
    refused: dict[str, Finding] = field(default_factory=dict[str, Finding])
    trials: dict[str, dict[str, Outcome]] = field(default_factory=dict[str, dict[str, Outcome]])
    sums: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    groups: dict[str, dict[str, GroupTotals]] = field(default_factory=dict[str, dict[str, GroupTotals]])
    fits: dict[str, list[GroupFit]] = field(default_factory=dict[str, list[GroupFit]])
    budgets: dict[str, ErrorBudget] = field(default_factory=dict[str, ErrorBudget])
    means: dict[str, Floats] = field(default_factory=dict[str, Floats])


def try_origin(
    origin: int,
    models: Sequence[str],
    scores: Mapping[str, Score],
    *,
    asked: Asked,
    rng: np.random.Generator,
    resamples: int,
) -> Tried | None:
    """Judge models at an origin, on the same users and the same resamples of them.

    Users whose outcome is not known (NaN: their window lies in a hole) are left out; None where nobody's is.
    """
    actual = asked.actual(origin)
    known = np.flatnonzero(np.isfinite(actual))
    if known.size == 0:
        return None
    bootstrap = draw_bootstrap(known.size, resamples=resamples, rng=rng)
    groupings, ids, truth = _beside(origin, asked, known)
    made = Tried(
        origin=origin,
        bootstrap=bootstrap.without_parts(),
        n_unknown=actual.size - known.size,
        users=None if ids is None else ids.drop_null(),
        followed=None if ids is None else np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False)),
    )
    for model in models:
        try:
            forecast = _of(asked.forecast(model, origin), known)
        except HeadwaterError as error:
            if not isinstance(error, DataError) and error.finding.code != _NOT_INSTALLED:
                raise
            made.refused[model] = error.finding
            continue
        users = _scored(actual[known], forecast)
        made.trials[model] = trials_of(scores, users, bootstrap)
        _look_closer(made, model, users, variance=forecast.variance, groupings=groupings, truth=truth)
    return made


def _beside(
    origin: int, asked: Asked, known: NDArray[np.intp]
) -> tuple[dict[str, Grouping], pa.Array | None, Floats | None]:
    """Groups, ids and truth of the users whose outcome is known."""
    labels = {} if asked.groups is None else asked.groups(origin)
    groupings = {kind: Grouping.of(given).take(known) for kind, given in labels.items()}
    ids = None if asked.users is None else asked.users(origin).take(pa.array(known))
    return groupings, ids, None if asked.truth is None else asked.truth(origin)[known]


def _of(made: Forecast, rows: NDArray[np.intp]) -> Forecast:
    """A forecast of some of its users."""
    if rows.size == made.mean.size:
        return made
    return replace(
        made, mean=made.mean[rows], low=made.low[rows], high=made.high[rows], variance=made.variance[rows]
    )


def stability_of(tried: Sequence[Tried], models: Sequence[str]) -> Iterator[RankStability]:
    """Each model at each pair of successive origins, the earliest first."""
    ordered = sorted((o for o in tried if o.users is not None), key=lambda o: o.origin)
    for before, after in itertools.pairwise(ordered):
        rows_before, rows_after = matched(before.users, after.users)
        for model in models:
            found = rank_stability(
                before.means[model][rows_before],
                after.means[model][rows_after],
                model=model,
                earlier=before.origin,
                later=after.origin,
            )
            if found is not None:
                yield found


def _look_closer(
    made: Tried,
    model: str,
    users: ScoredUsers,
    *,
    variance: Floats,
    groupings: Mapping[str, Grouping],
    truth: Floats | None,
) -> None:
    """Totals, groups (tenths by forecast among them) and the error budget of one model's users."""
    predicted, actual, origin = users.predicted, users.actual, made.origin
    made.sums[model] = float(predicted.sum()), float(actual.sum())
    made.groups[model] = {
        kind: GroupTotals.of(grouping, predicted=predicted, actual=actual, variance=variance)
        for kind, grouping in groupings.items()
    }
    every_kind = {DECILE: by_decile(predicted), **groupings}
    made.fits[model] = fits_of(users, every_kind, model=model, origin=origin)
    made.budgets[model] = error_budget(predicted, actual, model=model, origin=origin, truth=truth)
    if made.followed is not None:
        made.means[model] = predicted[made.followed]


def _scored(actual: Floats, made: Forecast) -> ScoredUsers:
    quantiles = made.quantiles(_LEVELS)
    return ScoredUsers(
        actual=actual,
        predicted=made.mean,
        low=made.low,
        high=made.high,
        level=made.level,
        chances=made.randomized_chances(actual),
        quantiles=quantiles,
        levels=None if quantiles is None else _LEVELS,
    )
