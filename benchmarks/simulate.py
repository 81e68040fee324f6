"""Events a second and peak memory of ``headwater simulate``, with and without faults, each in a process of its own.

python benchmarks/simulate.py [--users 50000] [--days 365] [--threads 2] [--memory 1GB] [--chunk 200000] [--rounds 1]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

OUT = Path(__file__).parent / "out" / "simulate"


def main() -> None:
    """Measure and print."""
    args = arguments()
    if args.one:
        print(json.dumps(measured(args)))
        return
    print(f"{args.users:,} users, {args.days} days, {args.threads} threads, engine memory {args.memory}, chunks of {args.chunk:,} users; load average before {os.getloadavg()[0]:.1f}")  # fmt: skip
    for faults in ("none", "default"):
        for _ in range(args.rounds):
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--one", faults],
                capture_output=True,
                text=True,
                check=True,
            )
            seen = json.loads(done.stdout.splitlines()[-1])
            print(
                f"faults {faults:8} {seen['n_events']:>12,} events {seen['wall_s']:6.1f} s wall {seen['cpu_s']:6.1f} s cpu"
                f" {seen['n_events'] / seen['wall_s']:>12,.0f} events/s {seen['peak_mb']:>7,.0f} MB peak {seen['disk_mb']:>7,.0f} MB on disk"
            )


def measured(args: argparse.Namespace) -> dict[str, float]:
    """One run in this process."""
    from headwater.app.simulated import make_world

    shutil.rmtree(OUT, ignore_errors=True)
    begin = time.perf_counter()
    made = make_world(OUT, n_users=args.users, n_days=args.days, seed=7, faults=args.one, users_at_a_time=args.chunk, threads=args.threads, memory=args.memory)  # fmt: skip
    wall = time.perf_counter() - begin
    use = resource.getrusage(resource.RUSAGE_SELF)
    disk = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file()) / 1e6
    shutil.rmtree(OUT, ignore_errors=True)
    return {"n_events": made.n_events, "wall_s": wall, "cpu_s": use.ru_utime + use.ru_stime, "peak_mb": use.ru_maxrss / 1024, "disk_mb": disk}  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--chunk", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
