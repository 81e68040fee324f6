"""The settings file that ``headwater init`` writes: valid, taught by its comments, whole or not at all."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from headwater.app.answer_settings import ValueSettings
from headwater.app.config import read_settings, settings_of
from headwater.app.propose import CONFIRM, settings_text, write_settings
from headwater.contracts.infer import Choice, Proposal, Sure, propose
from headwater.core.contract import Source
from headwater.core.errors import ConfigError, UsageError
from headwater.core.table import Kind
from headwater.engine.duckdb import DuckDB

TODAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    made = DuckDB(threads=1, memory="500MB", spill=tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [
        f"u{d % 7},2024-{1 + d // 28:02d}-{1 + d % 28:02d} 10:{d % 60:02d}:00,{d}.50,{('de', 'fr')[d % 2]}"
        for d in range(1, 330)
    ]
    path = tmp_path / "project" / "data" / "orders.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["user_id,created_at,amount,country", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def proposal(engine: DuckDB, data: Path) -> Proposal:
    return propose(engine, data, today=TODAY)


def test_the_file_is_what_was_proposed(proposal: Proposal, data: Path) -> None:
    target = data.parents[1] / "headwater.toml"
    text = write_settings(proposal, target, data=data)
    assert target.read_text(encoding="utf-8") == text
    settings = read_settings(target)
    (source,) = settings.sources
    assert (source.path, source.user, source.at, source.keep) == (
        "data/orders.csv",
        "user_id",
        "created_at",
        ["country"],
    )
    assert settings.measures["revenue"].sum == "amount"
    assert (settings.app.time_zone, settings.app.currency, settings.app.left_edge) == ("UTC", "USD", "28d")
    (prediction,) = settings.predict
    assert (prediction.target, prediction.occasions, prediction.horizons) == (
        "revenue",
        "purchases",
        ["30d", "90d"],
    )


def test_chapters_that_are_proposed_as_comments_are_settings_without_their_marks(proposal: Proposal) -> None:
    text = settings_text(proposal, path="x.csv")
    head, chapters = text.split("# Further chapters")
    plain = settings_of(tomllib.loads(text))
    assert (plain.value, plain.curves.by) == (None, None)
    wanted = re.sub(r"^# ", "", chapters.partition("\n")[2], flags=re.MULTILINE)
    settings = settings_of(tomllib.loads(head + wanted))
    assert (settings.value, settings.curves.by) == (ValueSettings(), ["country"])


def test_every_choice_teaches_its_reason_and_guesses_are_marked(proposal: Proposal) -> None:
    comments = " ".join(
        line[2:] for line in settings_text(proposal, path="x.csv").splitlines() if line.startswith("# ")
    )
    for choice in proposal.choices:
        assert choice.reason in comments, choice.setting
    marked = {c.setting for c in proposal.choices if c.sure is Sure.CONFIRM}
    assert marked == {"app.time_zone", "app.currency"}
    assert comments.count(f"{CONFIRM}: ") == len(marked)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("project", "data/orders.csv"),
        ("project/data", "orders.csv"),
        ("project/settings", "../data/orders.csv"),
    ],
)
def test_the_path_is_relative_to_the_file(proposal: Proposal, data: Path, folder: str, expected: str) -> None:
    target = data.parents[2] / folder / "headwater.toml"
    target.parent.mkdir(exist_ok=True)
    write_settings(proposal, target, data=data)
    assert read_settings(target).sources[0].path == expected


def test_far_data_keep_their_absolute_path(proposal: Proposal, data: Path) -> None:
    target = data.parents[2] / "else" / "where" / "headwater.toml"
    target.parent.mkdir(parents=True)
    write_settings(proposal, target, data=data)
    assert read_settings(target).sources[0].path == data.resolve().as_posix()


def test_settings_inside_the_data_folder_are_not_data(proposal: Proposal, data: Path) -> None:
    target = data.parent / "headwater.toml"
    write_settings(proposal, target, data=data.parent)
    assert read_settings(target).sources[0].path == "*.csv"


def test_an_existing_file_is_kept_unless_forced(proposal: Proposal, data: Path) -> None:
    target = data.parents[1] / "headwater.toml"
    target.write_text("# mine\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"init\.exists"):
        write_settings(proposal, target, data=data)
    assert target.read_text(encoding="utf-8") == "# mine\n"
    write_settings(proposal, target, data=data, force=True)
    assert read_settings(target).sources[0].user == "user_id"


def test_a_folder_that_is_not_there(proposal: Proposal, data: Path) -> None:
    with pytest.raises(UsageError, match=r"init\.no_folder"):
        write_settings(proposal, data.parent / "nowhere" / "headwater.toml", data=data)


def test_settings_that_would_not_be_read_are_not_written(proposal: Proposal, data: Path) -> None:
    target = data.parents[1] / "headwater.toml"
    target.write_text("# mine\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        write_settings(replace(proposal, time_zone="Mars/Olympus"), target, data=data, force=True)
    assert target.read_text(encoding="utf-8") == "# mine\n"
    assert sorted(p.name for p in target.parent.iterdir()) == ["data", "headwater.toml"]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    proposal: Proposal, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = data.parents[1] / "headwater.toml"
    target.write_text("# mine\n", encoding="utf-8")

    def refuse(self: Path, other: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_settings(proposal, target, data=data, force=True)
    assert target.read_text(encoding="utf-8") == "# mine\n"
    assert sorted(p.name for p in target.parent.iterdir()) == ["data", "headwater.toml"]


@pytest.mark.parametrize(
    "name",
    [
        'a"b',
        "a'b",
        "a\nuser = 'evil'",
        "a]\n[run]\nseed = 1",
        "用户#1",
        "a\\b",
        "a.b",
        '"""',
        "\x07bell",
        "x = 1 # y",
    ],
)
def test_names_from_the_data_cannot_write_settings(proposal: Proposal, name: str) -> None:
    """A column name is data: it comes back as itself and nothing else changes."""
    source = Source(
        path="x.csv", user=name, at="created_at", event_is="purchase", keep=(name,), types={name: Kind.MONEY}
    )
    choices = (Choice(setting="sources.user", reason=f"'{name}' looks right.", sure=Sure.LIKELY),)
    plain = replace(
        proposal, source=replace(source, user="n", keep=("n",), types={"n": Kind.MONEY}), choices=()
    )
    raw = tomllib.loads(settings_text(replace(proposal, source=source, choices=choices), path="x.csv"))
    (found,) = raw["sources"]
    assert (found["user"], found["keep"], found["types"]) == (name, [name], {name: "money"})
    found.update(user="n", keep=["n"], types={"n": "money"})
    assert raw == tomllib.loads(settings_text(plain, path="x.csv"))
