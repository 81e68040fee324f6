"""The identity map: by hand, and by property against a plain-Python reading of the rule."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.contracts.identity import by_identity, identity_of
from headwater.contracts.link import links_print
from headwater.contracts.plan import plan_checks
from headwater.contracts.query import checked_query
from headwater.core.contract import App, Contract, Source
from headwater.core.finding import Finding, Severity
from headwater.core.identity import Identity, IdentityMap
from headwater.engine.sources import open_relation
from headwater.engine.sql import sql

US = 1_000_000

Row = tuple[str, str, int, int]  # device, login, second it happened, second it became known


def _run(bench: Any, rows: list[Row]) -> tuple[IdentityMap, list[tuple[Any, ...]], Any]:
    """The map, and (second, user, second known, codes) of every row."""
    root = bench.folder()
    lines = ["device_id,login_id,at,loaded", *(f"{d},{login},{at},{known}" for d, login, at, known in rows)]
    (root / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = Source(
        path="log.csv", user="login_id", at="at", known_at="loaded", event_is="open", at_format="epoch_s"
    )
    app = App(name="test", time_zone="UTC", currency="GBP")
    contract = Contract(
        app=app, source=source, measures=(), rules=(), identity=Identity(device="device_id", login="login_id")
    )
    plan = plan_checks(contract, open_relation(bench.engine, root / "log.csv"), root=root)
    known = identity_of(bench.engine, contract, plan, folder=bench.folder())
    joined = by_identity(bench.engine, contract, plan, known)
    query = checked_query(contract, joined)
    found = bench.engine.rows(
        sql("SELECT at_us, user_id, known_us, codes, known_day FROM ({q}) q ORDER BY at_us", q=query)
    )
    return known, [(at // US, user, seen // US, codes) for at, user, seen, codes, _ in found], joined


def test_the_rule_by_hand(bench: Any) -> None:
    known, rows, joined = _run(
        bench,
        [
            ("d1", "", 1, 1),  # before the login of the only login of d1: known when the link was
            ("d1", "ann", 5, 6),
            ("d1", "", 9, 9),  # after it: known when it came
            ("d2", "ann", 10, 10),  # a second device of ann
            ("d3", "bob", 20, 20),  # a device of two
            ("d3", "cat", 21, 21),
            ("d3", "", 22, 22),
            ("d4", "", 30, 30),  # nobody ever logged in
            ("", "dan", 40, 40),  # no device
            ("", "", 50, 50),
        ],
    )  # fmt: skip
    assert rows == [
        (1, "ann", 6, None),
        (5, "ann", 6, None),
        (9, "ann", 9, None),
        (10, "ann", 10, None),
        (20, "bob", 20, None),
        (21, "cat", 21, None),
        (22, "device:d3", 22, None),
        (30, "device:d4", 30, None),
        (40, "dan", 40, None),
        (50, rows[-1][1], 50, "required(login_id or device_id)"),
    ]
    table = known.rows.to_arrow().to_pylist()
    assert [(r["device_id"], r["login_id"], r["first_us"] // US, r["linked_us"] // US, r["n_events"], r["conflict"]) for r in sorted(table, key=lambda r: (r["device_id"], r["login_id"] or "~"))] == [
        ("d1", "ann", 5, 6, 1, "several devices"),
        ("d1", None, 1, 1, 2, None),
        ("d2", "ann", 10, 10, 1, "several devices"),
        ("d3", "bob", 20, 20, 1, "several logins"),
        ("d3", "cat", 21, 21, 1, "several logins"),
        ("d3", None, 22, 22, 1, "several logins"),
        ("d4", None, 30, 30, 1, None),
    ]  # fmt: skip
    assert (known.n_devices, known.n_logins, known.n_shared_devices, known.n_events_left) == (4, 3, 1, 1)
    assert [f.code for f in known.findings] == [
        "identity.rule",
        "identity.shared_devices",
        "identity.many_devices",
    ]
    assert "'d3' (2)" in known.findings[1].what
    assert "'ann' (2)" in known.findings[2].what
    assert joined.n_scans == 2


def test_a_link_that_appears_later_changes_the_print_of_the_plan(bench: Any) -> None:
    _, _, before = _run(bench, [("d", "", 1, 1)])
    _, _, again = _run(bench, [("d", "", 1, 1)])
    _, _, after = _run(bench, [("d", "", 1, 1), ("d", "ann", 2, 2)])
    assert links_print(before.links, None) == links_print(again.links, None) != links_print(after.links, None)
    assert links_print((), None) == ""
    assert replace(before, links=()).links == ()


def _plain(rows: list[Row]) -> list[tuple[str | None, int]]:
    """User and second known of each row, by the rule in words."""
    logins: dict[str, dict[str, int]] = defaultdict(dict)
    for device, login, _, known in rows:
        if device and login:
            logins[device][login] = min(known, logins[device].get(login, known))
    made: list[tuple[str | None, int]] = []
    for device, login, _, known in rows:
        if login:
            made.append((login, known))
        elif len(logins[device]) == 1 and device:
            ((owner, linked),) = logins[device].items()
            made.append((owner, max(known, linked)))
        else:
            made.append((f"device:{device}" if device else None, known))
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "d1", "d2", "d3"]),
            st.sampled_from(["", "", "ann", "bob"]),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_every_row_goes_where_plain_python_puts_it(
    shared_bench: Any, drawn: list[tuple[str, str, int]]
) -> None:
    rows: list[Row] = [(d, login, 100 * i, 100 * i + late * 70) for i, (d, login, late) in enumerate(drawn)]
    _, found, _ = _run(shared_bench, rows)
    for (_, user, known, codes), (expected, seen) in zip(found, _plain(rows), strict=True):
        if expected is None:
            assert codes == "required(login_id or device_id)"
        else:
            assert (user, known, codes) == (expected, seen, None)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(8)))
def test_the_order_of_rows_changes_nothing(shared_bench: Any, order: list[int]) -> None:
    rows: list[Row] = [("d1", "", 0, 0), ("d1", "ann", 1, 4), ("d1", "ann", 2, 3), ("d2", "", 3, 3), ("d2", "bob", 4, 4), ("d2", "cat", 5, 5), ("d3", "", 6, 6), ("d1", "", 7, 7)]  # fmt: skip
    _, expected, _ = _run(shared_bench, rows)
    _, found, _ = _run(shared_bench, [rows[i] for i in order])
    assert found == expected


def test_no_event_is_known_before_the_link_that_names_its_user(bench: Any) -> None:
    """A snapshot at second 5 must not know that the events of second 1 and 2 are ann's, for she logged in at 10."""
    _, rows, _ = _run(bench, [("d1", "", 1, 1), ("d1", "", 2, 3), ("d1", "ann", 10, 10)])
    assert [(user, known) for _, user, known, _ in rows] == [("ann", 10), ("ann", 10), ("ann", 10)]


