"""``[[experiments]]`` of a workspace: what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.app.config import read_settings
from headwater.core.errors import ConfigError

SETTINGS = """
[app]
name = "x"
time_zone = "UTC"

[[sources]]
path = "events.csv"
user = "user"
at = "at"
event = "event"

[[sources]]
kind = "exposures"
path = "met.csv"
experiment = "experiment"
arm = "arm"
user = "user"
at = "at"
keep = ["city"]

[measures]
opens = { count = true }

[[experiments]]
name = "checkout"
arms = { control = 0.5, treatment = 0.5 }
window = "14d"
cluster = "city"

[experiments.metrics]
opens = { outcome = "opens", part = "primary", covariates = ["opens_before"] }
back = { outcome = "active_days", kind = "retention", days = [7, 13] }
"""


def read(folder: Path, text: str) -> None:
    (folder / "headwater.toml").write_text(text)
    read_settings(folder / "headwater.toml")


def test_a_whole_experiment_is_read(tmp_path: Path) -> None:
    read(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('window = "14d"\n', "", "neither a window nor an end"),
        ('outcome = "opens"', 'outcome = "opnes"', "Did you mean 'opens'"),
        ('cluster = "city"', 'cluster = "town"', "does not keep"),
        ('["opens_before"]', '["opens"]', "not known before exposure"),
        ('["opens_before"]', '["predicted_opens"]', "not known before exposure"),
        ('outcome = "active_days", kind', 'outcome = "opens > 1", kind', "which is no measure"),
        ("days = [7, 13]", "days = [13, 7]", "runs backwards"),
        (", days = [7, 13]", "", "days = [7]"),
        ('kind = "exposures"', 'kind = "users"', "a source of users"),
        ('name = "checkout"', 'name = "checkout"\nsource = "met"', "logs no exposures"),
    ],
)
def test_what_could_not_be_read_is_refused(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in SETTINGS
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, SETTINGS.replace(before, after))
    assert says in str(refused.value)


def test_the_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 24"):
        read(tmp_path, SETTINGS.replace('window = "14d"\n', ""))
