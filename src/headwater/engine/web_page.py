"""A sign-in or error page that was saved under a data file's name: it reads as a table of one column, and is none."""

from __future__ import annotations

from pathlib import Path

from headwater.core.errors import SourceError

__all__ = ["WEB_PAGE", "begins_web_page", "web_page"]

WEB_PAGE = "it is a web page (HTML), not data: a sign-in or error page saved under this name"
_BEGINNINGS = (b"<!doctype html", b"<html")


def begins_web_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a web page.

    >>> begins_web_page(b"\\n<!DOCTYPE HTML>"), begins_web_page(b"user_id,at")
    (True, False)
    """
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:14].lower().startswith(_BEGINNINGS)


def web_page(file: Path) -> SourceError:
    """The error of a source that is a web page (``source.web_page``)."""
    return SourceError(
        "source.web_page",
        what=f"'{file.name}' cannot be read: {WEB_PAGE}.",
        why="Read as a table its lines would be users and events that never were; nothing was loaded.",
        do="Open it in a browser to see what it says, sign in where it asks for it, and download the data again.",
    )
