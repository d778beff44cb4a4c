"""Is an answer right? For every kind, from the text that a model gives.

"right", "wrong", or "malformed": not even of the form that the question asks for, such as a colour, a number, JSON,
a tool call, sentences of the language. An answer may come with its thinking and its end marker; what is judged is
what stands after the thinking.
"""

import json
import re
from collections.abc import Callable
from typing import Literal

from .drawing import SHAPES
from .evaluator import SnippetError, run
from .phrasebook import LANGUAGES, understood
from .sample import Question, Sample
from .snippets import fill
from .story_judge import Fault, check_story
from .tools import Call
from .words import ANIMALS, CITIES, COLOURS, FOODS, NAMES, NO, NOBODY, NOTHING, PLACES, YES

Verdict = Literal["right", "wrong", "malformed"]
ENDS = ("<|im_end|>", "<|endoftext|>")


def judge(sample: Sample, question: Question, text: str) -> Verdict:
    """Judge what a model has said in place of `question.answer`."""
    answer = spoken(text)
    if answer is None:
        return "malformed"
    special = _JUDGES.get((sample.kind, question.type))
    if sample.kind == "tools" and "calls" in question.facts:
        special = _calls
    if special:
        return special(sample, question, answer)
    form = _FORMS.get((sample.kind, question.type), ".+")
    if not re.fullmatch(form, answer, re.DOTALL):
        return "malformed"
    return _verdict(answer == question.answer)


def spoken(text: str) -> str | None:
    """What is said aloud: without thinking, and up to the end marker. None if the thinking never ends."""
    for end in ENDS:
        text = text.split(end)[0]
    *thought, answer = text.split("</think>")
    return None if not thought and "<think>" in text else answer.strip()


def parse_calls(text: str) -> list[Call] | None:
    """The tool calls that an answer ends with; None if there is none, or something is out of form.

    Values hold no `<`: the world has none, and markup inside a value is a mistake.
    """
    before, mark, _ = text.partition("<tool_call>")
    if not mark or (before and not before.endswith("\n\n")) or not _CALLS.fullmatch(text, len(before)):
        return None
    calls = [(found[1], _PARAMETER.findall(found[2])) for found in _CALL.finditer(text, len(before))]
    if any(len(dict(pairs)) != len(pairs) for _, pairs in calls):
        return None
    return [(name, dict(pairs)) for name, pairs in calls]


_PARAMETER = re.compile(r"<parameter=(\w+)>\n([^<]*)\n</parameter>\n")
_ONE = r"<tool_call>\n<function=(\w+)>\n((?:<parameter=\w+>\n[^<]*\n</parameter>\n)*)</function>\n</tool_call>"
_CALL, _CALLS = re.compile(_ONE), re.compile(rf"{_ONE}(?:\n{_ONE})*")


def _verdict(right: bool) -> Verdict:
    return "right" if right else "wrong"


def _calls(sample: Sample, question: Question, answer: str) -> Verdict:
    """Calls well-formed, of functions on offer, with exactly their parameters; right: the expected ones, any order."""
    expected = question.facts["calls"]
    if "<tool_call>" not in answer:
        fine = bool(re.fullmatch(r"\w+", answer))
        return _verdict(not expected and answer == question.answer) if fine or expected else "malformed"
    calls = parse_calls(answer)
    offered = {tool["function"]["name"]: set(tool["function"]["parameters"]["required"]) for tool in sample.tools}
    if calls is None or any(offered.get(name) != arguments.keys() for name, arguments in calls):
        return "malformed"
    made, wanted = (sorted((name, sorted(given.items())) for name, given in each) for each in (calls, expected))
    return _verdict(made == wanted)


def _story(sample: Sample, question: Question, answer: str) -> Verdict:
    try:
        check_story(answer, **question.facts)
    except Fault as fault:
        return "malformed" if fault.form else "wrong"
    return "right"


