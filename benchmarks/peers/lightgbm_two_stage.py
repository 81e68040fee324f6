"""A plain two-stage LightGBM script fed from pandas: a classifier, and a regressor of log amounts. Run in an environment of its own.

"plain" fits the two and predicts the rows they were fitted on, with one smearing factor; "crossed" also predicts every row by
models of the other folds (three, by user), as ours does.

python lightgbm_two_stage.py ROWS plain|crossed ROUNDS THREADS
"""

import json
import resource
import sys
import time

import lightgbm as lgb
import numpy as np
import pandas as pd

path, mode, rounds, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = {
    "n_estimators": rounds,
    "learning_rate": 0.04,
    "num_leaves": 15,
    "min_child_samples": 40,
    "colsample_bytree": 0.8,
    "n_jobs": threads,
    "verbosity": -1,
    "random_state": 7,
}


def fitted(x: pd.DataFrame, y: pd.Series) -> tuple[lgb.LGBMClassifier, lgb.LGBMRegressor]:
    pays = y > 0
    chance = lgb.LGBMClassifier(**settings).fit(x, pays)
    return chance, lgb.LGBMRegressor(**settings).fit(x[pays], np.log(y[pays]))


def predicted(models: tuple[lgb.LGBMClassifier, lgb.LGBMRegressor], x: pd.DataFrame) -> np.ndarray:
    return models[0].predict_proba(x)[:, 1] * np.exp(models[1].predict(x))


start = time.perf_counter()
rows = pd.read_parquet(path)
features = [c for c in rows.columns if c.startswith("x")]
x, y = rows[features], rows["value_next_90d"]
models = fitted(x, y)
if mode == "plain":
    held = predicted(models, x)
else:
    held = np.empty(len(rows))
    for fold in range(3):
        inside = (rows["bucket"] % 3 == fold).to_numpy()
        held[inside] = predicted(fitted(x[~inside], y[~inside]), x[inside])
factor = float(y.sum() / held.sum())
print(
    json.dumps(
        {
            "seconds": time.perf_counter() - start,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "rounds": [rounds, rounds],
            "correlation": float(np.corrcoef(np.log(held * factor), rows["truth"])[0, 1]),
        }
    )
)
