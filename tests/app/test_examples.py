"""The examples of pages run as they stand there, one after the other, on a simulated shop."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import headwater as hw

PAGES = (
    "methods/cohort_curves",
    "methods/discounted_value",
    "methods/likelihood_inference",
    "python",
    "snapshots",
)
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, shops: Callable[..., Any], order_lines: Any) -> Any:
    """So many new customers that four weeks of them say how far a forecast may be off, the last ones days ago."""
    lines = order_lines(n_users=1_800)
    lines += [f"n{i:03d},2024-07-{10 + i % 9} 10:00:00,n{i},20.00,fr" for i in range(60)]
    return shops(tmp_path_factory.mktemp("examples") / "shop", lines=lines)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_as_it_stands(
    page: str, big: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(big.folder)
    exec(compile("\n".join(blocks), f"{page}.md", "exec"), {})
    assert capsys.readouterr().out or page == "snapshots"


def test_the_page_of_the_python_functions_has_the_signature_of_each() -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    written = [line for line in text.splitlines() if re.match(r"hw\.\w+\(.*\) -> ", line)]
    assert sorted(written) == sorted(_signature(n) for n in hw.__all__ if n != "__version__")


def _signature(function: str) -> str:
    """``hw.agree(values) -> tuple[UserForecast, ...]``."""
    empty, whole = inspect.Parameter.empty, inspect.signature(getattr(hw, function))
    bare = [p.replace(annotation=empty) for p in whole.parameters.values()]
    return (
        f"hw.{function}{whole.replace(parameters=bare, return_annotation=empty)} -> {whole.return_annotation}"
    )
