"""Files of users to files of arms: by hash, or allocated at random with arms that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.errors import ConfigError, DataError, UsageError, near_miss
from headwater.core.finding import Finding, Severity
from headwater.effects.allocation import Allocation
from headwater.effects.assignment import Assigned, assign, kept_as_before
from headwater.effects.balanced import Balanced, allocate_balanced
from headwater.effects.plan import Arm
from headwater.effects.slices import Slice, namespace
from headwater.engine.engine import Engine
from headwater.engine.sources import Relation, SiftedFiles, find_files, open_relation, read_sifted
from headwater.engine.sql import Sql, commas, name, sql

__all__ = ["AssignedFile", "arms_of", "assign_file", "balance_file", "namespace_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssignedFile:
    """The ids of a file with their arms (null for none), how they were made, and what there is to say."""

    rows: pa.Table
    n_by_arm: tuple[tuple[str, int], ...]
    made: Assigned | Balanced
    findings: tuple[Finding, ...]


def assign_file(
    engine: Engine,
    users: Path,
    *,
    unit: str,
    allocation: Allocation,
    cluster: str | None = None,
    keep: Path | None = None,
) -> AssignedFile:
    """The arm of each unit by hash, of the cluster's id where one is named; ``keep``: a file of earlier arms that stay."""
    columns = [unit, *([cluster] if cluster and cluster != unit else [])]
    rows = _read(engine, users, ids=columns, numbers=[])
    n_rows = rows.num_rows
    rows = rows.group_by(columns, use_threads=False).aggregate([]).select(columns)
    if cluster:
        _require_one_cluster(rows, unit)
    found = assign(allocation, rows[cluster or unit])
    arms = found.arms
    if keep is not None:
        earlier = _read(engine, keep, ids=[unit, "arm"], numbers=[])
        arms = kept_as_before(found, rows[unit], earlier_ids=earlier[unit], earlier_arms=earlier["arm"])
    counts = {c["values"]: c["counts"] for c in pc.value_counts(arms.cast(pa.string())).to_pylist()}
    return AssignedFile(
        rows=rows.append_column("arm", arms.cast(pa.string())),
        n_by_arm=tuple((a.name, counts.get(a.name, 0)) for a in allocation.arms),
        made=found,
        findings=(*found.findings, *_repeated(n_rows, rows.num_rows)),
    )


def balance_file(
    engine: Engine,
    users: Path,
    *,
    unit: str,
    arms: Sequence[Arm],
    by: Sequence[str],
    like: Sequence[str],
    accept_share: float,
    seed: int,
) -> AssignedFile:
    """The arm of each unit drawn at random: exact shares within strata, alike in columns. Each unit has one row."""
    rows = _read(engine, users, ids=[unit, *by], numbers=like)
    n_units = pc.count_distinct(rows[unit], mode="all").as_py()
    if n_units < rows.num_rows or rows[unit].null_count:
        raise DataError(
            "allocation.repeated",
            what=f"{rows.num_rows:,} rows name {n_units:,} units{' and some none' if rows[unit].null_count else ''}.",
            why="Who stands there twice would be drawn twice.",
            do="Give a file with one row for each unit, or assign by hash (without --by and --rerandomize).",
        )
    rng = np.random.default_rng(seed)
    rows = rows.sort_by(unit)
    found = allocate_balanced(rows, arms=arms, by=by, like=like, accept_share=accept_share, rng=rng)
    kept = rows.select(list(dict.fromkeys([unit, *by])))
    return AssignedFile(
        rows=kept.append_column("arm", found.arms.cast(pa.string())),
        n_by_arm=found.n_by_arm,
        made=found,
        findings=found.findings,
    )


def arms_of(text: str) -> tuple[Arm, ...]:
    """Arms as written on the command line: ``champion=0.5,challenger=0.5``; without shares all get the same."""
    parts = [p.strip() for p in text.split(",") if p.strip()]
    found = (
        [p.rpartition("=") for p in parts] if "=" in text else [(p, "", str(1 / len(parts))) for p in parts]
    )
    return tuple(Arm(name=n.strip(), share=_number(share, text, "--arms")) for n, _, share in found)


