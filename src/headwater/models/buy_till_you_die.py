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
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.core.table import Kind
from headwater.engine.arrays import column_floats
from headwater.models.model import Draws, Floats, Pairs, State, Training
from headwater.numerics import gamma_gamma
from headwater.numerics.gamma_gamma import GammaGammaParams, SpendRows
from headwater.numerics.maximize import Fit
from headwater.numerics.rfm import RfmRows
from headwater.snapshots.rows import grouped_counts

__all__ = ["Process", "fit_process", "restore_process"]

_MANY_USERS, _FEW_DRAWS, _MANY_DRAWS = 100_000, 100, 400
_CHUNK = 20_000
_FEWEST_REPEATERS = 30


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
class _Worth:
    """What a purchase day is worth: Gamma-Gamma for money, one factor for counts; and what is kept of it."""

    spend: GammaGammaParams | None
    per_day: float
    kept_share: float
    never: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    task: Task
    process: Process
    params: Any
    worth: _Worth
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
            mean[bought] = days * self._day_worth(users, value) * self.worth.kept_share
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
        spend = asdict(self.worth.spend) if self.worth.spend else None
        worth = {
            "per_day": self.worth.per_day,
            "kept_share": self.worth.kept_share,
            "never": self.worth.never,
        }
        return {"params": asdict(self.params), "spend": spend, **worth}

    def _read(self, rows: pa.Table) -> tuple[RfmRows, Floats, NDArray[np.bool_]]:
        """The users with an occasion, their value on repeat days, and which of the rows they are."""
        x, t_x, T, value = (column_floats(rows, c) for c in self.columns)
        bought = np.isfinite(x)
        if not bought.any():
            return RfmRows.of([0.0], t_x=[0.0], T=[0.0]), np.zeros(0), bought
        return RfmRows.of(x[bought], t_x=t_x[bought], T=T[bought]), value[bought], bought

    def _day_worth(self, users: RfmRows, value: Floats) -> Floats:
        if self.worth.spend is None:
            return np.full(value.shape, self.worth.per_day)
        repeats, mean_spend = _spend_inputs(users.x, value)
        return gamma_gamma.expected_spend(self.worth.spend, x=repeats, z=mean_spend)

    def _draw(self, rows: pa.Table, *, rng: np.random.Generator, n_draws: int) -> Floats:
        users, value, bought = self._read(rows)
        total = np.zeros((n_draws, bought.size))
        if not bought.any():
            return total
        days = self.process.draw(self.params, users, float(self.task.horizon_days), rng=rng, n_draws=n_draws)
        if self.worth.spend is None:
            total[:, bought] = days * self.worth.per_day * self.worth.kept_share
            return total
        repeats, mean_spend = _spend_inputs(users.x, value)
        money = gamma_gamma.draw_total_spend(
            self.worth.spend, x=repeats, z=mean_spend, n_purchases=days, rng=rng
        )
        total[:, bought] = money * self.worth.kept_share
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
    if n_repeaters < _FEWEST_REPEATERS:
        raise DataError(
            "fit.few_repeaters",
            what=f"Only {n_repeaters:,.0f} of {users.sum():,.0f} users had a second day with {task.occasions}.",
            why="How often people come back cannot be learned from so few.",
            do="Use a longer log, or check which measure counts purchases.",
        )
    fit = process.fit(RfmRows(x=x, t_x=t_x, T=T, weights=users))
    worth, found, facts = _worth(training)
    return _Fitted(
        task=task,
        process=process,
        params=fit.params,
        worth=worth,
        findings=(*_fit_findings(fit), *found),
        facts=(*_fit_facts(fit, n_groups=x.size), *facts),
    )


def restore_process(process: Process, task: Task, state: State) -> _Fitted:
    """The fitted process of a saved state."""
    spend = cast("dict[str, float] | None", state["spend"])
    worth = _Worth(
        spend=GammaGammaParams(**spend) if spend else None,
        per_day=float(cast("float", state["per_day"])),
        kept_share=float(cast("float", state["kept_share"])),
        never=float(cast("float", state["never"])),
    )
    params = process.restore(cast("dict[str, float]", state["params"]))
    return _Fitted(task=task, process=process, params=params, worth=worth, findings=(), facts=())


def _columns(task: Task) -> tuple[str, str, str, str]:
    on = task.occasions
    value = f"{on}_repeats" if task.value == "active_days" else f"{task.value}_on_repeat_{on}"
    return f"{on}_repeats", f"{on}_first_to_last", f"{on}_age", value


