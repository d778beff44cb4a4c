"""Two builds of a notebook, cut from the one that is committed, in which every solution is written once.

The student build has no solutions: stubs and hints, to be handed out. In the solution build the stubs are filled in;
what stands in the folded cell takes the place of the stub's blanks, the names that its checker judges:

    def norm(x): return None  # your turn        def solution(x): return x / x.norm()
    lab.check("02.1", norm)                      lab.check_solution("02.1", solution)

becomes `def norm(x): return x / x.norm()` and `lab.check_solution("02.1", norm)`.
"""

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import InputError
from ..files import write_file
from .source import Cell, Notebook, dumps, is_code, load, name, tagged, text, with_text

INTRODUCTION = re.compile(r"a\s+hint,\s+and\s+a\s+folded\s+solution:\s+click\s+its\s+three\s+dots")
CHECKERS = ("check", "check_solution")


def student(notebook: Notebook) -> Notebook:
    """The notebook without its solutions.

    Raises:
        InputError: a cell that is kept needs a name that only a solution has.
    """
    cells = notebook["cells"]
    if missing := _missing(cells):
        raise InputError(f"Without solutions {missing}; compute it there, or before the exercises.")
    kept = [cell for cell in cells if not tagged(cell, "solution")]
    return {**notebook, "cells": [_introduced(cell, "and a hint") for cell in kept]}


def solved(notebook: Notebook) -> Notebook:
    """The notebook with its stubs filled in.

    Raises:
        InputError: a stub and its solution do not fit together.
    """
    cells, made = notebook["cells"], []
    for n, cell in enumerate(cells):
        if tagged(cell, "exercise"):
            if n + 1 == len(cells) or not tagged(cells[n + 1], "solution"):
                raise InputError(f"{name(cell)} has no solution; put a cell tagged `solution` behind it.")
            made.append(with_text(cell, filled(text(cell), text(cells[n + 1]))))
        elif not tagged(cell, "solution"):
            made.append(_introduced(cell, "a hint, and its stub filled in"))
    return {**notebook, "cells": made}


BUILDS: dict[str, Callable[[Notebook], Notebook]] = {"student": student, "solution": solved}


def build(kind: str, notebooks: Sequence[Path], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a build of notebooks into a folder; returns the files.

    Nothing is written unless all of them can be built.

    Raises:
        InputError: a notebook cannot be built, or a file of its name is there, which might be somebody's work.
        CheckpointError: writing failed.
    """
    made = {folder / path.name: (path, dumps(_built(kind, path))) for path in notebooks}
    for target, (path, _) in made.items():
        if target.exists() and target.samefile(path):
            raise InputError(f"{target} is the notebook itself; choose another folder.")
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists, and may have been worked on; choose another folder, or overwrite it.")
    for target, (_, content) in made.items():
        with write_file(target) as beside:
            beside.write_text(content, encoding="utf-8", newline="\n")
    return list(made)


def _built(kind: str, path: Path) -> Notebook:
    try:
        return BUILDS[kind](load(path))
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None


def _introduced(cell: Cell, parts: str) -> Cell:
    """The sentence that says what every exercise has, without the folded solution."""
    if is_code(cell):
        return cell
    words = INTRODUCTION.sub(parts, text(cell))
    if "folded solution" in words or "three dots" in words:
        raise InputError(f"{name(cell)} speaks of a folded solution; word it as in the other notebooks.")
    return with_text(cell, words) if words != text(cell) else cell


# ------------------------------------------------------------------------------------------- without solutions


def _missing(cells: Sequence[Cell]) -> str:
    """Which cell needs what only a solution defines, in words."""
    everywhere, solutions = set(dir(builtins)), set[str]()
    for cell in filter(is_code, cells):
        tree = _parsed(cell)
        own = set(_bound(tree))
        if tagged(cell, "solution"):
            solutions |= own
            continue
        everywhere |= own
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        if lost := sorted((used & solutions) - everywhere):
            return f"{name(cell)} has no `{lost[0]}`, which only a solution defines"
    return ""


def _parsed(cell: Cell) -> ast.Module:
    try:
        return ast.parse(text(cell))
    except SyntaxError as error:
        raise InputError(f"{name(cell)} is not Python alone ({error.msg}); keep magics out of it.") from None


def _bound(tree: ast.AST) -> Iterator[str]:
    """Every name that code gives a value, at the top or inside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]


