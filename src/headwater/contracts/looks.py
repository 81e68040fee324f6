"""A look at a raw source: what each column holds, counted by the engine over the first rows, and how its times read."""

from __future__ import annotations

import gzip
import re
import zlib
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from headwater.contracts.typing import kind_of_engine_type
from headwater.core.errors import SourceError
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sources import ROW, Relation
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = [
    "MAX_COLUMNS",
    "Look",
    "encoding_of",
    "look_at",
    "sample_rows",
    "time_readings",
    "value_counts",
    "words_of",
]

MAX_COLUMNS = 300
_SAMPLE_ROWS, _SAMPLE_CELLS = 200_000, 4_000_000
_N_EXAMPLES = 12
_ENCODED_BYTES = 8_000_000
_PLAIN_TEXT = {".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"}
_ISO = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ].*)?$"
_MONEY_TEXT = r"^[-(]?\s*[\p{Sc}]?\s*[-+]?\d[\d,. ]*\s*([\p{Sc}]|[A-Z]{3})?\s*\)?$"
_EPOCH_SECONDS = (631_152_000, 4_102_444_800)
_EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{8}", ("%Y%m%d",)),
    (r"\d{14}", ("%Y%m%d%H%M%S",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%d/%m/%y", "%m/%d/%y")),
    (r"\d{1,2}-\d{1,2}-\d{2}", ("%d-%m-%y", "%m-%d-%y")),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", ("%d.%m.%y",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}年\d{1,2}月\d{1,2}日", ("%Y年%m月%d日",)),
    (r"\d{1,2} [A-Za-z]{3,9} \d{4}", ("%d %b %Y", "%d %B %Y")),
    (r"\d{1,2}-[A-Za-z]{3,9}-\d{4}", ("%d-%b-%Y", "%d-%B-%Y")),
    (r"\d{1,2}-[A-Za-z]{3}-\d{2}", ("%d-%b-%y",)),
    (r"[A-Za-z]{3,9} \d{1,2}, \d{4}", ("%b %d, %Y", "%B %d, %Y")),
)
_CLOCKS: tuple[tuple[str, str], ...] = (
    (r"", ""),
    (r"\d{1,2}:\d{2}", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}\.\d+", "%H:%M:%S.%f"),
    (r"\d{1,2}:\d{2} [AaPp][Mm]", "%I:%M %p"),
    (r"\d{1,2}:\d{2}[AaPp][Mm]", "%I:%M%p"),
    (r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]", "%I:%M:%S %p"),
    (r"\d{1,2}时\d{1,2}分", "%H时%M分"),
    (r"\d{1,2}时\d{1,2}分\d{1,2}秒", "%H时%M分%S秒"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one column holds, over the rows looked at. Counts are of rows; ``low`` and ``high`` are of its numbers.

    ``n_iso`` counts ISO dates and times, ``n_money_text`` amounts written with a currency sign or
    thousands marks, ``n_words`` values of four words and more, ``n_at_sign`` values with an @.
    """

    column: str
    engine_type: str
    n_rows: int
    n_filled: int
    n_distinct: int
    n_integer: int
    n_number: int
    n_fraction: int
    n_iso: int
    n_money_text: int
    n_words: int
    n_at_sign: int
    longest: int
    low: float
    high: float
    examples: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """The type the file declares."""
        return kind_of_engine_type(self.engine_type)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its name."""
        return words_of(self.column)

    @property
    def filled_share(self) -> float:
        """Share of rows with a value."""
        return self.n_filled / self.n_rows if self.n_rows else 0.0

    @property
    def rows_per_value(self) -> float:
        """How often a value comes, on average."""
        return self.n_filled / self.n_distinct if self.n_distinct else 0.0

    def share(self, count: int) -> float:
        """A count as a share of the rows with a value."""
        return count / self.n_filled if self.n_filled else 0.0

    @property
    def is_numeric(self) -> bool:
        """Whether nearly every value is a number."""
        return self.n_filled > 0 and self.share(self.n_number) >= 0.95


def words_of(column: str) -> tuple[str, ...]:
    """The words of a column name, in lower case; ``userid`` gives ``user`` and ``id``.

    >>> words_of("InvoiceNo")
    ('invoice', 'no')
    >>> words_of("user_pseudo_id")
    ('user', 'pseudo', 'id')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column)
    found: list[str] = []
    for word in re.findall(r"[^\W_]+", spaced.lower()):
        parts = re.fullmatch(r"([a-z]{4,})(id|no)", word)
        found += [word] if parts is None else [parts[1], parts[2]]
    return tuple(found)


def encoding_of(files: Sequence[Path]) -> str:
    """``utf-8``, or ``latin-1`` where the first megabytes of a text file cannot be UTF-8.

    Raises ``SourceError`` (``source.encoding``) for what neither can be, such as GBK, Windows-1252 or UTF-16.
    """
    for file in files:
        packed = file.suffix == ".gz"
        if (file.with_suffix("").suffix if packed else file.suffix).lower() in _PLAIN_TEXT:
            found = _encoding(_head(file, packed=packed), file)
            if found != "utf-8":
                return found
    return "utf-8"


def _head(file: Path, *, packed: bool) -> bytes:
    """The first bytes; none of a damaged file, which the reader will tell."""
    try:
        with gzip.open(file) if packed else file.open("rb") as stream:
            return stream.read(_ENCODED_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _encoding(head: bytes, file: Path) -> str:
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        runs = re.findall(rb"[\x80-\xff]+", head)
        paired = sum(len(run) % 2 == 0 for run in runs) / len(runs)
        if head[:2] in {b"\xff\xfe", b"\xfe\xff"} or paired > 0.6 or re.search(rb"[\x80-\x9f]", head):
            raise SourceError(
                "source.encoding",
                what=f"'{file.name}' is not UTF-8, and looks like a Windows code page, a Chinese or Japanese encoding, or UTF-16.",
                why="Read as anything else, its names and values would be wrong letters.",
                do="Save it as UTF-8 (in Excel: 'CSV UTF-8'), then run init again.",
            ) from None
        return "latin-1"
    return "utf-8"


def sample_rows(relation: Relation) -> int:
    """How many first rows are looked at: 200,000, fewer where there are many columns."""
    return min(_SAMPLE_ROWS, _SAMPLE_CELLS // max(1, len(relation.columns)))


def look_at(engine: Engine, relation: Relation) -> tuple[Look, ...]:
    """Profile every column in one aggregate query over the first rows (``sample_rows`` of them)."""
    columns = relation.columns[:MAX_COLUMNS]
    counts = [c for i in range(len(columns)) for c in _counts(i)]
    row = engine.one(
        sql(
            "SELECT count(*), {counts} FROM {texts}",
            counts=commas(counts),
            texts=_texts(relation, [c for c, _ in columns]),
        )
    )
    width = len(counts) // len(columns)
    return tuple(
        _look(column, engine_type, row[0], row[1 + i * width : 1 + (i + 1) * width])
        for i, (column, engine_type) in enumerate(columns)
    )


def value_counts(
    engine: Engine, relation: Relation, columns: Sequence[str], *, above_zero: str | None = None
) -> list[dict[str, int]]:
    """How often each value comes, for columns of few values, over the first rows.

    ``above_zero`` counts only rows where that column's number is not zero.
    """
    if not columns:
        return []
    wanted = [*columns, *([above_zero] if above_zero else [])]
    kept = sql(" WHERE TRY_CAST({c} AS DOUBLE) <> 0", c=name(str(len(columns)))) if above_zero else sql("")
    counted = [sql("histogram(left({c}, 80))", c=name(str(i))) for i in range(len(columns))]
    row = engine.one(
        sql("SELECT {h} FROM {texts}{kept}", h=commas(counted), texts=_texts(relation, wanted), kept=kept)
    )
    histograms: list[dict[str, int] | None] = list(row)
    return [found or {} for found in histograms]


def time_readings(look: Look) -> tuple[str | None, ...]:
    """The ways a column may be read as a time: ``None`` is ISO, else a format of ``at_format``; none where it is no time."""
    if not look.n_filled:
        return ()
    if look.kind in {Kind.TIMESTAMP, Kind.DAY} or look.share(look.n_iso) >= 0.8:
        return (None,)
    epoch = _epoch(look)
    return (epoch,) if epoch else _formats(look.examples)


def _texts(relation: Relation, columns: Sequence[str]) -> Sql:
    """The first rows as trimmed text, columns named by their number."""
    text = [
        sql("nullif(trim(CAST({c} AS VARCHAR)), '') AS {i}", c=name(c), i=name(str(i)))
        for i, c in enumerate(columns)
    ]
    return sql(
        "(SELECT {text}, {row} AS place FROM {rows} LIMIT {n})",
        text=commas(text),
        row=name(ROW),
        rows=relation.rows,
        n=sample_rows(relation),
    )


def _counts(index: int) -> list[Sql]:
    c = name(str(index))
    number = sql("TRY_CAST({c} AS DOUBLE)", c=c)
    conditions = [
        shim("matches", c, r"[+-]?\d{1,38}(\.0+)?"),
        sql("isfinite({n})", n=number),
        sql("isfinite({n}) AND {n} <> floor({n})", n=number),
        sql("regexp_matches({c}, {iso}) AND {t} IS NOT NULL", c=c, iso=_ISO, t=shim("try_timestamp", c)),
        sql("{n} IS NULL AND regexp_matches({c}, {m})", n=number, c=c, m=_MONEY_TEXT),
        sql("regexp_matches({c}, '\\S\\s+\\S+\\s+\\S+\\s+\\S')", c=c),
        sql("contains({c}, '@')", c=c),
    ]
    return [
        sql("count({c})", c=c),
        sql("count(DISTINCT {c})", c=c),
        *[sql("count(*) FILTER (WHERE {w})", w=w) for w in conditions],
        sql("coalesce(max(length({c})), 0)", c=c),
        sql("coalesce(min({n}) FILTER (WHERE isfinite({n})), 0)", n=number),
        sql("coalesce(max({n}) FILTER (WHERE isfinite({n})), 0)", n=number),
        sql("arg_min({c}, place, {k}) FILTER (WHERE {c} IS NOT NULL)", c=c, k=_N_EXAMPLES),
    ]


def _look(column: str, engine_type: str, n_rows: int, found: Sequence[Any]) -> Look:
    filled, distinct, integer, number, fraction, iso, money, words, at_sign, longest, low, high, examples = (
        found
    )
    return Look(
        column=column,
        engine_type=engine_type,
        n_rows=n_rows,
        n_filled=filled,
        n_distinct=distinct,
        n_integer=integer,
        n_number=number,
        n_fraction=fraction,
        n_iso=iso,
        n_money_text=money,
        n_words=words,
        n_at_sign=at_sign,
        longest=longest,
        low=float(low),
        high=float(high),
        examples=tuple(str(e) for e in examples or ()),
    )


def _epoch(look: Look) -> str | None:
    if look.share(look.n_number) < 0.95:
        return None
    low, high = _EPOCH_SECONDS
    return next(
        (form for form, scale in _EPOCHS.items() if low * scale <= look.low and look.high <= high * scale),
        None,
    )


def _formats(examples: Sequence[str]) -> tuple[str, ...]:
    """The formats whose shape most of the first values have; which of them fits is counted over all rows."""
    votes = Counter(form for text in examples for form in _shapes(text))
    return tuple(form for form, n in votes.most_common() if n > len(examples) / 2)


def _shapes(text: str) -> Iterator[str]:
    for (date, forms), (clock, suffix) in product(_DATES, _CLOCKS):
        gap = re.fullmatch(f"{date}([T ]?){clock}", text) if clock else re.fullmatch(f"{date}()", text)
        if gap is not None:
            yield from (f"{form}{gap[1]}{suffix}" for form in forms)
