"""lifetimes 0.11.3, from the table of customers to the parameters of a model; run in an environment of its own."""

import json
import resource
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter

path, mode, which = sys.argv[1:4]
start = time.perf_counter()
frame = pq.read_table(path).to_pandas()
if mode == "weighted":
    frame = frame.groupby(["x", "t_x", "T"], sort=False).size().reset_index(name="n")
model = {"bg_nbd": BetaGeoFitter, "mbg_nbd": ModifiedBetaGeoFitter, "pareto_nbd": ParetoNBDFitter}[which]()
weights = frame["n"] if mode == "weighted" else None
model.fit(frame["x"], frame["t_x"], frame["T"], weights=weights)
seconds = time.perf_counter() - start
params = {name: float(value) for name, value in model.params_.items()}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "params": params, "pandas": pd.__version__}))
