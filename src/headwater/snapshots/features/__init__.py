"""The shelf of features: one file, one group."""

from headwater.core.shelf import Shelf
from headwater.snapshots.feature import Feature

__all__ = ["FEATURES"]

FEATURES = Shelf[Feature](package="headwater.snapshots.features", kind="feature")
