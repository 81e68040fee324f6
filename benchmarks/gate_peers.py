"""The quality gate beside others: Headwater, Great Expectations, pointblank, and pandas and Polars by hand.

    python benchmarks/gate_peers.py [--rows 5000000] [--rounds 3] [--only headwater polars] [--cap 12]

One log, 90 daily Parquet files, about ten events a user-day, with faults planted by row number: how many rows
break each check is known from making it, and every party must find that many. Every run is a process of its own
from start to end (imports included), with a limit of time and of memory (the resident memory of its process tree,
looked at ten times a second); peers have an environment of their own; rounds are interleaved. What a party
does and does not do is printed with its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from peers.gate_log import CHECKS, DAYS, make

HERE = Path(__file__).parent
OUT = HERE / "out" / "gate"


def scan(folder: Path, threads: int) -> dict[str, Any]:
    """The physical limit: read every column once."""
    import duckdb

    duckdb.execute(f"SET threads = {threads}")
    columns = ("event_id", "uid", "event", '"at"', "quantity", "price", "platform", "order_code")
    tops = ", ".join(f"max({c})" for c in columns)
    duckdb.execute(f"SELECT {tops} FROM read_parquet('{folder}/log/*.parquet')").fetchall()
    return {}


def ledger_totals(folder: Path) -> dict[str, int]:
    """What Headwater's ledger adds up to, in the words of the peers' ledgers."""
    import duckdb

    (row,) = duckdb.execute(
        f"""SELECT count(*), sum(app_day), sum(events), sum(revenue), sum(purchases), sum(opens), sum(views)
        FROM read_parquet('{folder}/.headwater/steps/ledger/*/ledger/*/*.parquet', hive_partitioning = false)"""
    ).fetchall()
    names = ("user_days", "day_sum", "events", "revenue_micros", "purchases", "opens", "views")
    return {name: int(total) for name, total in zip(names, row, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who takes part: how it is run, in which of the two tables it stands, what it does and leaves out."""

    name: str
    command: tuple[str, ...]
    does: str
    ledger: bool = False
    needs: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The Python of the peer's own environment."""
        return HERE / ".peers" / self.name / "bin" / "python"

    def ready(self) -> None:
        """Build the peer's environment where there is none."""
        if self.needs and not self.python.exists():
            venv.create(self.python.parents[1], with_pip=True)
            subprocess.run([self.python, "-m", "pip", "install", "-q", *self.needs], check=True)


