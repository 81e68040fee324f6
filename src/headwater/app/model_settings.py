"""``[settings.MODEL]``: the settings of each model, read against what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from headwater.models.declared import checked_settings
from headwater.models.model import ModelSettings

__all__ = ["model_requirements", "model_settings_of"]


def model_settings_of(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, ModelSettings]:
    """The settings of each model. Raises ``UsageError`` where a model does not take them."""
    return {model: checked_settings(model, given) for model, given in declared.items()}


def model_requirements(
    declared: Mapping[str, Mapping[str, Any]],
) -> list[tuple[tuple[str, ...], Callable[[], object]]]:
    """What must hold of ``[settings]``, each with its place in the file."""
    return [
        *((("settings", m), partial(checked_settings, m, {})) for m in declared),
        *(
            (("settings", m, key), partial(checked_settings, m, {key: value}))
            for m, given in declared.items()
            for key, value in given.items()
        ),
    ]
