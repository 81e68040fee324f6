"""A worker dies in the middle of a job: the job ends with the same result as DuckDB's."""

from __future__ import annotations

import threading
from typing import Any

from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, shim, sql

N_ROWS = 6_000_000
N_TASKS = 48


def job(rows: Sql) -> Sql:
    """Counts and exact sums of md5 digests over two shuffles."""
    text = sql("CAST(id AS STRING)")
    return sql(
        "SELECT low, count(*), CAST(sum(n) AS BIGINT), sum(total) FROM (SELECT g, g % 5 AS low, count(*) AS n, sum(CAST(d AS DECIMAL(20, 0))) AS total"
        " FROM (SELECT id % 1000 AS g, {d} AS d FROM {rows}) x GROUP BY g) y GROUP BY low ORDER BY low",
        d=shim("digest", text),
        rows=rows,
    )


def test_a_job_survives_the_death_of_a_worker(cluster: Any, spark: Any, duck: Engine) -> None:
    expected = duck.rows(job(sql("range(0, {n}) AS t(id)", n=N_ROWS)))
    under_way, found = threading.Event(), []

    def progress(share_done: float) -> None:
        if share_done > 0.1:
            under_way.set()

    def work() -> None:
        with spark.reporting(progress):
            found.append(spark.rows(job(sql("range(0, {n}, 1, {k}) AS t(id)", n=N_ROWS, k=N_TASKS))))

    running = threading.Thread(target=work)
    running.start()
    try:
        assert under_way.wait(timeout=120)
        assert not found
        cluster.kill_a_worker()
        running.join(timeout=240)
    finally:
        cluster.add_worker()
    assert len(found) == 1
    assert [[int(v) for v in row] for row in found[0]] == [[int(v) for v in row] for row in expected]


def test_what_was_held_is_worked_out_again_after_a_worker_died(cluster: Any, spark: Any) -> None:
    n = spark.hold("kept in memory", sql("SELECT id, id * 3 AS x FROM range(0, 1000, 1, 8) AS t(id)"))
    cluster.kill_a_worker()
    cluster.add_worker()
    assert n == 1000
    assert spark.one(sql("SELECT CAST(sum(x) AS BIGINT) FROM `kept in memory`")) == (3 * sum(range(1000)),)
