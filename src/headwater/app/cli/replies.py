"""What each command answers: a few lines for people, the same numbers for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.app.cli.speak import Reply, finding_data, finding_line
from headwater.app.cli.tables import grid_text
from headwater.app.cli.written import files_told
from headwater.app.run import Published
from headwater.app.study import FittedStep, ForecastStep, Study
from headwater.app.verdicts import before_figures, verdicts
from headwater.app.worth import worth_of
from headwater.core.answer import Estimate, Stance
from headwater.core.block import Callout, Document
from headwater.core.contract import Events, RuleResult
from headwater.core.finding import Finding, Severity
from headwater.core.ledger import Snapshot
from headwater.core.span import date_of
from headwater.evaluation.backtest import Backtest
from headwater.evaluation.leaderboard import leaderboard

__all__ = [
    "backtest_reply",
    "check_reply",
    "fit_reply",
    "forecast_reply",
    "ledger_reply",
    "run_reply",
    "snapshot_reply",
]


def check_reply(study: Study) -> Reply:
    """The account of rows. Raises ``GateError`` where the load fails."""
    events = study.events()
    lines = [
        f"{events.n_rows_in:,} rows in, {events.events.n_rows:,} kept, {events.quarantine.n_rows:,} in quarantine."
    ]
    lines.append(f"The source was read {events.n_scans} times.")
    for r in events.rules:
        if r.n_rows:
            lines += _rule_lines(r)
    lines += [
        f"  {r.n_rows:>10,} rows repaired  {r.column} ({', '.join(r.repairs)}; {r.n_values:,} values)"
        for r in events.repaired
    ]
    lines += [finding_line(f) for f in events.findings]
    lines += files_told("repairs", events.repairs.files) if events.repairs else []
    lines += files_told("quarantine", events.quarantine.files) if events.quarantine.n_rows else []
    return Reply(text="\n".join(lines), data=_events_data(events))


def _rule_lines(result: RuleResult) -> list[str]:
    """A rule that was broken: how often, by whom, with how much money, how sure it is, and what to do."""
    touched = [f"{result.n_users:,} users"] if result.n_users is not None else []
    if result.money is not None:
        touched.append(f"{result.money:,.2f} {result.money_unit} of {result.money_of}")
    if result.doubt:
        touched.append(f"{result.certainty}: {result.doubt}")
    lines = [f"  {result.n_rows:>10,}  {result.share:6.1%}  {result.code}  {'; '.join(touched)}".rstrip()]
    return [*lines, f"{'':21}{result.proposal}"] if result.proposal else lines


def ledger_reply(study: Study) -> Reply:
    """The size of the ledger and its totals."""
    ledger = study.ledger()
    text = f"{ledger.days.n_rows:,} user-days of {ledger.users.n_rows:,} users, {date_of(ledger.first_day)} to {date_of(ledger.end_day - 1)}."
    data = {
        "n_user_days": ledger.days.n_rows,
        "n_users": ledger.users.n_rows,
        "fingerprint": ledger.days.fingerprint,
        "files": list(ledger.days.files),
        "findings": [finding_data(f) for f in ledger.findings],
    }
    return Reply(text="\n".join([text, *(finding_line(f) for f in ledger.findings)]), data=data)


def snapshot_reply(snapshot: Snapshot) -> Reply:
    """Where the snapshot lies and what is in it."""
    days = ", ".join(str(date_of(c)) for c in snapshot.cutoffs)
    text = [
        f"{snapshot.rows.n_rows:,} rows (users x cutoffs {days}), {len(snapshot.features)} features.",
        *(finding_line(f) for f in snapshot.findings),
    ]
    text += files_told("rows", snapshot.rows.files)
    data = {
        "n_rows": snapshot.rows.n_rows,
        "n_features": len(snapshot.features),
        "fingerprint": snapshot.rows.fingerprint,
        "files": list(snapshot.rows.files),
        "findings": [finding_data(f) for f in snapshot.findings],
    }
    return Reply(text="\n".join(text), data=data)


def backtest_reply(backtest: Backtest) -> Reply:
    """The leaderboard and the choice."""
    scores = {
        s.score: {
            m: [a.value if isinstance(a, Estimate) else None for a in answers]
            for m, answers in s.answers.items()
        }
        for s in backtest.standings
    }
    data: dict[str, Any] = {
        "choice": backtest.choice.name,
        "winner": backtest.choice.winner,
        "reason": backtest.choice.reason,
        "origins": [str(date_of(o)) for o in backtest.origins],
        "scores": scores,
        "refused": {m: finding_data(f) for m, f in backtest.refused.items()},
    }
    refused = [f"{m} could not be tested: {f.what}" for m, f in backtest.refused.items()]
    text = "\n".join(
        [
            grid_text(leaderboard(backtest)),
            "",
            backtest.choice.reason,
            *refused,
            *(finding_line(f) for f in backtest.findings),
        ]
    )
    return Reply(text=text, data=data)


def fit_reply(fitted: FittedStep) -> Reply:
    """What was learned and where it lies."""
    lines = [
        f"{fitted.name} for {fitted.task.target}",
        *(f"  {k}: {v}" for k, v in fitted.facts),
        *(finding_line(f) for f in fitted.findings),
        f"model: {fitted.files[0]}",
    ]
    data = {
        "model": fitted.name,
        "file": fitted.files[0],
        "sha256": fitted.fingerprint,
        "facts": dict(fitted.facts),
        "findings": [finding_data(f) for f in fitted.findings],
    }
    return Reply(text="\n".join(lines), data=data)


def forecast_reply(
    study: Study, forecast: ForecastStep, proof: Backtest, findings: Sequence[Finding]
) -> Reply:
    """The total with its interval, whether it and the order may be used, and where the users' forecasts lie."""
    worth = worth_of(study, forecast)
    order, plan = verdicts(proof, worth, findings, model=forecast.model)[:2]
    found = [*before_figures(worth, order), *findings]
    total = worth.total
    lines = [
        f"{forecast.model}: {total.estimand}: {total.value:,.0f} {total.unit} ({total.level:.0%} interval {total.low:,.0f} to {total.high:,.0f})",
        *(f"{v.question} {v.stance.value.capitalize()}. {v.because[0]}" for v in (order, plan)),
        f"forecasts: {forecast.rows.files[0]}",
        *(finding_line(f) for f in found),
    ]
    data = {
        "can_be_defended": plan.stance is not Stance.CANNOT_SAY,
        "order": order.stance.value,
        "plan": plan.stance.value,
        "findings": [finding_data(f) for f in found],
        "model": forecast.model,
        "total": total.value,
        "low": total.low,
        "high": total.high,
        "level": total.level,
        "unit": total.unit,
        "n_users": total.n_users,
        "files": list(forecast.rows.files),
    }
    return Reply(text="\n".join(lines), data=data)


