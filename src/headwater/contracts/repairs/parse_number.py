"""Parse number: digits written for people become digits written for machines."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.repair import refuse_repair_settings, repair_refused
from headwater.core.contract import RepairSpec
from headwater.engine.sql import Sql, shim, sql

__all__ = ["ParseNumber"]

_SIGNS = "$€£¥₹₽₩₺₫₴₦฿₪"
_BLANKS = " '\u2019\u00a0\u202f\u2009"


class ParseNumber:
    """``"£1,234.50"``, ``"1.234,50 EUR"`` and ``"(12)"`` become ``1234.50``, ``1234.50`` and ``-12``.

    ``decimal`` is ``"."`` (the default) or ``","``; the other one, blanks and apostrophes set thousands
    apart, in groups of three. A value of another shape stays as it is, and its type rule tells.
    """

    about: ClassVar[str] = "currency signs, thousands separators and decimal commas are read"

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The number as plain digits, or the value itself where it is not of that shape."""
        refuse_repair_settings(spec, {"decimal"})
        decimal = spec.settings.get("decimal", ".")
        if decimal not in {".", ","}:
            raise repair_refused(
                spec, f"was given decimal = {decimal!r}", 'Write decimal = "." or decimal = ",".'
            )
        thousands = "," if decimal == "." else "."
        bare = shim("trimmed", sql("translate({v}, {signs}, '')", v=value, signs=_SIGNS))
        found = sql("regexp_extract({t}, {p}, 1)", t=bare, p=_shape(str(decimal), thousands))
        digits = sql("translate({f}, {old}, '.')", f=found, old=f"{decimal}{thousands}{_BLANKS}()+-")
        minus = sql("({f} LIKE '-%' OR {f} LIKE '%-' OR {f} LIKE '(%')", f=found)
        return sql(
            "CASE WHEN {f} <> '' THEN concat(CASE WHEN {minus} THEN '-' ELSE '' END, {digits}) ELSE {v} END",
            f=found,
            minus=minus,
            digits=digits,
            v=value,
        )


def _shape(decimal: str, thousands: str) -> str:
    """The whole value; its first group is the number with its sign."""
    grouped = rf"[0-9]{{1,3}}(?:[\{thousands}{_BLANKS}][0-9]{{3}})+"
    number = rf"(?:{grouped}|[0-9]+)(?:\{decimal}[0-9]+)?|\{decimal}[0-9]+"
    signed = rf"[-+]?(?:{number})|(?:{number})-|\((?:{number})\)"
    return rf"\A(?:[A-Z]{{3}}[ ]?)?({signed})(?:[ ]?[A-Z]{{3}})?\z"
