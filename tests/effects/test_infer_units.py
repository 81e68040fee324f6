"""Roles guessed from the names and values of a file, on files whose roles are known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from headwater.core.errors import ConfigError, DataError
from headwater.effects.gather import gather
from headwater.effects.infer_units import read_units
from headwater.engine.duckdb import DuckDB

DIGITS = 6e-7  # published to six decimals


def reference(*parts: str) -> Path:
    folder = os.environ.get("HEADWATER_REFERENCE_DATA")
    if not folder:
        pytest.skip("HEADWATER_REFERENCE_DATA names no folder of reference data")
    return Path(folder).joinpath(*parts)


def file(folder: Path, text: str) -> Path:
    at = folder / "test.csv"
    at.write_text(text)
    return at


def rows(header: str, line: str, n: int = 60) -> str:
    """``{i}`` counts, ``{arm}`` is a or b in turn, ``{x}`` grows."""
    return "\n".join([header, *(line.format(i=i, arm="ab"[i % 2], x=i * 1.5) for i in range(n))]) + "\n"


def test_roles_by_name_and_what_is_known_before(engine: DuckDB, tmp_path: Path) -> None:
    text = rows(
        "user id,variant,pre_spend,spend,is_active,note,assigned_at",
        "7{i:04d},{arm},{x},{x},TRUE,hello,2026-03-0{i}T10:00:00".replace("0{i}T", "01T"),
    )
    text = text.replace("TRUE", "FALSE", 20)
    found = read_units(engine, file(tmp_path, text))
    assert (found.units.arm, found.units.unit, found.units.exposed) == ("variant", "user id", "assigned_at")
    assert found.arms == ("a", "b")
    assert [(m.name, m.kind, m.outcome, m.covariates) for m in found.metrics] == [
        ("spend", "mean", "spend", ("pre_spend",)),
        ("is_active", "proportion", "is_active", ("pre_spend",)),
    ]
    (told,) = found.findings
    for word in ("arm", "unit", "exposure", "control", "known before", "outcomes"):
        assert word in told.what
    gathered = gather(engine, found.units, metrics=found.metrics, arms=found.arms)
    assert gathered.n_users.tolist() == [30, 30]
    assert {g.day for g in gathered.groups} == {20_513}


def test_what_is_declared_is_not_guessed(engine: DuckDB, tmp_path: Path) -> None:
    at = file(tmp_path, rows("id,group,other,x,y", "u{i},{arm},{arm}{arm},{x},{i}"))
    found = read_units(engine, at, arm="other", control="bb", outcomes=["x", "y > 20"], unit="id")
    assert found.arms == ("bb", "aa")
    assert [(m.name, m.kind) for m in found.metrics] == [("x", "mean"), ("y > 20", "proportion")]
    assert found.findings == ()


@pytest.mark.parametrize(
    ("header", "line", "given", "code"),
    [
        ("id,x,y", "u{i},{x},{i}", {}, "experiment.arm_column"),
        ("id,arm,y", "u{i},{arm}lpha,{i}", {}, "experiment.control"),
        ("id,arm,y", "u{i},{arm},hello", {}, "experiment.outcomes"),
        ("id,arm,y", "u{i},{arm},{i}", {"control": "z"}, "arms.missing"),
        ("id,arm,y", "u{i},{arm},{i}", {"arm": "amr"}, "source.missing_column"),
    ],
)
def test_what_cannot_be_told_is_refused(
    engine: DuckDB, tmp_path: Path, header: str, line: str, given: dict[str, str], code: str
) -> None:
    with pytest.raises((DataError, ConfigError)) as refused:
        read_units(engine, file(tmp_path, rows(header, line)), **given)  # pyright: ignore[reportArgumentType]
    assert refused.value.finding.code == code


def test_cookie_cats_without_a_word_about_it(engine: DuckDB) -> None:
    """Rates and group sizes as published: 44.82 and 44.23, 19.02 and 18.20 percent; 44,700 and 45,489 players."""
    found = read_units(engine, reference("cookie_cats", "cookie_cats.csv.gz"))
    assert (found.units.arm, found.units.unit, found.arms) == ("version", "userid", ("gate_30", "gate_40"))
    assert [(m.name, m.kind) for m in found.metrics] == [
        ("sum_gamerounds", "mean"), ("retention_1", "proportion"), ("retention_7", "proportion"),
    ]  # fmt: skip
    gathered = gather(engine, found.units, metrics=found.metrics, arms=found.arms)
    assert dict(zip([g.arm for g in gathered.groups], gathered.n_users.tolist(), strict=True)) == {
        "gate_30": 44_700,
        "gate_40": 45_489,
    }
    rates = [gathered.metrics[m].moments.mean[:, 0] for m in ("retention_1", "retention_7")]
    np.testing.assert_allclose(np.concatenate(rates), [0.4482, 0.4423, 0.1902, 0.1820], atol=5e-5)
    largest = gathered.metrics["sum_gamerounds"].largest
    assert largest is not None
    assert largest.max() == 49_854


def test_hillstrom_against_the_effects_and_errors_of_its_readme(engine: DuckDB) -> None:
    found = read_units(
        engine, reference("hillstrom", "hillstrom.csv.gz"), arm="segment", outcomes=["visit", "spend"]
    )
    assert found.arms == ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    gathered = gather(engine, found.units, metrics=found.metrics, arms=found.arms)
    at = [g.arm for g in gathered.groups].index
    for metric, effect, error in (("visit", 0.076590, 0.003386), ("spend", 0.769827, 0.145247)):
        moments = gathered.metrics[metric].moments
        variance = moments.covariance()[:, 0, 0] / moments.n
        control, mens = at("No E-Mail"), at("Mens E-Mail")
        assert moments.mean[mens, 0] - moments.mean[control, 0] == pytest.approx(effect, abs=DIGITS)
        assert np.sqrt(variance[mens] + variance[control]) == pytest.approx(error, abs=DIGITS)
