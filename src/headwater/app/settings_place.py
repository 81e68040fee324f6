"""Where in ``headwater.toml`` a setting stands: its line and its table, for messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["Location", "line_of", "place_of"]

Location = tuple[int | str, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w\s.\"'-]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:\"[^\"]*\"|'[^']*'|[\w-]+))*)\s*=")


def place_of(text: str, location: Location) -> str:
    """The place for a message: ``line 14, [[rules]] number 2``; empty where it cannot be told."""
    line = line_of(text, location)
    if line is None:
        return ""
    headers = {place for place, _ in _settings(text) if isinstance(place[-1], int)}
    lists = [i for i in range(len(location)) if location[: i + 1] in headers]
    entries = [
        f"[[{'.'.join(p for p in location[:i] if isinstance(p, str))}]] number {int(location[i]) + 1}"
        for i in lists
    ]
    return f"line {line}, {' of '.join(reversed(entries)) or f'[{location[0]}]'}"


def line_of(text: str, location: Location) -> int | None:
    """The line (from 1) of the setting, or of the nearest table around it; None where neither is there.

    >>> line_of('[app]\\nname = "x"\\n[[rules]]\\nrule = "unique"\\n', ("rules", 0, "max_share"))
    3
    """
    lines = dict(reversed(list(_settings(text))))
    for n in range(len(location), 0, -1):
        if location[:n] in lines:
            return lines[location[:n]]
    return None


def _settings(text: str) -> Iterator[tuple[Location, int]]:
    """Every table and key with its line; what stands inside a text of several lines is passed over."""
    table: Location = ()
    counts: dict[Location, int] = {}
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        was_inside, inside = inside, _still_inside(line, inside)
        if was_inside:
            continue
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _opened(header[2], counts, is_list=header[1] == "[[")
            yield table, number
        elif key:
            yield (*table, *_parts(key[1])), number


def _opened(written: str, counts: dict[Location, int], *, is_list: bool) -> Location:
    """The place of a table; an entry of a list has its number, counted from 0."""
    place: Location = ()
    parts = _parts(written)
    for i, part in enumerate(parts):
        place = (*place, part)
        if is_list and i == len(parts) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _parts(written: str) -> Sequence[str]:
    return [p.strip().strip("\"'") for p in written.split(".")]


def _still_inside(line: str, inside: str) -> str:
    """The quotes a text of several lines is waiting for at the end of this line; empty outside of one."""
    for mark in re.findall(r'"""|\'\'\'', line):
        inside = "" if inside == mark else inside or mark
    return inside
