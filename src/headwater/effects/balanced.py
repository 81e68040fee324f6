"""Allocations of a small population that is known beforehand: stratified, rerandomized, and how alike the arms then are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.effects.allocation import require_arms
from headwater.effects.plan import Arm
from headwater.engine.arrays import column_floats
from headwater.numerics.randomize import (
    Accepted,
    accepted_draw,
    distance_limit,
    stratified_draw,
    variance_left,
    whitened,
)

__all__ = ["Balance", "Balanced", "allocate_balanced"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How far an arm is from the control in a column, in standard deviations: of one plain random draw, and as allocated."""

    column: str
    arm: str
    mean_control: float
    mean_arm: float
    difference_plain: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Balanced:
    """The arm of each row, and how alike the arms are.

    ``n_draws`` counts the allocations drawn; ``variance_left`` is the variance of the columns' differences over that of
    plain randomization, 1 without rerandomization. An outcome gains as far as the columns explain it.
    """

    arms: pa.DictionaryArray
    n_by_arm: tuple[tuple[str, int], ...]
    n_strata: int
    balance: tuple[Balance, ...] = ()
    n_draws: int = 1
    variance_left: float = 1.0
    findings: tuple[Finding, ...] = ()


def allocate_balanced(
    rows: pa.Table,
    *,
    arms: Sequence[Arm],
    by: Sequence[str] = (),
    like: Sequence[str] = (),
    accept_share: float = 0.01,
    most_draws: int = 100_000,
    rng: np.random.Generator,
) -> Balanced:
    """Allocate the rows of a table, one for each unit.

    Parameters
    ----------
    arms
        With their shares; within each stratum every arm gets its share of the units, to the next whole one.
    by
        Columns whose combinations are the strata; a missing value is a stratum of its own.
    like
        Numeric columns, known before, in which the arms shall be alike: allocations are drawn until their Mahalanobis
        distance is among the least ``accept_share`` of random ones.

    Raises
    ------
    DataError
        Fewer units than arms (``allocation.too_few``), a column of ``like`` that is no number or without any spread
        (``allocation.not_a_number``, ``allocation.constant``), or no allocation close enough among ``most_draws``
        (``allocation.not_found``).
    """
    require_arms(arms)
    _require_units(rows.num_rows, len(arms))
    strata = _strata(rows, by)
    draw = partial(stratified_draw, strata, [a.share for a in arms], rng=rng)
    if not like:
        return _balanced(draw(), arms, n_strata=int(strata.max()) + 1)
    numbers, findings = _numbers(rows, like)
    white = whitened(numbers, strata)
    if not white.shape[1]:
        raise DataError(
            "allocation.constant",
            what=f"The columns {', '.join(like)} are the same for all units (of a stratum).",
            why="Arms are alike in them whatever is drawn.",
            do="Name columns that differ between units, or leave them out.",
        )
    limit = distance_limit(accept_share, n_columns=white.shape[1], n_arms=len(arms))
    found = accepted_draw(white, draw, n_arms=len(arms), limit=limit, most_draws=most_draws)
    if found is None:
        raise DataError(
            "allocation.not_found",
            what=f"None of {most_draws:,} allocations came within a distance of {limit:.3g} in {', '.join(like)}.",
            why="With so few units or such outliers the arms cannot be that alike.",
            do="Accept a larger share of allocations, or name fewer columns.",
        )
    made = _balanced(found.arms, arms, n_strata=int(strata.max()) + 1)
    return replace(
        made,
        balance=_balances(numbers, like, arms, found),
        n_draws=found.n_draws,
        variance_left=variance_left(accept_share, n_columns=white.shape[1], n_arms=len(arms)),
        findings=(*findings, _adjust(like)),
    )


