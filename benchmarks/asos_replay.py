"""ASOS Digital Experiments replayed look by look: how many "wins" of who stops at the first one would have been lost.

Reads the summary moments of 78 real experiments (Liu, Cardoso, Couturier and McCoy 2021, CC BY 4.0) from the folder of
reference data. Every metric of every variant is read at every look, as the looks came: by 1.96 standard errors,
by a group sequential test whose last look is the last in the data, and by a confidence sequence tuned to the users
at the last look.

    HEADWATER_REFERENCE_DATA=... python benchmarks/asos_replay.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet
from scipy import special

from headwater.numerics.always_valid import mixture_reach, tuned_ratio
from headwater.numerics.group_sequential import spending_bounds
from headwater.numerics.multiplicity import adjusted
from headwater.numerics.sample_ratio import srm

ALPHA = 0.05
Z = 1.959963984540054
SRM_LEVEL = 0.001
LEAST_USERS = 200  # in both arms together: below, a confidence sequence does not hold yet
LOOKS = 10  # of the group sequential test: those nearest to tenths of the users at the last look


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one variant: users and z-statistics at each look, in order."""

    comparison: tuple[str, int]
    n_control: np.ndarray
    n_arm: np.ndarray
    z: np.ndarray


def series_of(folder: Path) -> list[Series]:
    """The 396 series."""
    rows = parquet.read_table(folder / "asos" / "asos_digital_experiments_dataset.parquet").to_pylist()
    by: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    known = [r for r in rows if None not in r.values() and r["count_c"] + r["count_t"] >= LEAST_USERS]
    for row in sorted(known, key=lambda r: r["time_since_start"]):
        by.setdefault((row["experiment_id"], row["variant_id"], row["metric_id"]), []).append(row)
    return [_series(key[:2], found) for key, found in sorted(by.items())]


def _series(comparison: tuple[str, int], rows: list[dict[str, Any]]) -> Series:
    c, t, mc, mt, vc, vt = np.array(
        [[r[k] for k in ("count_c", "count_t", "mean_c", "mean_t", "variance_c", "variance_t")] for r in rows]
    ).T
    error = np.sqrt(vc / c + vt / t)
    z = np.divide(mt - mc, error, out=np.zeros_like(error), where=error > 0)
    return Series(comparison=comparison, n_control=c, n_arm=t, z=z)


def mismatched(series: list[Series]) -> int:
    """Comparisons whose counts at the last look are no even split at p < .001, each counted once."""
    last = {s.comparison: (s.n_control[-1], s.n_arm[-1]) for s in series}
    return sum(srm(counts, (0.5, 0.5))[1] < SRM_LEVEL for counts in last.values())


def naive(series: Series) -> np.ndarray:
    """Looks at which 1.96 is passed."""
    return np.abs(series.z) > Z


def sequence(series: Series) -> np.ndarray:
    """Looks at which a confidence sequence, tuned to the users at the last look, leaves out zero."""
    n = series.n_control + series.n_arm
    ratio = tuned_ratio(ALPHA)
    reach = np.array([mixture_reach(float(ratio * m / n[-1]), ALPHA) for m in n])
    return np.abs(series.z) > reach


def staged(series: Series) -> np.ndarray:
    """Looks at which a group sequential test (O'Brien-Fleming spending) of at most ten looks crosses its bound."""
    n = series.n_control + series.n_arm
    share = n / n[-1]
    at = sorted({int(np.abs(share - t).argmin()) for t in np.arange(1, LOOKS + 1) / LOOKS})
    looks = [i for k, i in enumerate(at) if k == 0 or share[i] > share[at[k - 1]]]
    if looks[-1] != n.size - 1:
        looks[-1] = n.size - 1
    bounds = spending_bounds(share[looks], alpha=ALPHA)
    crossed = np.zeros(n.size, dtype=bool)
    crossed[looks] = np.abs(series.z[looks]) > bounds
    return crossed


def replayed(series: list[Series], rule: Any) -> dict[str, int]:
    """Series that ever won by a rule, and of those how many are not beyond 1.96, or on the other side, at the last look."""
    found = {"ever": 0, "lost": 0, "turned": 0, "early": 0}
    for s in series:
        at = np.flatnonzero(rule(s))
        if at.size == 0:
            continue
        first = at[0]
        found["ever"] += 1
        found["early"] += bool(first < s.z.size - 1)
        found["lost"] += bool(abs(s.z[-1]) <= Z)
        found["turned"] += bool(s.z[first] * s.z[-1] < 0)
    return found


def summary(series: list[Series]) -> dict[str, Any]:
    """All figures."""
    last = np.array([s.z[-1] for s in series])
    p = np.array([_p(z) for z in last])
    return {
        "comparisons": len({s.comparison for s in series}),
        "series": len(series),
        "looks": sum(s.z.size for s in series),
        "srm": mismatched(series),
        "beyond": int((np.abs(last) > Z).sum()),
        "discoveries": int((adjusted(p.tolist(), how="bh") <= ALPHA).sum()),
        "holm": int((adjusted(p.tolist(), how="holm") <= ALPHA).sum()),
        "naive": replayed(series, naive),
        "staged": replayed(series, staged),
        "sequence": replayed(series, sequence),
    }


def _p(z: float) -> float:
    return float(2 * special.ndtr(-abs(z)))


def told(found: dict[str, Any]) -> str:
    """The page."""
    rules = (("1.96 at any look", "naive"), (f"group sequential, at most {LOOKS} looks", "staged"), ("confidence sequence, every look", "sequence"))  # fmt: skip
    rows = [
        f"| {name} | {r['ever']} | {r['early']} | {r['lost']} ({r['lost'] / max(r['ever'], 1):.0%}) | {r['turned']} |"
        for name, key in rules
        for r in [found[key]]
    ]
    return "\n".join(
        [
            "# ASOS Digital Experiments, replayed",
            "",
            f"{found['comparisons']} comparisons of 78 real experiments, 4 metrics each: {found['series']} of 396 series have variances of both arms at some look, {found['looks']:,} looks with {LEAST_USERS} users or more. Data: Liu, Cardoso, Couturier and McCoy (2021), CC BY 4.0. Made by `benchmarks/asos_replay.py`.",
            "",
            f"- {found['srm']} of {found['comparisons']} comparisons fail the sample ratio check at p < .001.",
            f"- At the last look {found['beyond']} of {found['series']} are beyond 1.96 standard errors; {found['discoveries']} are discoveries at a false discovery rate of 5%, {found['holm']} by Holm.",
            "",
            "Who stops at the first win, in either direction:",
            "",
            "| rule | ever a win | before the last look | of these wins, not beyond 1.96 at the last look | on the other side at the last look |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "A sequence protects one effect that stays the same. Here some do not: means are running ones, and z of three metrics of one experiment falls from about 4 to below 0 while its number of users stays the same. Lost again does not prove a win false, nor does kept prove it true: effects can fade, and nobody knows the truth of these. Metrics of one variant, and variants of one experiment, are not independent.",
            "",
        ]
    )


def main() -> None:
    """Write the page."""
    found = summary(series_of(Path(os.environ["HEADWATER_REFERENCE_DATA"])))
    page = told(found)
    (Path(__file__).parent / "results" / "asos.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
