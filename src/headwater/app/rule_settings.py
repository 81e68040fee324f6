"""``[[rules]]`` and ``[[repairs]]``: what rows must keep, and what is put right before."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from headwater.contracts.repairs import REPAIRS
from headwater.contracts.rules import RULES
from headwater.core.contract import RepairSpec, RuleSpec, RuleValue
from headwater.core.errors import near_miss
from headwater.core.shelf import Shelf

__all__ = ["RepairSettings", "RuleSettings", "on_the_shelf", "repair_spec", "rule_spec"]


class RuleSettings(BaseModel):
    """``[[rules]]``: settings beyond these belong to the rule itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    rule: str
    columns: list[str] = []
    max_share: Annotated[float, Field(ge=0, le=1)] | None = None

    @field_validator("rule")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return on_the_shelf(RULES, value)

    @model_validator(mode="after")
    def _room_between(self) -> RuleSettings:
        given = {k: v for k, v in (self.model_extra or {}).items() if isinstance(v, int | float)}
        for low in given.keys() & {"above", "at_least"}:
            for high in given.keys() & {"below", "at_most"}:
                touch = given[low] == given[high] and {low, high} != {"at_least", "at_most"}
                if given[low] > given[high] or touch:
                    raise ValueError(
                        f"{low} = {given[low]} and {high} = {given[high]} leave no number between"
                    )
        return self


class RepairSettings(BaseModel):
    """``[[repairs]]``: settings beyond these belong to the repair itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    repair: str
    columns: Annotated[list[str], Field(min_length=1)]
    values: dict[str, list[str]] = {}

    @field_validator("repair")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return on_the_shelf(REPAIRS, value)


def on_the_shelf(shelf: Shelf[Any], name: str) -> str:
    """The name, where the shelf has it. Raises ``ValueError`` with the near miss."""
    if name not in shelf.names():
        raise ValueError(
            f"there is no {shelf.kind} named '{name}'. {near_miss(name, shelf.names())}".rstrip(".")
        )
    return name


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