def _translation(sample: Sample, question: Question, answer: str) -> Verdict:
    known = understood(question.facts["target"])
    lines, wanted = ([line.strip() for line in re.findall(r"[^.。।]+[.。।]?", t)] for t in (answer, question.answer))
    if not lines or any(line not in known for line in lines):
        return "malformed"
    return _verdict([known[line] for line in lines] == [known[line] for line in wanted])


def _json(sample: Sample, question: Question, answer: str) -> Verdict:
    try:
        return _verdict(json.loads(answer) == json.loads(question.answer))
    except (ValueError, RecursionError):
        return "malformed"


def _fill(sample: Sample, question: Question, answer: str) -> Verdict:
    """Any number that makes the program print the same."""
    if not re.fullmatch(r"-?\d{1,6}", answer):
        return "malformed"
    try:
        return _verdict(run(fill(question.facts["program"], answer)) == question.facts["prints"])
    except SnippetError:
        return "wrong"


def _one(*words: str) -> str:
    return "|".join(map(re.escape, words))


_JUDGES: dict[tuple[str, str], Callable[[Sample, Question, str], Verdict]] = {
    ("story", "write"): _story, ("scripts", "translate"): _translation, ("code", "fill"): _fill,
    ("json", "make"): _json, ("json", "change"): _json,
}  # fmt: skip

_NUMBER, _COLOUR, _NAME = r"\d+", _one(*COLOURS), _one(*NAMES)
_WHERE = r"(top|middle|bottom) (left|centre|right)|top|bottom|left|right|middle"
_THING = rf"({_COLOUR}) ({_one(*SHAPES)})"
_FACT = rf"{_one(*FOODS, *CITIES)}|{_NUMBER}"
_FORMS: dict[tuple[str, str], str] = {
    ("story", "feeling"): "happy|sad", ("story", "where"): _one(*PLACES), ("story", "animal"): _one(*ANIMALS),
    ("story", "colour"): _COLOUR, ("story", "has"): rf"{_NAME}|{NOBODY}", ("story", "found"): _NAME,
    ("scripts", "language"): _one(*LANGUAGES), ("facts", "once"): _FACT, ("facts", "overwritten"): _FACT,
    ("arithmetic", "add"): _NUMBER, ("arithmetic", "subtract"): _NUMBER, ("arithmetic", "multiply"): _NUMBER,
    ("arithmetic", "larger"): _NUMBER, ("tools", "sum answer"): r"-?\d+", ("tools", "older answer"): _NAME,
    ("tools", "lookup answer"): rf"{_one(*CITIES)}|{_NUMBER}", ("json", "read"): rf"{_FACT}|{_one(*ANIMALS)}",
    ("shapes", "colour"): _COLOUR, ("shapes", "shape"): _one(*SHAPES), ("shapes", "where"): _WHERE,
    ("shapes", "at"): rf"{_THING}|{NOTHING}", ("shapes", "count"): _NUMBER, ("shapes", "count some"): _NUMBER,
    ("shapes", "size"): "big|small", ("shapes", "larger"): _THING, ("shapes", "relation"): f"{YES}|{NO}",
    ("shapes", "which"): "first|second",
    ("shapes", "describe"): rf"({_WHERE}) (big|small) {_THING}(, ({_WHERE}) (big|small) {_THING})*",
    ("digits", "digit"): r"\d", ("digits", "number"): r"\d\d", ("digits", "digit colour"): _COLOUR,
    ("digits", "number colour"): _COLOUR, ("charts", "taller"): _COLOUR, ("charts", "tallest"): _COLOUR,
    ("charts", "shortest"): _COLOUR, ("charts", "height"): _NUMBER, ("charts", "bars"): _NUMBER,
    ("clips", "direction"): "up|down|left|right", ("clips", "start"): _WHERE, ("clips", "end"): _WHERE,
    ("clips", "count"): _NUMBER, ("clips", "first"): _THING, ("clips", "last"): _THING, ("clips", "moves"): _THING,
    ("clips", "stays"): _THING,
}  # fmt: skip
