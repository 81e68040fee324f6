"""Experiments whose truth is known: error, coverage and power of every estimator and every stop rule.

Users are drawn anew for every run from four worlds: revenue of few payers with a heavy tail, sessions clustered in
users, a conversion of one in a hundred, and towns assigned as a whole. Every estimator of ``effects/randomized`` that
serves a world's metrics is asked for its interval with no effect and with one; every rule of ``effects/stopping`` is
looked at on 14 days. Shares of runs stand beside their exact binomial bounds.

    python benchmarks/experiments_truth.py [--runs 2000] [--looked-at 4000] [--seed 1] [--to FILE]
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Finding
from headwater.effects.compared import RANDOMIZED
from headwater.effects.gathered import ArmRows, Gathered, Group, MetricState, QuantileState
from headwater.effects.metric import Metric
from headwater.effects.plan import Arm, Plan, StopRule
from headwater.effects.simulate_on_history import Tally, tally_of
from headwater.effects.stopping import STOPPING
from headwater.effects.triggered import TRIGGERED, UNTRIGGERED
from headwater.numerics.effect import Effect, effect_of
from headwater.numerics.group_sequential import fixed_drift, naive_bound
from headwater.numerics.moments import Moments, of_rows
from headwater.numerics.quantile_effect import bound_ranks, quantile_inflation

Floats = NDArray[np.float64]
ALPHA, POWER, N_LOOKS = 0.05, 0.8, 14
BOUNDS = 0.999  # some 40 shares are looked at together
RULES = ("fixed", "group_sequential", "confidence_sequence", "msprt", "naive peeker")
EXACT_RULES = {"fixed", "group_sequential"}  # spend all of alpha; the others spend at most it
ROW_METHODS = ("permutation", "bootstrap")  # draw users again: fewer users and runs
ROW_USERS, ROW_RUNS = 1000, 10  # users of both arms at most, and one run of so many
LOST_TO_LOOKS = 0.03  # what the group sequential rule may cost in power


@dataclass(frozen=True)
class Users:
    """Users of both arms: ``columns`` over users; ``rows`` are single sessions and whose they are."""

    columns: Mapping[str, Floats]
    stratum: NDArray[np.intp]
    rows: tuple[Floats, NDArray[np.intp]] | None = None


@dataclass(frozen=True)
class World:
    """``value`` is the true metric without an effect; ``spread`` the standard deviation of a user's part, by simulation."""

    name: str
    about: str
    draw: Callable[[np.random.Generator, int], Users]
    metric: Metric
    value: float
    n_users: int
    methods: tuple[str, ...]
    quantile: tuple[Metric, float] | None = None


def _revenue(rng: np.random.Generator, n: int) -> Users:
    """One in eight pays; what is paid is log-normal with a log variance of 1.69. The past explains a part."""
    stratum = (rng.random(n) < 0.3).astype(np.intp)
    past = rng.normal(size=n)
    pays = rng.random(n) < np.where(stratum == 1, 0.3, 0.05)
    revenue = np.where(pays, np.exp(1 + 0.5 * past + 1.2 * rng.normal(size=n)), 0.0)
    predicted = np.where(stratum == 1, 0.3, 0.05) * np.exp(0.5 * past + 0.3 * rng.normal(size=n))
    columns = {"y": revenue, "over": np.ones(n), "past": np.exp(past), "predicted_y": predicted}
    return Users(columns=columns, stratum=stratum)


def _sessions(rng: np.random.Generator, n: int) -> Users:
    """Users differ; who is worth more comes more often. A metric over sessions, users assigned."""
    own = 0.5 * rng.normal(size=n)
    count = 1 + rng.poisson(2 * np.exp(own))
    user = np.repeat(np.arange(n), count)
    values = np.exp(own[user] + 0.8 * rng.normal(size=user.size))
    past = rng.poisson(3 * np.exp(own)).astype(float)
    columns = {
        "y": np.bincount(user, weights=values, minlength=n),
        "over": count.astype(float),
        "past": past,
        "predicted_y": np.exp(own + 0.5 * rng.normal(size=n)),
    }
    return Users(columns=columns, stratum=(past > 2).astype(np.intp), rows=(values, user))


