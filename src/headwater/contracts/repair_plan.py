"""Which columns a contract repairs, and how: the repairs of a column are done in the order they are declared."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.contracts.repairs import REPAIRS
from headwater.contracts.typing import kind_of_engine_type
from headwater.core.contract import Contract, RepairSpec
from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.sql import Sql, name

__all__ = ["raw_column", "repaired_columns", "repairs_of"]


def raw_column(column: str) -> str:
    """The column of ``events`` that holds a repaired column's value as it came."""
    return f"raw_{column}"


def repairs_of(contract: Contract) -> dict[str, tuple[str, ...]]:
    """The names of the repairs of each column, in the order they are done."""
    found: dict[str, tuple[str, ...]] = {}
    for spec in contract.repairs:
        for column in spec.columns:
            found[column] = (*found.get(column, ()), spec.repair)
    return found


def repaired_columns(contract: Contract, present: Mapping[str, str]) -> dict[str, Sql]:
    """The repaired value of each column that has repairs, over its quoted name.

    Raises ``ConfigError`` where a column is not there (``repair.unknown_column``) or is no text
    (``repair.not_text``).
    """
    values: dict[str, Sql] = {}
    for spec in contract.repairs:
        repair = REPAIRS.load(spec.repair)()
        for column in spec.columns:
            _require_text(column, spec, present)
            values[column] = repair.compile(spec, values.get(column, name(column)))
    return values


def _require_text(column: str, spec: RepairSpec, present: Mapping[str, str]) -> None:
    if column not in present:
        raise ConfigError(
            "repair.unknown_column",
            what=f"The repair '{spec.repair}' names the column '{column}', which the source does not have.",
            why="Nothing would be repaired.",
            do=near_miss(column, present),
        )
    if kind_of_engine_type(present[column]) is not Kind.TEXT:
        raise ConfigError(
            "repair.not_text",
            what=f"The repair '{spec.repair}' names the column '{column}', which the file holds as {present[column]}.",
            why="A repair mends how a value is written; a typed value has no spelling.",
            do="Leave the repair out, or use a rule to set rows aside.",
        )
