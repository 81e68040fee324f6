"""Which column of an experiment's file is the arm, the unit, the outcomes, where nobody said: guesses, each told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps
from keyword import iskeyword
from pathlib import Path

from headwater.contracts.looks import Look
from headwater.core.errors import ConfigError, DataError, near_miss
from headwater.core.finding import Finding, Severity
from headwater.core.table import Kind
from headwater.effects.metric import Metric
from headwater.effects.read_units import Columns, Roles, read_columns, units_of_columns
from headwater.effects.units import Units
from headwater.engine.engine import Engine
from headwater.engine.expression import compile_expression

__all__ = ["ReadUnits", "control_of", "read_units"]

_ARM_WORDS = (
    "arm",
    "variant",
    "variation",
    "treatment",
    "version",
    "group",
    "bucket",
    "condition",
    "cell",
    "segment",
)
_UNIT_WORDS = {
    "id",
    "uid",
    "uuid",
    "user",
    "userid",
    "customer",
    "player",
    "account",
    "device",
    "visitor",
    "member",
    "household",
}
_EXPOSED_WORDS = {"exposed", "exposure", "assigned", "assignment", "enrolled", "enrollment", "randomized"}
_BEFORE_WORDS = {"pre", "before", "prior", "baseline", "previous"}
_CONTROLS = {
    "control", "ctrl", "a", "0", "false", "off", "baseline", "base", "champion", "current", "old", "original", "holdout",
    "placebo", "none", "no", "default", "untreated", "status quo", "variant_0", "c",
}  # fmt: skip
_MOST_ARMS = 10
_FUNCTIONS = {"abs", "starts_with", "lower", "upper", "coalesce", "col"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadUnits:
    """A file ready to gather: ``arms`` has the control first; ``findings`` say what was guessed."""

    units: Units
    arms: tuple[str, ...]
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]


def read_units(
    engine: Engine,
    path: Path,
    *,
    arm: str | None = None,
    control: str | None = None,
    unit: str | None = None,
    outcomes: Sequence[str] = (),
    covariates: Sequence[str] = (),
    strata: Sequence[str] = (),
    exposed: str | None = None,
    cluster: str | None = None,
    is_long: bool = False,
    time_zone: str = "UTC",
    delimiter: str | None = None,
) -> ReadUnits:
    """An experiment's file with its roles; those that are not named are guessed from names and values.

    Parameters
    ----------
    outcomes
        Columns or expressions; none: every column of numbers or switches that has no other role.
    covariates
        Columns known before exposure; none: those whose names say so, such as ``pre_revenue``.

    Raises
    ------
    SourceError
        The file cannot be read.
    ConfigError
        A named column is not there (``source.missing_column``).
    DataError
        The arm or the control cannot be told (``experiment.arm_column``, ``experiment.control``), or no
        column is an outcome (``experiment.outcomes``).
    """
    columns = read_columns(engine, path, delimiter=delimiter)
    named = [c for c in (arm, unit, *covariates, *strata, exposed, cluster) if c is not None]
    _require(named, columns)
    guessed: list[tuple[str, str]] = []
    if arm is None:
        arm = _arm(columns, taken=named)
        guessed.append((f"the arm is the column '{arm}'", "--arm"))
    if unit is None:
        unit = _unit(columns, taken=[*named, arm])
        said = "a row is a unit" if unit is None else f"the unit is the column '{unit}'"
        guessed.append((said, "--user"))
    if exposed is None:
        exposed = _exposed(columns, taken=[*named, arm])
        if exposed is not None:
            guessed.append((f"the first exposure is the column '{exposed}'", "--exposed"))
    roles = Roles(
        arm=arm, unit=unit, strata=tuple(strata), exposed=exposed, cluster=cluster, is_long=is_long, time_zone=time_zone
    )  # fmt: skip
    arms, said = control_of(_arm_values(columns, arm), control=control, column=arm)
    if said:
        guessed.append((said, "--control"))
    taken = [*named, arm, *[c for c in (unit, exposed) if c]]
    before = tuple(covariates) or _before(columns, taken=taken)
    if before and not covariates:
        guessed.append((f"known before exposure: {_listed(before)}", "--covariate"))
    units = units_of_columns(engine, columns, roles)
    if outcomes:
        metrics = [_declared(o, units, columns) for o in outcomes]
    else:
        metrics = _outcomes(columns, taken=[*taken, *before])
        guessed.append((f"outcomes are {_listed([m.name for m in metrics])}", "--outcome"))
    own = [tuple(expression_of(c) for c in before if c != m.outcome) for m in metrics]
    return ReadUnits(
        units=units,
        arms=arms,
        metrics=tuple(replace(m, covariates=c) for m, c in zip(metrics, own, strict=True)),
        findings=_told(guessed),
    )


def control_of(
    arms: Sequence[str], *, control: str | None, column: str = "arm"
) -> tuple[tuple[str, ...], str]:
    """The arms with the control first, and in words how it was told (empty where it was declared).

    >>> control_of(["gate_40", "gate_30"], control=None)
    (('gate_30', 'gate_40'), "the control is 'gate_30', the lowest number")
    >>> control_of(["Mens E-Mail", "No E-Mail", "Womens E-Mail"], control=None)[0]
    ('No E-Mail', 'Mens E-Mail', 'Womens E-Mail')
    """
    if control is not None:
        if control not in arms:
            raise DataError(
                "arms.missing",
                what=f"No row of the column '{column}' is of the arm '{control}'.",
                why="An arm without users cannot be compared.",
                do=near_miss(control, arms),
            )
        return _first(control, arms), ""
    named = [a for a in arms if _is_control(a)]
    if len(named) == 1:
        return _first(named[0], arms), f"the control is '{named[0]}', by its name"
    numbered = {a: re.fullmatch(r"(\D*)(\d+)", a) for a in arms}
    found = {a: (m[1], int(m[2])) for a, m in numbered.items() if m}
    if not named and len(found) == len(arms) and len({stem for stem, _ in found.values()}) == 1:
        lowest = min(found, key=lambda a: found[a][1])
        return _first(lowest, arms), f"the control is '{lowest}', the lowest number"
    raise DataError(
        "experiment.control",
        what=f"Which arm of the column '{column}' is the control cannot be told: {_listed(arms)}.",
        why="An effect would have the wrong sign, or be one of two treatments.",
        do=f"Name it: --control '{arms[0]}'." if arms else "Name it with --control.",
    )


def expression_of(column: str) -> str:
    """A column as an expression.

    >>> expression_of("revenue"), expression_of("sum of rounds")
    ('revenue', 'col("sum of rounds")')
    """
    plain = column.isidentifier() and not iskeyword(column) and column not in _FUNCTIONS
    return column if plain else f"col({dumps(column, ensure_ascii=False)})"


def _is_control(arm: str) -> bool:
    text = arm.strip().lower()
    return text in _CONTROLS or text.startswith(("control", "no ", "no-", "no_", "without "))


def _first(control: str, arms: Sequence[str]) -> tuple[str, ...]:
    return (control, *sorted(a for a in arms if a != control))


def _require(named: Sequence[str], columns: Columns) -> None:
    for column in named:
        if column not in columns.kinds:
            raise ConfigError(
                "source.missing_column",
                what=f"The file has no column '{column}'.",
                why="It was named as a role of the experiment.",
                do=near_miss(column, columns.kinds),
            )


def _arm(columns: Columns, *, taken: Sequence[str]) -> str:
    fit = [k for k in columns.looks if k.column not in taken and 2 <= k.n_distinct <= _MOST_ARMS]
    for word in _ARM_WORDS:
        whole = [k.column for k in fit if k.words == (word,)]
        if whole:
            return whole[0]
    parts = [k.column for k in fit if set(k.words) & set(_ARM_WORDS)]
    if len(parts) == 1:
        return parts[0]
    raise DataError(
        "experiment.arm_column",
        what=f"Which column is the arm cannot be told; of a few values are: {_listed([k.column for k in fit]) or 'none'}.",
        why="Any other column would compare users who were not randomized.",
        do="Name it: --arm COLUMN.",
    )


def _arm_values(columns: Columns, arm: str) -> tuple[str, ...]:
    return tuple(sorted(re.sub(r"^(\d+)\.0$", r"\1", v) for v in columns.values.get(arm, {})))


def _unit(columns: Columns, *, taken: Sequence[str]) -> str | None:
    fit = [k for k in columns.looks if k.column not in taken and set(k.words) & _UNIT_WORDS and _may_be_id(k)]
    return max(fit, key=lambda k: k.n_distinct).column if fit else None


def _may_be_id(look: Look) -> bool:
    return look.n_fraction == 0 and look.n_filled > 0 and look.n_distinct > 0.2 * look.n_filled


def _exposed(columns: Columns, *, taken: Sequence[str]) -> str | None:
    fit = [
        c for c, k in columns.kinds.items()
        if c not in taken and k in {Kind.TIMESTAMP, Kind.DAY} and set(columns.look(c).words) & _EXPOSED_WORDS
    ]  # fmt: skip
    return fit[0] if len(fit) == 1 else None


def _before(columns: Columns, *, taken: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        k.column
        for k in columns.looks
        if k.column not in taken and _has_size(columns.kinds[k.column]) and _is_before(k.words)
    )


def _is_before(words: Sequence[str]) -> bool:
    return len(words) > 1 and bool({words[0], words[-1]} & _BEFORE_WORDS)


def _has_size(kind: Kind) -> bool:
    return kind in {Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN}


def _outcomes(columns: Columns, *, taken: Sequence[str]) -> list[Metric]:
    fit = [
        k.column
        for k in columns.looks
        if k.column not in taken and _has_size(columns.kinds[k.column]) and k.n_distinct > 1 and not _is_id(k)
    ]
    if not fit:
        raise DataError(
            "experiment.outcomes",
            what="No column beside the arm and the unit holds numbers or true and false.",
            why="There is nothing to compare the arms by.",
            do='Name an outcome: --outcome "orders > 0".',
        )
    return [
        Metric(
            name=c, kind=_metric_kind(columns.kinds[c], columns.values.get(c, {})), outcome=expression_of(c)
        )
        for c in fit
    ]


def _is_id(look: Look) -> bool:
    return bool(set(look.words) & {"id", "uid", "uuid"}) and look.n_distinct == look.n_filled


def _metric_kind(kind: Kind, values: Mapping[str, int]) -> str:
    is_switch = kind is Kind.BOOLEAN or (bool(values) and set(values) <= {"0", "1", "0.0", "1.0"})
    return "proportion" if is_switch else "mean"


def _declared(outcome: str, units: Units, columns: Columns) -> Metric:
    expression = expression_of(outcome) if outcome in units.columns else outcome
    kind = compile_expression(expression, units.columns).kind
    return Metric(
        name=outcome, kind=_metric_kind(kind, columns.values.get(outcome, {})), outcome=expression
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names)


def _told(guessed: Sequence[tuple[str, str]]) -> tuple[Finding, ...]:
    if not guessed:
        return ()
    return (
        Finding(
            code="experiment.guessed",
            severity=Severity.NOTE,
            what=f"Guessed from names and values: {'; '.join(said for said, _ in guessed)}.",
            why="The file does not say so; a wrong guess compares the wrong things.",
            do=f"Say otherwise with {', '.join(option for _, option in guessed)}.",
            numbers={"n_guessed": len(guessed)},
        ),
    )
