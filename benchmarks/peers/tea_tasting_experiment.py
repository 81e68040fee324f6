"""The metrics of experiment_moments.py that tea-tasting has, by its fastest way over Parquet. Run in an environment of its own.

python tea_tasting_experiment.py FILE polars|duckdb
"""

import json
import resource
import sys
import time

import tea_tasting as tt

path, way = sys.argv[1:]
if way == "polars":
    import polars as pl
else:
    import ibis

started = time.perf_counter()
if way == "polars":
    data = pl.scan_parquet(path)
else:
    connection = ibis.duckdb.connect(threads=2)
    data = connection.read_parquet(path)
experiment = tt.Experiment(
    **{f"cuped{i}": tt.Mean(f"y{i}", covariate=f"x{i}") for i in range(3)},
    **{f"mean{i}": tt.Mean(f"y{i}") for i in range(3, 6)},
    ratio0=tt.RatioOfMeans("y0", "y3"),
    ratio1=tt.RatioOfMeans("y1", "y3"),
    srm=tt.SampleRatio(),
)
result = experiment.analyze(data).to_dicts()
seconds = time.perf_counter() - started
figures = {r["metric"]: [r.get("effect_size"), r.get("pvalue")] for r in result}
print(
    json.dumps(
        {
            "seconds": seconds,
            "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "figures": figures,
        }
    )
)
