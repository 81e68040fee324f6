"""What the buy-till-you-die models share: grouped fitting, money through Gamma-Gamma, refunds, exact draws.

A process says how many purchase days are to come; Gamma-Gamma says what one is worth; a stated factor
takes off what is given back on days without a purchase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Pairs, State, Training
from headwater.models.spend import FEWEST_REPEATERS, Worth, fit_findings, restore_worth, worth_of
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows
from headwater.snapshots.rows import grouped_counts

__all__ = ["Process", "fit_process", "restore_process"]

_MANY_USERS, _FEW_DRAWS, _MANY_DRAWS = 100_000, 100, 400
_CHUNK = 20_000


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

    def draw(
        self, params: Any, users: RfmRows, horizon: float, *, rng: np.random.Generator, n_draws: int
    ) -> Any:
        """Drawn purchase days, shape (n_draws, n_users)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    task: Task
    process: Process
    params: Any
    worth: Worth
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]
    held_out: Pairs | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return _columns(self.task)

    def predict(self, rows: pa.Table) -> Floats:
        users, value, bought = self._read(rows)
        mean = np.full(bought.shape, self.worth.never)
        if bought.any():
            days = self.process.expected(self.params, users, float(self.task.horizon_days))
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
        return {"params": asdict(self.params), **self.worth.state()}

    def _read(self, rows: pa.Table) -> tuple[RfmRows, Floats, NDArray[np.bool_]]:
        """The users with an occasion, their value on repeat days, and which of the rows they are."""
        x, t_x, T, value = (column_floats(rows, c) for c in self.columns)
        bought = np.isfinite(x)
        if not bought.any():
            return RfmRows.of([0.0], t_x=[0.0], T=[0.0]), np.zeros(0), bought
        return RfmRows.of(x[bought], t_x=t_x[bought], T=T[bought]), value[bought], bought

    def _draw(self, rows: pa.Table, *, rng: np.random.Generator, n_draws: int) -> Floats:
        users, value, bought = self._read(rows)
        total = np.zeros((n_draws, bought.size))
        if not bought.any():
            return total
        days = self.process.draw(self.params, users, float(self.task.horizon_days), rng=rng, n_draws=n_draws)
        total[:, bought] = self.worth.draw(users.x, value, days, rng=rng)
        return total


def fit_process(process: Process, training: Training) -> _Fitted:
    """Fit a process on the latest cutoff, grouped in the engine to distinct (x, t_x, T).

    Raises ``DataError`` where there are too few customers or repeat customers.
    """
    task = training.task
    repeats, last, age, _ = _columns(task)
    (x, t_x, T), users = grouped_counts(
        training.engine, training.snapshot, training.now, (repeats, last, age)
    )
    n_repeaters = float(users[x > 0].sum())
    if n_repeaters < FEWEST_REPEATERS:
        raise DataError(
            "fit.few_repeaters",
            what=f"Only {n_repeaters:,.0f} of {users.sum():,.0f} users had a second day with {task.occasions}.",
            why="How often people come back cannot be learned from so few.",
            do="Use a longer log, or check which measure counts purchases.",
        )
    fit = process.fit(RfmRows(x=x, t_x=t_x, T=T, weights=users))
    worth, found, facts = worth_of(training)
    return _Fitted(
        task=task,
        process=process,
        params=fit.params,
        worth=worth,
        findings=(*fit_findings(fit), *found),
        facts=(*_fit_facts(fit, n_groups=x.size), *facts),
    )


def restore_process(process: Process, task: Task, state: State) -> _Fitted:
    """The fitted process of a saved state."""
    params = process.restore(cast("dict[str, float]", state["params"]))
    return _Fitted(
        task=task, process=process, params=params, worth=restore_worth(state), findings=(), facts=()
    )


def _columns(task: Task) -> tuple[str, str, str, str]:
    on = task.occasions
    value = f"{on}_repeats" if task.value == "active_days" else f"{task.value}_on_repeat_{on}"
    return f"{on}_repeats", f"{on}_first_to_last", f"{on}_age", value


def _fit_facts(fit: Fit[Any], *, n_groups: int) -> list[tuple[str, str]]:
    numbers = [(k, f"{v:.4g}") for k, v in asdict(fit.params).items()]
    return [
        *numbers,
        ("log-likelihood", f"{fit.log_likelihood:,.1f}"),
        ("distinct histories", f"{n_groups:,} of {fit.n_users:,.0f} users"),
    ]
