"""Rules as the lines of ``headwater.toml`` that declare them, each under its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tomlkit

from headwater.core.contract import RuleSpec

__all__ = ["rules_text"]


def rules_text(rules: Sequence[tuple[RuleSpec, str]]) -> str:
    """``[[rules]]`` entries to copy; what does not print in the evidence becomes a blank."""
    document, entries = tomlkit.document(), tomlkit.aot()
    for spec, why in rules:
        table = tomlkit.table()
        table.add(tomlkit.comment("".join(c if c.isprintable() else " " for c in why)))
        table["rule"] = spec.rule
        if spec.columns:
            table["columns"] = list(spec.columns)
        for key, value in spec.settings.items():
            written: Any = list(value) if isinstance(value, tuple) else value
            table[key] = written
        if spec.max_share is not None:
            table["max_share"] = spec.max_share
        entries.append(table)
    if not rules:
        return "# No rule is proposed.\n"
    document["rules"] = entries
    return tomlkit.dumps(document)
