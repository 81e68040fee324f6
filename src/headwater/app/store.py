"""The workspace: immutable results of steps, each in a folder that exists when its manifest does.

A step is known by the fingerprint of its inputs, its settings and the code's version. Files are written
first, the manifest last, by an atomic rename; a folder without a manifest is the debris of a killed run and
is swept away. One run at a time holds the workspace.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from headwater import __version__
from headwater.core.errors import HeadwaterError

__all__ = ["SHELVES_IN_KEYS", "STORE_NAME", "StepResult", "Store", "fingerprint_of", "write_whole"]

STORE_NAME = ".headwater"
_MANIFEST = "manifest.json"
_LINE = "line"
_HOW = frozenset({"sql", "parts", "layout", "n_scans"})
SHELVES_IN_KEYS = (
    "headwater.contracts.alarms",
    "headwater.contracts.repairs",
    "headwater.contracts.rules",
    "headwater.effects.checks",
    "headwater.effects.metrics",
    "headwater.effects.randomized",
    "headwater.effects.stopping",
    "headwater.evaluation.scores",
    "headwater.export",
    "headwater.models.ltv",
    "headwater.snapshots.features",
)
_COMPUTING = ("duckdb", "lightgbm", "numpy", "pyarrow", "scipy", "torch", "tzdata")
_CODE = frozenset({".py", ".html", ".css", ".js"})


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult(Generic[T]):
    """What a step made: the value, its content fingerprint, and whether it was there already."""

    name: str
    value: T
    fingerprint: str
    reused: bool


class Store:
    """The folder ``.headwater`` beside the settings."""

    def __init__(self, root: Path, *, engine: str = "duckdb") -> None:
        self.root = root / STORE_NAME
        self._engine = engine
        self._holds = 0
        self._make_folder()

    @property
    def spill(self) -> Path:
        """Where this process's engine may spill."""
        return self.root / "spill" / str(os.getpid())

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the workspace; the lock ends with the process. Raises ``HeadwaterError`` where another run holds it.

        Every step takes it while it is made; a run takes it once for all of its steps.
        """
        if self._holds:
            yield
            return
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise HeadwaterError(
                    "workspace.busy",
                    what=f"Another run holds the workspace '{self.root}'.",
                    why="Two runs at once could publish half of each.",
                    do="Wait for it to end, or stop it; a killed run leaves no lock.",
                ) from None
            self._holds += 1
            try:
                yield
            finally:
                self._holds -= 1

    def step(
        self,
        name: str,
        key: Mapping[str, object],
        shape: type[T],
        make: Callable[[Path], T],
        *,
        line: Mapping[str, object] | None = None,
    ) -> StepResult[T]:
        """The value of a step: read back where it was made before, otherwise made and published.

        ``line`` is what stays the same while data are appended; ``latest`` finds the step's last value by it.
        """
        saved = self.find(name, key, shape)
        if saved is not None:
            return saved
        with self.held():
            return self._make(name, key, _adapter(shape), make, line)

    def latest(self, name: str, line: Mapping[str, object], shape: type[T]) -> T | None:
        """The value made last of a step with this ``line`` and this code; None where there is none whole."""
        wanted = self._line_of(line)
        found = [
            f
            for f in (self.root / "steps" / name).glob("*")
            if (f / _LINE).is_file() and (f / _MANIFEST).is_file()
        ]
        for folder in sorted(found, key=lambda f: (f / _MANIFEST).stat().st_mtime_ns, reverse=True):
            if (folder / _LINE).read_text(encoding="utf-8") == wanted:
                saved = self._read(folder, name, _adapter(shape))
                if saved is not None:
                    return saved.value
        return None

    def _make(
        self,
        name: str,
        key: Mapping[str, object],
        adapter: TypeAdapter[T],
        make: Callable[[Path], T],
        line: Mapping[str, object] | None,
    ) -> StepResult[T]:
        folder = self._folder(name, key)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        value = make(folder)
        plain = _moved(adapter.dump_python(value, mode="json"), str(folder), "")
        content = fingerprint_of(_content(plain))
        about = {
            "name": name,
            "content": content,
            "key": _readable(key),
            "sizes": _settled(folder),
            "value": plain,
        }
        if line is not None:
            write_whole(folder / _LINE, self._line_of(line))
        write_whole(folder / _MANIFEST, json.dumps(about, indent=1))
        return StepResult(name=name, value=value, fingerprint=content, reused=False)

    def find(self, name: str, key: Mapping[str, object], shape: type[T]) -> StepResult[T] | None:
        """A step made before; None where it was not, its manifest is damaged or a file of it is gone or cut."""
        return self._read(self._folder(name, key), name, _adapter(shape))

    def _read(self, folder: Path, name: str, adapter: TypeAdapter[T]) -> StepResult[T] | None:
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            plain, content = _moved(manifest["value"], "", str(folder)), str(manifest["content"])
            whole = all((folder / f).stat().st_size == size for f, size in manifest["sizes"].items())
            value = adapter.validate_python(plain)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not whole or not all(Path(f).is_file() for f in _files_in(plain)):
            return None
        return StepResult(name=name, value=value, fingerprint=content, reused=True)

    def scratch(self, name: str) -> Path:
        """An empty folder for what is not kept."""
        folder = self.root / "scratch" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def sweep(self) -> int:
        """Remove what a killed run left: step folders without a manifest, spilled files, scratch. Returns how many."""
        debris = [f for f in (self.root / "steps").glob("*/*") if not (f / _MANIFEST).is_file()]
        debris += [f for f in (self.root / "spill").glob("*") if not _runs(f.name)]
        debris += (self.root / "scratch").glob("*")
        for folder in debris:
            shutil.rmtree(folder, ignore_errors=True)
        return len(debris)

    def _folder(self, name: str, key: Mapping[str, object]) -> Path:
        return (
            self.root
            / "steps"
            / name
            / fingerprint_of({"step": name, "code": _code(), "engine": self._engine, **key})
        )

    def _line_of(self, line: Mapping[str, object]) -> str:
        return fingerprint_of({"code": _code(), "engine": self._engine, **line})

    def _make_folder(self) -> None:
        try:
            (self.root / "steps").mkdir(parents=True, exist_ok=True)
            write_whole(self.root / ".gitignore", "*\n")
        except OSError as error:
            raise HeadwaterError(
                "workspace.unwritable",
                what=f"The workspace '{self.root}' cannot be written: {error.strerror}.",
                why="Results need a place.",
                do="Run in a folder you may write to.",
            ) from error


@cache
def _adapter(shape: type[Any]) -> TypeAdapter[Any]:
    """What reads and writes a type; making one takes a thousand times as long as using it."""
    return TypeAdapter[Any](shape)


@cache
def _code() -> str:
    """A fingerprint of our own code, of the libraries that compute, and of plugins: other code, other results."""
    package = Path(__file__).parents[1]
    plugins = [
        f"{p.group} {p.name} {p.value} {p.dist.version if p.dist else ''}"
        for group in SHELVES_IN_KEYS
        for p in sorted(entry_points(group=group), key=lambda point: point.name)
    ]
    known = [__version__, *(f"{d} {v}" for d in _COMPUTING if (v := _version_of(d))), *plugins]
    whole = hashlib.sha256("\n".join(known).encode())
    for file in sorted(f for f in package.rglob("*") if f.suffix in _CODE):
        whole.update(str(file.relative_to(package)).encode())
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def _version_of(library: str) -> str:
    """Its version; empty where it is an extra that is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _settled(folder: Path) -> dict[str, int]:
    """Bring every file of a step to the disk, and say how large each is."""
    sizes: dict[str, int] = {}
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        sizes[str(file.relative_to(folder))] = file.stat().st_size
    return sizes


