"""``headwater.toml`` as typed settings. Unknown keys are refused with the near miss; nothing is guessed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from headwater.app.answer_settings import CurveSettings, NewcomerSettings, ValueSettings
from headwater.app.calendar_settings import AppDate, EventDays, days_of_spans
from headwater.app.deliver import EXPORTERS
from headwater.app.experiment_settings import ExperimentSettings, experiment_requirements
from headwater.app.quality_settings import AlarmSettings, CardSettings, alarm_specs
from headwater.app.rule_settings import RepairSettings, RuleSettings, repair_spec, rule_spec
from headwater.app.settings_errors import explained, placed, require_sense
from headwater.app.source_settings import (
    AnySource,
    IdentitySettings,
    OtherSourceSettings,
    SourceSettings,
    other_source,
    source_of,
)
from headwater.core.contract import Aggregate, App, Contract, Measure
from headwater.core.errors import ConfigError, HeadwaterError, UsageError, near_miss
from headwater.core.identity import Identity
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.span import as_days, day_of, parse_span
from headwater.models.ltv import LTV_MODELS

__all__ = [
    "CONFIG_NAME",
    "PredictSettings",
    "Settings",
    "calendar_of",
    "contract_of",
    "other_sources_of",
    "read_memory",
    "read_settings",
    "read_threads",
    "settings_of",
]

CONFIG_NAME = "headwater.toml"
_MOST_THREADS = 512


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AppSettings(_Section):
    """``[app]``."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    time_zone: str
    currency: Annotated[str, Field(min_length=1, max_length=10)] = "USD"
    launched_on: AppDate | None = None
    left_edge: str = "28d"
    fx_max_age: str = "7d"
    holidays: list[AppDate] = []
    calendar: EventDays = {}

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

    @field_validator("left_edge", "fx_max_age")
    @classmethod
    def _span(cls, value: str) -> str:
        return value if value == "0d" else _checked(value, as_days)


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


class GateSettings(_Section):
    """``[gate]``."""

    max_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    max_broken_files: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_hole_share: Annotated[float, Field(ge=0, le=1)] = 0.05


class FeatureSettings(_Section):
    """``[features]``."""

    windows: Annotated[list[str], Field(min_length=1)] = ["7d", "28d", "90d"]

    @field_validator("windows")
    @classmethod
    def _spans(cls, value: list[str]) -> list[str]:
        return [_checked(v, as_days) for v in value]


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
    checks: list[Literal["jsonl", "junit"]] = []


class RunSettings(_Section):
    """``[run]``."""

    seed: Annotated[int, Field(ge=0)] = 7
    threads: Annotated[int, Field(ge=1, le=_MOST_THREADS)] = 2
    memory: str = "1500MB"
    engine: Literal["duckdb", "spark"] = "duckdb"
    master: str | None = None

    @field_validator("memory")
    @classmethod
    def _amount(cls, value: str) -> str:
        return _checked(value, read_memory)


def calendar_of(app: AppSettings) -> dict[str, tuple[int, ...]]:
    """The days of every declared event, holidays among them: name to app days, in order."""
    named = {name: days_of_spans(spans) for name, spans in app.calendar.items()}
    holidays = tuple(day_of(d) for d in app.holidays)
    return ({"holidays": holidays} if holidays else {}) | named


