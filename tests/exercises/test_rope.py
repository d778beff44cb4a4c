"""Exercises 05.1 and 05.2: right answers pass however they are written, wrong ones are told what is wrong."""

import pytest
import torch
from answers import written

import qwen35_lab as lab
from qwen35_lab.exercises.rope import (
    ROPE_MISTAKES,
    YARN_MISTAKES,
    apply_partial_rope,
    rope_inputs,
    yarn_divisors,
    yarn_inputs,
)

# ------------------------------------------------------------------------- 05.1  apply_partial_rope

ROPE = """
    def apply_partial_rope(x, positions, theta, rotated, section):
        half = rotated // 2
        speed = theta ** (-2 * torch.arange(half) / rotated)
        follow = torch.zeros(half, dtype=torch.long)
        follow[1 : 3 * section[1] : 3] = 1
        follow[2 : 3 * section[2] : 3] = 2
        angle = positions[follow].T * speed
        c, s = angle.cos()[:, None], angle.sin()[:, None]
        a, b, still = x[..., :half], x[..., half:rotated], x[..., rotated:]
        return torch.cat((a * c - b * s, b * c + a * s, still), dim=-1)
"""
PARTS = "a, b, still = x[..., :half], x[..., half:rotated], x[..., rotated:]"
BACK = "return torch.cat((a * c - b * s, b * c + a * s, still), dim=-1)"
FIRST, SECOND = "follow[1 : 3 * section[1] : 3] = 1", "follow[2 : 3 * section[2] : 3] = 2"


def by_complex_numbers(x, positions, theta, rotated, section):
    half = rotated // 2
    where = [n % 3 if n % 3 and n < 3 * section[n % 3] else 0 for n in range(half)]
    angle = torch.stack([positions[axis] * theta ** (-n / half) for n, axis in enumerate(where)], dim=-1)
    z = torch.complex(x[..., :half], x[..., half:rotated]) * torch.exp(1j * angle)[:, None]
    return torch.cat((z.real, z.imag, x[..., rotated:]), dim=-1)


@pytest.mark.parametrize("answer", [written(ROPE), by_complex_numbers, written(ROPE, ("angle = ", "angle = 1.0 * "))])
def test_a_right_rotation_passes_however_it_is_written(answer):
    verdict = lab.check("05.1", answer)
    assert verdict, verdict


