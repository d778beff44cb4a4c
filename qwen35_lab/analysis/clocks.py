"""RoPE as a row of clocks, and YaRN as a filter on how fast they run.

Every rotated pair of features is a clock: at position p its hand has turned by ω·p, and q·k sees the difference of
two hands, ω·(distance). YaRN (Peng et al. 2023, arXiv 2309.00071, §3.2 and 3.4) leaves clocks alone that turned often
within the length of the training, slows those by `factor` that had not completed a turn, and blends between. It also
multiplies cos and sin by an attention factor, and so q·k of the rotated features, and of no others, by its square.

What is assumed: that "the length of the training" is `max_position_embeddings`, unless you say otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import FULL, ModelConfig, RopeConfig, TextConfig
from ..errors import InputError
from ..model.rope import inverse_frequencies, rotary_angles, rotate, yarn_keep
from ..qwen import Qwen
from ..trace import Trace
from .recorded import mixer_values

KINDS = ("left", "blended", "divided")  # what YaRN does to a pair


@dataclass(frozen=True)
class Spectrum:
    """The clocks of a config, fastest first; float64, [pair]."""

    native: int  # positions that the model was trained on
    factor: float  # of YaRN; 1 is without
    own: Tensor  # radians per position, as trained
    slowed: Tensor  # radians per position, with YaRN
    keep: Tensor  # how much of its own speed a pair keeps, 1 to 0
    attention_factor: float  # what cos and sin are multiplied by

    @property
    def wavelength(self) -> Tensor:
        """Positions for one turn, as trained. [pair]"""
        return 2 * math.pi / self.own

    @property
    def turns(self) -> Tensor:
        """Turns completed at the native length, as trained. [pair]"""
        return self.native / self.wavelength

    @property
    def kinds(self) -> list[str]:
        """What YaRN does to each pair: one of `KINDS`, whatever the factor."""
        return ["left" if k == 1 else "divided" if k == 0 else "blended" for k in self.keep.tolist()]

    @property
    def temperature(self) -> float:
        """What q·k of the rotated features is multiplied by: the attention factor's square."""
        return self.attention_factor**2


def rope_spectrum(config: ModelConfig | TextConfig, factor: float | None = None, native: int | None = None) -> Spectrum:
    """The clocks of a config.

    Args:
        factor: of YaRN, 1 or more; by default what the config says itself.
        native: positions of the training; by default the config's.
    Raises:
        InputError: nothing turns, or a factor or a length that is too small.
    """
    text = config.text if isinstance(config, ModelConfig) else config
    if not int(text.head_dim * text.rope.partial_rotary_factor) // 2:
        raise InputError("Nothing is rotated in this model; choose a config with a larger partial_rotary_factor.")
    rope = text.rope if factor is None else yarn(text, factor, native)
    length = native or rope.original_max_position_embeddings or text.max_position_embeddings
    own, _ = inverse_frequencies(text.head_dim, replace(rope, type="default"), torch.float64)
    slowed, scale = inverse_frequencies(text.head_dim, rope, torch.float64)
    ramp = rope if rope.type == "yarn" else yarn(text, 1.0, native)
    keep = yarn_keep(2 * len(own), ramp, torch.float64)
    return Spectrum(length, rope.factor, own, slowed, keep, scale)


def yarn(config: TextConfig, factor: float, native: int | None = None) -> RopeConfig:
    """The rotation of a config with YaRN, as the model cards write it.

    Args:
        native: positions of the training; by default the config's.
    Raises:
        InputError: a factor below 1, or a length below 1.
    """
    length = native or config.rope.original_max_position_embeddings or config.max_position_embeddings
    if not (math.isfinite(factor) and factor >= 1) or length < 1:
        raise InputError(f"YaRN by {factor} from {length} positions; pass a factor of 1 or more, and a length.")
    return replace(config.rope, type="yarn", factor=float(factor), original_max_position_embeddings=length)


