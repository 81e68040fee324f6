"""A proposal written as ``headwater.toml``: every choice with its reason, what a person must confirm marked."""

from __future__ import annotations

import json
import os
import secrets
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Item, Table

from headwater.app.config import settings_of
from headwater.app.rules_text import repair_table
from headwater.contracts.infer import Proposal, Sure
from headwater.core.contract import Aggregate, Measure, RuleSpec
from headwater.core.errors import UsageError
from headwater.core.finding import Severity

__all__ = ["CONFIRM", "settings_text", "write_settings"]

CONFIRM = "CONFIRM"
_WIDTH = 100
_SURE = {Sure.SURE: "", Sure.LIKELY: " (likely)", Sure.CONFIRM: ""}


def write_settings(proposal: Proposal, target: Path, *, data: Path, force: bool = False) -> str:
    """Write a commented settings file that the run accepts, whole or not at all, and return its text.

    Parameters
    ----------
    target
        The file to write, such as ``headwater.toml``.
    data
        The file or folder looked at; written relative to the target's folder where both are close.
    force
        Replace a file that is already there.

    Raises
    ------
    UsageError
        The file exists (``init.exists``), or its folder does not (``init.no_folder``).
    ConfigError
        The proposal does not make valid settings.
    """
    _require_free(target, force=force)
    text = settings_text(proposal, path=_source_path(data, target))
    settings_of(tomllib.loads(text))
    draft = target.parent / f".headwater-{secrets.token_hex(8)}.toml"
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return text


def settings_text(proposal: Proposal, *, path: str) -> str:
    """The settings file as text; ``path`` is where its source lies, as the file shall say it."""
    document = tomlkit.document()
    _head(document, proposal)
    document["app"] = _app(proposal)
    sources = tomlkit.aot()
    sources.append(_source(proposal, path))
    document["sources"] = sources
    document["measures"] = _measures(proposal)
    if proposal.repairs:
        repairs = tomlkit.aot()
        for index, repair in enumerate(proposal.repairs):
            repairs.append(repair_table(repair, _said(proposal, f"repairs.{index}")))
        document["repairs"] = repairs
    rules = tomlkit.aot()
    for index, rule in enumerate(proposal.rules):
        rules.append(_rule(proposal, index, rule))
    if proposal.rules:
        document["rules"] = rules
    document["gate"] = _gate(proposal)
    if proposal.horizons:
        predictions = tomlkit.aot()
        predictions.append(_prediction(proposal))
        document["predict"] = predictions
    document["deliver"] = _deliver()
    return tomlkit.dumps(document) + (_chapters(proposal) if proposal.horizons else "")


def _require_free(target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise UsageError(
            "init.no_folder",
            what=f"The folder '{target.parent}' does not exist.",
            why="The settings were not written.",
            do="Create the folder, or name another place.",
        )
    if target.is_dir() or (target.exists() and not force):
        raise UsageError(
            "init.exists",
            what=f"'{target}' already exists.",
            why="Writing over it would lose what was decided there.",
            do="Keep it, name another file, or replace it with --force.",
        )


def _source_path(data: Path, target: Path) -> str:
    """Where the data lie, seen from the settings file: relative when inside its folder or beside it, else absolute."""
    home = target.parent.resolve()
    found = data.resolve()
    if found.is_dir() and home.is_relative_to(found):
        found = found / _pattern(found)
    relative = Path(os.path.relpath(found, home))
    return (relative if relative.parts.count("..") <= 1 else found).as_posix()


def _pattern(folder: Path) -> str:
    """The kind of file a folder holds most of, so that settings and reports written into it are not read as data."""
    inside = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.suffix != ".toml"]
    seen = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
    endings = ["".join(p.suffixes[-2:]) if p.suffix in {".gz", ".zst"} else p.suffix for p in seen]
    if not endings:
        return "**/*"
    ending = max(sorted(set(endings)), key=endings.count)
    below = any(len(p.parts) > 1 for p, e in zip(seen, endings, strict=True) if e == ending)
    return f"**/*{ending}" if below else f"*{ending}"


def _head(document: tomlkit.TOMLDocument, proposal: Proposal) -> None:
    looked = (
        ""
        if proposal.n_looked == proposal.n_rows
        else f" Columns were recognized on the first {proposal.n_looked:,} rows."
    )
    _say(
        document,
        f"Proposed by 'headwater init' from {proposal.n_rows:,} rows, {proposal.first_on} to {proposal.last_on} (UTC).{looked}",
    )
    _say(
        document,
        f"Read it once. Lines marked {CONFIRM} are guesses that the data cannot settle; 'headwater run' takes them as they stand.",
    )
    for finding in proposal.findings:
        if finding.severity is not Severity.NOTE:
            document.add(tomlkit.comment(""))
            _say(
                document,
                f"{finding.severity.value.upper()} {finding.code}: {finding.what} {finding.why} {finding.do}",
            )
    document.add(tomlkit.nl())


