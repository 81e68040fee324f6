"""One leaderboard each for CDNOW, Online Retail and three simulated apps, kept with its conditions.

    .venv/bin/python benchmarks/leaderboards.py [cdnow_sample cdnow_others cdnow online_retail steady seasonal young]

Every model of the shelf that needs no extra (with PyTorch installed, the networks too) is tested by
``headwater backtest`` on the same origins of the same snapshots. Results go to ``benchmarks/results``.
"""

from __future__ import annotations

import gzip
import importlib.util
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tomlkit

from headwater.app.demo import lay_out
from headwater.models.ltv import LTV_MODELS

HERE = Path(__file__).parent
OUT, RESULTS = HERE / "out" / "leaderboards", HERE / "results"
HEADWATER = [sys.executable, "-c", "from headwater.app.cli import main; main()"]
HAS_TORCH = importlib.util.find_spec("torch") is not None
MODELS = [m for m in LTV_MODELS.names() if HAS_TORCH or not m.endswith("_network")]


def cdnow(inside: Callable[[bool], bool]) -> Callable[[Path], None]:
    """The customers of CDNOW that are, or are not, in the 1/10 sample of the papers."""

    def make(folder: Path) -> None:
        lay_out("cdnow", folder)
        with gzip.open(folder / "CDNOW_sample.txt.gz", "rt") as lines:
            sample = {line.split()[0] for line in lines if line.strip()}
        master, config = folder / "CDNOW_master.csv.gz", folder / "headwater.toml"
        with gzip.open(master, "rt") as lines:
            head, *rows = lines.read().splitlines()
        kept = [row for row in rows if inside(row.split(",")[0].zfill(5) in sample)]
        (folder / "part.csv").write_text("\n".join([head, *kept]) + "\n")
        config.write_text(config.read_text().replace("CDNOW_master.csv.gz", "part.csv"))

    return make


def online_retail(folder: Path) -> None:
    """The invoice lines that ship with the package."""
    lay_out("online_retail", folder)


def simulated(*options: str) -> Callable[[Path], None]:
    """A simulated app."""

    def make(folder: Path) -> None:
        if not (folder / "headwater.toml").is_file():
            subprocess.run([*HEADWATER, "simulate", "--to", str(folder), *options], check=True)

    return make


APPS: Mapping[str, tuple[str, Callable[[Path], None], str]] = {
    "cdnow_sample": ("CDNOW, the 1/10 sample of 2,357 customers", cdnow(lambda inside: inside), "13w"),
    "cdnow_others": (
        "CDNOW, the 21,213 customers not in the sample",
        cdnow(lambda inside: not inside),
        "13w",
    ),
    "cdnow": ("CDNOW, all 23,570 customers", cdnow(lambda _: True), "13w"),
    "online_retail": ("Online Retail", online_retail, "90d"),
    "steady": (
        "a simulated app without seasons: 6,000 users, 400 days",
        simulated("--users", "6000", "--days", "400", "--season", "steady"),
        "90d",
    ),
    "seasonal": (
        "a simulated app with a strong year and two sales: 4,000 users, 1,000 days",
        simulated("--users", "4000", "--days", "1000", "--from", "2023-04-01", "--season", "strong"),
        "90d",
    ),
    "young": (
        "a simulated app five months old, with paid channels: 8,000 users, 150 days",
        simulated("--users", "8000", "--days", "150"),
        "30d",
    ),
}


def commit() -> str:
    """The commit that was run."""
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or APPS:
        title, make, horizon = APPS[name]
        folder = OUT / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(folder)
        predicted(folder / "headwater.toml", horizon)
        started = time.perf_counter()
        said = subprocess.run(
            [*HEADWATER, "backtest", "--config", str(folder / "headwater.toml"), "--horizon", horizon],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        text = "\n".join(
            [
                f"# {title}",
                "",
                f"`headwater backtest --horizon {horizon}`, every model that needs no extra"
                f"{' and the networks' if HAS_TORCH else ''}, {seconds:.0f} s in all (check, ledger and snapshots included) on"
                f" {platform.machine()}, {platform.python_version()}, {time.strftime('%Y-%m-%d')}, at {commit()}; other work on the machine was not excluded.",
                "",
                "```",
                said.stdout.strip() or said.stderr.strip(),
                "```",
                "",
            ]
        )
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
        print(text, flush=True)


def predicted(config: Path, horizon: str) -> None:
    """Ask for one target and one horizon, of every model."""
    settings = tomlkit.parse(config.read_text(encoding="utf-8"))
    (wanted, *_) = settings["predict"]
    wanted["horizons"], wanted["models"] = [horizon], MODELS
    wanted["cutoffs"] = {"every": "4w", "origins": 3}
    settings["predict"] = tomlkit.aot()
    settings["predict"].append(wanted)
    config.write_text(tomlkit.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main()
