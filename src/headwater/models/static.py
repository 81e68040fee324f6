"""What the models with static effects share: customers of one kind have parameters of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
import pyarrow as pa

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Task
from headwater.engine.arrays import column_floats
from headwater.models.attributes import Coding, code
from headwater.models.buy_till_you_die import (
    Case,
    Process,
    assembled,
    fit_facts,
    history_columns,
    require_repeaters,
    restored,
)
from headwater.models.model import Predictor, State, Training
from headwater.models.spend import fit_findings
from headwater.numerics.maximize import Fit, Objective
from headwater.numerics.rfm import RfmRows
from headwater.numerics.static_effects import Loadings, StaticParams, fit_static, kinds_of

__all__ = ["StaticProcess", "fit_by_attributes", "restore_by_attributes"]

_FOLDS: Final = 4
_TOLD: Final = 5


class StaticProcess(Process, Protocol):
    """A process whose parameters may depend on what is known of a customer from the start."""

    @property
    def loadings(self) -> Loadings:
        """What effects on buying and on leaving do to its parameters."""
        ...

    @property
    def leaving(self) -> str:
        """What an effect on dropout multiplies, in words."""
        ...

    def by_logs(self, rows: RfmRows) -> Objective:
        """Its log-likelihood by the logarithms of its parameters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _ByAttributes:
    params: StaticParams
    coding: Coding

    @property
    def columns(self) -> tuple[str, ...]:
        return self.coding.columns

    def cases(self, rows: pa.Table, users: RfmRows, *, horizon_days: int) -> Iterator[Case]:
        z, pattern = self.coding.patterns(rows)
        for k in range(z.shape[0]):
            which = np.flatnonzero(pattern == k)
            own = RfmRows.of(users.x[which], t_x=users.t_x[which], T=users.T[which])
            yield Case(which=which, users=own, params=self.params.of(z[k]), horizon=float(horizon_days))

    def state(self) -> State:
        return {
            "params": asdict(self.params.process),
            "purchase": self.params.purchase.tolist(),
            "dropout": self.params.dropout.tolist(),
            "attributes": self.coding.state(),
        }


def fit_by_attributes(process: StaticProcess, training: Training) -> Predictor:
    """Fit a process with effects of attributes on the latest cutoff.

    Raises ``DataError`` where there are no attributes (``fit.no_attributes``) or too few users came back.
    """
    task, columns = training.task, tuple(c.name for c in training.snapshot.attributes)
    rows = training.at_now((*history_columns(task)[:3], "bucket", *columns))
    x, t_x, T, bucket = (column_floats(rows, c) for c in (*history_columns(task)[:3], "bucket"))
    bought = np.isfinite(x)
    require_repeaters(task, x=x[bought], users=np.ones(int(bought.sum())))
    rows = rows.filter(pa.array(bought))
    coding, left_out = code(rows, columns)
    if not coding.attributes:
        raise _no_attributes(columns)
    z, pattern = coding.patterns(rows)
    folds = kinds_of(
        RfmRows.of(x[bought], t_x=t_x[bought], T=T[bought]),
        pattern=pattern,
        fold=bucket[bought].astype(np.int64) % _FOLDS,
        z=z,
    )
    fit = fit_static(
        folds, names=coding.names, fit=process.fit, by_logs=process.by_logs, loadings=process.loadings
    )
    own = asdict(fit.params.process)
    return assembled(
        process,
        training,
        form=_ByAttributes(params=fit.params, coding=coding),
        findings=[*fit_findings(fit), *_left_out(left_out)],
        facts=[
            *fit_facts(fit, params=own, n_groups=sum(k.rows.x.size for f in folds for k in f)),
            *_facts(fit, coding, leaving=process.leaving),
        ],
    )


def restore_by_attributes(process: StaticProcess, task: Task, state: State) -> Predictor:
    """The fit of a saved state."""
    params = StaticParams(
        process=process.restore(cast("Mapping[str, float]", state["params"])),
        loadings=process.loadings,
        purchase=np.array(state["purchase"], dtype=np.float64),
        dropout=np.array(state["dropout"], dtype=np.float64),
    )
    coding = Coding.restored(cast("Sequence[Mapping[str, object]]", state["attributes"]))
    return restored(process, task, state, form=_ByAttributes(params=params, coding=coding))


def _no_attributes(columns: Sequence[str]) -> DataError:
    had = (
        f"The attributes {', '.join(columns)} have one value each."
        if columns
        else "The snapshot has no attributes."
    )
    return DataError(
        "fit.no_attributes",
        what=had,
        why="There is nothing known of a user from the start by which customers could differ.",
        do="Keep a column such as country or channel (keep = [...] of the source), or use the model without attributes.",
    )


def _left_out(columns: Sequence[str]) -> list[Finding]:
    if not columns:
        return []
    return [
        Finding(
            code="static.left_out",
            severity=Severity.NOTE,
            what=f"Attributes left out: {', '.join(columns)}.",
            why="They have one value only, or with them customers would fall into more than 200 kinds.",
            do="Nothing, or keep fewer and coarser columns.",
        )
    ]


def _facts(fit: Fit[StaticParams], coding: Coding, *, leaving: str) -> list[tuple[str, str]]:
    """The spreads that were chosen, and the effects that stand out most against their errors, in words."""
    q = len(coding.names)
    effects = np.concatenate([fit.params.purchase, fit.params.dropout])
    errors = np.sqrt(np.diag(fit.covariance)[-2 * q :])
    against = [a.reference for a in coding.attributes for _ in a.names]
    surest = np.argsort(-np.abs(effects) / np.maximum(errors, 1e-12), kind="stable")[:_TOLD]
    buys, leaves = fit.params.spreads
    facts = [
        ("spread of effects", f"{buys:g} on purchases, {leaves:g} on leaving (chosen on held-out users)")
    ]
    for k in surest.tolist():
        what = "purchases" if k < q else leaving
        label = f"{what}: {coding.names[k % q]} against {against[k % q]}"
        facts.append((label, _in_words(effects[k], errors[k])))
    return facts


def _in_words(effect: Any, error: Any) -> str:
    low, high = np.expm1(effect - 1.645 * error), np.expm1(effect + 1.645 * error)
    return f"{np.expm1(effect):+z.0%} (90%: {low:+z.0%} to {high:+z.0%})"
