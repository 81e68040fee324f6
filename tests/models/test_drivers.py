"""What is explained of a blend, and that users who are looked at are those who were meant, read in parts or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from headwater.core.errors import UsageError
from headwater.core.ledger import Snapshot
from headwater.engine.arrays import column_floats
from headwater.models.changes import what_changed
from headwater.models.drivers import Contributions, drivers_of, explained, user_drivers
from headwater.snapshots.rows import rows_at, rows_taken

if TYPE_CHECKING:
    from conftest import World

ROUNDING = 1e-9  # sums of floats in another order


@dataclass(frozen=True)
class ByTenure:
    """A forecast that is known in full: exp(1 + a share of tenure)."""

    share: float = 0.01
    columns: tuple[str, ...] = ("tenure_days",)

    def contributions(self, rows: pa.Table) -> Contributions:
        parts = self.share * column_floats(rows, "tenure_days")[:, None]
        return Contributions(columns=self.columns, base=np.ones(rows.num_rows), parts=parts)

    def predict(self, rows: pa.Table) -> np.ndarray:
        return np.exp(1 + self.share * column_floats(rows, "tenure_days"))


@dataclass(frozen=True)
class Silent:
    """A forecast that says nothing of its columns."""

    columns: tuple[str, ...] = ()

    def predict(self, rows: pa.Table) -> np.ndarray:
        return np.ones(rows.num_rows)


@dataclass(frozen=True)
class Blend:
    members: Mapping[str, ByTenure | Silent]
    weights: np.ndarray
    columns: tuple[str, ...] = ("tenure_days",)

    def predict(self, rows: pa.Table) -> np.ndarray:
        return np.column_stack([m.predict(rows) for m in self.members.values()]) @ self.weights


def blend(*weights: float) -> Blend:
    members = {"light": ByTenure(0.02), "silent": Silent(), "heavy": ByTenure()}
    return Blend(members, np.array(weights))


@pytest.fixture(scope="module")
def snapshot(world_of: Callable[..., World]) -> Snapshot:
    events = [(f"u{i % 90:03d}", i % 70, 1.0 + i % 7) for i in range(400)]
    world = world_of(events)
    return world.bench.snapshot(
        world.ledger, cutoffs=[world.ledger.end_day, world.ledger.end_day - 20], horizons=[7]
    )


def test_a_blend_is_explained_by_its_weightiest_member_that_can_be(snapshot: Snapshot) -> None:
    now = max(snapshot.cutoffs)
    made = drivers_of(blend(0.1, 0.5, 0.4), snapshot, cutoff=now)  # pyright: ignore[reportArgumentType]
    assert (made.member, made.weight) == ("heavy", 0.4)
    assert "its part of the forecast" in made.told
    (one,) = user_drivers(blend(0.3, 0.5, 0.2), snapshot, cutoff=now, users=["u001"])  # pyright: ignore[reportArgumentType]
    assert (one.member, one.weight) == ("light", 0.3)
    assert "by light, its part of the forecast, is" in str(one)


def test_a_member_that_weighs_nothing_explains_nothing() -> None:
    with pytest.raises(UsageError, match=r"drivers\.not_explained.*heavy, 0\.04"):
        explained(blend(0.0, 0.96, 0.04))  # pyright: ignore[reportArgumentType]


def test_users_who_are_looked_at_are_the_same_read_in_parts_or_whole(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier, now = sorted(snapshot.cutoffs)
    whole = rows_at(snapshot, now, ("user_id", "tenure_days"))
    change = what_changed(ByTenure(), snapshot, earlier=earlier, later=now)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr("headwater.engine.arrays._PART_ROWS", 7)
    places = np.array([60, 3, 4, 0, 33])
    taken = rows_taken(snapshot, now, ("user_id", "tenure_days"), places)
    assert taken.to_pylist() == whole.take(pa.array(places)).to_pylist()
    again = what_changed(ByTenure(), snapshot, earlier=earlier, later=now)  # pyright: ignore[reportArgumentType]
    assert again.by_column[0][1] == pytest.approx(change.by_column[0][1], rel=ROUNDING)
    assert (again.n_stayed, again.n_come) == (change.n_stayed, change.n_come)

    monkeypatch.setattr("headwater.models.drivers._MANY", 20)
    made = drivers_of(ByTenure(), snapshot, cutoff=now)  # pyright: ignore[reportArgumentType]
    meant = column_floats(whole, "tenure_days")[np.arange(20) * whole.num_rows // 20]
    assert made.n_users == 20
    assert made.drivers[0].typical_factor == pytest.approx(np.exp(0.01 * meant.mean()), rel=ROUNDING)
