"""Repairs and rules as the lines of ``headwater.toml`` that declare them, each under its evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit.items import Table

from headwater.contracts.infer_rules import Suggested
from headwater.core.contract import RepairSpec, RuleSpec

__all__ = ["repair_table", "rules_text"]

_WIDTH = 100


def rules_text(found: Suggested) -> str:
    """``[[repairs]]`` and ``[[rules]]`` to copy, then what all do together and what was not proposed, as comments.

    A column of the time a row became known is a comment above them, for it belongs under ``[[sources]]``.
    """
    document = tomlkit.document()
    for line in (*_set_aside(found), *_known(found)):
        document.add(tomlkit.comment(line))
    if found.repairs:
        document["repairs"] = _entries([repair_table(r, why) for r, why in found.repairs])
    if found.rules:
        document["rules"] = _entries([_rule_table(r, why) for r, why in found.rules])
    else:
        document.add(tomlkit.comment("No rule is proposed."))
    return tomlkit.dumps(document) + "\n" + "\n".join(f"# {line}" for line in _said(found)) + "\n"


def repair_table(spec: RepairSpec, why: str) -> Table:
    """One ``[[repairs]]`` entry under its reason."""
    table = _commented(why)
    table["repair"] = spec.repair
    table["columns"] = list(spec.columns)
    for key, value in spec.settings.items():
        table[key] = value
    if spec.aliases:
        listed = tomlkit.inline_table()
        listed.update({meant: list(spellings) for meant, spellings in spec.aliases.items()})
        table["values"] = listed
    return table


def _set_aside(found: Suggested) -> list[str]:
    return [line for f in found.findings for line in textwrap.wrap(_printable(f"{f.what} {f.why}"), _WIDTH)]


def _known(found: Suggested) -> list[str]:
    if found.known_at is None:
        return []
    column, why = found.known_at
    written = tomlkit.dumps({"known_at": column}).strip()
    return [*textwrap.wrap(_printable(why), _WIDTH), _printable(f"Under [[sources]]: {written}")]


def _said(found: Suggested) -> list[str]:
    share = found.n_broken / found.n_rows if found.n_broken and found.n_rows else 0.0
    together = (
        []
        if found.n_broken is None
        else [
            f"All of these and the types together set aside {found.n_broken:,} of {found.n_rows:,} rows"
            + (f" ({share:.2%}): [gate] max_share must be above that." if share else ".")
        ]
    )
    lines = [*together, *(f"Not proposed, too many rows break it: {d}" for d in found.dropped)]
    return [part for line in lines for part in textwrap.wrap(_printable(line), _WIDTH)]


def _rule_table(spec: RuleSpec, why: str) -> Table:
    table = _commented(why)
    table["rule"] = spec.rule
    if spec.columns:
        table["columns"] = list(spec.columns)
    for key, value in spec.settings.items():
        written: Any = list(value) if isinstance(value, tuple) else value
        table[key] = written
    if spec.max_share is not None:
        table["max_share"] = spec.max_share
    return table


def _commented(why: str) -> Table:
    table = tomlkit.table()
    for line in textwrap.wrap(_printable(why), _WIDTH, break_long_words=False, break_on_hyphens=False):
        table.add(tomlkit.comment(line))
    return table


def _entries(tables: Sequence[Table]) -> Any:
    entries = tomlkit.aot()
    for table in tables:
        entries.append(table)
    return entries


def _printable(text: str) -> str:
    """What does not print becomes a blank, so that no value can end a comment."""
    return "".join(c if c.isprintable() else " " for c in text)
