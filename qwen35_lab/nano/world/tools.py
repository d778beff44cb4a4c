"""Tool calls: a calculator for what is too large for the head, a lookup in a table that only the tool can see.

    user       How old is Mia?
    assistant  lookup(name="Mia", field="age")
    tool       31
    assistant  31

Sometimes two lookups are needed at once, and sometimes none: with tools on offer, the larger of two numbers is
still told without one.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from .arithmetic import fits
from .dice import Dice, held_out
from .sample import Message, Question, Sample, assistant, user
from .words import CITIES, NAMES

HELD_OUT = 7
Table = dict[str, dict[str, str]]  # name -> field -> value
Call = tuple[str, dict[str, str]]  # function, arguments
UNKNOWN = "error"  # what a tool says to a call that it cannot answer


def _tool(name: str, description: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


CALCULATOR = _tool("calculator", "Work out a sum", ("expression",))
LOOKUP = _tool("lookup", "Look up a person", ("name", "field"))
FIELDS = {"age": "How old is {}?", "city": "Where does {} live?", "phone": "What is the phone number of {}?"}


def tools(dice: Dice, new: bool) -> Sample:
    """One to three requests. In "valid" and "test" the operands, or the (name, value) asked for, are new."""
    offered = dice.pick(((CALCULATOR, LOOKUP), (LOOKUP, CALCULATOR), (CALCULATOR,), (LOOKUP,)))
    thinking = dice.chance(0.3)
    messages: list[Message] = []
    questions: list[Question] = []
    names = dice.shuffled(NAMES)  # a name is asked for once, so that no two answers contradict each other
    for _ in range(dice.between(1, 3)):
        said, asked = _request(dice, new, offered, thinking, [names.pop() for _ in range(4)])
        questions += [replace(question, turn=question.turn + len(messages)) for question in asked]
        messages += said
    return Sample("tools", messages, tuple(questions), offered, thinking)


def _request(
    dice: Dice, new: bool, offered: tuple[dict[str, Any], ...], thinking: bool, names: list[str]
) -> tuple[list[Message], list[Question]]:
    """Turns are counted from the request's own first message."""
    can = [each for tool in offered for each in (("sum",) if tool is CALCULATOR else ("lookup", "older"))]
    doing = dice.pick([*can, *can, "none"])
    if doing == "sum":
        return _sum(dice, new, thinking)
    if doing == "none":
        a, b = dice.until(lambda: (dice.below(100), dice.below(100)), lambda pair: fits(3, *pair, new))
        asked = Question("none", str(max(a, b)), 1, {"calls": []})
        answer = assistant(asked.answer, "I need no function." if thinking else None)
        return [user(f"Which is larger, {a} or {b}?"), answer], [asked]
    return _lookup(dice, new, doing, names, thinking)


def execute(function: str, arguments: dict[str, str], table: Table) -> str:
    """What the tool answers. A call that makes no sense gets `UNKNOWN`, as a real one would."""
    if function == "lookup" and arguments.keys() == {"name", "field"}:
        return table.get(arguments["name"], {}).get(arguments["field"], UNKNOWN)
    if function == "calculator" and arguments.keys() == {"expression"}:
        words = arguments["expression"].split(" ")
        a, operator, b = words if len(words) == 3 else ("", "", "")
        if a.isdecimal() and b.isdecimal() and operator in ("+", "-", "*") and len(a + b) < 20:
            return str({"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[operator])
    return UNKNOWN


def _sum(dice: Dice, new: bool, thinking: bool) -> tuple[list[Message], list[Question]]:
    code = dice.below(3)
    operator = "+-*"[code]
    a, b = dice.until(lambda: (dice.between(100, 9999), dice.between(100, 9999)), lambda pair: fits(code, *pair, new))
    expression = f"{a} {operator} {b}"
    calls: list[Call] = [("calculator", {"expression": expression})]
    question = dice.pick((f"What is {expression}?", f"{expression} = ?"))
    return _round_trip(question, calls, {}, execute(*calls[0], {}), "sum", thinking)


def _lookup(
    dice: Dice, new: bool, doing: str, names: list[str], thinking: bool
) -> tuple[list[Message], list[Question]]:
    """One lookup; or two at once, to tell who is older."""
    fields = ["age"] if doing == "older" else [each for each in FIELDS if fitting(names[0], each, new)]
    field = dice.pick(fields)
    table = {name: _entries(dice, name, new and name == names[0], field) for name in names}
    if doing == "lookup":
        calls: list[Call] = [("lookup", {"name": names[0], "field": field})]
        answer, question = table[names[0]][field], FIELDS[field].format(names[0])
        return _round_trip(question, calls, table, answer, doing, thinking)
    first, second = dice.shuffled(names[:2])
    while table[first]["age"] == table[second]["age"]:
        table[names[1]] = _entries(dice, names[1], False, field)
    calls = [("lookup", {"name": name, "field": "age"}) for name in (first, second)]
    older = max((first, second), key=lambda name: int(table[name]["age"]))
    return _round_trip(f"Who is older, {first} or {second}?", calls, table, older, doing, thinking)


@cache
def fitting(name: str, field: str, new: bool) -> tuple[str, ...]:
    """The values that training shows for this name (not `new`), or those that are held out (`new`; may be none)."""
    who, what = NAMES.index(name), list(FIELDS).index(field)
    values = {"age": map(str, range(5, 100)), "city": CITIES, "phone": map(str, range(1000, 10_000))}[field]
    return tuple(value for n, value in enumerate(values) if held_out(HELD_OUT, 4, what, who, n) == new)


def _entries(dice: Dice, name: str, new: bool, field: str) -> dict[str, str]:
    """A row of the table; the entry of `field` is held out exactly if `new`."""
    return {what: dice.pick(fitting(name, what, new and what == field)) for what in FIELDS}


def _round_trip(
    question: str, calls: list[Call], table: Table, answer: str, kind: str, thinking: bool
) -> tuple[list[Message], list[Question]]:
    """Question, call or calls, results, answer."""
    called: Message = assistant("", f"I need the {calls[0][0]}." if thinking else None)
    called["tool_calls"] = [{"type": "function", "function": {"name": f, "arguments": dict(a)}} for f, a in calls]
    results = [{"role": "tool", "content": execute(*call, table)} for call in calls]
    final = assistant(answer, "I have the answer." if thinking else None)
    messages = [user(question), called, *results, final]
    facts = {"calls": calls, "table": table}
    return messages, [Question(kind, "", 1, facts), Question(f"{kind} answer", answer, len(messages) - 1)]
