"""Expressions that users write (``"Quantity * UnitPrice"``): a small part of Python's grammar, compiled to typed SQL.

Allowed: column names, ``col("any name")``, numbers, text, ``+ - * /``, comparisons, ``in`` a list, ``and or not``,
``is None``, and the functions of ``FUNCTIONS``. Anything else is refused by name.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.core.errors import ConfigError, near_miss
from headwater.core.table import Kind
from headwater.engine.sql import Sql, commas, name, shim, sql

__all__ = ["MICROS", "Typed", "columns_of", "compile_condition", "compile_expression"]

MICROS = 1_000_000
_DEEPEST = 60
_NUMERIC = {Kind.INTEGER, Kind.NUMBER, Kind.MONEY}
_COMPARISONS: dict[type[ast.cmpop], Sql] = {
    ast.Eq: sql("="),
    ast.NotEq: sql("<>"),
    ast.Lt: sql("<"),
    ast.LtE: sql("<="),
    ast.Gt: sql(">"),
    ast.GtE: sql(">="),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression with its type. Money is in micro-units."""

    sql: Sql
    kind: Kind


def columns_of(text: str) -> tuple[str, ...]:
    """The columns an expression names, in order of appearance."""
    found: dict[str, None] = {}
    functions = {
        n.func.id for n in ast.walk(_parsed(text)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Name) and node.id not in functions:
            found[node.id] = None
        elif _is_col(node):
            found[_col_name(node, text)] = None
    return tuple(found)


def compile_expression(text: str, columns: Mapping[str, Kind]) -> Typed:
    """Compile an expression over typed columns. Raises ``ConfigError`` (``expression.*``)."""
    return _Compiler(text, columns).compile(_parsed(text).body)


def compile_condition(text: str, columns: Mapping[str, Kind]) -> Sql:
    """Compile an expression that must be true or false; an unknown value counts as false."""
    typed = compile_expression(text, columns)
    if typed.kind is not Kind.BOOLEAN:
        raise _refused(text, "is not a condition", "Write a comparison, such as Quantity > 0.")
    return sql("coalesce({condition}, FALSE)", condition=typed.sql)


def _parsed(text: str) -> ast.Expression:
    if len(text) > 2_000:
        raise _refused(
            text[:40] + "...", "is longer than 2,000 characters", "Split it into several measures."
        )
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(text, "cannot be read", "Write it like Quantity * UnitPrice.") from None
    if _depth(tree) > _DEEPEST:
        raise _refused(
            text[:40] + "...", f"is nested more than {_DEEPEST} deep", "Split it into several measures."
        )
    return tree


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _refused(text: str, what: str, do: str) -> ConfigError:
    return ConfigError(
        "expression.refused",
        what=f"The expression '{text}' {what}.",
        why="An expression that is not understood would give a wrong measure.",
        do=do,
    )


def _is_col(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col"


def _col_name(node: ast.AST, text: str) -> str:
    match node:
        case ast.Call(args=[ast.Constant(value=str(column))], keywords=[]):
            return column
        case _:
            raise _refused(text, "uses col() without one quoted column name", 'Write col("Unit Price").')


@dataclass(frozen=True, slots=True)
class _Compiler:
    text: str
    columns: Mapping[str, Kind]

    def compile(self, node: ast.AST) -> Typed:  # noqa: PLR0911  one line for each node allowed
        match node:
            case ast.Name(id=column):
                return self._column(column)
            case ast.Constant(value=value):
                return self._constant(value)
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(op, self.compile(left), self.compile(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self._numeric(self.compile(operand))
                return Typed(sql("(-{x})", x=inner.sql), inner.kind)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Typed(sql("(NOT {x})", x=self._boolean(operand)), Kind.BOOLEAN)
            case ast.BoolOp(op=op, values=values):
                return self._logic(op, [self._boolean(v) for v in values])
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(left, op, right)
            case ast.Call(func=ast.Name(id=function), args=args, keywords=[]):
                return (
                    self._column(_col_name(node, self.text))
                    if function == "col"
                    else self._call(function, args)
                )
            case _:
                raise _refused(
                    self.text,
                    f"uses {type(node).__name__}, which is not allowed",
                    "Keep to columns, numbers, + - * /, comparisons, and/or/not.",
                )

    def _column(self, column: str) -> Typed:
        if column not in self.columns:
            raise _refused(
                self.text,
                f"names the column '{column}', which the source does not have",
                near_miss(column, self.columns),
            )
        return Typed(name(column), self.columns[column])

    def _constant(self, value: object) -> Typed:
        match value:
            case bool():
                return Typed(sql("{v}", v=value), Kind.BOOLEAN)
            case int() if abs(value) < 2**62:
                return Typed(sql("CAST({v} AS BIGINT)", v=value), Kind.INTEGER)
            case float() if abs(value) < 1e300:
                return Typed(sql("{v}", v=value), Kind.NUMBER)
            case str():
                return Typed(sql("{v}", v=value), Kind.TEXT)
            case _:
                raise _refused(
                    self.text, f"holds the constant {value!r}", "Use whole numbers, decimals or quoted text."
                )

    def _numeric(self, typed: Typed) -> Typed:
        if typed.kind not in _NUMERIC:
            raise _refused(
                self.text,
                f"calculates with a {typed.kind} value",
                "Declare the column's type under types, such as integer, number or money.",
            )
        return typed

    def _boolean(self, node: ast.AST) -> Sql:
        typed = self.compile(node)
        if typed.kind is not Kind.BOOLEAN:
            raise _refused(
                self.text, f"uses a {typed.kind} value as a condition", "Compare it with something."
            )
        return typed.sql

    def _arithmetic(self, op: ast.operator, left: Typed, right: Typed) -> Typed:
        a, b = self._numeric(left), self._numeric(right)
        match op:
            case ast.Add():
                x, y, kind = self._aligned(a, b)
                return Typed(sql("({x} + {y})", x=x, y=y), kind)
            case ast.Sub():
                x, y, kind = self._aligned(a, b)
                return Typed(sql("({x} - {y})", x=x, y=y), kind)
            case ast.Mult():
                return self._product(a, b)
            case ast.Div():
                return self._quotient(a, b)
            case _:
                raise _refused(self.text, f"uses the operator {type(op).__name__}", "Use + - * and / only.")

    def _aligned(self, a: Typed, b: Typed) -> tuple[Sql, Sql, Kind]:
        kinds = {a.kind, b.kind}
        if kinds == {a.kind}:
            return a.sql, b.sql, a.kind
        if Kind.MONEY in kinds:
            raise _refused(
                self.text,
                "adds money to a plain number or compares them",
                "Declare both columns as money, or multiply instead.",
            )
        return sql("CAST({x} AS DOUBLE)", x=a.sql), sql("CAST({y} AS DOUBLE)", y=b.sql), Kind.NUMBER

    def _product(self, a: Typed, b: Typed) -> Typed:
        if a.kind is Kind.MONEY and b.kind is Kind.MONEY:
            raise _refused(
                self.text, "multiplies money by money", "Declare one of the two as integer or number."
            )
        if Kind.NUMBER not in {a.kind, b.kind}:
            kind = Kind.MONEY if Kind.MONEY in {a.kind, b.kind} else Kind.INTEGER
            return Typed(sql("(CAST({x} AS DECIMAL(38, 0)) * {y})", x=a.sql, y=b.sql), kind)
        product = sql("(CAST({x} AS DOUBLE) * CAST({y} AS DOUBLE))", x=a.sql, y=b.sql)
        return (
            Typed(sql("round({p})", p=product), Kind.MONEY)
            if Kind.MONEY in {a.kind, b.kind}
            else Typed(product, Kind.NUMBER)
        )

    def _quotient(self, a: Typed, b: Typed) -> Typed:
        ratio = sql("(CAST({x} AS DOUBLE) / nullif(CAST({y} AS DOUBLE), 0))", x=a.sql, y=b.sql)
        if a.kind is Kind.MONEY and b.kind is not Kind.MONEY:
            return Typed(sql("round({r})", r=ratio), Kind.MONEY)
        if b.kind is Kind.MONEY and a.kind is not Kind.MONEY:
            raise _refused(
                self.text, "divides a plain number by money", "Divide money by a number, or money by money."
            )
        return Typed(ratio, Kind.NUMBER)

    def _logic(self, op: ast.boolop, values: list[Sql]) -> Typed:
        result = values[0]
        for value in values[1:]:
            result = (
                sql("({a} AND {b})", a=result, b=value)
                if isinstance(op, ast.And)
                else sql("({a} OR {b})", a=result, b=value)
            )
        return Typed(result, Kind.BOOLEAN)

    def _comparison(self, left: ast.AST, op: ast.cmpop, right: ast.AST) -> Typed:
        if isinstance(op, ast.Is | ast.IsNot) and isinstance(right, ast.Constant) and right.value is None:
            test = sql("({x} IS NULL)", x=self.compile(left).sql)
            return Typed(test if isinstance(op, ast.Is) else sql("(NOT {t})", t=test), Kind.BOOLEAN)
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, op, right)
        a, b = self._comparable(self.compile(left), self.compile(right))
        if type(op) not in _COMPARISONS:
            raise _refused(
                self.text, f"uses the comparison {type(op).__name__}", "Use == != < <= > >= or in."
            )
        return Typed(sql("({a} {op} {b})", a=a, op=_COMPARISONS[type(op)], b=b), Kind.BOOLEAN)

    def _membership(self, left: ast.AST, op: ast.cmpop, right: ast.AST) -> Typed:
        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise _refused(self.text, "uses 'in' without a list", 'Write Country in ["France", "Spain"].')
        value = self.compile(left)
        pairs = [self._comparable(value, self.compile(e)) for e in right.elts]
        alike = all(left_side == value.sql for left_side, _ in pairs)
        options = [
            b if alike else _in_units(self.compile(e)) for (_, b), e in zip(pairs, right.elts, strict=True)
        ]
        test = sql(
            "({x} IN ({options}))", x=value.sql if alike else _in_units(value), options=commas(options)
        )
        return Typed(test if isinstance(op, ast.In) else sql("(NOT {t})", t=test), Kind.BOOLEAN)

    def _comparable(self, a: Typed, b: Typed) -> tuple[Sql, Sql]:
        if a.kind is b.kind:
            return a.sql, b.sql
        if {a.kind, b.kind} <= _NUMERIC:
            return _in_units(a), _in_units(b)
        raise _refused(
            self.text, f"compares {a.kind} with {b.kind}", "Declare the column's type under types."
        )

    def _call(self, function: str, args: list[ast.expr]) -> Typed:
        typed = [self.compile(a) for a in args]
        match function, typed:
            case "abs", [x]:
                return Typed(sql("abs({x})", x=self._numeric(x).sql), x.kind)
            case "starts_with", [x, prefix] if x.kind is Kind.TEXT and prefix.kind is Kind.TEXT:
                return Typed(sql("(left({x}, length({p})) = {p})", x=x.sql, p=prefix.sql), Kind.BOOLEAN)
            case "lower", [x] if x.kind is Kind.TEXT:
                return Typed(shim("lowered", x.sql), Kind.TEXT)
            case "upper", [x] if x.kind is Kind.TEXT:
                return Typed(shim("uppered", x.sql), Kind.TEXT)
            case "coalesce", [x, y] if x.kind is y.kind:
                return Typed(sql("coalesce({x}, {y})", x=x.sql, y=y.sql), x.kind)
            case _:
                raise _refused(
                    self.text,
                    f"calls {function}() with {len(typed)} arguments of kinds that do not fit",
                    "Functions: abs(x), starts_with(text, prefix), lower(text), upper(text), coalesce(x, y), col(name).",
                )


def _in_units(typed: Typed) -> Sql:
    x = sql("CAST({x} AS DOUBLE)", x=typed.sql)
    return sql("({x} / {m})", x=x, m=float(MICROS)) if typed.kind is Kind.MONEY else x