WRONG_ROPE = {
    "You rotate all features": [("half = rotated // 2", "rotated = x.shape[-1]; half = rotated // 2")],
    "You pair neighbours": [
        (PARTS, "a, b, still = x[..., 0:rotated:2], x[..., 1:rotated:2], x[..., rotated:]"),
        (BACK, "z = torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2); return torch.cat((z, still), -1)"),
    ],
    "Wrong sign: you turn the other way": [("a * c - b * s, b * c + a * s", "a * c + b * s, b * c - a * s")],
    "The minus is missing": [("a * c - b * s", "a * c + b * s")],
    "cos and sin are exchanged": [("angle.cos()[:, None], angle.sin()", "angle.sin()[:, None], angle.cos()")],
    "a block of pairs each": [
        (FIRST, "follow[section[0] : section[0] + section[1]] = 1"),
        (SECOND, "follow[section[0] + section[1] : sum(section)] = 2"),
    ],
    "all pairs follow the time": [(FIRST, "pass"), (SECOND, "pass")],
    "height and width are exchanged": [
        (FIRST, "follow[2 : 3 * section[2] : 3] = 1"), (SECOND, "follow[1 : 3 * section[1] : 3] = 2"),
    ],
    "you take turns to the end": [(FIRST, "follow[1::3] = 1"), (SECOND, "follow[2::3] = 2")],
    "The exponent runs over the whole head": [("/ rotated)", "/ x.shape[-1])")],
    "The exponent is half": [("(-2 * torch", "(-torch")],
    "You rotate the last features": [
        (PARTS, "still, a, b = x[..., :-rotated], *x[..., -rotated:].chunk(2, -1)"),
        (BACK, "return torch.cat((still, a * c - b * s, b * c + a * s), dim=-1)"),
    ],
    "Nothing is rotated yet": [(BACK, "return x")],
    "returns nothing yet": [(BACK, "return None")],
    "must take five arguments": [
        ("theta, rotated, section)", "theta, rotated)"),
        ("half = rotated // 2", "half, section = rotated // 2, (3, 3, 2)"),
    ],
    "not a mistake this checker knows": [("theta **", "2 * theta **")],
    "The function changes its input": [("half = rotated // 2", "half = rotated // 2; x += 1")],
    "it returns shape": [("b * c + a * s, still", "b * c + a * s")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_ROPE.items(), ids=list(WRONG_ROPE))
def test_a_wrong_rotation_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("05.1", written(ROPE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


# ------------------------------------------------------------------------- 05.2  yarn_divisors

YARN = """
    def yarn_divisors(own, native, factor, beta_fast, beta_slow):
        def pair(times):
            return math.log(native / (times * 2 * math.pi)) / math.log(own[0] / own[1])

        low, high = math.floor(pair(beta_fast)), math.ceil(pair(beta_slow))
        low, high = max(low, 0), min(high, 2 * len(own) - 1)
        keep = 1 - ((torch.arange(len(own)).double() - low) / (high - low)).clamp(0, 1)
        new = keep * own + (1 - keep) * own / factor
        return own / new
"""
KEEP = "keep = 1 - ((torch.arange(len(own)).double() - low) / (high - low)).clamp(0, 1)"
NEW, OUT = "new = keep * own + (1 - keep) * own / factor", "return own / new"


def by_theta(own, native, factor, beta_fast, beta_slow):
    rotated = 2 * len(own)
    theta = float(own[1]) ** (-rotated / 2)
    ends = [
        rotated * math_log(native / (b * 6.283185307179586)) / (2 * math_log(theta)) for b in (beta_fast, beta_slow)
    ]
    low, high = max(0, int(ends[0] // 1)), min(rotated - 1, -int(-ends[1] // 1))
    divisors = []
    for n in range(len(own)):
        slow = min(1, max(0, (n - low) / (high - low)))
        divisors.append(1 / (1 - slow + slow / factor))
    return torch.tensor(divisors, dtype=own.dtype)


def math_log(x):
    return float(torch.tensor(x, dtype=torch.float64).log())


@pytest.mark.parametrize("answer", [written(YARN), by_theta])
def test_a_right_ramp_passes_however_it_is_written(answer):
    verdict = lab.check("05.2", answer)
    assert verdict, verdict


WRONG_YARN = {
    "You blend wavelengths": [(OUT, "return keep + (1 - keep) * factor")],
    "The ramp runs the wrong way": [(KEEP, KEEP.replace("1 - (", "("))],
    "beta_fast and beta_slow are exchanged": [("factor, beta_fast, beta_slow", "factor, beta_slow, beta_fast")],
    "The ends of the ramp are not whole pairs": [("math.floor", "float"), ("math.ceil", "float")],
    "The 2π is missing": [("times * 2 * math.pi", "times")],
    "linear in the number of turns": [(KEEP, "r = native * own / (2 * math.pi); keep = ((r - beta_slow) / "
                                             "(beta_fast - beta_slow)).clamp(0, 1)")],
    "that is position interpolation": [(NEW, "new = own / factor")],
    "NTK-aware": [(OUT, "return factor ** (torch.arange(len(own)).double() / (len(own) - 1))")],
    "There is no ramp": [(KEEP, "keep = (native * own / (2 * math.pi) >= beta_slow).double()")],
    "how much of its speed each pair keeps": [(OUT, "return keep")],
    "as a share of the old": [(OUT, "return new / own")],
    "You return the new speeds": [(OUT, "return new")],
    "stay in float64": [("own / new", "(own / new).bfloat16().double() * 0 + (own / new).float() * (1 + 1e-5)")],
    "not a mistake this checker knows": [("/ factor", "/ factor ** 2")],
    "returns nothing yet": [(OUT, "return None")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_YARN.items(), ids=list(WRONG_YARN))
def test_a_wrong_ramp_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("05.2", written(YARN, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


# ------------------------------------------------------------------------- the mistakes themselves

SETS = [
    (ROPE_MISTAKES, rope_inputs, apply_partial_rope, WRONG_ROPE),
    (YARN_MISTAKES, yarn_inputs, yarn_divisors, WRONG_YARN),
]


@pytest.mark.parametrize("mistakes, inputs, oracle, wrong", SETS, ids=["rope", "yarn"])
def test_every_known_mistake_is_made_here_and_told_apart(mistakes, inputs, oracle, wrong):
    for mistake in mistakes:
        assert sum(diagnosis in mistake.diagnosis for diagnosis in wrong) == 1, mistake.diagnosis
    results = [[m.answer(*args) for args in inputs()] for m in mistakes] + [[oracle(*args) for args in inputs()]]
    for n, one in enumerate(results):
        for other in results[:n]:
            assert any(not torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(one, other, strict=True))