def _balanced(arm: NDArray[np.intp], arms: Sequence[Arm], *, n_strata: int) -> Balanced:
    names = [a.name for a in arms]
    counts = np.bincount(arm, minlength=len(arms)).tolist()
    return Balanced(
        arms=pa.DictionaryArray.from_arrays(pa.array(arm.astype(np.int8)), pa.array(names)),
        n_by_arm=tuple(zip(names, counts, strict=True)),
        n_strata=n_strata,
    )


def _balances(
    numbers: Floats, like: Sequence[str], arms: Sequence[Arm], found: Accepted
) -> tuple[Balance, ...]:
    """How far each arm is from the control, as drawn first and as accepted; arms without a unit are left out."""
    spread = numbers.std(axis=0, ddof=1)
    scale = np.where(spread > 0, spread, 1.0)
    there = [k for k in range(len(arms)) if (found.arms == k).any() and (found.first == k).any()]
    plain, made = (
        {k: numbers[labels == k].mean(axis=0) for k in there} for labels in (found.first, found.arms)
    )
    return tuple(
        Balance(
            column=column,
            arm=arms[k].name,
            mean_control=float(made[0][j]),
            mean_arm=float(made[k][j]),
            difference_plain=float((plain[k] - plain[0])[j] / scale[j]),
            difference=float((made[k] - made[0])[j] / scale[j]),
        )
        for k in there
        if k and 0 in there
        for j, column in enumerate(like)
    )


def _strata(rows: pa.Table, by: Sequence[str]) -> NDArray[np.intp]:
    """The stratum of each row, 0, 1, ... in the order of their first rows."""
    label = np.zeros(rows.num_rows, dtype=np.int64)
    for column in by:
        codes = pc.dictionary_encode(rows[column].combine_chunks(), null_encoding="encode")
        found = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        label = label * (len(codes.dictionary) + 1) + found
        label = np.unique(label, return_inverse=True)[1].astype(np.int64)
    return label.astype(np.intp)


def _numbers(rows: pa.Table, like: Sequence[str]) -> tuple[Floats, tuple[Finding, ...]]:
    """The columns as numbers, a missing one as the mean of the others."""
    found, findings = np.empty((rows.num_rows, len(like))), list[Finding]()
    for j, column in enumerate(like):
        values = _column(rows, column)
        missing = ~np.isfinite(values)
        if missing.any():
            mean = values[~missing].mean() if not missing.all() else 0.0
            values = np.where(missing, mean, values)
            findings.append(_missing(column, int(missing.sum()), rows.num_rows))
        found[:, j] = values
    return found, tuple(findings)


def _column(rows: pa.Table, column: str) -> Floats:
    kind = rows.schema.field(column).type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        raise DataError(
            "allocation.not_a_number",
            what=f"'{column}' holds {kind}, not numbers.",
            why="Arms can be alike on average only in what has an average.",
            do=f"Make strata of it: by {column}.",
        )
    return column_floats(rows, column)


def _missing(column: str, n: int, n_rows: int) -> Finding:
    return Finding(
        code="allocation.missing",
        severity=Severity.NOTE,
        what=f"{n:,} of {n_rows:,} units have no '{column}'; they count as the mean of the others.",
        why="The arms are made alike in what is known only.",
        do="Fill the column, or name another one.",
        numbers={"n_missing": n, "n_units": n_rows},
    )


def _adjust(like: Sequence[str]) -> Finding:
    return Finding(
        code="allocation.adjust",
        severity=Severity.NOTE,
        what=f"The arms were drawn to be alike in {', '.join(like)}.",
        why="A plain comparison does not know this: its interval is too wide, and what was gained is lost.",
        do=f"Analyze with the same columns as covariates: {', '.join(like)}.",
    )


def _require_units(n_units: int, n_arms: int) -> None:
    if n_units < n_arms:
        raise DataError(
            "allocation.too_few",
            what=f"There are {n_units:,} units for {n_arms} arms.",
            why="An arm would be empty.",
            do="Add units, or take fewer arms.",
        )