def namespace_of(text: str) -> Slice:
    """A GrowthBook namespace as written on the command line: ``id,from,to``."""
    parts = [p.strip() for p in text.split(",")]
    if len(parts) != 3:
        raise _unreadable("--namespace", text, "id,from,to, such as pricing,0,0.4")
    return namespace(parts[0], *(_number(p, text, "--namespace") for p in parts[1:]))


def _number(part: str, text: str, option: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise _unreadable(option, text, "numbers such as 0.5") from None


def _unreadable(option: str, text: str, do: str) -> UsageError:
    return UsageError(
        "assignment.unreadable",
        what=f"{option} '{text}' cannot be read.",
        why="Users would be split otherwise than meant; nothing was run.",
        do=f"Write {do}.",
    )


def _read(engine: Engine, path: Path, *, ids: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """Columns of a file: ids as text with blanks as missing, numbers as numbers, in the order of the file."""

    def read(sifted: SiftedFiles) -> pa.Table:
        relation = open_relation(engine, sifted.files)
        kinds = dict(relation.columns)
        for column in (*ids, *numbers):
            _require_column(relation, column)
        shown = [
            *(_id_column(c, kinds[c]) for c in dict.fromkeys(ids)),
            *(_number_column(c) for c in numbers if c not in ids),
        ]
        return engine.arrow(sql("SELECT {c} FROM {r}", c=commas(shown), r=relation.rows))

    rows = read_sifted(engine, find_files(path), read)
    if not rows.num_rows:
        raise DataError(
            "source.no_rows",
            what=f"'{path}' has columns but no row.",
            why="There is nobody to assign.",
            do="Give a file with users.",
        )
    return rows


def _require_column(relation: Relation, column: str) -> None:
    if column not in dict(relation.columns):
        raise ConfigError(
            "source.missing_column",
            what=f"'{relation.files[0].name}' has no column '{column}'.",
            why="It was named on the command line.",
            do=near_miss(column, [c for c, _ in relation.columns]),
        )


def _id_column(column: str, kind: str) -> Sql:
    if kind.startswith(("DOUBLE", "FLOAT", "DECIMAL", "REAL", "BLOB")) or "[" in kind:
        raise DataError(
            "assignment.id_type",
            what=f"'{column}' is of type {kind}; texts and whole numbers can be assigned.",
            why="The text of such a value differs from program to program (1, 1.0, 1e0), and with it the arm.",
            do="Give the ids as text, as the app knows them.",
        )
    return sql("nullif(CAST({c} AS STRING), '') AS {c}", c=name(column))


def _number_column(column: str) -> Sql:
    return sql("CAST(nullif(CAST({c} AS STRING), '') AS DOUBLE) AS {c}", c=name(column))


def _require_one_cluster(rows: pa.Table, unit: str) -> None:
    n_units = pc.count_distinct(rows[unit], mode="all").as_py()
    if n_units < rows.num_rows:
        raise DataError(
            "assignment.two_clusters",
            what=f"{n_units:,} units stand in {rows.num_rows:,} pairs of unit and cluster.",
            why="A unit's clusters may come to different arms, and the unit to both.",
            do="Give each unit one cluster, such as its first.",
        )


def _repeated(n_rows: int, n_units: int) -> tuple[Finding, ...]:
    if n_rows == n_units:
        return ()
    finding = Finding(
        code="assignment.repeated",
        severity=Severity.NOTE,
        what=f"{n_rows:,} rows name {n_units:,} units; each is written once.",
        why="A unit comes to one arm however often it stands in the file.",
        do="Nothing, if the file is a log; else find out why units are repeated.",
        numbers={"n_rows": n_rows, "n_units": n_units},
    )
    return (finding,)
