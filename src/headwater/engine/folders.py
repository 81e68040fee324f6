"""Files on disk that engines wrote: apart by the values of columns, or taken over from an earlier folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

__all__ = ["link_file", "parts_of"]


def parts_of(folder: Path, by: Sequence[str]) -> dict[tuple[str, ...], tuple[Path, ...]]:
    """The Parquet files under ``folder/a=1/b=2`` by the values their folders spell."""
    parts: dict[tuple[str, ...], list[Path]] = {}
    for file in sorted(folder.glob("/".join(["*=*"] * len(by)) + "/*.parquet")):
        values = tuple(part.split("=", 1)[1] for part in file.relative_to(folder).parts[:-1])
        parts.setdefault(values, []).append(file)
    return {values: tuple(files) for values, files in parts.items()}


def link_file(file: Path, target: Path) -> None:
    """Give a file a second name, in a folder that is made where it is not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(file, target)
