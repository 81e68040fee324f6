"""What engines spell differently: quoting and a handful of functions. A third engine is one more ``Dialect``.

Every function takes and returns SQL text. Times are BIGINT microseconds since 1970 in UTC; days are INTEGER.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headwater.engine import spark_text

__all__ = ["DUCKDB", "SPARK", "Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one engine quotes and what it calls the functions of the shim."""

    name: str
    quote_name: Callable[[str], str]
    quote_text: Callable[[str], str]
    functions: Mapping[str, Callable[..., str]]


_BLANKS = " || ".join(f"chr({ord(c)})" for c in " \t\n\r\u00a0\u3000")


def _double_quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_row(*pairs: str) -> str:
    fields = ", ".join(f"{k}, {v}" for k, v in zip(pairs[::2], pairs[1::2], strict=True))
    return f"CAST(json_object({fields}) AS VARCHAR)"


def _trimmed(text: str) -> str:
    """Text without blanks at its ends. Most has none there, and to look costs a fifth of trimming."""
    plain = f"CAST({text} AS VARCHAR)"
    seen = " AND ".join(f"({way} >= '!' AND {way} < chr(127))" for way in (plain, f"reverse({plain})"))
    return f"CASE WHEN {seen} THEN {plain} ELSE trim({plain}, {_BLANKS}) END"


def _fnv1a32(text: str, start: str) -> str:
    """FNV-1a over UTF-16 units; a letter above U+FFFF is two of them. Text all of ASCII takes half the time."""
    high, low = "(55232 + (ord(c) >> 10))", "(56320 + (ord(c) & 1023))"
    any_letter = f"CASE WHEN ord(c) < 65536 THEN {_fnv_step('h', _LETTER)} ELSE {_fnv_step(_fnv_step('h', high), low)} END"
    return (
        f"CASE WHEN {text} = '' THEN CAST({start} AS BIGINT)"
        f" WHEN strlen({text}) = length({text}) THEN {_fnv_fold(text, _fnv_step('h', _LETTER), start)}"
        f" ELSE {_fnv_fold(text, any_letter, start)} END"
    )


def _fnv1a32_of_number(number: str, start: str) -> str:
    return _fnv_fold(f"CAST({number} AS VARCHAR)", _fnv_step("h", _LETTER), start)


_LETTER = "CAST(ord(c) AS BIGINT)"


def _fnv_step(hashed: str, unit: str) -> str:
    return f"((xor({hashed}, {unit}) * 16777619) & 4294967295)"


def _fnv_fold(text: str, step: str, start: str) -> str:
    return f"list_reduce(string_split({text}, ''), lambda h, c: {step}, CAST({start} AS BIGINT))"


DUCKDB = Dialect(
    name="duckdb",
    quote_name=_double_quoted,
    quote_text=_single_quoted,
    functions={
        "micros": lambda at: f"epoch_us({at})",
        "zoned_micros": lambda at, zone: f"epoch_us(timezone({zone}, {at}))",
        "local_day": lambda us, zone: (
            f"CAST(date_diff('day', DATE '1970-01-01', "
            f"CAST(timezone({zone}, make_timestamptz({us})) AS DATE)) AS INTEGER)"
        ),
        "local_at": lambda us, zone: f"timezone({zone}, make_timestamptz({us}))",
        "try_timestamp": lambda text: f"TRY_CAST({text} AS TIMESTAMP)",
        "try_zoned": lambda text: f"TRY_CAST({text} AS TIMESTAMPTZ)",
        "try_format": lambda text, form: f"try_strptime({text}, {form})",
        "has_offset": lambda text: (
            f"regexp_matches({text}, ':\\d\\d(\\.\\d+)?\\s*(Z|UTC|GMT|[+-]\\d\\d(:?\\d\\d)?)$')"
        ),
        "has_no_offset": lambda text: (
            f"regexp_full_match({text}, '\\d{{1,4}}[-/]\\d{{1,2}}[-/]\\d{{1,4}}([ T]+\\d{{1,2}}:\\d\\d(:\\d\\d(\\.\\d+)?)?)?')"
        ),
        "matches": lambda text, pattern: f"regexp_full_match({text}, {pattern})",
        "trimmed": _trimmed,
        "lowered": lambda text: f"lower({text})",
        "uppered": lambda text: f"upper({text})",
        "integer_division": lambda a, b: f"({a} // {b})",
        "bucket": lambda text: f"CAST(CAST('0x' || substr(md5({text}), 1, 8) AS BIGINT) % 64 AS INTEGER)",
        "digest": lambda text: f"(md5_number_upper({text}) >> 4)",
        "fnv1a32": _fnv1a32,
        "fnv1a32_of_number": _fnv1a32_of_number,
        "given": lambda value, body: f"list_extract(list_transform([{value}], lambda given: {body}), 1)",
        "quick_hash": lambda *columns: f"hash({', '.join(columns)})",
        "pair": lambda a, b: f"row({a}, {b})",
        "json_row": _json_row,
        "iso_of_day": lambda day: f"strftime(DATE '1970-01-01' + CAST({day} AS INTEGER), '%Y-%m-%d')",
        "approx_quantiles": lambda x, *shares: (
            f"approx_quantile({x}, CAST([{', '.join(shares)}] AS FLOAT[]))"
        ),
        "month_of_day": lambda day: f"strftime(DATE '1970-01-01' + CAST({day} AS INTEGER), '%Y-%m')",
        "mix": lambda key, salt: f"hash(xor({key}, hash(CAST({salt} AS BIGINT))))",
        "unit": lambda key: f"((CAST({key} >> 11 AS DOUBLE) + 0.5) * 1.1102230246251565e-16)",
        "each": lambda first, end: f"unnest(range({first}, {end}))",
        "timestamp_of": lambda us: f"make_timestamp({us})",
        "sampled": lambda rows, percent: f"(SELECT * FROM {rows} USING SAMPLE bernoulli({percent}%))",  # noqa: S608  parts are rendered SQL
        "scan": lambda *files: f"read_parquet([{', '.join(files)}], hive_partitioning=false)",
    },
)


