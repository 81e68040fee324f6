"""A step larger than its memory spills to its own folder, and leaves nothing there when it is done."""

from __future__ import annotations

from headwater.engine.duckdb import DuckDB
from headwater.engine.sql import sql


def test_a_sort_larger_than_memory_spills_into_a_folder_that_is_not_there_yet(tmp_path):
    engine = DuckDB(threads=2, memory="80MB", spill=tmp_path / "workspace" / "spill" / "1")
    query = sql("SELECT n, md5(CAST(n AS VARCHAR)) AS t FROM range(3000000) r(n) ORDER BY t")
    target = str(tmp_path / "sorted.parquet")
    engine.run(sql("COPY ({q}) TO {p} (FORMAT parquet)", q=query, p=target))
    assert engine.one(sql("SELECT count(*) FROM read_parquet({p})", p=target)) == (3_000_000,)
    assert (tmp_path / "workspace" / "spill" / "1").is_dir()
    engine.close()
    assert not list((tmp_path / "workspace" / "spill").glob("*/*"))
