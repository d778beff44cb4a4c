"""The evaluator agrees with Python, and refuses what it does not know."""

import contextlib
import io

import pytest

from qwen35_lab.nano import world
from qwen35_lab.nano.world import evaluator, snippets
from qwen35_lab.nano.world.dice import Dice


def python(source: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, {})
    return printed.getvalue().removesuffix("\n")


@pytest.mark.parametrize("form", range(len(snippets.PROGRAMS)))
def test_it_prints_what_python_prints(form):
    for n in range(80):
        chance = Dice(n)
        start = chance.between(1, 20)
        source = snippets.PROGRAMS[form](chance, start).replace("{gap}", str(start))
        assert evaluator.run(source) == python(source)


@pytest.mark.parametrize(
    "source",
    [
        "print(7 // 2, -7 // 2, 7 % 3, -7 % 3)", 'print("a" * 3 + "b", len("abc"), "abc"[1], [1, 2][-1])',
        "x = 3\nif x >= 3:\n    if x != 3:\n        print(1)\n    else:\n        print(True, x == 3)",
        'for c in "ab":\n    for i in range(1, 6, 2):\n        print(c, i)',
        "print([1, 'a'], sum([1, 2]), str(5) + '!')",
        "def f(a, b):\n    return a * b\nprint(f(f(1, 2), 3))", "print(min(3, 1, 2), abs(-4), 1 < 2)",
        "a = 1\na *= 5\nprint(a)",
        "print()",
    ],
)  # fmt: skip
def test_it_knows_the_rest_of_its_language(source):
    assert evaluator.run(source) == python(source)


def test_a_trace_names_every_assignment():
    assert evaluator.trace("a = 2\nfor i in range(2):\n    a += i\nb = 'x'\nprint(a)") == [
        "a = 2",
        "a = 2",
        "a = 3",
        "b = 'x'",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import os", "print(open('x'))", "__import__('os')", "print(().__class__)", "while True:\n    pass",
        "print(x)", "print(1", "a = [1]\nb = [a, a]", "print([[]] * 3)",
        "a = [1]\nprint(a[3])", "print(1 / 2)", "print(1 // 0)", "print('a' + 1)", "print(2 ** 9)", "a, b = 1, 2",
        "print(*[1])",
        "def f(x):\n    return f(x)\nprint(f(1))", "for i in range(3000):\n    print(i)", "print('%999999999d' % 1)",
        "print('a' * 99999999999)", "print(999999 * 999999 * 999999)", "print(f'{1}')", "print((lambda: 1)())",
        "for i in range(10000000000000):\n    print(i)", "print(1.5)", "print(None)", "print('a'.upper())",
        "print(1 < 2 < 3)",
        "def f(x):\n    return x\nprint(f(1, 2))", "print(len(1))", "print([1] * 5000)", "a = [1]\na[0] = 2",
        "(" * 500 + ")" * 500,
        "def f(x):\n    return x + x\nprint(f(f(f(f(f(f(f(f(f('aaaaaaaa'))))))))))", "print(range('a'))",
        "for i in range(99):\n    for j in range(99):\n        a = 1",
        "print(5 % 0)", "print('a' % 3)",
    ],
)  # fmt: skip
def test_what_it_does_not_know_or_cannot_finish_is_refused(source):
    with pytest.raises(evaluator.SnippetError):
        evaluator.run(source)


def test_snippets_ask_for_what_they_print():
    kinds = set()
    for n in range(200):
        sample = world.draw("code", 0, n)
        question = sample.questions[0]
        source = sample.messages[0]["content"].split("```")[1].removeprefix("python\n")
        if question.type == "print":
            assert python(source) == question.answer
        else:
            assert python(source.replace("?", question.answer)) == question.facts["prints"]
        kinds.add(question.type)
    assert kinds == {"print", "fill"}