def _past(known: IdentityMap) -> Finding | None:
    return next((f for f in known.findings if f.code == "identity.past"), None)


def test_events_linked_on_a_later_day_are_counted_by_hand(bench: Any) -> None:
    day = 86_400
    known, _, _ = _run(
        bench,
        [
            ("d1", "", 1, 1),  # linked 40 days later
            ("d1", "", 10 * day + 1, 10 * day + 1),  # 30 days later
            ("d1", "", 37 * day, 41 * day),  # known only after the link: never missing
            ("d1", "", 40 * day - 1, 40 * day - 1),  # 1 day later: the last second of the day before
            ("d1", "", 40 * day, 40 * day),  # the day of the link
            ("d1", "ann", 40 * day + 5, 40 * day + 5),
            ("d1", "", 50 * day, 50 * day),
            ("d2", "", 12 * day, 12 * day),  # 28 days before bob is known on d2
            ("d2", "bob", 39 * day, 40 * day + 9),
            ("d3", "", 2, 2),  # several logins: stays with the device
            ("d3", "bob", 60 * day, 60 * day),
            ("d3", "cat", 61 * day, 61 * day),
            ("d4", "", 3, 3),  # no login
        ],
    )  # fmt: skip
    found = _past(known)
    assert found is not None
    assert found.severity is Severity.WARN
    assert found.numbers == {
        "n_events_linked_later": 4,
        "n_devices_linked_later": 2,
        "median_days": 28,  # the lower median of 1, 28, 30, 40
        "share_over_28_days": 0.5,
    }
    assert "50% of them more than 28 days" in found.what


def test_links_of_the_same_day_leave_the_past_as_it_was(bench: Any) -> None:
    known, _, _ = _run(bench, [("d1", "", 1, 1), ("d1", "ann", 10, 10), ("d1", "", 86_400, 86_400)])
    assert _past(known) is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from(["", "", "", "ann"]), st.integers(0, 3)),
        min_size=1,
        max_size=20,
    )
)
def test_what_the_past_lacks_is_what_plain_python_finds_moved(
    shared_bench: Any, drawn: list[tuple[str, str, int]]
) -> None:
    """Moved: known on a later day by the rule than by the file."""
    day = 86_400
    rows: list[Row] = [
        (d, login, i * day // 2, i * day // 2 + late * day) for i, (d, login, late) in enumerate(drawn)
    ]
    lags = sorted(
        seen // day - at // day
        for (_, _, at, known), (_, seen) in zip(rows, _plain(rows), strict=True)
        if known // day < seen // day
    )
    found = _past(_run(shared_bench, rows)[0])
    assert (0 if found is None else found.numbers["n_events_linked_later"]) == len(lags)
    if found is not None:
        assert found.numbers["median_days"] == lags[(len(lags) - 1) // 2]
