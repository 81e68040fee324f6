"""pandas 3.1.1, by hand: flag, count, set aside, ledger. Run in an environment of its own.

python gate_pandas.py LOG OUT
"""

import json
import sys
from pathlib import Path

import pandas as pd

log, out = sys.argv[1:3]
END = pd.Timestamp("2024-03-31 04:00")  # midnight in New York, in UTC

events = pd.read_parquet(log)
flags = pd.DataFrame(
    {
        "user": events["uid"].isna(),
        "event_id": events["event_id"].duplicated(),
        "price": ~events["price"].between(0, 1000) & events["price"].notna(),
        "platform": ~events["platform"].isin(["ios", "android", "web"]) & events["platform"].notna(),
        "future": events["at"] >= END,
        "order_code": ~events["order_code"].str.fullmatch("[A-Z]{2}-[0-9]{6}", na=True),
    }
)
broken = flags.any(axis=1)
events[broken].join(flags.add_prefix("breaks_")).to_parquet(Path(out) / "quarantine.parquet")

kept = events.loc[~broken, ["uid", "event", "at", "quantity", "price"]]
bought = kept["event"] == "purchase"
cents = (kept["price"] * 100).round().astype("int64")  # whole numbers, so that a sum is exact
local = kept["at"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
ledger = (
    kept.assign(
        app_day=local.dt.floor("D"),
        events=1,
        revenue_cents=(kept["quantity"] * cents).where(bought, 0),
        purchases=bought.astype("int64"),
        opens=(kept["event"] == "open").astype("int64"),
        views=(kept["event"] == "view").astype("int64"),
    )
    .groupby(["uid", "app_day"], sort=False)[["events", "revenue_cents", "purchases", "opens", "views"]]
    .sum()
)
ledger.to_parquet(Path(out) / "ledger.parquet")

days = (ledger.index.get_level_values("app_day") - pd.Timestamp(0)).days
totals = {"user_days": len(ledger), "day_sum": int(days.to_numpy("int64").sum())}
totals |= {name: int(total) for name, total in ledger.sum().items()}
print(json.dumps({"counts": {c: int(n) for c, n in flags.sum().items()}, "ledger": totals}))
