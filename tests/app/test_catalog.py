"""The fingerprint of files: folder names count, for they may be partitions; where the project lies does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.app.catalog import file_fingerprints, source_fingerprint


def _print(root: Path, *files: Path) -> str:
    return source_fingerprint(file_fingerprints(root / "catalog.sqlite", files), root=root)


@pytest.mark.parametrize("inside", [True, False])
def test_a_renamed_partition_is_another_source(tmp_path: Path, *, inside: bool) -> None:
    root = tmp_path / "project"
    data = root / "data" if inside else tmp_path / "data"
    (data / "country=US").mkdir(parents=True)
    root.mkdir(exist_ok=True)
    (data / "country=US" / "p.csv").write_text("a\n1\n")
    before = _print(root, data / "country=US" / "p.csv")
    assert _print(root, data / "country=US" / "p.csv") == before
    (data / "country=US").rename(data / "country=DE")
    assert _print(root, data / "country=DE" / "p.csv") != before


def test_a_renamed_link_to_a_partition_is_another_source(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "p.csv").write_text("a\n1\n")
    root = tmp_path / "project"
    root.mkdir()
    prints = set[str]()
    for country in ("US", "DE"):
        (root / f"country={country}").symlink_to(tmp_path / "far")
        prints.add(_print(root, root / f"country={country}" / "p.csv"))
    assert len(prints) == 2


def test_a_moved_project_with_its_data_keeps_its_fingerprint(tmp_path: Path) -> None:
    root = tmp_path / "here"
    (root / "data").mkdir(parents=True)
    (root / "data" / "p.csv").write_text("a\n1\n")
    before = _print(root, root / "data" / "p.csv")
    moved = root.rename(tmp_path / "there")
    assert _print(moved, moved / "data" / "p.csv") == before
