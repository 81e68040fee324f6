"""The shelf of repairs: one file, one repair."""

from headwater.contracts.repair import Repair
from headwater.core.shelf import Shelf

__all__ = ["REPAIRS"]

REPAIRS = Shelf[Repair](package="headwater.contracts.repairs", kind="repair")