def _app(proposal: Proposal) -> Table:
    app = tomlkit.table()
    app["name"] = proposal.name
    _reason(
        app,
        proposal,
        "app.time_zone",
        also="It cuts the days: write your own, such as Europe/London or Asia/Shanghai.",
    )
    app["time_zone"] = proposal.time_zone
    _reason(app, proposal, "app.currency")
    app["currency"] = proposal.currency
    if proposal.left_edge_days != 28:
        _say(app, "Users first seen so soon after the log begins may not be new.")
        app["left_edge"] = f"{proposal.left_edge_days}d"
    return app


def _source(proposal: Proposal, path: str) -> Table:
    source, table = proposal.source, tomlkit.table()
    table["kind"] = "events"
    table["path"] = path
    for key in ("user", "at", "at_format", "time_zone", "event", "event_is", "known_at", "delimiter"):
        value = getattr(source, key)
        if value is not None:
            _reason(table, proposal, f"sources.{key}")
            table[key] = value
    if source.encoding != "utf-8":
        _reason(table, proposal, "sources.encoding")
        table["encoding"] = source.encoding
    if source.keep:
        _reason(table, proposal, "sources.keep")
        table["keep"] = list(source.keep)
    if source.types:
        _reason(table, proposal, "sources.types")
        table["types"] = _inline({column: kind.value for column, kind in source.types.items()})
    return table


def _measures(proposal: Proposal) -> Table:
    table = tomlkit.table()
    _say(table, "Named once; predictions, reports and exports all use these names.")
    for measure in proposal.measures:
        _reason(table, proposal, f"measures.{measure.name}")
        table[measure.name] = _measure(measure)
    return table


def _measure(measure: Measure) -> Item:
    how: Any = True if measure.aggregate is Aggregate.COUNT else measure.expression
    optional = {"where": measure.where, "unit": measure.unit}
    return _inline({measure.aggregate.value: how} | {k: v for k, v in optional.items() if v})


def _rule(proposal: Proposal, index: int, rule: RuleSpec) -> Table:
    table = tomlkit.table()
    if index == 0:
        _say(
            table,
            "Rows that break a rule are set aside with the reason, never lost; above max_share the load fails.",
        )
    _reason(table, proposal, f"rules.{index}")
    table["rule"] = rule.rule
    if rule.columns:
        table["columns"] = list(rule.columns)
    for key, value in rule.settings.items():
        table[key] = value
    if rule.max_share is not None:
        table["max_share"] = rule.max_share
    return table


def _gate(proposal: Proposal) -> Table:
    table = tomlkit.table()
    _say(table, "All rules together: a bit above what this log needs.")
    table["max_share"] = proposal.max_share
    return table


def _prediction(proposal: Proposal) -> Table:
    table = tomlkit.table()
    _reason(table, proposal, "predict")
    table["target"] = proposal.target
    table["horizons"] = list(proposal.horizons)
    table["cutoffs"] = _inline({"every": proposal.every, "origins": proposal.origins})
    if proposal.occasions is not None:
        table["occasions"] = proposal.occasions
    return table


def _deliver() -> Table:
    table = tomlkit.table()
    table["formats"] = ["html", "excel"]
    return table


def _chapters(proposal: Proposal) -> str:
    """Further chapters of the report, each a comment that becomes a setting without its mark."""
    texts = [c for c in proposal.source.keep if c not in proposal.source.types]
    curves = [f"# [curves]  # value by cohort and age, drawn by attributes too\n# by = {json.dumps(texts[:1])}\n"]  # fmt: skip
    lines = [
        "\n# Further chapters of the report: take the marks away for those wanted (docs/configuration.md).\n",
        *(curves if texts else []),
        '# [value]  # what purchases to come are worth today\n# yearly_rate = 0.1\n# horizon = "365d"\n',
    ]
    return "".join(lines)


def _inline(values: dict[str, Any]) -> Item:
    """``{ sum = "price" }``, with room inside the braces."""
    table = tomlkit.inline_table()
    table.update({key: _unescaped(value) for key, value in values.items()})
    return tomlkit.value(f"{{ {table.as_string()[1:-1]} }}")


def _unescaped(value: Any) -> Any:
    """Text with quotation marks in single quotes, so that ``event == "purchase"`` stays readable."""
    literal = isinstance(value, str) and '"' in value and "'" not in value and value.isprintable()
    return tomlkit.string(value, literal=True) if literal else value


def _reason(table: Table, proposal: Proposal, setting: str, *, also: str = "") -> None:
    said = _said(proposal, setting)
    if said:
        _say(table, f"{said}{' ' if also else ''}{also}")


def _said(proposal: Proposal, setting: str) -> str:
    """The reason of a choice, marked where a person must confirm it; nothing where it was not made."""
    choice = proposal.choice(setting)
    if choice is None:
        return ""
    mark = f"{CONFIRM}: " if choice.sure is Sure.CONFIRM else ""
    return f"{mark}{choice.reason}{_SURE[choice.sure]}"


def _say(table: Table | tomlkit.TOMLDocument, text: str) -> None:
    """Add a comment; a column name cannot end it, for what does not print becomes a blank."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    for line in textwrap.wrap(plain, _WIDTH, break_long_words=False, break_on_hyphens=False):
        table.add(tomlkit.comment(line))
