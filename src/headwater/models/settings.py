"""Settings of models: what each takes, within which bounds, and whether a choice of them can be met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.core.errors import UsageError, near_miss
from headwater.core.ledger import Snapshot
from headwater.learners.tuning import SettingValue
from headwater.models.feature_groups import feature_groups, shelf_columns
from headwater.models.model import ModelSettings, Setting
from headwater.snapshots.feature import FeatureSpec

__all__ = ["Learned", "checked", "learned_columns", "require_columns", "require_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The columns a model learns from: numbers, texts, and of each number whether forecasts may only rise (1) or fall (-1) in it."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    slopes: tuple[int, ...]


def checked(takes: Sequence[Setting], given: Mapping[str, object], *, model: str) -> ModelSettings:
    """A choice among settings. Raises ``UsageError``: ``fit.unknown_setting``, ``fit.wrong_setting``."""
    known = {s.name: s for s in takes}
    return {key: _checked(model, known, key, value) for key, value in given.items()}


def require_columns(by_model: Mapping[str, ModelSettings], snapshot: Snapshot) -> None:
    """Raise ``UsageError`` (``fit.unknown_column``, ``fit.unknown_setting``) where settings name what a snapshot lacks."""
    for settings in by_model.values():
        learned_columns(snapshot, settings)


def require_names(settings: ModelSettings, spec: FeatureSpec, *, texts: Sequence[str]) -> None:
    """Raise what ``require_columns`` does, before there is a snapshot: of these measures and windows, with these attributes."""
    made = {n: columns for n, columns in shelf_columns(spec).items() if columns}
    numbers = [c for columns in made.values() for c in columns]
    _learned(settings, groups=made | {"attributes": tuple(texts)}, numbers=numbers, texts=texts)


def learned_columns(snapshot: Snapshot, settings: ModelSettings) -> Learned:
    """What a model with these settings learns from. Raises ``UsageError`` (``fit.unknown_column``, ``fit.unknown_setting``)."""
    return _learned(
        settings,
        groups=feature_groups(snapshot) if _names(settings, "without") else {},
        numbers=[c.name for c in snapshot.features],
        texts=[c.name for c in snapshot.attributes],
    )


def _learned(
    settings: ModelSettings,
    *,
    groups: Mapping[str, Sequence[str]],
    numbers: Sequence[str],
    texts: Sequence[str],
) -> Learned:
    without = _names(settings, "without")
    for group in without:
        if group not in groups:
            raise UsageError(
                "fit.unknown_setting",
                what=f"'without' names '{group}', which is no group of features of this snapshot.",
                why="A wish that is ignored would look as if it had been met.",
                do=near_miss(group, groups),
            )
    left_out = {c for g in without for c in groups[g]}
    seen, read = (tuple(c for c in columns if c not in left_out) for columns in (numbers, texts))
    if not seen and not read:
        raise UsageError(
            "fit.wrong_setting",
            what=f"'without' leaves out all {len(left_out)} columns of the snapshot.",
            why="A model needs something to learn from.",
            do="Take a group out of 'without'.",
        )
    return Learned(numbers=seen, texts=read, slopes=_slopes(settings, seen, read))


def _slopes(settings: ModelSettings, numbers: tuple[str, ...], texts: tuple[str, ...]) -> tuple[int, ...]:
    signs = {name: sign for key, sign in (("rising", 1), ("falling", -1)) for name in _names(settings, key)}
    for name in signs:
        if name not in numbers:
            raise UsageError(
                "fit.unknown_column",
                what=f"Forecasts are to rise or fall with '{name}', which is {'a column of text' if name in texts else 'no column that the model learns from'}.",
                why="Only a number goes up and down; a wish that is ignored would look as if it had been met.",
                do=near_miss(name, numbers),
            )
    return tuple(signs.get(name, 0) for name in numbers)


def _checked(model: str, known: Mapping[str, Setting], key: str, value: object) -> SettingValue:
    if key not in known:
        raise UsageError(
            "fit.unknown_setting",
            what=f"'{key}' is no setting of {model}.",
            why="A setting that is ignored would look as if it had been tried.",
            do=near_miss(key, known),
        )
    setting = known[key]
    made = setting.read(value)
    if made is None:
        raise UsageError(
            "fit.wrong_setting",
            what=f"'{key}' of {model} is {value!r}; it must be {setting.wanted}.",
            why="Nothing was run.",
            do=f"{setting.about} The default is {_told(setting.default)}.",
        )
    return made


def _told(value: SettingValue) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"


def _names(settings: ModelSettings, key: str) -> tuple[str, ...]:
    value = settings.get(key, ())
    return value if isinstance(value, tuple) else ()
