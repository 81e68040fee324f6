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
from headwater.learners.tuning import Dial, Losses, Search, SettingValue, search, search_library
from headwater.models.feature_groups import feature_groups
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import Model, ModelSettings, Training, model_members
from headwater.numerics.calibration import mean_loss
from headwater.snapshots.rows import rows_at

__all__ = ["Tuning", "dials_of", "tune"]

_MOST_ORIGINS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning(Shown):
    """What was tried for a model, what it bought, and what is to be changed (nothing: what stands stays).

    ``standing`` are the settings that trials were judged against, where they are not the defaults.
    """

    model: str
    origins: tuple[int, ...]
    n_users: int
    standing: ModelSettings
    found: Search

    @property
    def settings(self) -> ModelSettings:
        """What the model is to be fitted with: those that stand, and what was found where it is beyond noise."""
        return {**self.standing, **self.found.settings}

    def blocks(self) -> tuple[Block, ...]:
        """The decision, then every trial."""
        return Prose(text=_decision(self), lead=True), Prose(text=_how(self)), _grid(self)


def tune(
    model_name: str,
    training: Training,
    *,
    seconds: float,
    clock: Callable[[], float],
    rng: np.random.Generator,
    trials: int | None = None,
    origins: Sequence[int] | None = None,
) -> Tuning:
    """Search a model's settings on the latest past cutoffs whose windows have ended by now.

    At each such origin the model is fitted on what was known then, and its forecasts are judged by what
    happened (``numerics.calibration.mean_loss``). First the settings that stand (``training.by_model``, else the
    defaults), then these without each group of features, then what the search proposes. Nothing after
    ``training.now`` is seen.

    Parameters
    ----------
    seconds, clock
        The budget, and what tells the time (``time.monotonic``); below the app nothing reads a clock.
    trials
        The most trials beside the first; with endless seconds the search is the same again for a seed.
    origins
        Past cutoffs that may be judged at; the latest three at which the model can be fitted are (of all, unless given).

    Raises
    ------
    UsageError
        ``tune.no_settings``: the model has none to tune. ``extra.missing``: Optuna is not installed.
    DataError
        ``tune.no_past``: the model can be fitted at no past origin.
    """
    dials = dials_of(model_name)
    search_library()
    model = LTV_MODELS.load(model_name)()
    standing = training.by_model.get(model_name, {})
    judge = _Judge(model, training, standing, seed=int(rng.integers(2**31 - 1)))
    past = training.past_cutoffs
    chosen = judge.usable(past if origins is None else [o for o in origins if o in past])
    found = search(
        lambda settings: judge(settings, chosen),
        dials=dials,
        first=_without_each(training, standing),
        seconds=seconds,
        most_trials=trials,
        clock=clock,
        rng=rng,
    )
    n_users = sum(_outcomes(training, o, ()).num_rows for o in chosen)
    return Tuning(model=model_name, origins=chosen, n_users=n_users, standing=standing, found=found)


def dials_of(model: str) -> tuple[Dial, ...]:
    """What of a model can be tuned. Raises ``UsageError``: ``shelf.unknown``, ``tune.no_settings``."""
    dials: tuple[Dial, ...] = tuple(getattr(LTV_MODELS.load(model), "dials", ()))
    if not dials:
        members = model_members(LTV_MODELS.load(model))
        able = [m for m in members or LTV_MODELS.names() if getattr(LTV_MODELS.load(m), "dials", ())]
        raise UsageError(
            "tune.no_settings",
            what=f"{model} has no settings to tune{' of its own' if members else ''}.",
            why="It blends its members as they are."
            if members
            else "It is fitted by likelihood or by counting; there is nothing to search.",
            do=f"Tune {' or '.join(able)}." if able else "Tune one of the LightGBM models.",
        )
    return dials