def _conversion(rng: np.random.Generator, n: int) -> Users:
    """One in a hundred does it, of one stratum three times as many."""
    stratum = (rng.random(n) < 0.25).astype(np.intp)
    past = rng.poisson(1 + 2 * stratum).astype(float)
    chance = np.where(stratum == 1, 0.02, 0.02 / 3)
    does = (rng.random(n) < chance).astype(float)
    predicted = chance * np.exp(0.3 * rng.normal(size=n))
    return Users(
        columns={"y": does, "over": np.ones(n), "past": past, "predicted_y": predicted}, stratum=stratum
    )


def _towns(rng: np.random.Generator, n: int) -> Users:
    """Towns of unequal size are the units: their totals, over their users; two users of a town correlate by 0.1."""
    size = np.ceil(rng.lognormal(3, 0.5, size=n))
    level = 10 + np.sqrt(0.1) * rng.normal(size=n)
    total = size * level + np.sqrt(0.9 * size) * rng.normal(size=n)
    past = size * (level + 0.5 * rng.normal(size=n))
    columns = {"y": total, "over": size, "past": past, "predicted_y": past}
    return Users(columns=columns, stratum=np.zeros(n, dtype=np.intp))


@cache
def worlds() -> tuple[World, ...]:
    """The four worlds, with their true values."""
    by_means = ("welch", "cuped", "ml_covariate", "post_stratified", "cluster_robust", "diluted")
    mean, ratio = Metric(name="y", outcome="y"), Metric(name="y", kind="ratio", outcome="y", over="over")
    quantile = Metric(name="y", kind="quantile", outcome="y", share=0.95)
    per_session = (np.exp(0.125) + 2 * np.exp(0.5)) * np.exp(0.32) / (1 + 2 * np.exp(0.125))
    return (
        World("revenue", "1 in 8 pays, log-normal, 4,000 users an arm", _revenue, mean, 0.125 * np.exp(1.845),
              8000, by_means, (quantile, _quantile_of(_revenue, 0.95))),
        World("sessions", "values of sessions clustered in users, 2,000 users an arm", _sessions, ratio, per_session,
              4000, by_means, (quantile, _quantile_of(_sessions, 0.95))),
        World("conversion", "1 in 100 converts, 10,000 users an arm", _conversion,
              replace(mean, kind="proportion"), 0.01, 20_000, by_means),
        World("towns", "40 towns an arm of unequal size, intraclass correlation 0.1", _towns, ratio, 10.0, 80,
              ("welch", "cuped", "cluster_robust")),
    )  # fmt: skip


def _quantile_of(draw: Callable[[np.random.Generator, int], Users], share: float) -> float:
    """The true quantile, of three million users."""
    users = draw(np.random.default_rng(0), 3_000_000)
    return float(np.quantile(users.rows[0] if users.rows else users.columns["y"], share))


@dataclass(frozen=True)
class EstimatorTruth:
    """An estimator in a world: ``held`` says whether both shares are within their bounds."""

    world: str
    metric: str
    method: str
    alarms: Tally
    covered: Tally

    @property
    def held(self) -> bool:
        return (
            self.alarms.low <= ALPHA <= self.alarms.high
            and self.covered.low <= 1 - ALPHA <= self.covered.high
        )


