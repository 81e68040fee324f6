"""Opening Spark: one context for each process, one session of our own on it, and what both are told."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.errors import UsageError
from headwater.engine.engine import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["SESSION_SETTINGS", "open_session", "own_session", "require_pyspark", "speaking_arrow", "watched"]

SESSION_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.parser.escapedStringLiterals": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.legacy.parquet.nanosAsLong": "false",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.sql.adaptive.enabled": "true",
}
_FUNCTIONS = (
    "CREATE OR REPLACE TEMPORARY FUNCTION isinf(x DOUBLE) RETURNS BOOLEAN RETURN abs(x) = double('Infinity')",
    "CREATE OR REPLACE TEMPORARY FUNCTION isfinite(x DOUBLE) RETURNS BOOLEAN RETURN NOT isnan(x) AND abs(x) < double('Infinity')",
)
_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
_LOGGING = """rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""


def require_pyspark() -> Any:
    """The module ``pyspark.sql``. Raises ``UsageError`` (``extra.missing``)."""
    try:
        with speaking_arrow():
            return import_module("pyspark.sql")
    except ModuleNotFoundError:
        raise UsageError(
            "extra.missing",
            what="'pyspark' is not installed.",
            why='The engine "spark" runs on it.',
            do="pip install 'headwater[spark]', or engine = \"duckdb\" under [run].",
        ) from None


def open_session(master: str, *, threads: int, memory: str, spill: Path) -> SparkSession:
    """A session on the process's Spark context, started where there is none. Raises ``UsageError``."""
    module = require_pyspark()
    running = module.SparkSession.getActiveSession() or _running(module)
    if running is not None:
        _require_same(running.sparkContext.master, master)
        return running
    _require_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    if _is_here(master):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # our errors say it once
    builder = module.SparkSession.builder.appName("headwater").master(master)
    for key, value in _context_settings(master, threads=threads, memory=memory, spill=spill).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def own_session(session: SparkSession) -> SparkSession:
    """A session of our own on the same context: our settings and views are no one else's."""
    own = session.newSession()
    for key, value in SESSION_SETTINGS.items():
        own.conf.set(key, value)
    for function in _FUNCTIONS:
        own.sql(function)
    return own


@contextmanager
def speaking_arrow() -> Generator[None]:
    """Without the warning about pandas 3, which Headwater never hands to Spark nor takes from it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
        yield


@contextmanager
def watched(session: SparkSession, report: Progress | None) -> Generator[None]:
    """Report the share of tasks done while the block runs."""
    if report is None:
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session, report, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(session: SparkSession, report: Progress, done: threading.Event) -> None:
    tracker = session.sparkContext.statusTracker()
    while not done.wait(0.2):
        stages = [tracker.getStageInfo(s) for s in tracker.getActiveStageIds()]
        n_tasks = sum(s.numTasks for s in stages if s is not None)
        if n_tasks:
            report(sum(s.numCompletedTasks for s in stages if s is not None) / n_tasks)


def _running(module: Any) -> SparkSession | None:
    context = import_module("pyspark").SparkContext._active_spark_context
    return None if context is None else module.SparkSession(context)


def _require_same(running: str | None, wanted: str) -> None:
    if running != wanted:
        raise UsageError(
            "spark.other_master",
            what=f"This process already runs Spark on {running}; {wanted} was asked for.",
            why="A process has one Spark context.",
            do="Stop that session first, pass it as session=, or use the same master.",
        )


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    found = (Path(home) / "bin" / "java").is_file() if home else shutil.which("java") is not None
    if not found:
        where = f"JAVA_HOME is '{home}', which holds no bin/java" if home else "there is no java on the PATH"
        raise UsageError(
            "spark.no_java",
            what=f"Spark needs Java 17 or later; {where}.",
            why="Spark runs in a Java machine.",
            do="Install one (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME; headwater doctor says what it finds.",
        )


def _is_here(master: str) -> bool:
    return master.startswith("local") or "//127.0.0.1" in master or "//localhost" in master


def _context_settings(master: str, *, threads: int, memory: str, spill: Path) -> dict[str, str]:
    quiet = spill / "log4j2.properties"
    quiet.write_text(_LOGGING, encoding="utf-8")
    amount = _spark_memory(memory)
    settings = {
        "spark.driver.memory": amount,
        "spark.executor.memory": amount,
        "spark.driver.maxResultSize": f"{int(amount[:-1]) // 2}m" if amount.endswith("m") else amount,
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={quiet.resolve().as_uri()} -Duser.timezone=UTC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.sql.warehouse.dir": str(spill / "warehouse"),
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.pyspark.udf.faulthandler.enabled": "false",
    }
    if _is_here(master):
        settings |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(spill / "local"),
            "spark.sql.shuffle.partitions": str(2 * threads),
            "spark.default.parallelism": str(threads),
        }
    return settings


def _spark_memory(memory: str) -> str:
    """``1500MB`` as Spark writes it: ``1500m``."""
    found = re.fullmatch(r"([\d.]+) ?([KMGT])i?B", memory)
    if found is None:
        return memory
    return f"{max(512, int(float(found[1]) * _UNITS[found[2]]))}m"
