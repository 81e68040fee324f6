"""Every function of the shim on both engines, against each other and against Python's own datetime, hashlib and zoneinfo."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from headwater.core.errors import ConfigError
from headwater.engine.dialect import DUCKDB, SPARK
from headwater.engine.sql import name, render, shim, sql
from headwater.numerics.hashing import fnv1a32_of_text

EPOCH = date(1970, 1, 1)
ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Antarctica/Troll",
    "America/Sao_Paulo",
)
MICROS = 1_000_000


@pytest.fixture
def each(on_both):
    """Values through an expression on both engines, in the values' order; DuckDB's answers, once Spark's are equal."""

    def work(values, expression, kind=None):
        rows = pa.table({"i": list(range(len(values))), "x": pa.array(values, kind)})

        def ask(engine):
            engine.register("asked", rows)
            found = engine.rows(sql("SELECT {e} AS y FROM asked ORDER BY i", e=expression))
            return [y for (y,) in found]

        duck, spark = on_both(ask)
        differ = [(v, a, b) for v, a, b in zip(values, duck, spark, strict=True) if a != b]
        assert not differ, f"{len(differ)} of {len(values)}: {differ[:10]}"
        return duck

    return work


def test_both_dialects_have_the_same_functions():
    assert set(DUCKDB.functions) == set(SPARK.functions)


def instants(zone, *, n=400, seed=5):
    """Instants of a hundred years, and every half hour about each change of the clocks in 2019 to 2021."""
    rng = random.Random(seed)
    some = [rng.randrange(-(10**9), 3 * 10**9) * MICROS + rng.randrange(MICROS) for _ in range(n)]
    at, step = datetime(2019, 1, 1, tzinfo=UTC), timedelta(minutes=30)
    while at < datetime(2021, 1, 1, tzinfo=UTC):
        here, there = (t.astimezone(ZoneInfo(zone)).utcoffset() for t in (at, at + step))
        if here != there:
            some += [int((at + k * step).timestamp()) * MICROS for k in range(-8, 9)]
        at += step
    return some


