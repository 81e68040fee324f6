"""What engines spell differently: quoting and a handful of functions. A third engine is one more ``Dialect``.

Every function takes and returns SQL text. Times are BIGINT microseconds since 1970 in UTC; days are INTEGER.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["DUCKDB", "Dialect"]


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
        "trimmed": lambda text: f"trim(CAST({text} AS VARCHAR), {_BLANKS})",
        "integer_division": lambda a, b: f"({a} // {b})",
        "bucket": lambda text: f"CAST(CAST('0x' || substr(md5({text}), 1, 8) AS BIGINT) % 64 AS INTEGER)",
        "digest": lambda text: f"(md5_number_upper({text}) >> 4)",
        "quick_hash": lambda *columns: f"hash({', '.join(columns)})",
        "json_row": _json_row,
        "iso_of_day": lambda day: f"strftime(DATE '1970-01-01' + CAST({day} AS INTEGER), '%Y-%m-%d')",
        "month_of_day": lambda day: f"strftime(DATE '1970-01-01' + CAST({day} AS INTEGER), '%Y-%m')",
        "scan": lambda *files: f"read_parquet([{', '.join(files)}])",
    },
)
