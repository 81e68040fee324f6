"""Objects of a store (``s3://``, ``gs://``, ``az://``, ``memory://`` ...) through fsspec: fetched once, kept by name and version."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from headwater.core.errors import SourceError
from headwater.engine.landing import Asked, Landed, missing_extra
from headwater.engine.source_files import format_of

__all__ = ["is_object_store", "land_objects"]

_CHUNK = 8 << 20
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "mtime", "LastModified", "last_modified", "created")  # fmt: skip


def is_object_store(path: str) -> bool:
    """Whether a path is the address of objects in a store."""
    return "://" in path


def land_objects(asked: Asked) -> Landed:
    """Fetch the data files an address names: one object, a folder, or a glob. An object of the same version is not fetched again.

    Credentials are the store's own (its environment variables, profiles and key files); none stands in the settings.
    Raises ``SourceError`` (``source.not_found``, ``source.unreachable``, ``extra.missing``).
    """
    try:
        opened = import_module("fsspec.core")
        files, where = opened.url_to_fs(asked.path)
    except (ModuleNotFoundError, ImportError) as error:
        raise missing_extra("objects", getattr(error, "name", None) or "fsspec") from None
    except ValueError as error:
        raise _unreachable(asked, error) from error
    try:
        found = _objects(files, where)
        if not found:
            raise SourceError(
                "source.not_found",
                what=f"There is no data file at '{asked.path}'.",
                why="Nothing could be read.",
                do="Check the address; a pattern needs a *, such as s3://bucket/events/*.parquet.",
            )
        root = _root(where)
        with ThreadPoolExecutor(max_workers=max(4, asked.threads)) as pool:
            landed = list(pool.map(lambda one: _fetched(files, one, found[one], root, asked.folder), found))
    except (OSError, ValueError) as error:
        raise _unreachable(asked, error) from error
    _sweep(asked.folder, keep=set(landed))
    version = sha256("|".join(str(f.relative_to(asked.folder)) for f in landed).encode()).hexdigest()[:32]
    return Landed(files=tuple(landed), version=f"objects:{version}", kind="objects")


def _objects(files: Any, where: str) -> dict[str, Mapping[str, Any]]:
    """The data files and what the store says of each, sorted by name."""
    if any(c in where for c in "*?["):
        found = files.glob(where, detail=True)
    elif files.isdir(where):
        found = files.find(where, detail=True)
    else:
        found = {where: files.info(where)} if files.exists(where) else {}
    data = {path: info for path, info in found.items() if info.get("type") != "directory"}
    return {p: data[p] for p in sorted(data) if format_of(Path(p)) and not _hidden(p, where)}


def _fetched(files: Any, path: str, info: Mapping[str, Any], root: str, folder: Path) -> Path:
    """The object on this disk, under a folder named by its version; its folders (partitions) are kept."""
    told = "|".join(str(info[k]) for k in ("size", *_VERSIONS) if info.get(k) is not None)
    version = sha256(f"{path}|{told}".encode()).hexdigest()[:12]
    inner = PurePosixPath(path).relative_to(root) if path.startswith(root) else PurePosixPath(Path(path).name)
    target = folder / version / inner
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    with files.open(path, "rb") as source, draft.open("wb") as copy:
        while chunk := source.read(_CHUNK):
            copy.write(chunk)
    draft.replace(target)
    return target


def _root(where: str) -> str:
    """The folder that a pattern names in full."""
    parts = where.split("/")
    plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    return "/".join(parts[:plain])


def _hidden(path: str, where: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).relative_to(_root(where)).parts)


def _sweep(folder: Path, *, keep: set[Path]) -> None:
    for old in [p for p in folder.rglob("*") if p.is_file() and p not in keep]:
        old.unlink()


def _unreachable(asked: Asked, error: Exception) -> SourceError:
    return SourceError(
        "source.unreachable",
        what=f"'{asked.path}' did not answer: {(str(error).splitlines() or [type(error).__name__])[0][:200]}",
        why="Nothing was loaded.",
        do="Check the address and the store's credentials; s3:// needs the package s3fs, gs:// gcsfs, az:// adlfs.",
    )
