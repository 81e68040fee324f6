"""Experiments made of known users, gathered by hand: what checks and analyses see."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.numerics.moments import of_rows, stacked

Gather = Callable[..., Gathered]
Rows = Mapping[str, np.ndarray] | Mapping[tuple[str, str], np.ndarray]


@pytest.fixture
def plan() -> Plan:
    return Plan(
        name="checkout",
        question="Does the new checkout sell more?",
        arms=(Arm(name="control", share=0.5), Arm(name="treatment", share=0.5)),
        metrics=(Metric(name="revenue", outcome="revenue", part=Part.PRIMARY),),
        registered_on=20_000,
    )


@pytest.fixture
def of_counts() -> Gather:
    """Groups by (arm, stratum, day) and how many users each has, without a metric."""

    def gathered(counts: dict[tuple[str, str, int | None], int], **facts: float) -> Gathered:
        groups = tuple(Group(arm=arm, stratum=stratum, day=day) for arm, stratum, day in counts)
        return Gathered(groups=groups, n_users=np.array(list(counts.values())), metrics={}, facts=facts)

    return gathered


@pytest.fixture
def gathered_of() -> Gather:
    """From rows of shape (users, columns) by arm, or by arm and stratum, to what a query would have gathered."""

    def made(rows: Rows, *, columns: tuple[str, ...] = ("outcome",), name: str = "m") -> Gathered:
        groups = tuple(
            Group(arm=key) if isinstance(key, str) else Group(arm=key[0], stratum=key[1]) for key in rows
        )
        tables = [np.asarray(r, dtype=np.float64).reshape(len(r), -1) for r in rows.values()]
        state = MetricState(
            columns=columns,
            moments=stacked([of_rows(t) for t in tables]),
            n_missing=np.zeros(len(groups), dtype=np.int64),
        )
        n_users = np.array([len(t) for t in tables], dtype=np.int64)
        return Gathered(groups=groups, n_users=n_users, metrics={name: state})

    return made


@pytest.fixture
def of_users(plan: Plan) -> Gather:
    """Gathers users at hand: one metric per plan's metric, ``outcomes`` (users,) by name, covariates beside."""

    def gathered(
        arm: np.ndarray,
        outcomes: dict[str, np.ndarray],
        *,
        stratum: np.ndarray | None = None,
        day: np.ndarray | None = None,
        covariates: dict[str, np.ndarray] | None = None,
        facts: dict[str, float] | None = None,
    ) -> Gathered:
        n = len(arm)
        part = np.zeros(n, dtype=int) if stratum is None else stratum
        when = np.full(n, -1) if day is None else day
        codes, label = np.unique((arm * 1000 + part) * 100_000 + when + 1, return_inverse=True)
        keys = [(c // 100_000_000, c // 100_000 % 1000, c % 100_000 - 1) for c in codes.tolist()]
        metrics = {name: _state(y, covariates or {}, label, len(keys)) for name, y in outcomes.items()}
        groups = tuple(
            Group(
                arm=plan.arms[a].name,
                stratum="" if stratum is None else f"s{s:03d}",
                day=None if d < 0 else d,
            )
            for a, s, d in keys
        )
        return Gathered(
            groups=groups,
            n_users=np.bincount(label, minlength=len(keys)),
            metrics=metrics,
            facts=facts or {},
        )

    return gathered


def _state(y: np.ndarray, covariates: dict[str, np.ndarray], label: np.ndarray, n_groups: int) -> MetricState:
    seen = np.isfinite(y)
    largest = np.full(n_groups, -np.inf)
    np.maximum.at(largest, label[seen], y[seen])
    rows = np.column_stack([y, *covariates.values()])[seen]
    return MetricState(
        columns=("outcome", *covariates),
        moments=of_rows(rows, groups=label[seen], n_groups=n_groups),
        n_missing=np.bincount(label[~seen], minlength=n_groups),
        largest=np.where(np.isfinite(largest), largest, 0.0),
    )
