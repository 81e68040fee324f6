"""Excel and OpenDocument sheets as relations of text."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from headwater.core.errors import SourceError
from headwater.engine.engine import Engine
from headwater.engine.relation import FILE, ROW, Relation
from headwater.engine.sheets import read_sheet
from headwater.engine.sql import name, sql

__all__ = ["open_excel"]


def open_excel(engine: Engine, files: tuple[Path, ...]) -> Relation:
    """The first sheet of each file."""
    merged = pa.concat_tables([_placed(f) for f in files], promote_options="default")
    view = f"excel {sha256('|'.join(map(str, files)).encode()).hexdigest()[:12]}"
    engine.register(view, merged)
    rows = sql("(SELECT * FROM {view})", view=name(view))
    return Relation(
        format="excel",
        files=files,
        columns=tuple((c, "VARCHAR") for c in merged.column_names if c not in (FILE, ROW)),
        rows=rows,
        rows_keeping_aside=rows,
        rows_are="row of the sheet",
        broken=None,
    )


def _placed(file: Path) -> pa.Table:
    rows, first = read_sheet(file)
    if first is None:
        raise SourceError(
            "source.empty",
            what=f"The first sheet of '{file.name}' is empty.",
            why="There is nothing to read.",
            do="Put the table on the first sheet, its header in the first row.",
        )
    places = pa.array(range(first, first + rows.num_rows), pa.int64())
    files = pa.array([str(file)] * rows.num_rows, pa.string())
    return rows.append_column(FILE, files).append_column(ROW, places)
