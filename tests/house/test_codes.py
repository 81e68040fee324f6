"""Every code that the package can say has its section in ``codes.md``, and no section is left over."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PARTS = ["Fact", "Why it matters", "What to do"]
CODE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
FILE_ENDINGS = {
    "css", "csv", "db", "gitignore", "gz", "html", "ini", "js", "json", "jsonl", "lock", "md", "ods", "parquet", "part",
    "py", "sql", "sqlite", "svg", "toml", "tsv", "txt", "xls", "xlsx", "zip",
}  # fmt: skip
SETTINGS = {"app", "headwater", "sources"}  # ``sources.keep`` is a key of the settings file
NOT_ABOUT_CODES = {
    "sql",
    "name",
    "shim",
    "import_module",
    "entry_points",
    "endswith",
    "startswith",
    "getattr",
}


def test_every_code_in_the_package_has_a_section(root: Path, modules: dict[str, Path]) -> None:
    assert sorted(_codes_in(modules) - set(_sections(root))) == []


def test_no_section_is_about_a_code_that_is_gone(root: Path, modules: dict[str, Path]) -> None:
    assert sorted(set(_sections(root)) - _codes_in(modules)) == []


def test_every_section_says_fact_why_and_what_to_do(root: Path) -> None:
    wrong = [
        code
        for code, text in _sections(root).items()
        if re.findall(r"^\*\*(.+)\.\*\* \S.{10,}", text, flags=re.MULTILINE) != PARTS
    ]
    assert wrong == []


def test_sections_are_sorted(root: Path) -> None:
    assert list(_sections(root)) == sorted(_sections(root))


def test_the_search_finds_codes_passed_in_every_way() -> None:
    text = 'raise ConfigError("a.one", what=w)\nFinding(code="b.two")\n_refused(x, "c.three", 1)\nsql("t.user")\nhint("sources.at")\nf / "x.json"'
    assert _codes(ast.parse(text)) == {"a.one", "b.two", "c.three"}


def _sections(root: Path) -> dict[str, str]:
    text = (root / "src/headwater/app/codes.md").read_text(encoding="utf-8")
    pieces = re.split(r"^## (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _codes_in(modules: dict[str, Path]) -> set[str]:
    return {code for path in modules.values() for code in _codes(ast.parse(path.read_text(encoding="utf-8")))}


def _codes(tree: ast.AST) -> set[str]:
    """Texts such as ``gate.failed`` among the arguments of calls."""
    return {
        given.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) not in NOT_ABOUT_CODES
        for given in (*node.args, *(k.value for k in node.keywords))
        if isinstance(given, ast.Constant) and isinstance(given.value, str)
        if CODE.fullmatch(given.value)
        if given.value.split(".")[0] not in SETTINGS and given.value.split(".")[1] not in FILE_ENDINGS
    }


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=called) | ast.Attribute(attr=called):
            return called
        case _:
            return ""
