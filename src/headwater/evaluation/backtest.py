"""Rolling-origin backtest: at each past origin, models that knew no more than that day, against what then happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.block import Block
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.evaluation.budget import ErrorBudget
from headwater.evaluation.compare import choose_among, few_origins, standings_of
from headwater.evaluation.evidence import evidence_blocks
from headwater.evaluation.grouping import Labels
from headwater.evaluation.groups import DECILE, GroupFit, check_groups
from headwater.evaluation.leaderboard import backtest_blocks
from headwater.evaluation.origin import Asked, Tried, stability_of, try_origin
from headwater.evaluation.scores import SCORES
from headwater.evaluation.stability import RankStability
from headwater.evaluation.standing import Choice, Standing
from headwater.evaluation.totals import SharedError, group_error, shared_error
from headwater.numerics.forecast import Forecast

__all__ = ["MOST_HOLES", "Backtest", "SharedError", "run_backtest"]

Floats = NDArray[np.float64]
MOST_HOLES = 0.05
"""Origins above this share of days lost to holes, averaged over users, decide nothing where others remain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest(Shown):
    """How each model would have done, origins in the order of time. ``refused`` says which could not be fitted, and why.

    ``group_fits`` are of every model, origin and group (tenths of the forecast, and the kinds of group given),
    ``stability`` of successive origins where users are named, ``budgets`` of every model and origin.
    """

    task: Task
    origins: tuple[int, ...]
    n_users: tuple[int, ...]
    standings: tuple[Standing, ...]
    choice: Choice
    shared_errors: Mapping[str, SharedError]
    refused: Mapping[str, Finding]
    findings: tuple[Finding, ...]
    group_fits: tuple[GroupFit, ...] = ()
    stability: tuple[RankStability, ...] = ()
    budgets: tuple[ErrorBudget, ...] = ()

    def standing(self, score: str) -> Standing:
        """Where models stand on a score. Raises ``KeyError``."""
        return next(s for s in self.standings if s.score == score)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were scored, in the order they were named."""
        return tuple(self.shared_errors)

    @property
    def deciles(self) -> tuple[GroupFit, ...]:
        """Tenths of the users by forecast, ``"1"`` the lowest; users with one forecast lie in one."""
        return tuple(f for f in self.group_fits if f.kind == DECILE)

    def blocks(self) -> tuple[Block, ...]:
        """The leaderboard first, then the evidence."""
        return (*backtest_blocks(self), *evidence_blocks(self))


def run_backtest(
    task: Task,
    *,
    models: Mapping[str, int],
    origins: Sequence[int],
    actual: Callable[[int], Floats],
    forecast: Callable[[str, int], Forecast],
    rng: np.random.Generator,
    resamples: int = 500,
    groups: Callable[[int], Mapping[str, Labels]] | None = None,
    users: Callable[[int], pa.Array] | None = None,
    truth: Callable[[int], Floats] | None = None,
    hole_share: Callable[[int], float] | None = None,
) -> Backtest:
    """Score every model at every origin on the same users.

    Parameters
    ----------
    models
        Name to simplicity rank, 1 for the simplest.
    origins
        App days. ``actual(origin)`` gives the matured outcomes, ``forecast(model, origin)`` the forecast
        for the same users in the same order by a model fitted on what was known then; it raises
        ``DataError`` where the model cannot be fitted, or ``extra.missing`` where what it needs is not
        installed: such a model is refused, the others go on.
    groups
        By kind (``"month"``, ``"channel"``): each user's group at an origin, in the same order.
    users
        Each user's id, so that forecasts of one user at two origins can be compared; NULL for those who need not
        be (``stability.followed``).
    truth
        Each user's expected outcome where it is known (a simulated app), for the error budget.
    hole_share
        The share of the days of an origin's target windows that lie in holes of the log, averaged over users.
        Origins above ``MOST_HOLES`` are left out and named, as long as others remain.

    Raises
    ------
    DataError
        ``backtest.no_model``: none could be fitted at every origin. ``backtest.no_outcome``: no origin has a user
        whose outcome is known.
    """
    asked = Asked(actual=actual, forecast=forecast, groups=groups, users=users, truth=truth)
    scores = {name: SCORES.load(name)() for name in SCORES.names()}
    refused: dict[str, Finding] = {}
    tried: list[Tried] = []
    usable, left_out = _without_holes(origins, hole_share)
    for origin in usable:
        left = [m for m in models if m not in refused]
        made = try_origin(origin, left, scores, asked=asked, rng=rng, resamples=resamples)
        if made is not None:
            refused |= made.refused
            tried.append(made)
    tried.sort(key=lambda o: o.origin)
    kept = [m for m in models if m not in refused]
    _require_proof(tried, kept, refused=refused, origins=origins)
    held = [({m: o.trials[m] for m in kept}, o.bootstrap) for o in tried]
    standings = standings_of(scores, held)
    choice = choose_among(standings, scores, held, {m: models[m] for m in kept})
    fits = tuple(f for o in tried for m in kept for f in o.fits[m])
    return Backtest(
        task=task,
        origins=tuple(o.origin for o in tried),
        n_users=tuple(o.bootstrap.n_users for o in tried),
        standings=standings,
        choice=choice,
        shared_errors={m: _shared(m, tried, task) for m in kept},
        refused=refused,
        findings=(
            *few_origins(len(tried), days=[o.origin for o in tried]),
            *left_out,
            *_unknown(tried, usable),
            *check_groups([f for f in fits if f.model == choice.name]),
        ),
        group_fits=fits,
        stability=tuple(stability_of(tried, kept)),
        budgets=tuple(o.budgets[m] for o in tried for m in kept),
    )


def _shared(model: str, tried: Sequence[Tried], task: Task) -> SharedError:
    """What totals of one model were off by: all users together, and groups beside each other."""
    whole = shared_error([o.sums[model] for o in tried], [o.origin for o in tried], task.horizon_days)
    kinds = [k for k in tried[0].groups[model] if all(k in o.groups[model] for o in tried)]
    found = {
        k: group_error([o.groups[model][k] for o in tried], windows=whole.windows, level=task.level)
        for k in kinds
    }
    return replace(whole, groups={k: g for k, g in found.items() if g is not None})


def _without_holes(
    origins: Sequence[int], hole_share: Callable[[int], float] | None
) -> tuple[Sequence[int], tuple[Finding, ...]]:
    """The origins that may decide; where some lie in holes and others do not, a finding that names the first."""
    lost = {o: share for o in origins if hole_share is not None and (share := hole_share(o)) > MOST_HOLES}
    if not lost or len(lost) == len(origins):
        return origins, ()
    days = ", ".join(f"{date_of(o)} ({s:.0%} of its days)" for o, s in sorted(lost.items()))
    found = Finding(
        code="backtest.holes",
        severity=Severity.WARN,
        what=f"{len(lost)} of {len(origins)} origins were left out of the comparison and the choice, since their target windows overlap holes in the log: {days}.",
        why="What happened in a hole is missing, so every model looks too high there, and the one that says least looks best.",
        do="Load the missing days again, or test at origins whose windows are whole.",
        numbers={"n_lost": len(lost), "n_origins": len(origins)},
    )
    return [o for o in origins if o not in lost], (found,)


def _unknown(tried: Sequence[Tried], origins: Sequence[int]) -> tuple[Finding, ...]:
    """Users, and whole origins, whose outcomes are not known."""
    lost = sorted(set(origins) - {o.origin for o in tried})
    parts = [f"{o.n_unknown:,} users at {date_of(o.origin)}" for o in tried if o.n_unknown]
    parts += [f"everybody at {date_of(o)}" for o in lost]
    if not parts:
        return ()
    return (
        Finding(
            code="backtest.unknown_outcomes",
            severity=Severity.WARN,
            what=f"What came of {', '.join(parts)} is not known; they were left out.",
            why="Their windows overlap a hole in the log; counted as nothing they would make every model look too high.",
            do="Load the missing days again, or test at other origins.",
            numbers={"n_users": sum(o.n_unknown for o in tried), "n_origins": len(lost)},
        ),
    )


def _require_proof(
    tried: Sequence[Tried], kept: Sequence[str], *, refused: Mapping[str, Finding], origins: Sequence[int]
) -> None:
    if not tried:
        raise DataError(
            "backtest.no_outcome",
            what=f"No user's outcome is known at any of {len(origins)} origins.",
            why="Their windows overlap holes in the log; there is nothing to hold a forecast against.",
            do="Load the missing days again, or use a shorter horizon.",
        )
    if not kept:
        reasons = "; ".join(f"{m}: {f.what}" for m, f in refused.items())
        raise DataError(
            "backtest.no_model",
            what=f"No model could be fitted at every origin. {reasons}",
            why="There is no forecast to defend.",
            do="Use a shorter horizon or a longer log, and check the measures.",
        )
