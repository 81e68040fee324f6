"""Outliers: the users whose money is far from everybody's, and the rows whose numbers are. Listed, never cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headwater.contracts.alarm import Heard, Scope, number_of
from headwater.contracts.tally import Binned, bin_value
from headwater.core.audit import AlarmSpec, Listing
from headwater.core.block import Cell, Form
from headwater.core.finding import Finding, Severity
from headwater.core.table import Kind
from headwater.engine.engine import Engine, table_scan
from headwater.engine.sql import name, sql

__all__ = ["Outliers"]

_MAD_NORMAL = 1.482602218505602
_SHOWN = 20
_LEAST = 100
_TOTALS = "payer totals"


class Outliers:
    """Robust scores (distance from the median in spreads of the middle, on a logarithmic scale) of payers and of numbers."""

    about: ClassVar[str] = "payers and numbers far from all others; whales are listed, never cut"
    statistical: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, float | str]] = {"score": 5}

    def listen(self, spec: AlarmSpec, scope: Scope) -> Heard:
        """Settings: ``score`` (5: what lies further out is listed)."""
        score = number_of(spec, "score")
        whales, told = _whales(scope, score)
        numbers = _numbers(scope, score)
        return Heard(
            n_flagged=sum(int(f.numbers["n_users"]) for f in told),
            flags_are="users",
            findings=told,
            listings=tuple(x for x in (whales, numbers) if x is not None),
        )


def _whales(scope: Scope, score: float) -> tuple[Listing | None, tuple[Finding, ...]]:
    engine, ledger = scope.engine, scope.ledger
    paid = next((m for m in ledger.measures if m.kind is Kind.MONEY), None) if ledger else None
    if engine is None or ledger is None or paid is None:
        return None, ()
    totals = sql(
        "SELECT user_id, ln(CAST(total AS DOUBLE) / {k}) AS size, total FROM (SELECT user_id, CAST(sum({m}) AS BIGINT) AS total"
        " FROM {days} GROUP BY user_id) u WHERE total > 0",
        k=float(paid.scale),
        m=name(paid.name),
        days=table_scan(ledger.days),
    )
    n = engine.hold(_TOTALS, totals)
    if n < _LEAST:
        return None, ()
    t = name(_TOTALS)
    middle, spread, everything = _middle(engine)
    bound = middle + score * spread
    n_far, money_far = engine.one(
        sql(
            "SELECT count(*), CAST(coalesce(sum(total), 0) AS BIGINT) FROM {t} WHERE size > {b}", t=t, b=bound
        )
    )
    top = engine.rows(
        sql("SELECT user_id, total, size FROM {t} ORDER BY total DESC, user_id LIMIT {k}", t=t, k=_SHOWN)
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (user, total / paid.scale, total / everything, (size - middle) / spread) for user, total, size in top
    )
    listing = Listing(
        name="whales",
        title="Who pays most",
        columns=("user_id", "money", "share_of_all", "robust_score"),
        forms=(Form.ID, Form.MONEY, Form.SHARE, Form.NUMBER),
        rows=rows,
        note=f"{paid.label}; none is cut.",
    )
    if not n_far:
        return listing, ()
    return listing, (
        _told(
            n_far,
            n,
            share=money_far / everything,
            money=money_far / paid.scale,
            label=paid.label,
            score=score,
        ),
    )


def _middle(engine: Engine) -> tuple[float, float, int]:
    """The median logarithm of payers' money, its robust spread, and all the money."""
    t = name(_TOTALS)
    middle, everything = engine.one(
        sql(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY size), CAST(sum(total) AS BIGINT) FROM {t}",
            t=t,
        )
    )
    (near,) = engine.one(
        sql(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(size - {m})) FROM {t}",
            t=t,
            m=float(middle),
        )
    )
    return float(middle), max(_MAD_NORMAL * float(near), 1e-9), int(everything)


def _told(n_far: int, n: int, *, share: float, money: float, label: str, score: float) -> Finding:
    return Finding(
        code="alarm.whales",
        severity=Severity.NOTE,
        what=f"{n_far:,} of {n:,} payers lie more than {score:g} robust spreads above the median; they bring {money:,.0f} {label}, {share:.1%} of all.",
        why="A mean over users leans on a few; they may be resellers, tests or your best customers. None is cut.",
        do="Look at the list of who pays most; judge differences of means with them in mind.",
        numbers={"n_users": n_far, "share": share, "money": round(money, 2)},
    )


def _numbers(scope: Scope, score: float) -> Listing | None:
    rows = [row for one in scope.tally.binned if (row := _far_out(one, score)) is not None]
    if not rows:
        return None
    return Listing(
        name="far_numbers",
        title="Numbers far from all others",
        columns=(
            "column",
            "median_size",
            "largest",
            "smallest",
            "rows_far_out",
            "share_of_rows",
            "share_of_the_sum",
        ),
        forms=(Form.TEXT, Form.NUMBER, Form.NUMBER, Form.NUMBER, Form.INTEGER, Form.SHARE, Form.SHARE),
        rows=tuple(rows),
        note=f"Far out: more than {score:g} robust spreads above the median size; read off logarithmic bins of 6%.",
    )


def _far_out(one: Binned, score: float) -> tuple[Cell, ...] | None:
    """A column's median, extremes, and how many numbers lie far out; None where there are none."""
    counts, value = one.counts.sum(axis=0), bin_value(one.bins)
    there = (counts > 0) & (value != 0)
    if counts[there].sum() < _LEAST:
        return None
    order = np.argsort(np.abs(value[there]))
    sizes, n = np.log(np.abs(value[there]))[order], counts[there][order]
    middle = float(sizes[np.searchsorted(np.cumsum(n), n.sum() / 2)])
    away = np.argsort(np.abs(sizes - middle))
    near = float(np.abs(sizes - middle)[away][np.searchsorted(np.cumsum(n[away]), n.sum() / 2)])
    far = sizes > middle + score * max(_MAD_NORMAL * near, 0.1)
    if not far.any():
        return None
    total = float((np.exp(sizes) * n).sum())
    signed = value[there]
    return (
        one.column,
        float(np.exp(middle)),
        float(signed.max()),
        float(signed.min()),
        int(n[far].sum()),
        float(n[far].sum() / counts.sum()),
        float((np.exp(sizes[far]) * n[far]).sum() / total),
    )
