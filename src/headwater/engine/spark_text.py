"""How Spark says the longer functions of the shim. SQL text in, SQL text out; ``dialect.SPARK`` lists them.

Written for the session of ``engine/spark.py``: UTC, ANSI, ``TIMESTAMP`` without a zone, and string literals
taken as they stand (a backslash is a backslash, as in DuckDB).
"""

from __future__ import annotations

import re

from headwater.core.errors import ConfigError

__all__ = [
    "BLANKS",
    "back_quoted",
    "digest",
    "fnv1a32",
    "has_no_offset",
    "has_offset",
    "json_row",
    "lowered",
    "quick_hash",
    "scan",
    "single_quoted",
    "text_of",
    "try_format",
    "try_timestamp",
    "try_zoned",
    "uppered",
    "zoned_micros",
]

_HEX = re.compile(r"CAST\(X'([0-9A-F]*)' AS STRING\)")
_OFFSET = r"(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)"
_DATE = r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?"
_MIDNIGHT = r"24:00(?::00(?:\.0+)?)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_ENDS = ("uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember")
_DAYS = (
    "mon(?:day)?",
    "tue(?:sday)?",
    "wed(?:nesday)?",
    "thu(?:rsday)?",
    "fri(?:day)?",
    "sat(?:urday)?",
    "sun(?:day)?",
)
_SHORT = {"%x": "%Y-%m-%d", "%X": "%H:%M:%S", "%c": "%Y-%m-%d %H:%M:%S", "%T": "%H:%M:%S"}
_FIELDS = {
    "Y": r"(\d{1,4}+)",
    "y": r"(\d{1,2}+)",
    "m": r"(\d{1,2}+)",
    "d": r"(\d{1,2}+)",
    "H": r"(\d{1,2}+)",
    "I": r"(\d{1,2}+)",
    "M": r"(\d{1,2}+)",
    "S": r"(\d{1,2}+)",
    "f": r"(\d{1,6}+)",
    "p": r"([ap]m)",
    "b": "(" + "|".join(_MONTHS) + ")",
    "B": "(" + "|".join(m + e for m, e in zip(_MONTHS, _MONTH_ENDS, strict=True)) + ")",
    "a": "(" + "|".join(d[:3] for d in _DAYS) + ")",
    "A": "(" + "|".join(d.replace("(?:", "").replace(")?", "") for d in _DAYS) + ")",
    "z": r"([+-]\d\d(?::?\d\d)?)",
}
_FIELDS |= {"-" + f: _FIELDS[f] for f in "mdHIMSy"}


def back_quoted(text: str) -> str:
    """An identifier."""
    return "`" + text.replace("`", "``") + "`"


def single_quoted(text: str) -> str:
    """A text literal; what a quoted literal cannot say plainly is given as bytes."""
    if "'" in text or text.endswith("\\"):
        return f"CAST(X'{text.encode().hex().upper()}' AS STRING)"
    return f"'{text}'"


def text_of(literal: str) -> str:
    """The text of a literal that ``single_quoted`` wrote. Raises ``ValueError`` for anything else."""
    found = _HEX.fullmatch(literal)
    if found:
        return bytes.fromhex(found[1]).decode()
    if len(literal) < 2 or literal[0] != "'" or literal[-1] != "'" or "'" in literal[1:-1]:
        raise ValueError(f"not a text literal: {literal[:40]}")
    return literal[1:-1]


BLANKS = "CAST(X'20090A0DC2A0E38080' AS STRING)"
# Letters that Java writes as several capitals (ß as SS), and the one that DuckDB writes.
_WIDE = "".join(c for c in map(chr, range(0xDF, 0xFB18)) if len(c.upper()) > 1)
_WIDE_CAPITALS = "".join("ẞ" if c == "ß" else c.title() if len(c.title()) == 1 else c for c in _WIDE)


def lowered(text: str) -> str:
    """Small letters, letter by letter as DuckDB does it; Java looks at the end of the word for a sigma."""
    return f"lower(translate({text}, 'Σİ', 'σi'))"


def uppered(text: str) -> str:
    """Capitals, one for each letter as DuckDB does it."""
    wide = f"translate(c, '{_WIDE}', '{_WIDE_CAPITALS}')"
    each = (
        f"transform(split({text}, ''), c -> CASE WHEN instr('{_WIDE}', c) > 0 THEN {wide} ELSE upper(c) END)"
    )
    return f"CASE WHEN regexp_like({text}, '[{_WIDE}]') THEN array_join({each}, '') ELSE upper({text}) END"