class Settings(_Section):
    """The whole file."""

    app: AppSettings
    sources: Annotated[list[AnySource], Field(min_length=1)]
    identity: IdentitySettings | None = None
    measures: Annotated[dict[str, MeasureSettings], Field(min_length=1)]
    repairs: list[RepairSettings] = []
    rules: list[RuleSettings] = []
    gate: GateSettings = GateSettings()
    alarms: list[AlarmSettings] = []
    card: CardSettings = CardSettings()
    features: FeatureSettings = FeatureSettings()
    predict: list[PredictSettings] = []
    settings: dict[str, dict[str, Any]] = {}
    curves: CurveSettings = CurveSettings()
    newcomers: NewcomerSettings | None = None
    value: ValueSettings | None = None
    experiments: list[ExperimentSettings] = []
    deliver: DeliverSettings = DeliverSettings()
    run: RunSettings = RunSettings()
    _text: str = ""
    _file: str = CONFIG_NAME

    def read_from(self, text: str, file: str) -> Settings:
        """The same, knowing what stands in which file."""
        self._text, self._file = text, file
        return self

    def placed(self, error: HeadwaterError, *location: int | str) -> ConfigError:
        """An error that one of these settings led to, with its line and table."""
        return placed(error, location, self._text, self._file)

    @model_validator(mode="after")
    def _sources_differ(self) -> Settings:
        events = [s for s in self.sources if isinstance(s, SourceSettings)]
        if len(events) != 1:
            raise ValueError(f"there are {len(events)} sources of events; exactly one is needed")
        names = [s.name or s.kind for s in self.sources if isinstance(s, OtherSourceSettings)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two sources are called '{twice[0]}'; give each its own name")
        if [s.kind for s in self.sources].count("fx") > 1:
            raise ValueError("there are several sources of exchange rates; put them in one")
        return self

    def events_source(self) -> SourceSettings:
        """The source of events."""
        return next(s for s in self.sources if isinstance(s, SourceSettings))

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for shelf, given in (
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
    def _asked_once(self) -> Settings:
        asked = [(p.target, as_days(h)) for p in self.predict for h in p.horizons]
        twice = next(((t, d) for t, d in asked if asked.count((t, d)) > 1), None)
        if twice:
            raise ValueError(
                f"predict asks twice for '{twice[0]}' over {twice[1]} days; ask once, and name all models there"
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
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config.unreadable",
            what=f"'{path.name}' is not valid TOML: {str(error).rstrip('.')}.",
            why="Nothing was run.",
            do="Correct the line named: text stands in quotes, lists in [ ], a section of which there may be several is [[name]] each time.",
        ) from error
    return settings_of(raw, text=text, file=path.name)


def settings_of(raw: dict[str, Any], *, text: str = "", file: str = "headwater.toml") -> Settings:
    """Typed settings of a parsed file. Raises ``ConfigError``; with the file's ``text`` it names the line."""
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise explained(error, Settings, text=text, file=file) from None
    others = {
        i: other_source(s, today=date.min, max_broken_files=0.0)
        for i, s in enumerate(settings.sources)
        if isinstance(s, OtherSourceSettings)
    }
    require_sense(
        contract_of(settings, today=date.min),
        others,
        alarm_specs(settings.alarms),
        settings.settings,
        by=settings.curves.by or (),
        experiments=experiment_requirements(
            settings.experiments,
            measures=settings.measures,
            targets=[p.target for p in settings.predict],
            sources=tuple(others.values()),
        ),
        text=text,
        file=file,
    )
    return settings.read_from(text, file)


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


def read_threads(number: int) -> int:
    """A number of threads, as ``[run] threads`` takes it. Raises ``UsageError`` (``threads.number``).

    >>> read_threads(8)
    8
    """
    if not 1 <= number <= _MOST_THREADS:
        raise UsageError(
            "threads.number",
            what=f"{number:,} is not a number of threads: it must be 1 to {_MOST_THREADS}.",
            why="Nothing was run.",
            do="Write about as many as the machine has cores.",
        )
    return number


def contract_of(settings: Settings, *, today: date) -> Contract:
    """The contract the quality gate checks; ``"today"`` in a rule becomes the date given."""
    source, app = settings.events_source(), settings.app
    return Contract(
        app=App(
            name=app.name,
            time_zone=app.time_zone,
            currency=app.currency,
            launched_on=app.launched_on.isoformat() if app.launched_on else None,
            left_edge_days=parse_span(app.left_edge).days,
            fx_max_age_days=parse_span(app.fx_max_age).days,
        ),
        source=source_of(source),
        measures=tuple(_measure(name, m) for name, m in settings.measures.items()),
        rules=tuple(rule_spec(r, today=today) for r in settings.rules),
        repairs=tuple(repair_spec(r, today=today) for r in settings.repairs),
        max_share=settings.gate.max_share,
        identity=Identity(device=settings.identity.device, login=settings.identity.login)
        if settings.identity
        else None,
        max_broken_files=settings.gate.max_broken_files,
    )


def other_sources_of(settings: Settings, *, today: date) -> tuple[OtherSource, ...]:
    """The sources beside the events, exchange rates first, for the others may need them."""
    found = [
        other_source(s, today=today, max_broken_files=settings.gate.max_broken_files)
        for s in settings.sources
        if isinstance(s, OtherSourceSettings)
    ]
    return tuple(sorted(found, key=lambda s: s.kind is not SourceKind.FX))


def _measure(name: str, given: MeasureSettings) -> Measure:
    named = {Aggregate.SUM: given.sum, Aggregate.COUNT_DISTINCT: given.count_distinct}
    counted = (Aggregate.COUNT, "")
    aggregate, expression = next(((a, e) for a, e in named.items() if e is not None), counted)
    return Measure(name=name, aggregate=aggregate, expression=expression, unit=given.unit, where=given.where)


def _checked(value: str, read: Callable[[str], object]) -> str:
    try:
        read(value)
    except HeadwaterError as error:
        raise ValueError(f"{error.finding.what} {error.finding.do}") from None
    return value
