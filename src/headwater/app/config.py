"""``headwater.toml`` as typed settings. Unknown keys are refused with the near miss; nothing is guessed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from headwater.app.deliver import EXPORTERS
from headwater.contracts.rules import RULES
from headwater.core.contract import Aggregate, App, Contract, Measure, RuleSpec, RuleValue, Source
from headwater.core.errors import ConfigError, HeadwaterError, UsageError, near_miss
from headwater.core.span import as_days, parse_span
from headwater.core.table import Kind
from headwater.models.ltv import LTV_MODELS

__all__ = [
    "CONFIG_NAME",
    "PredictSettings",
    "Settings",
    "contract_of",
    "read_memory",
    "read_settings",
    "settings_of",
]

CONFIG_NAME = "headwater.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AppSettings(_Section):
    """``[app]``."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    time_zone: str
    currency: Annotated[str, Field(min_length=1, max_length=10)] = "USD"
    launched_on: date | None = None
    left_edge: str = "28d"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"'{value}' is not a time zone; write one such as Europe/London, Asia/Shanghai or UTC"
            ) from None
        return value

    @field_validator("left_edge")
    @classmethod
    def _span(cls, value: str) -> str:
        return value if value == "0d" else _checked(value, as_days)


class SourceSettings(_Section):
    """``[[sources]]``."""

    kind: Literal["events"] = "events"
    path: Annotated[str, Field(min_length=1)]
    user: str
    at: str
    event: str | None = None
    event_is: str | None = None
    known_at: str | None = None
    keep: list[str] = []
    types: dict[str, Literal["text", "integer", "number", "money", "boolean", "timestamp"]] = {}
    at_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    @model_validator(mode="after")
    def _one_event(self) -> SourceSettings:
        if (self.event is None) == (self.event_is is None):
            raise ValueError('give either event (a column) or event_is (one constant, such as "purchase")')
        return self


class MeasureSettings(_Section):
    """One entry of ``[measures]``: exactly one of sum, count, count_distinct."""

    sum: str | None = None
    count: bool | None = None
    count_distinct: str | None = None
    where: str | None = None
    unit: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> MeasureSettings:
        given = [k for k in ("sum", "count", "count_distinct") if getattr(self, k) not in (None, False)]
        if len(given) != 1:
            raise ValueError("give exactly one of sum, count = true, count_distinct")
        return self


class RuleSettings(BaseModel):
    """``[[rules]]``: settings beyond these belong to the rule itself, which refuses what it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    rule: str
    columns: list[str] = []
    max_share: Annotated[float, Field(ge=0, le=1)] | None = None


class GateSettings(_Section):
    """``[gate]``."""

    max_share: Annotated[float, Field(ge=0, le=1)] = 0.5


class CutoffSettings(_Section):
    """``cutoffs = { every = "4w", origins = 3 }``."""

    every: str = "4w"
    origins: Annotated[int, Field(ge=1, le=24)] = 3

    @field_validator("every")
    @classmethod
    def _span(cls, value: str) -> str:
        return _checked(value, as_days)


class PredictSettings(_Section):
    """``[[predict]]``."""

    target: str
    horizons: Annotated[list[str], Field(min_length=1)] = ["90d"]
    cutoffs: CutoffSettings = CutoffSettings()
    models: list[str] = []
    occasions: str | None = None
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.9

    @field_validator("horizons")
    @classmethod
    def _spans(cls, value: list[str]) -> list[str]:
        return [_checked(v, as_days) for v in value]


class DeliverSettings(_Section):
    """``[deliver]``."""

    formats: list[str] = ["html", "excel"]
    folder: str = "reports"


class RunSettings(_Section):
    """``[run]``."""

    seed: Annotated[int, Field(ge=0)] = 7
    threads: Annotated[int, Field(ge=1, le=512)] = 2
    memory: str = "1500MB"
    engine: Literal["duckdb", "spark"] = "duckdb"
    master: str | None = None

    @field_validator("memory")
    @classmethod
    def _amount(cls, value: str) -> str:
        return _checked(value, read_memory)


class Settings(_Section):
    """The whole file."""

    app: AppSettings
    sources: Annotated[list[SourceSettings], Field(min_length=1, max_length=1)]
    measures: Annotated[dict[str, MeasureSettings], Field(min_length=1)]
    rules: list[RuleSettings] = []
    gate: GateSettings = GateSettings()
    predict: list[PredictSettings] = []
    deliver: DeliverSettings = DeliverSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for shelf, given in (
            (RULES, [r.rule for r in self.rules]),
            (LTV_MODELS, [m for p in self.predict for m in p.models]),
            (EXPORTERS, self.deliver.formats),
        ):
            for name in given:
                if name not in shelf.names():
                    raise ValueError(
                        f"there is no {shelf.kind} named '{name}'. {near_miss(name, shelf.names())}"
                    )
        return self

    @model_validator(mode="after")
    def _targets_exist(self) -> Settings:
        known = {*self.measures, "active_days"}
        for p in self.predict:
            for name in (p.target, p.occasions):
                if name is not None and name not in known:
                    raise ValueError(f"predict names '{name}', which is no measure. {near_miss(name, known)}")
        return self


def read_settings(path: Path) -> Settings:
    """Read a settings file. Raises ``ConfigError`` (``config.*``)."""
    if not path.is_file():
        raise ConfigError(
            "config.not_found",
            what=f"There is no settings file at '{path}'.",
            why="Nothing says what the data are.",
            do="Run 'headwater init DATA' to make one, or name it with --config.",
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config.unreadable",
            what=f"'{path.name}' is not valid TOML: {error}.",
            why="Nothing was run.",
            do="Correct the line named; text stands in quotes, lists in [ ].",
        ) from error
    return settings_of(raw)


def settings_of(raw: dict[str, Any]) -> Settings:
    """Typed settings of a parsed file. Raises ``ConfigError``."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise _explained(error) from None


