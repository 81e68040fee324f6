"""Examples on real data, shipped inside the package."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from headwater.core.errors import UsageError, near_miss

__all__ = ["EXAMPLES", "lay_out", "require_example"]

EXAMPLES = ("online_retail", "cdnow")


def require_example(example: str) -> None:
    """Raise ``UsageError`` (``demo.unknown``) for an example that does not ship."""
    if example not in EXAMPLES:
        raise UsageError(
            "demo.unknown",
            what=f"There is no example named '{example}'.",
            why="Nothing was run.",
            do=near_miss(example, EXAMPLES),
        )


def lay_out(example: str, folder: Path) -> Path:
    """Copy an example into a folder and return it; what is there already and equal stays. Raises ``UsageError``."""
    require_example(example)
    folder.mkdir(parents=True, exist_ok=True)
    with as_file(files("headwater.app") / "examples" / example) as shipped:
        for file in sorted(shipped.iterdir()):
            target = folder / file.name
            if not target.is_file() or target.read_bytes() != file.read_bytes():
                shutil.copyfile(file, target)
    return folder