def zoned_micros(at: str, zone: str) -> str:
    """The instant of a wall-clock time in a zone; of two the later, of a skipped one as far after the gap.

    Java takes the earlier of two instants that a clock shows twice, DuckDB the later: the later one is
    looked for with the offset that holds three hours on, and taken where the clock shows the same time.
    """
    first = f"to_utc_timestamp(w, {zone})"
    hence = f"({first} + INTERVAL '3' HOUR)"
    later = f"(w - (from_utc_timestamp({hence}, {zone}) - {hence}))"
    chosen = f"CASE WHEN from_utc_timestamp({later}, {zone}) = w THEN {later} ELSE {first} END"
    return f"unix_micros(element_at(transform(array(CAST({at} AS TIMESTAMP_LTZ)), w -> {chosen}), 1))"


def try_timestamp(text: str) -> str:
    """A time without an offset: year first, parts set apart by - or /, seconds and their fraction if given."""
    long_year = f"regexp_replace({text}, '\\A(\\d{{1,3}})([-/])', '000$1$2')"
    shape = rf"(?s)\A(?:(\d{{4,6}})([-/])(\d{{1,2}})\2(\d{{1,2}})(?:[ T]+(?:{_MIDNIGHT}|({_CLOCK})))?|.*)\z"
    read = f"TRY_CAST(regexp_replace({long_year}, '{shape}', '$1-$3-$4 $5') AS TIMESTAMP_NTZ)"
    midnight = f"regexp_like({text}, '[ T]{_MIDNIGHT}\\z')"
    return f"({read} + CASE WHEN {midnight} THEN INTERVAL '1' DAY ELSE INTERVAL '0' DAY END)"


def try_zoned(text: str) -> str:
    """A time with an offset at its end (Z, UTC, GMT, +05, +0530, +05:30) as an instant."""
    wall = try_timestamp(f"regexp_replace({text}, '\\s*{_OFFSET}\\z', '')")
    apart = f"regexp_like({text}, '(\\s[+-][0-9:]+|\\s\\s(UTC|GMT)|\\sZ|\\S(UTC|GMT))\\z')"
    read = f"timestamp_micros(unix_micros(CAST({wall} AS TIMESTAMP_LTZ)) - {_minutes(text)} * 60000000)"
    return f"CASE WHEN NOT {apart} THEN {read} END"


def has_offset(text: str) -> str:
    """Whether a time ends in an offset."""
    return f"regexp_like({text}, ':\\d\\d(\\.\\d+)?\\s*{_OFFSET}\\z')"


def has_no_offset(text: str) -> str:
    """Whether a text looks like a time, or a day, without an offset."""
    return f"regexp_like({text}, '\\A{_DATE}([ T]+{_CLOCK})?\\z')"


def try_format(text: str, form: str) -> str:
    """Read a time with a strptime pattern, field by field. Raises ``ConfigError`` for a field Spark does not know."""
    pattern, fields = _pattern_of(text_of(form))
    literal = single_quoted(pattern)
    part = {f[-1]: f"regexp_extract({text}, {literal}, {i})" for i, f in enumerate(fields, start=1)}
    second = _number(part, "S", "0")
    fraction = f"CAST(rpad({part['f']}, 6, '0') AS INT)" if "f" in part else "0"
    made = (
        f"try_make_timestamp_ntz({_year(part)}, {_month(part)}, {_number(part, 'd', '1')}, {_hour(part)},"
        f" {_number(part, 'M', '0')}, CASE WHEN {second} < 60 THEN CAST({second} AS DECIMAL(16, 6)) + CAST({fraction} AS DECIMAL(16, 6)) / 1000000 END)"
    )
    if "z" in part:
        made = (
            f"timestamp_micros(unix_micros(CAST({made} AS TIMESTAMP_LTZ)) - {_minutes(part['z'])} * 60000000)"
        )
    return f"CASE WHEN regexp_like({text}, {literal}) THEN {made} END"


def digest(text: str) -> str:
    """The first eight bytes of the md5, read little-endian, without their last four bits: equal on both engines."""
    pairs = ", ".join(f"substr(md5({text}), {i}, 2)" for i in range(15, 1, -2))
    return f"CAST(conv(concat({pairs}, substr(md5({text}), 1, 1)), 16, 10) AS BIGINT)"


