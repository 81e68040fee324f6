"""``headwater explain``: what a code means; without one, which codes there are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files
from textwrap import fill
from typing import Annotated

import typer

from headwater.app.cli.program import app
from headwater.app.cli.session import Options, answer, with_options
from headwater.app.cli.speak import Reply
from headwater.contracts.rules import RULES
from headwater.core.errors import UsageError

__all__ = ["explain"]

_WIDEST = 100


@app.command()
@with_options
def explain(
    options: Options,
    code: Annotated[
        str | None,
        typer.Argument(
            help="A code such as quarantine.rows, or its first word; without one, all are listed."
        ),
    ] = None,
) -> None:
    """What a code means, why it matters, what to do."""
    answer(options, "explain", lambda: _explained(code))


def _explained(code: str | None) -> Reply:
    sections = _sections((files("headwater.app") / "codes.md").read_text(encoding="utf-8"))
    if code is None:
        return _subjects(sections)
    if code in sections:
        return Reply(text=f"{code}\n\n{sections[code]}", data={"code": code, "text": sections[code]})
    of_subject = [c for c in sections if c.split(".")[0] == code]
    if of_subject:
        return _listed(code, {c: _fact(sections[c]) for c in of_subject})
    rule = code.split("(")[0]
    if rule in RULES.names():
        return _of_rule(code, rule)
    raise UsageError(
        "explain.unknown",
        what=f"There is no code '{code}'.",
        why="Nothing to explain.",
        do=f"{_near(code, sections)} 'headwater explain' lists all codes.",
    )


def _subjects(sections: dict[str, str]) -> Reply:
    """One line a subject, with what may follow its dot."""
    by_subject: dict[str, list[str]] = {}
    for code in sections:
        subject, _, rest = code.partition(".")
        by_subject.setdefault(subject, []).append(rest)
    widest = max(map(len, by_subject))
    lines = [_wrapped(f"{s:<{widest}}  ", ", ".join(rests)) for s, rests in sorted(by_subject.items())]
    head = f"{len(sections)} codes. 'headwater explain SUBJECT' says each in a line, 'headwater explain SUBJECT.CODE' all of it."
    return Reply(text="\n".join([head, "", *lines]), data={"codes": sorted(sections)})


def _listed(subject: str, facts: dict[str, str]) -> Reply:
    widest = max(map(len, facts))
    lines = [_wrapped(f"{code:<{widest}}  ", fact) for code, fact in facts.items()]
    return Reply(text="\n".join(lines), data={"subject": subject, "codes": facts})


def _of_rule(code: str, rule: str) -> Reply:
    """The code of a rule in the quarantine: what the rule sets aside."""
    shelved = RULES.load(rule)
    about = " ".join((inspect.getdoc(shelved) or shelved.about).replace("``", "").split())
    text = f"{code}\n\nThe rule {rule}: {shelved.about}.\n\n{about}\n\nRows that break it are in quarantine, each with all codes it broke. Change it under [[rules]] if it is wrong."
    return Reply(text=text, data={"code": code, "rule": rule, "text": about})


def _near(code: str, codes: Iterable[str]) -> str:
    """The codes that were probably meant: alike in letters, or in a word."""
    known = sorted(codes)
    words = {w for w in re.split(r"[._\W]+", code.casefold()) if len(w) > 2}
    alike = get_close_matches(code.casefold(), known, n=3, cutoff=0.6)
    alike += [c for c in known if words & set(re.split(r"[._]", c)) and c not in alike]
    return f"Did you mean {' or '.join(repr(c) for c in alike[:3])}?" if alike else "No code is near it."


def _fact(section: str) -> str:
    return " ".join(section.split("\n\n", maxsplit=1)[0].removeprefix("**Fact.**").split())


def _wrapped(first: str, rest: str) -> str:
    """Two columns, the second broken into lines that stay in it."""
    return fill(
        rest, _WIDEST, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def _sections(text: str) -> dict[str, str]:
    parts = text.split("\n## ")[1:]
    return {p.split("\n", 1)[0].strip().strip("`"): p.split("\n", 1)[1].strip() for p in parts if "\n" in p}
