"""A small held relation joined to the typed rows of a check: exchange rates, the owners of devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headwater.engine.sql import Sql, name, sql

__all__ = ["Link", "Span", "linked", "links_print"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """At most one row of the relation ``held`` beside each typed row, where ``on`` holds; ``values`` replace typed columns.

    ``on`` and ``values`` are SQL over the typed rows and the columns of ``held``, whose names are its own.
    ``print`` fingerprints what rows between two instants (microseconds; None: anywhere) may meet in it.
    """

    held: str
    on: Sql
    values: Mapping[str, Sql]
    print: Callable[[Span | None], str]


def linked(rows: Sql, link: Link, *, columns: tuple[Sql, ...]) -> Sql:
    """Typed rows with the values a link replaces; ``columns`` are the quoted names of all of them."""
    replaced = {name(c): v for c, v in link.values.items()}
    return sql(
        "SELECT {cells} FROM ({rows}) AS typed LEFT JOIN {held} AS linked ON {on}",
        cells=[sql("{v} AS {c}", v=replaced[c], c=c) if c in replaced else c for c in columns],
        rows=rows,
        held=name(link.held),
        on=link.on,
    )


def links_print(links: Sequence[Link], span: Span | None) -> str:
    """A fingerprint of what links may add to rows of a span; '' without links. Where it changed, check the rows again."""
    return (
        hashlib.sha256("|".join(link.print(span) for link in links).encode()).hexdigest()[:16]
        if links
        else ""
    )
