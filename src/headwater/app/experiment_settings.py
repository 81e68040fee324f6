"""``[[experiments]]`` and a plan file: what an experiment asks, of whom, by which metrics, and when it may stop.

A plan file is a TOML file with one ``[experiment]``; a workspace keeps several under ``[[experiments]]``. Both
are read by the same model, so that a plan means the same everywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from headwater.app.calendar_settings import AppDate
from headwater.app.settings_errors import explained
from headwater.app.settings_place import Location
from headwater.core.errors import ConfigError, HeadwaterError, near_miss
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.span import as_days, day_of
from headwater.effects.day_totals import ACTIVE_DAYS
from headwater.effects.kind import METRIC_KINDS
from headwater.effects.metric import Better, Metric, Part
from headwater.effects.plan import Arm, Plan, StopRule
from headwater.effects.stopping import STOPPING
from headwater.engine.expression import columns_of
from headwater.models.ltv import LTV_MODELS

__all__ = [
    "BEFORE",
    "FIRST_DAY",
    "PREDICTED",
    "ExperimentSettings",
    "MetricSettings",
    "PlanFile",
    "StopSettings",
    "experiment_requirements",
    "plan_of",
    "read_plan",
]

BEFORE = "_before"
FIRST_DAY = "_first_day"
PREDICTED = "predicted_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MetricSettings(_Section):
    """One entry of ``metrics``: ``gmv = { outcome = "revenue", part = "primary" }``."""

    outcome: str
    kind: str = "mean"
    over: str | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    covariates: list[str] | None = None
    days: Annotated[list[Annotated[int, Field(ge=0, le=3650)]], Field(min_length=1, max_length=2)] | None = (
        None
    )
    winsorize: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    part: Literal["primary", "secondary", "guardrail"] = "secondary"
    better: Literal["higher", "lower"] = "higher"
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    unit: str = ""

    @field_validator("kind")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return _known(value, METRIC_KINDS.names(), "kind of metric")

    @model_validator(mode="after")
    def _fits(self) -> MetricSettings:
        if self.margin is not None and self.part != "guardrail":
            raise ValueError(
                "only a guardrail has a margin; write part = 'guardrail', or leave the margin out"
            )
        if self.days is None and self.kind == "retention":
            raise ValueError(
                "a retention needs days = [7], or [7, 13] for any of days 7 to 13, on which a user must be back"
            )
        if self.days is not None and self.kind not in {"retention", "time_to_event"}:
            raise ValueError(f"days is of kind = 'retention' and 'time_to_event', not of '{self.kind}'")
        if self.days is not None and self.days != sorted(self.days):
            raise ValueError(f"days = {self.days} runs backwards; write the earlier day first")
        return self


class StopSettings(_Section):
    """``stop = { method = "group_sequential", looks = [0.25, 0.5, 0.75, 1.0] }``."""

    method: str = "fixed"
    ends_on: AppDate | None = None
    n_users: Annotated[int, Field(ge=2)] | None = None
    looks: list[Annotated[float, Field(gt=0, le=1)]] = []
    spending: Literal["obrien_fleming", "pocock", "power", "hwang_shih_decani"] = "obrien_fleming"

    @field_validator("method")
    @classmethod
    def _on_the_shelf(cls, value: str) -> str:
        return _known(value, STOPPING.names(), "stop rule")

    @model_validator(mode="after")
    def _in_order(self) -> StopSettings:
        if list(self.looks) != sorted(set(self.looks)) or (self.looks and self.looks[-1] != 1):
            raise ValueError("looks are shares of the planned users in rising order, the last 1.0")
        if self.method == "group_sequential" and self.n_users is None:
            raise ValueError(
                "group_sequential spends its error by the share of the planned users; give n_users"
            )
        return self


class ExperimentSettings(_Section):
    """One experiment. ``arms`` maps each arm to its share of users, the control first."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    question: str = ""
    arms: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=2)]
    metrics: Annotated[dict[str, MetricSettings], Field(min_length=1)]
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    correction: Literal["holm", "bonferroni", "bh", "none"] = "holm"
    stop: StopSettings = StopSettings()
    starts_on: AppDate | None = None
    window: str | None = None
    before: str = "28d"
    trigger: str | None = None
    cluster: str | None = None
    strata: list[str] = []
    source: str | None = None
    predicted_by: str | None = None
    registered_on: AppDate | None = None

    @field_validator("predicted_by")
    @classmethod
    def _model(cls, value: str | None) -> str | None:
        return value if value is None else _known(value, LTV_MODELS.names(), "model")

    @field_validator("window", "before")
    @classmethod
    def _days(cls, value: str | None) -> str | None:
        try:
            return value if value is None else f"{as_days(value)}d"
        except HeadwaterError as error:
            raise ValueError(f"{error.finding.what} {error.finding.do}") from None

    @model_validator(mode="after")
    def _decides(self) -> ExperimentSettings:
        if not any(m.part == "primary" for m in self.metrics.values()):
            raise ValueError("no metric is primary, so nothing decides; write part = 'primary' for one")
        return self


class PlanFile(_Section):
    """A plan file."""

    experiment: ExperimentSettings


def plan_of(given: ExperimentSettings) -> Plan:
    """The plan that settings declare."""
    stop = given.stop
    return Plan(
        name=given.name,
        question=given.question,
        arms=tuple(Arm(name=name, share=share) for name, share in given.arms.items()),
        metrics=tuple(_metric(name, m) for name, m in given.metrics.items()),
        alpha=given.alpha,
        power=given.power,
        correction=given.correction,
        stop=StopRule(
            method=stop.method,
            ends_on=None if stop.ends_on is None else day_of(stop.ends_on),
            n_users=stop.n_users,
            looks=tuple(stop.looks),
            spending=stop.spending,
        ),
        window_days=None if given.window is None else as_days(given.window),
        registered_on=None if given.registered_on is None else day_of(given.registered_on),
    )


