"""Which columns each group of features on the shelf makes, so that a group can be left out and tried again."""

from __future__ import annotations

import re

from headwater.core.ledger import Snapshot
from headwater.snapshots.feature import FeatureSpec
from headwater.snapshots.features import FEATURES

__all__ = ["feature_groups", "shelf_columns"]


def feature_groups(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """The snapshot's feature columns by the group that makes them; text columns are the group ``attributes``."""
    present = {c.name for c in snapshot.features}
    windows = sorted({int(d) for n in present for d in re.findall(r"_last_(\d+)d$", n)})
    spec = FeatureSpec(measures=snapshot.measures, windows=tuple(windows))
    groups = {n: tuple(c for c in columns if c in present) for n, columns in shelf_columns(spec).items()}
    groups["attributes"] = tuple(c.name for c in snapshot.attributes)
    return {n: columns for n, columns in groups.items() if columns}


def shelf_columns(spec: FeatureSpec) -> dict[str, tuple[str, ...]]:
    """The columns that each group on the shelf makes of these measures and windows."""
    return {n: tuple(c.column.name for c in FEATURES.load(n)().columns(spec)) for n in FEATURES.names()}
