"""Headwater: from a raw event log to a decision that can be defended."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
