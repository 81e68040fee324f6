from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its path from ``src/headwater``."""
    package = root / "src" / "headwater"
    found = {str(p.relative_to(package)): p for p in sorted(package.rglob("*.py"))}
    assert len(found) > 50, "the package was not found"
    return found