# Run under the session settings of engine/spark.py: UTC, ANSI, TIMESTAMP without a zone, string literals as written.
SPARK = Dialect(
    name="spark",
    quote_name=spark_text.back_quoted,
    quote_text=spark_text.single_quoted,
    functions={
        "micros": lambda at: f"unix_micros(CAST({at} AS TIMESTAMP_LTZ))",
        "zoned_micros": spark_text.zoned_micros,
        "local_day": lambda us, zone: (
            f"unix_date(CAST(from_utc_timestamp(timestamp_micros({us}), {zone}) AS DATE))"
        ),
        "local_at": lambda us, zone: (
            f"CAST(from_utc_timestamp(timestamp_micros({us}), {zone}) AS TIMESTAMP_NTZ)"
        ),
        "try_timestamp": spark_text.try_timestamp,
        "try_zoned": spark_text.try_zoned,
        "try_format": spark_text.try_format,
        "has_offset": spark_text.has_offset,
        "has_no_offset": spark_text.has_no_offset,
        "matches": lambda text, pattern: f"regexp_like({text}, concat('\\A(?:', {pattern}, ')\\z'))",
        "trimmed": lambda text: f"btrim(CAST({text} AS STRING), {spark_text.BLANKS})",
        "lowered": spark_text.lowered,
        "uppered": spark_text.uppered,
        "integer_division": lambda a, b: f"({a} DIV {b})",
        "bucket": lambda text: f"CAST(CAST(conv(substr(md5({text}), 1, 8), 16, 10) AS BIGINT) % 64 AS INT)",
        "digest": spark_text.digest,
        "fnv1a32": spark_text.fnv1a32,
        "fnv1a32_of_number": lambda number, start: spark_text.fnv1a32(f"CAST({number} AS STRING)", start),
        "given": lambda value, body: f"element_at(transform(array({value}), given -> {body}), 1)",
        "quick_hash": spark_text.quick_hash,
        "pair": lambda a, b: f"struct({a}, {b})",
        "json_row": spark_text.json_row,
        "iso_of_day": lambda day: f"CAST(date_add(DATE'1970-01-01', CAST({day} AS INT)) AS STRING)",
        "approx_quantiles": lambda x, *shares: f"approx_percentile({x}, array({', '.join(shares)}))",
        "month_of_day": lambda day: (
            f"substr(CAST(date_add(DATE'1970-01-01', CAST({day} AS INT)) AS STRING), 1, 7)"
        ),
        "mix": lambda key, salt: f"xxhash64({key}, CAST({salt} AS BIGINT))",
        "unit": lambda key: (
            f"((CAST(shiftrightunsigned({key}, 11) AS DOUBLE) + 0.5D) * 1.1102230246251565e-16D)"
        ),
        "each": lambda first, end: (
            f"explode(CASE WHEN {first} < {end} THEN sequence({first}, {end} - 1) ELSE array() END)"
        ),
        "timestamp_of": lambda us: f"CAST(timestamp_micros({us}) AS TIMESTAMP_NTZ)",
        "sampled": lambda rows, percent: f"(SELECT * FROM {rows} TABLESAMPLE ({percent} PERCENT))",  # noqa: S608  parts are rendered SQL
        "scan": spark_text.scan,
    },
)