def stretched(qwen: Qwen, factor: float, *, native: int | None = None, attention_factor: float | None = None) -> Qwen:
    """A twin with the same weights that reads with YaRN; the model itself stays as it is.

    Args:
        native: positions of the training; by default the config's.
        attention_factor: in place of 0.1 ln(factor) + 1; 1 slows the clocks and nothing else.
    Raises:
        InputError: a factor below 1.
    """
    twin = qwen.twin()
    rope = replace(yarn(qwen.config.text, factor, native), attention_factor=attention_factor)
    text = replace(twin.model.config, rope=rope)
    twin.model.config, twin.config = text, replace(qwen.config, text=text)
    if twin.model.mtp is not None:
        twin.model.mtp.config = replace(twin.model.mtp.config, rope=rope)
    told = (f"YaRN × {factor:g}" + ("" if attention_factor is None else f", attention factor {attention_factor:g}"),)
    twin.provenance = replace(qwen.provenance, edits=qwen.provenance.edits + told)
    return twin


def kernel(spectrum: Spectrum, distance: Tensor | Sequence[float], *, yarn: bool = True) -> Tensor:
    """q·k of the rotated features against distance, if q and k agree in every pair: [*distance].

    The mean of cos(ω·distance) over all pairs; with YaRN its clocks and its temperature. At distance 0 it is 1 as
    trained.
    """
    d = torch.as_tensor(distance, dtype=torch.float64)
    speeds, scale = (spectrum.slowed, spectrum.temperature) if yarn else (spectrum.own, 1.0)
    return scale * (d[..., None] * speeds).cos().mean(-1)


def unseen(spectrum: Spectrum, position: float, *, yarn: bool = True) -> Tensor:
    """Which hands stand where they never stood within the native length, as trained: bool [pair].

    Only clocks that had not completed a turn can: all others have been at every angle.
    """
    angle = (spectrum.slowed if yarn else spectrum.own) * position / (2 * math.pi)
    return (spectrum.turns < 1) & (angle % 1 > spectrum.turns * (1 + 1e-9))  # not by rounding


def mean_logit(trace: Trace, layer: int, text: TextConfig, distance: Sequence[int], rope: RopeConfig) -> Tensor:
    """The score of an average query and an average key of a text, were they so far apart: [head, distance].

    Rotation is linear, so this is the mean of q·k/√d over all pairs of the text's tokens, each pair turned to that
    distance: what a head prefers by distance alone, whatever the words.

    Args:
        trace: of a text without pictures, with the layer's q and k.
        text: the config that the trace was made with.
        rope: the rotation to look at.
    Raises:
        InputError: something was not recorded, or a negative distance.
    """
    q, k = (value.double() for value in mixer_values(trace, layer, FULL, ("q", "k")))
    if min(distance, default=-1) < 0:
        raise InputError("A distance counts the tokens back from the query; pass some, all 0 or more.")
    scale = inverse_frequencies(text.head_dim, text.rope)[1] ** 2
    back = -torch.arange(len(q)).expand(3, 1, -1)  # what turned them there turns them back
    q, k = (turn(value, back, text.head_dim, text.rope) for value in (q, k))
    rotated = int(text.head_dim * text.rope.partial_rotary_factor) // 2 * 2
    for value in (q, k):
        value[..., :rotated] /= scale
    q, k = q.mean(0), k.mean(0).repeat_interleave(q.shape[1] // k.shape[1], dim=0)  # [head, feature]
    places = torch.tensor(list(distance))
    turned = turn(q.expand(len(places), -1, -1), places.expand(3, 1, -1), text.head_dim, rope)
    still = turn(k[None], torch.zeros(3, 1, 1, dtype=torch.long), text.head_dim, rope)[0]
    return torch.einsum("dhf,hf->hd", turned, still) / text.head_dim**0.5


def turn(x: Tensor, positions: Tensor, head_dim: int, rope: RopeConfig) -> Tensor:
    """Rotate heads of tokens: x [token, head, feature], positions [3, 1, token] -> [token, head, feature]."""
    cos, sin = rotary_angles(positions, head_dim, rope, x.dtype)
    return rotate(x[None], cos, sin)[0]
