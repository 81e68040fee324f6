"""How often intervals of cohorts' totals hold what came, on simulated apps whose cohorts differ and share seasons.

Each simulated app has cohorts of stated sizes, users with zero-inflated lognormal outcomes and known means, a
season that multiplies everybody's outcomes (another at each origin), and a factor of each cohort (another at each
origin). The forecast knows the users' means and nothing of season and cohort. Three past origins teach the shared
error and the cohorts' error; the next one is what the intervals are judged on. Seasons of overlapping windows are
correlated as the share of days they have in common.

    python benchmarks/cohort_coverage.py [--apps 400] [--seed 1]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from headwater.evaluation.grouping import Grouping
from headwater.evaluation.totals import GroupTotals, group_error, group_intervals, shared_error

SIZES = (20, 50, 200, 1_000, 5_000)
EACH = 6  # cohorts of each size
HORIZON = 90
LEVEL = 0.9


def main() -> None:
    """Simulate, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.apps} apps, {given.apps * EACH * len(SIZES):,} cohorts each line, {LEVEL:.0%} intervals")
    print(
        "season cohort every  "
        + "".join(f"{s:>9,}" for s in SIZES)
        + "      all  error    width   old rule  its width"
    )
    for season, cohort, every in (
        (0.0, 0.0, HORIZON), (0.1, 0.0, HORIZON), (0.0, 0.15, HORIZON), (0.1, 0.1, HORIZON), (0.2, 0.3, HORIZON), (0.1, 0.1, 28),
    ):  # fmt: skip
        began = time.perf_counter()
        rng = np.random.default_rng(given.seed)
        runs = [cover(rng, season=season, cohort=cohort, every=every) for _ in range(given.apps)]
        held = np.array([r[0] for r in runs])
        widths, old_held, old_widths = (np.array([r[i] for r in runs]) for i in (1, 2, 3))
        error = held.mean(axis=1).std(ddof=1) / np.sqrt(len(held))
        by_size = held.reshape(len(held), len(SIZES), EACH).mean(axis=(0, 2))
        print(
            f"{season:6.0%} {cohort:6.0%} {every:4d}d  "
            + "".join(f"{c:9.1%}" for c in by_size)
            + f"{held.mean():9.1%} {error:6.1%} {np.median(widths):8.2f} {old_held.mean():10.1%} {np.median(old_widths):10.2f}"
            + f"   {time.perf_counter() - began:.0f} s"
        )


def cover(rng: np.random.Generator, *, season: float, cohort: float, every: int):
    """One app: whether each cohort's interval held its total, its width over the forecast, and both for one t for all."""
    from headwater.numerics.intervals import interval_of_total

    groups = Grouping.of([f"c{i:02d}" for i, n in enumerate(np.repeat(SIZES, EACH)) for _ in range(n)])
    seasons = correlated(rng, 4, share=max(0.0, 1 - every / HORIZON)) * season
    seasons[3] = season * rng.normal()  # the window to come has nothing in common with those that ended
    origins = [users(rng, groups, season=s, cohort=cohort) for s in seasons]
    past = [GroupTotals.of(groups, predicted=m, variance=v, actual=a) for m, v, a in origins[:3]]
    days = [0, every, 2 * every]
    shared = shared_error([(m.sum(), a.sum()) for m, _, a in origins[:3]], days, HORIZON)
    known = group_error(past, windows=shared.windows, level=LEVEL)
    shared = type(shared)(
        share=shared.share, n_origins=3, windows=shared.windows, groups={"cohort": known} if known else {}
    )
    mean, variance, actual = origins[3]
    found = list(
        group_intervals(
            mean, variance=variance, groups=groups, shared=shared, kind="cohort", level=LEVEL
        ).values()
    )
    came, sums, variances = groups.sums(actual), groups.sums(mean), groups.sums(variance)
    low, high = (np.array([getattr(e, side) for e in found]) for side in ("low", "high"))
    old = np.array(
        [
            interval_of_total(m, v, shared.share, shared.windows, LEVEL)
            for m, v in zip(sums, variances, strict=True)
        ]
    )
    old_held = (old[:, 0] <= came) & (came <= old[:, 1])
    return (low <= came) & (came <= high), (high - low) / sums, old_held, (old[:, 1] - old[:, 0]) / sums


def users(rng: np.random.Generator, groups: Grouping, *, season: float, cohort: float):
    """Mean and variance of each user's forecast, and the outcome."""
    z = rng.normal(size=groups.codes.size)
    p_pays, mu, sigma = 1 / (1 + np.exp(1.0 - z)), 2 + 0.5 * z, 0.9
    mean = p_pays * np.exp(mu + sigma**2 / 2)
    variance = p_pays * np.exp(2 * mu + 2 * sigma**2) - mean**2
    factors = 1 + season + cohort * rng.normal(size=len(groups.names))
    paid = rng.random(z.size) < p_pays
    actual = np.where(paid, np.exp(mu + sigma * rng.normal(size=z.size)), 0.0) * factors[groups.codes]
    return mean, variance, actual


def correlated(rng: np.random.Generator, n: int, *, share: float) -> np.ndarray:
    """Standard normal draws, neighbors correlated by ``share``."""
    draws = rng.normal(size=n)
    for i in range(1, n):
        draws[i] = share * draws[i - 1] + np.sqrt(1 - share**2) * draws[i]
    return draws


if __name__ == "__main__":
    main()
