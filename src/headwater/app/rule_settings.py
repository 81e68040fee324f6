"""``[[rules]]`` and ``[[repairs]]``: what rows must keep, and what is put right before."""

from __future__ import annotations

from datetime import date
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from headwater.core.contract import RepairSpec, RuleSpec, RuleValue

__all__ = ["RepairSettings", "RuleSettings", "repair_spec", "rule_spec"]


class RuleSettings(BaseModel):
    """``[[rules]]``: settings beyond these belong to the rule itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    rule: str
    columns: list[str] = []
    max_share: Annotated[float, Field(ge=0, le=1)] | None = None


class RepairSettings(BaseModel):
    """``[[repairs]]``: settings beyond these belong to the repair itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    repair: str
    columns: Annotated[list[str], Field(min_length=1)]
    values: dict[str, list[str]] = {}


def rule_spec(given: RuleSettings, *, today: date) -> RuleSpec:
    """A rule as the gate reads it; ``"today"`` becomes the date given."""
    settings = {k: _value(v, today=today) for k, v in (given.model_extra or {}).items()}
    return RuleSpec(
        rule=given.rule, columns=tuple(given.columns), settings=settings, max_share=given.max_share
    )


def repair_spec(given: RepairSettings, *, today: date) -> RepairSpec:
    """A repair as the gate reads it."""
    settings = {k: _value(v, today=today) for k, v in (given.model_extra or {}).items()}
    aliases = {meant: tuple(spellings) for meant, spellings in given.values.items()}
    return RepairSpec(repair=given.repair, columns=tuple(given.columns), settings=settings, aliases=aliases)


def _value(value: object, *, today: date) -> RuleValue:
    if value == "today":
        return today.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return tuple(cast("list[str]", value)) if isinstance(value, list) else cast("RuleValue", value)