def _spend_inputs(x: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Repeats and their mean spend; a mean that is not positive tells nothing about spending and is left out."""
    mean = np.divide(value, x, out=np.zeros_like(value), where=x > 0)
    usable = mean > 0
    return np.where(usable, x, 0.0), np.where(usable, mean, 1.0)


def _worth(training: Training) -> tuple[_Worth, list[Finding], list[tuple[str, str]]]:
    task = training.task
    never = _never_bought(training)
    if task.value == "active_days":
        return _Worth(spend=None, per_day=1.0, kept_share=1.0, never=never), [], []
    repeats, value = f"{task.occasions}_repeats", f"{task.value}_on_repeat_{task.occasions}"
    total, off = f"{task.value}_total", f"{task.value}_off_{task.occasions}"
    rows = training.at_now((repeats, value, total, off))
    x, on_repeat, all_of_it, off_days = (column_floats(rows, c) for c in (repeats, value, total, off))
    on_days = float(np.nansum(all_of_it) - np.nansum(off_days))
    kept = float(np.nansum(all_of_it)) / on_days if on_days > 0 else 1.0
    bought = np.isfinite(x)
    x, on_repeat = x[bought], on_repeat[bought]
    if _kind(training) is not Kind.MONEY:
        per_day = float(on_repeat.sum() / x.sum()) if x.sum() else 1.0
        return (
            _Worth(spend=None, per_day=per_day, kept_share=kept, never=never),
            [],
            [("per purchase day", f"{per_day:.3f}")],
        )
    return _money_worth(x, on_repeat, kept=kept, never=never)


def _money_worth(
    x: Floats, on_repeat: Floats, *, kept: float, never: float
) -> tuple[_Worth, list[Finding], list[tuple[str, str]]]:
    repeater = x > 0
    mean = on_repeat[repeater] / x[repeater]
    usable = mean > 0
    if usable.sum() < _FEWEST_REPEATERS:
        raise DataError(
            "fit.no_spend",
            what=f"Only {int(usable.sum()):,} repeat customers spent a positive amount.",
            why="What a purchase is worth cannot be learned from so few.",
            do="Check the money measure.",
        )
    fit = gamma_gamma.fit(
        SpendRows(x=x[repeater][usable], z=mean[usable], weights=np.ones(int(usable.sum())))
    )
    correlation = float(np.corrcoef(x[repeater][usable], mean[usable])[0, 1])
    gamma_gamma.population_mean(fit.params)
    findings = [
        *_fit_findings(fit),
        *_left_out(int((~usable).sum()), usable.size),
        *_correlated(correlation),
    ]
    facts = [(f"spend {k}", f"{v:.4g}") for k, v in asdict(fit.params).items()]
    facts += [
        ("kept after refunds", f"{kept:.1%}"),
        ("correlation of spend and frequency", f"{correlation:.2f}"),
    ]
    return _Worth(spend=fit.params, per_day=1.0, kept_share=kept, never=never), findings, facts


def _kind(training: Training) -> Kind:
    measure = next((m for m in training.snapshot.measures if m.label == training.task.value), None)
    return measure.kind if measure is not None else Kind.INTEGER


def _never_bought(training: Training) -> float:
    """The mean matured outcome of users without any occasion; zero where none has matured."""
    repeats = f"{training.task.occasions}_repeats"
    rows = training.mature((repeats,))
    without = ~np.isfinite(column_floats(rows, repeats))
    return float(column_floats(rows, training.task.target)[without].mean()) if without.any() else 0.0


def _fit_findings(fit: Fit[Any]) -> list[Finding]:
    found: list[Finding] = []
    if not fit.converged:
        found.append(
            Finding(
                code="fit.not_converged",
                severity=Severity.WARN,
                what=f"The search for {', '.join(fit.names)} stopped after {fit.iterations} steps without converging.",
                why="Its forecasts may be off, and its standard errors mean nothing.",
                do="Trust the backtest, not the parameters; prefer another model.",
            )
        )
    if fit.boundary:
        found.append(
            Finding(
                code="fit.at_boundary",
                severity=Severity.WARN,
                what=f"The best fit lies at the edge of what is possible for {', '.join(fit.boundary)}.",
                why="The data do not show the behavior these parameters describe (customers who differ, or who leave); they are not estimates.",
                do="Trust the backtest, not the parameters; a model without them may serve as well.",
            )
        )
    unsure = [n for n in fit.vague if n not in fit.boundary]
    if unsure:
        found.append(
            Finding(
                code="fit.vague",
                severity=Severity.NOTE,
                what=f"The data leave {', '.join(unsure)} open by a factor of 7 or more either way.",
                why="Other values fit almost as well: forecasts are about the same, a story told from these parameters is not.",
                do="Use the forecasts as the backtest allows; do not explain customers by these parameters.",
            )
        )
    return found


def _left_out(n: int, n_repeaters: int) -> list[Finding]:
    if n == 0:
        return []
    return [
        Finding(
            code="gamma_gamma.not_positive",
            severity=Severity.NOTE,
            what=f"{n:,} of {n_repeaters:,} repeat customers have a mean spend of zero or less (refunds).",
            why="Gamma-Gamma describes positive spend; they are left out of its fit and take the population's mean spend.",
            do="Nothing, while they are few.",
        )
    ]


def _correlated(correlation: float) -> list[Finding]:
    if abs(correlation) < 0.3:
        return []
    return [
        Finding(
            code="gamma_gamma.correlated",
            severity=Severity.WARN,
            what=f"Frequency and mean spend correlate at {correlation:.2f}.",
            why="Gamma-Gamma assumes that they do not; the value of frequent customers is misjudged.",
            do="Compare with the hurdle model in the backtest.",
        )
    ]


def _fit_facts(fit: Fit[Any], *, n_groups: int) -> list[tuple[str, str]]:
    numbers = [(k, f"{v:.4g}") for k, v in asdict(fit.params).items()]
    return [
        *numbers,
        ("log-likelihood", f"{fit.log_likelihood:,.1f}"),
        ("distinct histories", f"{n_groups:,} of {fit.n_users:,.0f} users"),
    ]
