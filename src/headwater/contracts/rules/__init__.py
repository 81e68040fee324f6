"""The shelf of data rules: one file, one rule."""

from headwater.contracts.rule import Rule
from headwater.core.shelf import Shelf

__all__ = ["RULES"]

RULES = Shelf[Rule](package="headwater.contracts.rules", kind="rule")
