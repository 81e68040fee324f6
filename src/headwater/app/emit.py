"""Results of the gate and the alarms for machines: JSON lines and JUnit XML, for a pipeline to stop on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from headwater.app.store import write_whole
from headwater.core.audit import AlarmResult, Audit
from headwater.core.contract import Events
from headwater.core.finding import Finding, Severity

__all__ = ["check_rows", "write_checks", "write_jsonl", "write_junit"]

_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_rows(events: Events, audit: Audit | None = None) -> tuple[dict[str, Any], ...]:
    """One row for each rule, each finding of the gate, each alarm and each of its findings.

    Every row has ``kind`` (rule, finding, alarm), ``code``, ``state`` (passed, warned, failed, skipped) and
    ``what``; the other keys are the figures. A rule fails where rows break it more often than ``max_share``
    allows, a finding where it forbids or where an alarm made it (a clean load makes one at most 1 in 100 times).
    """
    rows = [_rule_row(r.code, r.about, r.n_rows, r.share, r.max_share) for r in events.rules]
    rows += [_finding_row(f) for f in events.findings]
    if audit is not None:
        rows += [_alarm_row(a) for a in audit.alarms]
        rows += [_finding_row(f) for f in audit.findings]
        rows += [
            {
                "kind": "hole", "code": "hole", "state": "warned",
                "what": f"events are missing {h.span(audit.time_zone)}: {h.dimension or 'all users'}{f' = {h.value}' if h.value else ''}",
                "first_us": h.first_us, "end_us": h.end_us, "hours": h.hours, "dimension": h.dimension, "value": h.value,
            }
            for h in audit.holes
        ]  # fmt: skip
    return tuple(rows)


def write_checks(
    events: Events, audit: Audit | None, *, folder: Path, forms: Sequence[str]
) -> tuple[Path, ...]:
    """The files that ``[deliver] checks`` asks for: ``checks.jsonl``, ``checks.xml``."""
    rows = check_rows(events, audit)
    writers = {"jsonl": (write_jsonl, "checks.jsonl"), "junit": (write_junit, "checks.xml")}
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for form in forms:
        write, called = writers[form]
        write(rows, folder / called)
        written.append(folder / called)
    return tuple(written)


def write_jsonl(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """One JSON object a line, whole or not at all."""
    write_whole(
        path, "".join(json.dumps(r, ensure_ascii=False, allow_nan=False, default=str) + "\n" for r in rows)
    )


def write_junit(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """JUnit XML: a failed row fails its case, a warned one passes and says so, a skipped one is skipped."""
    suite = ET.Element("testsuite", name="headwater")
    for row in rows:
        case = ET.SubElement(
            suite, "testcase", classname=f"headwater.{row['kind']}", name=_printable(str(row["code"]))
        )
        match row["state"]:
            case "failed":
                told = ET.SubElement(
                    case, "failure", type=str(row["state"]), message=_printable(str(row["what"]))
                )
                told.text = _printable(json.dumps(row, ensure_ascii=False, default=str))
            case "warned":
                ET.SubElement(case, "system-out").text = _printable(str(row["what"]))
            case "skipped":
                ET.SubElement(case, "skipped", message=_printable(str(row["what"])))
            case _:
                pass
    suite.set("tests", str(len(rows)))
    suite.set("failures", str(sum(r["state"] == "failed" for r in rows)))
    suite.set("skipped", str(sum(r["state"] == "skipped" for r in rows)))
    write_whole(
        path, '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"
    )


def _rule_row(code: str, about: str, n_rows: int, share: float, max_share: float | None) -> dict[str, Any]:
    failed = max_share is not None and share > max_share
    return {
        "kind": "rule",
        "code": code,
        "state": "failed" if failed else "passed",
        "what": f"{n_rows:,} rows: {about}",
        "n_rows": n_rows,
        "share": share,
        "max_share": max_share,
    }


def _finding_row(finding: Finding) -> dict[str, Any]:
    state = {Severity.BLOCK: "failed", Severity.WARN: "warned", Severity.NOTE: "passed"}[finding.severity]
    if finding.severity is Severity.WARN and finding.code.startswith("alarm."):
        state = "failed"
    return {
        "kind": "finding", "code": finding.code, "state": state, "what": finding.what, "why": finding.why, "do": finding.do,
        **{k: v for k, v in finding.numbers.items() if k not in {"kind", "code", "state", "what", "why", "do"}},
    }  # fmt: skip


def _alarm_row(result: AlarmResult) -> dict[str, Any]:
    state = "skipped" if result.skipped else "warned" if result.n_flagged else "passed"
    return {
        "kind": "alarm",
        "code": result.alarm,
        "state": state,
        "what": f"{result.about}: {result.found}",
        "n_tests": result.n_tests,
        "n_flagged": result.n_flagged,
        "flags_are": result.flags_are,
        "n_findings": result.n_findings,
    }


def _printable(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _UNPRINTABLE.sub("�", text)