def _runs(process: str) -> bool:
    """Whether the process that spills into a folder is alive."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def fingerprint_of(value: object) -> str:
    """A fingerprint of JSON-like content, keys in any order."""
    return hashlib.sha256(
        json.dumps(_readable(value), sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()[:32]


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, its line ends as they are; one that is there keeps its mode."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _moved(value: Any, old: str, new: str) -> Any:
    """File paths of tables, relative to their step's folder or absolute again."""
    match value:
        case {"files": list(files), "fingerprint": _, **rest}:
            moved = [
                f.removeprefix(f"{old}/") if old else f"{new}/{f}" if not f.startswith("/") else f
                for f in files
            ]
            return {
                **{k: _moved(v, old, new) for k, v in rest.items()},
                "files": moved,
                "fingerprint": value["fingerprint"],
            }
        case dict():
            return {k: _moved(v, old, new) for k, v in value.items()}
        case list():
            return [_moved(v, old, new) for v in value]
        case _:
            return value


def _files_in(value: Any) -> list[str]:
    match value:
        case {"files": list(files), "fingerprint": _, **rest}:
            return [*map(str, files), *_files_in(rest)]
        case dict():
            return [f for v in value.values() for f in _files_in(v)]
        case list():
            return [f for v in value for f in _files_in(v)]
        case _:
            return []


def _content(value: Any) -> Any:
    """What a value says, without where its files lie and how it was made: its query, its parts, its scans."""
    match value:
        case {"files": _, "fingerprint": print_, "name": name}:
            return {"table": name, "fingerprint": print_}
        case dict():
            return {k: _content(v) for k, v in value.items() if k not in _HOW}
        case list():
            return [_content(v) for v in value]
        case _:
            return value


def _readable(value: object) -> Any:
    match value:
        case Mapping():
            return {str(k): _readable(v) for k, v in value.items()}
        case list() | tuple():
            return [_readable(v) for v in value]
        case str() | int() | float() | bool() | None:
            return value
        case _:
            return _adapter(type(value)).dump_python(value, mode="json")
