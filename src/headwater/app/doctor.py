"""What is installed and what is missing, each with its fix."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headwater.app.doctor_spark import spark_traps

__all__ = ["Checkup", "examine"]

_NEEDED = (
    "duckdb",
    "pyarrow",
    "numpy",
    "scipy",
    "lightgbm",
    "altair",
    "xlsxwriter",
    "jinja2",
    "typer",
    "rich",
    "pydantic",
    "python-calamine",
    "tzdata",
)
_EXTRAS = {
    "pandas": "pandas",
    "polars": "polars",
    "pyspark": "spark",
    "torch": "deep",
    "pantab": "tableau",
    "fastapi": "server",
}
_LOW_DISK = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """One look: what, how it is, whether it will do, and the fix."""

    what: str
    state: str
    ok: bool
    fix: str = ""


def examine(folder: Path) -> tuple[Checkup, ...]:
    """Look at Python, the packages, the folder and the machine."""
    python = Checkup(
        what="Python",
        state=sys.version.split()[0],
        ok=sys.version_info >= (3, 11),
        fix="Install Python 3.11 or later.",
    )
    return (
        python,
        *(_package(p) for p in _NEEDED),
        *(_extra(p, e) for p, e in _EXTRAS.items()),
        _writable(folder),
        _disk(folder),
        _cores(),
        *(Checkup(what=s.what, state=s.state, ok=s.ok, fix=s.fix) for s in spark_traps(folder)),
    )


def _package(name: str) -> Checkup:
    try:
        return Checkup(what=name, state=version(name), ok=True)
    except PackageNotFoundError:
        return Checkup(
            what=name, state="missing", ok=False, fix="Install headwater again: pip install headwater"
        )


def _extra(package: str, extra: str) -> Checkup:
    try:
        return Checkup(what=f"{package} (extra {extra})", state=version(package), ok=True)
    except PackageNotFoundError:
        return Checkup(
            what=f"{package} (extra {extra})",
            state="not installed, optional",
            ok=True,
            fix=f"pip install 'headwater[{extra}]'",
        )


def _writable(folder: Path) -> Checkup:
    ok = os.access(folder, os.W_OK)
    return Checkup(
        what="this folder",
        state="can be written" if ok else "cannot be written",
        ok=ok,
        fix="Run in a folder you may write to.",
    )


def _disk(folder: Path) -> Checkup:
    free = shutil.disk_usage(folder).free
    return Checkup(
        what="free disk",
        state=f"{free / 1024**3:.1f} GB",
        ok=free > _LOW_DISK,
        fix="Free some disk: spilling and tables need it.",
    )


def _cores() -> Checkup:
    return Checkup(
        what="cores", state=str(os.cpu_count()), ok=True, fix="Set threads under [run] in headwater.toml."
    )
