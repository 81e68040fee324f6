"""Gamma-Gamma or a credibility mean: which foretold better, at past cutoffs, what purchase days then brought."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.core.errors import DataError
from headwater.core.finding import Finding, Severity
from headwater.engine.arrays import column_floats
from headwater.models.fit_findings import fit_findings
from headwater.models.model import Floats, Training
from headwater.numerics import credibility, gamma_gamma
from headwater.numerics.credibility import Credibility
from headwater.numerics.gamma_gamma import GammaGammaParams, SpendRows
from headwater.numerics.maximize import Fit

__all__ = ["FEWEST_REPEATERS", "Spend", "choose_spend"]

FEWEST_REPEATERS: Final = 30
_TRIED_CUTOFFS = 3
_CORRELATED = 0.3
_ROUNDING = 1e-9
_PRINTED = 0.001

Spend = GammaGammaParams | Credibility
Chosen = tuple[Spend, list[Finding], list[tuple[str, str]]]


def choose_spend(training: Training) -> Chosen:
    """The model of spend, what a reader must know of it, and facts, among them the choice and why.

    Both are fitted as they would have been at up to three earlier cutoffs, and meet what the users' purchase days after
    that were worth until now: no window has to end, so that the choice is one for all horizons and they agree. The
    credibility mean is taken where its squared error is lower, as a geometric mean over cutoffs, or where Gamma-Gamma
    had no finite mean at one of them; without a past cutoff Gamma-Gamma stands. Raises ``DataError`` (``fit.no_spend``) where neither can be
    fitted, ``gamma_gamma.infinite_mean`` where Gamma-Gamma was to stand and has no mean.
    """
    now = _Seen.at(training, with_users=False)
    if int((now.usable).sum()) < FEWEST_REPEATERS:
        if now.x.size >= FEWEST_REPEATERS and np.any(now.mean != 0):
            return _credible(now, why="Gamma-Gamma needs positive spend")
        raise _no_spend(int(now.usable.sum()))
    earlier = [c for c in sorted(training.snapshot.cutoffs) if c < training.now][-_TRIED_CUTOFFS:]
    ratios = [r for c in earlier if (r := _ratio(training, cutoff=c)) is not None]
    failed = ratios.count(0.0)
    if failed:
        return _credible(
            now,
            why=f"no Gamma-Gamma of finite mean could be fitted at {failed} of {len(ratios)} past cutoffs",
        )
    ratio = float(np.exp(np.mean(np.log(ratios)))) if ratios else 1.0
    times = f"{ratio:.3f}" if ratio >= _PRINTED else f"below {_PRINTED}"
    over = f"its squared error over {len(ratios)} past cutoffs is {times} times Gamma-Gamma's"
    if ratio < 1:
        return _credible(now, why=over)
    return _gamma_gamma(now, why=f"credibility mean: {over}" if ratios else "no past cutoff to try another")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """Repeat customers at a cutoff, ``(n,)``: repeats, their mean value, and the value of the first day."""

    x: Floats
    mean: Floats
    first: Floats
    everyone: pa.Table | None

    @classmethod
    def at(cls, training: Training, *, with_users: bool) -> _Seen:
        task = training.task
        repeats, value = f"{task.occasions}_repeats", f"{task.value}_on_repeat_{task.occasions}"
        total, off = f"{task.value}_total", f"{task.value}_off_{task.occasions}"
        rows = training.at_now((repeats, value, total, off, *(("user_id",) if with_users else ())))
        x, on_repeat, all_of_it, off_days = (column_floats(rows, c) for c in (repeats, value, total, off))
        again = x > 0
        first = (all_of_it - np.nan_to_num(off_days) - on_repeat)[again]
        mean = on_repeat[again] / x[again]
        return cls(x=x[again], mean=mean, first=first, everyone=rows if with_users else None)

    @property
    def usable(self) -> np.ndarray:
        """Whom Gamma-Gamma can describe."""
        return self.mean > 0

    @property
    def correlation(self) -> float:
        """Of repeats and their mean value, among those."""
        x, z = self.x[self.usable], self.mean[self.usable]
        if x.size < 2 or x.std() == 0 or z.std() == 0:
            return 0.0
        return float(np.corrcoef(x, z)[0, 1])

    def gamma_gamma(self) -> Fit[GammaGammaParams]:
        """Raises ``DataError`` where the mean would be infinite."""
        x, z = self.x[self.usable], self.mean[self.usable]
        fit = gamma_gamma.fit(SpendRows.of(x, z=z))
        gamma_gamma.population_mean(fit.params)
        return fit

    def credible(self) -> Credibility:
        """Peers are told apart by frequency where spend correlates with it."""
        return credibility.of_users(
            self.x,
            repeat=self.mean,
            first=self.first,
            by_frequency=abs(self.correlation) >= _CORRELATED,
        )


def _ratio(training: Training, *, cutoff: int) -> float | None:
    """Squared error of the credibility mean over that of Gamma-Gamma, on days after a past cutoff; None untried.

    0 where Gamma-Gamma had no finite mean. Errors within rounding of none count as equal.
    """
    then, now = training.back_at(cutoff), training
    seen = _Seen.at(then, with_users=True)
    if seen.everyone is None or int(seen.usable.sum()) < FEWEST_REPEATERS:
        return None
    x, value, days, brought = _came_after(seen.everyone, now)
    if days.size < FEWEST_REPEATERS:
        return None
    try:
        fit = seen.gamma_gamma()
    except DataError:
        return 0.0
    mean = np.divide(value, x, out=np.zeros_like(value), where=x > 0)
    tells = mean > 0
    expected = gamma_gamma.expected_spend(fit.params, x=np.where(tells, x, 0.0), z=np.where(tells, mean, 1.0))
    other = seen.credible().expected(x, value=mean)
    each = brought / days
    least = float((days * (_ROUNDING * each) ** 2).sum())
    errors = [max(float((days * (each - guess) ** 2).sum()), least) for guess in (other, expected)]
    return errors[0] / errors[1] if min(errors) > 0 else None


def _came_after(then: pa.Table, training: Training) -> tuple[Floats, Floats, Floats, Floats]:
    """Repeats and their value by a past cutoff, and purchase days and their value since, of users with any since."""
    task = training.task
    repeats, value = f"{task.occasions}_repeats", f"{task.value}_on_repeat_{task.occasions}"
    now = training.at_now((repeats, value, "user_id"))
    place = pc.index_in(then.column("user_id"), value_set=now.column("user_id").combine_chunks())
    known = np.asarray(pc.is_valid(place))
    where = np.asarray(pc.fill_null(place, 0), dtype=np.int64)
    x, worth = column_floats(then, repeats), column_floats(then, value)
    days = np.where(known, column_floats(now, repeats)[where], np.nan) - x
    brought = column_floats(now, value)[where] - worth
    some = days > 0
    return x[some], worth[some], days[some], brought[some]


def _credible(seen: _Seen, *, why: str) -> Chosen:
    found = seen.credible()
    share = found.within / (found.within + found.between) if found.within + found.between > 0 else 0.0
    facts = [
        ("spend model", f"credibility mean: {why}"),
        ("spend of peers", f"{found.mean:.4g}"),
        ("variance within users", f"{share:.1%}"),
        ("half of the own mean counts from", _half(found)),
        ("correlation of spend and frequency", f"{seen.correlation:.2f}"),
    ]
    if found.slope != 0:
        facts.append(("spend of peers by log of frequency", f"{found.slope:+.4g}"))
    return found, [], facts


def _half(found: Credibility) -> str:
    return f"{found.within / found.between:.1f} repeat days" if found.between > 0 else "no number of days"


def _gamma_gamma(seen: _Seen, *, why: str) -> Chosen:
    fit = seen.gamma_gamma()
    findings = [
        *fit_findings(fit),
        *_left_out(int((~seen.usable).sum()), seen.x.size),
        *_correlated(seen.correlation),
    ]
    facts = [("spend model", f"Gamma-Gamma ({why})")]
    facts += [(f"spend {k}", f"{v:.4g}") for k, v in asdict(fit.params).items()]
    return fit.params, findings, [*facts, ("correlation of spend and frequency", f"{seen.correlation:.2f}")]


def _no_spend(n: int) -> DataError:
    return DataError(
        "fit.no_spend",
        what=f"Only {n:,} repeat customers spent a positive amount.",
        why="What a purchase is worth cannot be learned from so few.",
        do="Check the money measure.",
    )


def _left_out(n: int, n_repeaters: int) -> list[Finding]:
    if n == 0:
        return []
    return [
        Finding(
            code="gamma_gamma.not_positive",
            severity=Severity.NOTE,
            what=f"{n:,} of {n_repeaters:,} repeat customers have a mean spend of zero or less (refunds).",
            why="Gamma-Gamma describes positive spend; they are left out of its fit and take the population's mean spend.",
            do="Nothing, while they are few.",
        )
    ]


def _correlated(correlation: float) -> list[Finding]:
    if abs(correlation) < 0.3:
        return []
    return [
        Finding(
            code="gamma_gamma.correlated",
            severity=Severity.WARN,
            what=f"Frequency and mean spend correlate at {correlation:.2f}.",
            why="Gamma-Gamma assumes that they do not; the value of frequent customers is misjudged.",
            do="Compare with the hurdle model in the backtest.",
        )
    ]
