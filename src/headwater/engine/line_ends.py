"""Text files whose lines end in several ways: the engine reads none of their rows, and does not say which file it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.core.errors import SourceError
from headwater.engine.source_files import format_of, is_packed

__all__ = ["ends_differ", "name_mixed_lines"]

_CHUNK, _LOOKED = 1 << 20, 1 << 18
_BY_NAME = {b"\r\n": "CR LF (Windows)", b"\n": "LF (Unix)", b"\r": "CR alone"}


def ends_differ(head: bytes, file: Path) -> bool:
    """Whether lines outside quotes end in several ways among the first and the last 256 KB of a file.

    ``head`` are its first bytes; of a packed file only they are looked at. A stretch of other line ends in
    the middle is not seen.
    """
    seen = _ends(head[: _LOOKED - 1].removesuffix(b"\r"), quoted=False)
    if not is_packed(file) and file.stat().st_size > _LOOKED:
        with file.open("rb") as stream:
            stream.seek(-_LOOKED, 2)
            tail = stream.read()
        seen |= _ends(tail.removeprefix(b"\n"), quoted=tail.count(b'"') % 2 == 1)
    return len(seen) > 1


def name_mixed_lines(files: Sequence[Path]) -> SourceError | None:
    """The error that names the first file whose lines end in several ways; every byte is read, so ask only after a read has failed."""
    for file in files:
        if format_of(file) == "csv" and not is_packed(file):
            counts = _counted(file)
            if len(counts) > 1:
                return _mixed(file, counts)
    return None


def _counted(file: Path) -> dict[bytes, int]:
    counts = dict.fromkeys(_BY_NAME, 0)
    held, quoted = b"", False
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""
            whole = chunk[:-1] if held else chunk
            plain = _outside(whole, quoted=quoted)
            quoted ^= whole.count(b'"') % 2 == 1
            _add(counts, plain)
    _add(counts, b"" if quoted else held)
    return {end: n for end, n in counts.items() if n}


def _add(counts: dict[bytes, int], plain: bytes) -> None:
    pairs = plain.count(b"\r\n")
    counts[b"\r\n"] += pairs
    counts[b"\n"] += plain.count(b"\n") - pairs
    counts[b"\r"] += plain.count(b"\r") - pairs


def _ends(text: bytes, *, quoted: bool) -> set[bytes]:
    if b"\r" not in text:
        return {b"\n"} if b"\n" in text else set()
    counts = dict.fromkeys(_BY_NAME, 0)
    _add(counts, _outside(text, quoted=quoted))
    return {end for end, n in counts.items() if n}


def _outside(text: bytes, *, quoted: bool) -> bytes:
    """What stands outside quotes."""
    return b'""'.join(text.split(b'"')[int(quoted) :: 2])


def _mixed(file: Path, counts: dict[bytes, int]) -> SourceError:
    told = " and ".join(f"{n:,} with {_BY_NAME[end]}" for end, n in counts.items())
    return SourceError(
        "source.line_ends",
        what=f"The lines of '{file.name}' end in several ways: {told}.",
        why="The engine cannot tell where its rows end, so none of them was read.",
        do="Write it with one kind of line end (dos2unix, or export it again); in a folder, [gate] max_broken_files says how many files may be set aside.",
    )
