"""Arms of earlier experiments, against counts worked out by hand."""

import pyarrow as pa

from headwater.core.table import Column, Kind
from headwater.effects.earlier import earlier_arms
from headwater.effects.exposed import read_exposed
from headwater.engine.sql import sql

DAY_US = 86_400_000_000
LOG = [  # user, experiment, arm, day
    ("ann", "checkout", "control", 10),
    ("ann", "banner", "big", 9),
    ("ann", "banner", "big", 8),  # once for each user
    ("bob", "checkout", "treatment", 10),
    ("bob", "banner", "big", 11),  # met after this one
    ("cid", "checkout", "treatment", 12),
    ("cid", "banner", "small", 3),
    ("dan", "banner", "small", 3),  # not in this one
]


def test_users_who_met_another_arm_before_worked_out_by_hand(bench):
    names = ("user_id", "experiment", "arm", "app_day")
    data = pa.table(dict(zip(names, zip(*LOG, strict=True), strict=True)))
    data = data.append_column("at_us", pa.array([day * DAY_US for *_, day in LOG]))
    bench.engine.register("log", data)
    kinds = (Kind.TEXT, Kind.TEXT, Kind.TEXT, Kind.INTEGER, Kind.INTEGER)
    columns = [Column(name=n, kind=k) for n, k in zip(data.column_names, kinds, strict=True)]
    log = bench.engine.write(sql('SELECT * FROM "log"'), bench.folder(), table="rows", columns=columns)
    arms = ("control", "treatment")
    exposed = read_exposed(bench.engine, log, experiment="checkout", arms=arms, folder=bench.folder())
    assert earlier_arms(bench.engine, log, exposed) == {
        "n_elsewhere/banner: big/control": 1.0,
        "n_elsewhere/banner: big/treatment": 0.0,
        "n_elsewhere/banner: small/control": 0.0,
        "n_elsewhere/banner: small/treatment": 1.0,
    }
