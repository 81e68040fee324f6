"""Secrets in the addresses of sources: refused before anything is opened, and never shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

from headwater.core.errors import ConfigError

__all__ = ["is_postgres", "require_no_secret", "shown"]

# "user:secret@" after "://", or ":/" where a path swallowed one; a port ("host:8080/a@b") is none. A secret may hold "/", "?" and "@" as they are.
_USERINFO = re.compile(r"(:/{1,2}[^/?#:@\[\s]*):(?:([^/?#\s]*)|(?!\d+[,/?#])([^@\s]*))@")
_PARAMETER = re.compile(r"([?&;#\s])([\w.%-]+)=([^&;#\s]*)")
_BARE = re.compile(r"(^|[?&;\s])((?:ssl)?password)=([^&;\s]*)", re.IGNORECASE)
_SECRET = re.compile(
    r".*(password|passwd|passphrase|secret|token|signature)"
    r"|(.*[-_.])?(pwd|pass|sig|key)"
    r"|.*(api|access|account|private|secret)[-_]?key"
    r"|connection[-_]?string",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\$\{\w+\}")


def is_postgres(path: str) -> bool:
    """Whether a path is the address of a PostgreSQL server."""
    return path.startswith(("postgresql://", "postgres://"))


def require_no_secret(path: str) -> None:
    """Refuse an address that holds a password, a token or a key, be it before the ``@`` or a parameter.

    ``${VARIABLE}`` may stand in its place in the address of a PostgreSQL server, the only one it is filled
    in for. Raises ``ConfigError`` (``source.password_in_file``).
    """
    found = _secrets(path)
    if not found or (is_postgres(path) and all(_VARIABLE.fullmatch(secret) for secret in found)):
        return
    raise ConfigError(
        "source.password_in_file",
        what=f"The address of the source '{shown(path)}' holds a password.",
        why="Settings are shared and kept in version control; a password in them is no secret.",
        do="Write ${PGPASSWORD} in its place, or leave it out and use PGPASSWORD or ~/.pgpass; then change the password."
        if is_postgres(path)
        else "Leave it out: a store reads its own environment variables, profiles and key files, or FSSPEC_<STORE>_<SETTING> (FSSPEC_FTP_PASSWORD for ftp://); then change the password.",
    )


def shown(text: str) -> str:
    """An address, or a message that names addresses, with ``...`` in place of each secret."""
    text = _USERINFO.sub(r"\1:...@", text)
    text = _BARE.sub(r"\1\2=...", text)
    return _PARAMETER.sub(lambda m: f"{m[1]}{m[2]}=..." if _is_secret(m[2]) else m[0], text)


def _secrets(path: str) -> list[str]:
    inside = [m[2] or m[3] or "" for m in _USERINFO.finditer(path)]
    bare = [m[3] for m in _BARE.finditer(path)]
    parameters = [m[3] for m in _PARAMETER.finditer(path) if _is_secret(m[2])] if ":/" in path else []
    return [secret for secret in (*inside, *bare, *parameters) if secret]


def _is_secret(parameter: str) -> bool:
    return _SECRET.fullmatch(unquote(parameter)) is not None
