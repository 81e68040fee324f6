"""Random numbers as SQL: a number is a hash of the seed, who it is for and what it is for, so that order never matters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headwater.engine.sql import Sql, shim, sql
from headwater.simulate.calendar import RHYTHM
from headwater.simulate.world import salt

__all__ = ["exponential", "geometric", "lognormal", "pick", "rhythm_second", "spell", "uniform"]


def uniform(key: Sql, what: str) -> Sql:
    """A draw between 0 and 1, both excluded, for a key and a name."""
    return shim("unit", shim("mix", key, salt(what)))


def exponential(key: Sql, what: str) -> Sql:
    """A draw with mean 1."""
    return sql("(-ln({u}))", u=uniform(key, what))


def geometric(key: Sql, what: str, mean: Sql) -> Sql:
    """A whole number from 0 with a mean."""
    return sql("CAST(floor(ln({u}) / ln({m} / (1.0 + {m}))) AS BIGINT)", u=uniform(key, what), m=mean)


def spell(key: Sql, what: str, leave: Sql) -> Sql:
    """Days until something that happens with chance ``leave`` a day: a whole number from 1."""
    return sql("(1 + CAST(floor(ln({u}) / ln(1.0 - {p})) AS BIGINT))", u=uniform(key, what), p=leave)


def lognormal(key: Sql, what: str, sigma: float) -> Sql:
    """A draw with mean 1 and this standard deviation of its logarithm (Box and Muller 1958)."""
    return sql(
        "exp({s} * sqrt(-2.0 * ln({a})) * cos({turn} * {b}) - {half})",
        s=sigma,
        a=uniform(key, what + " radius"),
        b=uniform(key, what + " angle"),
        turn=2 * math.pi,
        half=sigma * sigma / 2,
    )


def pick(draw: Sql, values: Sequence[tuple[str | int, float]]) -> Sql:
    """One of several values with their chances, which add to 1."""
    chain, edge = sql("CASE"), 0.0
    for value, chance in values[:-1]:
        edge += chance
        chain = sql("{chain} WHEN {d} < {edge} THEN {v}", chain=chain, d=draw, edge=edge, v=value)
    return sql("{chain} ELSE {v} END", chain=chain, v=values[-1][0])


def rhythm_second(draw: Sql) -> Sql:
    """The local second of the day at which a session begins."""
    chain, edge = sql("CASE"), 0.0
    for begin, end, share in RHYTHM:
        second = sql(
            "{b} + ({d} - {e}) * {slope}",
            b=begin * 3600.0,
            d=draw,
            e=edge,
            slope=(end - begin) * 3600 / share,
        )
        edge += share
        last = end == RHYTHM[-1][1]
        chain = sql("{c} WHEN {d} < {e} THEN {s}", c=chain, d=draw, e=2.0 if last else edge, s=second)
    return sql("{c} END", c=chain)
