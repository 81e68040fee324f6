"""Exposures to one row a user, against counts worked out by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headwater.core.errors import DataError
from headwater.core.table import Column, Kind, Table
from headwater.effects.exposed import Exposed, read_exposed
from headwater.engine.sql import sql

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
LOG = [  # user, arm, day, hour, hours until it was logged, would differ
    ("ann", "control", 10, 9, 0, 0),
    ("ann", "control", 11, 8, 0, 1),
    ("bob", "treatment", 12, 23, 30, 1),
    ("cid", "control", 10, 1, 0, 0),  # crossed: two arms inside
    ("cid", "treatment", 13, 1, 0, 0),
    ("dan", "treatment", 9, 5, 0, 1),  # met before the start, and inside
    ("dan", "treatment", 14, 6, 2, 0),
    ("eva", "beta", 12, 5, 0, 0),  # an arm that is not declared
    ("fay", "control", 20, 5, 0, 0),  # after the end
    ("gus", "control", 11, 0, 0, 0),  # crossed only after the end: kept
    ("gus", "treatment", 21, 0, 0, 0),
]


def log_of(bench: Any, rows: list[tuple[str, str, int, int, int, int]]) -> Table:
    data = pa.table(
        {
            "user_id": [r[0] for r in rows],
            "experiment": ["checkout"] * len(rows),
            "arm": [r[1] for r in rows],
            "at_us": [r[2] * DAY_US + r[3] * HOUR_US for r in rows],
            "app_day": pa.array([r[2] for r in rows], pa.int32()),
            "known_us": [r[2] * DAY_US + (r[3] + r[4]) * HOUR_US for r in rows],
            "would_differ": [r[5] for r in rows],
        }
    )
    kinds = {"user_id": Kind.TEXT, "experiment": Kind.TEXT, "arm": Kind.TEXT, "app_day": Kind.DAY}
    columns = [Column(name=c, kind=kinds.get(c, Kind.INTEGER)) for c in data.column_names]
    bench.engine.register("log of exposures", data)
    return bench.engine.write(
        sql('SELECT * FROM "log of exposures"'), bench.folder(), table="rows", columns=columns
    )


def read(bench: Any, **asked: Any) -> Exposed:
    given: dict[str, Any] = {
        "experiment": "checkout",
        "arms": ("control", "treatment"),
        "first_day": 10,
        "end_day": 20,
        "folder": bench.folder(),
    }
    return read_exposed(bench.engine, log_of(bench, LOG), **(given | asked))


def test_every_exposure_is_accounted_for_by_hand(bench: Any, rows_of: Any) -> None:
    exposed = read(bench, trigger="would_differ == 1")
    found = rows_of(exposed.users, "user_id", "arm", "exposed_day", "exposed_hour", "n_exposures", "is_triggered")  # fmt: skip
    assert [tuple(r.values()) for r in found] == [
        ("ann", "control", 10, 9, 2, True),
        ("gus", "control", 11, 0, 1, False),
        ("bob", "treatment", 12, 23, 1, True),
        ("dan", "treatment", 14, 6, 1, False),
    ]
    assert (exposed.n_users, exposed.n_crossed, exposed.n_met_before, exposed.n_triggered) == (4, 1, 1, 2)
    assert (exposed.n_before, exposed.n_after, exposed.n_other_arm, exposed.n_crossed_exposures) == (1, 2, 1, 2)  # fmt: skip
    whole = exposed.n_exposures + exposed.n_before + exposed.n_after + exposed.n_other_arm
    assert whole + exposed.n_crossed_exposures == exposed.n_rows == len(LOG)
    by_arm = [(a.arm, a.n_users, a.n_crossed, a.n_known_later, a.n_triggered) for a in exposed.by_arm]
    assert by_arm == [("control", 2, 1, 0, 1), ("treatment", 2, 0, 1, 1)]
    codes = {f.code for f in exposed.findings}
    assert codes == {"exposures.crossed", "exposures.outside", "exposures.unknown_arm", "exposures.late"}


def test_delays_until_logged_by_hand(bench: Any) -> None:
    control, treatment = read(bench).delays
    assert (control.n_exposures, control.late_share) == (4, 0.0)
    assert (treatment.n_exposures, treatment.median_hours) == (3, 2.0)
    assert treatment.late_share == pytest.approx(1 / 3)


def test_without_days_everything_counts_and_who_met_two_arms_is_out(bench: Any) -> None:
    exposed = read(bench, first_day=None, end_day=None)
    assert (exposed.n_users, exposed.n_crossed, exposed.n_before, exposed.n_after) == (4, 2, 0, 0)


def test_columns_are_kept_as_of_the_first_exposure(bench: Any, rows_of: Any) -> None:
    exposed = read(bench, keep=("would_differ",))
    assert {r["user_id"]: r["would_differ"] for r in rows_of(exposed.users)} == {"ann": 0, "bob": 1, "dan": 0, "gus": 0}  # fmt: skip


def test_nobody_exposed_is_refused_with_what_was_left_out(bench: Any) -> None:
    with pytest.raises(DataError) as error:
        read(bench, experiment="chekout")
    assert error.value.finding.code == "exposures.nobody"
