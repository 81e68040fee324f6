"""Assignment against GrowthBook's spec, and what must hold of it whatever the ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from headwater.core.errors import DataError, UsageError
from headwater.effects.allocation import Allocation, bucket_ranges, share_moved
from headwater.effects.assignment import assign, assignment_sql, kept_as_before
from headwater.effects.plan import Arm
from headwater.effects.slices import Holdout, Layer, Slice, namespace
from headwater.engine.sql import name, sql

ARMS = (Arm(name="champion", share=0.5), Arm(name="challenger", share=0.5))
THREE = (Arm(name="a", share=0.2), Arm(name="b", share=0.3), Arm(name="c", share=0.5))
IDS = pa.array([f"user_{i}" for i in range(100_000)])
P_TOO_SMALL = 1e-4  # a right assignment fails one of these fixed draws with about this chance
SPEC_DIGITS = 1e-12  # GrowthBook's tests round to two digits; doubles agree far beyond

RANGES = [  # cases.json, "getBucketRange"
    ([0.5, 0.5], 1, [[0, 0.5], [0.5, 1]]),
    ([0.5, 0.5], 0.5, [[0, 0.25], [0.5, 0.75]]),
    ([0.5, 0.5], 0, [[0, 0], [0.5, 0.5]]),
    ([0.25] * 4, 1, [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]]),
    ([0.4, 0.6], 1, [[0, 0.4], [0.4, 1]]),
    ([0.2, 0.3, 0.5], 1, [[0, 0.2], [0.2, 0.5], [0.5, 1]]),
    ([0.2, 0.3, 0.5], 0.2, [[0, 0.04], [0.2, 0.26], [0.5, 0.6]]),
    ([0.4, 0.5999], 1, [[0, 0.4], [0.4, 0.9999]]),
]
NAMESPACES = [  # the same spec, "inNamespace": user, namespace, whether in 0 to 0.4, whether in 0.4 to 1
    ("1", "namespace1", False, True),
    ("1", "namespace2", False, True),
    ("2", "namespace1", False, True),
    ("2", "namespace2", False, True),
    ("3", "namespace1", False, True),
    ("3", "namespace2", True, False),
    ("4", "namespace1", False, True),
    ("4", "namespace2", True, False),
]


def allocation(**settings):
    return Allocation(**{"experiment": "ltv_v2", "arms": ARMS, **settings})


def codes(arms):
    return np.asarray(pa.array(arms.indices).fill_null(-1))


def members(s, ids=IDS):
    """Ids of a slice, by an experiment in it that takes everybody."""
    found = assign(allocation(slices=(s,)), ids).arms
    return {i for i, arm in zip(ids.to_pylist(), found.to_pylist(), strict=True) if arm}


@pytest.mark.parametrize(("shares", "coverage", "expected"), RANGES)
def test_bucket_ranges_against_growthbooks_spec(shares, coverage, expected):
    assert np.allclose(bucket_ranges(shares, coverage), expected, rtol=0, atol=SPEC_DIGITS)


@pytest.mark.parametrize(("user", "key", "low", "high"), NAMESPACES)
def test_namespaces_against_growthbooks_spec(user, key, low, high):
    one = pa.array([user])
    assert (user in members(namespace(key, 0, 0.4), one)) is low
    assert (user in members(namespace(key, 0.4, 1), one)) is high


@pytest.mark.parametrize(("user", "arm"), [("123", "c"), ("456", "a"), ("fds", "b")])
def test_arms_of_version_1_against_growthbooks_spec(user, arm):
    """ "empty experiment rule": three even arms by the key "feature"."""
    even = tuple(Arm(name=n, share=1 / 3) for n in "abc")
    found = assign(Allocation(experiment="feature", arms=even, version=1), pa.array([user]))
    assert found.arms.to_pylist() == [arm]


def test_an_arm_of_version_2_against_growthbooks_spec():
    """ "resets sticky bucketing": i123 under feature-exp has bucket 0.9943, the third of three arms."""
    arms = tuple(Arm(name=n, share=s) for n, s in (("control", 0.3334), ("red", 0.3333), ("blue", 0.3333)))
    found = assign(Allocation(experiment="feature-exp", arms=arms), pa.array(["i123"]))
    assert found.arms.to_pylist() == ["blue"]


@pytest.mark.parametrize("version", [0, 3, 99])
def test_an_unknown_version_of_the_hash_is_refused_where_growthbook_gives_null(version):
    with pytest.raises(UsageError, match=r"assignment\.hash_version"):
        allocation(version=version)


@pytest.mark.parametrize(
    "arms",
    [{"a": 0.4, "b": 0.1}, {"a": 0.7, "b": 0.6}, {"a": 1.0}, {"a": 1.0, "b": 0.0}, {"": 0.5, "b": 0.5}],
)
def test_shares_that_growthbook_would_replace_by_even_ones_are_refused(arms):
    with pytest.raises(UsageError, match=r"assignment\.arms"):
        allocation(arms=tuple(Arm(name=n, share=s) for n, s in arms.items()))


def test_a_coverage_beyond_all_is_refused():
    with pytest.raises(UsageError, match=r"assignment\.coverage"):
        allocation(coverage=1.5)


@pytest.mark.parametrize("arms", [ARMS, THREE])
@pytest.mark.parametrize("coverage", [0.05, 0.5, 1.0])
def test_shares_are_those_planned_by_chi_square(arms, coverage):
    found = assign(allocation(arms=arms, coverage=coverage), IDS)
    n_none = found.n_not_covered
    planned = [*(a.share * coverage for a in arms), 1 - coverage]
    counts = [*(n for _, n in found.n_by_arm), n_none]
    kept = [(c, p * len(IDS)) for c, p in zip(counts, planned, strict=True) if p > 1e-9]
    assert sum(counts) == len(IDS)
    assert stats.chisquare(*zip(*kept, strict=True)).pvalue > P_TOO_SMALL


@pytest.mark.parametrize("arms", [ARMS, THREE])
def test_raising_coverage_never_moves_a_user_from_one_arm_to_another(arms):
    before = np.full(len(IDS), -1)
    for coverage in (0.01, 0.05, 0.25, 0.5, 1.0):
        now = codes(assign(allocation(arms=arms, coverage=coverage), IDS).arms)
        assert (now[before >= 0] == before[before >= 0]).all()
        assert (now >= 0).mean() == pytest.approx(coverage, abs=0.01)
        before = now


def test_the_share_who_move_is_counted_by_brute_force():
    changes = [
        (allocation(), allocation(arms=THREE), "names"),
        (
            allocation(arms=THREE),
            allocation(arms=(*THREE[:2], Arm(name="c", share=0.5)), coverage=0.4),
            "less",
        ),
        (
            allocation(arms=ARMS),
            allocation(arms=(Arm(name="champion", share=0.9), Arm(name="challenger", share=0.1))),
            "shares",
        ),
        (allocation(arms=ARMS), allocation(arms=ARMS, seed="again"), "seed"),
    ]
    for before, after, _ in changes:
        was, now = (np.array(assign(a, IDS).arms.to_pylist(), dtype=object) for a in (before, after))
        there = was != None  # noqa: E711  element by element
        assert share_moved(before, after) == pytest.approx((was != now)[there].mean(), abs=0.01)
    assert share_moved(allocation(coverage=0.1), allocation(coverage=0.5)) == 0


def test_experiments_of_a_layer_share_no_user_and_those_of_two_layers_meet_at_random():
    layer = (
        Layer(name="growth", seed="2026q4")
        .with_experiment("one", share=0.3)
        .with_experiment("two", share=0.6)
    )
    one, two = (members(layer.slice_of(e)) for e in ("one", "two"))
    assert not one & two
    assert len(one) / len(IDS) == pytest.approx(0.3, abs=0.01)
    freed = layer.without("one").with_experiment("three", share=0.4)
    assert not members(freed.slice_of("three")) & two
    assert len(freed.slice_of("three").ranges) == 2
    other = members(Layer(name="ads", seed="ads").with_experiment("x", share=0.5).slice_of("x"))
    both = len(one & other), len(one - other), len(other - one)
    table = [[both[0], both[1]], [both[2], len(IDS) - sum(both)]]
    assert stats.chi2_contingency(table).pvalue > P_TOO_SMALL


def test_arms_within_a_layer_are_independent_of_the_layer_and_of_other_experiments():
    layer = Layer(name="growth", seed="2026q4").with_experiment("one", share=0.5)
    inside = assign(allocation(slices=(layer.slice_of("one"),)), IDS)
    n_by_arm = [n for _, n in inside.n_by_arm]
    assert stats.chisquare(n_by_arm).pvalue > P_TOO_SMALL
    assert inside.n_outside == len(IDS) - sum(n_by_arm)
    ones, others = (codes(assign(allocation(experiment=e), IDS).arms) for e in ("ltv_v2", "ltv_v3"))
    assert stats.chi2_contingency(np.histogram2d(ones, others, bins=2)[0]).pvalue > P_TOO_SMALL


def test_a_full_layer_an_overlap_and_an_unknown_experiment_are_refused():
    layer = Layer(name="growth", seed="s").with_experiment("one", share=0.7)
    with pytest.raises(UsageError, match=r"layer\.full"):
        layer.with_experiment("two", share=0.4)
    with pytest.raises(UsageError, match=r"layer\.overlap"):
        Layer(
            name="growth",
            seed="s",
            claims=(*layer.claims, *Layer(name="g", seed="s").with_experiment("two", share=0.1).claims),
        )
    with pytest.raises(UsageError, match="Did you mean 'one'"):
        layer.slice_of("onee")


def test_holdouts_keep_out_of_every_experiment_of_all_teams_or_of_one():
    everyone = Holdout(name="global", seed="holdout 2026", share=0.05)
    ads = Holdout(name="ads", seed="holdout ads", share=0.1, team="ads")
    held, held_ads = members(everyone.held()), members(ads.held())
    for experiment in ("one", "two"):
        mine = assign(allocation(experiment=experiment, holdouts=(everyone, ads), team="growth"), IDS)
        in_it = set(IDS.filter(mine.arms.is_valid()).to_pylist())
        assert not in_it & held
        assert in_it & held_ads
        assert mine.n_held_out == len(held)
        theirs = assign(allocation(experiment=experiment, holdouts=(everyone, ads), team="ads"), IDS)
        assert not set(IDS.filter(theirs.arms.is_valid()).to_pylist()) & (held | held_ads)
        assert theirs.n_held_out == len(held | held_ads)


def test_a_seed_used_for_the_layer_too_is_refused():
    with pytest.raises(UsageError, match=r"assignment\.same_seed"):
        allocation(slices=(Slice(seed="ltv_v2", ranges=((0, 0.5),)),))


def test_numbers_are_hashed_as_their_decimals_and_missing_ids_are_in_no_arm():
    texts = ["17", None, "9007199254740993"]
    as_text = assign(allocation(), pa.array(texts))
    as_int = assign(allocation(), pa.array([17, None, 9007199254740993]))
    chunked = assign(
        allocation(), pa.chunked_array([texts[:1], texts[1:]], pa.large_string()).dictionary_encode()
    )
    assert as_text.arms.to_pylist() == as_int.arms.to_pylist() == chunked.arms.to_pylist()
    assert as_int.arms.to_pylist()[1] is None
    assert as_int.n_without_id == 1
    assert [f.code for f in as_int.findings] == ["assignment.no_id"]
    with pytest.raises(DataError, match=r"assignment\.id_type"):
        assign(allocation(), pa.array([17.0]))
    assert assign(allocation(), pa.array([], pa.string())).n_by_arm == (("champion", 0), ("challenger", 0))


def test_who_was_assigned_stays_though_shares_changed():
    before = assign(allocation(coverage=0.3), IDS)
    skewed = assign(
        allocation(arms=(Arm(name="champion", share=0.9), Arm(name="challenger", share=0.1))), IDS
    )
    kept = kept_as_before(skewed, IDS, earlier_ids=IDS, earlier_arms=before.arms)
    was, now, fresh = before.arms.to_pylist(), kept.to_pylist(), skewed.arms.to_pylist()
    assert all(n == (w or f) for w, n, f in zip(was, now, fresh, strict=True))
    assert any(w and w != f for w, f in zip(was, fresh, strict=True))
    gone = kept_as_before(skewed, IDS, earlier_ids=IDS[:2], earlier_arms=pa.array(["retired", "retired"]))
    assert gone.to_pylist() == fresh
    with pytest.raises(DataError, match=r"assignment\.two_arms"):
        kept_as_before(
            skewed, IDS, earlier_ids=pa.array(["u", "u"]), earlier_arms=pa.array(["champion", "challenger"])
        )


CASES = {
    "plain": allocation(),
    "three arms in part": allocation(arms=THREE, coverage=0.37),
    "version 1": allocation(version=1),
    "namespace, holdouts": allocation(
        slices=(namespace("pricing", 0.1, 0.9), Slice(seed="l", ranges=((0, 0.2), (0.5, 1)))),
        holdouts=(Holdout(name="g", seed="g", share=0.05),),
    ),
    "nobody": allocation(coverage=0),
    "it's": allocation(experiment="it's", arms=(Arm(name="it's", share=0.5), Arm(name="b\\", share=0.5))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sql_expression_assigns_as_the_arrays_do(engine, case):
    ids = pa.array([*IDS[:5000].to_pylist(), "", None, "é", "🙂", "日本語" * 50])
    engine.register("users", pa.table({"i": range(len(ids)), "id": ids}))
    found = engine.rows(
        sql("SELECT {arm} FROM users ORDER BY i", arm=assignment_sql(CASES[case], name("id")))
    )
    assert [arm for (arm,) in found] == assign(CASES[case], ids).arms.to_pylist()
