"""What is compiled to SQL, and every member of a shelf whose work is SQL, has a parity test or a gap with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import headwater
from headwater.contracts.alarms import ALARMS
from headwater.contracts.repairs import REPAIRS
from headwater.contracts.rules import RULES
from headwater.core.shelf import Shelf
from headwater.models.ltv import LTV_MODELS
from headwater.snapshots.features import FEATURES

SOURCE, HERE = Path(headwater.__file__).parent, Path(__file__).parents[1] / "parity"
TESTED = {
    "app/cli/assign.py": "test_assignment.py",
    "app/dataset.py": "test_run.py",
    "app/heavy.py": "test_run.py",
    "app/largest.py": "test_run.py",
    "app/same_tables.py": "test_verify.py",
    "app/steps.py": "test_run.py",
    "app/trusted.py": "test_run.py",
    "app/worth.py": "test_run.py",
    "contracts/alarms": "test_alarms.py",
    "contracts/audit.py": "test_alarms.py",
    "contracts/currency.py": "test_simulated.py",
    "contracts/duplicates.py": "test_repairs.py",
    "contracts/identity.py": "test_simulated.py",
    "contracts/kinds.py": "test_simulated.py",
    "contracts/kinds_check.py": "test_simulated.py",
    "contracts/link.py": "test_simulated.py",
    "contracts/links.py": "test_simulated.py",
    "contracts/luhn.py": "test_simulated.py",
    "contracts/neighbors.py": "test_simulated.py",
    "contracts/parts.py": "test_steps.py",
    "contracts/plan.py": "test_steps.py",
    "contracts/query.py": "test_steps.py",
    "contracts/repair.py": "test_repairs.py",
    "contracts/repair_log.py": "test_repairs.py",
    "contracts/repair_plan.py": "test_repairs.py",
    "contracts/repairs": "test_repairs.py",
    "contracts/repeats.py": "test_simulated.py",
    "contracts/results.py": "test_simulated.py",
    "contracts/rows.py": "test_steps.py",
    "contracts/rule.py": "test_simulated.py",
    "contracts/rules": "test_simulated.py",
    "contracts/tally.py": "test_alarms.py",
    "contracts/typing.py": "test_steps.py",
    "effects/arms_met.py": "test_gather.py",
    "effects/gather.py": "test_gather.py",
    "effects/moment_query.py": "test_gather.py",
    "effects/quantile_query.py": "test_gather.py",
    "effects/read_units.py": "test_gather.py",
    "effects/whole_units.py": "test_gather.py",
    "effects/units.py": "test_gather.py",
    "effects/day_totals.py": "test_experiments.py",
    "effects/earlier.py": "test_experiments.py",
    "effects/exposed.py": "test_experiments.py",
    "effects/running_totals.py": "test_experiments.py",
    "effects/survival_query.py": "test_experiments.py",
    "effects/assignment.py": "test_assignment.py",
    "engine/engine.py": "test_steps.py",
    "engine/expression.py": "test_simulated.py",
    "engine/relation.py": "test_sources.py",
    "engine/source_csv.py": "test_sources.py",
    "engine/source_excel.py": "test_sources.py",
    "engine/source_files.py": "test_sources.py",
    "engine/source_jsonl.py": "test_sources.py",
    "engine/source_parquet.py": "test_sources.py",
    "engine/spark.py": "test_bounds.py",
    "engine/spark_sources.py": "test_sources.py",
    "ledgers": "test_steps.py",
    "models/cohort_counts.py": "test_steps.py",
    "snapshots": "test_steps.py",
}
GAPS = {
    "effects/clustered.py": "sums by cluster over units that are compared",
    "effects/triggered.py": "one condition over units that are compared",
    "app/experiments.py": "one join of tables that effects and models made, whose parts are compared",
    "effects/predicted_covariate.py": "a selection and a join of units whose parts are compared; predictions are made from Arrow on the driver",
    "app/design_file.py": "a file of past users is read with DuckDB; what gathers its moments is compared",
    "app/assigned.py": "files of users to assign are read with DuckDB; the warehouse takes the expression",
    "contracts/arrival.py": "profile, infer and init look at files with DuckDB",
    "contracts/compare_loads.py": "two loads are compared on DuckDB, whichever engine made them",
    "contracts/facts.py": "profile, infer and init look at files with DuckDB",
    "contracts/looks.py": "profile, infer and init look at files with DuckDB",
    "contracts/mixed.py": "profile, infer and init look at files with DuckDB",
    "contracts/profile.py": "profile, infer and init look at files with DuckDB",
    "contracts/spellings.py": "profile, infer and init look at files with DuckDB",
    "contracts/trial.py": "profile, infer and init look at files with DuckDB",
    "contracts/unseen.py": "rules and repairs are compiled before any data are seen, and never run there",
    "effects/added_up.py": "one GROUP BY of units whose parts are compared",
    "effects/user_rows.py": "a selection of units whose parts are compared",
    "engine/duckdb.py": "the other engine itself",
    "engine/place_duckdb.py": "a DuckDB file is landed as Parquet by DuckDB",
    "engine/place_postgres.py": "PostgreSQL tables are landed as Parquet on the driver",
    "engine/places.py": "tables are landed as Parquet before an engine reads them",
    "engine/sift.py": "broken files are found with DuckDB before either engine reads the others",
    "simulate": "the simulated app is made inside DuckDB; Spark reads its files",
}


def compiled() -> list[str]:
    """The modules that compose SQL."""
    found = [f for f in SOURCE.rglob("*.py") if "headwater.engine.sql import" in f.read_text()]
    return sorted(str(f.relative_to(SOURCE)) for f in found)


def place_of(module: str) -> str | None:
    return next((p for p in (*TESTED, *GAPS) if module == p or module.startswith(f"{p}/")), None)


@pytest.mark.parametrize("module", compiled())
def test_what_composes_sql_has_a_parity_test_or_a_declared_gap(module: str) -> None:
    assert place_of(module) is not None, f"{module}: write a parity test and name it here, or say why not"


def test_no_entry_is_out_of_date() -> None:
    assert {p for p in map(place_of, compiled()) if p} == {*TESTED, *GAPS}
    assert not {*TESTED} & {*GAPS}
    assert all((HERE / test).is_file() for test in TESTED.values())
    assert all(len(reason) > 10 for reason in GAPS.values())


SHELVES: dict[str, tuple[Shelf, str]] = {
    "rules": (RULES, "test_simulated.py"),  # the test there compares with the shelf's names
    "repairs": (REPAIRS, "test_repairs.py"),
    "models": (LTV_MODELS, "test_scoring.py"),
}


@pytest.mark.parametrize("shelf", SHELVES)
def test_the_parity_test_of_a_shelf_asks_the_shelf_for_its_members(shelf: str) -> None:
    members, test = SHELVES[shelf]
    assert re.search(r"\.names\(\)", (HERE / test).read_text())
    assert members.names()


def test_every_alarm_and_feature_is_on_where_nothing_turns_it_off() -> None:
    """An audit without settings runs all alarms, a snapshot without settings all features: as in these tests."""
    assert len(ALARMS.names()) >= 10
    assert len(FEATURES.names()) >= 8
    for test in ("test_alarms.py", "test_steps.py", "test_simulated.py"):
        assert "on=False" not in (HERE / test).read_text()
