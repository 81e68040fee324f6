"""The five repairs on messy text on both engines: the same values, the same log, the same quarantine; read by hand besides."""

from __future__ import annotations

import random
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.app.config import settings_of
from headwater.app.verify import verify_engines
from headwater.contracts.repairs import REPAIRS
from headwater.engine.engine import Engine

TODAY = date(2026, 1, 1)
CHANNELS = ["Google", "google", "GOOGLE ", " facebook", "Facebook\t", "\u3000TikTok\u00a0", "tik tok", ""]
PRICES = ["12.5", "£1,234.50", "1 234", "(12)", "-3", "12-", "abc", "$7", "  9.99 ", "EUR 3.20", "3.20 EUR", "1,23", "1'000"]  # fmt: skip
PLANS = ["basic", "BASIC", "Straße", "İstanbul", "pro;;.", "pro#12", "pro", "ΣΑΣ", "ŒUVRE;"]
NOTES = [
    "x",
    "a, b",
    'say "hi"',
    "back\\slash",
    "",
    "é🙂",
    "tab\there",
    "\x7f",
    "/slash",
    "<b>",
    "\u2028x",
    "it's",
]
SETTINGS: dict[str, Any] = {
    "app": {"name": "shop", "time_zone": "Europe/London", "currency": "GBP", "left_edge": "0d"},
    "measures": {"revenue": {"sum": "price", "unit": "GBP"}},
    "repairs": [
        {"repair": "trim", "columns": ["channel", "price"]},
        {"repair": "case_fold", "columns": ["channel"]},
        {"repair": "aliases", "columns": ["channel"], "values": {"TikTok": ["tiktok", "tik tok"]}},
        {"repair": "strip_trailing", "columns": ["plan"], "characters": ";."},
        {"repair": "strip_trailing", "columns": ["plan"], "pattern": "#[0-9]+"},
        {"repair": "case_fold", "columns": ["plan"]},
        {"repair": "case_fold", "columns": ["capitals"], "to": "upper"},
        {"repair": "parse_number", "columns": ["price"]},
    ],
    "rules": [
        {"rule": "one_of", "columns": ["channel"], "values": ["google", "facebook", "TikTok"]},
        {"rule": "range", "columns": ["price"], "at_least": 0},
        {"rule": "unique"},
    ],
    "gate": {"max_share": 1.0},
}


def rows(n: int = 700) -> list[dict[str, str]]:
    rng = random.Random(3)
    made: list[dict[str, str]] = []
    for i in range(n):
        plan = rng.choice(PLANS)
        made.append({
            "user": f"u{i % 50}", "at": f"2024-01-{1 + i % 28:02d} {i % 24:02d}:30:00", "channel": rng.choice(CHANNELS),
            "price": rng.choice(PRICES), "plan": plan, "capitals": plan, "note": rng.choice(NOTES),
        })  # fmt: skip
    return made + rng.sample(made, 9)


def line(values: Any) -> str:
    return ",".join('"' + v.replace('"', '""') + '"' for v in values)


def write_csv(folder: Path) -> str:
    made = rows()
    lines = [line(made[0]), *(line(r.values()) for r in made), "u1,soon,x,1,basic,basic,y", "u1,2024-01-02"]
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return "log.csv"


def write_files(folder: Path) -> str:
    """Three files with Windows line ends and broken lines of three kinds in each."""
    made = rows()
    (folder / "many").mkdir()
    for i in range(3):
        lines = [line(r.values()) for r in made[i::3]]
        lines[5:5] = [
            "u1,2024-01-02",
            "u1,2024-01-02,x,1,basic,basic,y,z,w",
            'u2,2024-01-02,x,"1"2,basic,basic,y',
        ]
        (folder / "many" / f"{i}.csv").write_text("\r\n".join([line(made[0]), *lines]) + "\r\n")
    return "many"


def write_parquet(folder: Path) -> str:
    """Columns of many types, whose raw values each engine writes in a form of its own."""
    made = rows()
    n = range(len(made))
    at = [datetime.fromisoformat(r["at"]) for r in made]
    text = {c: [r[c] for r in made] for c in ("channel", "price", "plan", "capitals", "note")}
    typed = {
        "user": [float(r["user"][1:]) for r in made], "at": pa.array(at, pa.timestamp("us")), "zoned": pa.array(at, pa.timestamp("us", "UTC")),
        "x": [10.0 ** (i % 24 - 6) * (1 + i / 7) for i in n], "day": pa.array([i % 20_000 for i in n], pa.date32()), "yes": [i % 2 == 0 for i in n],
        "f": pa.array([i / 3 for i in n], pa.float32()), "list": [[i, i + 1] for i in n], "exact": pa.array(list(n), pa.decimal128(12, 3)),
    }  # fmt: skip
    pq.write_table(pa.table(typed | text), folder / "log.parquet")
    return "log.parquet"


WRITERS = {"one CSV": write_csv, "several CSV": write_files, "Parquet": write_parquet}


@pytest.mark.parametrize("kind", WRITERS)
def test_messy_text_is_repaired_alike_and_verify_says_so(
    duck: Engine, spark: Any, tmp_path: Path, kind: str
) -> None:
    path = WRITERS[kind](tmp_path)
    types = {"price": "money"}
    source = {"path": path, "user": "user", "at": "at", "event_is": "buy", "keep": ["channel", "plan", "capitals"], "types": types}  # fmt: skip
    settings = settings_of(SETTINGS | {"sources": [source]})
    found = verify_engines(
        (duck, spark), settings, root=tmp_path, scratch=tmp_path / "scratch", today=TODAY, report=False
    )
    steps = {}
    for step in found:
        steps[step.step] = step
        assert (step.step, step.columns, step.examples) == (step.step, (), ())
        if step.step == "check: repairs":
            break
    assert steps["check: quarantine"].n_rows[0] > 100
    assert steps["check: repairs"].n_rows[0] > 15
    assert ("source_row" in steps["check: quarantine"].gap) == (kind == "several CSV")


def test_the_project_makes_every_repair_of_the_shelf() -> None:
    assert {r["repair"] for r in SETTINGS["repairs"]} == set(REPAIRS.names())
