"""Files a command reads from or writes to: where they lie in one line, and how to look at them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from pyarrow import parquet

from headwater.core.errors import UsageError

__all__ = ["files_told", "require_folder"]


def files_told(label: str, files: Sequence[str]) -> list[str]:
    """The folder of the Parquet files that hold rows, how many they are, and the line that looks at all of them."""
    full = [f for f in files if parquet.read_metadata(f).num_rows]
    if not full:
        return []
    folder = commonpath([str(Path(f).parent) for f in full])
    n = f"{len(full):,} file{'s' if len(full) > 1 else ''}"
    patterns = [full[0]] if len(full) == 1 else _patterns(folder, full)
    if not patterns:
        return [f"{label}: {n} under {folder}, such as {full[0]}"]
    quoted = [f"'{p.replace(chr(39), chr(39) * 2)}'" for p in patterns]
    source = quoted[0] if len(quoted) == 1 else f"read_parquet([{', '.join(quoted)}], union_by_name = true)"
    return [
        f"{label}: {n} in {folder}",
        *(f"  to look at it: headwater profile {shlex.quote(p)}" for p in patterns),
        f"  or in DuckDB:  FROM {source} LIMIT 20",
    ]


def _patterns(folder: str, files: Sequence[str]) -> list[str]:
    """Globs that together find exactly these files, one for each kind of name; none where there are none such."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        kinds.setdefault(Path(file).parts[-2:] if "=" in file else Path(file).parts[-1:], []).append(file)
    found = [_pattern(folder, group) for group in kinds.values()]
    return [p for p in found if p is not None] if None not in found else []


def _pattern(folder: str, files: Sequence[str]) -> str | None:
    """A glob that finds exactly these files."""
    within = "".join(
        f"{part}/" for part in _ending([Path(f).parent.relative_to(folder).parts for f in files])
    )
    for wanted in (Path(files[0]).name, "*.parquet"):
        if {str(f) for f in Path(folder).rglob(f"{within}{wanted}")} == set(files):
            return f"{folder}/**/{within}{wanted}"
    return None


def _ending(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The last parts that all folders share."""
    n = 0
    while all(len(f) > n for f in folders) and len({f[len(f) - n - 1] for f in folders}) == 1:
        n += 1
    return folders[0][len(folders[0]) - n :]


def require_folder(path: Path | None, option: str) -> None:
    """Raise ``UsageError`` (``output.no_folder``) where a file is to be written into a folder that is not there."""
    if path is not None and not path.parent.is_dir():
        raise UsageError(
            "output.no_folder",
            what=f"{option} names '{path}', but there is no folder '{path.parent}'.",
            why="A folder made for a misspelled path would hide the results; nothing was run.",
            do=f"Make it first: mkdir -p {shlex.quote(str(path.parent))}, or correct the path.",
        )
    if path is not None and path.is_dir():
        raise UsageError(
            "output.no_folder",
            what=f"{option} names '{path}', which is a folder.",
            why="The results are one file; nothing was run.",
            do=f"Name a file in it, such as {shlex.quote(str(path / 'checks.jsonl'))}.",
        )
