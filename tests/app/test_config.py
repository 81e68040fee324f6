"""``headwater.toml``: what is not understood is refused, with the near miss; what is understood is typed."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from headwater.app.config import AppSettings, Settings, calendar_of, contract_of, read_settings, settings_of
from headwater.core.contract import Aggregate
from headwater.core.errors import ConfigError
from headwater.core.span import day_of

COMPLETE = """
[app]
name = "shop"
time_zone = "Europe/London"
currency = "GBP"
launched_on = 2020-02-29
left_edge = "4w"
[[sources]]
path = "orders.csv"
user = "user"
at = "at"
event_is = "purchase"
types = { amount = "money" }
[measures]
revenue = { sum = "amount" }
purchases = { count_distinct = "order", where = "amount > 0" }
visits = { count = true }
[[rules]]
rule = "range"
columns = ["amount"]
above = 0
max_share = 1
[[rules]]
rule = "not_future"
after = "today"
[gate]
max_share = 0.25
[[predict]]
target = "revenue"
horizons = ["30d", "2w"]
cutoffs = { every = "2w", origins = 4 }
models = ["bg_nbd"]
[deliver]
formats = ["html"]
[run]
seed = 3
memory = "2GB"
"""


def changed(**sections: Any) -> dict[str, Any]:
    """The complete file with keys put into sections; a dotted path says where, None takes a key out."""
    raw = tomllib.loads(COMPLETE)
    for path, value in sections.items():
        *way, last = path.split("__")
        inside: Any = raw
        for step in way:
            inside = inside[int(step)] if step.isdigit() else inside[step]
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    return raw


def refused(**sections: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        settings_of(changed(**sections))
    assert error.value.exit_code == 3
    return error.value


def test_a_complete_file_is_typed() -> None:
    settings = settings_of(tomllib.loads(COMPLETE))
    contract = contract_of(settings, today=date(2024, 2, 3))
    assert (contract.app.launched_on, contract.app.left_edge_days) == ("2020-02-29", 28)
    assert [(m.name, m.aggregate) for m in contract.measures] == [
        ("revenue", Aggregate.SUM),
        ("purchases", Aggregate.COUNT_DISTINCT),
        ("visits", Aggregate.COUNT),
    ]
    assert contract.rules[0].settings == {"above": 0}
    assert contract.rules[1].settings == {"after": "2024-02-03"}
    assert (contract.rules[0].max_share, contract.max_share) == (1, 0.25)


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("ap", "app"),
        ("app__time_zon", "time_zone"),
        ("sources__0__usr", "user"),
        ("measures__revenue__summ", "sum"),
        ("gate__max_shares", "max_share"),
        ("predict__0__tagret", "target"),
        ("predict__0__cutoffs__evry", "every"),
        ("deliver__format", "formats"),
        ("run__sead", "seed"),
    ],
)
def test_an_unknown_key_is_refused_with_the_near_miss(where: str, meant: str) -> None:
    finding = refused(**{where: "x"}).finding
    assert finding.code == "config.unknown_key"
    assert where.replace("__", ".") in finding.what
    assert finding.do == f"Did you mean '{meant}'?"


@pytest.mark.parametrize(
    "where", ["app", "app__name", "app__time_zone", "sources", "sources__0__user", "measures"]
)
def test_a_missing_key_is_named(where: str) -> None:
    finding = refused(**{where: None}).finding
    assert (finding.code, where.replace("__", ".") in finding.what) == ("config.missing_key", True)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("run__seed", "7"),
        ("run__seed", -1),
        ("run__seed", 1.5),
        ("run__seed", True),
        ("run__threads", 0),
        ("run__memory", "2000"),
        ("run__memory", "much"),
        ("predict__0__horizons", "90d"),
        ("predict__0__horizons", []),
        ("predict__0__horizons", ["6h"]),
        ("predict__0__horizons", [90]),
        ("predict__0__level", 1.0),
        ("predict__0__cutoffs__origins", 0),
        ("gate__max_share", 2),
        ("rules__0__max_share", -0.1),
        ("app__launched_on", "2020-02-30"),
        ("app__left_edge", "28"),
        ("app__time_zone", "Mars/Olympus"),
        ("app__time_zone", "../../etc/passwd"),
        ("app__time_zone", ""),
        ("app__name", ""),
        ("sources", []),
        ("sources__0__types", {"amount": "decimal"}),
        ("sources__0__keep", "country"),
        ("measures", {}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_at_its_place(where: str, value: object) -> None:
    finding = refused(**{where: value}).finding
    assert finding.code == "config.value"
    assert where.replace("__", ".") in finding.what


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"horizon": "forever", "yearly_rate": 0.0}, "no finite value"),
        ({"yearly_rate": -0.01}, "yearly_rate"),
        ({"model": "rate_so_far"}, "rate_so_far cannot say how many purchases come"),
        ({"model": "pareto_nbd_seasonal"}, "pareto_nbd_seasonal cannot say"),
        ({"horizon": 90}, "90 is not a duration"),
    ],
)
def test_a_value_that_nothing_can_give_is_refused_before_anything_runs(
    value: dict[str, object], says: str
) -> None:
    finding = refused(value=value).finding
    assert finding.code == "config.value"
    assert says in finding.what
    assert settings_of(changed(value={"horizon": "forever", "model": "bg_nbd_static"})).value is not None


@pytest.mark.parametrize(
    "measure",
    [
        {"sum": "amount", "count": True},
        {"sum": "amount", "count_distinct": "order"},
        {},
        {"count": False},
        {"where": "amount > 0"},
    ],
)
def test_a_measure_is_said_in_exactly_one_way(measure: dict[str, object]) -> None:
    finding = refused(measures__revenue=measure).finding
    assert finding.code == "config.value"
    assert "exactly one of sum, count = true, count_distinct" in finding.what


@pytest.mark.parametrize("event", [None, "kind"])
def test_an_event_is_a_column_or_a_constant(event: str | None) -> None:
    given = {"sources__0__event_is": None} if event is None else {"sources__0__event": event}
    assert "either event" in refused(**given).finding.what


@pytest.mark.parametrize(
    ("where", "value", "meant"),
    [
        ("predict__0__target", "revenu", "revenue"),
        ("predict__0__occasions", "purchase", "purchases"),
        ("predict__0__models", ["bgnbd"], "bg_nbd"),
        ("rules__0__rule", "rang", "range"),
        ("deliver__formats", ["htm"], "html"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_near_miss(
    where: str, value: object, meant: str
) -> None:
    finding = refused(**{where: value}).finding
    assert (finding.code, f"Did you mean '{meant}'?" in finding.what) == ("config.value", True)


def test_a_misspelled_section_is_an_unknown_key_before_it_is_a_missing_one() -> None:
    raw = tomllib.loads(COMPLETE.replace("[app]", "[ap]"))
    with pytest.raises(ConfigError, match="Did you mean 'app'"):
        settings_of(raw)


def test_several_problems_are_counted() -> None:
    assert "(1 more problem after it.)" in refused(run__seed="7", app__name="").finding.what


def test_active_days_can_be_a_target() -> None:
    assert settings_of(changed(predict__0__target="active_days")).predict[0].target == "active_days"


def test_defaults_are_those_of_the_settings_alone() -> None:
    given = changed(run=None, gate=None, deliver=None, rules=None, predict=None)
    settings = settings_of(given)
    assert isinstance(settings, Settings)
    assert (settings.run.seed, settings.gate.max_share, settings.predict) == (7, 0.5, [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "config.not_found"),
        (b"[app\n", "config.unreadable"),
        (b"x = '\xff'", "config.unreadable"),
        (b"", "config.missing_key"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: bytes | None, code: str) -> None:
    path = tmp_path / "headwater.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError) as error:
        read_settings(path)
    assert error.value.finding.code == code


def test_the_calendar_names_days_and_holidays_are_among_them() -> None:
    app = AppSettings(
        name="a",
        time_zone="UTC",
        holidays=[date(2024, 1, 1)],
        calendar={"sale": ["2024-06-01..2024-06-03", "2024-06-02", "2025-06-01"]},
    )
    june = day_of("2024-06-01")
    assert calendar_of(app) == {
        "holidays": (day_of("2024-01-01"),),
        "sale": (june, june + 1, june + 2, day_of("2025-06-01")),
    }


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("[2026-11-27]", 1),
        ("2026-11-27", 1),
        ('"2026-11-27"', 1),
        ('"2026-11-20..2026-11-27"', 8),
        ('["2026-11-20..2026-11-27", 2026-11-27, 2027-11-26]', 9),
    ],
)
def test_a_day_of_the_calendar_may_be_written_in_every_way_toml_has(written: str, days: int) -> None:
    text = COMPLETE.replace("[[sources]]", f"calendar = {{ sale = {written} }}\n[[sources]]", 1)
    assert len(calendar_of(settings_of(tomllib.loads(text)).app)["sale"]) == days


def test_dates_may_stand_in_quotes_or_not() -> None:
    raw = changed(app__launched_on="2020-02-29", app__holidays=["2024-01-01", date(2024, 1, 2)])
    assert settings_of(raw).app.holidays == [date(2024, 1, 1), date(2024, 1, 2)]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (["2024-06-03..2024-06-01"], "ends before it begins"),
        (["June"], "'June' is not a date"),
        (["2024-06-01.."], "'' is not a date"),
        (["..2024-06-01"], "'' is not a date"),
        ([], "'sale' has no day"),
        ([20240601], "20240601 of 'sale' is no day"),
        ({"from": date(2024, 6, 1)}, "a table of 'sale' is no day"),
        (["2024-06-01..2026-06-01"], "731 days long"),
    ],
)
def test_a_calendar_that_is_no_calendar_is_refused(written: object, says: str) -> None:
    found = refused(app__calendar={"sale": written}).finding
    assert (found.code, says in found.what) == ("config.value", True)


@pytest.mark.parametrize(
    ("where", "value", "says", "do"),
    [
        ("predict__0__horizons", 30, "30 is not a list", "[ ]"),
        ("predict__0__horizons", "30d", "'30d' is not a list", "[ ]"),
        ("predict__0__horizons", [30], "30 is not a duration", '"90d"'),
        ("predict__0__horizons", [], "it is empty", "at least one"),
        ("predict__0__horizons", ["30x"], "'30x' is not a duration", ""),
        ("app__left_edge", 28, "28 is not a duration", '"4w"'),
        ("app__holidays", [3], "3 is not a date", "2011-09-01"),
        ("app__calendar", "sale", "'sale' is not a table", "{ }"),
        ("gate", [{}], "a list is not a table", "[name]"),
        ("gate__max_share", 7, "7 must be at most 1", "bounds"),
        ("run__engine", "x", "'x' is none of 'duckdb' or 'spark'", ""),
        ("measures__visits__count", 1, "1 is not true or false", ""),
        ("sources__0__kind", "user", "'user' is none of 'users'", ""),
    ],
)
def test_what_does_not_fit_is_said_in_our_own_words(where: str, value: object, says: str, do: str) -> None:
    found = refused(**{where: value}).finding
    assert (found.code, says in found.what, do in found.do) == ("config.value", True, True), found
    assert "Input should" not in found.what
    assert "valid" not in found.what


def test_one_target_and_horizon_may_be_asked_for_once() -> None:
    twice = COMPLETE + '[[predict]]\ntarget = "revenue"\nhorizons = ["30d", "1d"]\n' * 2
    with pytest.raises(ConfigError, match=r"asks twice for 'revenue' over"):
        settings_of(tomllib.loads(twice))
