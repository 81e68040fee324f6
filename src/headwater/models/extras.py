"""Whether models can do what is asked of them, and what they need is installed: asked before anything is read or fitted."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from headwater.core.errors import UsageError
from headwater.models.ltv import LTV_MODELS

__all__ = ["require_any_stretch", "require_extras"]


def require_any_stretch(model: str) -> None:
    """Raise ``UsageError`` (``value.no_process``, ``shelf.unknown``) where no fit of this model can be valued."""
    if not _any_stretch(model):
        able = ", ".join(m for m in LTV_MODELS.names() if _any_stretch(m))
        raise UsageError(
            "value.no_process",
            what=f"{model} cannot say how many purchases come over any stretch of the calendar.",
            why="A discounted value needs to know when purchases come, not only how many.",
            do=f"Choose one of {able}.",
        )


def _any_stretch(model: str) -> bool:
    return bool(getattr(LTV_MODELS.load(model), "any_stretch", False))


def require_extras(models: Iterable[str]) -> None:
    """Raise ``UsageError`` (``extra.missing``) where a model needs a library that is not installed."""
    for model in models:
        needs: tuple[str, str] | None = getattr(LTV_MODELS.load(model), "needs", None)
        if needs is not None and find_spec(needs[0]) is None:
            library, extra = needs
            raise UsageError(
                "extra.missing",
                what=f"{model} needs '{library}', which is not installed.",
                why="It would be refused after all else is done; nothing was run.",
                do=f"pip install 'headwater[{extra}]', or leave {model} out of 'models'.",
            )