def estimators(
    world: World,
    *,
    n_runs: int,
    rng: np.random.Generator,
    effect: float = 0.1,
    methods: tuple[str, ...] = (),
) -> list[EstimatorTruth]:
    """Every estimator on the same runs (or ``methods`` on smaller ones): no effect, and the arm's outcomes raised by a share."""
    n_users = min(world.n_users, ROW_USERS) if methods else world.n_users
    alarms: dict[tuple[str, str], list[bool]] = {}
    covered: dict[tuple[str, str], list[bool]] = {}
    for _ in range(n_runs):
        users = world.draw(rng, n_users)
        arm = np.repeat([0, 1], n_users // 2)
        for metric, method, plain, moved, truth in _cases(world, users, arm, effect, methods=methods):
            key = (metric.kind, method)
            for gathered, at, found in ((plain, 0.0, alarms), (moved, truth, covered)):
                effect_found = _estimated(metric, method, gathered)
                if effect_found is not None:
                    hit = (
                        effect_found.p_value < ALPHA
                        if at == 0
                        else effect_found.low <= at <= effect_found.high
                    )
                    found.setdefault(key, []).append(hit)
    return [
        EstimatorTruth(world.name, kind, method, tally_of(flags, level=BOUNDS), tally_of(covered[kind, method], level=BOUNDS))
        for (kind, method), flags in alarms.items()
    ]  # fmt: skip


def _cases(
    world: World, users: Users, arm: NDArray[np.intp], effect: float, *, methods: tuple[str, ...]
) -> Iterator[tuple[Metric, str, Gathered, Gathered, float]]:
    as_mean = replace(world.metric, kind="mean") if world.metric.kind == "proportion" else world.metric
    for method in methods or world.methods:
        touched = users.stratum if method == "diluted" else np.ones_like(arm)
        raised = {**users.columns, "y": users.columns["y"] * (1 + effect * arm * touched)}
        covariates = {"ml_covariate": ("predicted_y",), "cuped": ("past",), "diluted": ("past",)}.get(
            method, ()
        )
        metric = replace(as_mean, covariates=covariates)
        plain = _gathered(metric, users.columns, users.stratum, arm, method)
        moved = _gathered(metric, raised, users.stratum, arm, method)
        truth = effect * (_touched_part(world.draw) if method == "diluted" else world.value)
        yield metric, method, plain, moved, truth
    if world.quantile is not None and not methods:
        metric, value = world.quantile
        plain = _quantiles(metric, users, arm, np.zeros(2))
        moved = _quantiles(metric, users, arm, np.array([0.0, effect]))
        yield metric, "order_statistics", plain, moved, effect * value


@cache
def _touched_part(draw: Callable[[np.random.Generator, int], Users]) -> float:
    """What users of stratum 1 bring to the metric of everyone, of three million users."""
    users = draw(np.random.default_rng(0), 3_000_000)
    return float((users.columns["y"] * users.stratum).sum() / users.columns["over"].sum())


def _gathered(
    metric: Metric,
    columns: Mapping[str, Floats],
    stratum: NDArray[np.intp],
    arm: NDArray[np.intp],
    method: str,
) -> Gathered:
    names = (metric.outcome, *((metric.over,) if metric.over else ()), *metric.covariates)
    values = np.column_stack([columns[n] for n in names])
    own = stratum if method in {"post_stratified", "diluted"} else np.zeros_like(stratum)
    n_strata = int(own.max()) + 1
    moments = of_rows(values, groups=arm * n_strata + own, n_groups=2 * n_strata)
    strata = (UNTRIGGERED, TRIGGERED) if method == "diluted" else ("0", "1")[:n_strata]
    groups = tuple(Group(arm=a, stratum=s) for a in ("a", "b") for s in strata)
    state = MetricState(
        columns=names,
        moments=moments,
        n_missing=np.zeros(len(groups), dtype=np.int64),
        rows=tuple(ArmRows(arm=a, values=values[arm == i]) for i, a in enumerate(("a", "b")))
        if method in ROW_METHODS
        else (),
    )
    return Gathered(groups=groups, n_users=moments.n.astype(np.int64), metrics={metric.name: state})


def _quantiles(metric: Metric, users: Users, arm: NDArray[np.intp], effects: Floats) -> Gathered:
    values, user = users.rows or (users.columns["y"], np.arange(arm.size))
    share = metric.share or 0.5
    states: list[QuantileState] = []
    for a, name in enumerate(("a", "b")):
        own = arm[user] == a
        ordered = np.sort(values[own]) * (1 + effects[a])
        low, middle, high = (float(ordered[r - 1]) for r in bound_ranks(ordered.size, share))
        of_arm = np.flatnonzero(arm == a)
        place = user[own] - of_arm[0]
        below = np.bincount(place, weights=values[own] * (1 + effects[a]) <= middle, minlength=of_arm.size)
        counts = np.column_stack([below, np.bincount(place, minlength=of_arm.size)]).astype(float)
        inflation = float(quantile_inflation(of_rows(counts), share=share)[0]) if users.rows else 1.0
        states.append(QuantileState(arm=name, value=middle, low=low, high=high, n=ordered.size, n_users=of_arm.size, inflation=inflation))  # fmt: skip
    empty = Moments(n=np.zeros(2), mean=np.zeros((2, 1)), scatter=np.zeros((2, 1, 1)))
    state = MetricState(
        columns=("y",), moments=empty, n_missing=np.zeros(2, dtype=np.int64), quantiles=tuple(states)
    )
    groups = (Group(arm="a"), Group(arm="b"))
    return Gathered(groups=groups, n_users=np.bincount(arm), metrics={metric.name: state})


def _estimated(metric: Metric, method: str, gathered: Gathered) -> Effect | None:
    both = RANDOMIZED.load(method)().compare(metric, gathered, control="a", arm="b")
    if isinstance(both, Finding):
        return None
    return effect_of(both.control, both.arm, covariance=both.covariance, level=1 - ALPHA)


@dataclass(frozen=True)
class RuleTruth:
    """A stop rule in a world, looked at daily: ``taken`` is the mean share of users at the end, with the effect."""

    world: str
    rule: str
    alarms: Tally
    covered: Tally
    found: Tally
    taken: float

    @property
    def held(self) -> bool:
        enough = self.alarms.low <= ALPHA and self.covered.high >= 1 - ALPHA
        return enough and (self.rule not in EXACT_RULES or self.alarms.high >= ALPHA)


def stop_rules(world: World, *, n_runs: int, rng: np.random.Generator, n_a_day: int) -> list[RuleTruth]:
    """Every rule on the same runs, on each of 14 days; the effect is what a fixed test finds with 80% power."""
    paths = [_paths(world, n_runs=size, rng=rng, n_a_day=n_a_day) for size in _batches(n_runs, n_a_day)]
    difference, error = (np.concatenate(parts) for parts in zip(*paths, strict=True))
    effect = fixed_drift(alpha=ALPHA, power=POWER) * float(np.median(error[:, -1]))
    reach = _reaches(n_users=2 * N_LOOKS * n_a_day)
    return [_judged(world, rule, difference, error, effect=effect, reach=reach[rule]) for rule in RULES]


def _judged(
    world: World, rule: str, difference: Floats, error: Floats, *, effect: float, reach: Floats
) -> RuleTruth:
    """The arm's outcomes raised by a constant move the difference and leave its error."""
    at, stopped = _stops((difference + effect) / error, reach)
    run = np.arange(at.size)
    inside = np.abs(difference[run, at]) <= reach[at] * error[run, at]
    return RuleTruth(
        world=world.name,
        rule=rule,
        alarms=tally_of((np.abs(difference) > reach * error).any(axis=1), level=BOUNDS),
        covered=tally_of(inside, level=BOUNDS),
        found=tally_of(stopped, level=BOUNDS),
        taken=float(((at + 1) / N_LOOKS).mean()),
    )


def _stops(z: Floats, reach: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    out = np.abs(z) > reach
    stopped = out.any(axis=1)
    return np.where(stopped, np.argmax(out, axis=1), N_LOOKS - 1), stopped


def _reaches(*, n_users: int) -> dict[str, Floats]:
    """What each rule reaches at each look, as it is read on that day."""
    found = {"naive peeker": np.full(N_LOOKS, naive_bound(ALPHA))}
    found["fixed"] = np.append(np.full(N_LOOKS - 1, np.inf), naive_bound(ALPHA))
    shares = tuple((i + 1) / N_LOOKS for i in range(N_LOOKS))
    for rule in ("group_sequential", "confidence_sequence", "msprt"):
        plan = Plan(
            name="t", question="?", arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5)), metrics=(),
            power=POWER, stop=StopRule(method=rule, n_users=n_users),
        )  # fmt: skip
        readings = [
            STOPPING.load(rule)().read(
                plan, n_users=round(s * n_users), today=None, alpha=ALPHA, looked=shares[:i]
            )
            for i, s in enumerate(shares)
        ]
        found[rule] = np.array([np.inf if r.reach is None else r.reach for r in readings])
    return found


