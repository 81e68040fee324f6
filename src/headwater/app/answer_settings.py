"""``[curves]`` and ``[value]``: what the report says beside the forecasts of ``[[predict]]``, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headwater.core.errors import UsageError, near_miss
from headwater.core.span import as_days
from headwater.models.ltv import LTV_MODELS

__all__ = ["CurveSettings", "ValueSettings", "reach_of"]

_FOREVER = "forever"


class CurveSettings(BaseModel):
    """``[curves]``: value by cohort and age."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    by: list[str] | None = None
    cohorts: Literal["month", "week"] | None = None
    horizon: str | None = None

    @field_validator("horizon")
    @classmethod
    def _span(cls, value: str | None) -> str | None:
        return None if value is None else _whole_days(value)


class ValueSettings(BaseModel):
    """``[value]``: what purchases to come are worth today."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    yearly_rate: Annotated[float, Field(gt=-1, le=10)] = 0.1
    horizon: str = "365d"
    model: str = "pareto_nbd"

    @field_validator("horizon")
    @classmethod
    def _span(cls, value: str) -> str:
        return value if value == _FOREVER else _whole_days(value)

    @field_validator("model")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        if value not in LTV_MODELS.names():
            raise ValueError(f"there is no model named '{value}'. {near_miss(value, LTV_MODELS.names())}")
        return value


def reach_of(horizon: str) -> int | None:
    """A horizon in days; None for ``"forever"``. Raises ``UsageError``."""
    return None if horizon == _FOREVER else as_days(horizon)


def _whole_days(value: str) -> str:
    try:
        as_days(value)
    except UsageError as error:
        raise ValueError(f"{error.finding.what} {error.finding.do}") from None
    return value