def run_reply(study: Study, published: Published) -> Reply:
    """The lead sentence and the paths of the report."""
    told, findings = (
        published.told,
        (
            *study.events().findings,
            *study.ledger().findings,
            *study.untold(),
        ),
    )
    lines = [told.document.lead, ""]
    lines += [finding_line(f) for f in findings if f.severity is not Severity.NOTE]
    lines += [
        f"{name}: {model} (order: {order.stance.value}; total: {plan.stance.value})"
        for (name, model), (order, plan, *_) in zip(told.choices, told.verdicts, strict=True)
    ]
    lines += [finding_line(f) for _, f in told.refused]
    n_warnings = _warnings_in(told.document)
    if n_warnings:
        warnings = "warning" if n_warnings == 1 else f"{n_warnings} warnings"
        lines += ["", f"Before you act, read the {warnings} in the report."]
    lines += ["", *(str(p) for p in published.paths)]
    data = {
        "lead": told.document.lead,
        "reports": [str(p) for p in published.paths],
        "choices": dict(told.choices),
        "totals": [
            {
                "target": w.task.target,
                "value": w.total.value,
                "low": w.total.low,
                "high": w.total.high,
                "level": w.total.level,
                "unit": w.total.unit,
                "n_users": w.total.n_users,
                "order": order.stance.value,
                "plan": plan.stance.value,
            }
            for w, (order, plan, *_) in zip(told.worths, told.verdicts, strict=True)
        ],
        "refused": {name: finding_data(f) for name, f in told.refused},
        "fingerprints": published.fingerprints,
        "n_steps": published.n_steps,
        "n_reused": published.n_reused,
        "findings": [finding_data(f) for f in findings],
        "n_warnings": n_warnings,
        "events": _events_data(study.events()),
    }
    return Reply(text="\n".join(lines), data=data)


def _warnings_in(document: Document) -> int:
    """How many different findings of a document are more than notes."""
    told = [b.finding for page in document.pages for b in page.blocks if isinstance(b, Callout)]
    return len({(f.code, f.what) for f in told if f.severity is not Severity.NOTE})


def _events_data(events: Events) -> dict[str, Any]:
    return {
        "n_rows_in": events.n_rows_in,
        "n_kept": events.events.n_rows,
        "n_quarantined": events.quarantine.n_rows,
        "rules": [
            {
                "code": r.code,
                "n_rows": r.n_rows,
                "share": r.share,
                "max_share": r.max_share,
                "n_users": r.n_users,
                "money": r.money,
                "money_of": r.money_of,
                "money_unit": r.money_unit,
                "certainty": r.certainty,
                "doubt": r.doubt,
                "examples": list(r.examples),
                "proposal": r.proposal,
            }
            for r in events.rules
        ],
        "n_scans": events.n_scans,
        "repaired": [
            {"column": r.column, "repairs": list(r.repairs), "n_rows": r.n_rows, "n_values": r.n_values}
            for r in events.repaired
        ],
        "findings": [finding_data(f) for f in events.findings],
        "quarantine_files": list(events.quarantine.files),
    }
