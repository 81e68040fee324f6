"""Case fold: one spelling for capital and small letters."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.repair import refuse_repair_settings, repair_refused
from headwater.core.contract import RepairSpec
from headwater.engine.sql import Sql, shim

__all__ = ["CaseFold"]


class CaseFold:
    """The value in small letters, or with ``to = "upper"`` in capitals."""

    about: ClassVar[str] = "letters become small, or capital"

    def compile(self, spec: RepairSpec, value: Sql) -> Sql:
        """The value in one case."""
        refuse_repair_settings(spec, {"to"})
        match spec.settings.get("to", "lower"):
            case "lower":
                return shim("lowered", value)
            case "upper":
                return shim("uppered", value)
            case other:
                raise repair_refused(spec, f"was given to = {other!r}", 'Write to = "lower" or to = "upper".')
