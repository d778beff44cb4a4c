"""The exercises of notebook 05 on rotation: a partial rotation with three positions, and the ramp of YaRN."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..config import RopeConfig
from ..model.rope import inverse_frequencies, rotary_angles, rotate
from .verdict import Mistake, attempt, grade_function

Section = tuple[int, int, int]  # rotary pairs for time, height, width

# ------------------------------------------- 05.1  apply_partial_rope(x, positions, theta, rotated, section)


def apply_partial_rope(x: Tensor, positions: Tensor, theta: float, rotated: int, section: Section) -> Tensor:
    """The oracle: what the model does. x [token, head, feature], positions [3, token]."""
    rope = RopeConfig(theta=theta, partial_rotary_factor=rotated / x.shape[-1], mrope_section=section)
    cos, sin = rotary_angles(positions[:, None], x.shape[-1], rope, x.dtype)
    return rotate(x[None], cos, sin)[0]


def rope_inputs(seed: int = 0) -> list[tuple]:
    """A text, pictures in a text, and one token; heads that turn in part and, once, as a whole."""
    draw = torch.Generator().manual_seed(seed)
    found = []
    for tokens, heads, size, rotated, section in (
        (5, 2, 32, 8, (2, 1, 1)), (9, 3, 16, 8, (1, 1, 1)), (12, 2, 256, 64, (11, 11, 10)), (1, 1, 16, 4, (1, 1, 0)),
        (7, 2, 48, 24, (6, 4, 2)), (4, 1, 16, 16, (3, 3, 2)),
    ):  # fmt: skip
        x = torch.randn(tokens, heads, size, generator=draw)
        places = torch.randint(0, 60, (3, tokens), generator=draw)
        found.append((x, places, 1e4, rotated, section))
    x = torch.randn(6, 2, 32, generator=draw)
    return [*found, (x, torch.arange(100, 106).expand(3, -1).clone(), 1e7, 16, (3, 3, 2))]


def _interleaved(pairs: int, section: Section, axes: tuple[int, int] = (1, 2)) -> list[int]:
    """Which position each pair follows: 1, 4, 7, … the height and 2, 5, 8, … the width, as far as their sections go."""
    return [
        next((axis for offset, axis in ((1, axes[0]), (2, axes[1])) if n % 3 == offset and n < 3 * section[offset]), 0)
        for n in range(pairs)
    ]


def _blocks(pairs: int, section: Section) -> list[int]:
    axes = [0] * section[0] + [1] * section[1] + [2] * section[2]
    return (axes + [0] * pairs)[:pairs]


def _rope(
    x: Tensor, positions: Tensor, theta: float, rotated: int, section: Section, *, follow: Callable = _interleaved,
    over: int | None = None, step: int = 2, whole: bool = False, last: bool = False, neighbours: bool = False,
    mix: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = lambda a, b, c, s: (a * c - b * s,
                                                                                                   b * c + a * s),
) -> Tensor:  # fmt: skip
    """The rotation, with something about it done wrongly."""
    size = x.shape[-1]
    rotated = size if whole else rotated
    pairs = rotated // 2
    speed = theta ** (-step * torch.arange(pairs) / (size if over else rotated))
    angle = positions[follow(pairs, section)].T * speed  # [token, pair]
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    start = size - rotated if last else 0
    turning = x[..., start : start + rotated]
    first, second = (turning[..., 0::2], turning[..., 1::2]) if neighbours else turning.chunk(2, -1)
    a, b = mix(first, second, cos, sin)
    turned = torch.stack((a, b), -1).flatten(-2) if neighbours else torch.cat((a, b), -1)
    return torch.cat((x[..., :start], turned, x[..., start + rotated :]), -1)


def _wrong(**how: Any) -> Callable[..., Tensor]:
    return lambda *args: _rope(*args, **how)


ROPE_MISTAKES = (
    Mistake(
        "You rotate all features of a head; only the first `rotated` of them turn, the rest stay as they are.",
        _wrong(whole=True),
    ),
    Mistake(
        "You pair neighbours, (0, 1), (2, 3), …; this family pairs the two halves of the rotated part, (i, i + half).",
        _wrong(neighbours=True),
    ),
    Mistake(
        "Wrong sign: you turn the other way. The first of a pair becomes a·cos − b·sin, the second b·cos + a·sin.",
        _wrong(mix=lambda a, b, c, s: (a * c + b * s, b * c - a * s)),
    ),
    Mistake(
        "The minus is missing: the first of a pair becomes a·cos − b·sin. With + in both, lengths change.",
        _wrong(mix=lambda a, b, c, s: (a * c + b * s, b * c + a * s)),
    ),
    Mistake(
        "cos and sin are exchanged: at angle 0 nothing may change.",
        _wrong(mix=lambda a, b, c, s: (a * s - b * c, b * s + a * c)),
    ),
    Mistake(
        "Wrong section: you give time, height and width a block of pairs each. Here they take turns: pair 0 time, 1 "
        "height, 2 width, 3 time, …",
        _wrong(follow=_blocks),
    ),
    Mistake(
        "Wrong section: all pairs follow the time. Pairs 1, 4, 7, … follow the height and 2, 5, 8, … the width.",
        _wrong(follow=lambda pairs, section: [0] * pairs),
    ),
    Mistake(
        "Wrong section: height and width are exchanged. Pairs 1, 4, 7, … follow the height, 2, 5, 8, … the width.",
        _wrong(follow=lambda pairs, section: _interleaved(pairs, section, (2, 1))),
    ),
    Mistake(
        "Wrong section: you take turns to the end. Height has section[1] pairs and width section[2]; the others follow "
        "the time.",
        _wrong(follow=lambda pairs, section: [n % 3 for n in range(pairs)]),
    ),
    Mistake(
        "The exponent runs over the whole head; it runs over the rotated part, θ^(−2i / rotated).",
        _wrong(over=1),
    ),
    Mistake("The exponent is half of what it should be: pair i turns by θ^(−2i / rotated).", _wrong(step=1)),
    Mistake("You rotate the last features of a head; it is the first ones that turn.", _wrong(last=True)),
    Mistake("Nothing is rotated yet.", lambda x, *rest: x),
)


def check_rope(answer: Any, given: Any) -> tuple[bool, str]:
    names = "(x, positions, theta, rotated, section)"
    return grade_function(answer, apply_partial_rope, rope_inputs(), ROPE_MISTAKES, arguments=names, any_dtype=True)


# ------------------------------------------- 05.2  yarn_divisors(own, native, factor, beta_fast, beta_slow)

EXACT = 1e-6


def yarn_divisors(own: Tensor, native: int, factor: float, beta_fast: float, beta_slow: float) -> Tensor:
    """The oracle: what the model does. own [pair], radians per position as trained, float64 -> [pair]."""
    pairs = len(own)
    rope = RopeConfig(
        theta=float(own[0] / own[1]) ** pairs, partial_rotary_factor=1, type="yarn", factor=factor, beta_fast=beta_fast,
        beta_slow=beta_slow, original_max_position_embeddings=native,
    )  # fmt: skip
    return own / inverse_frequencies(2 * pairs, rope, own.dtype)[0]


def yarn_inputs() -> list[tuple]:
    """The official clocks at three factors, and others: a short training, few pairs, other betas."""
    found = []
    for theta, pairs, native, factor, fast, slow in (
        (1e7, 32, 262_144, 4.0, 32, 1), (1e7, 32, 262_144, 2.0, 32, 1), (1e4, 8, 4096, 4.0, 32, 1),
        (1e6, 64, 32_768, 4.0, 32, 1), (1e7, 32, 262_144, 3.0, 16, 2), (1e5, 24, 10_000, 8.0, 48, 0.5),
    ):  # fmt: skip
        own = theta ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
        found.append((own, native, factor, fast, slow))
    return found


def _ramp(
    own: Tensor, native: int, factor: float, fast: float, slow: float, *, turn: float = 2 * math.pi, whole: bool = True,
    blend: Callable[[Tensor, float], Tensor] = lambda keep, factor: 1 / (keep + (1 - keep) / factor),
) -> Tensor:  # fmt: skip
    """The ramp, with something about it done wrongly."""

    def pair_that_turns(times: float) -> float:
        return math.log(native / (times * turn)) / math.log(float(own[0] / own[1]))

    low, high = pair_that_turns(fast), pair_that_turns(slow)
    if whole:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * len(own) - 1)
    keep = 1 - ((torch.arange(len(own), dtype=own.dtype) - low) / ((high - low) or 0.001)).clamp(0, 1)
    return blend(keep, factor)


def _paper(own: Tensor, native: int, factor: float, fast: float, slow: float) -> Tensor:
    """Linear in the number of turns, as in the paper's eq. 18."""
    keep = ((native * own / (2 * math.pi) - slow) / (fast - slow)).clamp(0, 1)
    return 1 / (keep + (1 - keep) / factor)


