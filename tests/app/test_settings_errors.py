"""Settings that no data could meet are refused before a row is read, with the line they stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.app.config import read_settings
from headwater.app.settings_place import line_of, place_of
from headwater.core.errors import ConfigError

GOOD = '''\
[app]
name = "shop"
time_zone = "Europe/London"
[[sources]]
path = "nowhere.parquet"
user = "user"
at = "at"
event_is = "purchase"
types = { amount = "money", note = "text" }
[[sources]]
kind = "costs"
path = "costs.csv"
day = "day"
channel = "channel"
amount = "spend"
[[sources.rules]]
rule = "range"
columns = ["spend"]
at_least = 0
[measures]
revenue = { sum = "amount" }
[[repairs]]
repair = "trim"
columns = ["note"]
[[rules]]
rule = "required"
columns = ["amount"]
[[rules]]
rule = "range"
columns = ["score"]
above = 0
at_most = 10
[[alarms]]
alarm = "volume"
least_change = 0.2
[card]
purpose = """
[[rules]]
least_change = 3
"""
[gate]
max_share = 0.5
'''


def refused(tmp_path: Path, old: str, new: str) -> ConfigError:
    assert GOOD.count(old) == 1
    path = tmp_path / "headwater.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_settings(path)
    assert error.value.exit_code == 3
    return error.value


def line(text: str, marked: str) -> int:
    """The line of a piece of text, counted by hand."""
    return text[: text.index(marked)].count("\n") + 1


def test_good_settings_are_read_without_data(tmp_path: Path) -> None:
    path = tmp_path / "headwater.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert len(read_settings(path).rules) == 2


@pytest.mark.parametrize(
    ("old", "new", "code", "says", "near"),
    [
        ("least_change = 0.2", "least_chance = 0.2", "alarm.unknown_setting", "least_chance", '[[alarms]]\nalarm = "volume"'),
        ("least_change = 0.2", 'least_change = "much"', "alarm.setting", "'much'", '[[alarms]]\nalarm = "volume"'),
        ("least_change = 0.2", "least_change = true", "alarm.setting", "True", '[[alarms]]\nalarm = "volume"'),
        ("least_change = 0.2", "least_change = [1, 2]", "alarm.setting", "1, 2", '[[alarms]]\nalarm = "volume"'),
        ('"volume"\nleast_change = 0.2', '"order"\nmax_share = 5', "alarm.setting", "max_share = 5", '[[alarms]]\nalarm = "order"'),
        ("least_change = 0.2", '[[alarms]]\nalarm = "volume"', "alarm.twice", "twice", '[[alarms]]\nalarm = "volume"\n[card'),
        ("at_least = 0", "at_leasst = 0", "rule.unknown_setting", "at_leasst", "[[sources.rules]]"),
        ("at_least = 0", 'at_least = "0"', "rule.setting_type", "'0'", "[[sources.rules]]"),
        ("at_least = 0", "", "rule.range", "0 bounds", "[[sources.rules]]"),
        ("at_most = 10", 'at_most = "10"', "rule.setting_type", "'10'", '[[rules]]\nrule = "range"'),
        ('"range"\ncolumns = ["score"]\nabove = 0\nat_most = 10', '"range"\ncolumns = ["note"]\nabove = 0', "rule.range", "note", '[[rules]]\nrule = "range"'),
        ('rule = "required"', 'rule = "late"\nwithin = "2d"', "rule.known_at", "late", '[[rules]]\nrule = "late"'),
        ('rule = "required"', 'rule = "near_duplicate"\nwithin = 5', "rule.span", "within = 5", '[[rules]]\nrule = "near_duplicate"'),
        ('rule = "required"', 'rule = "matches"\npattern = 3', "rule.setting_type", "3", '[[rules]]\nrule = "matches"'),
        ('repair = "trim"', 'repair = "trim"\nvalues = { a = ["b"] }', "repair.settings", "values", "[[repairs]]"),
        ('channel = "channel"\n', "", "source.missing_part", "channel", '[[sources]]\nkind = "costs"'),
    ],
)  # fmt: skip
def test_what_no_data_could_meet_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, code: str, says: str, near: str
) -> None:
    finding = refused(tmp_path, old, new).finding
    assert finding.code == code
    assert says in finding.what
    assert f"headwater.toml, line {line(GOOD.replace(old, new), near)}, [[" in finding.what


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("max_share = 0.5", 'max_share = "half"', "max_share"),
        ("max_share = 0.5", "max_shares = 0.5", "max_shares"),
        ('alarm = "volume"', 'alarm = "volum"', "alarm = "),
        ('rule = "required"', 'rule = "require"', "rule = \"require\""),
        ("amount = \"spend\"", "amunt = \"spend\"", "amunt"),
        ('time_zone = "Europe/London"', 'time_zone = "London"', "time_zone"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_own_line(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    what = refused(tmp_path, old, new).finding.what
    assert f"headwater.toml, line {line(GOOD.replace(old, new), key)}, " in what


@pytest.mark.parametrize(
    ("bounds", "empty"),
    [
        ("at_least = 5\nat_most = 4", True),
        ("at_least = 5\nat_most = 5", False),
        ("above = 5\nat_most = 5", True),
        ("above = 5\nbelow = 5", True),
        ("above = -1.5\nbelow = 0", False),
        ("at_least = 5\nbelow = 4.5", True),
    ],
)
def test_bounds_that_leave_no_number_are_refused(tmp_path: Path, bounds: str, empty: bool) -> None:
    if not empty:
        (tmp_path / "headwater.toml").write_text(GOOD.replace("above = 0\nat_most = 10", bounds), "utf-8")
        assert read_settings(tmp_path / "headwater.toml")
        return
    finding = refused(tmp_path, "above = 0\nat_most = 10", bounds).finding
    assert (finding.code, "leave no number" in finding.what) == ("config.value", True)


def test_settings_that_do_not_fit_together_are_not_called_the_file(tmp_path: Path) -> None:
    found = refused(tmp_path, '[[sources]]\nkind = "costs"', '[[sources]]\nkind = "fx"\npath = "f.csv"\nday = "d"\ncurrency = "c"\nrate = "r"\n[[sources]]\nkind = "fx"\nname = "two"\npath = "f.csv"\nday = "d"\ncurrency = "c"\nrate = "r"\n[[sources]]\nkind = "costs"').finding  # fmt: skip
    assert "several sources of exchange rates" in found.what
    assert "the file" not in found.what


def test_lines_are_found_past_texts_of_several_lines_and_quoted_keys() -> None:
    text = '[a]\nx = """\n[b]\ny = 1\n"""\n[b]\n"y z" = 2\n[[c]]\n[[c.d]]\ne = 1\n[[c]]\n[[c.d]]\n[[c.d]]\ne.f = 3\n'
    assert line_of(text, ("b",)) == 6
    assert line_of(text, ("b", "y z")) == 7
    assert line_of(text, ("c", 1)) == 11
    assert line_of(text, ("c", 0, "d", 0, "e")) == 10
    assert line_of(text, ("c", 1, "d", 1, "e", "f")) == 14
    assert line_of(text, ("c", 1, "d", 0, "missing")) == 12
    assert line_of(text, ("nowhere",)) is None
    assert place_of(text, ("c", 1, "d", 1)) == "line 13, [[c.d]] number 2 of [[c]] number 2"


@pytest.mark.parametrize("by", ['"channel"', '"land"', '"country", "amount"'])
def test_curves_by_what_no_source_keeps_are_refused_with_their_line(shop, headwater, by: str) -> None:
    text = shop.config.read_text("utf-8")
    shop.config.write_text(f"{text}[curves]\nby = [{by}]\n", "utf-8")
    ran = headwater("run", "--json", at=shop.folder)
    assert (ran.code, ran.json["error"]["code"]) == (3, "curves.no_attribute")
    assert f"headwater.toml, line {len(text.splitlines()) + 2}, [curves]: " in ran.json["error"]["what"]
    assert not shop.store.exists()


def test_an_alarm_set_wrong_stops_the_check_before_anything_is_done(shop, headwater) -> None:
    shop.config.write_text(
        shop.config.read_text("utf-8") + '[[alarms]]\nalarm = "mix"\nleast_point = 3\n', "utf-8"
    )
    for command in ("check", "run", "audit"):
        ran = headwater(command, "--json", at=shop.folder)
        assert (ran.code, ran.json["error"]["code"]) == (3, "alarm.unknown_setting")
        assert "least_points" in ran.json["error"]["do"]
    assert not shop.store.exists()
