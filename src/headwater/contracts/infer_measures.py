"""The measures a contract is proposed with: revenue and purchases, or a count of rows where no column is money."""

from __future__ import annotations

import json
import keyword
import unicodedata
from dataclasses import dataclass

from headwater.contracts.facts import Facts, Roles
from headwater.contracts.roles import money_divisor
from headwater.core.contract import Aggregate, Measure

__all__ = ["propose_measures"]

Buying = tuple[tuple[str, ...], tuple[str, ...]]


def propose_measures(roles: Roles, facts: Facts, *, unit: str, buying: Buying) -> list[tuple[Measure, str]]:
    """Each measure with its reason; ``buying`` are the event values that are purchases, and those that count as revenue besides."""
    return _Measuring(roles=roles, facts=facts, unit=unit, buying=buying).measures()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measuring:
    roles: Roles
    facts: Facts
    unit: str
    buying: Buying

    def measures(self) -> list[tuple[Measure, str]]:
        revenue, purchases = self._revenue(), self._purchases()
        if revenue is None and purchases is None:
            return [
                (
                    Measure(name="actions", aggregate=Aggregate.COUNT),
                    "No column looks like money or an order, so rows are counted.",
                )
            ]
        return [m for m in (revenue, purchases) if m is not None]

    def _revenue(self) -> tuple[Measure, str] | None:
        money, quantity = self.roles.money, self.roles.quantity
        if money is None:
            return None
        amount = _column(money.column)
        divisor = money_divisor(money)
        if divisor > 1:
            amount = f"{amount} / {divisor}"
        text = f"{_column(quantity.column)} * {amount}" if quantity else amount
        named = f"'{money.column}' looks like the {'price of one' if quantity else 'amount of a row'}"
        why = f"{named}{f', {quantity.column!r} like how many' if quantity else ''}; what is below zero counts as refunds."
        return Measure(
            name="revenue",
            aggregate=Aggregate.SUM,
            expression=text,
            unit=self.unit,
            where=_is_event(self.roles, *self.buying),
        ), why

    def _purchases(self) -> tuple[Measure, str] | None:
        order, where = self.roles.order, self._where_bought()
        if order is not None:
            why = f"'{order.column}' looks like the key of an order ({order.n_distinct:,} in {order.n_filled:,} rows looked at)."
            return Measure(
                name="purchases",
                aggregate=Aggregate.COUNT_DISTINCT,
                expression=_column(order.column),
                where=where,
            ), why
        if self.roles.money is None and not self.buying[0]:
            return None
        return Measure(
            name="purchases", aggregate=Aggregate.COUNT, where=where
        ), "No column looks like the key of an order, so rows that paid are counted."

    def _where_bought(self) -> str | None:
        """Bought, not returned: by the event, by the quantity, or by the amount."""
        facts, money, quantity = self.facts, self.roles.money, self.roles.quantity
        bought = _is_event(self.roles, self.buying[0], ())
        if bought is not None:
            return bought
        if quantity is not None:
            return f"{_column(quantity.column)} > 0" if facts.n_quantity_not_above_zero else None
        return (
            f"{_column(money.column)} > 0"
            if money
            and (facts.n_money_not_above_zero or facts.n_money < facts.n_rows or self.roles.order is None)
            else None
        )


def _is_event(roles: Roles, buying: tuple[str, ...], besides: tuple[str, ...]) -> str | None:
    if roles.event is None or not buying:
        return None
    values = [*buying, *besides]
    column = _column(roles.event.column)
    return (
        f"{column} == {_literal(values[0])}"
        if len(values) == 1
        else f"{column} in [{', '.join(_literal(v) for v in values)}]"
    )


def _column(column: str) -> str:
    """A column inside an expression; ``col("...")`` where its name is no plain word."""
    plain = (
        column.isidentifier()
        and not keyword.iskeyword(column)
        and unicodedata.normalize("NFKC", column) == column
    )
    return column if plain else f"col({_literal(column)})"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
