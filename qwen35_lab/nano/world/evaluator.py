"""A tiny evaluator for a small part of Python: what a snippet prints is worked out, never guessed.

It walks the tree that Python's own parser makes, and knows whole numbers, texts, truth values, flat lists; assignment,
`if`, `for`, functions of one `return`, `print` and a few others. It runs no Python code, so what a model writes may be
given to it. Every snippet ends: there is no `while`, no recursion, and steps and sizes are bounded.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

MOST_STEPS, MOST_DIGITS, MOST_ITEMS = 2_000, 12, 200

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len, "sum": sum, "max": max, "min": min, "abs": abs, "str": str, "range": range,
}  # fmt: skip


class SnippetError(Exception):
    """The snippet is not of the small language, or goes wrong when it runs."""


def run(source: str) -> str:
    """What a snippet prints, without the last line break.

    Raises:
        SnippetError: it cannot be read, uses something unknown, fails, or takes too long.
    """
    return Run(source).text


def trace(source: str) -> list[str]:
    """`name = value` for every assignment that happens outside functions, in order."""
    return Run(source).assigned


class Run:
    """One execution."""

    def __init__(self, source: str):
        self.printed: list[str] = []
        self.assigned: list[str] = []
        self.functions: dict[str, ast.FunctionDef] = {}
        self.steps = 0
        try:
            self.block(ast.parse(source).body, {})
        except SnippetError:
            raise
        except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
            raise SnippetError(str(error)) from error
        self.text = "\n".join(self.printed)

    def block(self, statements: list[ast.stmt], names: dict[str, Any]) -> None:
        for statement in statements:
            self.count()
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.assign(names, name, self.value(value, names))
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    self.assign(names, name, self.apply(op, names[name], self.value(value, names)))
                case ast.If(test=test, body=body, orelse=other):
                    self.block(body if self.value(test, names) else other, names)
                case ast.For(target=ast.Name(id=name), iter=items, body=body, orelse=[]):
                    for item in self.value(items, names):
                        names[name] = item
                        self.block(body, names)
                case ast.FunctionDef(name=name, body=[ast.Return()]):
                    self.functions[name] = statement
                case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=args, keywords=[])):
                    self.printed.append(" ".join(str(self.value(arg, names)) for arg in args))
                case _:
                    raise SnippetError(f"unknown: {ast.unparse(statement)}")

    def value(self, node: ast.expr | None, names: dict[str, Any]) -> Any:
        self.count()
        match node:
            case ast.Constant(value=bool() | int() | str() as value):
                return value
            case ast.Name(id=name):
                return names[name]
            case ast.List(elts=items):
                found = [self.value(item, names) for item in items]
                if any(isinstance(item, list) for item in found):
                    raise SnippetError("unknown: lists in lists")  # a few of them could grow without bounds
                return found
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, names)
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.apply(op, self.value(left, names), self.value(right, names))
            case ast.Subscript(value=items, slice=index):
                return self.value(items, names)[self.value(index, names)]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, [self.value(arg, names) for arg in args])
        raise SnippetError(f"unknown: {ast.unparse(node) if node else 'nothing'}")

    def call(self, name: str, values: list[Any]) -> Any:
        if name in _FUNCTIONS:
            return bounded(_FUNCTIONS[name](*values))
        function = self.functions[name]
        parameters = [each.arg for each in function.args.args]
        if len(parameters) != len(values):
            raise SnippetError(f"{name} takes {len(parameters)} values, not {len(values)}")
        (statement,) = function.body
        assert isinstance(statement, ast.Return)
        return self.value(statement.value, dict(zip(parameters, values)))

    def apply(self, op: ast.AST, left: Any, right: Any) -> Any:
        if type(op) not in _OPERATORS:
            raise SnippetError(f"unknown: {type(op).__name__}")
        if isinstance(op, ast.Mod) and isinstance(left, str):
            raise SnippetError("unknown: texts filled in")
        if isinstance(op, ast.Mult) and max((x for x in (left, right) if isinstance(x, int)), default=0) > MOST_ITEMS:
            for x in (left, right):
                if isinstance(x, str | list):
                    raise SnippetError("too long")
        return bounded(_OPERATORS[type(op)](left, right))

    def assign(self, names: dict[str, Any], name: str, value: Any) -> None:
        names[name] = value
        self.assigned.append(f"{name} = {value!r}")

    def count(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SnippetError("it takes too long")


def bounded(value: Any) -> Any:
    """The value, if it is of a modest size."""
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise SnippetError("a number is too large")
    if isinstance(value, str | list | range) and len(value) > MOST_ITEMS:
        raise SnippetError("a text or list is too long")
    return value
