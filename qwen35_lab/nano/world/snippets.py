"""Small Python-like snippets: what does it print, and which number is missing.

The truth comes from the evaluator, which also judges a filled-in line: whatever prints the same is right.
"""

from collections.abc import Callable

from .dice import Dice
from .evaluator import run, trace
from .sample import Question, Sample, assistant, user

GAP = "?"  # stands where a number is missing
VARIABLES = ("a", "b", "c", "n", "x", "y")
WORDS = ("cat", "dog", "sun", "tea", "box", "red", "blue", "moon", "star", "tree")

# A program with the number that may be missing marked as {gap}, which is `start` in truth.
Program = Callable[[Dice, int], str]


def snippets(dice: Dice, new: bool) -> Sample:
    """One program. In "valid" and "test" its form and first number are a pair that training never shows.

    Those are, for the n-th form, the numbers that end in n.
    """
    form, start = dice.until(
        lambda: (dice.below(len(PROGRAMS)), dice.between(1, 20)),
        lambda pair: (pair[1] % 10 == pair[0]) == new,
    )
    program = PROGRAMS[form](dice, start)
    source = program.replace("{gap}", str(start))
    printed = run(source)
    if dice.chance(0.35) and "{gap}" in program:
        gapped = program.replace("{gap}", GAP)
        text = f"```python\n{gapped}\n```\nIt prints {printed.split(chr(10))[-1]}. Which number is missing?"
        asked = Question("fill", str(start), 1, {"program": gapped, "prints": printed})
        return Sample("code", [user(text), assistant(str(start))], (asked,))
    thinking = dice.chance(0.5)
    reasoning = "\n".join(trace(source)) if thinking else None
    text = f"```python\n{source}\n```\nWhat does it print?"
    return Sample("code", [user(text), assistant(printed, reasoning)], (Question("print", printed, 1),), (), thinking)


def fill(program: str, number: str) -> str:
    """The program with its gap filled."""
    return program.replace(GAP, number)


def _straight(dice: Dice, start: int) -> str:
    a, b = dice.some(VARIABLES, 2)
    return f"{a} = {{gap}}\n{b} = {a} {dice.pick('+-')} {dice.between(1, 9)}\nprint({b})"


def _two(dice: Dice, start: int) -> str:
    a, b = dice.some(VARIABLES, 2)
    return f"{a} = {{gap}}\n{b} = {dice.between(1, 9)}\nprint({a} {dice.pick('+-')} {b})"


def _again(dice: Dice, start: int) -> str:
    a = dice.pick(VARIABLES)
    return f"{a} = {{gap}}\n{a} += {dice.between(1, 9)}\n{a} -= {dice.between(1, 9)}\nprint({a})"


def _branch(dice: Dice, start: int) -> str:
    """No gap: many numbers would do."""
    a, yes, no = dice.pick(VARIABLES), *dice.some(WORDS, 2)
    test = f"{a} {dice.pick(('>', '<'))} {dice.between(1, 20)}"
    return f'{a} = {start}\nif {test}:\n    print("{yes}")\nelse:\n    print("{no}")'


def _loop(dice: Dice, start: int) -> str:
    a = dice.pick(VARIABLES)
    body = dice.pick((f"{a} += i", f"{a} += {dice.between(1, 4)}"))
    return f"{a} = {{gap}}\nfor i in range({dice.between(2, 4)}):\n    {body}\nprint({a})"


def _count(dice: Dice, start: int) -> str:
    """No gap: the lines that are printed show it."""
    return f"for i in range({dice.between(2, 4)}):\n    print(i + {start})"


def _list(dice: Dice, start: int) -> str:
    numbers = dice.shuffled([str(dice.between(1, 20)) for _ in range(dice.between(1, 3))] + [str(start)])
    call = dice.pick((f"a[{dice.below(len(numbers))}]", "len(a)", "max(a)", "min(a)", "a[-1]"))
    return f"a = [{', '.join(numbers)}]\nprint({call})"


def _text(dice: Dice, start: int) -> str:
    first, second = dice.some(WORDS, 2)
    call = dice.pick(("a + b", "len(a)", "b + a", "a[0]", f"a * {start % 3 + 1}"))
    return f'a = "{first}"\nb = "{second}"\nprint({call})'


def _function(dice: Dice, start: int) -> str:
    return f"def f(x):\n    return x {dice.pick('+-')} {dice.between(1, 9)}\n\nprint(f({{gap}}))"


PROGRAMS: tuple[Program, ...] = (
    _straight, _two, _again, _branch, _loop, _count, _list, _text, _function,
)  # fmt: skip
