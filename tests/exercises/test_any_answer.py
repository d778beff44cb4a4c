"""Whatever is handed in, a checker answers in a sentence: nothing is raised, and nothing odd is taken for right."""

import math

import pytest
import torch

from qwen35_lab.exercises import CHECKS, WRONG
from qwen35_lab.exercises.numbers import MOST_SHOWN, as_number, as_whole, numbers_of, shown
from qwen35_lab.exercises.verdict import run_check
from qwen35_lab.exercises.wrong.costs import FACTORS, ROW

LONGEST = 450  # characters
ODD = {
    "NaN": math.nan, "infinity": math.inf, "less than nothing": -1, "a huge number": 10**400,
    "a huger one": -(10**5000), "no text": "", "None": None, "no list": [], "no dict": {}, "truth": True,
    "an object": object(), "a type": int, "a complex number": 1j, "long text": "x" * 5000,
    "no tensor": torch.zeros(0), "a tensor of NaN": torch.tensor(math.nan), "a complex tensor": torch.tensor(1j),
    "two tensors": (torch.zeros(3, 2), torch.full((4,), math.nan)), "two infinities": (math.inf, math.inf),
    "lists of lists": [[1], [2, 3]], "three huge numbers": (10**400,) * 3,
}  # fmt: skip
# answers of the right form with something odd in its place
WITHIN = {
    "01.1": [lambda odd: lambda text, encode: odd if len(text) % 2 else None],
    "01.3": [lambda odd: [odd] * 5, lambda odd: ["A", "B", "C", "D", odd]],
    "03.3": [lambda odd: ([(odd, "red")], "cat"), lambda odd: ([("cat", odd)], "cat"),
             lambda odd: ([("cat", "red")], odd), lambda odd: (odd, "cat"), lambda odd: ([odd], "cat")],
    "05.3": [lambda odd: lambda served, config: (True, odd), lambda odd: lambda served, config: (odd, 5)],
    "06.3": [lambda odd: dict.fromkeys(FACTORS, odd), lambda odd: {"all attention": odd}],
    "07.1": [lambda odd: lambda logits, k: (odd, odd), lambda odd: lambda logits, k: (logits.topk(k).indices, odd)],
    "08.1": [lambda odd: lambda parts: [[odd] * 5] * 3],
    "08.2": [lambda odd: lambda height, width, most: (odd, 320), lambda odd: lambda height, width, most: (odd, odd)],
    "08.3": [lambda odd: (odd,) * 3, lambda odd: (1, 2, odd)],
    "10.1": [lambda odd: [odd] * 8, lambda odd: [0.28125, 1.0, 1.25, 3.25, 20.0, -96.0, 448.0, odd]],
    "10.2": [lambda odd: lambda w, block: (odd, odd), lambda odd: lambda w, block: (w, odd)],
    "10.3": [lambda odd: ["experts", odd], lambda odd: [[odd]]],
    "11.2": [lambda odd: ROW | {"usd_in": odd}, lambda odd: ROW | {"source": odd}, lambda odd: ROW | {"date": odd}],
    "11.3": [lambda odd: (odd, "model"), lambda odd: ("aime", odd)],
    "13.1": [lambda odd: lambda text: [(odd, {})], lambda odd: lambda text: [("run", odd)],
             lambda odd: lambda text: [("run", {"code": odd})], lambda odd: lambda text: [odd]],
    "13.2": [lambda odd: lambda written, tokens, valid: [odd] * len(tokens)],
}  # fmt: skip


def raises(*args):
    raise ArithmeticError("a shore too far")


def answers(exercise):
    yield "a function that raises", raises
    yield "a function of nothing", lambda: 1
    for name, odd in ODD.items():
        yield name, odd
        yield f"a function that returns {name}", lambda *args, odd=odd: odd
        for n, within in enumerate(WITHIN.get(exercise, ())):
            yield f"{name} inside, {n}", within(odd)


def fault(exercise, answer, given):
    """What is wrong with how an odd answer is judged; empty if nothing is."""
    try:
        verdict = run_check(CHECKS, exercise, answer, given)
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"[:200]
    if verdict:
        return f"taken for right: {verdict}"[:200]
    good = verdict.message.rstrip()[-1:] in (".", "?") and len(verdict.message) <= LONGEST
    return "" if good else f"no sentence: {verdict.message[:100]} … {verdict.message[-60:]}"


@pytest.mark.parametrize("exercise", CHECKS)
def test_every_answer_gets_a_sentence(exercise):
    given = next((mistake.given() for mistake in WRONG[exercise] if mistake.given), None)
    found = {name: fault(exercise, answer, given) for name, answer in answers(exercise)}
    assert {name: said for name, said in found.items() if said} == {}


# ------------------------------------------------------------------------- numbers, and what is none


@pytest.mark.parametrize(
    "value, number, whole",
    [
        (3, 3.0, 3), (2.5, 2.5, None), (torch.tensor([4.0]), 4.0, 4), (10**400, math.inf, None),
        (-(10**400), -math.inf, None), ("3", None, None), (True, None, None), (1j, None, None), (None, None, None),
        (torch.zeros(2), None, None), (torch.tensor(1j), None, None),
    ],
)  # fmt: skip
def test_what_counts_as_a_number(value, number, whole):
    assert as_number(value) == number and as_whole(value) == whole


def test_numbers_are_gathered_up_to_the_first_that_is_none():
    assert numbers_of(lambda n: 2 * n, [(1,), (2,)], "(n)") == ([2.0, 4.0], "")
    found, problem = numbers_of(lambda n: n if n < 3 else "three", [(1,), (2,), (3,)], "(n)", "a count")
    assert found == [1.0, 2.0] and problem == "It returns a str; return a count."
    assert "NaN" in numbers_of(lambda n: math.nan, [(1,)], "(n)")[1]
    assert "a Tensor of shape [2]; return" in numbers_of(lambda n: torch.zeros(2), [(1,)], "(n)")[1]


def test_what_is_shown_of_an_answer_stays_short():
    assert shown([1, "a"]) == "[1, 'a']" and shown(10**5000) == "a number that is too long to show"
    assert len(shown("x" * 5000)) <= MOST_SHOWN + 3 and shown("x" * 5000).startswith("'xxx")
