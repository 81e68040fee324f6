"""A real Spark cluster on the loopback, one master and two workers, for as long as the tests run; and both engines."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headwater.engine.duckdb import DuckDB
from headwater.engine.engine import Engine

_PATIENCE_S = 90


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    why = missing()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.spark)
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


def missing() -> str:
    """Why Spark cannot run here; empty where it can."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed: pip install 'headwater[spark]'"
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        return "there is no Java: apt-get install openjdk-17-jre-headless"
    return ""


@dataclass
class Cluster:
    """One standalone master and its workers, each a process of its own."""

    folder: Path
    port: int
    master: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def start(self) -> None:
        named = ["--host", "127.0.0.1", "--port", str(self.port), "--webui-port", "0"]
        self.master = self._begin("master", ["org.apache.spark.deploy.master.Master", *named])
        for _ in range(2):
            self.add_worker()

    def add_worker(self) -> None:
        n = len(self.workers)
        place = ["--host", "127.0.0.1", "--webui-port", "0", "-d", str(self.folder / f"work {n}")]
        self.workers.append(
            self._begin(
                f"worker {n}",
                ["org.apache.spark.deploy.worker.Worker", "-c", "1", "-m", "2g", *place, self.url],
            )
        )
        self._wait_for("master", "Registering worker", n + 1)

    def kill_a_worker(self) -> None:
        """The worker and what it runs, at once and without a word."""
        worker = next(w for w in self.workers if w.poll() is None)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        for process in [*self.workers, self.master]:
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _begin(self, label: str, command: list[str]) -> subprocess.Popen[bytes]:
        import pyspark

        script = Path(pyspark.__file__).parent / "bin" / "spark-class"
        told = {
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_DAEMON_MEMORY": "256m",
        }
        with (self.folder / f"{label}.log").open("wb") as log:
            return subprocess.Popen(
                [str(script), *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_us,  # noqa: PLW1509  one call into the kernel, no lock
                env=os.environ | told,
            )

    def _wait_for(self, label: str, said: str, times: int) -> None:
        log = self.folder / f"{label}.log"
        end = time.monotonic() + _PATIENCE_S
        while log.read_text(errors="replace").count(said) < times:
            if time.monotonic() > end:
                raise TimeoutError(f"{label} did not say '{said}' {times} times:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)


def _die_with_us() -> None:
    """Ask the kernel to end this process when the tests are killed, so that no cluster outlives them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(folder=tmp_path_factory.mktemp("cluster"), port=free_port())
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def spark(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from headwater.engine.spark import Spark

    engine = Spark(
        master=cluster.url, threads=2, memory="1GB", spill=tmp_path_factory.mktemp("spill") / "spark"
    )
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    engine = DuckDB(threads=2, memory="1GB", spill=tmp_path_factory.mktemp("spill") / "duckdb")
    yield engine
    engine.close()


@pytest.fixture
def on_both(duck: DuckDB, spark: Any) -> Callable[[Callable[[Engine], Any]], tuple[Any, Any]]:
    """What a function of an engine gives on each: DuckDB's answer, Spark's answer."""
    return lambda work: (work(duck), work(spark))
