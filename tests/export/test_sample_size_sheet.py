"""The live sheet of sample sizes: LibreOffice computes from the formulas what Python computed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from headwater.core.block import Document, Page
from headwater.effects.history import Explained, MetricHistory
from headwater.effects.metric import Metric
from headwater.effects.sample_size_sheet import sample_size_sheet
from headwater.export.excel import Excel

RECALCULATED = 1e-9  # both compute in doubles
HISTORY = MetricHistory(
    metric=Metric(name="revenue", outcome="revenue"),
    value=7.3,
    variance=410.0,
    n_users=50_000,
    explained=(Explained(covariates=("past",), share=0.31),),
    inflation=1.4,
)


def test_libreoffice_finds_the_users_and_days_that_python_found(
    tmp_path: Path, recalculated: Callable[[Path], Path]
) -> None:
    sheet = sample_size_sheet(
        HISTORY,
        rel_effect=0.03,
        alpha=0.05 / 3,
        power=0.85,
        shares=(0.5, 0.2),
        users_a_day=1234.5,
        inflation=1.025,
    )
    path = tmp_path / "design.xlsx"
    Excel().write(Document(title="D", lead="", pages=(Page(name="d", title="D", blocks=(sheet,)),)), path)
    rows = CalamineWorkbook.from_path(str(recalculated(path))).get_sheet_by_name(sheet.title).to_python()
    values = {row[0]: row[1] for row in rows if len(row) > 1}
    for output in sheet.outputs:
        assert values[output.label] == pytest.approx(output.value, rel=RECALCULATED), output.name
