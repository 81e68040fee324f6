"""A small simulated shop, and the command line called in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headwater.app.cli import main
from headwater.app.config import read_settings
from headwater.app.study import Study

TODAY = date(2026, 1, 1)
FIRST_DAY = date(2024, 1, 1)
HEADER = "user_id,ordered_at,order_id,amount,country"
SETTINGS = """\
[app]
name = "shop"
time_zone = "UTC"
[[sources]]
path = "orders.csv"
user = "user_id"
at = "ordered_at"
event_is = "purchase"
types = { amount = "money" }
keep = ["country"]
[measures]
revenue = { sum = "amount", unit = "USD" }
purchases = { count_distinct = "order_id", where = "amount > 0" }
[[rules]]
rule = "unique"
[[predict]]
target = "revenue"
horizons = ["30d"]
models = ["rate_so_far", "bg_nbd"]
[deliver]
formats = ["html"]
"""
ALL_MODELS = SETTINGS.replace('models = ["rate_so_far", "bg_nbd"]\n', "").replace(
    '["html"]', '["html", "excel"]'
)


def orders(*, seed: int = 20261123, n_users: int = 300, n_days: int = 200) -> list[str]:
    """Order lines: customers come, buy at their own pace and price, send some back, and leave."""
    rng = np.random.default_rng(seed)
    lines: list[str] = []
    for user in range(n_users):
        day, pace, price = int(rng.integers(0, n_days - 40)), rng.gamma(1.5, 1 / 20), rng.lognormal(3, 0.5)
        left = min(n_days, day + int(rng.geometric(0.005)))
        while day < left:
            at = f"{FIRST_DAY + timedelta(days=day)} {rng.integers(8, 22):02d}:{rng.integers(60):02d}:00"
            number, country = f"o{len(lines):06d}", "fr" if user % 3 else "de"
            lines.append(f"u{user:04d},{at},{number},{price * rng.gamma(4, 0.25) + 0.01:.2f},{country}")
            if rng.random() < 0.04:
                lines.append(f"u{user:04d},{at[:10]} 23:00:00,{number}r,{-price / 2:.2f},{country}")
            day += 1 + int(rng.exponential(1 / pace))
    return lines


@dataclass(frozen=True)
class Shop:
    """A folder with ``orders.csv`` and ``headwater.toml``."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "headwater.toml"

    @property
    def store(self) -> Path:
        return self.folder / ".headwater"

    def write(self, lines: list[str]) -> Shop:
        (self.folder / "orders.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
        return self

    def set(self, old: str, new: str) -> Shop:
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")
        return self

    def study(self, **options: Any) -> Study:
        return Study(self.folder, read_settings(self.config), today=TODAY, **options)


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


def make_shop(folder: Path, *, settings: str = SETTINGS, lines: list[str] | None = None) -> Shop:
    folder.mkdir(parents=True, exist_ok=True)
    shop = Shop(folder=folder)
    shop.config.write_text(settings, encoding="utf-8")
    return shop.write(orders() if lines is None else lines)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def shops() -> Callable[..., Shop]:
    return make_shop


@pytest.fixture(scope="session")
def all_models() -> str:
    return ALL_MODELS


@pytest.fixture(scope="session")
def order_lines() -> Callable[..., list[str]]:
    return orders


@pytest.fixture
def headwater(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command line in this process: what a subprocess adds is tested once, not everywhere."""

    def run(*words: object, at: Path | None = None) -> Ran:
        if at is not None:
            monkeypatch.chdir(at)
        monkeypatch.setattr(sys, "argv", ["headwater", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Ran(code=left.value.code, out=said.out, err=said.err)

    return run


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For subprocesses: bytecode is kept for the session, so that only the first start compiles."""
    kept = tmp_path_factory.getbasetemp().parent / "bytecode"
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "PYTHONPYCACHEPREFIX": str(kept)
    }


@pytest.fixture(scope="session")
def command() -> list[str]:
    """``headwater`` as a program."""
    return [sys.executable, "-c", "from headwater.app.cli import main; main()"]


@pytest.fixture(scope="session")
def shell(environment: dict[str, str], command: list[str]) -> Callable[..., Ran]:
    """The command line in a process of its own."""

    def run(*words: object, at: Path) -> Ran:
        done = subprocess.run(
            [*command, *map(str, words)],
            cwd=at,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    return run
