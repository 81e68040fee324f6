"""``[[sources]]`` and ``[identity]``: where the data are, what their columns mean, who a device belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from headwater.app.rule_settings import RuleSettings, rule_spec
from headwater.contracts.kinds import KINDS
from headwater.core.contract import Source
from headwater.core.errors import near_miss
from headwater.core.sources import OtherSource, SourceKind
from headwater.core.table import Kind

__all__ = [
    "AnySource",
    "IdentitySettings",
    "OtherSourceSettings",
    "SourceSettings",
    "other_source",
    "source_of",
]

_TYPES = Literal["text", "integer", "number", "money", "boolean", "timestamp"]
_PARTS = tuple(sorted({r.key for kind in KINDS.values() for r in kind.roles}))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SourceSettings(_Section):
    """``[[sources]]`` of events: exactly one."""

    kind: Literal["events"] = "events"
    path: Annotated[str, Field(min_length=1)]
    table: str | None = None
    user: str
    at: str
    event: str | None = None
    event_is: str | None = None
    known_at: str | None = None
    keep: list[str] = []
    types: dict[str, _TYPES] = {}
    currency: str | None = None
    currency_is: str | None = None
    at_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    @model_validator(mode="after")
    def _one_event(self) -> SourceSettings:
        if (self.event is None) == (self.event_is is None):
            raise ValueError('give either event (a column) or event_is (one constant, such as "purchase")')
        if self.currency is not None and self.currency_is is not None:
            raise ValueError('give either currency (a column) or currency_is (one constant, such as "USD")')
        return self


class OtherSourceSettings(_Section):
    """``[[sources]]`` of another kind; which parts it needs and may have depends on the kind."""

    kind: Literal["users", "exposures", "costs", "impressions", "subscriptions", "fx"]
    path: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None
    table: str | None = None
    user: str | None = None
    at: str | None = None
    known_at: str | None = None
    changed_at: str | None = None
    experiment: str | None = None
    arm: str | None = None
    day: str | None = None
    channel: str | None = None
    campaign: str | None = None
    amount: str | None = None
    currency: str | None = None
    currency_is: str | None = None
    rate: str | None = None
    n: str | None = None
    plan: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    period: str | None = None
    keep: list[str] = []
    types: dict[str, _TYPES] = {}
    rules: list[RuleSettings] = []
    max_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    at_format: str | None = None
    time_zone: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"

    @model_validator(mode="after")
    def _parts_of_its_kind(self) -> OtherSourceSettings:
        roles = {r.key: r for r in KINDS[SourceKind(self.kind)].roles}
        for key in self.parts():
            if key not in roles:
                raise ValueError(
                    f"a source of {self.kind} has no '{key}'. {near_miss(key, roles).rstrip('.')}"
                )
        missing = [r.key for r in roles.values() if r.required and getattr(self, r.key) is None]
        if missing:
            raise ValueError(f"a source of {self.kind} needs {', '.join(missing)} (the columns that say so)")
        if self.currency is not None and self.currency_is is not None:
            raise ValueError('give either currency (a column) or currency_is (one constant, such as "USD")')
        return self

    def parts(self) -> dict[str, str]:
        """The parts that were given, with their columns."""
        return {key: getattr(self, key) for key in _PARTS if getattr(self, key) is not None}


class IdentitySettings(_Section):
    """``[identity]``."""

    device: str
    login: str


def _kind(given: Any) -> str:
    kind = given.get("kind", "events") if isinstance(given, Mapping) else getattr(given, "kind", "events")
    return "events" if kind == "events" else "other"


AnySource = Annotated[
    Annotated[SourceSettings, Tag("events")] | Annotated[OtherSourceSettings, Tag("other")],
    Discriminator(_kind),
]


def source_of(given: SourceSettings) -> Source:
    """The source of events as the contract holds it."""
    return Source(
        path=given.path,
        table=given.table,
        user=given.user,
        at=given.at,
        event=given.event,
        event_is=given.event_is,
        known_at=given.known_at,
        keep=tuple(given.keep),
        types={k: Kind(v) for k, v in given.types.items()},
        currency=given.currency,
        currency_is=given.currency_is,
        at_format=given.at_format,
        time_zone=given.time_zone,
        delimiter=given.delimiter,
        encoding=given.encoding,
    )


def other_source(given: OtherSourceSettings, *, today: date, max_broken_files: float) -> OtherSource:
    """A source beside the events as its gate reads it."""
    return OtherSource(
        kind=SourceKind(given.kind),
        name=given.name or given.kind,
        path=given.path,
        table=given.table,
        columns=given.parts(),
        keep=tuple(given.keep),
        types={k: Kind(v) for k, v in given.types.items()},
        currency_is=given.currency_is,
        at_format=given.at_format,
        time_zone=given.time_zone,
        delimiter=given.delimiter,
        encoding=given.encoding,
        rules=tuple(rule_spec(r, today=today) for r in given.rules),
        max_share=given.max_share,
        max_broken_files=max_broken_files,
    )
