"""Logs of a few lines turned into something models learn from, and an app whose every customer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from headwater.app.plan import task_of
from headwater.core.contract import Aggregate, Measure
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import day_of
from headwater.core.table import Kind
from headwater.engine.arrays import column_objects
from headwater.models.forecasting import FittedModel, fit_model
from headwater.models.model import Training
from headwater.numerics.forecast import Forecast
from headwater.snapshots.rows import rows_at

if TYPE_CHECKING:
    from tests.conftest import Bench

Floats = NDArray[np.float64]
Event = tuple[str, int, float]
FIRST = date(2024, 1, 1)
BASE = day_of(FIRST)
HORIZON = 30
MEASURES = (
    Measure(name="revenue", aggregate=Aggregate.SUM, expression="amount", unit="USD"),
    Measure(name="purchases", aggregate=Aggregate.COUNT_DISTINCT, expression="number", where="amount > 0"),
    Measure(name="points", aggregate=Aggregate.SUM, expression="whole"),
)


@dataclass(frozen=True)
class World:
    """A ledger, and training on snapshots of it. Days are counted from the first of 2024.

    ``fits`` keeps what was fitted, so that tests which ask for the same fit share it.
    """

    bench: Bench
    ledger: Ledger
    fits: dict[object, dict[Any, Any]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.ledger.end_day - BASE

    def snapshot(self, *cutoffs: int, horizon: int = HORIZON, as_of: int | None = None) -> Snapshot:
        return self.bench.snapshot(
            self.ledger,
            cutoffs=[BASE + c for c in cutoffs],
            horizons=(horizon,),
            as_of=None if as_of is None else BASE + as_of,
        )

    def training(
        self,
        *cutoffs: int,
        measure: str = "revenue",
        occasions: str | None = None,
        horizon: int = HORIZON,
        level: float = 0.9,
        seed: int = 7,
        as_of: int | None = None,
    ) -> Training:
        """On the cutoffs given; without any, on the end of the log and four earlier ones that have matured."""
        chosen = cutoffs or tuple(self.end - k for k in (0, *(horizon + 14 * i for i in range(4))))
        return Training(
            snapshot=self.snapshot(*chosen, horizon=horizon, as_of=as_of),
            task=task_of(self.ledger, measure, horizon, occasions=occasions, level=level),
            engine=self.bench.engine,
            rng=np.random.default_rng(seed),
            shared=self.fits.setdefault((chosen, measure, occasions, horizon, seed, as_of), {}),
        )

    def forecast(self, model: FittedModel, training: Training, *, cutoff: int | None = None) -> Forecast:
        day = training.now if cutoff is None else BASE + cutoff
        return model.forecast(training.snapshot, cutoff=day, rng=np.random.default_rng(3))

    def users(self, training: Training) -> list[str]:
        return list(column_objects(rows_at(training.snapshot, training.now, ("user_id",)), "user_id"))

    def predicted(self, name: str, training: Training) -> dict[str, float]:
        """The forecast of each user at the latest cutoff."""
        mean = self.forecast(fit_model(name, training), training).mean
        return dict(zip(self.users(training), mean.tolist(), strict=True))


def table_of(events: Iterable[Event]) -> pa.Table:
    rows = list(events)
    return pa.table(
        {
            "user": [u for u, _, _ in rows],
            "at": [(FIRST + timedelta(days=int(d))).isoformat() for _, d, _ in rows],
            "number": [f"o{i}" for i in range(len(rows))],
            "amount": pa.array([f"{a:.4f}" for _, _, a in rows]),
            "whole": pa.array([int(a) for _, _, a in rows], pa.int64()),
        }
    )


@pytest.fixture(scope="module")
def world_of(shared_bench: Bench) -> Callable[..., World]:
    """A world of events ``(user, day, amount)``, with kept text columns where they are given."""

    def made(events: Sequence[Event], **kept: Sequence[str]) -> World:
        table = table_of(events)
        for name, values in kept.items():
            table = table.append_column(name, pa.array(values, pa.string()))
        ledger = shared_bench.ledger(
            table,
            path="log.parquet",
            keep=tuple(kept),
            measures=MEASURES,
            types={"amount": Kind.MONEY, "whole": Kind.INTEGER},
        )
        return World(bench=shared_bench, ledger=ledger)

    return made


@dataclass(frozen=True)
class Known:
    """A simulated app: its world, and what each user is worth over the horizon in truth."""

    world: World
    truth: dict[str, float]


def stationary(
    *, n_users: int = 1_500, n_days: int = 240, seed: int = 20261123
) -> tuple[list[Event], dict[str, float]]:
    """Users who buy each day with their own chance at their own price, and never change."""
    rng = np.random.default_rng(seed)
    chance, price = rng.beta(2, 60, n_users), rng.lognormal(3, 0.6, n_users)
    bought = rng.random((n_users, n_days)) < chance[:, None]
    bought &= np.arange(n_days) >= rng.integers(0, 120, n_users)[:, None]
    who, when = np.nonzero(bought)
    spent = price[who] * rng.gamma(4, 0.25, who.size) + 0.01
    events = [(f"u{w:05d}", int(d), float(a)) for w, d, a in zip(who, when, spent, strict=True)]
    return events, {f"u{i:05d}": float(chance[i] * price[i] * HORIZON) for i in range(n_users)}


@pytest.fixture(scope="module")
def known(world_of: Callable[..., World]) -> Iterator[Known]:
    events, truth = stationary()
    channels = [("organic", "ads", "friends")[int(user[1:]) % 3] for user, _, _ in events]
    yield Known(world=world_of(events, channel=channels), truth=truth)
