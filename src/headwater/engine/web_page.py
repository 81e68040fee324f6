"""A sign-in or error page that was saved under a data file's name: it reads as a table of one column, and is none."""

from __future__ import annotations

import re
from pathlib import Path

from headwater.core.errors import SourceError

__all__ = ["WEB_PAGE", "begins_web_page", "web_page"]

WEB_PAGE = "it is a web page (HTML) or a server's error message (XML), not data: a sign-in or error page saved under this name"
_BEGINNING = re.compile(
    rb"(?:\xef\xbb\xbf)?"
    rb"(?>\s|<\?xml.*?\?>|<!--.*?-->)*+"
    rb"<(?:!doctype\s+html|html|head|body|error)(?:[\s/>]|$)",
    re.DOTALL | re.IGNORECASE,
)


def begins_web_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a web page, or of the XML error message of an object store.

    An XML declaration and comments before it are passed over.

    >>> begins_web_page(b"\\n<!-- saved --><HTML>"), begins_web_page(b"user_id,at")
    (True, False)
    """
    return _BEGINNING.match(head) is not None


def web_page(file: Path) -> SourceError:
    """The error of a source that is a web page (``source.web_page``)."""
    return SourceError(
        "source.web_page",
        what=f"'{file.name}' cannot be read: {WEB_PAGE}.",
        why="Read as a table its lines would be users and events that never were; nothing was loaded.",
        do="Open it in a browser to see what it says, sign in where it asks for it, and download the data again.",
    )
