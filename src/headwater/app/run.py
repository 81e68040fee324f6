"""The whole road: check, ledger, snapshots, backtests, forecasts, report; only what changed is done again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from headwater.app.deliver import EXPORTERS, deliver, require_writable
from headwater.app.emit import write_checks
from headwater.app.store import fingerprint_of
from headwater.app.story import Told, tell
from headwater.app.study import Study
from headwater.core.errors import UsageError

__all__ = ["Published", "ReportStep", "publish", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStep:
    """The files of a report. ``fingerprint`` is that of everything they show, not of their bytes."""

    name: str
    files: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a run leaves: the story, the files, and the content fingerprint of every step whose result is shown.

    ``n_steps`` counts all steps, snapshots and the report among them; ``n_reused`` those that were there already.
    """

    told: Told
    paths: tuple[Path, ...]
    fingerprints: dict[str, str]
    n_steps: int
    n_reused: int


def run(study: Study) -> Published:
    """Walk the whole road. Raises ``ConfigError`` (``write.unwritable``) where the report would have no place, and the errors of its steps."""
    study.require_models()
    _require_place(study)
    told = tell(study)
    paths = publish(study, told)
    return Published(
        told=told,
        paths=paths,
        fingerprints=study.fingerprints(),
        n_steps=len(study.steps),
        n_reused=sum(step.reused for step in study.steps.values()),
    )


def _require_place(study: Study) -> None:
    try:
        require_writable(study.root / study.settings.deliver.folder)
    except UsageError as error:
        raise study.settings.placed(error, "deliver", "folder") from None


def publish(study: Study, told: Told) -> tuple[Path, ...]:
    """Write the report in every format and put it in the delivery folder, each file whole or not at all."""
    shown = fingerprint_of(study.fingerprints())
    settings = study.settings.deliver
    report = study.step(
        "report",
        {"shows": shown, "formats": settings.formats, "settings": study.settings.model_dump(mode="json")},
        ReportStep,
        lambda folder: _write(study, told, folder, shown),
        title="writing the report",
    )
    target = study.root / settings.folder
    if study.rehearsal:
        return tuple(target / Path(f).name for f in report.files)
    target.mkdir(parents=True, exist_ok=True)
    _drop_other_formats(target, kept={Path(f).name for f in report.files})
    copied = tuple(_copy(Path(f), target / Path(f).name) for f in report.files)
    if not settings.checks:
        return copied
    return (*copied, *write_checks(study.events(), study.audit(), folder=target, forms=settings.checks))


def _write(study: Study, told: Told, folder: Path, shown: str) -> ReportStep:
    made = deliver(told.document, study.settings.deliver.formats, folder)
    return ReportStep(name="report", files=tuple(str(d.path) for d in made), fingerprint=shown)


def _drop_other_formats(folder: Path, *, kept: set[str]) -> None:
    """Remove the report in formats that are no longer asked for: it would show other numbers."""
    if not {f.name for f in folder.glob("report.*")} - kept:
        return
    for name in EXPORTERS.names():
        file = f"report{EXPORTERS.load(name).suffix}"
        if file not in kept:
            (folder / file).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> Path:
    if target.is_file() and _digest(target) == _digest(source):
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
