"""Aliases: many spellings, one value."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.repair import refuse_repair_settings, repair_refused
from headwater.core.contract import RepairSpec
from headwater.engine.sql import Sql, commas, sql

__all__ = ["Aliases"]


class Aliases:
    """Each spelling listed under ``values`` becomes the value it is listed for; the match is exact, blanks and case included."""

    about: ClassVar[str] = "spellings become the one value they stand for"

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The value the spelling stands for, or the value itself."""
        refuse_repair_settings(spec, {"values"})
        _require_clear(spec)
        cases = [
            sql(
                "WHEN {v} IN ({spellings}) THEN {meant}",
                v=value,
                spellings=commas(_texts(found)),
                meant=meant,
            )
            for meant, found in spec.aliases.items()
        ]
        chain = cases[0]
        for case in cases[1:]:
            chain = sql("{a} {b}", a=chain, b=case)
        return sql("CASE {chain} ELSE {v} END", chain=chain, v=value)


def _texts(values: tuple[str, ...]) -> list[Sql]:
    return [sql("{v}", v=v) for v in values]


def _require_clear(spec: RepairSpec) -> None:
    """Refuse a list that is empty, or that sends a spelling two ways."""
    if not spec.aliases or not all(spec.aliases.values()):
        raise repair_refused(spec, "has no spellings", 'Write values = { Google = ["google", "GOOGLE "] }.')
    seen: dict[str, str] = {}
    for meant, spellings in spec.aliases.items():
        for spelling in spellings:
            if seen.setdefault(spelling, meant) != meant:
                raise repair_refused(
                    spec,
                    f"lists '{spelling}' under '{seen[spelling]}' and under '{meant}'",
                    "List each spelling once.",
                )
    chained = sorted(set(seen) & set(spec.aliases) - {m for s, m in seen.items() if s == m})
    if chained:
        raise repair_refused(
            spec,
            f"lists '{chained[0]}' as a spelling and as a value that spellings become",
            f"List its spellings under '{seen[chained[0]]}'.",
        )
