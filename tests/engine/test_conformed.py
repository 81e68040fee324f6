"""Nested columns beside a column whose type differs between files: kept as they are, or refused by name."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.contracts.check import check
from headwater.core.contract import Events
from headwater.core.errors import SourceError

NESTED = {
    "list": pa.array([["x"]], pa.list_(pa.string())),
    "struct": pa.array([{"a": 1, "b c": "x"}]),
    "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
}
# More files than one part holds (8), so that the last part is conformed to the whole.
N_FILES = 9


def _loaded(bench: Any, files: list[dict[str, pa.Array]]) -> Events:
    root = bench.folder()
    for n, columns in enumerate(files):
        rows = {"user": pa.array([f"u{n}"]), "at": pa.array(["2024-01-02"]), **columns}
        pq.write_table(pa.table(rows), root / f"{n}.parquet")
    prints = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(root.glob("*.parquet"))}
    contract = bench.contract("*.parquet")
    return check(
        bench.engine, contract, root=root, folder=bench.folder(), source_fingerprint="x", prints=prints
    )


@pytest.mark.parametrize("kind", NESTED)
def test_a_nested_column_does_not_stop_another_from_being_cast(bench: Any, kind: str) -> None:
    plain = [pa.array([1], pa.int64())] * (N_FILES - 1) + [pa.array([1], pa.int32())]
    events = _loaded(bench, [{"tags": NESTED[kind], "k": k} for k in plain])
    assert (events.events.n_rows, events.quarantine.n_rows) == (N_FILES, 0)


def test_a_nested_column_of_two_types_is_refused_by_name(bench: Any) -> None:
    other = pa.array([[1]], pa.list_(pa.int64()))
    with pytest.raises(SourceError, match=r"'tags' is BIGINT\[\] in '8.parquet', and VARCHAR\[\]") as refused:
        _loaded(bench, [{"tags": NESTED["list"]}] * (N_FILES - 1) + [{"tags": other}])
    assert refused.value.finding.code == "source.columns_differ"
