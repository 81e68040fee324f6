"""What a model is: it learns from a snapshot and predicts the mean outcome of each row.

A model returns a ``Predictor``; intervals are made the same way for all of them (``forecasting``), from
how far the predictor was off on windows that have matured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Snapshot, Task
from headwater.engine.arrays import column_floats
from headwater.engine.engine import Engine
from headwater.learners.tuning import SettingValue
from headwater.snapshots.rows import mature_rows, rows_at

__all__ = [
    "Draws",
    "Floats",
    "Model",
    "ModelSettings",
    "Pairs",
    "Predictor",
    "Setting",
    "State",
    "Training",
    "model_members",
    "require_signal",
]

Floats = NDArray[np.float64]
State = Mapping[str, object]
ModelSettings = Mapping[str, SettingValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting that a model takes: a number between ``low`` and ``high`` (whole where its default is), or names."""

    name: str
    about: str
    default: SettingValue
    low: float = 0.0
    high: float = 0.0

    @property
    def wanted(self) -> str:
        """What its value must be."""
        if isinstance(self.default, tuple):
            return "a list of names, each once"
        whole = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{whole} from {self.low:g} to {self.high:,g}"

    def read(self, value: object) -> SettingValue | None:
        """The value as it is used; None where it is none that could be."""
        match self.default, value:
            case tuple(), list() | tuple():
                names = tuple(str(v) for v in value if isinstance(v, str))
                return names if len(names) == len(set(names)) == len(value) else None
            case int(), int() if not isinstance(value, bool) and self.low <= value <= self.high:
                return value
            case float(), int() | float() if not isinstance(value, bool) and self.low <= value <= self.high:
                return float(value)
            case _:
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Predictions and outcomes of the same rows, for judging errors. Shapes (n_rows,)."""

    predicted: Floats
    actual: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """A model's own spread of outcomes: bounds at a level and the variance. Shapes (n_rows,)."""

    low: Floats
    high: Floats
    variance: Floats


