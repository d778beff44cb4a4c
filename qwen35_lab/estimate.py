"""What a trace takes, before it is run: bytes that it keeps, and bytes at the peak of the run, beyond the weights.

What is kept is counted exactly, as often as it has names (a layer's output is the next one's input). What a part of the
model holds while it computes is approximate: the values that its lines have alive at one time at most, without what a
kernel takes for itself. A test measures both.

Symbols: T tokens that a pass reads, P tokens that they look at, e bytes of a number in the model's dtype, w the same in
float32 at least. Pictures of so many patches become so many cells, as in the taps' axes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from math import prod
from typing import Any

import torch
from torch import nn

from .capture import chosen
from .edits import AnyEdit, Edit, RoutingEdit
from .errors import InputError
from .generate import PREFILL_TOKENS, expected
from .memory import free, in_words
from .model import MultimodalModel, Tap, TextModel, taps
from .model.attention import BLOCK, GatedAttention
from .model.deltanet import GatedDeltaNet
from .model.fast_delta_rule import chunked
from .model.mlp import SwiGLU
from .model.moe import SparseMoE
from .model.pieces import PIECE
from .model.taps import heard
from .model.vision import VisionTower
from .passes import pick
from .trace import slots

CHUNK = signature(chunked).parameters["chunk_size"].default
COPIES = 4  # of a value while it is edited: the part, what takes its place, the whole, and where they are joined


class TraceSize(dict[str, int]):
    """Bytes that a trace keeps, by tap name, and what the run needs beside them and the weights."""

    def __init__(self, kept: dict[str, int], working: dict[str, int], joining: int, cache: int):
        """`joining`: of the pieces that one tap comes in, while they are laid end to end."""
        super().__init__(kept)
        self.working = working  # by part of the model, what it holds while it computes
        self.joining, self.cache = joining, cache

    @property
    def kept(self) -> int:
        return sum(self.values())

    @property
    def peak(self) -> int:
        """The most that there is at one time, beyond the weights."""
        return self.kept + self.cache + max(self.joining, *self.working.values())

    def __repr__(self) -> str:
        part = max(self.working, key=lambda name: self.working[name])
        return (
            f"TraceSize({len(self)} values, {in_words(self.kept)} to keep, {in_words(self.peak)} at the peak, "
            f"of which {in_words(self.working[part])} in {part})"
        )


@dataclass(frozen=True)
class _Run:
    """How long and how wide a pass is, and which taps are listened to."""

    T: int
    P: int
    e: int
    w: int
    heard: frozenset[str]
    recorded: frozenset[str]
    patches: int
    cells: int

    def hears(self, prefix: str, module: nn.Module, names: Sequence[str]) -> bool:
        """Whether anybody listens to one of a module's taps."""
        return any(f"{prefix}.{name}" in self.heard or module.get_submodule(name).wanted for name in names)

    def through(self, prefix: str, module: nn.Module) -> "_Run":
        """The run as a module sees it that reads long texts in pieces, where nobody listens inside."""
        whole = heard(module) or any(name.startswith(f"{prefix}.") for name in self.heard)
        return self if whole else replace(self, T=min(self.T, PIECE))


def estimate(
    model: TextModel, patterns: str | Iterable[str] | Mapping[str, Tap], tokens: int, edits: Sequence[AnyEdit] = (),
    new: int = 0, *, patches: int = 0, cells: int = 0,
) -> TraceSize:  # fmt: skip
    """What `Qwen.trace` takes for a prompt of so many tokens, with these edits, and `new` tokens after it.

    Args:
        patches, cells: of the pictures in the prompt.
    Raises:
        InputError: a pattern that matches no tap.
    """
    dtype = model.embed_tokens.weight.dtype
    recorded = chosen(model, patterns)
    changed = {n: tap for each in edits if isinstance(each, Edit) for n, tap in chosen(model, each.pattern).items()}
    read = tokens + max(0, new - 1)  # the last new token is no longer read
    piece = min(tokens, PREFILL_TOKENS) if new else tokens
    choices = _choices(model, edits)

    def size(name: str, tap: Tap, length: int, seen: int) -> int:
        lengths = dict(zip(tap.axes, tap.shape(1, length, seen - length, patches, cells), strict=True))
        if "choice" in tap.axes:
            lengths["choice"] = choices[name.rpartition(".")[0]]
        return prod(lengths.values()) * tap.dtype_in(dtype).itemsize

    made = {name: tap for name, tap in recorded.items() if patches or not seen_only(name)}
    kept = {name: size(name, tap, slots(name, read), slots(name, read)) for name, tap in made.items()}
    wide = torch.promote_types(dtype, torch.float32).itemsize
    run = _Run(piece, tokens, dtype.itemsize, wide, frozenset(recorded | changed), frozenset(recorded), patches, cells)
    working = _working(model, run, choices)
    for name, tap in changed.items():
        part = ".".join(name.split(".")[: 4 if name.startswith("mtp.") else 3])
        working[part] = working.get(part, 0) + COPIES * size(name, tap, 1 if tap.recurrent else piece, tokens)
    pieces = [kept[name] for name, tap in recorded.items() if (new and not seen_only(name)) or tap.recurrent]
    embeds = tokens * model.config.hidden_size * run.e if patches else 0  # with the pictures in their places
    return TraceSize(kept, working, max(pieces, default=0), embeds + (_cache(model, tokens, new, run) if new else 0))


