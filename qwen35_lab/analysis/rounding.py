"""What rounding one kind of tensor does to what a model says.

The model answers some prompts. Then the weights of a kind are replaced by what a number format leaves of them, it reads
prompts and answers once more, and the two distributions of every token of an answer are compared. Products are computed
as before: the error is that of the weights.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..formats import find_format, round_to
from ..fp8 import is_rounded
from ..quantise import Block, quantise
from ..qwen import Prompt, Qwen

KINDS: Mapping[str, str] = {
    "embeddings and head": r"^(embed_tokens|lm_head)\.",
    "in_proj_qkv": r"\.in_proj_qkv\.",
    "in_proj_z": r"\.in_proj_z\.",
    "in_proj_b (β)": r"\.in_proj_b\.",
    "in_proj_a (decay)": r"\.in_proj_a\.",
    "convolution": r"\.conv\.",
    "A_log": r"\.A_log$",
    "dt_bias": r"\.dt_bias$",
    "out_proj": r"\.out_proj\.",
    "attention q": r"\.q_proj\.",
    "attention k": r"\.k_proj\.",
    "attention v": r"\.v_proj\.",
    "attention o": r"\.o_proj\.",
    "feed-forward": r"ffn\.(gate|up|down)_proj\.weight$",
    "router": r"\.router\.",
    "shared gate": r"\.shared_gate_proj\.",
    "shared expert": r"\.shared_expert\.",
    "experts": r"ffn\.(gate_up|down)_proj$",
    "norms": r"norm\.",
}  # kind -> parameters, by our names; of the language model

# how a format is used, if nothing else is said
SHARING: Mapping[str, str] = {"e4m3": "block", "e5m2": "block", "int8": "channel", "int4": "group"}


@dataclass(frozen=True)
class Harm:
    """What rounding did. KL: mean over the tokens of answers, in nats; `moved`: the share with another first choice."""

    kind: str
    format: str
    weights: int  # how many were rounded
    before: int  # bytes of them, as the model holds them
    bytes: float  # in the format, with the scales
    error: float  # ‖ŵ − w‖ / ‖w‖
    kl: float
    moved: float
    official: bool  # official FP8 files hold this kind in FP8


def kinds_of(qwen: Qwen) -> dict[str, list[str]]:
    """The kinds that a model has, and the names of their parameters; without vision tower and MTP head."""
    found: dict[str, list[str]] = {}
    for name, _ in qwen.model.named_parameters():
        if not name.startswith(("vision.", "mtp.")):
            kind = next(kind for kind, pattern in KINDS.items() if re.search(pattern, name))
            found.setdefault(kind, []).append(name)
    return {kind: found[kind] for kind in KINDS if kind in found}


def rounded_weight(weight: Tensor, fmt: str, shared_by: str | Block | None = None) -> tuple[Tensor, float]:
    """What a format leaves of a parameter of any shape, and the bytes that it takes, with scales.

    bf16 and fp16 need no scale; a vector is one row.
    """
    if (bits := find_format(fmt).bits) > 8:
        return round_to(weight, fmt), weight.numel() * bits / 8
    flat = weight.reshape(1, -1) if weight.ndim == 1 else weight.flatten(1) if weight.shape[1] == 1 else weight
    found = quantise(flat, fmt, shared_by or SHARING[fmt])
    return found.dequantise(weight.dtype).reshape(weight.shape), found.bytes


def with_rounded(qwen: Qwen, names: Sequence[str], fmt: str, shared_by: str | Block | None = None) -> Qwen:
    """A twin of the model whose named parameters are rounded; the model itself stays as it is."""
    twin = qwen.twin()
    for name in names:
        _put(twin, name, rounded_weight(qwen.model.get_parameter(name).detach(), fmt, shared_by)[0])
    return twin


def _put(qwen: Qwen, name: str, weight: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    parameter = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, requires_grad=False)
    setattr(qwen.model.get_submodule(owner), leaf, parameter)


class Bench:
    """A model, the prompts that it reads, and its answers as it is: greedy, of up to `new_tokens` each."""

    def __init__(self, qwen: Qwen, prompts: Sequence[Prompt], new_tokens: int = 48):
        if not prompts:
            raise InputError("There is nothing to read; pass at least one prompt.")
        if new_tokens < 1:
            raise InputError(f"In {new_tokens} tokens there is no answer; pass 1 or more as new_tokens.")
        self.qwen, self.kinds = qwen, kinds_of(qwen)
        self.asked = [qwen.encode(prompt) for prompt in prompts]
        self.ids = [torch.cat((ids, qwen.generate(ids, new_tokens)[None]), 1) for ids in self.asked]
        self.exact, self.twin = self.says(qwen), qwen.twin()

    @torch.inference_mode()
    def says(self, qwen: Qwen) -> Tensor:
        """log p for every token of the answers, one answer after the other: [token, vocabulary]."""
        logits = [
            qwen.model(ids).logits[0, asked.shape[1] - 1 : -1] for ids, asked in zip(self.ids, self.asked, strict=True)
        ]
        return torch.cat(logits).double().log_softmax(-1).cpu()

    def against(self, other: Qwen) -> tuple[float, float]:
        """Mean KL of another model's predictions, in nats; share of tokens with another first choice."""
        said = self.says(other)
        kl = (self.exact.exp() * (self.exact - said)).sum(-1).clamp(min=0)
        return float(kl.mean()), float((self.exact.argmax(-1) != said.argmax(-1)).double().mean())

    def harm(self, kinds: str | Sequence[str], fmt: str, shared_by: str | Block | None = None) -> Harm:
        """Round one kind, or several together.

        Raises:
            InputError: a kind that this model does not have.
        """
        chosen = [kinds] if isinstance(kinds, str) else list(kinds)
        if strange := [kind for kind in chosen if kind not in self.kinds]:
            raise InputError(f"This model has no {strange[0]!r}; its kinds of tensors are {', '.join(self.kinds)}.")
        names = [name for kind in chosen for name in self.kinds[kind]]
        exact = {name: self.qwen.model.get_parameter(name) for name in names}
        off = whole = size = 0.0
        try:
            for name, weight in exact.items():
                left, took = rounded_weight(weight.detach(), fmt, shared_by)
                _put(self.twin, name, left)
                off += float((left - weight.detach()).double().square().sum())
                whole += float(weight.detach().double().square().sum())
                size += took
            kl, moved = self.against(self.twin)
        finally:
            for name, weight in exact.items():
                _put(self.twin, name, weight)
        return Harm(
            " + ".join(chosen), fmt, sum(weight.numel() for weight in exact.values()),
            sum(weight.nbytes for weight in exact.values()), size, (off / whole) ** 0.5 if whole else 0.0, kl, moved,
            all(is_rounded(name) for name in names),
        )  # fmt: skip


def rounding_harm(
    qwen: Qwen, prompts: Sequence[Prompt], formats: Sequence[str] = ("bf16", "e4m3", "int8", "int4")
) -> list[Harm]:
    """Every kind of tensor alone, in every format: one pass over prompts and answers for each."""
    bench = Bench(qwen, prompts)
    return [bench.harm(kind, fmt) for kind in bench.kinds for fmt in formats]
