"""A search over settings by Optuna (the extra ``tune``), judged in pairs against the defaults, within a time budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.core.errors import UsageError
from headwater.numerics.calibration import Gain, paired_gain

__all__ = ["Dial", "Losses", "Search", "SettingValue", "Trial", "search", "search_library"]

Floats = NDArray[np.float64]
SettingValue = int | float | tuple[str, ...]
_IDLE_TRIALS = 25
_HOPELESS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """A setting that may be turned: its bounds, whether it takes whole numbers, and whether its steps are ratios."""

    name: str
    low: float
    high: float
    whole: bool = False
    ratios: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The loss of each user at one origin and the bucket of each, in one order for all settings. Shapes (n_users,)."""

    values: Floats
    buckets: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Settings that were tried. ``gain`` is over the defaults, on the users that choose; ``stopped_early`` saw fewer origins."""

    number: int
    settings: Mapping[str, SettingValue]
    loss: float
    gain: Gain
    seconds: float
    stopped_early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All trials, the defaults first; the best of them, and its gain over the defaults on users who did not choose it.

    ``settings`` are the best trial's where that gain is clear, otherwise none: the defaults stay.
    """

    settings: Mapping[str, SettingValue]
    best: Trial
    confirmed: Gain
    trials: tuple[Trial, ...]
    ended: str


def search(
    judge: Callable[[Mapping[str, SettingValue]], Iterator[Losses]],
    *,
    dials: Sequence[Dial],
    first: Sequence[Mapping[str, SettingValue]] = (),
    seconds: float,
    most_trials: int | None = None,
    clock: Callable[[], float],
    rng: np.random.Generator,
) -> Search:
    """Try the defaults, then ``first`` one by one, then what a tree-structured Parzen estimator proposes in the best of these.

    ``judge`` yields the losses of one origin after another under some settings (none: the defaults). Users of even
    buckets choose, those of odd buckets confirm, so that the best of many trials is not believed for its luck. A
    trial that is clearly behind at its first origins is stopped there. The search ends when ``seconds`` by
    ``clock`` are over (the trial under way is finished), after ``most_trials`` beside the defaults, or when 25 in
    a row were no better than the best.

    Raises ``UsageError`` (``extra.missing``) without Optuna.
    """
    optuna = search_library()
    sampler = optuna.samplers.TPESampler(seed=int(rng.integers(2**31 - 1)))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    space = {d.name: _distribution(optuna, d) for d in dials}
    start = clock()
    defaults = list(judge({}))
    run = _Run(judge, defaults, clock)
    run.keep({}, defaults, seconds=clock() - start, stopped_early=False)
    ended = f"{_IDLE_TRIALS} trials in a row were no better"
    waiting, begin = list(first), run.best.settings
    while run.idle < _IDLE_TRIALS:
        if clock() - start >= seconds:
            ended = f"{seconds:g} seconds were over"
            break
        if most_trials is not None and run.n_tried >= most_trials:
            ended = f"{most_trials} trials were made"
            break
        if waiting:
            run.attempt(waiting.pop(0))
            begin = run.best.settings
            continue
        asked = study.ask(fixed_distributions=space)
        trial = run.attempt({**begin, **{name: _short(value) for name, value in asked.params.items()}})
        study.tell(asked, trial.loss)
    return run.ended(ended)


class _Run:
    """The trials so far, the best of them, and how many in a row were no better."""

    def __init__(
        self,
        judge: Callable[[Mapping[str, SettingValue]], Iterator[Losses]],
        defaults: Sequence[Losses],
        clock: Callable[[], float],
    ) -> None:
        self._judge, self._defaults, self._clock = judge, defaults, clock
        self._trials: list[Trial] = []
        self._losses: dict[int, Sequence[Losses]] = {}
        self._best = 0
        self.idle = 0

    @property
    def best(self) -> Trial:
        """The best so far."""
        return self._trials[self._best]

    @property
    def n_tried(self) -> int:
        """How many settings were tried beside the defaults."""
        return len(self._trials) - 1

    def attempt(self, settings: Mapping[str, SettingValue]) -> Trial:
        """Judge settings at one origin after another, as long as they may still win."""
        start, seen, hopeless = self._clock(), [], False
        for losses in self._judge(settings):
            seen.append(losses)
            so_far = _gain(self._defaults[: len(seen)], seen, odd=False)
            hopeless = len(seen) < len(self._defaults) and so_far.share < -_HOPELESS * so_far.std_error
            if hopeless:
                break
        return self.keep(settings, seen, seconds=self._clock() - start, stopped_early=hopeless)

    def keep(
        self,
        settings: Mapping[str, SettingValue],
        losses: Sequence[Losses],
        *,
        seconds: float,
        stopped_early: bool,
    ) -> Trial:
        """Log a trial, and make it the best where it is."""
        gain = _gain(self._defaults[: len(losses)], losses, odd=False)
        trial = Trial(
            number=len(self._trials),
            settings=dict(settings),
            loss=-gain.share,
            gain=gain,
            seconds=seconds,
            stopped_early=stopped_early,
        )
        self._trials.append(trial)
        self.idle += 1
        if not stopped_early and (trial.number == 0 or trial.loss < self.best.loss):
            self._losses, self._best, self.idle = {trial.number: losses}, trial.number, 0
        return trial

    def ended(self, why: str) -> Search:
        """What the search found, confirmed by users who did not choose it."""
        confirmed = _gain(self._defaults, self._losses[self._best], odd=True)
        return Search(
            settings=self.best.settings if confirmed.clear else {},
            best=self.best,
            confirmed=confirmed,
            trials=tuple(self._trials),
            ended=why,
        )


def _gain(before: Sequence[Losses], after: Sequence[Losses], *, odd: bool) -> Gain:
    """The gain over all origins together, of users in odd or in even buckets."""
    old, new = (np.concatenate([o.values for o in side]) for side in (before, after))
    buckets = np.concatenate([o.buckets for o in before])
    judged = buckets % 2 == int(odd)
    return paired_gain(old[judged], new[judged], clusters=buckets[judged])


def _short(value: float) -> float:
    """A number as people write it: three digits say all that a search knows."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def _distribution(optuna: Any, dial: Dial) -> Any:
    if dial.whole:
        return optuna.distributions.IntDistribution(int(dial.low), int(dial.high), log=dial.ratios)
    return optuna.distributions.FloatDistribution(dial.low, dial.high, log=dial.ratios)


def search_library() -> Any:
    """Optuna, opened when something is tuned. Raises ``UsageError`` (``extra.missing``)."""
    try:
        optuna: Any = import_module("optuna")
    except ModuleNotFoundError:
        raise UsageError(
            "extra.missing",
            what="'optuna' is not installed.",
            why="It searches the settings; nothing was tuned.",
            do="pip install 'headwater[tune]'.",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
