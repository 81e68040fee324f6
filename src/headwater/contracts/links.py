"""What the events' check joins from elsewhere: who a device belongs to, and what a currency was worth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headwater.contracts.currency import Rates, hold_rates, in_app_currency
from headwater.contracts.identity import by_identity, identity_of
from headwater.contracts.plan import CheckPlan
from headwater.contracts.typing import raw_name
from headwater.core.contract import Contract
from headwater.core.errors import ConfigError, near_miss
from headwater.core.identity import IdentityMap
from headwater.core.table import Kind
from headwater.engine.engine import Engine
from headwater.engine.sql import Sql, shim, sql

__all__ = ["join_links"]


def join_links(
    engine: Engine, contract: Contract, plan: CheckPlan, *, rates: Rates | None, folder: Path
) -> tuple[CheckPlan, IdentityMap | None]:
    """The plan with money in the app's currency and users after the identity map, where the contract declares them.

    Reads the source once for the map. Raises ``ConfigError`` (``currency.no_source``, ``currency.no_money``,
    ``source.missing_column``, ``source.reserved_column``).
    """
    known = None
    if contract.identity is not None:
        known = identity_of(engine, contract, plan, folder=folder)
        plan = by_identity(engine, contract, plan, known)
    return _priced(engine, contract, plan, rates), known


def _priced(engine: Engine, contract: Contract, plan: CheckPlan, rates: Rates | None) -> CheckPlan:
    source, app = contract.source, contract.app
    if source.currency is None and source.currency_is in {None, app.currency}:
        return plan
    money = tuple(t.column for t in plan.typed if t.kind is Kind.MONEY)
    if not money:
        raise ConfigError(
            "currency.no_money",
            what=f"The source '{source.path}' names a currency, and no column of it is money.",
            why="There is nothing to convert; amounts typed as numbers would be added across currencies.",
            do='Declare them: types = { UnitPrice = "money" }.',
        )
    if rates is None:
        raise ConfigError(
            "currency.no_source",
            what=f"The amounts of '{source.path}' are in other currencies than {app.currency}, and there are no exchange rates.",
            why="Amounts of several currencies cannot be added.",
            do='Add a source of kind = "fx" with day, currency and rate.',
        )
    original = {c: f"original_{c}" for c in money}
    _require_free(original.values(), plan)
    hold_rates(engine, rates, app=app)
    return in_app_currency(
        plan, app=app, money=money, currency=_code(contract, plan), original=original, rates=rates
    )


def _code(contract: Contract, plan: CheckPlan) -> Sql:
    source = contract.source
    if source.currency is None:
        return sql("{c}", c=source.currency_is or "")
    if source.currency not in dict(plan.columns):
        raise ConfigError(
            "source.missing_column",
            what=f"currency names the column '{source.currency}', which '{source.path}' does not have.",
            why="No amount could be converted.",
            do=near_miss(source.currency, dict(plan.columns)),
        )
    return sql("coalesce({c}, '')", c=shim("trimmed", raw_name(source.currency)))


def _require_free(names: Iterable[str], plan: CheckPlan) -> None:
    taken = {t.column.casefold() for t in plan.typed}
    for one in names:
        if one.casefold() in taken:
            raise ConfigError(
                "source.reserved_column",
                what=f"The source column '{one}' has the name of one of Headwater's own columns.",
                why="One of the two would hide the other.",
                do="Rename it where the file is written.",
            )
