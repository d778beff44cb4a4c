"""The language model at the shapes of Qwen3.5-0.8B: the delta rule alone, prefill, decoding.

Both models hold the very same tensors, drawn at random: how fast a product is does not depend on its numbers. With
`--quick` there are four layers of 24 and a vocabulary that is smaller in proportion, so that the parts keep their
shares; else it is the whole language model. Beside the race stands the bound that no program on this machine can
pass, measured in the same rounds: the products with the weights alone, with as many rows as there are tokens. For a
single token that is reading every weight once (memory), for many it is arithmetic.

transformers runs with PyTorch's fused attention ("sdpa", which it chooses itself and recommends) and, without
`--quick`, with its "eager" one. On a GPU where fla is installed transformers uses its kernels: they are raced, too.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from unittest import mock

import torch
from benchmarks.race import Case, Given, Work
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

from qwen35_lab.checkpoint import name_map, official_name
from qwen35_lab.config import ModelConfig
from qwen35_lab.model import TextModel
from qwen35_lab.model.deltanet import GatedDeltaNet
from qwen35_lab.model.kernels import installed as fla_is_installed
from qwen35_lab.model.norm import l2_norm
from qwen35_lab.model.one_row import reading
from qwen35_lab.model.product import times
from qwen35_lab.paths import data_path

NAME = "Qwen3.5-0.8B"
MODULE = "transformers.models.qwen3_5.modeling_qwen3_5"
# functions of transformers, in whose place it takes those of fla and causal_conv1d where they are installed
KERNELS = ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule", "causal_conv1d_fn",
           "causal_conv1d_update")  # fmt: skip
GOALS = {("prefill", torch.bfloat16): 1.5, ("prefill", torch.float32): 1.2, ("decoding", torch.bfloat16): 1.2}
SHARES = {("decoding", torch.bfloat16): 0.85}  # of our time that reading the weights is wanted to be at least
NOT_QUICK = "24 layers, prefill of 2,048 tokens, decoding in float32, eager attention, the bound of prefill"
GPU_GOALS = {("prefill", "transformers + fla"): 1.0, ("decoding", "transformers, eager"): 3.0}  # in bfloat16


@dataclass(frozen=True)
class Pair:
    """Two models with the same weights."""

    ours: TextModel
    theirs: nn.Module
    dtype: torch.dtype

    @property
    def words(self) -> str:
        made, whole = self.ours.config.num_hidden_layers, shape()["num_hidden_layers"]
        layers = "" if made == whole else f", {made} of {whole} layers"
        return f"{str(self.dtype).removeprefix('torch.')}{layers}"


@dataclass(frozen=True)
class Rival:
    """A way to run transformers."""

    name: str
    attention: str
    kernels: bool = False  # whether those of fla may run

    def run(self, model: nn.Module, work: Work) -> Work:
        def as_told() -> object:
            model.config._attn_implementation = self.attention
            with nullcontext() if self.kernels else plain():
                return work()

        return as_told


def cases(given: Given) -> Iterator[Case]:
    yield from delta_rules(given)
    for dtype in (torch.bfloat16, torch.float32):
        yield from passes(model_pair(dtype, 4 if given.quick else 24, given.device), given)


# ------------------------------------------------------------------------- the delta rule alone


def delta_rules(given: Given) -> Iterator[Case]:
    """Heads of 128 over a text, float32: two numbers of value heads that the family has. Ours is in the form that a
    layer chooses for such a text."""
    with torch.device("meta"):
        ours = GatedDeltaNet(ModelConfig.from_dict(shape()).text)._remember
    theirs = importlib.import_module(MODULE).torch_chunk_gated_delta_rule
    tokens = 2048
    for heads in (16, 32):
        q, k, v = (torch.randn(1, tokens, heads, 128, device=given.device) for _ in range(3))
        q, k = l2_norm(q), l2_norm(k)
        scaled = q * 128**-0.5  # which transformers does itself
        g, beta = decay(tokens, heads, given.device), torch.rand(1, tokens, heads, device=given.device)
        yield Case(
            f"delta rule, {heads} heads of 128, {tokens:,} tokens, float32",
            lambda q=scaled, k=k, v=v, g=g, beta=beta: ours(q, k, v, g, beta, None),
            lambda q=q, k=k, v=v, g=g, beta=beta: theirs(q, k, v, g=g, beta=beta, output_final_state=True),
            goal=2.0 if given.device == "cpu" else None,
        )


def decay(tokens: int, heads: int, device: str) -> Tensor:
    """Log decay [1, token, head]: half-lives from one token to hundreds, as the models below have them."""
    rate = (1.5 * torch.randn(heads, device=device) - 2).exp()
    return -rate * F.softplus(torch.randn(1, tokens, heads, device=device))


# ------------------------------------------------------------------------- passes of the model


def passes(pair: Pair, given: Given) -> Iterator[Case]:
    """Prefill and decoding, against every way to run transformers."""
    for tokens in (512,) if given.quick else (512, 2048):
        for rival in rivals(given):
            yield versus(pair, given, rival, "prefill", f"{tokens:,} tokens", prefill(pair, tokens))
    if given.quick and pair.dtype == torch.float32:
        return  # no mark is set for its decoding
    steps = 4 if given.quick else 16
    for rival in rivals(given):
        yield versus(pair, given, rival, "decoding", f"{steps} tokens", decoding(pair, steps))


def rivals(given: Given) -> list[Rival]:
    if given.device == "cpu":
        fused, eager = Rival("transformers", "sdpa"), Rival("transformers, eager attention", "eager")
        return [fused] if given.quick else [fused, eager]
    eager = [Rival("transformers, eager", "eager")]
    return [Rival("transformers + fla", "sdpa", kernels=True), *eager] if fla_is_installed() else eager


def versus(pair: Pair, given: Given, rival: Rival, what: str, size: str, works: tuple[Work, Work, Work]) -> Case:
    ours, theirs, bound = works
    if given.device == "cpu":
        goal, share = (told.get((what, pair.dtype)) for told in (GOALS, SHARES))
    else:
        goal, share = GPU_GOALS.get((what, rival.name)) if pair.dtype == torch.bfloat16 else None, None
    name = f"{what}, {size}, {pair.words}"
    judged = share is not None or not given.quick
    return Case(name, ours, rival.run(pair.theirs, theirs), goal, rival.name, bound if judged else None, share)


def prefill(pair: Pair, tokens: int) -> tuple[Work, Work, Work]:
    ids = torch.randint(0, pair.ours.config.vocab_size, (1, tokens), device=pair.ours.embed_tokens.weight.device)
    return (
        lambda: pair.ours(ids, cache=pair.ours.new_cache(), logits_to_keep=1),
        lambda: pair.theirs(ids, use_cache=True, logits_to_keep=1),
        products(pair, tokens),
    )


def decoding(pair: Pair, steps: int) -> tuple[Work, Work, Work]:
    """One token at a time behind a prompt of 128; every call goes on where the last one ended."""
    device = pair.ours.embed_tokens.weight.device
    prompt = torch.randint(0, pair.ours.config.vocab_size, (1, 128), device=device)
    one, cache = prompt[:, :1], pair.ours.new_cache()
    pair.ours(prompt, cache=cache, logits_to_keep=1)
    theirs = pair.theirs(prompt, use_cache=True, logits_to_keep=1).past_key_values
    once = products(pair, 1)

    def repeat(step: Callable[[], object]) -> Work:
        return lambda: [step() for _ in range(steps)]

    return (
        repeat(lambda: pair.ours(one, cache=cache).logits),
        repeat(lambda: pair.theirs(one, past_key_values=theirs, use_cache=True).logits),
        repeat(once),
    )


def products(pair: Pair, tokens: int) -> Work:
    """The products with all matrices alone, one after the other, by the kernel that a pass of ours takes; the head
    reads the last token only."""
    layers = [m.weight for name, m in pair.theirs.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"]
    head, draw = pair.theirs.lm_head.weight, layers[0]
    rows = {w.shape[1]: torch.randn(tokens, w.shape[1], device=draw.device, dtype=draw.dtype) for w in layers}

    def run() -> None:
        with reading(rows[head.shape[1]][None]):
            for weight in layers:
                times(rows[weight.shape[1]], weight)
            times(rows[head.shape[1]][-1:], head)

    return run


# ------------------------------------------------------------------------- two models, one set of weights


def shape() -> dict:
    return json.loads(data_path("family", f"{NAME}.json").read_text(encoding="utf-8"))["text_config"]


def model_pair(dtype: torch.dtype, layers: int, device: str) -> Pair:
    """The first so many layers, with a vocabulary in proportion; the head that drafts is left out: no pass runs it."""
    raw = shape() | {"mtp_num_hidden_layers": 0}
    raw["vocab_size"] = raw["vocab_size"] * layers // raw["num_hidden_layers"]
    raw |= {"num_hidden_layers": layers, "layer_types": raw["layer_types"][:layers]}
    config = ModelConfig.from_dict(raw)
    with torch.device("meta"):
        ours, theirs = TextModel(config.text), Qwen3_5ForCausalLM(Qwen3_5TextConfig(**raw))
    weights = {name: draw(name, p, dtype, device) for name, p in ours.named_parameters()}
    official = {official_name(official, "model."): weights[name] for name, official in name_map(config.text).items()}
    ours.load_state_dict(weights, assign=True)
    theirs.load_state_dict({"lm_head.weight": official["model.embed_tokens.weight"], **official}, assign=True)
    rotary = theirs.model.rotary_emb
    with torch.device(device):
        theirs.model.rotary_emb = type(rotary)(theirs.config)  # its angles are no weights
    return Pair(ours.eval(), theirs.eval(), dtype)


def draw(name: str, like: Tensor, dtype: torch.dtype, device: str) -> Tensor:
    noise = torch.empty_like(like, dtype=dtype, device=device).normal_()
    if name.endswith("A_log"):
        return 1.5 * noise - 2
    return noise if name.endswith("dt_bias") else 0.02 * noise


def plain() -> ExitStack:
    """A block in which transformers takes its own PyTorch code, whatever kernels are installed."""
    module, stack = importlib.import_module(MODULE), ExitStack()
    for name in KERNELS:
        stack.enter_context(mock.patch.object(module, name, inspect.unwrap(getattr(module, name))))
    return stack
