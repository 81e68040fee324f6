"""lifetimes 0.11.3: discounted value over 12 months of each customer; run in an environment of its own."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from lifetimes import BetaGeoFitter
from lifetimes.utils import _customer_lifetime_value

path, params = sys.argv[1], json.loads(sys.argv[2])
frame = pq.read_table(path).to_pandas()
model = BetaGeoFitter()
model.params_ = pd.Series(params)
model.predict = model.conditional_expected_number_of_purchases_up_to_time
start, cpu = time.perf_counter(), time.process_time()
value = _customer_lifetime_value(
    model, frame["x"], frame["t_x"], frame["T"], frame["spend"], time=12, discount_rate=0.01, freq="D"
)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
np.save(Path(path).parent / "value_lifetimes.npy", value.to_numpy())
print(json.dumps({"seconds": seconds, "cpu": cpu, "total": float(np.nansum(value))}))