def parties(folder: Path, given: argparse.Namespace) -> tuple[Party, ...]:
    """Everybody, in the order of the tables."""
    own = (str(Path(sys.executable).with_name("headwater")),)
    limits = ("--json", "--threads", str(given.threads), "--memory", given.memory)
    settings = ("--config", str(folder / "headwater.toml"))
    log, out = str(folder / "log"), str(folder / "out")
    return (
        Party(
            name="raw scan",
            command=(
                sys.executable,
                __file__,
                "--part",
                "scan",
                "--folder",
                str(folder),
                "--threads",
                str(given.threads),
            ),
            does="reads every column once with DuckDB, and nothing else",
        ),
        Party(
            name="headwater check",
            command=(*own, "check", *settings, *limits),
            does="counts and three example rows for each check, users and money it touches; writes the kept rows, the quarantine with each row's codes, and what the next load needs to read only new files",
        ),
        Party(
            name="great_expectations",
            command=("gate_great_expectations.py", log),
            needs=("great_expectations==1.24.1", "pandas==3.1.1", "pyarrow==26.0.1"),
            does="counts, and up to 20 values, on its pandas engine (one trial each under load at 5 million rows: pandas 32 s, Spark 65 s; DuckDB through SQLAlchemy gives it empty results); no split of the rows, no file, no users or money, no next load",
        ),
        Party(
            name="pointblank",
            command=("gate_pointblank.py", log),
            needs=("pointblank==1.1.1", "polars==2.1.0", "pyarrow==26.0.1"),
            does="counts (extracts and sundering into rows that pass and fail exist, were left out); no file, no users or money, no next load",
        ),
        Party(
            name="headwater ledger",
            command=(*own, "ledger", *settings, *limits),
            ledger=True,
            does="all that its check does, then the ledger by day, users, and their first hours",
        ),
        Party(
            name="pandas",
            command=("gate_pandas.py", log, out),
            ledger=True,
            needs=("pandas==3.1.1", "pyarrow==26.0.1"),
            does="counts, the ledger and the broken rows with their flags in one file each; no kept rows, no users or money, no next load; all in memory",
        ),
        Party(
            name="polars",
            command=("gate_polars.py", log, out),
            ledger=True,
            needs=("polars==2.1.0",),
            does="the same as pandas, streamed",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one party."""

    seconds: float
    cpu: float
    peak_mb: float
    load: float
    said: Mapping[str, Any]
    died: str = ""


def run(party: Party, folder: Path, given: argparse.Namespace) -> Run:
    """One process from start to end, watched."""
    shutil.rmtree(folder / ".headwater", ignore_errors=True)
    (folder / "out").mkdir(exist_ok=True)
    command = list(party.command)
    if party.needs:
        command = [str(party.python), str(HERE / "peers" / command[0]), *command[1:]]
    few = str(given.threads)
    env = os.environ | dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_IO_THREADS"), few)
    load = os.getloadavg()[0]
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, env=env, start_new_session=True)
        used, died, peak = _watched(child.pid, began, cap=given.cap * 1024, limit=given.limit)
        seconds = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        lines, errors = out.read().splitlines(), err.read().splitlines()
    said: Mapping[str, Any] = {}
    if not died and used["code"]:
        died = f"exit code {used['code']}: {errors[-1] if errors else 'no message'}"
    if not died and lines and party.name != "raw scan":
        said = json.loads(lines[-1])
    made = Run(
        seconds=seconds, cpu=used["cpu"], peak_mb=max(peak, used["peak_mb"]), load=load, said=said, died=died
    )
    print(f"{party.name:20s} {seconds:8.2f} s  load {load:.1f}  {died}", file=sys.stderr)
    return made


def _watched(pid: int, began: float, *, cap: float, limit: float) -> tuple[dict[str, float], str, float]:
    """Wait for a process and end its group where it takes more memory (MB) or time than allowed."""
    peak, died, looked = 0.0, "", 0.0
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            spent = {"cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
            return spent | {"code": os.waitstatus_to_exitcode(status)}, died, peak
        now = time.perf_counter()
        if not died and now - looked >= 0.1:
            looked, resident = now, _resident_mb(pid)
            peak = max(peak, resident)
            if resident > cap or now - began > limit:
                died = f"ended by us at {now - began:.0f} s with {resident:,.0f} MB (limits: {limit} s, {cap:,.0f} MB)"
                os.killpg(pid, signal.SIGKILL)
        time.sleep(0.01)


def _resident_mb(group: int) -> float:
    """The memory of all processes of a group."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def counted(said: Mapping[str, Any]) -> dict[str, int]:
    """How many rows a party says break each check; Headwater's rules are known by their codes."""
    if "counts" in said:
        return dict(said["counts"])
    starts = {
        "user": "required(uid)",
        "event_id": "unique(",
        "price": "range(",
        "platform": "one_of(",
        "future": "not_future(",
        "order_code": "matches(",
    }
    rules = said.get("rules", ())
    return {c: sum(r["n_rows"] for r in rules if r["code"].startswith(s)) for c, s in starts.items() if rules}


def disagreements(
    party: Party, runs: Sequence[Run], truth: Mapping[str, int], ledger: Mapping[str, int]
) -> Iterable[str]:
    """What a party's counts and ledger differ in from the plan and from Headwater's ledger."""
    for one in runs:
        for check, n in counted(one.said).items():
            if n != truth[check]:
                yield f"{party.name}: {check} {n:,}, planted {truth[check]:,}"
        theirs = dict(one.said.get("ledger", {}))
        if theirs and ledger:
            theirs["revenue_micros"] = theirs.pop("revenue_cents") * 10_000
            yield from (
                f"{party.name}: ledger {k} {v:,}, Headwater {ledger[k]:,}"
                for k, v in theirs.items()
                if v != ledger[k]
            )


def table(title: str, among: Sequence[Party], runs: Mapping[str, Sequence[Run]], n_rows: int) -> None:
    """Medians of whole processes; ratios to the raw scan and to Headwater."""
    done = {name: [r for r in many if not r.died] for name, many in runs.items()}
    wall = {name: median(r.seconds for r in many) for name, many in done.items() if many}
    ours = next((wall.get(p.name) for p in among if p.name.startswith("headwater")), None)
    print(
        f"\n{title:<22}{'seconds':>9}{'min-max':>15}{'CPU s':>8}{'rows/s':>13}{'peak MB':>9}{'x scan':>8}{'x Headwater':>13}"
    )
    for party in among:
        many = done.get(party.name, [])
        if not many:
            print(
                f"{party.name:<22}died: {runs[party.name][-1].died}"
                if runs.get(party.name)
                else f"{party.name:<22}left out"
            )
            continue
        seconds, low, high = wall[party.name], min(r.seconds for r in many), max(r.seconds for r in many)
        cpu, peak = median(r.cpu for r in many), max(r.peak_mb for r in many)
        ratio = f"{seconds / ours:13.2f}" if ours else f"{'':13}"
        scans = f"{seconds / wall['raw scan']:8.1f}" if "raw scan" in wall else f"{'':8}"
        print(
            f"{party.name:<22}{seconds:9.2f}{f'{low:.2f}-{high:.2f}':>15}{cpu:8.1f}{n_rows / seconds:13,.0f}{peak:9,.0f}{scans}{ratio}"
        )
    if ours:
        faster = [
            p.name
            for p in among
            if not p.name.startswith(("headwater", "raw")) and wall.get(p.name, ours) < ours
        ]
        print(f"faster than Headwater here: {', '.join(faster) or 'none'}")


def main() -> None:
    """Make the log, run the rounds, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="3GB", help="DuckDB's limit for Headwater")
    parser.add_argument("--cap", type=float, default=12.0, help="resident memory a party may take, GB")
    parser.add_argument("--limit", type=float, default=240.0, help="seconds a run may take")
    parser.add_argument("--only", nargs="+", help="these parties; without it all")
    parser.add_argument("--part", choices=["make", "scan", "totals"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    match given.part:
        case "make":
            make(given.folder, given.rows[0])
        case "scan":
            scan(given.folder, given.threads)
        case "totals":
            print(json.dumps(ledger_totals(given.folder)))
        case _:
            for rows in given.rows:
                compare(rows, given)


def compare(rows: int, given: argparse.Namespace) -> None:
    """All parties at one size."""
    folder = OUT / str(rows)
    itself = [sys.executable, __file__, "--folder", str(folder), "--rows", str(rows), "--part"]
    if not (folder / "truth.json").is_file():
        subprocess.run([*itself, "make"], check=True)
    truth = json.loads((folder / "truth.json").read_text())
    among = [p for p in parties(folder, given) if not given.only or p.name in (*given.only, "raw scan")]
    for party in among:
        party.ready()
    run(among[0], folder, given)  # the files into the page cache
    runs: dict[str, list[Run]] = {p.name: [] for p in among}
    ledger: dict[str, int] = {}
    for number in range(given.rounds):
        turn = number % len(among)
        for party in among[turn:] + among[:turn]:
            if any(r.died for r in runs[party.name]):
                continue
            made = run(party, folder, given)
            runs[party.name].append(made)
            if party.name == "headwater ledger" and not made.died:
                ledger = json.loads(subprocess.check_output([*itself, "totals"]))
    report(among, runs, truth, ledger, given)


def report(
    among: Sequence[Party],
    runs: Mapping[str, Sequence[Run]],
    truth: Mapping[str, int],
    ledger: Mapping[str, int],
    given: argparse.Namespace,
) -> None:
    """The tables, who differs in what, and the conditions."""
    loads = [r.load for many in runs.values() for r in many]
    print(
        f"\n{truth['rows']:,} rows in {DAYS} files; {given.rounds} interleaved rounds, medians of whole processes; {given.threads} threads"
        f" of {os.cpu_count()} cores that others use too (load average before a run: median {median(loads):.1f}, {min(loads):.1f} to {max(loads):.1f});"
        f" Headwater's engine limit {given.memory}; cap {given.cap:g} GB, {given.limit:g} s"
    )
    table("six checks", [p for p in among if not p.ledger], runs, truth["rows"])
    table("checks + ledger", [p for p in among if p.ledger or p.name == "raw scan"], runs, truth["rows"])
    print("\nplanted: " + ", ".join(f"{check} {truth[check]:,}" for check in CHECKS))
    told = [line for p in among for line in disagreements(p, runs[p.name], truth, ledger)]
    counting = [p.name for p in among if any(counted(r.said) for r in runs[p.name])]
    adding = [p.name for p in among if ledger and any("ledger" in r.said for r in runs[p.name])]
    print(f"counts held to the plan: {', '.join(counting) or 'none'}")
    print(f"ledgers held to Headwater's: {', '.join(adding) or 'none'}")
    print("differences: " + ("; ".join(dict.fromkeys(told)) or "none"))
    print(
        "event_id: Headwater, pandas and Polars count repeats after the first; Great Expectations and pointblank count all rows of an id that repeats, and are held to that number."
    )
    print("what each does in that time:")
    for party in among:
        print(f"  {party.name}: {party.does}")


if __name__ == "__main__":
    main()
