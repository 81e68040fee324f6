"""Trim: no blanks around a value."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.repair import refuse_repair_settings
from headwater.core.contract import RepairSpec
from headwater.engine.sql import Sql, shim

__all__ = ["Trim"]


class Trim:
    """Blanks before and after the value go: spaces, tabs, line ends, no-break and ideographic spaces."""

    about: ClassVar[str] = "blanks around the value are taken off"

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The value without blanks around it."""
        refuse_repair_settings(spec, set())
        return shim("trimmed", value)
