"""Recall and precision by kind of planted fault, row by row: simulate, check, join the quarantine with the truth.

    python benchmarks/faults.py [--users 4000] [--days 180] [--seed 7]

A row counts as found where its quarantine names a rule of the kind (``RULES_OF``); precision counts the rows such a
rule sends to quarantine that have the fault, or another planted fault that breaks the same rule (``ALSO``).
"""

from __future__ import annotations

import argparse
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.core.audit import Audit

DAY_US = 86_400_000_000
OUT = Path(__file__).parent / "out" / "faults"
RULES_OF = {
    "exact_duplicate": ("unique(event_id)",),
    "near_duplicate": ("near_duplicate(",),
    "duplicate_order": ("unique(order_id of purchase",),
    "wrong_type": ("type(amount_usd)",),
    "out_of_range": ("range(amount_usd",),
    "future": ("not_future(",),
    "trailing_junk": ("one_of(currency)",),
    "alias": ("one_of(network)",),
    "missing_id": ("required(user_id)",),
    "dangling_reference": ("references(user_id",),
    "before_signup": ("after_user_created(",),
    "clock_skew": ("clock_skew(ahead",),
    "very_late": ("clock_skew(behind",),
    "personal_data": ("personal_data(",),
}
ALSO = {
    "clock_skew": ("future",),  # a time in the future is also ahead of the server's clock
    "very_late": ("before_signup",),  # what happened long before sign-up also came long after it happened
    "near_duplicate": ("exact_duplicate",),
    "duplicate_order": ("exact_duplicate",),  # a purchase sent twice has its order's number twice
    "future": ("clock_skew",),  # a clock ahead on the last evening is in the future
}


def main() -> None:
    """Make, check, join, print."""
    args = arguments()
    from headwater.app.config import CONFIG_NAME, read_settings
    from headwater.app.simulated import make_world
    from headwater.app.study import Study

    shutil.rmtree(OUT, ignore_errors=True)
    made = make_world(OUT, n_users=args.users, n_days=args.days, seed=args.seed, faults="default")
    study = Study(OUT, read_settings(OUT / CONFIG_NAME), today=date.today())
    events = study.events(gate=False)
    found = flagged(events.quarantine.files)
    planted = truth(OUT / "truth" / "faults.parquet")
    print(f"{made.n_events:,} events of {made.n_users:,} users, seed {args.seed}; {events.quarantine.n_rows:,} rows in quarantine\n")  # fmt: skip
    print(f"{'kind':20}{'planted':>9}{'found':>9}{'recall':>9}{'flagged':>9}{'precision':>11}  rule")
    for kind, prefixes in RULES_OF.items():
        rows, hit = (
            planted.get(kind, set()),
            {p for p, codes in found.items() if any(x in codes for x in prefixes)},
        )
        true = rows.union(*(planted.get(k, set()) for k in ALSO.get(kind, ())))
        recall = f"{len(hit & rows) / len(rows):.4f}" if rows else "-"
        precision = f"{len(hit & true) / len(hit):.4f}" if hit else "-"
        rule = prefixes[0] if hit else "none in the contract"
        print(
            f"{kind:20}{len(rows):>9,}{len(hit & rows):>9,}{recall:>9}{len(hit):>9,}{precision:>11}  {rule}"
        )
    every = set().union(*(planted.get(k, set()) for k in RULES_OF))
    print(f"\n{len(set(found) - every):,} rows in quarantine have no planted row fault\n")
    stretches_and_users(study.audit(), OUT / "truth" / "faults.parquet")


METRIC_OF = {"volume_drop": ("n_events",), "mix_shift": ("share_of_events", "n_events")}


def stretches_and_users(audit: Audit, planted: Path) -> None:
    """What the alarms found of the faults on stretches of the log and on users, one load: a look, not a measure of power."""
    import duckdb

    (metrics,) = audit.metrics.files
    flagged_days = duckdb.execute(
        "SELECT metric, coalesce(dimension, ''), coalesce(value, ''), day FROM read_parquet(?) WHERE flagged",
        [metrics],
    ).fetchall()
    stretches = duckdb.execute(
        "SELECT kind, dimension, value, first_us, end_us FROM read_parquet(?) WHERE row IS NULL AND first_us IS NOT NULL ORDER BY kind",
        [str(planted)],
    ).fetchall()
    for kind, dimension, value, first, end in stretches:
        if kind.startswith("hole"):
            hit = any(h.dimension == dimension and h.first_us < end and h.end_us > first for h in audit.holes)
        else:
            days = range(first // DAY_US, -(-end // DAY_US))
            hit = any(
                m in METRIC_OF.get(kind, ()) and d in days and (dimension is None or c == dimension)
                for m, c, _, d in flagged_days
            )
        print(
            f"{kind:20}{'found' if hit else 'missed':>9}  {value or 'everybody'}, {(end - first) / DAY_US:.1f} days"
        )
    (bots,) = [x for x in audit.listings if x.name == "bots"] or [None]
    listed = {str(row[0]) for row in bots.rows} if bots else set()
    true = {
        str(u)
        for (u,) in duckdb.execute(
            "SELECT DISTINCT user_id FROM read_parquet(?) WHERE kind = 'bot'", [str(planted)]
        ).fetchall()
    }
    print(
        f"{'bot':20}{len(listed & true):>6} of {len(true)} found, {len(listed - true)} people listed as bots"
    )


def flagged(files: tuple[str, ...]) -> dict[tuple[str, int], str]:
    """The codes of every row in quarantine by file and row."""
    import pyarrow.parquet as pq

    rows = [
        r for f in files for r in pq.read_table(f, columns=["codes", "source_file", "source_row"]).to_pylist()
    ]
    return {(r["source_file"], r["source_row"]): r["codes"] for r in rows}


def truth(path: Path) -> dict[str, set[tuple[str, int]]]:
    """The planted rows by kind."""
    import pyarrow.parquet as pq

    found: dict[str, set[tuple[str, int]]] = {}
    for row in pq.read_table(path).to_pylist():
        if row["row"] is not None:
            found.setdefault(row["kind"], set()).add((row["file"], row["row"]))
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
