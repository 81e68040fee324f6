"""The hash of assignment against GrowthBook's spec, the FNV test suite, and a hash written unit by unit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from headwater.numerics.hashing import (
    N_BUCKETS,
    OFFSET_BASIS,
    buckets_of,
    fnv1a32,
    fnv1a32_of_decimals,
    fnv1a32_of_text,
    utf16_units,
)

GROWTHBOOK_SPEC = [  # packages/sdk-js/test/cases.json, "hash": seed, value, version, n
    ("", "a", 1, 0.22),
    ("", "b", 1, 0.077),
    ("b", "a", 1, 0.946),
    ("ef", "d", 1, 0.652),
    ("asdf", "8952klfjas09ujk", 1, 0.549),
    ("", "123", 1, 0.011),
    ("", '___)((*":&', 1, 0.563),
    ("seed", "a", 2, 0.0505),
    ("seed", "b", 2, 0.2696),
    ("foo", "ab", 2, 0.2575),
    ("foo", "def", 2, 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
    ("90850943850283058242805", "123", 2, 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 2, 0.0128),
]
FNV_SUITE = [  # Noll's test_fnv.c, FNV-1a 32 bits
    ("", 0x811C9DC5),
    ("a", 0xE40C292C),
    ("b", 0xE70C2DE5),
    ("foobar", 0xBF9CF968),
    ("chongo was here!\n", 0xD49930D5),
]
TEXTS = [
    "",
    "a",
    "é",
    "日本語",
    "🙂",
    "x🙂y",
    "👩‍👩‍👧",
    "\U0010ffff",
    "\x00",
    "\x7f",
    "long" * 500,
    "user 17",
]
P_TOO_SMALL = 1e-4  # a right hash fails one of these fixed draws with about this chance


def units(texts):
    encoded = [t.encode() for t in texts]
    offsets = np.concatenate([[0], np.cumsum([len(e) for e in encoded])]).astype(np.int64)
    return utf16_units(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)


def by_unit(text, hashed=OFFSET_BASIS):
    """As GrowthBook's JavaScript does it: charCodeAt, exclusive or, multiply, keep 32 bits."""
    raw = text.encode("utf-16-be")
    for i in range(0, len(raw), 2):
        hashed = ((hashed ^ (raw[i] << 8 | raw[i + 1])) * 16777619) & 0xFFFFFFFF
    return hashed


@pytest.mark.parametrize(("seed", "value", "version", "n"), GROWTHBOOK_SPEC)
def test_hash_against_growthbooks_spec(seed, value, version, n):
    (bucket,) = buckets_of(*units([value]), seed=seed, version=version)
    assert bucket / N_BUCKETS[version] == n


@pytest.mark.parametrize(("text", "expected"), FNV_SUITE)
def test_fnv_against_nolls_test_suite(text, expected):
    assert fnv1a32_of_text(text) == expected
    assert fnv1a32(*units([text]))[0] == expected


def test_many_ids_of_any_length_and_script_against_one_at_a_time():
    rng = random.Random(11)
    made = [
        "".join(
            chr(rng.choice([65, 0xE9, 0x4E00, 0x1F600]) + rng.randrange(20)) for _ in range(rng.randrange(40))
        )
        for _ in range(3000)
    ]
    texts = [*TEXTS, *made, *(f"user_{i}" for i in range(70_000))]
    assert fnv1a32(*units(texts)).tolist() == [by_unit(t) for t in texts]
    assert fnv1a32(*units(texts[:500]), start=by_unit("seed")).tolist() == [
        by_unit("seed" + t) for t in texts[:500]
    ]
    for version in (1, 2):
        found = buckets_of(*units(texts[:500]), seed="é🙂", version=version)
        whole = [
            by_unit(t + "é🙂") % 1000 if version == 1 else by_unit(str(by_unit("é🙂" + t))) % 10000
            for t in texts[:500]
        ]
        assert found.tolist() == whole


def test_numbers_as_decimals_against_their_texts():
    rng = np.random.default_rng(3)
    numbers = np.concatenate(
        [[0, 9, 10, 99, 100, 2**32 - 1], 10 ** np.arange(10), rng.integers(0, 2**32, 500)]
    ).astype(np.uint32)
    assert fnv1a32_of_decimals(numbers).tolist() == [by_unit(str(n)) for n in numbers]


def test_no_ids_and_a_part_of_an_array():
    data, offsets = np.frombuffer("aébc".encode(), dtype=np.uint8), np.array([1, 3, 5], dtype=np.int64)
    assert fnv1a32(*utf16_units(data, offsets)).tolist() == [by_unit("é"), by_unit("bc")]
    assert fnv1a32(*utf16_units(data, offsets[:1])).size == 0


@pytest.mark.parametrize("ids", ["serial", "padded", "long"])
def test_buckets_are_uniform_by_chi_square(ids):
    made = {"serial": "{}", "padded": "user_{:09}", "long": "5f3c-{:x}-aa-{}"}[ids]
    texts = [made.format(i, i) for i in range(200_000)]
    for seed in ("ltv_v2", "checkout", "2026q4"):
        counts = np.bincount(buckets_of(*units(texts), seed=seed), minlength=10_000)
        assert stats.chisquare(counts).pvalue > P_TOO_SMALL
        assert stats.chisquare(counts.reshape(100, 100).sum(axis=1)).pvalue > P_TOO_SMALL


def test_buckets_of_one_seed_say_nothing_of_those_of_another():
    some = units([f"user_{i}" for i in range(200_000)])
    seeds = ("a", "b", "exp_1", "exp_2", "exp_10", "1", "growth", "holdout")
    found = [buckets_of(*some, seed=s) for s in seeds]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert stats.pearsonr(one, other).pvalue > P_TOO_SMALL
            crossed = np.histogram2d(one, other, bins=20)[0]
            assert stats.chi2_contingency(crossed).pvalue > P_TOO_SMALL


def test_version_1_leans_from_seed_to_seed_which_is_why_it_is_not_the_default():
    """GrowthBook calls it biased: the same ids under seeds that differ in their last letter are not split anew."""
    some = units([f"user_{i}" for i in range(100_000)])
    one, other = (buckets_of(*some, seed=s, version=1) for s in ("exp_1", "exp_2"))
    crossed = np.histogram2d(one, other, bins=20)[0]
    assert stats.chi2_contingency(crossed).pvalue < P_TOO_SMALL
