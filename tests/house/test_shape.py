"""The shape of the code: size of modules and functions, declared names, names that say nothing."""

from __future__ import annotations

import ast
from pathlib import Path

MOST_LINES_OF_A_MODULE = 400  # DESIGN: a module is read in one sitting
MOST_LINES_OF_A_FUNCTION = 60  # DESIGN: never above 60; the docstring does not count
NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_module_is_longer_than_400_lines(modules: dict[str, Path]) -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules.items()}
    assert {n: k for n, k in lengths.items() if k > MOST_LINES_OF_A_MODULE} == {}


def test_no_function_is_longer_than_60_lines(modules: dict[str, Path]) -> None:
    long: dict[str, int] = {}
    for name, path in modules.items():
        for node in ast.walk(_tree(path)):
            if isinstance(node, Function) and (length := _length(node)) > MOST_LINES_OF_A_FUNCTION:
                long[f"{name}:{node.name}"] = length
    assert long == {}


def test_every_module_declares_its_names_sorted(modules: dict[str, Path]) -> None:
    wrong: dict[str, str] = {}
    for name, path in modules.items():
        tree = _tree(path)
        declared = _declared(tree)
        if declared is None:
            if any(isinstance(n, Function | ast.ClassDef | ast.Assign | ast.AnnAssign) for n in tree.body):
                wrong[name] = "has no __all__"
        elif declared != sorted(declared, key=_rank):
            wrong[name] = f"sort it: {sorted(declared, key=_rank)}"
    assert wrong == {}


def test_every_declared_name_exists(modules: dict[str, Path]) -> None:
    missing: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = _tree(path)
        lost = set(_declared(tree) or []) - _defined(tree)
        if lost:
            missing[name] = lost
    assert missing == {}


def test_no_module_has_a_name_that_says_nothing(modules: dict[str, Path]) -> None:
    parts = {name: set(Path(name).with_suffix("").parts) for name in modules}
    assert [n for n, p in parts.items() if {x.strip("_") for x in p} & NAMES_THAT_SAY_NOTHING] == []


def test_the_measuring_stick_sees_a_function_that_is_too_long() -> None:
    body = "\n".join(f"    x = {i}" for i in range(61))
    (long,) = ast.parse(f'def f():\n    """Say\n    something."""\n{body}\n').body
    assert isinstance(long, ast.FunctionDef)
    assert _length(long) == 62


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _length(node: Function) -> int:
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def _declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return None


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order ruff (RUF022) holds."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {(a.asname or a.name).split(".")[0] for a in node.names}
            case ast.Assign():
                names |= {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            case ast.AnnAssign():
                names.add(ast.unparse(node.target))
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):  # names that __getattr__ brings when asked
                names |= _defined(ast.Module(body=node.body, type_ignores=[]))
            case _:
                pass
    return names
