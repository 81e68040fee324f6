"""``[curves]``, ``[newcomers]`` and ``[value]``: what the report says beside the forecasts of ``[[predict]]``, and how."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from headwater.core.errors import UsageError, near_miss
from headwater.core.span import as_days, parse_span
from headwater.ledgers.hours import FIRST_HOURS
from headwater.models.extras import require_any_stretch
from headwater.models.ltv import LTV_MODELS

__all__ = ["CurveSettings", "NewcomerSettings", "ValueSettings", "hours_of", "reach_of", "require_attributes"]

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


class NewcomerSettings(BaseModel):
    """``[newcomers]``: what users will be worth, from the first hour on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ages: Annotated[list[str], Field(min_length=1)] = ["1h", "24h", "3d"]
    horizon: str | None = None
    model: str = "lightgbm_hurdle"
    cohort_days: Annotated[int, Field(ge=1, le=366)] | None = None

    @field_validator("ages")
    @classmethod
    def _ages(cls, value: list[str]) -> list[str]:
        try:
            hours_of(value)
        except UsageError as error:
            raise ValueError(f"{error.finding.what} {error.finding.do}") from None
        return value

    @field_validator("horizon")
    @classmethod
    def _span(cls, value: str | None) -> str | None:
        return None if value is None else _whole_days(value)

    @field_validator("model")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return _model(value)


class ValueSettings(BaseModel):
    """``[value]``: what purchases to come are worth today."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    yearly_rate: Annotated[float, Field(ge=0, le=10)] = 0.1
    horizon: str = "365d"
    model: str = "pareto_nbd"

    @field_validator("horizon")
    @classmethod
    def _span(cls, value: str) -> str:
        return value if value == _FOREVER else _whole_days(value)

    @field_validator("model")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        named = _model(value)
        try:
            require_any_stretch(named)
        except UsageError as error:
            raise ValueError(f"{error.finding.what} {error.finding.do}") from None
        return named

    @model_validator(mode="after")
    def _finite(self) -> ValueSettings:
        if self.horizon == _FOREVER and self.yearly_rate == 0:
            raise ValueError(
                f"horizon '{_FOREVER}' at a yearly_rate of {self.yearly_rate:g} has no finite value; give a rate above 0, or a horizon such as 365d"
            )
        return self


def hours_of(ages: Sequence[str]) -> tuple[int, ...]:
    """Ages in hours, in order, each once. Raises ``UsageError`` (``newcomers.ages``, ``span.*``).

    >>> hours_of(["3d", "24h", "1d", "1h"])
    (1, 24, 72)
    """
    spans = [parse_span(a) for a in ages]
    hour = timedelta(hours=1)
    wrong = next(
        (a for a, s in zip(ages, spans, strict=True) if not hour <= s <= FIRST_HOURS * hour or s % hour), None
    )
    if wrong is not None or not spans:
        raise UsageError(
            "newcomers.ages",
            what=f"'{wrong}' is no age of a newcomer." if wrong else "No age is named.",
            why=f"The ledger holds the first {FIRST_HOURS} hours of each user, hour by hour.",
            do=f"Name ages in whole hours or days, 1h to {FIRST_HOURS}h, such as 1h,24h,3d.",
        )
    return tuple(sorted({s // hour for s in spans}))


def require_attributes(by: Sequence[str], known: Sequence[str]) -> None:
    """Raise ``UsageError`` (``curves.no_attribute``) where no source keeps a column that curves are to be drawn by."""
    wrong = next((a for a in by if a not in known), None)
    if wrong is not None:
        raise UsageError(
            "curves.no_attribute",
            what=f"Curves are to be drawn by '{wrong}', which no source tells of users.",
            why="Cohorts can only be cut by what is known of a user: a kept column of the events, or of a source of users with changed_at.",
            do=near_miss(wrong, known)
            if known
            else f"Name it under keep in the settings of its source: keep = ['{wrong}'].",
        )


def reach_of(horizon: str) -> int | None:
    """A horizon in days; None for ``"forever"``. Raises ``UsageError``."""
    return None if horizon == _FOREVER else as_days(horizon)


def _model(value: str) -> str:
    if value not in LTV_MODELS.names():
        raise ValueError(f"there is no model named '{value}'. {near_miss(value, LTV_MODELS.names())}")
    return value


def _whole_days(value: str) -> str:
    try:
        as_days(value)
    except UsageError as error:
        raise ValueError(f"{error.finding.what} {error.finding.do}") from None
    return value
