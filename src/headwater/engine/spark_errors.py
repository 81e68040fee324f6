"""What goes wrong on Spark, in words a person can act on."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

from headwater.core.errors import DataError, HeadwaterError, SourceError

__all__ = ["too_many_rows", "translated"]

_CONDITION = re.compile(r"\[([A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_VALUES = (
    "ARITHMETIC_OVERFLOW",
    "BINARY_ARITHMETIC_OVERFLOW",
    "CAST_INVALID_INPUT",
    "CAST_OVERFLOW",
    "NUMERIC_VALUE_OUT_OF_RANGE",
    "NUMERIC_OUT_OF_SUPPORTED_RANGE",
    "DIVIDE_BY_ZERO",
    "DECIMAL_OVERFLOW",
)
_FILES = (
    "FAILED_READ_FILE",
    "PATH_NOT_FOUND",
    "UNABLE_TO_INFER_SCHEMA",
    "CANNOT_READ_FILE_FOOTER",
    "FAILED_RENAME_PATH",
    "TASK_WRITE_FAILED",
)


@contextmanager
def translated(memory: str) -> Generator[None]:
    """Turn Spark's errors of this block into Headwater's; what is a fault of our own SQL is raised as it is."""
    raised = (import_module("py4j.protocol").Py4JError, import_module("pyspark.errors").PySparkException)
    try:
        yield
    except raised as error:
        told = _told(str(error), memory)
        if told is None:
            raise
        raise told from error


def too_many_rows(what: str, limit: int) -> DataError:
    """A result that would not fit the driver."""
    return DataError(
        "spark.too_many_rows",
        what=f"A result of {what} was to come to the driver; it takes at most {limit:,} rows, and what fits half of its memory.",
        why="Only totals and samples are collected: rows belong on the cluster.",
        do="Stream it (batches), write it to a table, or raise --memory.",
    )


def _told(text: str, memory: str) -> HeadwaterError | None:  # noqa: PLR0911  one line for each kind of fault
    conditions = {c.split(".")[0] for c in _CONDITION.findall(text)}
    line = _first_line(text)
    if "maxResultSize" in text:
        return too_many_rows(f"more bytes than half of {memory}", 5_000_000)
    if "PARQUET_TYPE_ILLEGAL" in text and "NANOS" in text:
        return SourceError(
            "source.nanoseconds",
            what=f"A Parquet file holds times in nanoseconds: {line}",
            why="Spark does not read them, and microseconds are all that is kept.",
            do='Write the file with microseconds (pyarrow: coerce_timestamps="us"), or run on DuckDB.',
        )
    if "OutOfMemoryError" in text or "UNABLE_TO_ACQUIRE_MEMORY" in conditions:
        return HeadwaterError(
            "engine.memory",
            what=f"The step needs more than {memory} of memory: {line}",
            why="The step was stopped; nothing was published.",
            do="Raise --memory, or use more partitions or executors.",
        )
    if conditions & set(_VALUES):
        return DataError(
            "engine.value",
            what=f"A value does not fit its type: {line}",
            why="A sum or product left the range that is exact, so no number is given.",
            do="Check the measure's expression and the column's unit; add a range rule for the column.",
        )
    if "No module named" in text:
        return HeadwaterError(
            "spark.worker_python",
            what=f"The Python of Spark's workers lacks a package: {_lacking(text)}",
            why="Arrow batches are worked on by that Python; the step was stopped.",
            do="Install headwater with the same Python on every worker, and name it: PYSPARK_PYTHON=/path/to/python.",
        )
    if conditions & set(_FILES):
        return HeadwaterError(
            "workspace.disk",
            what=f"A file cannot be read or written: {line}",
            why="The step was stopped; nothing was published.",
            do="Check that every worker sees the folder, that the disk has room and that the file may be read.",
        )
    if (
        "SparkContext was shut down" in text
        or "Cannot call methods on a stopped SparkContext" in text
        or "Master is unresponsive" in text
        or "All masters are unresponsive" in text
    ):
        return HeadwaterError(
            "spark.gone",
            what=f"Spark has stopped: {line}",
            why="The step was stopped; nothing was published.",
            do="Check that the master and its workers run (master under [run]), then run again: what is done stays done.",
        )
    return None


def _lacking(text: str) -> str:
    found = re.search(r"No module named '?([\w.]+)", text)
    return found[1] if found else _first_line(text)


def _first_line(text: str) -> str:
    known = next((line for line in text.splitlines() if _CONDITION.search(line)), None)
    return (known or (text.splitlines() or [""])[0]).strip()[:300]