def experiment_requirements(
    experiments: Sequence[ExperimentSettings],
    *,
    measures: Collection[str],
    targets: Collection[str],
    sources: Sequence[OtherSource],
) -> list[tuple[Location, Callable[[], object]]]:
    """What raises ``ConfigError`` (``config.value``) where an experiment of a workspace could not be read, by its place."""
    exposures = {s.name: s for s in sources if s.kind is SourceKind.EXPOSURES}
    return [
        (
            ("experiments", i),
            partial(
                _require_readable,
                given,
                measures=measures,
                targets=targets,
                exposures=exposures,
                names=[e.name for e in experiments[:i]],
            ),
        )
        for i, given in enumerate(experiments)
    ]


def _require_readable(
    given: ExperimentSettings,
    *,
    measures: Collection[str],
    targets: Collection[str],
    exposures: Mapping[str, OtherSource],
    names: Collection[str],
) -> None:
    if given.name in names:
        raise _wrong(given, "is declared twice", "Give each experiment its own name.")
    if given.window is None and given.stop.ends_on is None:
        raise _wrong(
            given,
            "has neither a window nor an end",
            'Write window = "14d", or stop = { ends_on = 2026-03-01 }.',
        )
    if not exposures:
        raise _wrong(given, "has no log of exposures", 'Add a source of kind = "exposures".')
    if given.source is None and len(exposures) > 1:
        raise _wrong(given, "does not say which source logs it", f'Write source = "{next(iter(exposures))}".')
    if given.source is not None and given.source not in exposures:
        raise _wrong(
            given,
            f"names the source '{given.source}', which logs no exposures",
            near_miss(given.source, exposures),
        )
    _require_columns(given, exposures[given.source or next(iter(exposures))], measures, targets)


def _require_columns(
    given: ExperimentSettings, source: OtherSource, measures: Collection[str], targets: Collection[str]
) -> None:
    """Every column named is a measure, kept by the source, or, of covariates, known before exposure."""
    own = {*measures, ACTIVE_DAYS}
    before = {*(f"{m}{BEFORE}" for m in own), *(f"{PREDICTED}{t}" for t in targets), *source.keep}
    for column in (given.cluster, *given.strata):
        if column is not None and column not in source.keep:
            do = f'Add it to the source: keep = ["{column}"].'
            raise _wrong(given, f"names '{column}', which '{source.name}' does not keep", do)
    for name, metric in given.metrics.items():
        if given.cluster is not None and metric.kind in {"quantile", "time_to_event"}:
            do = "Take a mean, a share, a ratio, retention or a funnel step."
            raise _wrong(
                given,
                f"is assigned by cluster and asks {metric.kind} in {name}, whose error goes by users",
                do,
            )
        if metric.kind == "time_to_event" and given.window is None:
            raise _wrong(
                given, f"asks a time to an event in {name} and has no window", 'Write window = "14d".'
            )
        if metric.kind in {"retention", "time_to_event"} and metric.outcome not in own:
            what = f"asks {metric.kind} of '{metric.outcome}' in {name}, which is no measure"
            raise _wrong(given, what, near_miss(metric.outcome, own))
        for column in _named(metric.outcome, metric.over):
            if column not in own | before:
                raise _wrong(given, f"names '{column}', which is no measure", near_miss(column, own))
        for column in _named(*(metric.covariates or ())):
            if column not in before:
                what = f"names the covariate '{column}', which is not known before exposure"
                raise _wrong(given, what, near_miss(column, before))


def _named(*expressions: str | None) -> list[str]:
    return [c for e in expressions if e for c in columns_of(e)]


def _wrong(given: ExperimentSettings, what: str, do: str) -> ConfigError:
    return ConfigError(
        "config.value", what=f"The experiment '{given.name}' {what}.", why="Nothing was run.", do=do
    )


def read_plan(path: Path) -> Plan:
    """The plan of a file. Raises ``ConfigError`` (``config.*``) that names the line."""
    if not path.is_file():
        raise ConfigError(
            "config.not_found",
            what=f"There is no plan at '{path}'.",
            why="Nothing says what the experiment asks.",
            do="Write one with 'headwater experiment design --plan', or leave --plan out.",
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "config.unreadable",
            what=f"'{path.name}' is not valid TOML: {str(error).rstrip('.')}.",
            why="Nothing was run.",
            do="Correct the line named.",
        ) from error
    try:
        return plan_of(PlanFile.model_validate(raw).experiment)
    except ValidationError as error:
        raise explained(error, PlanFile, text=text, file=path.name) from None


def _metric(name: str, given: MetricSettings) -> Metric:
    return Metric(
        name=name,
        kind=given.kind,
        outcome=given.outcome,
        over=given.over,
        share=given.share,
        covariates=tuple(given.covariates or ()),
        days=None if given.days is None else (given.days[0], given.days[-1]),
        winsorize=given.winsorize,
        part=Part(given.part),
        better=Better(given.better),
        margin=given.margin,
        unit=given.unit,
    )


def _known(value: str, names: tuple[str, ...], kind: str) -> str:
    if value not in names:
        raise ValueError(f"there is no {kind} named '{value}'. {near_miss(value, names)}")
    return value
