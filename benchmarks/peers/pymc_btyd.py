"""pymc-marketing, from the table of customers to the most probable parameters; run in an environment of its own."""

import json
import resource
import sys
import time
from importlib.metadata import version

import pyarrow.parquet as pq
from pymc_marketing.clv import BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel

path, _, which = sys.argv[1:4]
start = time.perf_counter()
frame = pq.read_table(path).to_pandas().rename(columns={"x": "frequency", "t_x": "recency"})
model = {"bg_nbd": BetaGeoModel, "mbg_nbd": ModifiedBetaGeoModel, "pareto_nbd": ParetoNBDModel}[which](
    data=frame
)
model.fit(method="map")
seconds = time.perf_counter() - start
found = model.fit_result
names = ("r", "alpha", "s", "beta") if which == "pareto_nbd" else ("r", "alpha", "a", "b")
params = {name: float(found[name].to_numpy().ravel()[0]) for name in names}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(
    json.dumps({"seconds": seconds, "peak_mib": peak, "params": params, "version": version("pymc-marketing")})
)
