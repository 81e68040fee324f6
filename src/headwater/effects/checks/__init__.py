"""The shelf of trust checks: one file, one public class, one page under ``docs/checks``."""

from __future__ import annotations

from headwater.core.shelf import Shelf
from headwater.effects.check import Check

__all__ = ["CHECKS"]

CHECKS = Shelf[Check](package="headwater.effects.checks", kind="check")
