"""What the buy-till-you-die models share: grouped fitting, what a purchase day is worth, refunds, exact draws.

A process says how many purchase days are to come; ``Worth`` says what one is worth. A ``Form`` says how
rows are read for the process: as they are, on a clock that runs with the seasons, or with parameters of
their own for users of one kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Pairs, Predictor, State, Training
from headwater.models.spend import FEWEST_REPEATERS, Worth, fit_findings, restore_worth, worth_of
from headwater.numerics.inference import ParameterInterval, akaike, parameter_intervals, schwarz
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import Ints, RfmRows
from headwater.snapshots.rows import grouped_counts

__all__ = [
    "Case",
    "Form",
    "Process",
    "assembled",
    "fit_facts",
    "fit_process",
    "grouped_histories",
    "history_columns",
    "require_repeaters",
    "restore_process",
    "restored",
]

_MANY_USERS, _FEW_DRAWS, _MANY_DRAWS = 100_000, 100, 400
_CHUNK = 20_000
_LEVEL = 0.9


class Process(Protocol):
    """A purchase process: the functions of one numerics module, over users' ``RfmRows``."""

    def fit(self, rows: RfmRows) -> Fit[Any]:
        """Maximum likelihood on grouped rows."""
        ...

    def restore(self, params: Mapping[str, float]) -> Any:
        """Parameters from plain numbers."""
        ...

    def expected(self, params: Any, users: RfmRows, horizon: float) -> Floats:
        """Expected purchase days of each user over the horizon."""
        ...

    def alive(self, params: Any, users: RfmRows) -> Floats:
        """Probability that each user is still a customer."""
        ...

    def draw(
        self, params: Any, users: RfmRows, horizon: float, *, rng: np.random.Generator, n_draws: int
    ) -> Any:
        """Drawn purchase days, shape (n_draws, n_users)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """Users (``which`` of those read) with one set of parameters and one horizon, on the process's own clock."""

    which: Ints | slice
    users: RfmRows
    params: Any
    horizon: float


class Form(Protocol):
    """How rows are read for a process."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot columns it reads beside the histories."""
        ...

    def cases(self, rows: pa.Table, users: RfmRows, *, horizon_days: int) -> Iterator[Case]:
        """The users of ``rows``, in days, apart by parameters and horizon; every user is in one case."""
        ...

    def state(self) -> State:
        """The parameters and all else that a saved model needs, numbers and text only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plain:
    params: Any

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def cases(
        self,
        rows: pa.Table,  # noqa: ARG002  other forms read columns of their own
        users: RfmRows,
        *,
        horizon_days: int,
    ) -> Iterator[Case]:
        yield Case(which=slice(None), users=users, params=self.params, horizon=float(horizon_days))

    def state(self) -> State:
        return {"params": asdict(self.params)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    task: Task
    process: Process
    form: Form
    worth: Worth
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]
    held_out: Pairs | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (*history_columns(self.task), *self.form.columns)

    def predict(self, rows: pa.Table) -> Floats:
        users, value, bought = self._read(rows)
        mean = np.full(bought.shape, self.worth.never)
        if bought.any():
            days = np.empty(users.x.size)
            for case in self._cases(rows, users, bought):
                days[case.which] = self.process.expected(case.params, case.users, case.horizon)
            mean[bought] = days * self.worth.of_a_day(users.x, value) * self.worth.kept_share
        return mean

    def spread(self, rows: pa.Table, *, level: float, rng: np.random.Generator) -> Draws | None:
        n_draws = _MANY_DRAWS if rows.num_rows <= _MANY_USERS else _FEW_DRAWS
        parts = [
            self._draw(rows.slice(at, _CHUNK), rng=rng, n_draws=n_draws)
            for at in range(0, rows.num_rows, _CHUNK)
        ]
        tail = (1 - level) / 2
        bounds = [np.quantile(p, [tail, 1 - tail], axis=0) for p in parts]
        return Draws(
            low=np.concatenate([b[0] for b in bounds]),
            high=np.concatenate([b[1] for b in bounds]),
            variance=np.concatenate([p.var(axis=0) for p in parts]),
        )

    def state(self) -> State:
        return {**self.form.state(), **self.worth.state()}

    def _read(self, rows: pa.Table) -> tuple[RfmRows, Floats, NDArray[np.bool_]]:
        """The users with an occasion, their value on repeat days, and which of the rows they are."""
        x, t_x, T, value = (column_floats(rows, c) for c in history_columns(self.task))
        bought = np.isfinite(x)
        if not bought.any():
            return RfmRows.of([0.0], t_x=[0.0], T=[0.0]), np.zeros(0), bought
        return RfmRows.of(x[bought], t_x=t_x[bought], T=T[bought]), value[bought], bought

    def _cases(self, rows: pa.Table, users: RfmRows, bought: NDArray[np.bool_]) -> Iterator[Case]:
        read = rows if bought.all() else rows.filter(pa.array(bought))
        return self.form.cases(read, users, horizon_days=self.task.horizon_days)

    def _draw(self, rows: pa.Table, *, rng: np.random.Generator, n_draws: int) -> Floats:
        users, value, bought = self._read(rows)
        total = np.zeros((n_draws, bought.size))
        if not bought.any():
            return total
        days = np.zeros((n_draws, users.x.size), dtype=np.int64)
        for case in self._cases(rows, users, bought):
            days[:, case.which] = self.process.draw(
                case.params, case.users, case.horizon, rng=rng, n_draws=n_draws
            )
        total[:, bought] = self.worth.draw(users.x, value, days, rng=rng)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class _FittedPlain(_Fitted):
    """One set of parameters for all users, on the calendar's own time: it can be asked about any stretch of it."""

    params: Any


