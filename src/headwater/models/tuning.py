"""Tune a model's settings and leave groups of its features out, on past origins only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.block import Block, Field, Form, Grid, Prose
from headwater.core.errors import DataError, UsageError
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.engine.arrays import column_floats
from headwater.learners.tuning import Dial, Losses, Search, Trial, search
from headwater.models.feature_groups import feature_groups
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Model, ModelSettings, Training
from headwater.numerics.calibration import mean_loss
from headwater.snapshots.rows import rows_at

__all__ = ["Tuning", "tune"]

_MOST_ORIGINS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning(Shown):
    """What was tried for a model, what it bought, and the settings that stand (none: the defaults).

    Give ``settings`` to ``Training`` to fit with them.
    """

    model: str
    origins: tuple[int, ...]
    n_users: int
    found: Search

    @property
    def settings(self) -> ModelSettings:
        """What the model is to be fitted with; empty where the defaults were not beaten by more than noise."""
        return self.found.settings

    def blocks(self) -> tuple[Block, ...]:
        """The decision, then every trial."""
        return Prose(text=_decision(self), lead=True), Prose(text=_how(self)), _grid(self.found.trials)


def tune(
    model_name: str,
    training: Training,
    *,
    seconds: float,
    clock: Callable[[], float],
    rng: np.random.Generator,
) -> Tuning:
    """Search a model's settings on the latest past cutoffs whose windows have ended by now.

    At each such origin the model is fitted on what was known then, and its forecasts are judged by what
    happened (``numerics.calibration.mean_loss``). First the defaults, then the defaults without each group of
    features, then what the search proposes. Nothing after ``training.now`` is seen.

    Parameters
    ----------
    seconds, clock
        The budget, and what tells the time (``time.monotonic``); below the app nothing reads a clock.

    Raises
    ------
    UsageError
        ``tune.no_settings``: the model has none to tune. ``extra.missing``: Optuna is not installed.
    DataError
        ``tune.no_past``: the model can be fitted at no past origin.
    """
    model = LTV_MODELS.load(model_name)()
    dials: Sequence[Dial] = getattr(model, "dials", ())
    if not dials:
        raise UsageError(
            "tune.no_settings",
            what=f"{model_name} has no settings to tune.",
            why="It is fitted by likelihood or by counting; there is nothing to search.",
            do="Tune one of the LightGBM models.",
        )
    seed = int(rng.integers(2**31 - 1))
    origins = _origins(model, training, seed=seed)
    groups = [{"without": (g,)} for g in feature_groups(training.snapshot)]
    found = search(
        lambda settings: _judged(model, training, origins, settings, seed=seed),
        dials=dials,
        first=groups if len(groups) > 1 else [],
        seconds=seconds,
        clock=clock,
        rng=rng,
    )
    n_users = sum(_outcomes(training, o, ()).num_rows for o in origins)
    return Tuning(model=model_name, origins=origins, n_users=n_users, found=found)


def _origins(model: Model, training: Training, *, seed: int) -> tuple[int, ...]:
    """The latest past cutoffs at which the model can be fitted, in order; at most three."""
    usable: list[int] = []
    why = "no past cutoff has a window that ended by now"
    for origin in reversed(training.past_cutoffs):
        try:
            next(_judged(model, training, (origin,), {}, seed=seed))
        except DataError as error:
            why = error.finding.what
            break
        usable.append(origin)
        if len(usable) == _MOST_ORIGINS:
            break
    if not usable:
        raise DataError(
            "tune.no_past",
            what=f"The model can be tried at no past cutoff: {why}",
            why="Settings chosen on the rows they were fitted with are chosen for remembering them.",
            do="Use more and earlier cutoffs, a shorter horizon or a longer log.",
        )
    return tuple(reversed(usable))


def _judged(
    model: Model, training: Training, origins: Sequence[int], settings: ModelSettings, *, seed: int
) -> Iterator[Losses]:
    """The losses of all users of each origin, by the model as it would have been fitted then."""
    for origin in origins:
        then = replace(
            training.back_at(origin), settings=settings, shared={}, rng=np.random.default_rng(seed)
        )
        fitted = model.fit(then)
        rows = _outcomes(training, origin, fitted.columns)
        actual = column_floats(rows, training.task.target)
        yield Losses(
            values=mean_loss(fitted.predict(rows), actual),
            buckets=column_floats(rows, "bucket").astype(np.int64),
        )


def _outcomes(training: Training, origin: int, columns: Sequence[str]) -> pa.Table:
    target = training.task.target
    rows = rows_at(training.snapshot, origin, tuple(dict.fromkeys([*columns, "bucket", target])))
    return rows.filter(pc.is_valid(rows.column(target)))


def _decision(tuning: Tuning) -> str:
    found = tuning.found
    gained = f"{found.confirmed.share:+.2%} (standard error {found.confirmed.std_error:.2%})"
    if found.best.number == 0:
        return f"The defaults of {tuning.model} stay: none of {len(found.trials) - 1} other settings had a smaller loss."
    if not tuning.settings:
        return f"The defaults of {tuning.model} stay: the best of {len(found.trials)} trials gained {gained} on users who did not choose it, no more than noise."
    return f"{tuning.model} is fitted with {_told(tuning.settings)}: a gain of {gained} on users who did not choose it."


def _how(tuning: Tuning) -> str:
    days = ", ".join(str(date_of(o)) for o in tuning.origins)
    return (
        f"Each trial was fitted anew at {days} on what was known then and judged by {tuning.n_users:,} outcomes since; users of even buckets chose, "
        f"those of odd buckets confirmed. The search ended because {tuning.found.ended}."
    )


def _grid(trials: Sequence[Trial]) -> Grid:
    fields = (
        Field(name="trial", label="Trial", form=Form.INTEGER),
        Field(name="settings", label="Settings"),
        Field(name="gain", label="Gain over the defaults", form=Form.SHARE),
        Field(name="std_error", label="Standard error", form=Form.SHARE),
        Field(name="seconds", label="Seconds", form=Form.NUMBER),
        Field(name="stopped", label="Stopped early", form=Form.BOOLEAN),
    )
    rows = [
        (t.number, _told(t.settings), t.gain.share, t.gain.std_error, t.seconds, t.stopped_early)
        for t in trials
    ]
    return Grid.of("trials", "Every trial", fields, rows)


def _told(settings: ModelSettings) -> str:
    if not settings:
        return "the defaults"
    return ", ".join(
        f"{k} {' '.join(v)}" if isinstance(v, tuple) else f"{k} {v:.4g}" for k, v in settings.items()
    )