def seen_only(name: str) -> bool:
    """Whether a tap is one of the vision tower, which runs once, and only where there are pictures."""
    return name.startswith("vision.")


def refuse_what_does_not_fit(
    model: TextModel, patterns: str | Iterable[str] | Mapping[str, Tap], tokens: int, edits: Sequence[AnyEdit] = (),
    new: int = 0, **pictures: int,
) -> None:  # fmt: skip
    """Raises InputError if the run would take more memory than there is. `pictures`: as in `estimate`."""
    size = estimate(model, patterns, tokens, edits, new, **pictures)
    there = free(model.embed_tokens.weight.device, enough=size.peak)
    if size.peak <= there:
        return
    part = max(size.working, key=lambda name: size.working[name])
    asked = [*size, *(n for each in edits if isinstance(each, Edit) for n in chosen(model, each.pattern))]
    lazy = next((n for n in asked if n.startswith(f"{part}.") and dict(taps(model))[n].lazy), None)
    largest = max(size, key=lambda name: size[name], default="")
    if size.kept + size.joining > size.working[part]:
        remedy = f"record fewer taps ({largest} alone takes {in_words(size[largest])}), or a shorter text"
    else:
        remedy = f"leave out {lazy}, or take a shorter text" if lazy else "take a shorter text"
    raise InputError(
        f"Recording {len(size)} values of {tokens + max(0, new - 1):,} tokens takes {in_words(size.peak)}, of which "
        f"{in_words(size.kept)} are kept and {in_words(size.working[part])} are for computing {part}, and "
        f"{in_words(there)} are free; {remedy}."
    )


def _choices(model: TextModel, edits: Sequence[AnyEdit]) -> dict[str, int]:
    """Experts per token of every layer that has experts, by the name of its feed-forward."""
    found = {n: layer.ffn.top_k for n, layer in enumerate(model.layers) if isinstance(layer.ffn, SparseMoE)}
    for each in edits:
        if isinstance(each, RoutingEdit) and isinstance(each.top_k, int):
            turned = pick(slice(None) if each.layer is None else each.layer, len(model.layers), "layer").tolist()
            found |= {n: each.top_k for n in turned if n in found}
    heads = {} if model.mtp is None else {f"mtp.layers.{n}.ffn": layer.ffn for n, layer in enumerate(model.mtp.layers)}
    alone = {name: ffn.top_k for name, ffn in heads.items() if isinstance(ffn, SparseMoE)}
    return {f"layers.{n}.ffn": k for n, k in found.items()} | alone


def _working(model: TextModel, run: _Run, choices: dict[str, int]) -> dict[str, int]:
    """By part of the model, what it has alive at most."""
    found = {}
    stream = run.T * model.config.hidden_size * (3 * run.e + 3 * run.w)  # x, norm(x), what is added; the norm's own
    layers: list[tuple[str, Any]] = [(f"layers.{n}", layer) for n, layer in enumerate(model.layers)]
    if model.mtp is not None and any(name.startswith("mtp.") for name in run.heard):
        layers += [(f"mtp.layers.{n}", layer) for n, layer in enumerate(model.mtp.layers)]
        found["mtp.logits"] = stream + model.config.vocab_size * ("mtp.logits" not in run.recorded) * run.T * run.e
    for at, layer in layers:
        mixer, ffn = layer.mixer, layer.ffn
        inside: Callable[..., int] = _deltanet if isinstance(mixer, GatedDeltaNet) else _attention
        found[f"{at}.mixer"] = stream + inside(mixer, f"{at}.mixer", run)
        found[f"{at}.ffn"] = stream + _feed_forward(ffn, f"{at}.ffn", run, choices.get(f"{at}.ffn", 0))
    scored = run.T if model.logits.wanted or "logits" in run.heard else 1
    if isinstance(model, MultimodalModel) and run.patches:
        found |= _tower(model.vision, run)
    found["logits"] = stream + model.config.vocab_size * ("logits" not in run.recorded) * scored * run.e
    return found


