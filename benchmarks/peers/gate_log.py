"""The log of ``gate_peers.py``: the days of ``pipeline.py`` with an id and a code, and faults planted by row number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

__all__ = ["CHECKS", "DAYS", "make", "planted"]

DAYS, PER_DAY = 90, 10.0
ZONE, LAST_DAY = "America/New_York", "2024-03-30"
CHECKS = ("user", "event_id", "price", "platform", "future", "order_code")
SETTINGS = f"""
[app]
name = "Gate"
time_zone = "{ZONE}"
currency = "USD"

[[sources]]
path = "log/*.parquet"
user = "uid"
at = "at"
event = "event"
time_zone = "UTC"
types = {{ quantity = "integer", price = "money" }}

[measures]
events = {{ count = true }}
revenue = {{ sum = "quantity * price", where = "event == 'purchase'" }}
purchases = {{ count = true, where = "event == 'purchase'" }}
opens = {{ count = true, where = "event == 'open'" }}
views = {{ count = true, where = "event == 'view'" }}

[[rules]]
rule = "unique"
columns = ["event_id"]

[[rules]]
rule = "range"
columns = ["price"]
at_least = 0
at_most = 1000

[[rules]]
rule = "one_of"
columns = ["platform"]
values = ["ios", "android", "web"]

[[rules]]
rule = "not_future"
after = "{LAST_DAY}"

[[rules]]
rule = "matches"
columns = ["order_code"]
pattern = "[A-Z]{{2}}-[0-9]{{6}}"
"""
# A row has a fault where its number in its day leaves this remainder: (divisor, remainder).
PLANTED = {
    "user": (997, 3),
    "below": (1499, 7),
    "above": (4999, 11),
    "platform": (1999, 13),
    "future": (9973, 17),
    "order_code": (1201, 19),
    "again": (1009, 23),  # the same event once more in the same file
    "next_day": (5003, 29),  # and in the file of the next day
}


def has(fault: str) -> str:
    """The condition, in SQL, that the row numbered ``n`` has a fault."""
    divisor, remainder = PLANTED[fault]
    return f"n % {divisor} = {remainder}"


def make(folder: Path, rows: int) -> None:
    """The log: the days of ``pipeline.py`` with an id and a code for each event, and the planted faults."""
    import duckdb
    from pipeline import write_day

    shutil.rmtree(folder, ignore_errors=True)
    for part in ("base/log", "log"):
        (folder / part).mkdir(parents=True)
    for day in range(DAYS):
        write_day(folder / "base", day, rows=rows // DAYS - 3, per_day=PER_DAY)
    duckdb.execute("SET threads = 2; SET memory_limit = '2GB'; SET TimeZone = 'UTC'")
    for day in range(DAYS):
        one = _with_faults(folder, day)
        late = f"UNION ALL SELECT * FROM ({_with_faults(folder, day - 1)}) WHERE {has('next_day')}"
        duckdb.execute(
            f"""COPY (SELECT * EXCLUDE n FROM (
              SELECT * FROM ({one}) UNION ALL SELECT * FROM ({one}) WHERE {has("again")} {late if day else ""}
            )) TO '{folder}/log/day-{day:04}.parquet' (FORMAT parquet, COMPRESSION zstd)"""
        )
    shutil.rmtree(folder / "base")
    (folder / "headwater.toml").write_text(SETTINGS)
    (folder / "truth.json").write_text(json.dumps(planted(rows // DAYS)))


def _with_faults(folder: Path, day: int) -> str:
    """The rows of a day with its own faults taken out and ours put in; ``n`` is the number of a row."""
    return f"""
      SELECT file_row_number AS n, md5({day} || '-' || n) AS event_id,
        CASE WHEN {has("user")} THEN NULL ELSE coalesce(uid, 'u' || n) END AS uid, event,
        CASE WHEN {has("future")} THEN "at" + INTERVAL 8 YEAR ELSE "at" END AS at, quantity,
        CASE WHEN {has("below")} THEN -1.0 WHEN {has("above")} THEN 99999.0 ELSE abs(price) END AS price,
        CASE WHEN {has("platform")} THEN 'Android TV' ELSE platform END AS platform,
        CASE WHEN {has("order_code")} THEN 'ab-12' WHEN event = 'purchase'
             THEN 'OR-' || lpad(CAST(n % 1000000 AS VARCHAR), 6, '0') END AS order_code
      FROM read_parquet('{folder}/base/log/day-{day:04}.parquet', file_row_number = true)"""


def planted(a_day: int) -> dict[str, int]:
    """How many rows of the log break each check, from the plan alone."""
    import numpy as np

    n = np.arange(a_day)
    at = {fault: n % divisor == remainder for fault, (divisor, remainder) in PLANTED.items()}
    times = DAYS + DAYS * at["again"] + (DAYS - 1) * at["next_day"]  # how often row n stands in the log
    breaks = {c: at[c] for c in ("user", "platform", "future", "order_code")}
    breaks["price"] = at["below"] | at["above"]
    truth = {check: int(times[rows].sum()) for check, rows in breaks.items()}
    twice = DAYS * at["again"] + (DAYS - 1) * at["next_day"]
    in_groups = DAYS * at["again"] + (DAYS - 1) * (at["next_day"] & ~at["again"])
    return truth | {
        "rows": int(times.sum()),
        "event_id": int(twice.sum()),
        "event_id of both": int((twice + in_groups).sum()),
    }
