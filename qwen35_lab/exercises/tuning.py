"""Two exercises of notebook 15: LoRA from scratch, and the names in an adapter. The third is in broken_file.py."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .numbers import shown
from .verdict import Mistake, attempt, grade_function

# ------------------------------------------------------------------------- 15.1  lora_linear(x, W, A, B, alpha)


def lora_linear(x: Tensor, W: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """The oracle (arXiv 2106.09685, eq. 3): W x + (α / r) B A x. x [..., in], W [out, in], A [r, in], B [out, r]."""
    return x @ W.T + (alpha / A.shape[0]) * (x @ A.T @ B.T)


def lora_inputs(seed: int = 0) -> list[tuple]:
    """Matrices of other shapes; the last two are square in every way, so that a transposed one fits too."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for tokens, into, out, r, alpha in ((5, 7, 4, 2, 8.0), (3, 6, 9, 3, 1.0), (1, 4, 4, 4, 6.0), (6, 5, 5, 5, 2.0)):
        shapes = (tokens, into), (out, into), (r, into), (out, r)
        made.append((*(torch.randn(shape, generator=draw) for shape in shapes), alpha))
    return made


def _with(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, W, A, B, alpha: change(x, W, A, B, alpha, A.shape[0])


LORA_MISTAKES = (
    Mistake("The scale is missing: what A and B give is multiplied by α / r.",
            _with(lambda x, W, A, B, a, r: x @ W.T + x @ A.T @ B.T)),
    Mistake("The scale is α alone; divide it by r, so that another rank needs no other learning rate.",
            _with(lambda x, W, A, B, a, r: x @ W.T + a * (x @ A.T @ B.T))),
    Mistake("The scale is upside down: α / r, not r / α.",
            _with(lambda x, W, A, B, a, r: x @ W.T + r / a * (x @ A.T @ B.T))),
    Mistake("The frozen weight is missing: what is learnt stands beside W and does not replace it.",
            _with(lambda x, W, A, B, a, r: a / r * (x @ A.T @ B.T))),
    Mistake("The whole sum is scaled, and W with it; only what is learnt is multiplied by α / r.",
            _with(lambda x, W, A, B, a, r: a / r * (x @ W.T + x @ A.T @ B.T))),
    Mistake("r is taken from another axis than the first one of A.",
            _with(lambda x, W, A, B, a, r: x @ W.T + a / A.shape[1] * (x @ A.T @ B.T))),
    Mistake("α is under a root: that is rank-stabilised LoRA, α / √r (arXiv 2312.03732); here it is α / r.",
            _with(lambda x, W, A, B, a, r: x @ W.T + a / r**0.5 * (x @ A.T @ B.T))),
)  # fmt: skip


def check_lora(answer: Any, given: Any) -> tuple[bool, str]:
    passed, message = grade_function(
        answer, lora_linear, lora_inputs(), LORA_MISTAKES, arguments="(x, W, A, B, alpha)"
    )  # fmt: skip
    return passed, f"{message} With B = 0 it is the frozen layer." if passed else message


# ------------------------------------------------------------------------- 15.2  for_whole_model(names)

BEFORE = "base_model.model."
ALONE, WHOLE = "model.", "model.language_model."


def for_whole_model(names: Sequence[str]) -> list[str]:
    """The oracle: names of an adapter of the language model alone -> those for the model with its vision tower."""
    return [_renamed(name) for name in names]


def _renamed(name: str) -> str:
    rest = name.removeprefix(BEFORE)
    inside = rest.startswith(ALONE) and not rest.startswith((WHOLE, "model.visual."))
    return BEFORE + WHOLE + rest.removeprefix(ALONE) if inside else name


def adapter_cases() -> list[str]:
    """Names of every kind."""
    ends = ("lora_A.weight", "lora_B.weight")
    modules = (
        "model.layers.0.linear_attn.in_proj_qkv", "model.layers.3.self_attn.q_proj", "model.layers.11.mlp.gate_proj",
        "model.layers.1.mlp.shared_expert.down_proj", "model.layers.2.mlp.experts.base_layer",
        "model.layers.2.mlp.experts", "lm_head", "model.visual.blocks.0.attn.qkv",
        "model.language_model.layers.5.linear_attn.out_proj",
    )  # fmt: skip
    return [f"{BEFORE}{module}.{end}" for module in modules for end in ends]


def _rule(change: Callable[[str], str]) -> Callable[[Sequence[str]], list[str]]:
    return lambda names: [change(name) for name in names]


NAME_MISTAKES = (
    Mistake("every `model.` is replaced, peft's own `base_model.model.` too; only the one that follows it is meant",
            _rule(lambda name: name.replace("model.", "model.language_model."))),
    Mistake("names that have `language_model.` get it once more; leave them as they are",
            _rule(lambda name: name.replace(BEFORE + ALONE, BEFORE + WHOLE))),
    Mistake("`base_model.model.` is lost; peft finds nothing without it",
            _rule(lambda name: _renamed(name).removeprefix(BEFORE))),
    Mistake("the head stands beside the language model, so that `lm_head` keeps its name",
            _rule(lambda name: name.replace(f"{BEFORE}lm_head", f"{BEFORE}{WHOLE}lm_head")
                  if "lm_head" in name else _renamed(name))),
    Mistake("the vision tower stands beside the language model, so that `visual` keeps its name",
            _rule(lambda name: name.replace(f"{BEFORE}model.visual", f"{BEFORE}{WHOLE}visual")
                  if "visual" in name else _renamed(name))),
    Mistake("`.base_layer` is lost; it says which of the two stacks of experts the factors belong to",
            _rule(lambda name: _renamed(name).replace(".base_layer", ""))),
    Mistake("nothing is renamed: `layers` stands in `model.language_model` there", _rule(lambda name: name)),
)  # fmt: skip


def check_names(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    asked = adapter_cases()
    result, problem = attempt(answer, (list(asked),), "(names)")
    if problem:
        return False, problem
    right = for_whole_model(asked)
    if not isinstance(result, list | tuple) or not all(isinstance(name, str) for name in result):
        return False, f"It returns {shown(result)}; return a list of names, one for each that it was given."
    if list(result) == right:
        return True, f"`{getattr(answer, '__name__', 'it')}` renames all {len(asked)} rightly."
    if len(result) != len(asked):
        return False, f"It returns {len(result)} names for {len(asked)}; return one for each, in the same order."
    for mistake in NAME_MISTAKES:
        if list(result) == mistake.answer(asked):
            return False, f"Not yet: {mistake.diagnosis}."
    n = next(n for n, name in enumerate(result) if name != right[n])
    off = sum(a != b for a, b in zip(result, right, strict=True))
    return False, f"{off} of {len(asked)} names are wrong. `{asked[n]}` becomes {shown(result[n])}, not `{right[n]}`."


CHECKS = {"15.1": check_lora, "15.2": check_names}
