"""Words: one concept has one name; what must not stand in the code does not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FORBIDDEN = {  # pattern: why
    r"\bpickle\b|\bjoblib\b|\bmarshal\b": "loads code",
    r"(?<![\w.])eval\(|(?<![\w.])exec\(": "runs text",
    r"\b(TODO|FIXME|XXX|HACK)\b": "finish it, or write an issue",
    r"shell=True": "runs text",
    r"/(?:home|Users|root|mnt|work)/|C:\\\\Users": "a path of one machine",
}
BRITISH = r"\w*(?:behaviour|colour|favour|neighbour|honour)\w*|centre[ds]?|\w+(?:ormalis|ptimis|ummaris|nitialis|isualis|inimis|aximis)(?:e[ds]?|ing|ation)|labell(?:ed|ing)|modell(?:ed|ing)"
NAMES_OF_OTHERS = {"src/headwater/contracts/roles.py"}  # column names that init may meet


def test_no_forbidden_word_in_the_package(modules: dict[str, Path]) -> None:
    found = [
        f"{name}: {hit.group()} ({why})"
        for name, path in modules.items()
        for pattern, why in FORBIDDEN.items()
        if (hit := re.search(pattern, path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_nothing_is_printed_outside_the_command_line(modules: dict[str, Path]) -> None:
    printing = [
        name
        for name, path in modules.items()
        if not name.startswith("app/cli")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_the_glossary_lists_terms_with_meanings(root: Path) -> None:
    terms = _glossary(root)
    assert len(terms) >= 20
    assert [t for t, (meaning, _) in terms.items() if len(meaning) < 10] == []


def test_no_banned_synonym_is_used(root: Path) -> None:
    banned = {word: term for term, (_, words) in _glossary(root).items() for word in words}
    assert banned
    pattern = re.compile(rf"(?<![\w-])({'|'.join(re.escape(w) for w in banned)})(?![\w-])", re.IGNORECASE)
    found = [
        f"{path.relative_to(root)}:{line}: '{hit.group()}' (say: {banned[hit.group().lower()]})"
        for path in _texts(root)
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for hit in pattern.finditer(text.replace("_", " "))
    ]
    assert found == []


def test_spelling_is_american(root: Path) -> None:
    found = [
        f"{path.relative_to(root)}: {hit}"
        for path in _texts(root)
        for hit in sorted(set(re.findall(rf"\b(?:{BRITISH})\b", path.read_text(encoding="utf-8"))))
    ]
    assert found == []


def _texts(root: Path) -> list[Path]:
    """Everything of ours that people read: code, pages, examples; not what other people call their columns."""
    own = [*(root / "src").rglob("*.py"), *(root / "src").rglob("*.md"), *(root / "src").rglob("*.toml")]
    pages = [p for p in (root / "docs").rglob("*.md") if p.name != "glossary.md"]
    found = {*own, *pages, *root.glob("*.md")} - {root / name for name in NAMES_OF_OTHERS}
    return sorted(found)


def _glossary(root: Path) -> dict[str, tuple[str, list[str]]]:
    """Term: meaning and banned words, from the table of ``docs/glossary.md``."""
    lines = (root / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][
        2:
    ]
    return {r[0].strip("`"): (r[1], [w.strip().lower() for w in r[2].split(",") if w.strip()]) for r in rows}
