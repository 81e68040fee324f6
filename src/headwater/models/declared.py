"""Settings declared for models of the shelf, by name: whether a model takes them, and whose a fit depends on."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.core.errors import UsageError
from headwater.models.ltv import LTV_MODELS
from headwater.models.model import ModelSettings, Setting, model_members
from headwater.models.settings import checked

__all__ = ["checked_settings", "with_members"]


def checked_settings(model: str, given: Mapping[str, object]) -> ModelSettings:
    """A choice of settings as the model of that name takes them.

    Raises ``UsageError``: ``shelf.unknown`` (no such model), ``fit.no_settings``, and those of ``checked``.
    """
    takes = _taken(model)
    if not takes:
        raise _takes_none(model)
    return checked(takes, given, model=model)


def with_members(model: str, by_model: Mapping[str, ModelSettings]) -> dict[str, ModelSettings]:
    """The settings that a fit of a model depends on: its own and, of a blend, its members'."""
    names = (model, *model_members(LTV_MODELS.load(model)))
    return {m: dict(by_model[m]) for m in names if by_model.get(m)}


def _taken(model: str) -> tuple[Setting, ...]:
    return tuple(getattr(LTV_MODELS.load(model), "takes", ()))


def _takes_none(model: str) -> UsageError:
    members = model_members(LTV_MODELS.load(model))
    able = [m for m in members or LTV_MODELS.names() if _taken(m)]
    return UsageError(
        "fit.no_settings",
        what=f"{model} takes no settings{' of its own: its members are fitted with theirs' if members else ''}.",
        why="A setting that is not read would be a wish that is not met.",
        do=f"Set those of {', '.join(able)}." if able else "Take the section out.",
    )
