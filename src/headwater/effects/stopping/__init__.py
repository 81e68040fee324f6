"""The shelf of stop rules: one file, one public class, one page under ``docs/methods``."""

from __future__ import annotations

from headwater.core.shelf import Shelf
from headwater.effects.reading import Stopping

__all__ = ["STOPPING"]

STOPPING = Shelf[Stopping](package="headwater.effects.stopping", kind="stop rule")
