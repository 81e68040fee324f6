"""Personal data: e-mail addresses, phone numbers and card numbers in free text."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.luhn import card_numbers, passes_luhn
from headwater.contracts.rule import BrokenWhen, Columns, known_column, list_setting, refuse_settings
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError, near_miss
from headwater.engine.sql import Sql, name, shim, sql

__all__ = ["PersonalData"]

_EMAIL = r"(?s).*[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}.*"
_PHONE = (
    r"(?s)(?:.*[^0-9A-Za-z+])?"
    r"(?:(?:\+|00)[1-9](?:[ ./()-]{0,2}[0-9]){7,13}"
    r"|\(?[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[ .-][0-9]{4}"
    r"|1[3-9][0-9]{9})"
    r"(?:[^0-9A-Za-z].*)?"
)
_KINDS = ("email", "phone", "card")
_DOUBTS = {
    "email": "",
    "phone": "an order number may have the shape of a phone number",
    "card": "one in ten random numbers passes the check digit",
}


class PersonalData:
    """Rows in whose free text stands an e-mail address, a phone number or a card number (with its check digit).

    ``kinds`` says which to look for; all three by default. Up to three numbers of a text are tried as cards.
    """

    about: ClassVar[str] = "no e-mail address, phone number or card number in free text"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check a column and kind."""
        refuse_settings(spec, {"kinds"})
        kinds = list_setting("kinds", spec) or _KINDS
        unknown = [k for k in kinds if k not in _KINDS]
        if unknown or not spec.columns:
            raise ConfigError(
                "rule.personal_data",
                what=f"The personal_data rule was given {len(spec.columns)} columns and the kinds {', '.join(kinds)}.",
                why="It looks for email, phone and card in the columns named.",
                do=near_miss(unknown[0], _KINDS) if unknown else 'Write columns = ["note"].',
            )
        return tuple(
            _check(known_column(c, spec, columns), kind, columns) for c in spec.columns for kind in kinds
        )


def _check(column: str, kind: str, columns: Columns) -> BrokenWhen:
    text = sql("CAST({c} AS STRING)", c=columns.raw[column])
    needs = card_numbers(column, text) if kind == "card" else ()
    return BrokenWhen(
        code=f"personal_data({column}: {kind})",
        about=f"{column} holds what looks like {'an e-mail address' if kind == 'email' else f'a {kind} number'}",
        condition=_condition(kind, text, needs),
        needs=needs,
        certainty="likely" if _DOUBTS[kind] else "certain",
        doubt=_DOUBTS[kind],
        proposal=f"Do not send {column}, or mask it where it is written; the quarantine holds the raw text, so guard it.",
    )


def _condition(kind: str, text: Sql, needs: tuple[tuple[str, Sql], ...]) -> Sql:
    if kind != "card":
        found = shim("matches", text, _EMAIL if kind == "email" else _PHONE)
        return sql("coalesce({f}, FALSE)", f=found)
    found = passes_luhn(name(needs[0][0]))
    for label, _ in needs[1:]:
        found = sql("{a} OR {b}", a=found, b=passes_luhn(name(label)))
    return sql("({f})", f=found)
