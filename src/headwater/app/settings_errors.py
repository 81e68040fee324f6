"""What is wrong with ``headwater.toml``, in words: the place, what stands there, what could."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from headwater.app.answer_settings import require_attributes
from headwater.app.model_settings import model_requirements
from headwater.app.setting_words import ended, misfit
from headwater.app.settings_place import Location, place_of
from headwater.app.source_settings import OtherSourceSettings, SourceSettings
from headwater.contracts.audit import require_alarms
from headwater.contracts.kinds import roles_of
from headwater.contracts.unseen import require_repair, require_rule
from headwater.core.audit import AlarmSpec
from headwater.core.contract import Contract
from headwater.core.errors import ConfigError, HeadwaterError, near_miss
from headwater.core.sources import OtherSource, SourceKind

__all__ = ["explained", "placed", "require_sense"]


def explained(error: ValidationError, model: type[BaseModel], *, text: str, file: str) -> ConfigError:
    """The first thing that is wrong as an error a person can act on; ``text`` is what stands in ``file``, where there is one."""
    first, *others = sorted(error.errors(), key=_rank)
    where = _as_written(first["loc"])
    more = f" ({len(others)} more problem{'s' if len(others) > 1 else ''} after it.)" if others else ""
    return placed(_one(first, where, model, more), where, text, file)


def require_sense(
    contract: Contract,
    others: Mapping[int, OtherSource],
    alarms: Sequence[AlarmSpec],
    models: Mapping[str, Mapping[str, Any]],
    *,
    by: Sequence[str] = (),
    experiments: Sequence[tuple[Location, Callable[[], object]]] = (),
    text: str,
    file: str,
) -> None:
    """Raise ``ConfigError`` where a rule, repair, source, alarm, model, curve or experiment is set to what no data could meet.

    ``others`` are the sources beside the events by their number under ``[[sources]]``; ``by`` is that of ``[curves]``.
    """
    told = [
        c for o in others.values() if o.kind is SourceKind.USERS and "changed_at" in o.columns for c in o.keep
    ]
    drawn = partial(require_attributes, by, list(dict.fromkeys([*told, *contract.source.keep])))
    required = [
        *_requirements(contract, others, alarms),
        *model_requirements(models),
        (("curves", "by"), drawn),
        *experiments,
    ]
    for location, require in required:
        try:
            require()
        except HeadwaterError as error:
            raise placed(error, location, text, file) from None


def _requirements(
    contract: Contract, others: Mapping[int, OtherSource], alarms: Sequence[AlarmSpec]
) -> list[tuple[Location, Callable[[], object]]]:
    source = contract.source
    ruled = partial(require_rule, app=contract.app)
    return [
        *((("repairs", i), partial(require_repair, spec)) for i, spec in enumerate(contract.repairs)),
        *(
            (("rules", i), partial(ruled, spec, types=source.types, is_known=source.known_at is not None))
            for i, spec in enumerate(contract.rules)
        ),
        *((("sources", k), partial(roles_of, other)) for k, other in others.items()),
        *(
            (("sources", k, "rules", i), partial(ruled, spec, types=other.types, is_known=False))
            for k, other in others.items()
            for i, spec in enumerate(other.rules)
        ),
        *((("alarms", i), partial(require_alarms, alarms[: i + 1])) for i in range(len(alarms))),
    ]


def placed(error: HeadwaterError, location: Location, text: str, file: str) -> ConfigError:
    """The same error with its line and table."""
    found, place = error.finding, place_of(text, location)
    what = f"{file}, {place}: {found.what}" if place else found.what
    return ConfigError(found.code, what=what, why=found.why, do=found.do)


def _one(first: Any, location: Location, model: type[BaseModel], more: str) -> ConfigError:
    where = ".".join(map(str, location))
    match first["type"]:
        case "extra_forbidden":
            return ConfigError(
                "config.unknown_key",
                what=f"'{where}' is not a setting.{more}",
                why="A key that is not read would be a wish that is not met.",
                do=near_miss(str(first["loc"][-1]), _keys_beside(first["loc"], model)),
            )
        case "missing":
            return ConfigError(
                "config.missing_key",
                what=f"The setting '{where}' is missing.{more}",
                why="There is no safe default for it.",
                do="Add it; 'headwater init DATA' writes a complete example.",
            )
        case _:
            wrong = f"The setting '{where}' is wrong" if where else "The settings do not fit together"
            what, do = misfit(first)
            return ConfigError("config.value", what=f"{wrong}: {ended(what)}{more}", why="Nothing was run.", do=do)  # fmt: skip


def _rank(problem: Any) -> int:
    """A kind of source that does not exist comes before keys it cannot have, and those before what is missing for them."""
    if problem["type"] == "literal_error" and problem["loc"][-1] == "kind":
        return 0
    return 1 if problem["type"] == "extra_forbidden" else 2


def _as_written(location: Location) -> Location:
    """A place in the file, without the kind that pydantic puts after the number of a source."""
    in_source = location[:1] == ("sources",) and location[2:3] in {("events",), ("other",)}
    return (*location[:2], *location[3:]) if in_source else location


def _keys_beside(location: Location, model: Any) -> set[str]:
    """The keys that may stand where an unknown one stood."""
    if location[:1] == ("sources",) and len(location) == 4:
        return set((SourceSettings if location[2] == "events" else OtherSourceSettings).model_fields)
    for part in location[:-1]:
        field = model.model_fields.get(part)
        model = _section_within(field.annotation) if field else model
        if model is None:
            return set()
    return set(model.model_fields)


def _section_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inside in getattr(annotation, "__args__", ()):
        found = _section_within(inside)
        if found is not None:
            return found
    return None
