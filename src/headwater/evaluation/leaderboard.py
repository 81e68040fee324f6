"""A backtest for people: the leaderboard, the scores by origin, the calibration picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headwater.core.answer import Estimate
from headwater.core.block import (
    Block,
    Cell,
    Chart,
    ChartKind,
    Field,
    Form,
    Grid,
    Heading,
    Prose,
    Role,
    callouts,
)
from headwater.core.span import date_of
from headwater.evaluation.groups import GroupFit
from headwater.evaluation.scores import SCORES
from headwater.evaluation.standing import PRIMARY_SCORES, SCORE_WORDS, Standing, balance

if TYPE_CHECKING:
    from headwater.evaluation.backtest import Backtest

__all__ = [
    "SHOWN_SCORES",
    "backtest_blocks",
    "calibration_chart",
    "decile_grid",
    "leaderboard",
    "score_meanings",
    "scores_by_origin",
]

SHOWN_SCORES = (
    ("normalized_gini", "Ranking (normalized Gini)", Form.NUMBER),
    ("decile_wape", "Level (decile WAPE)", Form.SHARE),
    ("total_bias", "Worst bias of the total", Form.SHARE),
    ("mae", "MAE", Form.NUMBER),
    ("spearman", "Spearman", Form.NUMBER),
    ("top_decile_capture", "Value in top tenth", Form.SHARE),
    ("crps", "CRPS", Form.NUMBER),
    ("interval_coverage", "Interval coverage", Form.SHARE),
    ("randomized_coverage", "Coverage, ties drawn for", Form.SHARE),
)

_RULE = (
    "Balance is the normalized Gini over 1 + decile WAPE; the leader has the highest. The choice is the simplest model close to the "
    "leader on ranking and on level: within one standard error, and at most .05 of the Gini or 10 points of level worse. 'Clearly': the paired difference is clear of zero, with the same sign, at every origin."
)


def backtest_blocks(backtest: Backtest) -> tuple[Block, ...]:
    """Everything a reader needs to judge the models."""
    refused = [
        Prose(text=f"{model} could not be tested: {finding.what} {finding.do}")
        for model, finding in backtest.refused.items()
    ]
    return (
        Prose(text=backtest.choice.reason),
        *callouts(backtest.findings),
        leaderboard(backtest),
        *refused,
        calibration_chart(backtest),
        Heading(text="Score by score", level=3),
        scores_by_origin(backtest),
        decile_grid(backtest),
    )


def leaderboard(backtest: Backtest) -> Grid:
    """One row a model: its scores averaged over the origins, and where it stands on the two that decide."""
    known = [(s, label, form) for s, label, form in SHOWN_SCORES if backtest.standing(s).leader is not None]
    beside = backtest.choice.beside_leader
    fields = (
        Field(name="model", label="Model"),
        Field(name="choice", label="Choice"),
        *(
            Field(name=s, label=label, form=form, note=_averaged(s, len(backtest.origins)))
            for s, label, form in known
        ),
        *([Field(name="balance", label="Balance", form=Form.NUMBER)] if beside else []),
        *(
            Field(name=f"place_{s.score}", label=f"{SCORE_WORDS[s.score].capitalize()} beside the leader")
            for s in beside
        ),
    )
    rows = [_leader_row(backtest, model, [k[0] for k in known], beside) for model in _ranked(backtest)]
    note = f"{_origins(backtest)}. {_RULE}" if beside else f"{_origins(backtest)}."
    return Grid.of(
        f"leaderboard_{_name(backtest)}", "How each model would have done", fields, rows, note=note
    )


def scores_by_origin(backtest: Backtest) -> Grid:
    """Every score of every model at every origin with its bootstrap interval."""
    fields = (
        Field(name="score", label="Score"),
        Field(name="model", label="Model"),
        Field(name="origin", label="Origin", form=Form.DATE),
        Field(name="value", label="Value", form=Form.NUMBER),
        Field(name="low", label="Low", form=Form.NUMBER, note="95% bootstrap by user"),
        Field(name="high", label="High", form=Form.NUMBER, note="95% bootstrap by user"),
        Field(name="place", label="Place on this score"),
    )
    rows = [row for standing in backtest.standings for row in _score_rows(backtest, standing)]
    return Grid.of(f"scores_{_name(backtest)}", "Scores by origin", fields, rows, preview=60)


def score_meanings() -> Grid:
    """What each score on the shelf measures, and when it is good."""
    fields = (
        Field(name="score", label="Score"),
        Field(name="better", label="Best"),
        Field(name="unit", label="Unit"),
        Field(name="about", label="What it measures"),
    )
    kinds = [(name, SCORES.load(name)) for name in SCORES.names()]
    return Grid.of(
        "score_meanings", "Scores", fields, [(n, k.better.value, k.unit, k.about) for n, k in kinds]
    )


def decile_grid(backtest: Backtest) -> Grid:
    """Predicted and actual means by tenth of users, for the chosen model at the latest origin."""
    fields = (
        Field(
            name="decile",
            label="Tenth by forecast",
            form=Form.INTEGER,
            note="10 is the most valuable; equal forecasts lie in one",
        ),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="predicted", label="Forecast, mean", form=Form.MONEY, unit=backtest.task.unit),
        Field(name="actual", label="Actual, mean", form=Form.MONEY, unit=backtest.task.unit),
        Field(
            name="low",
            label="Actual, low",
            form=Form.MONEY,
            unit=backtest.task.unit,
            note="95% interval of the mean",
        ),
        Field(
            name="high",
            label="Actual, high",
            form=Form.MONEY,
            unit=backtest.task.unit,
            note="95% interval of the mean",
        ),
    )
    latest = max(backtest.origins)
    rows = [
        (int(d.group), d.n_users, *_means(d))
        for d in backtest.deciles
        if d.model == backtest.choice.name and d.origin == latest
    ]
    return Grid.of(
        f"deciles_{_name(backtest)}",
        f"Forecast against what happened, {backtest.choice.name}, from {date_of(latest)}",
        fields,
        rows,
    )


def calibration_chart(backtest: Backtest) -> Chart:
    """Forecast against actual by tenth at the latest origin: the chosen model and the rate so far."""
    latest = max(backtest.origins)
    shown = list(
        dict.fromkeys([backtest.choice.name, *(m for m in ("rate_so_far", "bg_nbd") if m in backtest.models)])
    )
    fields = (
        Field(
            name="predicted", label="Forecast, mean of the tenth", form=Form.MONEY, unit=backtest.task.unit
        ),
        Field(name="actual", label="Actual, mean of the tenth", form=Form.MONEY, unit=backtest.task.unit),
        Field(name="low", label="low", form=Form.MONEY),
        Field(name="high", label="high", form=Form.MONEY),
        Field(name="model", label="Model"),
    )
    rows: list[tuple[Cell, ...]] = [
        (*_means(d), d.model) for m in shown for d in backtest.deciles if d.model == m and d.origin == latest
    ]
    bias = backtest.standing("total_bias").answers[backtest.choice.name][backtest.origins.index(latest)]
    off = (
        f"its total was off by {bias.value:+z.0%}"
        if isinstance(bias, Estimate)
        else "its total could not be compared"
    )
    return Chart(
        name=f"calibration_{_name(backtest)}",
        title="Forecast against what happened, by tenth of customers",
        kind=ChartKind.CALIBRATION,
        fields=fields,
        rows=tuple(rows),
        roles=(
            (Role.X, "predicted"),
            (Role.Y, "actual"),
            (Role.LOW, "low"),
            (Role.HIGH, "high"),
            (Role.SERIES, "model"),
        ),
        finding=f"From {date_of(latest)}, {backtest.choice.name} on the diagonal would be perfect; {off}.",
    )


def _means(tenth: GroupFit) -> tuple[float, float, float, float]:
    """Predicted, actual, and its interval, for a user of the tenth."""
    n = tenth.n_users
    return tenth.predicted / n, tenth.actual / n, tenth.low / n, tenth.high / n


def _leader_row(
    backtest: Backtest, model: str, scores: list[str], places: Sequence[Standing]
) -> tuple[Cell, ...]:
    chosen = "chosen" if model == backtest.choice.name else ""
    values = [
        _shown(backtest.standing(s), model) if model in backtest.standing(s).places else None for s in scores
    ]
    return (
        model,
        chosen,
        *values,
        *([_balance(backtest, model)] if places else []),
        *(str(s.places[model].value) if model in s.places else "refused" for s in places),
    )


def _averaged(score: str, n_origins: int) -> str:
    return f"{'worst of' if score == 'total_bias' else 'mean over'} {n_origins} origins"


def _shown(standing: Standing, model: str) -> float:
    """The mean over the origins; of a bias the worst, since too high and too low would cancel."""
    if standing.score != "total_bias":
        return standing.mean_value(model)
    return max((a.value for a in standing.answers[model] if isinstance(a, Estimate)), key=abs)


def _score_rows(backtest: Backtest, standing: Standing) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for model, answers in standing.answers.items():
        place = standing.places[model].value if model in standing.places else "refused"
        for origin, answer in zip(backtest.origins, answers, strict=True):
            day = date_of(origin).isoformat()
            if isinstance(answer, Estimate):
                rows.append((standing.score, model, day, answer.value, answer.low, answer.high, place))
            else:
                rows.append((standing.score, model, day, None, None, None, f"refused: {answer.finding.what}"))
    return rows


def _balance(backtest: Backtest, model: str) -> float | None:
    placed = [s for s in map(backtest.standing, PRIMARY_SCORES) if model in s.places]
    values = {s.score: s.mean_value(model) for s in placed}
    return balance(*(values.get(s) for s in PRIMARY_SCORES)) if values else None


def _ranked(backtest: Backtest) -> list[str]:
    """The choice first, then the best balanced."""
    values = {m: _balance(backtest, m) for m in backtest.models}
    order = sorted(values, key=lambda m: (values[m] is None, -(values[m] or 0.0)))
    return [backtest.choice.name, *(m for m in order if m != backtest.choice.name)]


def _origins(backtest: Backtest) -> str:
    days = [f"{date_of(o)} ({n:,} users)" for o, n in zip(backtest.origins, backtest.n_users, strict=True)]
    return f"Each model was fitted on what was known at {', '.join(days)} and compared with the {backtest.task.horizon_days} days after"


def _name(backtest: Backtest) -> str:
    return f"{backtest.task.measure}_{backtest.task.horizon_days}d"
