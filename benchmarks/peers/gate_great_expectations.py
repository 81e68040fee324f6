"""Great Expectations 1.24.1 on its pandas engine. Run in an environment of its own.

Every expectation is asked for its counts and nothing more (BASIC: counts and up to 20 values).

python gate_great_expectations.py LOG
"""

import json
import sys
from datetime import datetime

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

END = datetime(2024, 3, 31, 4)  # midnight in New York, in UTC
EXPECTATIONS = {
    "user": gxe.ExpectColumnValuesToNotBeNull(column="uid"),
    "event_id of both": gxe.ExpectColumnValuesToBeUnique(column="event_id"),
    "price": gxe.ExpectColumnValuesToBeBetween(column="price", min_value=0, max_value=1000),
    "platform": gxe.ExpectColumnValuesToBeInSet(column="platform", value_set=["ios", "android", "web"]),
    "future": gxe.ExpectColumnValuesToBeBetween(column="at", max_value=END, strict_max=True),
    "order_code": gxe.ExpectColumnValuesToMatchRegex(column="order_code", regex="^[A-Z]{2}-[0-9]{6}$"),
}

context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
asset = context.data_sources.add_pandas("log").add_dataframe_asset("events")
batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
    {"dataframe": pd.read_parquet(sys.argv[1])}
)
suite = gx.ExpectationSuite(name="gate", expectations=list(EXPECTATIONS.values()))
found = batch.validate(suite, result_format="BASIC")
counts = [r.result["unexpected_count"] for r in found.results]
print(json.dumps({"counts": dict(zip(EXPECTATIONS, counts, strict=True))}))
