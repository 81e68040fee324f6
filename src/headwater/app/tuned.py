"""Settings of a model searched on past origins, before those that the backtest looks at where the log is long enough."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

from headwater.app.config import settings_of
from headwater.app.model_settings import model_settings_of
from headwater.app.plan import Job, learning_cutoffs, origins_of, rungs_of
from headwater.app.store import write_whole
from headwater.app.study import Study, ledger_key, seeded
from headwater.core.block import Block, Callout, Code, Prose
from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Ledger
from headwater.core.show import Shown
from headwater.core.span import date_of
from headwater.learners.boosting import predicting_with
from headwater.learners.tuning import search_library
from headwater.models.model import ModelSettings
from headwater.models.tuning import Tuning, dials_of, tune

__all__ = ["Tuned", "lines_of", "tune_model", "write_tuned"]

_ORIGINS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned(Shown):
    """A search, the day from which it was made, and whether the backtest looks at the same windows."""

    tuning: Tuning
    standing_at: int
    seen_by_backtest: bool

    @property
    def lines(self) -> str:
        """The section of ``headwater.toml`` that says so; empty where what stands stays."""
        found = self.tuning.found.settings
        return lines_of(self.tuning.model, self.tuning.settings, remark=self.remark) if found else ""

    @property
    def remark(self) -> str:
        """What is to stand above the settings: that the backtest is no fair test of them, where it is none."""
        return (
            f"found on the windows of the backtest, {date_of(self.standing_at)}"
            if self.seen_by_backtest
            else ""
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a reader of a later backtest must know."""
        if not self.seen_by_backtest:
            return ()
        return (
            Finding(
                code="tune.seen_by_backtest",
                severity=Severity.WARN,
                what=f"The log is too short to tune {self.tuning.model} before the windows that the backtest looks at: the search saw them, up to {date_of(self.standing_at)}.",
                why="A backtest with settings that were found on its own windows flatters them a little.",
                do="Judge them by windows that end later, or tune again when the log is longer.",
            ),
        )

    def blocks(self) -> tuple[Block, ...]:
        """The decision, every trial, how the backtest is to be read, and the lines to paste."""
        told = f"Nothing after {date_of(self.standing_at)} was seen, where the windows of the backtest begin: it stays a fair test."
        fair = (*(Callout(finding=f) for f in self.findings),) or (Prose(text=told),)
        lines = (Code(title="Lines for headwater.toml", text=self.lines, language="toml"),)
        return (*self.tuning.blocks(), *fair, *(lines if self.lines else ()))


def tune_model(
    study: Study, model: str, job: Job, *, seconds: float | None = None, trials: int | None = None
) -> Tuned:
    """Search the settings of a model for a job; the same search is read back, not made again.

    It stands at the earliest origin of the backtest, where the log before it is long enough, otherwise at the end of
    the log. Raises ``UsageError`` (``tune.no_settings``, ``extra.missing``), ``DataError`` (``tune.no_past``).
    """
    dials_of(model)
    search_library()
    ledger = study.ledger()
    earliest = _earliest_origin(ledger, job)
    inputs = {
        "model": model,
        "task": job.task,
        "every": job.every_days,
        "ledger": ledger_key(ledger),
        "view": study.view(),
        "origins": job.n_origins,
        "settings": study.settings_for((model,)),
        "calendar": study.calendar,
        "seed": study.seed,
        "seconds": seconds,
        "trials": trials,
    }
    return study.step(
        "tune",
        inputs,
        Tuned,
        lambda _: _tuned(study, model, job, earliest=earliest, seconds=seconds, trials=trials),
        title=f"tuning {model} ({job.name})",
    )


def lines_of(model: str, settings: ModelSettings, *, remark: str = "") -> str:
    """The section of a model's settings, with a ``remark`` as a comment above them.

    >>> print(lines_of("lightgbm_hurdle", {"leaves": 7, "without": ("calendar",)}), end="")
    [settings.lightgbm_hurdle]
    leaves = 7
    without = ["calendar"]
    """
    document = tomlkit.document()
    _put(document, model, settings)
    return _remarked(tomlkit.dumps(document), model, remark)


def write_tuned(path: Path, model: str, settings: ModelSettings, *, remark: str = "") -> None:
    """Put a model's settings into a settings file, whole or not at all; all else in it stays as it is written.

    A ``remark`` stands above them as a comment. The file keeps its mode, its line ends and the links to it.

    Raises ``ConfigError`` where the file would not be one.
    """
    path = path.resolve()
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    document = tomlkit.parse(before)
    _put(document, model, settings)
    text = _remarked(tomlkit.dumps(document), model, remark)
    if before.count("\r\n") == before.count("\n") > 0:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    model_settings_of(settings_of(document.unwrap(), text=text, file=path.name).settings)
    write_whole(path, text)


def _put(document: tomlkit.TOMLDocument, model: str, settings: ModelSettings) -> None:
    if "settings" not in document:
        document.add("settings", tomlkit.table(is_super_table=True))
    sections: Any = document["settings"]
    if model not in sections:
        sections[model] = tomlkit.inline_table() if isinstance(sections, InlineTable) else tomlkit.table()
    section: Table = sections[model]
    for key, value in settings.items():
        section[key] = list(value) if isinstance(value, tuple) else value


def _remarked(text: str, model: str, remark: str) -> str:
    """The text with a comment below the head of a model's section."""
    head = re.compile(
        rf"^(\[\s*settings\s*\.\s*[\"']?{re.escape(model)}[\"']?\s*\][^\r\n]*)(\r?\n)", re.MULTILINE
    )
    if not remark or f"# {remark}" in text:
        return text
    return head.sub(lambda found: f"{found[1]}{found[2]}# {remark}{found[2]}", text, count=1)


def _earliest_origin(ledger: Ledger, job: Job) -> int | None:
    try:
        days = job.task.horizon_days
        return min(origins_of(ledger, horizon_days=days, every_days=job.every_days, n_origins=job.n_origins))
    except DataError:
        return None


def _tuned(
    study: Study, model: str, job: Job, *, earliest: int | None, seconds: float | None, trials: int | None
) -> Tuned:
    end = study.ledger().end_day
    for at in (*((earliest,) if earliest is not None else ()), end):
        try:
            tuning = _tuned_at(study, model, job, at, seconds=seconds, trials=trials)
        except DataError:
            if at == end:
                raise
            continue
        return Tuned(tuning=tuning, standing_at=at, seen_by_backtest=at == end)
    raise AssertionError


def _tuned_at(
    study: Study, model: str, job: Job, at: int, *, seconds: float | None, trials: int | None
) -> Tuning:
    days, ledger = job.task.horizon_days, study.ledger()
    origins = [
        o for o in (at - days - k * job.every_days for k in range(_ORIGINS)) if o - days >= ledger.first_day
    ]
    cutoffs = {
        c
        for o in origins
        for c in learning_cutoffs(ledger, origin=o, horizon_days=days, every_days=job.every_days)
    }
    snapshot = study.snapshot(
        cutoffs=tuple(sorted({at, *cutoffs}, reverse=True)), horizons=rungs_of(days), as_of=at
    )
    with predicting_with(study.threads):
        return tune(
            model,
            study.training(snapshot, job.task, rng=seeded(study.seed, "tune", model, job.name)),
            seconds=math.inf if seconds is None else seconds,
            clock=time.monotonic,
            rng=seeded(study.seed, "search", model, job.name),
            trials=trials,
            origins=origins,
        )
