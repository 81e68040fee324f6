"""A place that nothing can be written to is told before the work, not after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import headwater as hw
from headwater.app.deliver import require_writable, writing
from headwater.core.answer import Stance, Verdict
from headwater.core.errors import UsageError

if TYPE_CHECKING:
    from conftest import Ran, Shop

SAID = Verdict(question="Q?", stance=Stance.CANNOT_SAY, because=(), would_change=())


def test_a_run_whose_report_has_no_place_is_refused_with_its_line_before_a_step(
    shop: Shop, headwater: Callable[..., Ran]
) -> None:
    shop.set('formats = ["html"]', 'formats = ["html"]\nfolder = "orders.csv/reports"')
    line = shop.config.read_text("utf-8").splitlines().index('folder = "orders.csv/reports"') + 1
    for words in (("run",), ("run", "--dry-run")):
        ran = headwater(*words, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (3, "write.unwritable")
        assert f"headwater.toml, line {line}, [deliver]" in ran.json["error"]["what"]
    assert not list((shop.store / "steps").iterdir())


@pytest.mark.parametrize("command", ["curves", "newcomers"])
def test_a_file_that_cannot_be_written_is_refused_before_a_step(
    shop: Shop, headwater: Callable[..., Ran], command: str
) -> None:
    for to, code in (("orders.csv/c.html", "write.unwritable"), ("c.pdf", "write.unknown_suffix")):
        ran = headwater(command, "--to", to, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (2, code)
    assert not list((shop.store / "steps").iterdir())


def test_what_the_system_says_of_a_file_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "file" / "x.html", tmp_path / "folder.html"):
        with pytest.raises(UsageError, match=r"write\.unwritable") as error:
            hw.write(SAID, path)
        assert (str(path) in error.value.finding.what, bool(error.value.finding.do)) == (True, True)
    with pytest.raises(UsageError, match="Permission denied"), writing(tmp_path):
        raise PermissionError(13, "Permission denied")


def test_a_folder_that_is_yet_to_be_made_is_not_made_by_looking(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
