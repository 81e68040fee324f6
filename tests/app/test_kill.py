"""A run that is killed at any moment, and run again, ends in the same content as one that was left alone.

Moments are drawn once (seeded) and spread over the whole of an undisturbed run, one in each tenth of it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from conftest import Ran, Shop

N_KILLS = 10
MOMENTS = (np.arange(N_KILLS) + np.random.default_rng(20261123).random(N_KILLS)) / N_KILLS
OLD_REPORT = "the last complete report"


@dataclass(frozen=True)
class Undisturbed:
    """How a run ends that nobody kills, and how long it takes."""

    fingerprints: dict[str, str]
    files: dict[str, str]
    seconds: float


def settings_of(all_models: str) -> str:
    return all_models.replace(
        'horizons = ["30d"]', 'horizons = ["30d"]\ncutoffs = { every = "4w", origins = 2 }'
    )


def files_in(folder: Path) -> dict[str, str]:
    """Every file of a workspace but its catalog, lock and bytes of reports, which hold clocks: name and folder."""
    return {
        str(p.relative_to(folder)): p.name
        for p in folder.rglob("*")
        if p.is_file() and p.parent.name != "reports" and p.suffix != ".toml"
    }


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[..., Shop],
    order_lines: Callable[..., list[str]],
    all_models: str,
    shell: Callable[..., Ran],
) -> Undisturbed:
    shop = shops(
        tmp_path_factory.mktemp("left alone") / "shop",
        settings=settings_of(all_models),
        lines=order_lines(n_users=200),
    )
    shell("version", at=shop.folder)  # so that the time measured is not that of compiling
    began = time.monotonic()
    ran = shell("run", "--json", at=shop.folder)
    seconds = time.monotonic() - began
    assert ran.code == 0, ran.err
    return Undisturbed(fingerprints=ran.json["fingerprints"], files=files_in(shop.folder), seconds=seconds)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [float(round(m, 3)) for m in MOMENTS])
def test_a_killed_run_run_again_ends_in_the_same_content(
    *,
    tmp_path: Path,
    shops: Callable[..., Shop],
    order_lines: Callable[..., list[str]],
    all_models: str,
    shell: Callable[..., Ran],
    command: list[str],
    environment: dict[str, str],
    undisturbed: Undisturbed,
    moment: float,
) -> None:
    shop = shops(tmp_path / "shop", settings=settings_of(all_models), lines=order_lines(n_users=200))
    reports = shop.folder / "reports"
    reports.mkdir()
    for name in ("report.html", "report.xlsx"):
        (reports / name).write_text(OLD_REPORT, encoding="utf-8")

    started = subprocess.Popen(
        [*command, "run", "--json"],
        cwd=shop.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        started.wait(timeout=moment * undisturbed.seconds)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()

    assert_whole(reports / "report.html", end=b"</html>")
    assert_whole(reports / "report.xlsx", start=b"PK")
    ran = shell("run", "--json", at=shop.folder)
    assert ran.code == 0, ran.err
    assert ran.json["fingerprints"] == undisturbed.fingerprints
    assert sorted(files_in(shop.folder)) == sorted(undisturbed.files)
    assert sorted(p.name for p in reports.iterdir()) == ["report.html", "report.xlsx"]
    assert_whole(reports / "report.html", end=b"</html>", old=False)


def assert_whole(path: Path, *, start: bytes = b"", end: bytes = b"", old: bool = True) -> None:
    """The file is the old one, or a new one from its beginning to its end."""
    content = path.read_bytes()
    is_old = content == OLD_REPORT.encode()
    assert is_old or (content.startswith(start) and content.rstrip().endswith(end))
    assert old or not is_old
