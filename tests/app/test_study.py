"""One run over one workspace: what did not change is not done again, and what depends on a change is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.app.run import Published, run
from headwater.app.watch import WouldRun
from headwater.core.errors import GateError, HeadwaterError

if TYPE_CHECKING:
    from conftest import Shop


STEPS = {
    "check", "ledger", "audit", "snapshot", "backtest", "fit", "forecast", "trust", "why", "groups", "curves", "added_up", "report"
}  # fmt: skip


def again(shop: Shop) -> tuple[Published, dict[str, bool]]:
    """Run, and say of each kind of step whether all of it was reused."""
    study = shop.study()
    published = run(study)
    reused: dict[str, bool] = {}
    for step in study.steps.values():
        reused[step.name] = reused.get(step.name, True) and step.reused
    return published, reused


def test_a_second_run_reuses_everything_and_says_the_same(shop: Shop) -> None:
    first, made = again(shop)
    stamps = {p: p.stat().st_mtime_ns for p in shop.store.rglob("*.parquet")}
    second, reused = again(shop)
    assert set(made.values()) == {False}
    assert set(reused.values()) == {True}
    assert set(reused) == STEPS
    assert (first.n_reused, second.n_reused) == (0, second.n_steps)
    assert first.fingerprints == second.fingerprints
    assert first.told.document.lead == second.told.document.lead
    assert stamps == {p: p.stat().st_mtime_ns for p in shop.store.rglob("*.parquet")}


def test_only_what_depends_on_a_change_is_done_again(
    shop: Shop, order_lines: Callable[..., list[str]]
) -> None:
    first, _ = again(shop)

    shop.set('formats = ["html"]', 'formats = ["html", "excel"]')
    second, reused = again(shop)
    assert [step for step, kept in reused.items() if not kept] == ["report"]
    assert {p.suffix for p in second.paths} == {".html", ".xlsx"}
    assert second.fingerprints == first.fingerprints

    shop.set(
        'rule = "unique"', 'rule = "unique"\nmax_share = 0.5'
    )  # breaks nothing: the kept rows are the same
    third, reused = again(shop)
    assert [step for step, kept in reused.items() if not kept] == ["check", "report"]
    assert kept_of(third) == kept_of(first)

    shop.set("[[predict]]", '[[rules]]\nrule = "range"\ncolumns = ["amount"]\nabove = 0\n[[predict]]')
    fourth, reused = again(shop)
    assert set(reused.values()) == {False}
    assert not set(kept_of(fourth).values()) & set(kept_of(first).values())

    shop.write([*order_lines(), "u9999,2024-05-05 10:00:00,o999999,12.00,de"])
    fifth, reused = again(shop)
    assert set(reused.values()) == {False}
    assert fifth.told.worths[0].total.n_users == fourth.told.worths[0].total.n_users + 1


def kept_of(published: Published) -> dict[str, str]:
    return {k: v for k, v in published.fingerprints.items() if not k.startswith("check")}


def test_the_seed_changes_what_is_random_and_nothing_else(shop: Shop) -> None:
    seeds = {}
    for seed in (7, 8, 7):
        study = shop.study(seed=seed)
        published = run(study)
        seeds.setdefault(seed, []).append(published.fingerprints)
    assert seeds[7][0] == seeds[7][1]
    shared = set(seeds[7][0].values()) & set(seeds[8][0].values())
    assert {k.split()[0] for k, v in seeds[7][0].items() if v in shared} >= {"check", "ledger"}
    assert {k.split()[0] for k, v in seeds[7][0].items() if v not in shared} >= {"backtest"}


def test_a_rehearsal_says_the_first_step_and_makes_none(shop: Shop) -> None:
    with pytest.raises(WouldRun, match="checking the data"):
        run(shop.study(rehearsal=True))
    assert list(shop.store.glob("steps/*/*")) == []
    shop.study().ledger()
    (manifest,) = shop.store.glob("steps/ledger/*/manifest.json")
    manifest.write_text("{", encoding="utf-8")
    with pytest.raises(WouldRun, match="building the ledger"):
        run(shop.study(rehearsal=True))
    assert manifest.read_text(encoding="utf-8") == "{"


def test_the_gate_stops_the_road_and_not_the_account(shop: Shop) -> None:
    shop.set('rule = "unique"', 'rule = "range"\ncolumns = ["amount"]\nabove = 0\nmax_share = 0.001')
    study = shop.study()
    events = study.events(gate=False)
    assert events.n_rows_in == events.events.n_rows + events.quarantine.n_rows
    assert events.quarantine.n_rows > 0
    with pytest.raises(GateError, match=r"gate\.failed"):
        study.ledger()


@pytest.mark.parametrize("damage", [b"\xff", b" ", b'{"name": "bg_nbd"}'])
def test_a_model_file_with_changed_bytes_is_not_opened(shop: Shop, damage: bytes) -> None:
    study = shop.study()
    (job,) = study.jobs()
    fitted = study.fit("bg_nbd", job)
    assert study.open_model(fitted).name == "bg_nbd"
    path = Path(fitted.files[0])
    path.write_bytes(path.read_bytes() + damage if len(damage) == 1 else damage)
    with pytest.raises(HeadwaterError) as error:
        study.open_model(fitted)
    assert error.value.finding.code == "model.damaged"
    assert str(path) in error.value.finding.do


def test_a_model_with_one_other_digit_is_not_opened(shop: Shop) -> None:
    study = shop.study()
    (job,) = study.jobs()
    fitted = study.fit("bg_nbd", job)
    path = Path(fitted.files[0])
    state = json.loads(path.read_text(encoding="utf-8"))
    state["predictor"]["params"]["r"] *= 2
    path.write_text(json.dumps(state, sort_keys=True), encoding="utf-8")
    with pytest.raises(HeadwaterError, match=r"model\.damaged"):
        study.forecast("bg_nbd", job, proof=study.backtest(job))


def test_a_damaged_catalog_is_made_again(shop: Shop) -> None:
    first = shop.study().events().events.fingerprint
    (shop.store / "catalog.sqlite").write_bytes(b"this is no database" * 100)
    study = shop.study()
    assert study.events().events.fingerprint == first
    assert [s.reused for s in study.steps.values()] == [True]
