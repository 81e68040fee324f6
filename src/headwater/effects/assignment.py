"""Assigning ids to arms, all at once: by arrays here, by one SQL expression where the users are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.effects.allocation import Allocation
from headwater.effects.slices import Slice
from headwater.engine.sql import Part, Sql, conjunction, disjunction, shim, sql
from headwater.numerics.hashing import N_BUCKETS, OFFSET_BASIS, buckets_of, fnv1a32_of_text, utf16_units

__all__ = ["Assigned", "assign", "assignment_sql", "kept_as_before"]

Ids = pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assigned:
    """Who came where.

    Parameters
    ----------
    arms
        The arm's name of each id in order, null for none.
    n_by_arm
        Ids of each arm, in the order of the allocation.
    n_held_out, n_outside, n_not_covered, n_without_id
        Why the others are in none: a holdout, a layer or namespace, the coverage, a missing id.
    """

    arms: pa.DictionaryArray
    n_by_arm: tuple[tuple[str, int], ...]
    n_held_out: int
    n_outside: int
    n_not_covered: int
    n_without_id: int
    findings: tuple[Finding, ...] = ()


def assign(allocation: Allocation, ids: Ids) -> Assigned:
    """The arm of each id: texts, or whole numbers, which count as their decimals. Of clusters, pass the cluster's id.

    Raises ``DataError`` (``assignment.id_type``) for other types.
    """
    units, offsets, known = _units_of(ids)
    hashed = partial(buckets_of, units, offsets)

    def inside(condition: Slice) -> NDArray[np.bool_]:
        return condition.admitted()[hashed(seed=condition.seed, version=condition.version)]

    free = known.copy()
    for holdout in allocation.binding_holdouts():
        free &= inside(holdout.others())
    admitted = free.copy()
    for s in allocation.slices:
        admitted &= inside(s)
    arm = allocation.arm_of_bucket()[hashed(seed=allocation.hash_seed, version=allocation.version)]
    arm[~admitted] = -1
    names = [a.name for a in allocation.arms]
    counts = np.bincount(arm + 1, minlength=len(names) + 1)
    n_without_id = int((~known).sum())
    return Assigned(
        arms=_as_names(arm, names),
        n_by_arm=tuple(zip(names, counts[1:].tolist(), strict=True)),
        n_held_out=int((known & ~free).sum()),
        n_outside=int((free & ~admitted).sum()),
        n_not_covered=int(counts[0] - (~admitted).sum()),
        n_without_id=n_without_id,
        findings=(_no_id(n_without_id, arm.size),) if n_without_id else (),
    )


def assignment_sql(allocation: Allocation, unit: Sql) -> Sql:
    """The same as one SQL expression over a text column: the arm's name, NULL for none. For ``SELECT`` or ``CASE``."""
    buckets = allocation.arm_of_bucket().tolist()
    cases = [
        sql(
            "WHEN given BETWEEN {first} AND {last} THEN {arm}",
            first=first,
            last=last,
            arm=allocation.arms[arm].name,
        )
        for arm, first, last in _runs(buckets)
        if arm >= 0
    ]
    bucket = _bucket_sql(unit, seed=allocation.hash_seed, version=allocation.version)
    if not cases:
        return sql("CAST(NULL AS STRING)")
    arm = shim("given", bucket, sql("CASE {cases} END", cases=_apart(cases)))
    conditions = [_condition_sql(s, unit) for s in allocation.conditions()]
    return sql("CASE WHEN {ok} THEN {arm} END", ok=conjunction(conditions), arm=arm) if conditions else arm


