"""Rolling-origin backtest: at each past origin, models that knew no more than that day, against what then happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.core.block import Block
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.evaluation.compare import standings_of
from headwater.evaluation.leaderboard import backtest_blocks
from headwater.evaluation.scored import Score, ScoredUsers
from headwater.evaluation.scores import SCORES
from headwater.evaluation.standing import Choice, Standing, choose
from headwater.evaluation.trials import Outcome, trials_of
from headwater.numerics.forecast import Forecast
from headwater.numerics.resample import Bootstrap, draw_bootstrap

__all__ = ["Backtest", "Decile", "SharedError", "run_backtest"]

Floats = NDArray[np.float64]
_FEW_ORIGINS = 3
_LEVELS: Floats = (np.arange(20) + 0.5) / 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Decile:
    """One tenth of users by prediction at one origin: mean predicted, mean actual and its 95% interval."""

    model: str
    origin: int
    decile: int
    n_users: int
    predicted: float
    actual: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedError:
    """How far a model's totals were off at past origins, relative to the total.

    ``windows`` counts the origins by how little their windows overlap: 1 for the first, and for each
    further one the share of a horizon that lies between. The same origins chose the model, so ``share``
    is a little too small; nothing but later origins can tell by how much.
    """

    share: float
    n_origins: int
    windows: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest(Shown):
    """How each model would have done. ``refused`` says which could not be fitted, and why."""

    task: Task
    origins: tuple[int, ...]
    n_users: tuple[int, ...]
    standings: tuple[Standing, ...]
    choice: Choice
    deciles: tuple[Decile, ...]
    shared_errors: Mapping[str, SharedError]
    refused: Mapping[str, Finding]
    findings: tuple[Finding, ...]

    def standing(self, score: str) -> Standing:
        """Where models stand on a score. Raises ``KeyError``."""
        return next(s for s in self.standings if s.score == score)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were scored, in the order they were named."""
        return tuple(self.shared_errors)

    def blocks(self) -> tuple[Block, ...]:
        """The leaderboard first, then the evidence."""
        return backtest_blocks(self)


def run_backtest(
    task: Task,
    *,
    models: Mapping[str, int],
    origins: Sequence[int],
    actual: Callable[[int], Floats],
    forecast: Callable[[str, int], Forecast],
    rng: np.random.Generator,
    resamples: int = 500,
) -> Backtest:
    """Score every model at every origin on the same users.

    Parameters
    ----------
    models
        Name to simplicity rank, 1 for the simplest.
    origins
        App days. ``actual(origin)`` gives the matured outcomes, ``forecast(model, origin)`` the forecast
        for the same users in the same order by a model fitted on what was known then; it raises
        ``DataError`` where the model cannot be fitted.

    Raises
    ------
    DataError
        ``backtest.no_model``: none could be fitted at every origin.
    """
    scores = {name: SCORES.load(name)() for name in SCORES.names()}
    refused: dict[str, Finding] = {}
    tried: list[_Origin] = []
    for origin in origins:
        left = [m for m in models if m not in refused]
        made = _try_origin(
            origin, left, scores, actual=actual, forecast=forecast, rng=rng, resamples=resamples
        )
        refused |= made.refused
        tried.append(made)
    kept = [m for m in models if m not in refused]
    if not kept:
        raise _nothing_fitted(refused)
    held = [({m: o.trials[m] for m in kept}, o.bootstrap) for o in tried]
    standings = standings_of(scores, held)
    return Backtest(
        task=task,
        origins=tuple(origins),
        n_users=tuple(o.bootstrap.n_users for o in tried),
        standings=standings,
        choice=choose(standings, models),
        deciles=tuple(d for o in tried for m in kept for d in o.deciles[m]),
        shared_errors={
            m: _shared_error([o.totals[m] for o in tried], origins, task.horizon_days) for m in kept
        },
        refused=refused,
        findings=_few_origins(origins),
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Origin:
    """What is left of one origin once its users have been judged: one model's users are held at a time."""

    bootstrap: Bootstrap
    trials: dict[str, dict[str, Outcome]]
    deciles: dict[str, list[Decile]]
    totals: dict[str, tuple[float, float]]
    refused: dict[str, Finding]


def _try_origin(
    origin: int,
    models: Sequence[str],
    scores: Mapping[str, Score],
    *,
    actual: Callable[[int], Floats],
    forecast: Callable[[str, int], Forecast],
    rng: np.random.Generator,
    resamples: int,
) -> _Origin:
    happened = actual(origin)
    bootstrap = draw_bootstrap(happened.size, resamples=resamples, rng=rng)
    made = _Origin(bootstrap=bootstrap.without_parts(), trials={}, deciles={}, totals={}, refused={})
    for model in models:
        try:
            users = _scored(happened, forecast(model, origin))
        except DataError as error:
            made.refused[model] = error.finding
            continue
        made.trials[model] = trials_of(scores, users, bootstrap)
        made.deciles[model] = _deciles(model, origin, users)
        made.totals[model] = float(users.predicted.sum()), float(users.actual.sum())
    return made


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


def _deciles(model: str, origin: int, users: ScoredUsers) -> list[Decile]:
    order = np.argsort(users.predicted, kind="stable")
    groups = np.array_split(order, min(10, order.size))
    made: list[Decile] = []
    for number, group in enumerate(groups, start=1):
        actual = users.actual[group]
        reach = 1.96 * float(actual.std(ddof=1)) / np.sqrt(group.size) if group.size > 1 else 0.0
        mean = float(actual.mean())
        made.append(
            Decile(
                model=model,
                origin=origin,
                decile=number,
                n_users=group.size,
                predicted=float(users.predicted[group].mean()),
                actual=mean,
                low=mean - float(reach),
                high=mean + float(reach),
            )
        )
    return made


def _shared_error(
    totals: Sequence[tuple[float, float]], origins: Sequence[int], horizon_days: int
) -> SharedError:
    """Root mean square of the relative errors of totals (predicted, actual): the error that all users share."""
    shares = [predicted / came - 1 for predicted, came in totals if came > 0]
    share = float(np.sqrt(np.mean(np.square(shares)))) if shares else 1.0
    windows = min(float(len(origins)), 1 + (max(origins) - min(origins)) / horizon_days)
    return SharedError(share=share, n_origins=max(1, len(shares)), windows=windows)


def _few_origins(origins: Sequence[int]) -> tuple[Finding, ...]:
    if len(origins) >= _FEW_ORIGINS:
        return ()
    days = ", ".join(str(date_of(o)) for o in origins)
    return (
        Finding(
            code="backtest.few_origins",
            severity=Severity.WARN,
            what=f"The log allows {len(origins)} origins ({days}); three are the least to tell luck from skill.",
            why="A model may have been good or bad by chance.",
            do="Use a shorter horizon or a longer log.",
            numbers={"n_origins": len(origins)},
        ),
    )


def _nothing_fitted(refused: Mapping[str, Finding]) -> DataError:
    reasons = "; ".join(f"{m}: {f.what}" for m, f in refused.items())
    return DataError(
        "backtest.no_model",
        what=f"No model could be fitted at every origin. {reasons}",
        why="There is no forecast to defend.",
        do="Use a shorter horizon or a longer log, and check the measures.",
    )