class _Judge:
    """How well a model would have done at past origins with some settings in place of those that stand."""

    def __init__(self, model: Model, training: Training, standing: ModelSettings, *, seed: int) -> None:
        self._model, self._training, self._standing, self._seed = model, training, standing, seed

    def __call__(self, settings: ModelSettings, origins: Sequence[int]) -> Iterator[Losses]:
        """The losses of all users of each origin, by the model as it would have been fitted then."""
        for origin in origins:
            then = replace(
                self._training.back_at(origin),
                settings={**self._standing, **settings},
                shared={},
                rng=np.random.default_rng(self._seed),
            )
            fitted = self._model.fit(then)
            rows = _outcomes(self._training, origin, fitted.columns)
            actual = column_floats(rows, self._training.task.target)
            yield Losses(
                values=mean_loss(fitted.predict(rows), actual),
                buckets=column_floats(rows, "bucket").astype(np.int64),
            )

    def usable(self, origins: Sequence[int]) -> tuple[int, ...]:
        """The latest origins at which the model can be fitted, in order; at most three."""
        usable: list[int] = []
        why = "no past cutoff has a window that ended by now"
        for origin in sorted(origins, reverse=True)[:_MOST_ORIGINS]:
            try:
                next(self({}, (origin,)))
            except DataError as error:
                why = error.finding.what
                break
            usable.append(origin)
        if not usable:
            raise DataError(
                "tune.no_past",
                what=f"The model can be tried at no past cutoff: {why}",
                why="Settings chosen on the rows they were fitted with are chosen for remembering them.",
                do="Use more and earlier cutoffs, a shorter horizon or a longer log.",
            )
        return tuple(reversed(usable))


def _without_each(training: Training, standing: ModelSettings) -> list[ModelSettings]:
    """The settings that leave one more group of features out each, but for groups with a column that is spoken of."""
    gone, *spoken = (_names(standing.get(k, ())) for k in ("without", "rising", "falling"))
    groups = feature_groups(training.snapshot)
    left = {g: c for g, c in groups.items() if g not in gone}
    if len(left) < 2:
        return []
    return [{"without": (*gone, g)} for g, c in left.items() if not {n for s in spoken for n in s} & set(c)]


def _names(value: SettingValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _outcomes(training: Training, origin: int, columns: Sequence[str]) -> pa.Table:
    target = training.task.target
    rows = rows_at(training.snapshot, origin, tuple(dict.fromkeys([*columns, "bucket", target])))
    return rows.filter(pc.is_valid(rows.column(target)))


def _decision(tuning: Tuning) -> str:
    found, stand = tuning.found, _stand(tuning)
    gained = f"{found.confirmed.share:+.2%} (standard error {found.confirmed.std_error:.2%})"
    if found.best.number == 0:
        return f"{stand} of {tuning.model} stay: none of {len(found.trials) - 1} other settings had a smaller loss."
    if not found.settings:
        return f"{stand} of {tuning.model} stay: the best of {len(found.trials)} trials gained {gained} on users who did not choose it, no more than noise."
    return f"{tuning.model} is better fitted with {_told(found.settings)}: a gain of {gained} on users who did not choose it."


def _stand(tuning: Tuning) -> str:
    return "The settings that stand" if tuning.standing else "The defaults"


def _how(tuning: Tuning) -> str:
    days = ", ".join(str(date_of(o)) for o in tuning.origins)
    return (
        f"Each trial was fitted anew at {days} on what was known then and judged by {tuning.n_users:,} outcomes since; users of even buckets chose, "
        f"those of odd buckets confirmed. The search ended because {tuning.found.ended}."
    )


def _grid(tuning: Tuning) -> Grid:
    stand = _stand(tuning)[4:]
    fields = (
        Field(name="trial", label="Trial", form=Form.INTEGER),
        Field(name="settings", label="Settings"),
        Field(name="gain", label=f"Gain over the {stand}", form=Form.SHARE),
        Field(name="std_error", label="Standard error", form=Form.SHARE),
        Field(name="seconds", label="Seconds", form=Form.NUMBER),
        Field(name="stopped", label="Stopped early", form=Form.BOOLEAN),
    )
    rows = [
        (
            t.number,
            _told(t.settings) or f"the {stand}",
            t.gain.share,
            t.gain.std_error,
            t.seconds,
            t.stopped_early,
        )
        for t in tuning.found.trials
    ]
    return Grid.of("trials", "Every trial", fields, rows)


def _told(settings: ModelSettings) -> str:
    return ", ".join(
        f"{k} {' '.join(v)}" if isinstance(v, tuple) else f"{k} {v:.4g}" for k, v in settings.items()
    )
