"""``[settings.MODEL]`` held against the ledger and its snapshots: a name that is not there is told with its line."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.app.config import Settings
from headwater.core.errors import UsageError
from headwater.core.ledger import Ledger, Snapshot
from headwater.core.span import as_days
from headwater.models.model import ModelSettings
from headwater.models.settings import require_columns, require_names
from headwater.snapshots.attributes import first_attributes
from headwater.snapshots.feature import FeatureSpec

__all__ = ["require_in_ledger", "require_in_snapshot"]


def require_in_ledger(settings: Settings, by_model: Mapping[str, ModelSettings], ledger: Ledger) -> None:
    """Raise ``ConfigError`` (``fit.unknown_column``, ``fit.unknown_setting``) where settings name what no snapshot of a ledger will have."""
    spec = FeatureSpec(
        measures=ledger.measures, windows=tuple(sorted({as_days(w) for w in settings.features.windows}))
    )
    for model, given in by_model.items():
        for keys in (("without",), ("without", "rising"), ("without", "falling")):
            named = {k: given[k] for k in keys if k in given}
            try:
                require_names(named, spec, texts=first_attributes(ledger))
            except UsageError as error:
                raise settings.placed(error, "settings", model, keys[-1]) from None


def require_in_snapshot(
    settings: Settings, by_model: Mapping[str, ModelSettings], snapshot: Snapshot
) -> None:
    """Raise ``ConfigError`` where settings name what a snapshot lacks."""
    for model, given in by_model.items():
        try:
            require_columns({model: given}, snapshot)
        except UsageError as error:
            raise settings.placed(error, "settings", model) from None