def read_memory(text: str) -> str:
    """An amount of memory. Raises ``UsageError`` (``memory.unreadable``).

    >>> read_memory("1500MB")
    '1500MB'
    """
    if not re.fullmatch(r"[1-9]\d{0,6}(\.\d{1,3})? ?[KMGT]i?B", text):
        raise UsageError(
            "memory.unreadable",
            what=f"'{text}' is not an amount of memory.",
            why="A bare number could mean bytes or megabytes.",
            do="Write a number and MB or GB, such as 1500MB or 4GB.",
        )
    return text


def contract_of(settings: Settings, *, today: date) -> Contract:
    """The contract the quality gate checks; ``"today"`` in a rule becomes the date given."""
    (source,) = settings.sources
    app = settings.app
    return Contract(
        app=App(
            name=app.name,
            time_zone=app.time_zone,
            currency=app.currency,
            launched_on=app.launched_on.isoformat() if app.launched_on else None,
            left_edge_days=parse_span(app.left_edge).days,
        ),
        source=Source(
            path=source.path,
            user=source.user,
            at=source.at,
            event=source.event,
            event_is=source.event_is,
            known_at=source.known_at,
            keep=tuple(source.keep),
            types={k: Kind(v) for k, v in source.types.items()},
            at_format=source.at_format,
            time_zone=source.time_zone,
            delimiter=source.delimiter,
            encoding=source.encoding,
        ),
        measures=tuple(_measure(name, m) for name, m in settings.measures.items()),
        rules=tuple(_rule(r, today=today) for r in settings.rules),
        max_share=settings.gate.max_share,
    )


def _measure(name: str, given: MeasureSettings) -> Measure:
    if given.sum is not None:
        return Measure(
            name=name, aggregate=Aggregate.SUM, expression=given.sum, unit=given.unit, where=given.where
        )
    if given.count_distinct is not None:
        return Measure(
            name=name,
            aggregate=Aggregate.COUNT_DISTINCT,
            expression=given.count_distinct,
            unit=given.unit,
            where=given.where,
        )
    return Measure(name=name, aggregate=Aggregate.COUNT, unit=given.unit, where=given.where)


def _rule(given: RuleSettings, *, today: date) -> RuleSpec:
    settings = {k: _rule_value(v, today=today) for k, v in (given.model_extra or {}).items()}
    return RuleSpec(
        rule=given.rule, columns=tuple(given.columns), settings=settings, max_share=given.max_share
    )


def _rule_value(value: object, *, today: date) -> RuleValue:
    if value == "today":
        return today.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return tuple(cast("list[str]", value)) if isinstance(value, list) else cast("RuleValue", value)


def _checked(value: str, read: Callable[[str], object]) -> str:
    try:
        read(value)
    except HeadwaterError as error:
        raise ValueError(f"{error.finding.what} {error.finding.do}") from None
    return value


def _explained(error: ValidationError) -> ConfigError:
    first, *others = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(p) for p in first["loc"]) or "the file"
    more = f" ({len(others)} more problem{'s' if len(others) > 1 else ''} after it.)" if others else ""
    match first["type"]:
        case "extra_forbidden":
            key = str(first["loc"][-1])
            return ConfigError(
                "config.unknown_key",
                what=f"'{where}' is not a setting.{more}",
                why="A key that is not read would be a wish that is not met.",
                do=near_miss(key, _keys_beside(first["loc"])),
            )
        case "missing":
            return ConfigError(
                "config.missing_key",
                what=f"The setting '{where}' is missing.{more}",
                why="There is no safe default for it.",
                do="Add it; 'headwater init DATA' writes a complete example.",
            )
        case _:
            return ConfigError(
                "config.value",
                what=f"The setting '{where}' is wrong: {first['msg'].removeprefix('Value error, ')}.{more}",
                why="Nothing was run.",
                do="Correct it; docs/configuration.md lists every setting.",
            )


def _keys_beside(location: tuple[int | str, ...]) -> set[str]:
    """The keys that may stand where an unknown one stood."""
    model: Any = Settings
    for part in location[:-1]:
        if isinstance(part, int) or not hasattr(model, "model_fields"):
            continue
        field = model.model_fields.get(part)
        model = _section_within(field.annotation) if field else None
        if model is None:
            return set(MeasureSettings.model_fields) if "measures" in location else set()
    return set(model.model_fields) if hasattr(model, "model_fields") else set()


def _section_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in getattr(annotation, "__args__", ()):
        found = _section_within(inside)
        if found is not None:
            return found
    return None