def kept_as_before(
    assigned: Assigned, ids: Ids, *, earlier_ids: Ids, earlier_arms: Ids
) -> pa.DictionaryArray:
    """Sticky assignment: who was assigned before stays in that arm, whatever shares, layers and coverage became.

    An earlier arm that is none any more does not count: those users come to the arm of now. Raises ``DataError``
    (``assignment.two_arms``) where an id was in two arms before.
    """
    names = [n for n, _ in assigned.n_by_arm]
    before = pa.table({"id": _as_text(earlier_ids), "arm": _as_text(earlier_arms)})
    before = before.filter(pc.and_(pc.is_in(before["arm"], pa.array(names)), pc.is_valid(before["id"])))
    before = before.group_by(["id", "arm"]).aggregate([])
    n_twice = before.num_rows - pc.count_distinct(before["id"]).as_py()
    if n_twice:
        raise DataError(
            "assignment.two_arms",
            what=f"{n_twice:,} of {before.num_rows - n_twice:,} earlier ids were assigned to more than one arm.",
            why="Nobody can stay in two arms.",
            do="Find out which was shown first, and keep one row for each id.",
        )
    at = pc.index_in(_as_text(ids), before["id"].combine_chunks())
    kept = pc.take(before["arm"].combine_chunks(), at)
    arms = pc.coalesce(kept, assigned.arms.cast(pa.string()))
    codes = pc.fill_null(pc.index_in(arms, pa.array(names)), -1)
    return _as_names(codes.to_numpy(zero_copy_only=False), names)


def _as_names(arm: NDArray[np.int64], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(arm.astype(np.int8), mask=arm < 0), pa.array(names))


def _units_of(
    ids: Ids,
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], NDArray[np.int64], NDArray[np.bool_]]:
    """The ids' units and offsets, and which are there; a missing id has no units."""
    text = pc.fill_null(_as_text(ids).cast(pa.large_string()), "")
    _, offsets, data = text.buffers()
    ends = (
        np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
        if len(text)
        else np.zeros(1, dtype=np.int64)
    )
    bytes_ = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    known = (
        pc.is_valid(ids).to_numpy(zero_copy_only=False)
        if ids.null_count
        else np.ones(len(ids), dtype=np.bool_)
    )
    return *utf16_units(bytes_, ends), known


def _as_text(ids: Ids) -> pa.Array:
    whole = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    kind = whole.type
    if pa.types.is_dictionary(kind):
        return _as_text(whole.cast(kind.value_type))
    if (
        pa.types.is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    ):
        return whole.cast(pa.string())
    raise DataError(
        "assignment.id_type",
        what=f"Ids of type {kind} cannot be assigned; texts and whole numbers can.",
        why="The text of such a value differs from program to program (1, 1.0, 1e0), and with it the arm.",
        do="Give the ids as text, as the app knows them.",
    )


def _no_id(n: int, n_all: int) -> Finding:
    return Finding(
        code="assignment.no_id",
        severity=Severity.WARN,
        what=f"{n:,} of {n_all:,} rows have no id; they are in no arm.",
        why="Without an id nobody can be shown the same arm twice, nor be found again.",
        do="Find out where the ids were lost, or leave these rows out.",
        numbers={"n_without_id": n, "n_rows": n_all},
    )


def _bucket_sql(unit: Sql, *, seed: str, version: int) -> Sql:
    if version == 1:
        hashed = shim("fnv1a32", sql("({unit} || {seed})", unit=unit, seed=seed), OFFSET_BASIS)
    else:
        first = shim("fnv1a32", unit, fnv1a32_of_text(seed))
        hashed = shim("fnv1a32_of_number", first, OFFSET_BASIS)
    return sql("({hashed} % {n})", hashed=hashed, n=N_BUCKETS[version])


def _condition_sql(condition: Slice, unit: Sql) -> Sql:
    runs = [(first, last) for is_in, first, last in _runs(condition.admitted().tolist()) if is_in]
    within = [sql("given BETWEEN {first} AND {last}", first=first, last=last) for first, last in runs]
    return shim(
        "given", _bucket_sql(unit, seed=condition.seed, version=condition.version), disjunction(within)
    )


def _runs(values: Sequence[int]) -> list[tuple[int, int, int]]:
    """Stretches of equal values: the value, the first place, the last."""
    found, at = list[tuple[int, int, int]](), 0
    for value, same in groupby(values):
        n = len(list(same))
        found.append((value, at, at + n - 1))
        at += n
    return found


def _apart(parts: Sequence[Sql]) -> Part:
    joined = parts[0]
    for part in parts[1:]:
        joined = sql("{a} {b}", a=joined, b=part)
    return joined