YARN_MISTAKES = (
    Mistake(
        "You blend wavelengths (or divisors); YaRN blends the speeds, keep · ω + (1 − keep) · ω / factor.",
        lambda *args: _ramp(*args, blend=lambda keep, factor: keep + (1 - keep) * factor),
    ),
    Mistake(
        "The ramp runs the wrong way: fast pairs keep their speed, slow ones are divided.",
        lambda *args: _ramp(*args, blend=lambda keep, factor: 1 / (1 - keep + keep / factor)),
    ),
    Mistake(
        "beta_fast and beta_slow are exchanged: above beta_fast turns a pair is left alone, below beta_slow it is "
        "divided.",
        lambda own, native, factor, fast, slow: _ramp(own, native, factor, slow, fast),
    ),
    Mistake(
        "The ends of the ramp are not whole pairs: round the first down and the last up.",
        lambda *args: _ramp(*args, whole=False),
    ),
    Mistake(
        "The 2π is missing: a pair has turned native · ω / 2π times.",
        lambda *args: _ramp(*args, turn=1.0),
    ),
    Mistake(
        "Your ramp is linear in the number of turns, as in the paper (eq. 18). Implementations, and so the models, go "
        "in a straight line from pair to pair.",
        _paper,
    ),
    Mistake(
        "You divide every pair: that is position interpolation. Fast pairs are to be left alone.",
        lambda own, native, factor, fast, slow: torch.full_like(own, factor),
    ),
    Mistake(
        "That is NTK-aware scaling, which changes θ. YaRN decides pair by pair, by how often it has turned.",
        lambda own, native, factor, fast, slow: factor ** (
            torch.arange(len(own), dtype=own.dtype) / max(1, len(own) - 1)
        ),
    ),
    Mistake(
        "There is no ramp: you divide what has not completed beta_slow turns and leave all else alone. Blend between.",
        lambda own, native, factor, fast, slow: torch.where(native * own / (2 * math.pi) < slow, factor, 1.0).to(own),
    ),
    Mistake(
        "You return how much of its speed each pair keeps; asked is by what the speed is divided.",
        lambda *args: _ramp(*args, blend=lambda keep, factor: keep),
    ),
    Mistake(
        "You return the new speed as a share of the old; asked is by what it is divided, 1 over that.",
        lambda *args: 1 / _ramp(*args),
    ),
    Mistake(
        "You return the new speeds; asked is by what each speed is divided, own / new.",
        lambda own, *rest: own / _ramp(own, *rest),
    ),
)  # fmt: skip


def check_ramp(answer: Any, given: Any) -> tuple[bool, str]:
    names = "(own, native, factor, beta_fast, beta_slow)"
    inputs = yarn_inputs()
    right, told = grade_function(answer, yarn_divisors, inputs, YARN_MISTAKES, arguments=names, any_dtype=True)
    if not right:
        return right, told
    found = [attempt(answer, args, names)[0].double() / yarn_divisors(*args) for args in inputs]
    off = max(float((share - 1).abs().max()) for share in found)
    if off > EXACT:
        return False, f"Right to {off:.0e}, and asked is {EXACT:g}: stay in float64, the dtype of `own`."
    return True, told


CHECKS = {"05.1": check_rope, "05.2": check_ramp}
