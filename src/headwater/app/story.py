"""The report's story: the answer first, then the evidence, then what it cannot say, then how it was computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwater.app.agree import Agreed, chosen_forecast, named_forecast
from headwater.app.answer_pages import curve_pages, newcomer_pages, value_pages
from headwater.app.data_page import data_page
from headwater.app.experiment_cards import experiment_pages
from headwater.app.headline import headline
from headwater.app.plan import Job, rungs_of
from headwater.app.provenance import provenance_of
from headwater.app.study import Study
from headwater.app.trusted import trust_findings
from headwater.app.verdicts import before_figures, limits, verdict_grid, verdicts
from headwater.app.what_if import what_if_page
from headwater.app.why import why, why_page
from headwater.app.worth import (
    MONTH,
    Worth,
    cohort_grid,
    group_grids,
    group_totals,
    tenth_grid,
    user_grid,
    value_form,
    weekly_rows,
    worth_of,
)
from headwater.core.answer import Estimate, Verdict
from headwater.core.block import (
    Block,
    Chart,
    ChartKind,
    Code,
    Document,
    Field,
    Form,
    Grid,
    Heading,
    Page,
    Prose,
    Role,
    callouts,
)
from headwater.core.contract import Events
from headwater.core.errors import DataError
from headwater.core.finding import Finding
from headwater.core.ledger import Ledger, Snapshot, Task, column_grid
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.leaderboard import score_meanings
from headwater.models.ltv import LTV_MODELS

__all__ = ["Told", "tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chapter:
    proof: Backtest
    worth: Worth
    verdicts: tuple[Verdict, ...]
    others: tuple[Worth, ...]
    failed: tuple[tuple[str, Finding], ...]
    snapshot: Snapshot
    against: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    why: Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A document, and what a machine wants of it: the totals with their verdicts, the choices, the refusals."""

    document: Document
    worths: tuple[Worth, ...]
    choices: tuple[tuple[str, str], ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    refused: tuple[tuple[str, Finding], ...]


def tell(study: Study) -> Told:
    """Walk the whole road and put it into one document. Raises the errors of the steps."""
    events, ledger = study.events(), study.ledger()
    chapters: list[_Chapter] = []
    refused: list[tuple[str, Finding]] = []
    for job in study.jobs():
        try:
            chapters.append(_chapter(study, job, *chosen_forecast(study, job)))
        except DataError as error:
            refused.append((job.name, error.finding))
    document = _document(study, events, ledger, chapters, refused)
    return Told(
        document=document,
        worths=tuple(c.worth for c in chapters),
        choices=tuple((_name(c), c.proof.choice.name) for c in chapters),
        verdicts=tuple(c.verdicts for c in chapters),
        refused=tuple(refused),
    )


def _chapter(study: Study, job: Job, proof: Backtest, agreed: Agreed) -> _Chapter:
    forecast = agreed.over(job.task)
    fitted = study.fit(proof.choice.name, job)
    worth = worth_of(study, forecast)
    against = trust_findings(study, job, proof)
    others, failed = _others(study, job, proof, worth)
    return _Chapter(
        proof=proof,
        worth=worth,
        others=others,
        failed=failed,
        verdicts=verdicts(proof, worth, against),
        snapshot=study.snapshot(cutoffs=(study.ledger().end_day,), horizons=rungs_of(job.task.horizon_days)),
        against=against,
        facts=fitted.facts,
        findings=(*fitted.findings, *agreed.findings),
        why=why_page(why(study, fitted, job), fitted, name=job.name, title=_title(job.task)),
    )


def _others(
    study: Study, job: Job, proof: Backtest, chosen: Worth
) -> tuple[tuple[Worth, ...], tuple[tuple[str, Finding], ...]]:
    """What the models that were not chosen expect, and which of them today's users cannot carry."""
    made: list[Worth] = []
    failed: list[tuple[str, Finding]] = []
    for model in (m for m in proof.models if m != proof.choice.name):
        try:
            forecast = named_forecast(study, model, job)[1].over(job.task)
        except DataError as error:
            failed.append((model, error.finding))
        else:
            made.append(worth_of(study, forecast, beside=chosen))
    return tuple(made), tuple(failed)


def _document(
    study: Study, events: Events, ledger: Ledger, chapters: list[_Chapter], refused: list[tuple[str, Finding]]
) -> Document:
    ordered = sorted(chapters, key=lambda c: -c.worth.task.horizon_days)
    pages = [_answer_page(study, ledger, ordered, refused), data_page(study, events, ledger)]
    pages += [_proof_page(c) for c in ordered]
    pages += [_worth_page(study, events, ledger, c) for c in ordered]
    pages += [c.why for c in ordered]
    pages += curve_pages(study, [(c.proof, c.worth.forecast) for c in ordered])
    pages += newcomer_pages(study)
    pages += value_pages(study)
    pages += experiment_pages(study)
    if ordered:
        money = [c for c in ordered if value_form(ledger, c.worth.task) is Form.MONEY]
        pages += [_limits_page(events, ordered), *(what_if_page(c.worth, ledger) for c in money[:1])]
    pages += [_definitions_page(ledger, ordered), _computed_page(events, ledger, ordered)]
    return Document(
        title=f"{events.contract.app.name}: what customers will be worth",
        lead=_lead(ordered, events, refused),
        pages=tuple(pages),
        provenance=provenance_of(study, events, ledger),
    )


def _lead(chapters: list[_Chapter], events: Events, refused: list[tuple[str, Finding]]) -> str:
    if chapters:
        return headline(chapters[0].worth, *chapters[0].verdicts[:2])
    why = refused[0][1].what if refused else "No target is declared under [[predict]]."
    return f"{events.events.n_rows:,} of {events.n_rows_in:,} rows are clean and in the ledger, but no forecast can be defended: {why}"


def _answer_page(
    study: Study, ledger: Ledger, chapters: list[_Chapter], refused: list[tuple[str, Finding]]
) -> Page:
    blocks: list[Block] = []
    for c in chapters[:1]:
        blocks += [
            Prose(text=_how_sure(c), lead=True),
            *callouts(before_figures(c.worth, c.verdicts[0])),
            verdict_grid(c.verdicts, "verdicts"),
            _history_chart(study, ledger, c.worth),
        ]
    if chapters:
        blocks += [_totals_grid(chapters), _contenders_grid(chapters[0])]
    blocks += [*callouts(f for _, f in refused)]
    return Page(name="answer", title="The answer", blocks=tuple(blocks))


def _contenders_grid(c: _Chapter) -> Grid:
    """What each tested model expects: how much hangs on the choice."""
    fields = (
        Field(name="model", label="Model"),
        Field(name="choice", label="Choice"),
        Field(name="total", label="Expected total", form=Form.INTEGER),
        Field(name="low", label="Low", form=Form.INTEGER),
        Field(name="high", label="High", form=Form.INTEGER),
        Field(name="about", label="How it predicts"),
    )
    rows = [
        (
            w.forecast.model,
            "chosen" if w is c.worth else "",
            w.total.value,
            w.total.low,
            w.total.high,
            LTV_MODELS.load(w.forecast.model).about,
        )
        for w in sorted((c.worth, *c.others), key=lambda w: -w.total.value)
    ]
    days = c.worth.task.horizon_days
    return Grid.of(
        "contenders",
        f"What each model expects over {days} days",
        fields,
        rows,
        note=" ".join(
            [
                "A wide range says that much hangs on the choice of model.",
                *(f"{m}: {f.what}" for m, f in c.failed),
            ]
        ),
    )


def _how_sure(c: _Chapter) -> str:
    proof, name = c.proof, c.proof.choice.name
    bias = [a.value for a in proof.standing("total_bias").answers[name] if isinstance(a, Estimate)]
    about = LTV_MODELS.load(name).about
    figures = ", ".join(f"{b:+z.0%}" for b in bias) or "an unknown share"
    return (
        f"The forecast is by {name} ({about}), chosen among {len(proof.models)} models. Had each been used at "
        f"{len(proof.origins)} past date{'s' if len(proof.origins) > 1 else ''}, its totals would have been off by {figures}"
        f"{', the earliest first' if len(bias) > 1 else ''}."
    )


def _totals_grid(chapters: list[_Chapter]) -> Grid:
    fields = (
        Field(name="target", label="Target"),
        Field(name="days", label="Days", form=Form.INTEGER),
        Field(name="model", label="Model"),
        Field(name="total", label="Expected total", form=Form.INTEGER),
        Field(name="low", label="Low", form=Form.INTEGER),
        Field(name="high", label="High", form=Form.INTEGER),
        Field(name="unit", label="Unit"),
        Field(name="n_users", label="Users", form=Form.INTEGER),
        Field(name="plan", label="May it go into a plan?"),
    )
    ordered = sorted(chapters, key=lambda c: (c.worth.task.measure, c.worth.task.horizon_days))
    rows = [
        (
            c.worth.task.measure,
            c.worth.task.horizon_days,
            c.worth.forecast.model,
            c.worth.total.value,
            c.worth.total.low,
            c.worth.total.high,
            c.worth.total.unit,
            c.worth.total.n_users,
            c.verdicts[1].stance.value,
        )
        for c in ordered
    ]
    return Grid.of("totals", "Expected totals", fields, rows, note=" ".join(_of_interval(c) for c in ordered))


def _of_interval(c: _Chapter) -> str:
    return f"Interval of {_title(c.worth.task).lower()}: {c.worth.total.method}."


def _history_chart(study: Study, ledger: Ledger, worth: Worth) -> Chart:
    rows = weekly_rows(study.engine, ledger, worth.task)
    fields = (
        Field(name="week", label="Week from", form=Form.DATE),
        Field(
            name="value",
            label=worth.task.value.replace("_", " "),
            form=value_form(ledger, worth.task),
            unit=worth.task.unit,
        ),
        Field(name="n_users", label="Active users", form=Form.INTEGER),
    )
    values = [float(r[1] or 0) for r in rows]
    finding = (
        f"Weekly {worth.task.measure.replace('_', ' ')} ran from {min(values):,.0f} to {max(values):,.0f} {worth.task.unit}; the last whole week brought {values[-1]:,.0f}."
        if values
        else "No whole week yet."
    )
    return Chart(
        name=f"history_{worth.task.measure}",
        title=f"{worth.task.measure.replace('_', ' ').capitalize()} by week",
        kind=ChartKind.LINE,
        fields=fields,
        rows=tuple(rows),
        roles=((Role.X, "week"), (Role.Y, "value")),
        finding=finding,
    )


def _proof_page(c: _Chapter) -> Page:
    title = f"{_what(c)}: how well it would have worked"
    return Page(name=f"proof_{_name(c)}", title=title, blocks=c.proof.blocks())


def _worth_page(study: Study, events: Events, ledger: Ledger, c: _Chapter) -> Page:
    form, task = value_form(ledger, c.worth.task), c.worth.task
    totals = group_totals(study, c.worth, c.snapshot)
    tenths = tenth_grid(c.worth, form)
    chart = Chart(
        name=f"tenths_chart_{_name(c)}",
        title="Expected value by tenth of customers",
        kind=ChartKind.BAR,
        fields=tenths.fields,
        rows=tuple(reversed(tuple(tenths.stream()))),
        roles=((Role.X, "tenth"), (Role.Y, "total")),
        finding=f"The top tenth ({c.worth.top.n_users:,} {'customer' if c.worth.top.n_users == 1 else 'customers'}) carries {c.worth.top.share:.0%} of the expected {task.measure}.",
    )
    blocks = (
        chart,
        tenths,
        cohort_grid(study.engine, ledger, c.worth, form, totals[MONTH]),
        *group_grids(totals, c.worth, form),
        user_grid(study.engine, events, ledger, c.worth, form),
    )
    return Page(
        name=f"worth_{_name(c)}",
        title=f"{_what(c)}: what customers are worth",
        blocks=blocks,
    )


def _limits_page(events: Events, chapters: list[_Chapter]) -> Page:
    found = _of_all(
        [(_what(c), (*c.against, *limits(events, c.snapshot, c.proof), *c.findings)) for c in chapters]
    )
    text = "A forecast is about customers already seen: those who come for the first time after the cutoff are not in it. It says what happens if nothing changes; it does not say what a campaign would change."
    return Page(
        name="limits",
        title="What the models cannot say",
        blocks=(Prose(text=text), *callouts(found)),
    )


def _of_all(said: list[tuple[str, tuple[Finding, ...]]]) -> list[Finding]:
    """Each finding once; one that is not of all chapters says of which it is."""
    found: dict[Finding, list[str]] = {}
    for title, findings in said:
        for f in findings:
            found.setdefault(f, []).append(title)
    return [
        f
        if len(of) == len(said) or f.what.startswith(of[0])
        else replace(f, what=f"{', '.join(of)}: {f.what}")
        for f, of in found.items()
    ]


def _definitions_page(ledger: Ledger, chapters: list[_Chapter]) -> Page:
    fields = (
        Field(name="measure", label="Measure"),
        Field(name="kind", label="Type"),
        Field(name="unit", label="Unit"),
        Field(name="about", label="Defined as"),
    )
    about = {c.name: c.about for c in ledger.days.columns}
    measures = Grid.of(
        "measures",
        "Measures",
        fields,
        [(m.name, m.kind.value, m.unit, about[m.name]) for m in ledger.measures],
    )
    blocks: list[Block] = [measures, score_meanings()]
    if chapters:
        blocks.append(column_grid(chapters[0].snapshot.rows, "snapshot_columns", "Columns of a snapshot"))
    return Page(name="definitions", title="Definitions", blocks=tuple(blocks), analyst=True)


def _computed_page(events: Events, ledger: Ledger, chapters: list[_Chapter]) -> Page:
    blocks: list[Block] = []
    for c in chapters:
        fields = (Field(name="fact", label="Fact"), Field(name="value", label="Value"))
        blocks.append(Grid.of(f"fit_{_name(c)}", f"{c.worth.forecast.model} ({_name(c)})", fields, c.facts))
    blocks += [
        Heading(text="The SQL that made the tables", level=3),
        Code(title="events and quarantine", text=events.sql),
        Code(title="ledger", text=ledger.sql),
        *(Code(title=f"snapshot for {_name(c)}", text=c.snapshot.sql) for c in chapters[:1]),
    ]
    return Page(name="computed", title="How it was computed", blocks=tuple(blocks), analyst=True)


def _what(c: _Chapter) -> str:
    return _title(c.worth.task)


def _title(task: Task) -> str:
    return f"{task.measure.replace('_', ' ').capitalize()}, {task.horizon_days} days"


def _name(c: _Chapter) -> str:
    return f"{c.worth.task.measure}_{c.worth.task.horizon_days}d"
