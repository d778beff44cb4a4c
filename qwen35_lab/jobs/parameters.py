"""What a notebook can be given: its cell tagged `parameters`, read and held to.

    context_length: int = 4096  # tokens of the longest text, 1 to 1,048,576
    dtype: str = "float32"  # of the weights, one of float32, bfloat16

Name, type and default are Python, the comment behind is the help; papermill reads the same. A clause of the help that
says "LOW to HIGH", "at least LOW", "above LOW" or "one of A, B, C" is checked, too. Types: int, float, str, bool, and
lists of one of them.
"""

import ast
import csv
import difflib
import io
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from ..analysis.table import Table

TYPES = ("int", "float", "str", "bool")
CALLED = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBER = r"(-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?)(?![\w.]*\d)"
CLAUSE = r"(?:^|[,;:(] ?)"
RANGE = re.compile(f"{CLAUSE}{NUMBER} to {NUMBER}")
BOUND = re.compile(f"{CLAUSE}(at least|above) {NUMBER}")
CHOICES = re.compile(f"{CLAUSE}one of ([^;:.()]+)")


@dataclass(frozen=True)
class Parameter:
    """One of them; `type` is as written, such as `int` or `list[int]`."""

    name: str
    type: str
    default: Any
    help: str

    @property
    def element(self) -> str:
        """The type of a list's elements, or of the value itself."""
        return self.type.removeprefix("list[").removesuffix("]")

    @property
    def is_list(self) -> bool:
        return self.type != self.element

    def parse(self, text: str) -> Any:
        """The value that somebody has written for it.

        Raises:
            InputError: it is none of this type, or none that the help allows.
        """
        if not self.is_list:
            return self._parse_one(text)
        parts = split(text.strip().removeprefix("[").removesuffix("]"))
        return [self._parse_one(part) for part in parts]

    def check(self, value: Any) -> None:
        """Raises InputError if the help does not allow a value of the right type."""
        for one in value if self.is_list else [value]:
            self._check_one(one)

    def _parse_one(self, text: str) -> Any:
        try:
            if self.element == "bool":
                value = TRUTH[text.strip().casefold()]
            else:
                value = {"int": int, "float": float, "str": str}[self.element](text)
        except (KeyError, ValueError):
            raise self._refuse(text) from None
        self._check_one(value)
        return value

    def _check_one(self, value: Any) -> None:
        if self.element in ("int", "float"):
            low, high, strict = self._bounds()
            if not (low < value if strict else low <= value) or not value <= high or not math.isfinite(value):
                raise self._refuse(value)
        elif (choices := self._choices()) and value not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1)
            raise self._refuse(value, f"; did you mean {near[0]!r}?" if near else ".")

    def _bounds(self) -> tuple[float, float, bool]:
        """Lowest, highest, and whether the lowest itself is out."""
        if found := RANGE.search(self.help):
            low, high = (float(end.replace(",", "")) for end in found.groups())
            return low, high, False
        if found := BOUND.search(self.help):
            return float(found[2].replace(",", "")), math.inf, found[1] == "above"
        return -math.inf, math.inf, False

    def _choices(self) -> list[str]:
        found = CHOICES.search(self.help)
        words = re.split(r",\s*(?:or |and )?| or | and ", found[1].strip()) if found else []
        return [word.strip(" \"'") for word in words if word.strip()]

    def _refuse(self, value: Any, end: str = ".") -> InputError:
        wanted = CALLED[self.element]
        if self.element not in ("int", "float"):
            wanted = f"one of {', '.join(choices)}" if (choices := self._choices()) else wanted
        elif found := RANGE.search(self.help):
            wanted += f" from {found[1]} to {found[2]}"
        elif found := BOUND.search(self.help):
            wanted += f" {'of ' * (found[1] == 'at least')}{found[1]} {found[2]}"
        return InputError(f"{self.name} is {value!r}; pass {wanted}{end}")


def read(source: str) -> dict[str, Parameter]:
    """Name -> parameter, of all that a cell assigns.

    Raises:
        InputError: a default that is no literal, or of a type that cannot be written on a command line.
    """
    comments = _comments(source)
    found = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(target, ast.Name) or node.value is None:
            continue
        try:
            default = ast.literal_eval(node.value)
        except ValueError:
            raise InputError(
                f"The default of the parameter {target.id!r} is computed; write a number, a text or a list of them."
            ) from None
        declared = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else _type_of(default)
        help = comments.get(node.end_lineno or node.lineno, "")
        parameter = Parameter(target.id, declared, default, help)
        if parameter.element not in TYPES:
            raise InputError(f"{target.id!r} is declared as {declared}; declare {', '.join(TYPES)} or a list of one.")
        found[target.id] = parameter
    return found


def settle(
    parameters: Mapping[str, Parameter], given: Iterable[tuple[str, str]], notebook: str, *, several: bool = False
) -> dict[str, list[Any]]:
    """What was written on a command line, as name -> values, in the order in which names came first.

    Args:
        several: commas separate values, as in `0,1,2`; one that holds a comma itself stands in double quotes. A list is
            one value: of it, too, several come by naming the parameter again.
    Raises:
        InputError: an unknown name, or a value that does not fit.
    """
    found: dict[str, list[Any]] = {}
    for name, text in given:
        if name not in parameters:
            raise InputError(unknown(name, parameters, f"{notebook} has no"))
        parameter = parameters[name]
        texts = split(text) if several and not parameter.is_list else [text]
        values = found.setdefault(name, [])
        for part in texts:
            if (value := parameter.parse(part)) not in values:
                values.append(value)
        if len(values) > 1 and not several:
            raise InputError(f"{name} has two values here; `run` takes one, `sweep` takes several.")
    return found


def unknown(name: str, parameters: Iterable[str], who: str) -> str:
    """A sentence about a name that is none of the parameters; `who` begins it: "03_delta_rule has no"."""
    names = list(parameters)
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}." if names else "there are none."
    return f"{who} parameter {name!r}; {remedy}"


def split(text: str) -> list[str]:
    """`a, "b, c"` -> a and b, c"""
    return [part.strip() for part in next(csv.reader([text], skipinitialspace=True), [])]


def table(parameters: Mapping[str, Parameter], notebook: str) -> "Table":
    """What there is to set, for people."""
    from ..analysis.table import Table

    rows = tuple((p.name, p.type, repr(p.default), p.help) for p in parameters.values())
    caption = f"Parameters of {notebook}; set one with -p NAME VALUE."
    return Table(("name", "type", "default", "what it is"), rows, "<<<<", caption)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _type_of(default: Any) -> str:
    if isinstance(default, list) and default:
        return f"list[{type(default[0]).__name__}]"
    return type(default).__name__
