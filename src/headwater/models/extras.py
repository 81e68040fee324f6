"""Whether what models need is installed, asked before anything is read or fitted."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from headwater.core.errors import UsageError
from headwater.models.ltv import LTV_MODELS

__all__ = ["require_extras"]


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
