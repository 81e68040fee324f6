"""The hash by which users are put into buckets: FNV-1a with 32 bits, as GrowthBook's SDKs use it, over arrays of ids.

Fowler, Noll and Vo: ``hash = (hash xor unit) * 16777619 mod 2**32`` for each unit of a text, from 2166136261 on.
GrowthBook's JavaScript SDK takes UTF-16 code units as units, and so do we; for ASCII every SDK agrees.

- version 2: ``n = fnv(text of fnv(seed + id)) mod 10,000``, for new experiments;
- version 1: ``n = fnv(id + seed) mod 1,000``, for what began under it; its buckets of one seed lean on those of another.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "N_BUCKETS",
    "OFFSET_BASIS",
    "buckets_of",
    "fnv1a32",
    "fnv1a32_of_decimals",
    "fnv1a32_of_text",
    "utf16_units",
]

N_BUCKETS = {1: 1_000, 2: 10_000}
"""Buckets of each version of the hash."""
OFFSET_BASIS = 2166136261
_PRIME = 16777619
_ROWS_AT_A_TIME = 1 << 15

Hashes = NDArray[np.uint32]
Units = NDArray[np.uint8] | NDArray[np.uint16]
Offsets = NDArray[np.int64]


def buckets_of(units: Units, offsets: Offsets, *, seed: str, version: int = 2) -> NDArray[np.int32]:
    """The bucket of each id, 0 to ``N_BUCKETS[version]`` - 1; divided by that number it is GrowthBook's ``hash``.

    Parameters
    ----------
    units, offsets
        Id i is ``units[offsets[i]:offsets[i + 1]]``, in UTF-16 code units (``utf16_units``).
    """
    if version == 2:
        first = fnv1a32(units, offsets, start=fnv1a32_of_text(seed))
        found = fnv1a32_of_decimals(first)
    else:
        found = fnv1a32(units, offsets)
        for unit in _units_of(seed):
            found = (found ^ np.uint32(unit)) * np.uint32(_PRIME)
    return (found % np.uint32(N_BUCKETS[version])).astype(np.int32)


def fnv1a32(units: Units, offsets: Offsets, *, start: int = OFFSET_BASIS) -> Hashes:
    """The hash of each id; ``start`` is the hash of what stands before every id.

    >>> hex(int(fnv1a32(np.frombuffer(b"foobar", dtype=np.uint8), np.array([0, 6]))[0]))
    '0xbf9cf968'
    """
    found = np.empty(offsets.size - 1, dtype=np.uint32)
    cuts = [*range(0, found.size, _ROWS_AT_A_TIME), found.size]
    for first, end in pairwise(cuts):
        found[first:end] = _hashed(units, offsets[first : end + 1], start)
    return found


def _hashed(units: Units, offsets: Offsets, start: int) -> Hashes:
    """Some ids, unit by unit: the longest first, so that those not yet at their end stand together."""
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    longest_first, at = lengths[order], offsets[:-1][order]
    positions = np.arange(int(longest_first[0]), dtype=np.int64)
    left: NDArray[np.intp] = np.searchsorted(-longest_first, -positions, side="left")
    hashes = np.full(order.size, start, dtype=np.uint32)
    for position, n in enumerate(left.tolist()):
        hashes[:n] ^= units[at[:n] + position]
        hashes[:n] *= np.uint32(_PRIME)
    found = np.empty_like(hashes)
    found[order] = hashes
    return found


def fnv1a32_of_decimals(numbers: Hashes) -> Hashes:
    """The hash of each number written in decimals without leading zeros."""
    hashes = np.full(numbers.shape, OFFSET_BASIS, dtype=np.uint32)
    for power in (10**k for k in range(9, -1, -1)):
        digit = numbers // np.uint32(power) % np.uint32(10) + np.uint32(ord("0"))
        said = (hashes ^ digit) * np.uint32(_PRIME)
        hashes = said if power == 1 else np.where(numbers >= power, said, hashes)
    return hashes


def fnv1a32_of_text(text: str, *, start: int = OFFSET_BASIS) -> int:
    """The hash of one text.

    >>> fnv1a32_of_text("") == OFFSET_BASIS
    True
    """
    hashed = start
    for unit in _units_of(text):
        hashed = (hashed ^ unit) * _PRIME % 2**32
    return hashed


def utf16_units(data: NDArray[np.uint8], offsets: Offsets) -> tuple[Units, Offsets]:
    """Texts in UTF-8 as units of UTF-16: ``data`` and offsets into it in, units and offsets into them out."""
    used = data[offsets[0] : offsets[-1]]
    ends = offsets - offsets[0]
    if not (used & 0x80).any():
        return used, ends
    units = np.frombuffer(used.tobytes().decode().encode("utf-16-le"), dtype="<u2")
    begun = ((used & 0xC0) != 0x80).astype(np.int64) + (used >= 0xF0)
    before = np.concatenate([[0], np.cumsum(begun)])
    return units, before[ends]


def _units_of(text: str) -> list[int]:
    return np.frombuffer(text.encode("utf-16-le"), dtype="<u2").tolist()
