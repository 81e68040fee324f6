"""Text from anywhere, made fit to be written: what a format cannot hold is replaced visibly."""

from __future__ import annotations

import re

__all__ = ["clipped", "estimated_lines", "visible", "width_of"]

REPLACEMENT = "\ufffd"
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_WIDE = re.compile(
    "[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]"
)


def visible(text: str) -> str:
    """The text with every character that XML or UTF-8 cannot hold shown as U+FFFD."""
    return _UNWRITABLE.sub(REPLACEMENT, text)


def clipped(text: str, limit: int) -> str:
    """The text cut to ``limit`` UTF-16 units (what Excel counts), with an ellipsis where it was cut."""
    if len(text.encode("utf-16-le", "surrogatepass")) // 2 <= limit:
        return text
    head = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - 1)]
    return head.decode("utf-16-le", errors="ignore") + "…"


def width_of(text: str) -> int:
    """Columns the text takes: a Chinese, Japanese or Korean character takes two."""
    return len(text) + len(_WIDE.findall(text))


def estimated_lines(text: str, columns: int) -> int:
    """Lines the text needs when wrapped at ``columns``, at least one."""
    return sum(max(1, -(-width_of(line) // max(columns, 1))) for line in text.splitlines() or [""])
