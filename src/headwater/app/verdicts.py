"""What may be done with a forecast, and what it cannot say: three questions, each with its stance."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.app.heavy import LARGE_SHARE, HeavyUser, heavy_finding
from headwater.app.worth import Worth
from headwater.core.answer import Estimate, Stance, Verdict
from headwater.core.block import Field, Grid
from headwater.core.contract import Events
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Snapshot
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.standing import Standing

__all__ = ["before_figures", "limits", "verdict_grid", "verdicts"]

_TIGHT, _LOOSE = 0.10, 0.25
_COVERAGE_SHORT = 0.05
_YEAR = 365
_IN_TIME = ", the earliest first"
_OF_TOTALS_ONLY = frozenset({"trust.calibration_off"})


def verdicts(
    proof: Backtest, worth: Worth, against: Sequence[Finding] = (), *, model: str | None = None
) -> tuple[Verdict, ...]:
    """May the order be used, may the total be used, will acting pay?

    ``against`` is what ``check_trust`` found; ``model`` made the forecast, where that is not the choice.
    """
    name = model or proof.choice.name
    blocking = [f for f in against if f.severity is Severity.BLOCK]
    of_order = [f for f in blocking if f.code not in _OF_TOTALS_ONLY]
    order, total = _ranking(proof, name), _level(proof, worth, name)
    return (_held_back(order, of_order), _held_back(total, blocking), _response(worth))


def _held_back(verdict: Verdict, blocking: Sequence[Finding]) -> Verdict:
    """The verdict, or "cannot say" where something blocks it: what, and what would help."""
    if not blocking:
        return verdict
    unknown = verdict.stance is Stance.CANNOT_SAY
    return Verdict(
        question=verdict.question,
        stance=Stance.CANNOT_SAY,
        because=(*(f.what for f in blocking), *verdict.because),
        would_change=(*(f.do for f in blocking), *(verdict.would_change if unknown else ())),
        findings=tuple(blocking),
    )


def verdict_grid(given: tuple[Verdict, ...], name: str) -> Grid:
    """The verdicts as a table."""
    fields = (
        Field(name="question", label="Question"),
        Field(name="stance", label="Verdict"),
        Field(name="because", label="Because"),
        Field(name="would_change", label="What would change our mind"),
    )
    rows = [(v.question, v.stance.value, " ".join(v.because), " ".join(v.would_change)) for v in given]
    return Grid.of(name, "What may be done with it", fields, rows)


def limits(events: Events, snapshot: Snapshot, proof: Backtest) -> tuple[Finding, ...]:
    """What the models cannot know here."""
    found = [*snapshot.findings, *_season(events), *_coverage(proof)]
    return tuple(found)


def before_figures(worth: Worth, order: Verdict) -> list[Finding]:
    """What a reader must know before any figure: who alone is a large part of the total, and whether it is beyond what was seen."""
    heavy = heavy_finding(worth.heavy, worth.task)
    return [
        *([heavy] if heavy else []),
        *_beyond_experience(worth, may_order=order.stance is Stance.ACT),
    ]


def _beyond_experience(worth: Worth, *, may_order: bool) -> list[Finding]:
    """Whether today's users alone are expected to bring more than all users, new ones too, just did."""
    total, last = worth.total, worth.last_window
    if total.value <= last:
        return []
    year = (
        f", and {worth.last_year:,.0f} in the same days a year before" if worth.last_year is not None else ""
    )
    return [
        Finding(
            code="forecast.beyond_experience",
            severity=Severity.WARN,
            what=(
                f"The {total.value:,.0f} {total.unit} expected from customers already known is more than all customers, "
                f"new ones included, brought in the {worth.task.horizon_days} days before ({last:,.0f}{year})."
            ),
            why="The model learned from months of growth and carries that growth on; it cannot know whether a season ends.",
            do=f"{'Use the order of customers; do' if may_order else 'Do'} not put the total into a plan before a second year is loaded.",
            numbers={"total": total.value, "last_window": last},
        )
    ]


def _ranking(proof: Backtest, model: str) -> Verdict:
    gini = proof.standing("normalized_gini")
    values = _known(gini, model)
    question = "May customers be put in order by this forecast?"
    if not values:
        return _unknown(
            question, "the order could not be scored", "A longer log, so that outcomes can be compared."
        )
    low = min(v.low for v in values)
    figures = ", ".join(f"{v.value:.2f}" for v in values)
    because = (
        f"On past customers the order had a normalized Gini of {figures}{_IN_TIME if len(values) > 1 else ''} (1 is perfect, 0 is chance); the lowest interval begins at {low:.2f}.",
    )
    if low > 0:
        return Verdict(
            question=question,
            stance=Stance.ACT,
            because=because,
            would_change=("A backtest whose interval includes zero.",),
        )
    return Verdict(
        question=question,
        stance=Stance.CANNOT_SAY,
        because=because,
        would_change=("More users or a longer log.",),
    )