class Predictor(Protocol):
    """A fitted model's point forecasts."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns that ``predict`` reads."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a reader must know of the fit."""
        ...

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What a reader may want to know of the fit: label and value."""
        ...

    @property
    def held_out(self) -> Pairs | None:
        """Predictions made without the row's own user, at the latest matured cutoff, where the model could have memorized it.

        What is set afterwards (a total, a calibration, weights of a blend) is learned from other users, too.
        In the order of ``Training.last_matured``.
        """
        ...

    def predict(self, rows: pa.Table) -> Floats:
        """The expected outcome of each row, in the target's unit."""
        ...

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        """The model's own predictive spread, or None where it has none."""
        ...

    def state(self) -> State:
        """Everything needed to predict again: numbers and text only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model may learn from: the snapshot (nothing in it is later than it was built for) and the task.

    ``standing_at`` is an earlier cutoff from which the same snapshot is seen (``back_at``). ``shared`` holds
    what was fitted on it, so that blends and their members are fitted once; ``root`` is what the randomness of
    a model comes from (the seed of ``rng`` unless a blend passes its own on). ``calendar`` names
    dated events (holidays, promotions) with their app days: past ones, and those planned at the cutoff.
    ``by_model`` are the settings declared for each model, which ``fitted`` hands to it as its own ``settings``.
    """

    snapshot: Snapshot
    task: Task
    engine: Engine
    rng: np.random.Generator
    threads: int = field(default=2)
    standing_at: int | None = None
    root: tuple[int, ...] = ()
    shared: dict[tuple[object, ...], Predictor | DataError] = field(
        default_factory=dict[tuple[object, ...], "Predictor | DataError"], compare=False, repr=False
    )
    calendar: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    by_model: Mapping[str, ModelSettings] = field(default_factory=dict[str, ModelSettings])
    settings: ModelSettings = field(default_factory=dict[str, SettingValue])

    @property
    def now(self) -> int:
        """The latest cutoff, or the earlier one at which this training stands."""
        return max(self.snapshot.cutoffs) if self.standing_at is None else self.standing_at

    @property
    def rungs(self) -> tuple[int, ...]:
        """The horizons of the snapshot up to the task's own, in days, the task's last."""
        return tuple(h for h in sorted(self.snapshot.horizons) if h <= self.task.horizon_days)

    @property
    def past_cutoffs(self) -> tuple[int, ...]:
        """Cutoffs before now whose window has ended by now: where a model can be tried before it is trusted."""
        return tuple(c for c in sorted(self.snapshot.cutoffs) if c + self.task.horizon_days <= self.now)

    def back_at(self, cutoff: int) -> Training:
        """The same training as it stood at an earlier cutoff of the snapshot: no later window is seen.

        Outcomes of windows that had ended by then hold what became known of them since (a late refund); a
        snapshot taken ``as_of`` that day would not.
        """
        return replace(self, standing_at=cutoff)

    def fitted(self, name: str, model: type[Model]) -> Predictor:
        """A model fitted on this training, once, by its settings and randomness of its own.

        Raises the ``DataError`` of its fit.
        """
        depends = [(m, *sorted(self.by_model.get(m, {}).items())) for m in (name, *model_members(model))]
        key = (name, self.now, *depends)
        if key not in self.shared:
            try:
                root = self._root
                own = np.random.default_rng([*root, *name.encode()])
                settings = self.by_model.get(name, {})
                self.shared[key] = model().fit(replace(self, rng=own, root=root, settings=settings))
            except DataError as error:
                self.shared[key] = error
        found = self.shared[key]
        if isinstance(found, DataError):
            raise found
        return found

    @property
    def _root(self) -> tuple[int, ...]:
        """What every model's own randomness is drawn from, whoever fits it: a blend, or the backtest."""
        if self.root:
            return self.root
        seed: Any = self.rng.bit_generator.seed_seq
        return tuple(int(e) for e in np.atleast_1d(seed.entropy))

    def target_of(self, rung: int) -> str:
        """The target column of another horizon of the snapshot."""
        return f"{self.task.value}_next_{rung}d"

    def mature(self, columns: tuple[str, ...], *, rung: int | None = None) -> pa.Table:
        """Rows whose target window (of ``rung`` days, the task's unless given) ended by now."""
        days = self.task.horizon_days if rung is None else rung
        rows = mature_rows(self.snapshot, self.target_of(days), columns)
        if self.standing_at is None:
            return rows
        return rows.filter(pc.less_equal(pc.add(rows.column("cutoff"), days), self.standing_at))

    def last_matured(self, columns: tuple[str, ...]) -> pa.Table:
        """Rows of the latest cutoff whose window has ended: each user once, the most recent behavior."""
        rows = self.mature(columns)
        return rows.filter(pc.equal(rows.column("cutoff"), pc.max(rows.column("cutoff"))))

    def at_now(self, columns: tuple[str, ...]) -> pa.Table:
        """Rows of the latest cutoff."""
        return rows_at(self.snapshot, self.now, columns)


class Model(Protocol):
    """A forecasting model on the shelf.

    ``simplicity`` ranks models: the lower, the simpler. ``by_default`` says whether it stands in a backtest
    for which no models are named: not where it needs an extra, or long, or another model says much the same.
    A model may also have ``takes`` (its settings), ``dials`` (those a search may turn), ``needs`` (a library and
    the extra that brings it), ``any_stretch`` (whether a fit can be asked about any stretch of the calendar) and, a blend,
    ``members``.
    """

    about: ClassVar[str]
    simplicity: ClassVar[int]
    by_default: ClassVar[bool]

    def fit(self, training: Training) -> Predictor:
        """Learn. Raises ``DataError`` where the data cannot carry the model."""
        ...

    def restore(self, task: Task, state: State) -> Predictor:
        """The predictor of a saved state. Raises ``KeyError`` or ``ValueError`` where it does not fit."""
        ...


def model_members(model: type[Model]) -> tuple[str, ...]:
    """The names of a blend's members; none of any other model."""
    return tuple(getattr(model, "members", ()))


def require_signal(training: Training, rows: pa.Table) -> Floats:
    """The matured outcomes, refusing where nothing can be learned from them. Raises ``DataError``."""
    actual = column_floats(rows, training.task.target)
    if actual.size == 0:
        raise DataError(
            "fit.no_mature_target",
            what=f"No window of {training.task.horizon_days} days has ended inside the log.",
            why="The model learns from windows that have ended; an unfinished window is not a zero.",
            do="Use a shorter horizon, an earlier cutoff or a longer log; the buy-till-you-die models need no ended window.",
        )
    if actual.size < 50 or not np.any(actual > 0):
        raise DataError(
            "fit.nothing_to_learn",
            what=f"{actual.size:,} matured rows, {int(np.count_nonzero(actual > 0)):,} of them above zero.",
            why="A model of so little would be an invention.",
            do="Check the measure, or use a longer log.",
        )
    return actual
