"""Unique: a row, or a key, may stand once."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, known_column, refuse_settings
from headwater.core.contract import RuleSpec

__all__ = ["Unique"]


class Unique:
    """Rows that repeat an earlier row in all columns, or in the named key; the first one stays."""

    about: ClassVar[str] = "a row (or key) may stand once; repeats beyond the first break the rule"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check over the named columns, or over all."""
        refuse_settings(spec, set())
        key = tuple(known_column(c, spec, columns) for c in spec.columns) or tuple(columns.raw)
        whole = not spec.columns
        return (
            BrokenWhen(
                code="unique(row)" if whole else f"unique({', '.join(key)})",
                about="repeats an earlier row exactly" if whole else f"repeats an earlier {', '.join(key)}",
                duplicate_of=key,
                certainty="likely" if whole else "certain",
                doubt="two honest events can be equal in every column" if whole else "",
                proposal='Load each file once, and send each event with an id: columns = ["event_id"].',
            ),
        )
