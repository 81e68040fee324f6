"""Six cutoffs x four horizons x about 120 features from a ledger, beside a raw DuckDB scan of the events' columns.

    python benchmarks/snapshots.py [--rows 20000000] [--memory 2GB] [--threads 2] [--rounds 3] [--cutoffs 6]

The events are those of ``pipeline.py`` (about ten to an active user-day). The ledger is built once, outside
the clock. Scan and snapshots are run in turn, each in a process of its own; medians are printed, and
processor time beside wall time, for machines that others use too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from pipeline import OUT, SETTINGS, make, scan

from headwater.app.config import read_settings
from headwater.app.study import Study
from headwater.snapshots.build import build_snapshot

WIDE = OUT / "wide"
HORIZONS = (7, 14, 28, 56)
WINDOWS = (1, 3, 7, 14, 21, 28, 42, 60, 90, 180)
MORE = """
views = { count = true, where = "event == 'view'" }
items = { sum = "quantity" }

[[rules]]
"""


def study_of(threads: int, memory: str) -> Study:
    """The workspace with the wide settings."""
    settings = read_settings(WIDE / "headwater.toml")
    return Study(WIDE, settings, today=date(2026, 1, 1), threads=threads, memory=memory)


def snapshots(threads: int, memory: str, n_cutoffs: int) -> dict[str, float]:
    """Build the snapshots through the product's own function."""
    study = study_of(threads, memory)
    ledger = study.ledger()
    cutoffs = tuple(ledger.end_day - 14 * k for k in range(n_cutoffs))
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        before, began = _processor(), time.perf_counter()
        made = build_snapshot(
            study.engine, ledger, cutoffs=cutoffs, horizons=HORIZONS, windows=WINDOWS, folder=Path(folder)
        )
        wall = time.perf_counter() - began
    return {
        "wall": wall,
        "processor": _processor() - before,
        "n_user_days": ledger.days.n_rows,
        "n_rows": made.rows.n_rows,
        "n_features": len(made.features),
        "n_columns": len(made.rows.columns),
    }


def scanned(threads: int) -> dict[str, float]:
    """The physical limit: read every column of the events once."""
    before = _processor()
    return {"wall": scan(OUT / "events.parquet", threads)["scan"], "processor": _processor() - before}


def measured(arguments: argparse.Namespace) -> dict[str, float]:
    """One part, in this process."""
    match arguments.part:
        case "scan":
            return scanned(arguments.threads)
        case "ledger":
            return {"n_user_days": study_of(arguments.threads, arguments.memory).ledger().days.n_rows}
        case _:
            return snapshots(arguments.threads, arguments.memory, arguments.cutoffs)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def one(part: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--threads", str(arguments.threads)]
    command += ["--memory", arguments.memory, "--cutoffs", str(arguments.cutoffs)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--cutoffs", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["ledger", "scan", "snapshots"])
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measured(arguments) | {"peak_mb": _peak_mb()}))
        return
    make(arguments.rows)
    WIDE.mkdir(exist_ok=True)
    wide = SETTINGS.replace('"events.parquet"', '"../events.parquet"').replace("\n[[rules]]\n", MORE, 1)
    (WIDE / "headwater.toml").write_text(wide)
    one("ledger", arguments)
    rounds = [(one("scan", arguments), one("snapshots", arguments)) for _ in range(arguments.rounds)]
    raw, built = ({k: statistics.median(r[i][k] for r in rounds) for k in rounds[0][i]} for i in (0, 1))
    print(
        f"{built['n_user_days']:,.0f} user-days to {built['n_rows']:,.0f} rows x {built['n_features']:.0f} features "
        f"({built['n_columns']:.0f} columns), {arguments.cutoffs} cutoffs x {len(HORIZONS)} horizons; "
        f"{arguments.threads} threads, engine limit {arguments.memory}, median of {arguments.rounds}"
    )
    print(f"{'step':<28}{'seconds':>9}{'processor s':>13}{'peak MB':>9}")
    for label, took in (("raw scan of the events", raw), ("snapshots", built)):
        print(f"{label:<28}{took['wall']:>9.2f}{took['processor']:>13.2f}{took['peak_mb']:>9,.0f}")
    print(
        f"{built['wall'] / raw['wall']:.1f} times the scan; "
        f"in processor time {built['processor'] / raw['processor']:.1f} times"
    )


if __name__ == "__main__":
    main()
