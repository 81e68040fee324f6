"""Polars 2.1.0, by hand, lazy and streaming: flag, count, set aside, ledger. Run in an environment of its own.

python gate_polars.py LOG OUT
"""

import json
import sys
from datetime import datetime
from pathlib import Path

import polars as pl

log, out = sys.argv[1], Path(sys.argv[2])
END = datetime(2024, 3, 31, 4)  # midnight in New York, in UTC
FLAGS = {
    "user": pl.col("uid").is_null(),
    "event_id": ~pl.col("event_id").is_first_distinct(),
    "price": ~pl.col("price").is_between(0, 1000),
    "platform": ~pl.col("platform").is_in(["ios", "android", "web"]),
    "future": pl.col("at") >= END,
    "order_code": ~pl.col("order_code").str.contains("^[A-Z]{2}-[0-9]{6}$"),
}

breaks = {f"breaks_{check}": flag.fill_null(False) for check, flag in FLAGS.items()}
flagged = pl.scan_parquet(f"{log}/*.parquet").with_columns(**breaks)
broken = pl.any_horizontal(list(breaks))
bought = pl.col("event") == "purchase"
cents = (pl.col("price") * 100).round().cast(pl.Int64)  # whole numbers, so that a sum is exact
ledger = (
    flagged.filter(~broken)
    .group_by(
        "uid",
        app_day=pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date(),
    )
    .agg(
        events=pl.len().cast(pl.Int64),
        revenue_cents=(pl.col("quantity") * cents).filter(bought).sum(),
        purchases=bought.sum().cast(pl.Int64),
        opens=(pl.col("event") == "open").sum().cast(pl.Int64),
        views=(pl.col("event") == "view").sum().cast(pl.Int64),
    )
)
written = [
    ledger.sink_parquet(out / "ledger.parquet", lazy=True),
    flagged.filter(broken).sink_parquet(out / "quarantine.parquet", lazy=True),
    flagged.select(pl.col(list(breaks)).sum()),
]
counts = pl.collect_all(written, engine="streaming")[-1]

MEASURES = ["events", "revenue_cents", "purchases", "opens", "views"]
totals = (
    pl.scan_parquet(out / "ledger.parquet")
    .select(
        pl.len().alias("user_days"),
        pl.col("app_day").cast(pl.Int64).sum().alias("day_sum"),
        pl.col(MEASURES).sum(),
    )
    .collect()
)
named = {check.removeprefix("breaks_"): n for check, n in counts.row(0, named=True).items()}
print(json.dumps({"counts": named, "ledger": totals.row(0, named=True)}))
