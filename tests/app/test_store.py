"""The workspace: a step exists when its manifest does, and only as long as its files do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from headwater.app.store import Store, fingerprint_of, write_whole
from headwater.core.errors import HeadwaterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """As a table says itself: name, files and a fingerprint of the rows."""

    name: str
    files: tuple[str, ...]
    fingerprint: str
    sql: str = ""


class Maker:
    """Writes one file and counts how often it was asked."""

    def __init__(self, text: str = "rows") -> None:
        self.text = text
        self.n_calls = 0
        self.found: list[str] = []

    def __call__(self, folder: Path) -> Made:
        self.n_calls += 1
        self.found = [p.name for p in folder.iterdir()]
        path = folder / "rows.txt"
        path.write_text(self.text, encoding="utf-8")
        return Made(
            name="rows", files=(str(path),), fingerprint=fingerprint_of(self.text), sql=f"FROM '{path}'"
        )


KEY = {"source": "abc", "limit": 3}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def manifest_of(store: Store) -> Path:
    (found,) = store.root.glob("steps/load/*/manifest.json")
    return found


def test_a_step_is_made_once_and_read_back_equal(store: Store) -> None:
    make = Maker()
    first, second = (store.step("load", KEY, Made, make) for _ in range(2))
    assert (first.reused, second.reused, make.n_calls) == (False, True, 1)
    assert (first.value, first.fingerprint) == (second.value, second.fingerprint)


def test_another_key_is_another_step(store: Store) -> None:
    make = Maker()
    for key in (KEY, KEY | {"limit": 4}, {"source": "abc"}):
        store.step("load", key, Made, make)
    store.step("load", {"limit": 3, "source": "abc"}, Made, make)
    assert make.n_calls == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m.unlink(),
        lambda m: m.write_bytes(m.read_bytes()[:-20]),
        lambda m: m.write_bytes(b""),
        lambda m: m.write_bytes(b"\xff\xfe"),
        lambda m: m.write_text("[]", encoding="utf-8"),
        lambda m: m.write_text("null", encoding="utf-8"),
        lambda m: m.write_text('{"content": "x", "value": {"name": "rows"}}', encoding="utf-8"),
        lambda m: (m.parent / "rows.txt").unlink(),
    ],
    ids=["no manifest", "cut", "empty", "not text", "a list", "null", "another shape", "a file is gone"],
)
def test_a_damaged_step_is_made_again_in_an_empty_folder(
    store: Store, damage: Callable[[Path], object]
) -> None:
    make = Maker()
    first = store.step("load", KEY, Made, make)
    (manifest_of(store).parent / "debris.part").write_text("half", encoding="utf-8")
    damage(manifest_of(store))
    assert store.find("load", KEY, Made) is None
    again = store.step("load", KEY, Made, make)
    assert (make.n_calls, make.found, again.reused) == (2, [], False)
    assert (again.value, again.fingerprint) == (first.value, first.fingerprint)


def test_a_step_that_fails_does_not_exist(store: Store) -> None:
    def fail(folder: Path) -> Made:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.step("load", KEY, Made, fail)
    assert store.find("load", KEY, Made) is None
    assert store.sweep() == 1
    assert list(store.root.glob("steps/load/*")) == []


def test_sweeping_takes_debris_and_leaves_steps(store: Store) -> None:
    make = Maker()
    store.step("load", KEY, Made, make)
    half = store.root / "steps" / "load" / "half"
    half.mkdir()
    (half / ".manifest.json.77.part").write_text("{", encoding="utf-8")
    (store.scratch("poison") / "rows.txt").write_text("x", encoding="utf-8")
    assert store.sweep() == 2
    assert not half.exists()
    assert store.step("load", KEY, Made, make).reused


def test_a_workspace_that_was_moved_still_reads(tmp_path: Path) -> None:
    make = Maker()
    Store(tmp_path / "here").step("load", KEY, Made, make)
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = Store(tmp_path / "there").step("load", KEY, Made, make)
    assert (make.n_calls, moved.reused) == (1, True)
    assert Path(moved.value.files[0]).read_text(encoding="utf-8") == "rows"
    assert moved.value.files[0].startswith(str(tmp_path / "there"))
    assert str(tmp_path / "here") not in "".join(
        json.loads(manifest_of(Store(tmp_path / "there")).read_text())["value"]["files"]
    )


def test_the_content_fingerprint_is_of_the_rows_not_of_the_place(tmp_path: Path) -> None:
    one = Store(tmp_path / "a").step("load", KEY, Made, Maker())
    other = Store(tmp_path / "b").step("load", KEY | {"limit": 9}, Made, Maker())
    changed = Store(tmp_path / "c").step("load", KEY, Made, Maker("other rows"))
    assert one.fingerprint == other.fingerprint != changed.fingerprint


def test_one_run_at_a_time_holds_the_workspace(store: Store) -> None:
    with store.held():
        with pytest.raises(HeadwaterError) as busy, Store(store.root.parent).held():
            pass
        assert busy.value.finding.code == "workspace.busy"
    with Store(store.root.parent).held():
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(HeadwaterError) as error:
        Store(tmp_path / "file")
    assert error.value.finding.code == "workspace.unwritable"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.json"
    write_whole(path, "old")

    def refuse(self: Path, other: Path) -> Path:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write_whole(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_fingerprints_do_not_depend_on_the_order_of_keys_but_on_every_value() -> None:
    assert fingerprint_of({"a": 1, "b": (2, 3)}) == fingerprint_of({"b": [2, 3], "a": 1})
    different = [{"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": None}, {"a": [1]}, {"b": 1}, {}]
    assert len({fingerprint_of(d) for d in different}) == len(different)
