"""Card numbers in free text, and their check digit (Luhn, ISO/IEC 7812-1), in SQL that every engine runs."""

from __future__ import annotations

from headwater.engine.sql import Sql, sql

__all__ = ["card_numbers", "passes_luhn"]

_LONGEST = 19
_TRIED = 3
_RUN = r"[2-6][0-9]{12,18}"
_GROUPS = (
    r"[2-6][0-9]{3}([ -])[0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}".replace(
        "([ -])", "[ -]"
    )
)
_CARD = f"(?:{_RUN}|{_GROUPS})"


def card_numbers(column: str, text: Sql) -> tuple[tuple[str, Sql], ...]:
    """Named values: the first, second and third number of a text that has the length and grouping of a card's.

    Digits only, filled with zeros to 19 from the left (which changes no check digit); NULL where there is none.
    """
    return tuple(
        (
            f"card {n} of {column}",
            sql(
                "lpad(nullif(replace(replace(regexp_extract({t}, {p}, 1), ' ', ''), '-', ''), ''), {length}, '0')",
                t=text,
                p=_nth(n),
                length=_LONGEST,
            ),
        )
        for n in range(1, _TRIED + 1)
    )


def passes_luhn(number: Sql) -> Sql:
    """Whether 19 digits pass the check: every second digit from the right doubled, their digits' sum divisible by ten."""
    total = sql("0")
    for place in range(1, _LONGEST + 1):
        digit = sql("CAST(substr({n}, {p}, 1) AS INTEGER)", n=number, p=place)
        if (_LONGEST - place) % 2:
            digit = sql("CAST(substr('0246813579', {d} + 1, 1) AS INTEGER)", d=digit)
        total = sql("{a} + {b}", a=total, b=digit)
    return sql("coalesce(({t}) % 10 = 0, FALSE)", t=total)


def _nth(n: int) -> str:
    """A pattern whose first group is the n-th number that stands apart from other digits."""
    before = rf"(?:.*?(?:[^0-9]|\A){_CARD}[^0-9]){{{n - 1}}}" if n > 1 else ""
    return rf"(?s)\A{before}(?:.*?[^0-9])??({_CARD})(?:[^0-9]|\z)"
