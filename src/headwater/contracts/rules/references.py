"""References: a value must stand in another file."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import BrokenWhen, Columns, Lookup, one_column, refuse_settings, text_setting
from headwater.core.contract import RuleSpec
from headwater.engine.sql import sql

__all__ = ["References"]


class References:
    """Rows whose value stands nowhere in the column ``column`` of the file, folder or glob ``path``.

    Values are compared as ids: trimmed text, without the ``.0`` of a number that passed through a float.
    """

    about: ClassVar[str] = "the value must stand in a column of another file"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check. A missing value breaks nothing; require it by its own rule."""
        refuse_settings(spec, {"path", "column"})
        own = one_column(spec, columns)
        path = text_setting("path", spec, example="products.csv")
        column = text_setting("column", spec, example="sku") if "column" in spec.settings else own
        lookup = Lookup(
            path=path,
            column=column,
            value=columns.ids[own],
            label=f"lookup of {own} in {path} {column}",
        )
        return (
            BrokenWhen(
                code=f"references({own} in {path})",
                about=f"{own} does not stand in {column} of {path}",
                condition=sql("({v} IS NOT NULL AND {there} IS NULL)", v=lookup.value, there=lookup.there),
                lookup=lookup,
                proposal=f"Export '{path}' again no earlier than the log, or correct the writer of {own}.",
            ),
        )
