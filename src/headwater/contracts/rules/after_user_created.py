"""After user created: no event before the user was there."""

from __future__ import annotations

from typing import ClassVar

from headwater.contracts.rule import (
    BrokenWhen,
    Columns,
    Lookup,
    one_column,
    refuse_settings,
    span_setting,
    text_setting,
)
from headwater.core.contract import RuleSpec
from headwater.core.errors import ConfigError
from headwater.core.table import Kind
from headwater.engine.sql import Sql, name, sql

__all__ = ["AfterUserCreated"]


class AfterUserCreated:
    """Events earlier than their user's creation by more than ``tolerance``.

    The creation time is a timestamp column of the row, or stands in a users file: ``path``, its ``user``
    column and its ``at`` column (the earliest time counts).
    """

    about: ClassVar[str] = "no event before its user was created"

    def compile(self, spec: RuleSpec, columns: Columns) -> tuple[BrokenWhen, ...]:
        """One check. A user whose creation is not known breaks nothing; see ``references``."""
        refuse_settings(spec, {"path", "user", "at", "tolerance"})
        written, tolerance = span_setting("tolerance", spec, default="0s")
        lookup = _lookup(spec, columns) if "path" in spec.settings else None
        created, where = (lookup.found_at, lookup.path) if lookup is not None else _column(spec, columns)
        slack = "" if tolerance == 0 else f", {written} allowed"
        return (
            BrokenWhen(
                code=f"after_user_created({where})",
                about=f"happened before its user was created by {where}{slack}",
                condition=_before(columns.at, created, tolerance),
                lookup=lookup,
                proposal="Check the clock of the event and of the sign-up; guests who sign up later need one id from the start.",
            ),
        )


def _before(at: Sql, created: Sql, tolerance: int) -> Sql:
    return sql("({at} < {created} - {t})", at=at, created=created, t=tolerance)


def _lookup(spec: RuleSpec, columns: Columns) -> Lookup:
    path = text_setting("path", spec, example="users.parquet")
    return Lookup(
        path=path,
        column=text_setting("user", spec, example="user_id"),
        at=text_setting("at", spec, example="created_at"),
        value=sql("user_id"),
        label=f"lookup of users in {path} {columns.user}",
    )


def _column(spec: RuleSpec, columns: Columns) -> tuple[Sql, str]:
    column = one_column(spec, columns)
    if columns.typed.get(column) is not Kind.TIMESTAMP:
        raise ConfigError(
            "rule.after_user_created",
            what=f"The after_user_created rule names '{column}', which is no timestamp.",
            why="There is no time to compare with.",
            do=f'Declare it: types = {{ {column} = "timestamp" }}, or name a users file: path, user and at.',
        )
    return name(column), column
