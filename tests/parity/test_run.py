"""``headwater run`` on DuckDB and on the Spark cluster: the whole road of a shipped example, and the same figures in the report."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headwater.app.config import Settings, read_settings
from headwater.app.demo import lay_out
from headwater.app.run import Published, run
from headwater.app.same_figures import compare_documents
from headwater.app.study import Study
from headwater.core.block import Block, Grid, Page
from headwater.core.errors import UsageError

UNTIL = "2011-03-25"  # the first 115 days of the example: whole, it takes ten minutes on a laptop
MODELS = ["rate_so_far", "bg_nbd", "lightgbm_hurdle"]
TODAY = date(2026, 1, 1)
ENGINE = '\n[run]\nengine = "spark"\nmaster = "{master}"\nmemory = "1GB"\n'


def laid_out(folder: Path) -> Path:
    """Online Retail as it ships, cut after some weeks."""
    root = lay_out("online_retail", folder)
    rows = pq.read_table(root / "online_retail.parquet")
    until = pc.less(rows["InvoiceDate"], UNTIL)
    pq.write_table(rows.filter(until), root / "online_retail.parquet")
    text = (root / "headwater.toml").read_text()
    text = (
        text.replace('["30d", "90d"]', '["30d"]')
        .replace("max_share = 0.30", "max_share = 0.40")
        .replace("origins = 3 }", f"origins = 1 }}\nmodels = {MODELS}")
    )
    (root / "headwater.toml").write_text(text.replace("'", '"'))
    return root


def published(root: Path) -> tuple[Settings, Published]:
    settings = read_settings(root / "headwater.toml")
    return settings, run(Study(root, settings, today=TODAY))


@pytest.fixture(scope="module")
def both(
    spark: Any, cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Published, Published, Path]:
    here, there = (laid_out(tmp_path_factory.mktemp(n) / "project") for n in ("duckdb", "spark"))
    with (there / "headwater.toml").open("a") as file:
        file.write(ENGINE.format(master=cluster.url))
    settings, on_spark = published(there)
    assert (settings.run.engine, settings.run.master) == ("spark", spark.session.sparkContext.master)
    return published(here)[1], on_spark, there


def test_the_report_of_the_cluster_shows_the_figures_of_duckdb(both: Any) -> None:
    here, there, _ = both
    pages = compare_documents(here.told.document, there.told.document)
    differ = {p.page: [(e.column, *e.values) for e in p.found.examples[:10]] for p in pages if p.found.n_rows}
    assert differ == {}
    assert {"answer", "data", "proof_revenue_30d", "worth_revenue_30d"} <= {p.page for p in pages}
    assert sum(p.n_figures[0] for p in pages) > 5_000
    assert here.told.choices == there.told.choices


def test_the_report_of_the_cluster_is_delivered(both: Any) -> None:
    _, there, root = both
    assert {p.suffix for p in there.paths} == {".html", ".xlsx"}
    assert all(p.stat().st_size > 50_000 and p.is_relative_to(root / "reports") for p in there.paths)


def test_a_second_run_on_the_cluster_does_nothing_again(both: Any) -> None:
    _, there, root = both
    again = published(root)[1]
    assert again.n_reused == again.n_steps
    assert again.fingerprints == there.fingerprints


def moved(block: Block) -> Block:
    """A table with its first number moved by a millionth."""
    if not isinstance(block, Grid):
        return block
    rows = [list(r) for r in block.stream()]
    for row in rows:
        for at, value in enumerate(row):
            if isinstance(value, float) and value:
                row[at] = value * 1.000001
                return Grid.of(
                    block.name, block.title, block.fields, [tuple(r) for r in rows], note=block.note
                )
    return block


def test_one_figure_moved_by_a_millionth_is_found(both: Any) -> None:
    document = both[0].told.document
    for number, page in enumerate(document.pages):
        blocks = [moved(b) for b in page.blocks]
        first = next(
            (i for i, (a, b) in enumerate(zip(page.blocks, blocks, strict=True)) if a is not b), None
        )
        if first is None:
            continue
        changed: Page = replace(page, blocks=(*page.blocks[:first], blocks[first], *page.blocks[first + 1 :]))
        pages = (*document.pages[:number], changed, *document.pages[number + 1 :])
        found = [p for p in compare_documents(document, replace(document, pages=pages)) if p.found.n_rows]
        assert [(p.page, p.found.n_rows) for p in found] == [(page.name, 1)]
        return
    pytest.fail("no page shows a number")


def test_another_master_in_the_same_process_is_refused(both: Any) -> None:
    root = both[2]
    text = (root / "headwater.toml").read_text()
    (root / "headwater.toml").write_text(text.replace("spark://", "local[2]#"))
    settings = read_settings(root / "headwater.toml")
    with pytest.raises(UsageError, match="already runs Spark"):
        Study(root, settings, today=TODAY)