def _level(proof: Backtest, worth: Worth, model: str) -> Verdict:
    values = _known(proof.standing("total_bias"), model)
    question = f"May the total of {worth.task.horizon_days} days go into a plan?"
    if not values:
        return _unknown(question, "past totals could not be compared", "A longer log.")
    worst = max(abs(v.value) for v in values)
    figures = ", ".join(f"{v.value:+z.0%}" for v in values)
    total = worth.total
    because = (
        f"Past totals were off by {figures}{_IN_TIME if len(values) > 1 else ''}.",
        f"That error is in the interval: {total.low:,.0f} to {total.high:,.0f} {total.unit} at {total.level:.0%}.",
    )
    if total.value > worth.last_window:
        return Verdict(
            question=question,
            stance=Stance.CANNOT_SAY,
            because=(
                f"It is more than all customers, new ones included, brought in the {worth.task.horizon_days} days before ({worth.last_window:,.0f}).",
                *because,
            ),
            would_change=("A second year of history, so that a season can be told from growth.",),
        )
    if worst <= _LOOSE and worth.heavy:
        return Verdict(
            question=question,
            stance=Stance.HOLD,
            because=(_hangs_on(worth.heavy), *because),
            would_change=(f"No user with {LARGE_SHARE:.0%} of the total or more.",),
        )
    if worst <= _TIGHT:
        return Verdict(
            question=question,
            stance=Stance.ACT,
            because=because,
            would_change=(f"A past total off by more than {_TIGHT:.0%}.",),
        )
    if worst <= _LOOSE:
        return Verdict(
            question=question,
            stance=Stance.HOLD,
            because=(
                f"A past total was off by more than {_TIGHT:.0%}: it is worth no more than its interval.",
                *because,
            ),
            would_change=(f"Past totals within {_TIGHT:.0%}; a full second year would show the season.",),
        )
    return Verdict(
        question=question,
        stance=Stance.CANNOT_SAY,
        because=because,
        would_change=(f"Past totals within {_LOOSE:.0%}: more history, or a model that knows the season.",),
    )


def _hangs_on(heavy: Sequence[HeavyUser]) -> str:
    whom = f"'{heavy[0].user_id}'" if len(heavy) == 1 else f"{len(heavy)} users"
    return f"It hangs on {whom}: alone {heavy[0].largest:.0%} of a total."


def _response(worth: Worth) -> Verdict:
    return Verdict(
        question="Will it pay to treat the most valuable tenth?",
        stance=Stance.CANNOT_SAY,
        because=(
            "A forecast ranks value, not response: valuable customers may buy anyway.",
            f"The top tenth is {worth.top.n_users:,} {'customer' if worth.top.n_users == 1 else 'customers'} with {worth.top.share:.0%} of the expected value.",
        ),
        would_change=(
            "An A/B test: treat a random half of the top tenth, compare what both halves bring. The what-if sheet says which lift pays.",
        ),
    )


def _season(events: Events) -> list[Finding]:
    days = events.end_day - events.first_day
    if days >= 2 * _YEAR:
        return []
    return [
        Finding(
            code="history.no_second_year",
            severity=Severity.WARN,
            what=f"The log holds {days} days, less than two years.",
            why="No model here can tell a season from growth; forecasts into a peak are too low, after one too high.",
            do="Load two years, or correct the total for the season by hand and say so.",
            numbers={"n_days": days},
        )
    ]


def _coverage(proof: Backtest) -> list[Finding]:
    values = _known(proof.standing("interval_coverage"), proof.choice.name)
    level = proof.task.level
    short = [v for v in values if v.value < level - _COVERAGE_SHORT]
    if not short:
        return []
    figures = ", ".join(f"{v.value:.0%}" for v in values)
    return [
        Finding(
            code="coverage.short",
            severity=Severity.WARN,
            what=f"Intervals meant to hold {level:.0%} of customers held {figures} at the past origins.",
            why="The future differed from the windows learned from; single customers are less sure than the intervals say.",
            do="Read the intervals as a little too narrow.",
        )
    ]


def _known(standing: Standing, model: str) -> list[Estimate]:
    return [a for a in standing.answers[model] if isinstance(a, Estimate)]


def _unknown(question: str, why: str, change: str) -> Verdict:
    return Verdict(
        question=question, stance=Stance.CANNOT_SAY, because=(f"Here {why}.",), would_change=(change,)
    )