def fnv1a32(text: str, start: str) -> str:
    """FNV-1a over UTF-16 units; a letter above U+FFFF is two of them, and no text at all leaves ``start``."""

    def step(hashed: str, unit: str) -> str:
        return f"((({hashed} ^ {unit}) * 16777619L) & 4294967295L)"

    point = "CAST(ascii(c) AS BIGINT)"
    pair = step(step("h", f"(55232L + shiftright({point}, 10))"), f"(56320L + ({point} & 1023L))")
    stepped = f"CASE WHEN c = '' THEN h WHEN {point} < 65536L THEN {step('h', point)} ELSE {pair} END"
    return f"aggregate(split({text}, ''), CAST({start} AS BIGINT), (h, c) -> {stepped})"


def quick_hash(*columns: str) -> str:
    """A fast hash of this engine's own; Spark's passes over NULL, so each column also says whether it is there."""
    return f"xxhash64({', '.join(f'{c}, ({c}) IS NULL' for c in columns)})"


def json_row(*pairs: str) -> str:
    """A row as one JSON object."""
    fields = ", ".join(f"{k}, {v}" for k, v in zip(pairs[::2], pairs[1::2], strict=True))
    return f"to_json(named_struct({fields}), map('ignoreNullFields', 'false'))"


def scan(*files: str) -> str:
    """Parquet files in a FROM clause, as a person would write them; the engine itself reads them as one view."""
    found = [f"parquet.{back_quoted(text_of(f))}" for f in files]
    return found[0] if len(found) == 1 else "(" + " UNION ALL ".join(f"TABLE {f}" for f in found) + ")"


def _pattern_of(form: str) -> tuple[str, list[str]]:
    """A strptime pattern as a regular expression, and the fields of its groups in order."""
    for short, long in _SHORT.items():
        form = form.replace(short, long)
    pattern, fields = r"(?i)\A\s*+", list[str]()
    for piece in re.findall(r"%-?.|\s+|.", form, flags=re.DOTALL):
        if piece == "%%":
            pattern += "%"
        elif piece[0] == "%" and piece[1:] in _FIELDS:
            pattern += _FIELDS[piece[1:]]
            fields.append(piece[1:])
        elif piece[0] == "%":
            raise _unknown(form, piece)
        else:
            pattern += r"\s++" if piece.isspace() else re.escape(piece)
    return pattern + r"\s*+\z", fields


def _unknown(form: str, piece: str) -> ConfigError:
    return ConfigError(
        "engine.time_format",
        what=f"The time pattern '{form}' holds '{piece}', which cannot be read on Spark.",
        why="A time read with half of its pattern would be another time.",
        do="Use %Y %y %m %b %B %d %H %I %p %M %S %f %z %a %A, or run on DuckDB.",
    )


def _number(part: dict[str, str], field: str, otherwise: str) -> str:
    return f"TRY_CAST({part[field]} AS INT)" if field in part else otherwise


def _year(part: dict[str, str]) -> str:
    short = _number(part, "y", "NULL")
    century = f"({short} + CASE WHEN {short} >= 69 THEN 1900 ELSE 2000 END)"
    return _number(part, "Y", century if "y" in part else "1900")


def _month(part: dict[str, str]) -> str:
    named = part.get("b") or part.get("B")
    if named is None:
        return _number(part, "m", "1")
    return f"((instr('{''.join(_MONTHS)}', lower(left({named}, 3))) + 2) DIV 3)"


def _hour(part: dict[str, str]) -> str:
    if "I" not in part:
        return _number(part, "H", "0")
    hour = _number(part, "I", "0")
    noon = f"CASE WHEN lower({part['p']}) = 'pm' THEN 12 ELSE 0 END" if "p" in part else "0"
    return f"CASE WHEN {hour} BETWEEN 1 AND 12 THEN {hour} % 12 + {noon} END"


def _minutes(text: str) -> str:
    """Minutes east of Greenwich of the offset at the end of a text; 0 for Z, UTC and GMT."""
    hours = f"TRY_CAST(regexp_extract({text}, '([+-]\\d\\d):?(\\d\\d)?\\z', 1) AS BIGINT)"
    rest = f"TRY_CAST(regexp_replace({text}, '(?s)\\A.*([+-])\\d\\d:?(\\d\\d)\\z', '$1$2') AS BIGINT)"
    beyond = f"CASE WHEN regexp_like({text}, '[+-]\\d\\d:?\\d\\d\\z') THEN {rest} ELSE 0 END"
    return f"(coalesce({hours}, 0) * 60 + {beyond})"
