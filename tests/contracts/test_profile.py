"""The profile and the comparison of loads: counts against pandas, shifts against SciPy, rules against the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from headwater.app.rules_text import rules_text
from headwater.contracts.compare_loads import compare_loads, stability_index
from headwater.contracts.infer import propose
from headwater.contracts.infer_rules import propose_rules
from headwater.contracts.profile import profile
from headwater.core.errors import ConfigError, SourceError
from headwater.core.span import day_of

SEED = 20261123
DISTINCT = 0.15  # HyperLogLog of the engine: a few percent, seldom more than ten
QUANTILE = 0.05  # t-digest: a few percent of the value in the middle


def orders(n=4_000, *, seed=SEED):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "order_id": np.char.add("A-", np.char.zfill(np.arange(n).astype(str), 6)),
        "user_id": rng.integers(0, 500, n).astype(str),
        "ordered_at": pd.Timestamp("2026-01-05") + pd.to_timedelta(np.sort(rng.integers(0, 30 * 86_400, n)), unit="s"),
        "amount": rng.lognormal(3, 1, n).round(2),
        "channel": rng.choice(["google", "Google", "meta"], n, p=[0.5, 0.1, 0.4]),
        "note": np.where(rng.random(n) < 0.02, "write to jo@shop.example please now", None),
        "empty": None,
        "constant": "x",
        "code": np.where(rng.random(n) < 0.1, "n/a", "7"),
    })  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(frame, name="orders.csv"):
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def column(found, name):
    return next(c for c in found.columns if c.column == name)


def test_profile_counts_against_pandas(engine, written):
    frame = orders()
    found = profile(engine, written(frame))
    assert (found.n_rows, len(found.columns)) == (len(frame), len(frame.columns))
    for name in frame.columns:
        seen = column(found, name)
        assert seen.n_filled == frame[name].notna().sum()
        assert seen.n_distinct == pytest.approx(frame[name].nunique(), rel=DISTINCT)
    quantiles = column(found, "amount").quantiles
    assert (quantiles[0], quantiles[-1]) == (frame.amount.min(), frame.amount.max())
    np.testing.assert_allclose(quantiles[2:5], frame.amount.quantile([0.25, 0.5, 0.75]), rtol=QUANTILE)
    assert dict(column(found, "channel").top) == frame.channel.value_counts().to_dict()


def test_profile_says_what_is_suspicious_first(engine, written):
    frame = orders()
    frame.loc[7, "amount"] = 5_000_000.0
    found = profile(engine, written(frame))
    said = {c.column: " ".join(c.suspicions) for c in found.columns}
    assert "empty" in said["empty"]
    assert "same value" in said["constant"]
    assert "Google / google" in said["channel"]
    assert "e-mail" in said["note"]
    assert "'n/a'" in said["code"]
    assert "99% quantile" in said["amount"]
    assert said["user_id"] == said["order_id"] == ""
    assert found.columns[0].suspicions
    assert not found.columns[-1].suspicions


def test_profile_tells_repeated_rows(engine, written):
    frame = orders(500)
    found = profile(engine, written(pd.concat([frame, frame.head(7)])))
    (told,) = found.findings
    assert (told.code, told.numbers["n_rows"]) == ("profile.repeats", 7)


def test_profile_of_nothing_is_an_error(engine, tmp_path):
    with pytest.raises(SourceError):
        profile(engine, tmp_path / "nowhere.csv")


@pytest.mark.parametrize("damage", ["no Parquet", "zeroed pages"])
def test_files_that_cannot_be_read_are_named_by_who_looks(engine, tmp_path, damage):
    """Two of four files: what the others hold is looked at, and nobody takes it for the whole."""
    for k in range(4):
        orders(400, seed=k).drop(columns="empty").to_parquet(tmp_path / f"{k}.parquet", compression="zstd")
    for k in (1, 2):
        file = tmp_path / f"{k}.parquet"
        whole = file.read_bytes()
        file.write_bytes(b"x" * 100 if damage == "no Parquet" else whole[:40] + bytes(1_500) + whole[1_540:])
    found = profile(engine, tmp_path)
    assert (found.n_rows, found.n_files) == (800, 2)
    proposal = propose(engine, tmp_path, today=None)
    suggested = propose_rules(engine, tmp_path, proposal)
    for findings in (found.findings, proposal.findings, suggested.findings):
        (told,) = [f.what for f in findings if f.code == "source.broken_files"]
        assert told.startswith("2 of 4 files")
        assert "'1.parquet'" in told
        assert "'2.parquet'" in told
    assert "2 of 4 files" in rules_text(suggested).replace("\n# ", " ")
    with pytest.raises(SourceError):
        compare_loads(engine, tmp_path, tmp_path / "0.parquet")


@pytest.mark.parametrize(
    ("now", "last"), [([120, 80, 50], [100, 100, 40]), ([5, 900], [60, 800]), ([10, 10, 10], [1, 2, 300])]
)
def test_shift_p_value_against_scipy_chi2_contingency(now, last):
    _, p = stability_index(np.array(now), np.array(last))
    assert p == pytest.approx(stats.chi2_contingency([now, last], correction=False).pvalue, rel=1e-9)


def test_stability_index_by_hand():
    psi, _ = stability_index(np.array([300_000, 700_000]), np.array([500_000, 500_000]))
    assert psi == pytest.approx(-0.2 * np.log(0.6) + 0.2 * np.log(1.4), rel=1e-4)


def test_comparison_finds_what_was_planted(engine, written):
    last = orders()
    now = pd.concat(
        [last, orders(400, seed=1).assign(ordered_at=lambda d: d.ordered_at + pd.Timedelta("30D"))]
    )
    now = now.drop(columns="note").assign(added=1)
    now = now.drop(now.index[now.ordered_at.dt.strftime("%Y-%m-%d") == "2026-01-20"][:5])
    rng = np.random.default_rng(3)
    now["channel"] = np.where(rng.random(len(now)) < 0.3, "tiktok", now.channel)
    now["amount"] = now.amount * 100
    found = compare_loads(engine, written(now, "now.csv"), written(last, "last.csv"))
    assert (found.n_rows_now, found.n_rows_last) == (len(now), len(last))
    assert (found.added, found.gone) == (("added",), ("note",))
    (new,) = [v for v in found.new_values if v.column == "channel"]
    first = now[now.channel == "tiktok"].ordered_at.min()
    assert (new.value, new.n_rows, new.first_day) == (
        "tiktok",
        (now.channel == "tiktok").sum(),
        day_of(first.date()),
    )
    dropped = last.index[last.ordered_at.dt.strftime("%Y-%m-%d") == "2026-01-20"]
    (day,) = found.restated
    assert (day.day, day.n_last, day.n_now) == (day_of("2026-01-20"), len(dropped), len(dropped) - 5)
    large = {s.column for s in found.shifts if s.psi > 0.25}
    assert large == {"amount", "channel"}
    assert {f.code for f in found.findings} == {
        "load.columns_added", "load.columns_gone", "load.new_values", "load.restated", "load.shift",
    }  # fmt: skip


def test_a_load_compared_with_itself_differs_in_nothing(engine, written):
    path = written(orders())
    found = compare_loads(engine, path, path)
    assert found.findings == ()
    assert max(s.psi for s in found.shifts) == 0
    assert found.restated == ()


def test_text_that_was_numbers_is_told(engine, written):
    last = orders()
    now = last.assign(amount=last.amount.map(lambda a: f"USD {a}"))
    found = compare_loads(engine, written(now, "now.csv"), written(last, "last.csv"))
    assert found.retyped == (("amount", "numbers", "text"),)


def test_comparison_by_a_column_that_is_not_there(engine, written):
    path = written(orders(50))
    with pytest.raises(ConfigError, match="not in both loads"):
        compare_loads(engine, path, path, at="when")


def test_inferred_rules_hold_in_the_data_they_come_from(engine, written):
    frame = orders().drop(columns=["empty", "note"])
    path = written(frame)
    rules = propose_rules(engine, path, propose(engine, path)).rules
    by_name = {(spec.rule, spec.columns): (spec, why) for spec, why in rules}
    spec, _ = by_name["matches", ("order_id",)]
    assert frame.order_id.str.fullmatch(spec.settings["pattern"]).all()
    assert ("unique", ("order_id",)) in by_name
    assert set(by_name["one_of", ("channel",)][0].settings["values"]) == set(frame.channel) - {"Google"}
    assert by_name["range", ("amount",)][0].settings == {"at_least": 0}
    assert f"0 of {len(frame):,} rows" in by_name["range", ("amount",)][1]


def test_a_rule_that_only_the_first_rows_keep_is_not_proposed(engine, written, monkeypatch):
    from headwater.contracts import looks

    monkeypatch.setattr(looks, "_SAMPLE_ROWS", 1_000)
    frame = orders().drop(columns=["empty", "note"])
    frame.loc[frame.index >= 2_000, "amount"] *= -1
    path = written(frame)
    rules = propose_rules(engine, path, propose(engine, path)).rules
    assert ("range", ("amount",)) not in {(spec.rule, spec.columns) for spec, _ in rules}


def test_profile_shows_ids_digit_by_digit_and_the_ends_of_times(engine, tmp_path):
    """Ids of twenty digits, with leading zeros, and of sixteen, which are one number as floats."""
    ids = ["00123456789012345678", "00123456789012345679", "10123456789012345678"]
    frame = pd.DataFrame({
        "user_id": ids, "serial": ["9007199254740993", "9007199254740992", "9007199254740994"], "n": ["1200", "7", "1000000"],
        "price": ["1.50", "-3", "10.25"], "day": ["03/01/2026", "14/02/2026", "01/03/2026"], "at": ["2026-01-05 10:00:01", "2026-01-04", "2026-01-06T11:30:00"],
    })  # fmt: skip
    frame.to_csv(tmp_path / "ids.csv", index=False)
    found = profile(engine, tmp_path / "ids.csv")
    ends = {c.column: (c.least, c.largest) for c in found.columns}
    assert ends == {
        "user_id": (ids[0], ids[2]), "serial": ("9007199254740992", "9007199254740994"), "n": ("7", "1,000,000"), "price": ("-3", "10.25"),
        "day": ("2026-01-03", "2026-03-01"), "at": ("2026-01-04", "2026-01-06 11:30:00"),
    }  # fmt: skip
    assert column(found, "user_id").quantiles == () == column(found, "serial").quantiles


def test_a_renamed_column_is_told_as_one(engine, written):
    last = orders()
    now = last.rename(columns={"channel": "source", "amount": "total"})
    found = compare_loads(engine, written(now, "now.csv"), written(last, "last.csv"))
    assert {(r.gone, r.new, r.same) for r in found.renamed} == {
        ("channel", "source", 1.0),
        ("amount", "total", 1.0),
    }
    assert [f.code for f in found.findings] == ["load.renamed"] * 2


def test_a_column_gone_and_another_new_of_other_values_are_no_pair(engine, written):
    last = orders()
    now = last.drop(columns=["channel", "note"]).assign(added="blue", more="red")
    found = compare_loads(engine, written(now, "now.csv"), written(last, "last.csv"))
    assert found.renamed == ()
    assert {f.code for f in found.findings} == {"load.columns_gone", "load.columns_added"}
