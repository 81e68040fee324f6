"""The shelf of long-term-value models: one file, one model."""

from headwater.core.shelf import Shelf
from headwater.models.model import Model

__all__ = ["LTV_MODELS"]

LTV_MODELS = Shelf[Model](package="headwater.models.ltv", kind="model")