def _deltanet(mixer: GatedDeltaNet, prefix: str, run: _Run) -> int:
    """Projections stay alive as long as the layer; beside them the convolution, or the rule, needs room."""
    run = run.through(prefix, mixer)
    heads, keys, values = mixer.A_log.numel(), mixer.widths[0], mixer.widths[2]
    read = heads * mixer.key_dim  # features of the keys once value heads have their own
    channels = sum(mixer.widths)
    held = run.T * (2 * channels * run.e + 2 * keys * run.w)
    state = 4 * heads * mixer.key_dim * mixer.value_dim * run.w
    if run.hears(prefix, mixer, ("erase", "write", "state")):
        rule = run.T * run.w * (2 * read + 3 * values)
    else:
        chunk = min(CHUNK, run.T)
        rule = run.T * values * run.e + chunk * run.w * (3 * read + 4 * values + 6 * heads * chunk)
    return held + state + max(2 * run.T * channels * run.e, rule)


def _attention(mixer: GatedAttention, prefix: str, run: _Run) -> int:
    """The projections, and a map of who sees whom: none of it, all of it where it is wanted, a block's where a piece
    looks back at earlier ones, as on a GPU; a CPU needs none."""
    heads, D = mixer.o_proj.in_features // mixer.head_dim, mixer.head_dim
    held = run.T * (2 * heads * D * run.e + 2 * mixer.k_proj.out_features * run.e + 4 * heads * D * run.w)
    later = min(run.T, run.P - run.T)  # tokens of a piece that looks back at earlier ones
    if not run.hears(prefix, mixer, ("scores", "weights")):
        back = held * later // run.T + min(later, BLOCK) * run.P * (3 + run.e)  # of the last piece
        return max(held, back)
    # scores, and what softmax makes of them before and after rounding, or before and after the mask
    cells = max(3 * run.e, run.e + 2 * run.w if run.e < run.w else 0) - run.e * (f"{prefix}.weights" in run.recorded)
    return held + 2 * run.P * heads * D * run.e + max(run.T * run.T, later * run.P) * (heads * cells + 3)


def _feed_forward(ffn: SwiGLU | SparseMoE, prefix: str, run: _Run, top_k: int) -> int:
    if isinstance(ffn, SwiGLU):
        return 3 * run.through(prefix, ffn).T * ffn.up_proj.out_features * run.e
    routed = 4 * top_k * ffn.router.in_features * run.e + 3 * ffn.router.out_features * run.w
    return run.T * (routed + 3 * max(ffn.width, ffn.shared_expert.up_proj.out_features) * run.e)


def _tower(tower: VisionTower, run: _Run) -> dict[str, int]:
    """The vision tower's parts, all pictures of the call together."""
    N, W, config = run.patches, tower.config.hidden_size, tower.config
    pixels = config.in_channels * config.temporal_patch_size * config.patch_size**2
    stream = N * W * 3 * run.e  # x, norm(x), what is added
    angles = 3 * N * W // config.num_heads * run.w  # cos, sin, and what they are made of
    found = {
        "vision.patches": N * (2 * pixels * 4 + 2 * W * run.e) + 3 * N * W * run.w,
        "vision.merged": stream + 3 * N * W * run.e + 2 * run.cells * config.out_hidden_size * run.e,
    }
    for n in range(config.depth):
        attention = N * W * (5 * run.e + 4 * run.w)  # q, k, v and what comes of them; turned in float32
        if run.hears(f"vision.blocks.{n}.attention", tower.blocks[n].get_submodule("attention"), ("scores", "weights")):
            cells = max(3 * run.e, run.e + 2 * run.w if run.e < run.w else 0)
            attention += N * N * (config.num_heads * cells + 1)
        feed_forward = 2 * N * config.intermediate_size * run.e
        found[f"vision.blocks.{n}"] = stream + angles + max(attention, feed_forward)
    return found


def _cache(model: TextModel, prompt: int, new: int, run: _Run) -> int:
    """Keys and values with their room to grow, and DeltaNet memories before and after a pass."""
    total, read = 0, prompt + max(0, new - 1)
    for layer in model.layers:
        mixer: Any = layer.mixer
        if isinstance(mixer, GatedDeltaNet):
            state = mixer.A_log.numel() * mixer.key_dim * mixer.value_dim * run.w
            total += 2 * (state + sum(mixer.widths) * mixer.conv.weight.shape[-1] * run.e)
        else:
            ready = expected(prompt, new) + 64
            room = ready if read <= ready else read * 3 // 2
            total += room * 2 * mixer.k_proj.out_features * run.e
    return total
