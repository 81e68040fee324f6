"""What is installed: pinned versions that name no machine, and a wheel that carries what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

CARRIED = ("app/codes.md", "app/examples/*/*", "export/_html/*")
LARGEST_WHEEL = 25_000_000  # bytes; examples and the Vega bundle are most of it


@pytest.mark.parametrize("lock", ["core.txt", "dev.txt"])
def test_a_lock_pins_exact_versions_and_names_no_host_or_path(root: Path, lock: str) -> None:
    lines = (root / "requirements" / lock).read_text(encoding="utf-8").splitlines()
    pinned = re.compile(r"[a-z0-9._-]+==[0-9][\w.]*( ; [\w .<>='()]+)?")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_the_locks_hold_every_declared_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    core, dev = (_locked(root / "requirements" / f) for f in ("core.txt", "dev.txt"))
    assert {_name(d) for d in project["project"]["dependencies"]} - core == set()
    assert {_name(d) for d in project["dependency-groups"]["dev"]} - dev == set()
    assert core - dev == set()


def test_the_core_lock_holds_no_large_extra(root: Path) -> None:
    assert (
        _locked(root / "requirements/core.txt") & {"torch", "pyspark", "pandas", "pytest", "basedpyright"}
        == set()
    )


@pytest.mark.slow
def test_the_wheel_carries_examples_and_assets(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    package = root / "src/headwater"
    needed = [f"headwater/{p.relative_to(package)}" for pattern in CARRIED for p in package.glob(pattern)]
    assert len(needed) >= 9
    assert [f for f in needed if f not in held] == []
    assert [f for f in held if f.endswith(".pyc") or not f.startswith("headwater")] == []
    assert wheel.stat().st_size < LARGEST_WHEEL


def _locked(path: Path) -> set[str]:
    return {line.split("==")[0] for line in path.read_text(encoding="utf-8").splitlines()}


def _name(requirement: str) -> str:
    (found,) = re.findall(r"^[A-Za-z0-9._-]+", requirement)
    return found.lower().replace("_", "-")
