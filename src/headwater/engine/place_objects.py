"""Objects of a store (``s3://``, ``gs://``, ``az://``, ``memory://`` ...) through fsspec: fetched once, kept by name and version."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from headwater.core.errors import HeadwaterError, SourceError
from headwater.engine.addresses import shown
from headwater.engine.landing import Asked, Landed, missing_extra
from headwater.engine.source_files import format_of

__all__ = ["is_object_store", "land_objects"]

_CHUNK = 8 << 20
_VERSIONS = (
    "ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "generation", "mtime", "LastModified",
    "last_modified", "Last-Modified", "modify", "modificationTime", "created",
)  # fmt: skip


def is_object_store(path: str) -> bool:
    """Whether a path is the address of objects in a store."""
    return "://" in path


def land_objects(asked: Asked) -> Landed:
    """Fetch the data files an address names: one object, a folder, or a glob. An object of the same version is not fetched again.

    An object whose store says no version of it (no tag, no time of change) is fetched every time and kept
    under a name by its content.

    Credentials are the store's own (its environment variables, profiles and key files); none stands in the settings.
    Raises ``SourceError`` (``source.not_found``, ``source.unreachable``, ``extra.missing``).
    """
    try:
        opened = import_module("fsspec.core")
        files, where = opened.url_to_fs(asked.path)
    except (ModuleNotFoundError, ImportError) as error:
        raise missing_extra("objects", getattr(error, "name", None) or "fsspec") from None
    except Exception as error:  # every store has errors of its own
        raise _unreachable(asked, error) from None
    try:
        found = _objects(files, where)
        if not found:
            raise SourceError(
                "source.not_found",
                what=f"There is no data file at '{shown(asked.path)}'.",
                why="Nothing could be read.",
                do="Check the address; a pattern needs a *, such as s3://bucket/events/*.parquet.",
            )
        root = _root(where)
        with ThreadPoolExecutor(max_workers=max(4, asked.threads)) as pool:
            landed = list(pool.map(lambda one: _fetched(files, one, found[one], root, asked.folder), found))
    except HeadwaterError:
        raise
    except Exception as error:
        raise _unreachable(asked, error) from None
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
    told = [str(info[k]) for k in _VERSIONS if info.get(k) is not None]
    inner = PurePosixPath(path).relative_to(root) if path.startswith(root) else PurePosixPath(Path(path).name)
    if not told:
        return _by_content(files, path, inner, folder)
    version = sha256(f"{path}|{'|'.join([str(info.get('size')), *told])}".encode()).hexdigest()[:12]
    target = folder / version / inner
    return target if target.is_file() else _copied(files, path, target)


def _by_content(files: Any, path: str, inner: PurePosixPath, folder: Path) -> Path:
    """The object fetched anew, under a folder named by its bytes."""
    named = sha256(path.encode()).hexdigest()[:12]
    draft = _copied(files, path, folder / f".{named}" / inner)
    with draft.open("rb") as opened:
        content = file_digest(opened, "sha256").hexdigest()
    target = folder / sha256(f"{path}|{content}".encode()).hexdigest()[:12] / inner
    if target.is_file():
        draft.unlink()
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    return draft.replace(target)


def _copied(files: Any, path: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    with files.open(path, "rb") as source, draft.open("wb") as copy:
        while chunk := source.read(_CHUNK):
            copy.write(chunk)
    return draft.replace(target)


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
        what=f"'{shown(asked.path)}' did not answer: {shown((str(error).splitlines() or [type(error).__name__])[0])[:200]}",
        why="Nothing was loaded.",
        do="Check the address and the store's credentials; s3:// needs the package s3fs, gs:// gcsfs, az:// adlfs.",
    )