def fit_process(process: Process, training: Training) -> Predictor:
    """Fit a process on the latest cutoff, grouped in the engine to distinct (x, t_x, T).

    Raises ``DataError`` where there are too few customers or repeat customers.
    """
    rows = grouped_histories(training)
    fit = process.fit(rows)
    worth, found, facts = worth_of(training)
    return _FittedPlain(
        task=training.task,
        process=process,
        form=_Plain(params=fit.params),
        params=fit.params,
        worth=worth,
        findings=(*fit_findings(fit), *found),
        facts=(
            *fit_facts(fit, params=asdict(fit.params), n_groups=rows.x.size),
            ("AIC", f"{akaike(fit):,.1f}"),
            ("BIC", f"{schwarz(fit):,.1f}"),
            *facts,
        ),
    )


def assembled(
    process: Process,
    training: Training,
    *,
    form: Form,
    findings: list[Finding],
    facts: list[tuple[str, str]],
) -> Predictor:
    """The predictor of a fitted form, with what a purchase day is worth. Raises ``DataError`` (``fit.no_spend``)."""
    worth, found, more = worth_of(training)
    return _Fitted(
        task=training.task,
        process=process,
        form=form,
        worth=worth,
        findings=(*findings, *found),
        facts=(*facts, *more),
    )


def restore_process(process: Process, task: Task, state: State) -> Predictor:
    """The fitted process of a saved state."""
    params = process.restore(cast("Mapping[str, float]", state["params"]))
    return _FittedPlain(
        task=task,
        process=process,
        form=_Plain(params=params),
        params=params,
        worth=restore_worth(state),
        findings=(),
        facts=(),
    )


def restored(process: Process, task: Task, state: State, *, form: Form) -> Predictor:
    """The predictor of a saved state, its form read already."""
    return _Fitted(task=task, process=process, form=form, worth=restore_worth(state), findings=(), facts=())


def grouped_histories(training: Training) -> RfmRows:
    """The distinct histories at the latest cutoff. Raises ``DataError`` (``fit.few_repeaters``)."""
    columns = history_columns(training.task)[:3]
    (x, t_x, T), users = grouped_counts(training.engine, training.snapshot, training.now, columns)
    require_repeaters(training.task, x=x, users=users)
    return RfmRows(x=x, t_x=t_x, T=T, weights=users)


def require_repeaters(task: Task, *, x: Floats, users: Floats) -> None:
    """Raise ``DataError`` (``fit.few_repeaters``) where too few users came back."""
    n_repeaters = float(users[x > 0].sum())
    if n_repeaters < FEWEST_REPEATERS:
        raise DataError(
            "fit.few_repeaters",
            what=f"Only {n_repeaters:,.0f} of {users.sum():,.0f} users had a second day with {task.occasions}.",
            why="How often people come back cannot be learned from so few.",
            do="Use a longer log, or check which measure counts purchases.",
        )


def history_columns(task: Task) -> tuple[str, str, str, str]:
    """The columns of x, t_x, T and the value on repeat days."""
    on = task.occasions
    value = f"{on}_repeats" if task.value == "active_days" else f"{task.value}_on_repeat_{on}"
    return f"{on}_repeats", f"{on}_first_to_last", f"{on}_age", value


def fit_facts(fit: Fit[Any], *, params: Mapping[str, float], n_groups: int) -> list[tuple[str, str]]:
    """What a reader may want to know of the fit: the parameters with their errors by the Hessian, and how well it fits."""
    intervals = parameter_intervals(fit, level=_LEVEL)
    known = {i.name: (float(e), i) for i, e in zip(intervals, fit.std_errors, strict=True)}
    return [
        *((k, _with_error(v, known.get(k))) for k, v in params.items()),
        ("log-likelihood", f"{fit.log_likelihood:,.1f}"),
        ("distinct histories", f"{n_groups:,} of {fit.n_users:,.0f} users"),
    ]


def _with_error(value: float, known: tuple[float, ParameterInterval] | None) -> str:
    if known is None:
        return f"{value:.4g}"
    error, interval = known
    if not np.isfinite(error):
        return f"{value:.4g} (at a limit: its error is not known)"
    return f"{value:.4g} (standard error {error:.2g}; {interval.level:.0%} interval {interval.low:.4g} to {interval.high:.4g})"