def _batches(n_runs: int, n_a_day: int) -> Iterator[int]:
    step = max(1, 6_000_000 // (2 * N_LOOKS * n_a_day))
    for start in range(0, n_runs, step):
        yield min(step, n_runs - start)


def _paths(world: World, *, n_runs: int, rng: np.random.Generator, n_a_day: int) -> tuple[Floats, Floats]:
    """Difference and standard error at every look of every run, each (runs, looks), by the delta method."""
    users = world.draw(rng, n_runs * 2 * N_LOOKS * n_a_day)
    shape = (n_runs, 2, N_LOOKS, n_a_day)
    y, x = users.columns["y"].reshape(shape), users.columns["over"].reshape(shape)
    sums = [np.cumsum(part.sum(axis=3), axis=2) for part in (y, x, y * y, x * x, x * y)]
    n = np.arange(1, N_LOOKS + 1) * n_a_day
    my, mx, yy, xx, xy = (s / n for s in sums)
    ratio = my / mx
    variance = (
        ((yy - my * my) - 2 * ratio * (xy - mx * my) + ratio * ratio * (xx - mx * mx)) / mx**2 / (n - 1)
    )
    error = np.sqrt(variance.sum(axis=1))
    return ratio[:, 1] - ratio[:, 0], np.where(error > 0, error, np.inf)  # nobody has done it yet: no verdict


def report(
    estimated: list[EstimatorTruth], ruled: list[RuleTruth], *, n_runs: int, looked_at: int, seconds: float
) -> str:
    """Both tables as Markdown."""
    about = "\n".join(f"- **{w.name}**: {w.about}" for w in worlds())
    lines = [
        "# Experiments whose truth is known",
        "",
        f"`python benchmarks/experiments_truth.py`: {n_runs:,} runs of each estimator (permutation and bootstrap: {n_runs // ROW_RUNS:,} runs of at most {ROW_USERS:,} users), {looked_at:,} of each stop rule, {seconds:,.0f} s on {platform.machine()}, Python {platform.python_version()}; other work on the machine was not excluded. Nominal error {ALPHA:.0%}; bounds are exact binomial ones at {BOUNDS:.1%}.",
        "",
        about,
        "",
        "## Estimators",
        "",
        "No effect, and outcomes of the arm raised by 10%. Held: the bounds of the errors hold 5%, those of coverage 95%.",
        "",
        "| world | kind | method | wrong alarms | bounds | intervals that hold the truth | bounds | held |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {t.world} | {t.metric} | {t.method} | {_cells(t.alarms)} | {_cells(t.covered)} | {'yes' if t.held else '**no**'} |" for t in estimated),
        "",
        "## Stop rules, looked at on each of 14 days",
        "",
        f"The effect is what a fixed test finds with {POWER:.0%}. Coverage is of the interval at the look that stopped; users are the mean share taken where there is an effect. Held: the error is at most 5% (fixed and group sequential: 5%), coverage at least 95%.",
        "",
        "| world | rule | wrong alarms | bounds | intervals that hold the truth | bounds | power | users | held |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {t.world} | {t.rule} | {_cells(t.alarms)} | {_cells(t.covered)} | {t.found.share:.1%} | {t.taken:.0%} | {'yes' if t.held else '**no**'} |" for t in ruled),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _cells(tally: Tally) -> str:
    return f"{tally.share:.1%} | {tally.low:.1%} to {tally.high:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--looked-at", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results" / "experiments_truth.md")
    given = parser.parse_args()
    began, estimated, ruled = time.perf_counter(), [], []
    for world, seed in zip(worlds(), np.random.SeedSequence(given.seed).spawn(4), strict=True):
        rng = np.random.default_rng(seed)
        estimated += estimators(world, n_runs=given.runs, rng=rng)
        estimated += estimators(world, n_runs=given.runs // ROW_RUNS, rng=rng, methods=ROW_METHODS)
        if world.name != "towns":
            ruled += stop_rules(world, n_runs=given.looked_at, rng=rng, n_a_day=world.n_users // 28)
        print(f"{world.name}: {time.perf_counter() - began:.0f} s", flush=True)
    text = report(
        estimated, ruled, n_runs=given.runs, looked_at=given.looked_at, seconds=time.perf_counter() - began
    )
    given.to.write_text(text, encoding="utf-8")
    print(text)
    broken = [f"{t.world}/{t.method}" for t in estimated if not t.held]
    broken += [f"{t.world}/{t.rule}" for t in ruled if not t.held and t.rule != "naive peeker"]
    power = {(t.world, t.rule): t.found.share for t in ruled}
    lost = max(power[w, "fixed"] - power[w, "group_sequential"] for w, _ in power)
    print(
        f"outside their bounds: {broken or 'none'}; group sequential loses at most {100 * lost:.1f} points of power"
    )
    raise SystemExit(bool(broken) or lost > LOST_TO_LOOKS)


if __name__ == "__main__":
    main()
