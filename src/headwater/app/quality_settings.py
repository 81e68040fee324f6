"""``[[alarms]]`` and ``[card]``: what listens to the load as a whole, and what the data card says of its owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headwater.app.rule_settings import on_the_shelf
from headwater.contracts.alarms import ALARMS
from headwater.core.audit import AlarmSpec
from headwater.core.contract import RuleValue

__all__ = ["AlarmSettings", "CardSettings", "alarm_specs"]


class AlarmSettings(BaseModel):
    """``[[alarms]]``: settings beyond these belong to the alarm itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    alarm: str
    on: bool = True

    @field_validator("alarm")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return on_the_shelf(ALARMS, value)


class CardSettings(BaseModel):
    """``[card]``: who answers for the data, and what they may be used for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    owner: Annotated[str, Field(max_length=200)] = ""
    contact: Annotated[str, Field(max_length=200)] = ""
    purpose: Annotated[str, Field(max_length=1000)] = ""
    who_may_use: Annotated[str, Field(max_length=1000)] = ""


def alarm_specs(given: Sequence[AlarmSettings]) -> tuple[AlarmSpec, ...]:
    """The alarms as the audit reads them."""
    return tuple(
        AlarmSpec(alarm=a.alarm, on=a.on, settings=cast("dict[str, RuleValue]", a.model_extra or {}))
        for a in given
    )
