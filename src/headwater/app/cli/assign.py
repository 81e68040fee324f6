"""``headwater experiment assign`` and ``assign-sql``: who comes to which arm, as a file and as a SQL expression."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headwater.app.assigned import AssignedFile, arms_of, assign_file, balance_file, namespace_of
from headwater.app.cli.experiment import experiment
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.cli.written import require_folder
from headwater.app.store import Store
from headwater.app.table_files import require_table_file, write_table
from headwater.core.block import Field, Form, Grid
from headwater.core.errors import UsageError
from headwater.effects.allocation import Allocation
from headwater.effects.assignment import Assigned, assignment_sql
from headwater.effects.balanced import Balanced
from headwater.effects.plan import Arm
from headwater.engine.dialect import DUCKDB, SPARK
from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import name, render, sql

__all__ = ["assign", "assign_sql"]

_DIALECTS = {"duckdb": DUCKDB, "spark": SPARK}

Arms = Annotated[str, typer.Option(help="Arms and shares, the control first: champion=0.5,challenger=0.5.")]
Experiment = Annotated[str, typer.Option(help="The experiment's key; what the hash is seeded with.")]
Unit = Annotated[str, typer.Option(help="The column with the ids of whoever is assigned.")]
HashSeed = Annotated[str | None, typer.Option(help="What the hash is seeded with, where it is not the key.")]
Coverage = Annotated[float, typer.Option(help="The share of users who are in: 0.05 for five percent.")]
Namespaces = Annotated[list[str] | None, typer.Option("--namespace", help="A GrowthBook namespace: id,from,to. May be given several times.")]  # fmt: skip
Version = Annotated[int, typer.Option(help="Of GrowthBook's hash: 2, or 1 for what began under it.")]


@experiment.command()
@with_options
def assign(
    options: Options,
    users: Annotated[Path, typer.Argument(help="A file, folder or glob of users.")],
    *,
    unit: Unit,
    arms: Arms,
    to: Annotated[Path, typer.Option(help="The file to write: .parquet or .csv.")],
    experiment: Experiment,
    hash_seed: HashSeed = None,
    coverage: Coverage = 1.0,
    namespace: Namespaces = None,
    hash_version: Version = 2,
    cluster: Annotated[str | None, typer.Option(help="Hash this column instead, so that whole clusters share an arm.")] = None,
    keep: Annotated[Path | None, typer.Option(help="A file of earlier arms (the unit column and 'arm') that stay as they are.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Draw at random instead, with exact shares within this column. May be given several times.")] = None,
    rerandomize: Annotated[str | None, typer.Option(help="Draw at random instead, until the arms are alike in these numeric columns: pre_a,pre_b.")] = None,
    accept: Annotated[float, typer.Option(min=1e-6, max=1, help="The share of random draws that are alike enough.")] = 0.01,
) -> None:  # fmt: skip
    """Assign a file of users to arms: by hash, as the app will, or at random with arms that are alike."""

    def work() -> Reply:
        require_folder(to, "--to")
        require_table_file(to)
        like = [c.strip() for c in (rerandomize or "").split(",") if c.strip()]
        engine = DuckDB(threads=options.threads or 2, memory=options.memory or "1500MB", spill=Store(options.root).spill)  # fmt: skip
        if by or like:
            _require_alone(coverage=coverage != 1, namespace=namespace, cluster=cluster, keep=keep, hash_seed=hash_seed)  # fmt: skip
            seed = 7 if options.seed is None else options.seed
            shares = arms_of(arms)
            found = balance_file(engine, users, unit=unit, arms=shares, by=by or [], like=like, accept_share=accept, seed=seed)  # fmt: skip
        else:
            allocation = _allocation(experiment, arms, seed=hash_seed, coverage=coverage, namespaces=namespace, version=hash_version)  # fmt: skip
            shares = allocation.arms
            found = assign_file(engine, users, unit=unit, allocation=allocation, cluster=cluster, keep=keep)
        if options.dry_run:
            return Reply(text=f"Would write {found.rows.num_rows:,} units to {to}.", data={"dry_run": True})
        write_table(found.rows, to)
        return _reply(found, shares, to)

    answer(options, "experiment assign", work)


@experiment.command(name="assign-sql")
@with_options
def assign_sql(
    options: Options,
    *,
    unit: Unit,
    arms: Arms,
    experiment: Experiment,
    hash_seed: HashSeed = None,
    coverage: Coverage = 1.0,
    namespace: Namespaces = None,
    hash_version: Version = 2,
    dialect: Annotated[str, typer.Option(help="duckdb or spark.")] = "duckdb",
) -> None:
    """The same assignment as one SQL expression, to be put into a query over the users."""

    def work() -> Reply:
        if dialect not in _DIALECTS:
            raise UsageError("assignment.unreadable", what=f"--dialect '{dialect}' is not known.", why="Engines spell the expression differently.", do="Write duckdb or spark.")  # fmt: skip
        allocation = _allocation(experiment, arms, seed=hash_seed, coverage=coverage, namespaces=namespace, version=hash_version)  # fmt: skip
        text = render(
            assignment_sql(allocation, sql("CAST({u} AS STRING)", u=name(unit))), _DIALECTS[dialect]
        )
        return Reply(text=text, data={"sql": text, "dialect": dialect})

    answer(options, "experiment assign-sql", work)


def _allocation(
    experiment: str,
    arms: str,
    *,
    seed: str | None,
    coverage: float,
    namespaces: list[str] | None,
    version: int,
) -> Allocation:
    return Allocation(
        experiment=experiment,
        arms=arms_of(arms),
        coverage=coverage,
        seed=seed,
        slices=tuple(namespace_of(n) for n in namespaces or []),
        version=version,
    )


def _require_alone(**given: Any) -> None:
    clash = [f"--{option.replace('_', '-')}" for option, value in given.items() if value]
    if clash:
        raise UsageError(
            "assignment.two_ways",
            what=f"--by and --rerandomize draw at random; {', '.join(clash)} belongs to assignment by hash.",
            why="A unit has one arm by one of them.",
            do="Leave out one or the other.",
        )


def _reply(found: AssignedFile, arms: tuple[Arm, ...], to: Path) -> Reply:
    n = sum(k for _, k in found.n_by_arm)
    planned = {a.name: a.share for a in arms}
    shares = Grid.of(
        "arms",
        "Arms",
        (
            Field(name="arm", label="arm"),
            Field(name="units", label="units", form=Form.INTEGER),
            Field(name="share", label="share", form=Form.SHARE),
            Field(name="planned", label="planned", form=Form.SHARE),
        ),
        [(a, k, k / n if n else None, planned[a]) for a, k in found.n_by_arm],
    )
    lines = [
        f"{found.rows.num_rows:,} units, {n:,} in an arm.",
        grid_text(shares),
        *_told(found.made),
        f"arms: {to}",
        *(finding_line(f) for f in found.findings),
    ]
    data = {
        "n_units": found.rows.num_rows,
        "n_in": n,
        "n_by_arm": dict(found.n_by_arm),
        "file": str(to),
        **_facts(found.made),
        "findings": [finding_data(f) for f in found.findings],
    }
    return Reply(text="\n".join(lines), data=data)


def _told(made: Assigned | Balanced) -> list[str]:
    if isinstance(made, Assigned):
        why = {
            "outside their namespace": made.n_outside,
            "not covered": made.n_not_covered,
            "without an id": made.n_without_id,
        }
        told = ", ".join(f"{n:,} {reason}" for reason, n in why.items() if n)
        return [f"In none: {told}."] if told else []
    if not made.balance:
        return [f"Drawn within {made.n_strata:,} strata."]
    table = Grid.of(
        "balance",
        "Balance",
        (
            Field(name="column", label="column"),
            Field(name="arm", label="arm"),
            Field(name="control", label="control", form=Form.NUMBER),
            Field(name="mean", label="mean", form=Form.NUMBER),
            Field(name="plain_draw_sd", label="plain draw, SD", form=Form.NUMBER),
            Field(name="as_allocated_sd", label="as allocated, SD", form=Form.NUMBER),
        ),
        [
            (b.column, b.arm, b.mean_control, b.mean_arm, b.difference_plain, b.difference)
            for b in made.balance
        ],
    )
    strata = f" within {made.n_strata:,} strata" if made.n_strata > 1 else ""
    return [
        "",
        f"Drawn {made.n_draws:,} times{strata}; the columns' differences keep {made.variance_left:.2%} of their variance.",
        grid_text(table),
    ]


def _facts(made: Assigned | Balanced) -> dict[str, Any]:
    if isinstance(made, Assigned):
        return {
            "n_outside": made.n_outside,
            "n_not_covered": made.n_not_covered,
            "n_without_id": made.n_without_id,
        }
    balance = [
        {
            "column": b.column,
            "arm": b.arm,
            "mean_control": b.mean_control,
            "mean_arm": b.mean_arm,
            "difference_plain": b.difference_plain,
            "difference": b.difference,
        }
        for b in made.balance
    ]
    return {
        "n_strata": made.n_strata,
        "n_draws": made.n_draws,
        "variance_left": made.variance_left,
        "balance": balance,
    }