def local(us, zone):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(ZoneInfo(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_days_and_clocks_of_a_zone_against_zoneinfo(each, zone):
    asked = instants(zone)
    days = each(asked, shim("local_day", name("x"), zone))
    assert days == [(local(us, zone).date() - EPOCH).days for us in asked]
    clocks = each(asked, shim("local_at", name("x"), zone))
    assert clocks == [local(us, zone).replace(tzinfo=None) for us in asked]


@pytest.mark.parametrize("zone", ZONES)
def test_wall_clocks_become_instants_also_where_they_skip_or_repeat(each, zone):
    walls = [local(us, zone).replace(tzinfo=None) for us in instants(zone, n=100)]
    walls += [w + timedelta(minutes=m) for w in walls for m in (-30, 15)]
    found = each(walls, shim("zoned_micros", name("x"), zone), pa.timestamp("us"))
    for wall, us in zip(walls, found, strict=True):
        options = {wall.replace(tzinfo=ZoneInfo(zone), fold=f).astimezone(UTC) for f in (0, 1)}
        assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) in options


TIMES = [
    "2024-02-29 10:11:12",
    "2024-02-30 10:11:12",
    "2024-2-9",
    "2024/02/09 1:02",
    "2024/02-09",
    "24-02-09",
    "2024-02-09T23:59:59.9",
    "2024-02-09  10:00",
    "2024-02-09 24:00",
    "2024-02-09 24:00:00",
    "2024-02-09 24:00:00.000",
    "2024-02-09 24:00:01",
    "2024-02-09 24:01",
    "2024-02-09 10:60",
    "2024-02-09 10:00:60",
    "2024-02-09 10:00:00.123456789",
    "2024-13-01",
    "2024-02-09 10:11:12.5",
    "0001-01-01",
    "9999-12-31 23:59:59.999999",
    "1/2/2024",
    "12-31-2024",
    "",
    "yesterday",
    "2024-02-09T",
    "02/03/04",
    "2024-00-01",
    "2024-01-00",
    "0000-01-01",
    "2024-01-01 10",
    "2024-01-01 1:2",
    "999-01-01",
    "2024-01-01 00:00:00.1234567",
]
OFFSETS = [
    "",
    "Z",
    "+00",
    "+05:30",
    "-0800",
    " UTC",
    " GMT",
    "+14:00",
    "-03",
    " +02:00",
    "+5",
    " CET",
    "+25:00",
    " Z",
    "UTC",
    "GMT",
    "  UTC",
]


def micros_of(wall):
    return int(wall.replace(tzinfo=UTC).timestamp()) * MICROS


def test_times_without_an_offset(each):
    shaped = each(TIMES, shim("has_no_offset", name("x")))
    at = shim("micros", shim("try_timestamp", name("x")))
    read = sql("CASE WHEN {n} THEN {t} END", n=shim("has_no_offset", name("x")), t=at)
    found = each(TIMES, read)
    assert shaped[0] and found[0] == micros_of(datetime(2024, 2, 29, 10, 11, 12)) and found[1] is None


def test_times_with_an_offset(each):
    asked = [t + o for t in TIMES for o in OFFSETS]
    shaped = each(asked, shim("has_offset", name("x")))
    read = sql(
        "CASE WHEN {n} THEN {t} END",
        n=shim("has_offset", name("x")),
        t=shim("micros", shim("try_zoned", name("x"))),
    )
    found = dict(zip(asked, each(asked, read), strict=True))
    assert sum(shaped) > 50
    for offset in ("Z", "+05:30", " GMT"):
        text = f"2024-02-29 10:11:12{offset}"
        iso = text.replace("Z", "+00:00").replace(" GMT", "+00:00")
        assert found[text] == int(datetime.fromisoformat(iso).timestamp()) * MICROS


FORMATS = {
    "%d/%m/%Y": [
        "1/2/2024",
        "31/02/2024",
        "01/02/24",
        "1/2/2024 ",
        " 1/2/2024",
        "x",
        "1-2-2024",
        "01/13/2024",
        "00/01/2024",
    ],
    "%d/%m/%Y %H:%M": [
        "1/12/2010 8:26",
        "1/12/2010  8:26",
        "1/12/2010 24:00",
        "1/12/2010 8:60",
        "1/12/2010",
        "1/12/2010 8:26:01",
    ],
    "%m/%d/%y %I:%M %p": [
        "2/3/69 1:05 AM",
        "2/3/68 12:05 am",
        "2/3/68 12:05 PM",
        "2/3/68 13:05 PM",
        "2/3/68 0:05 PM",
    ],
    "%Y%m%d": ["20240105", "2024105", "202401051", "20241301"],
    "%Y%m%d%H%M%S": ["20240105112233", "2024010511223", "20240105112260"],
    "%Y-%m-%d %H:%M:%S.%f": [
        "2024-01-05 11:22:33.5",
        "2024-01-05 11:22:33.123456",
        "2024-01-05 11:22:33.",
        "2024-01-05 11:22:33.1234567",
    ],
    "%b %d, %Y": ["Jan 5, 2024", "jan 5, 2024", "Sept 5, 2024", "Sep 05, 2024", "Foo 5, 2024"],
    "%d %B %Y": ["5 January 2024", "5 MAY 2024", "5 Sep 2024", "31 December 1999"],
    "%a %d %b %Y": ["Fri 05 Jan 2024", "fri 5 jan 2024", "Xyz 5 Jan 2024"],
    "%A, %d.%m.%Y": ["Friday, 05.01.2024", "Fri, 05.01.2024"],
    "%Y-%m-%dT%H:%M:%S": ["2024-01-05T11:22:33", "2024-01-05 11:22:33", "9999-12-31T23:59:59", "1-1-1T0:0:0"],
    "%x %X": ["2024-01-05 11:22:33", "2024-01-05 1:2:3"],
    "%H:%M %d/%m/%Y": ["11:22 05/01/2024", "1:2 5/1/24"],
    "100%% %Y": ["100% 2024", "100 2024"],
}


@pytest.mark.parametrize("form", FORMATS)
def test_patterns_read_what_duckdbs_strptime_reads(each, form):
    asked = [*FORMATS[form], *TIMES, *(t for others in FORMATS.values() for t in others)]
    each(asked, shim("micros", shim("try_format", name("x"), form)))


def test_patterns_against_python(each):
    found = each(FORMATS["%d/%m/%Y %H:%M"][:1], shim("try_format", name("x"), "%d/%m/%Y %H:%M"))
    assert found == [datetime(2010, 12, 1, 8, 26)]


def test_patterns_with_an_offset(each):
    asked = [
        "2024-01-05 11:22:33 +0530",
        "2024-01-05 11:22:33 -08:00",
        "2024-01-05 11:22:33 +02",
        "2024-01-05 11:22:33",
    ]
    found = each(asked, shim("micros", shim("try_format", name("x"), "%Y-%m-%d %H:%M:%S %z")))
    assert found[0] == int(datetime.fromisoformat("2024-01-05T11:22:33+05:30").timestamp()) * MICROS


def test_a_pattern_spark_cannot_read_is_refused_by_its_name():
    for form in ("%j %Y", "%Y-%m-%d %Z", "%U"):
        with pytest.raises(ConfigError, match="cannot be read on Spark"):
            render(shim("try_format", name("x"), form), SPARK)


TEXTS = [
    "",
    " a ",
    "\t\u3000b\u00a0\r\n",
    "it's",
    'say "x"',
    "back\\slash\\",
    "new\nline",
    "日本語",
    "🙂",
    "'; DROP TABLE x; --",
    "`x`",
    "a%b_c",
    "\u0001",
    None,
]


def test_text_functions(each):
    trimmed = each(TEXTS, shim("trimmed", name("x")))
    assert trimmed[:4] == ["", "a", "b", "it's"]
    each([*TEXTS, "12.0", "12.00", "12", "1\n"], shim("matches", name("x"), r"\d+\.0|it's"))
    each(TEXTS, sql("coalesce(x, '') || {t}", t="it's \\ \"q\" 'z'\\"))


NEWER_LETTERS = (
    0x1C89,
    0x1C8A,
    0x19B,
    0x264,
    *range(0xA7CB, 0xA7DD),
)  # Unicode 15.1 to 17: DuckDB leaves them
NEWER_SCRIPTS = (range(0x10D50, 0x10D86), range(0x16EA0, 0x16ED4))  # Garay, Beria Erfe


def test_small_letters_and_capitals_of_every_letter_and_of_words(each):
    letters = [chr(i) for i in range(1, 0x20000) if not 0xD800 <= i < 0xE000 and i not in NEWER_LETTERS]
    letters = [c for c in letters if not any(ord(c) in some for some in NEWER_SCRIPTS)]
    words = ["ΣΑΣ", "ΟΔΥΣΣΕΥΣ και", "İstanbul", "Straße", "ﬁnﬂ 🙂 ŉ", "ΐᾳ", "x", "", None]
    small = each([*letters, *words], shim("lowered", name("x")))
    assert small[-9:-5] == ["σασ", "οδυσσευσ και", "istanbul", "straße"]
    large = each([*letters, *words], shim("uppered", name("x")))
    assert large[-9:-5] == ["ΣΑΣ", "ΟΔΥΣΣΕΥΣ ΚΑΙ", "İSTANBUL", "STRAẞE"]
    plain = [(c, s, k) for c, s, k in zip(letters, small, large, strict=False) if c.isascii()]
    assert all((s, k) == (c.lower(), c.upper()) for c, s, k in plain)


def test_hashes_against_hashlib(each):
    there = [t for t in TEXTS if t is not None] + [f"user {i}" for i in range(500)]
    buckets = each(there, shim("bucket", name("x")))
    assert buckets == [int(hashlib.md5(t.encode()).hexdigest()[:8], 16) % 64 for t in there]
    digests = each(there, sql("CAST({d} AS BIGINT)", d=shim("digest", name("x"))))
    assert digests == [int.from_bytes(hashlib.md5(t.encode()).digest()[:8], "little") >> 4 for t in there]


def test_a_row_as_json_is_the_same_text(each):
    made = each(TEXTS, shim("json_row", sql("{k}", k="it's"), name("x"), sql("{k}", k="n"), name("i")))
    assert [json.loads(m)["it's"] for m in made] == TEXTS


def test_days_as_text_against_python(each):
    asked = [-719162, -1, 0, 1, 19000, 2932896]
    assert each(asked, shim("iso_of_day", name("x"))) == [
        (EPOCH + timedelta(days=d)).isoformat() for d in asked
    ]
    assert each(asked, shim("month_of_day", name("x"))) == [
        (EPOCH + timedelta(days=d)).isoformat()[:7] for d in asked
    ]


def test_whole_division_goes_to_zero_on_both(each):
    assert each([-7, -1, 0, 7, 10**15], shim("integer_division", name("x"), 2)) == [-3, 0, 0, 3, 5 * 10**14]


def test_the_hash_of_assignment_against_one_unit_at_a_time(each):
    rng = random.Random(7)
    letters = [
        *map(chr, range(1, 128)),
        "é",
        "ß",
        "日",
        "\uffff",
        "\ue000",
        "🙂",
        "\U00010000",
        "\U0010ffff",
        "\u200d",
        "\n",
    ]
    asked = ["".join(rng.choice(letters) for _ in range(rng.randrange(60))) for _ in range(500)]
    asked += [*TEXTS, "x" * 5000, "🙂" * 300, "👩‍👩‍👧", *map(str, range(50))]
    for start in (2166136261, 17):
        found = each(asked, shim("fnv1a32", name("x"), start))
        assert found == [None if t is None else fnv1a32_of_text(t, start=start) for t in asked]


def test_the_hash_of_a_number_is_that_of_its_decimals(each):
    numbers = [0, 9, 10, 4294967295, 2**53 + 1, None]
    found = each(numbers, shim("fnv1a32_of_number", name("x"), 2166136261))
    assert found == [None if n is None else fnv1a32_of_text(str(n)) for n in numbers]


def test_a_value_given_a_name_is_used_as_often_as_wanted(each):
    assert each([1, 5, None], shim("given", name("x"), sql("given * given + 1"))) == [2, 26, None]