# ------------------------------------------------------------------------------------------------- filled in


def filled(stub: str, solution: str) -> str:
    """The stub's cell with its blanks replaced by the solution, and judged as one.

    Raises:
        InputError: they are not about the same exercise, a function takes other arguments than its stub, or what is
            judged in the stub is no name that could be given the solution's value.
    """
    (ours, target), (theirs, value) = (_judged(source) for source in (stub, solution))
    exercise, other = (ast.literal_eval(call.args[0]) for _, call in ((ours, target), (theirs, value)))
    if exercise != other:
        raise InputError(f"The stub of {exercise} is followed by the solution of {other}.")
    names = {node.id for node in ast.walk(target.args[1]) if isinstance(node, ast.Name)}
    blanks = [s for s in ast.parse(stub).body if s.lineno < ours.lineno and names & set(_names(s))]
    if not blanks:
        raise InputError(f"The stub of {exercise} leaves nothing to fill in: its checker must judge a name it defines.")
    code = _lines(solution)[: theirs.lineno - 1]
    given = ast.get_source_segment(solution, value.args[1]) or ""
    answer = _answer(exercise, blanks, target.args[1], given, "".join(code))
    lines = _lines(stub)
    for n, blank in reversed([*enumerate(blanks)]):
        lines[_first(blank) - 1 : blank.end_lineno] = [answer.strip("\n") + "\n"] if n == 0 else []
    whole = re.sub(r"\n{4,}", "\n\n\n", "".join(lines))
    return re.sub(r"\blab\.check\(", "lab.check_solution(", whole)


def _answer(exercise: str, blanks: list[ast.stmt], target: ast.expr, given: str, code: str) -> str:
    """The solution's code, after which `target` is what the solution judges."""
    wanted = ast.unparse(target)
    if wanted == given:
        return code
    functions = {s.name: s for s in ast.parse(code).body if isinstance(s, ast.FunctionDef)}
    if given in functions and isinstance(target, ast.Name):
        stubs = [s for s in blanks if isinstance(s, ast.FunctionDef)]
        takes, asked = (ast.unparse(f.args) for f in (functions[given], (stubs or [functions[given]])[0]))
        if takes != asked:
            raise InputError(f"The solution of {exercise} takes ({takes}), its stub ({asked}); they must be the same.")
        return _renamed(code, given, wanted)
    if isinstance(target, ast.Name) or (
        isinstance(target, ast.Tuple) and all(isinstance(part, ast.Name) for part in target.elts)
    ):
        value = f"({given})" if "\n" in given else given
        return f"{code}{wanted.strip('()')} = {value}\n"
    raise InputError(f"The checker of {exercise} judges `{wanted}`; let it judge a name that the stub defines.")


def _judged(source: str) -> tuple[ast.stmt, ast.Call]:
    """The last statement that calls a checker, and that call."""
    calls = [
        (statement, node)
        for statement in ast.parse(source).body
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"lab.{word}" for word in CHECKERS}
    ]
    if not calls or len(calls[-1][1].args) < 2:
        raise InputError(f"No checker is called with an answer in {source.splitlines()[0]!r} and what follows.")
    return calls[-1]


def _names(statement: ast.stmt) -> Iterator[str]:
    """What a statement at the top defines."""
    if isinstance(statement, ast.FunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _first(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", ())
    return min(node.lineno for node in (statement, *decorators))


def _lines(source: str) -> list[str]:
    return (source.rstrip("\n") + "\n").splitlines(keepends=True)


def _renamed(code: str, old: str, new: str) -> str:
    """The code with one name replaced, and strings and comments as they are."""
    lines = code.splitlines(keepends=True)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    found = [token.start for token in tokens if (token.type, token.string) == (tokenize.NAME, old)]
    for row, column in reversed(found):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + new + line[column + len(old) :]
    return "".join(lines)
