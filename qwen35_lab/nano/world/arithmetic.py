"""Arithmetic, worked digit by digit in the thinking lane.

    47 + 85 = ?
    7 + 5 = 12, write 2, carry 1
    4 + 8 + 1 = 13, write 3, carry 1
    write 1
    2 3 1 backwards is 132

Numbers are worked from their last digit, because that is where a carry comes from; the answer turns the digits round.
"""

from ...errors import InputError
from .dice import Dice, held_out
from .sample import Question, Sample, assistant, user

HELD_OUT = 4
DIGITS = (1, 1, 2, 2, 2, 3, 3)  # of an operand, as training draws them
TYPES = {"add": "+", "subtract": "-", "multiply": "*"}


def arithmetic(dice: Dice, new: bool, *, digits: int | None = None) -> Sample:
    """A sum, a difference or a product by one digit, with its working; or which of two numbers is larger.

    Operand pairs of which one has two digits or more: in "valid" and "test" only pairs that training never shows.
    The sums of single digits are all in training.

    Args:
        digits: of the first operand, and of the second one unless it is a factor; as trained if not given.
    Raises:
        InputError: one digit, where pairs that are new to training are asked for.
    """
    if digits is not None and (digits < 1 or (digits == 1 and new)):
        raise InputError(
            "All pairs of single digits are in training; ask for two digits or more, or for another split."
        )
    doing = dice.pick(("add", "add", "subtract", "subtract", "multiply", "larger"))

    def draw() -> tuple[int, int]:
        first = _number(dice, digits or dice.pick(DIGITS))
        second = dice.between(2, 9) if doing == "multiply" else _number(dice, digits or dice.pick(DIGITS))
        return (max(first, second), min(first, second)) if doing == "subtract" else (first, second)

    code = ("add", "subtract", "multiply", "larger").index(doing)
    a, b = dice.until(draw, lambda pair: fits(code, *pair, new))
    if doing == "larger":
        return _solved("larger", f"Which is larger, {a} or {b}?", str(max(a, b)), None)
    working, answer = {"add": add, "subtract": subtract, "multiply": multiply}[doing](a, b)
    aloud = a < 10 and b < 10 and dice.chance(0.5)  # small ones are also told without thinking
    return _solved(doing, f"{a} {TYPES[doing]} {b} = ?", answer, None if aloud else working)


def fits(code: int, a: int, b: int, new: bool) -> bool:
    """Whether a pair belongs to training (not `new`) or is held out (`new`).

    Args:
        code: 0 add, 1 subtract, 2 multiply, 3 compare; the calculator's calls follow the same rule.
    """
    if code == 3 and a == b:
        return False  # neither is larger
    if a < 10 and b < 10:
        return not new
    pair = (a, b) if code == 2 else (min(a, b), max(a, b))  # 47 + 85 and 85 + 47 are one pair
    return held_out(HELD_OUT, code, *pair) == new


def _number(dice: Dice, digits: int) -> int:
    return dice.between(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1)


def _solved(kind: str, question: str, answer: str, working: str | None) -> Sample:
    messages = [user(question), assistant(answer, working)]
    return Sample("arithmetic", messages, (Question(kind, answer, 1),), thinking=working is not None)


def add(a: int, b: int) -> tuple[str, str]:
    """The working of a + b, and the sum."""
    lines, written, carry = [], [], 0
    first, second = str(a)[::-1], str(b)[::-1]
    for n in range(max(len(first), len(second))):
        terms = [column[n] for column in (first, second) if n < len(column)] + ["1"] * carry
        total = sum(map(int, terms))
        carry = total // 10
        written.append(str(total % 10))
        lines.append(f"{' + '.join(terms)} = {total}, write {written[-1]}" + ", carry 1" * carry)
    if carry:
        written.append("1")
        lines.append("write 1")
    return _end(lines, written)


def subtract(a: int, b: int) -> tuple[str, str]:
    """The working of a − b ≥ 0, and the difference."""
    lines, written, borrow = [], [], 0
    first, second = str(a)[::-1], str(b)[::-1]
    for n, digit in enumerate(first):
        terms = [digit] + ([second[n]] if n < len(second) else []) + ["1"] * borrow
        total = int(terms[0]) - sum(map(int, terms[1:]))
        borrow = int(total < 0)
        if borrow:
            terms[0] = f"1{digit}"
            total += 10
        written.append(str(total))
        lines.append(f"{' - '.join(terms)} = {total}, write {total}" + ", borrow 1" * borrow)
    return _end(lines, written)


def multiply(a: int, b: int) -> tuple[str, str]:
    """The working of a · b with 1 ≤ b ≤ 9, and the product."""
    lines, written, carry = [], [], 0
    for digit in str(a)[::-1]:
        total = int(digit) * b + carry
        plus = f" + {carry}" if carry else ""
        carry = total // 10
        written.append(str(total % 10))
        lines.append(f"{digit} * {b}{plus} = {total}, write {written[-1]}" + (f", carry {carry}" if carry else ""))
    if carry:
        written.append(str(carry))
        lines.append(f"write {carry}")
    return _end(lines, written)


def _end(lines: list[str], written: list[str]) -> tuple[str, str]:
    answer = "".join(reversed(written)).lstrip("0") or "0"
    return "\n".join([*lines, f"{' '.join(written)} backwards is {answer}"]), answer
