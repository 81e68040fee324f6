"""How often the trust checks cry wolf over sound experiments, and how often each finds a stated fault.

Sound experiments differ in everything that is not a fault: users, arms and their shares, days, segments, how rare and
how heavy-tailed outcomes are, covariates, and a true effect. Faults are planted in experiments of 20,000 users.
A finding that warns or blocks counts, except those that state a fact of a sound experiment (few users for the shape
of an outcome, weeks that are not whole, one user who holds much of a metric), which are counted apart.

    python benchmarks/checks_power.py [--sound 2000] [--faulty 100] [--seed 1]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headwater.core.finding import Severity
from headwater.effects.facts import N_CROSSED, N_DELAYED, N_ELSEWHERE, STRATA_ARE_CLUSTERS, fact_key
from headwater.effects.gathered import Gathered, Group, MetricState
from headwater.effects.metric import Metric, Part
from headwater.effects.plan import Arm, Plan
from headwater.effects.trust import trust
from headwater.numerics.moments import of_rows

FACTS = {"sample.small", "sample.skewed", "weekday.coverage", "outlier.influence"}
NAMES = ("control", "treatment", "other")
START = 20_003
Rows = NDArray[np.float64]


@dataclass(kw_only=True)
class Users:
    """An experiment by its users, who may yet be lost, moved or counted twice."""

    shares: NDArray[np.float64]
    arm: NDArray[np.int64]
    day: NDArray[np.int64]
    segment: NDArray[np.int64]
    revenue: Rows
    bought: Rows
    before: Rows
    rates: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)


def draw(rng: np.random.Generator, *, n: int | None = None, effect: float | None = None) -> Users:
    """A sound experiment; of ``n`` users in two even arms and two weeks where n is given, of any shape otherwise."""
    is_any = n is None
    n = int(np.exp(rng.uniform(np.log(3000), np.log(60_000)))) if n is None else n
    shares = np.array([[0.5, 0.5], [0.9, 0.1], [1 / 3] * 3][rng.integers(3)] if is_any else [0.5, 0.5])
    arm = rng.choice(shares.size, n, p=shares)
    n_days = int(rng.integers(7, 29)) if is_any else 14
    n_segments = int(rng.integers(1, 9)) if is_any else 4
    keen = rng.gamma(1, 1, n)
    rate = float(np.exp(rng.uniform(np.log(0.01), np.log(0.4)))) if is_any else 0.15
    lift = 1 + (rng.uniform(-0.1, 0.1) if effect is None else effect) * (arm > 0)
    bought = rng.random(n) < np.minimum(rate * keen * np.sqrt(lift), 0.95)
    tail = rng.uniform(0.3, 1.2) if is_any else 0.8
    revenue = bought * rng.lognormal(3, tail, n) * np.sqrt(lift)
    return Users(
        shares=shares,
        arm=arm,
        day=rng.choice(n_days, n, p=rng.dirichlet(np.full(n_days, 20.0))),
        segment=rng.choice(n_segments, n, p=rng.dirichlet(np.full(n_segments, 2.0))),
        revenue=revenue,
        bought=bought.astype(np.float64),
        before=np.c_[keen * rng.lognormal(0, tail, n), rng.poisson(keen)],
        rates={N_CROSSED: np.full(3, 0.003), N_DELAYED: np.full(3, 0.01), f"{N_ELSEWHERE}/banner: big": np.full(3, 0.2)},
    )  # fmt: skip


def seen(users: Users, rng: np.random.Generator) -> tuple[Plan, Gathered]:
    """What a query would have gathered of the users."""
    n_segments, n_days = int(users.segment.max()) + 1, int(users.day.max()) + 1
    label = (users.arm * n_segments + users.segment) * n_days + users.day
    n_groups = users.shares.size * n_segments * n_days
    groups = tuple(
        Group(arm=NAMES[g // n_days // n_segments], stratum=f"s{g // n_days % n_segments:03d}", day=START + g % n_days)
        for g in range(n_groups)
    )  # fmt: skip
    metrics = (
        Metric(name="revenue", outcome="revenue", covariates=("x", "y"), part=Part.PRIMARY),
        Metric(name="bought", kind="proportion", outcome="bought", covariates=("x", "y")),
    )
    states = {m.name: _state(getattr(users, m.name), users.before, label, n_groups) for m in metrics}
    n_users = np.bincount(label, minlength=n_groups)
    in_arm = np.bincount(users.arm, minlength=users.shares.size)
    facts = {
        fact_key(fact, NAMES[a]): float(rng.binomial(in_arm[a], rates[a]))
        for fact, rates in users.rates.items()
        for a in range(users.shares.size)
    }
    arms = tuple(Arm(name=name, share=float(s)) for name, s in zip(NAMES, users.shares, strict=False))
    plan = Plan(name="simulated", question="?", arms=arms, metrics=metrics, registered_on=START)
    return plan, Gathered(groups=groups, n_users=n_users, metrics=states, facts=facts | users.facts)


def _state(y: Rows, before: Rows, label: NDArray[np.int64], n_groups: int) -> MetricState:
    known = np.isfinite(y)
    largest = np.zeros(n_groups)
    np.maximum.at(largest, label[known], y[known])
    rows = np.column_stack([y, before])[known]
    return MetricState(
        columns=("outcome", "x", "y"),
        moments=of_rows(rows, groups=label[known].astype(np.intp), n_groups=n_groups),
        n_missing=np.bincount(label[~known], minlength=n_groups),
        largest=largest,
    )


def without(users: Users, lost: NDArray[np.bool_]) -> Users:
    """The users but those who were lost."""
    kept = {c: getattr(users, c)[~lost] for c in ("arm", "day", "segment", "revenue", "bought", "before")}
    return replace(users, **kept)


def _lose(share: float, *, of: Callable[[Users], NDArray[np.bool_]]) -> Callable[..., Users]:
    return lambda users, rng: without(users, of(users) & (rng.random(users.arm.size) < share))


def _treated(users: Users) -> NDArray[np.bool_]:
    return users.arm == 1


def _one_lost_outcome(users: Users, rng: np.random.Generator) -> Users:
    lost = rng.random(users.arm.size) < 0.01 + 0.01 * users.arm
    return replace(users, revenue=np.where(lost, np.nan, users.revenue))


def _rates(fact: str, control: float, treatment: float) -> Callable[..., Users]:
    return lambda users, _: replace(
        users, rates=users.rates | {fact: np.array([control, treatment, control])}
    )


def _novelty(users: Users, _: np.random.Generator) -> Users:
    return replace(
        users, revenue=users.revenue * (1 + users.arm * (0.6 * users.day / max(users.day.max(), 1)))
    )


def _spill(users: Users, rng: np.random.Generator) -> Users:
    segment = rng.integers(0, 100, users.arm.size)
    arm = (rng.random(users.arm.size) < rng.uniform(0.2, 0.8, 100)[segment]).astype(np.int64)
    share = np.bincount(segment, arm, minlength=100) / np.bincount(segment, minlength=100)
    felt = users.revenue * np.where(arm == 1, 1.0, 1 - 0.7 * share[segment])
    return replace(users, segment=segment, arm=arm, revenue=felt, day=users.day * 0, facts={STRATA_ARE_CLUSTERS: 1.0})  # fmt: skip


def _whale(users: Users, _: np.random.Generator) -> Users:
    revenue = users.revenue.copy()
    revenue[0] = 0.05 * revenue.sum()
    return replace(users, revenue=revenue)


FAULTS: dict[str, tuple[str, Callable[..., Users]]] = {
    "the treatment loses 5% of its users": ("srm.mismatch", _lose(0.05, of=_treated)),
    "the treatment loses 10% of its users": ("srm.mismatch", _lose(0.10, of=_treated)),
    "a third of the treatment is lost on one day": ("srm.day", _lose(1 / 3, of=lambda u: _treated(u) & (u.day == 5))),
    "one segment in four loses 20% of the treatment": ("srm.segment", _lose(0.2, of=lambda u: _treated(u) & (u.segment == np.bincount(u.segment).argmax()))),
    "a tenth of the keenest half is lost in the treatment": ("balance.pre_period", _lose(0.10, of=lambda u: _treated(u) & (u.before[:, 0] > np.median(u.before[:, 0])))),
    "a quarter of the keenest half is lost in the treatment": ("balance.pre_period", _lose(0.25, of=lambda u: _treated(u) & (u.before[:, 0] > np.median(u.before[:, 0])))),
    "1% of outcomes are lost in one arm, 2% in the other": ("missing.differs", _one_lost_outcome),
    "0.3% of users crossed from one arm, 0.8% from the other": ("exposure.crossed", _rates(N_CROSSED, 0.003, 0.008)),
    "1% of exposures late in one arm, 2% in the other": ("exposure.late", _rates(N_DELAYED, 0.01, 0.02)),
    "20% of one arm had met another experiment, 23% of the other": ("carry_over.uneven", _rates(f"{N_ELSEWHERE}/banner: big", 0.2, 0.23)),
    "an effect of +60% for the latest users, none for the first": ("effect.trend", _novelty),
    "controls lose 70% where all neighbors are treated, 100 clusters": ("interference.hint", _spill),
    "one user with 5% of all revenue": ("outlier.influence", _whale),
    "revenue is counted twice in the treatment": ("effect.too_large", lambda u, _: replace(u, revenue=u.revenue * (1 + u.arm))),
}  # fmt: skip


def main() -> None:
    """Print both tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sound", type=int, default=2000)
    asked.add_argument("--faulty", type=int, default=100)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    rng = np.random.default_rng(given.seed)
    began, codes, n_wolf, facts = time.perf_counter(), Counter[str](), 0, Counter[str]()
    for _ in range(given.sound):
        found = _codes(draw(rng), rng)
        codes.update(found - FACTS)
        facts.update(found & FACTS)
        n_wolf += bool(found - FACTS)
    print(f"{n_wolf} of {given.sound} sound experiments raised a false alarm: {dict(codes)}")
    print(f"facts told of them: {dict(facts)}")
    for title, (code, plant) in FAULTS.items():
        hits = sum(code in _codes(plant(draw(rng, n=20_000, effect=0.0), rng), rng) for _ in range(given.faulty))  # fmt: skip
        print(f"{hits / given.faulty:5.0%}  {code:20}  {title}")
    print(f"{time.perf_counter() - began:.0f} s")


def _codes(users: Users, rng: np.random.Generator) -> set[str]:
    results = trust(*seen(users, rng))
    return {f.code for r in results for f in r.findings if f.severity is not Severity.NOTE}


if __name__ == "__main__":
    main()
