"""Weights in 8 or 4 bits while the model runs, by torchao; activations stay as they are ("weight-only").

The matrices of layers are held as whole numbers with scales: int8 with one for each row, int4 with a scale and an
offset for each group of up to 128 in a row. What official FP8 files keep in 16 bits is kept here too: `fp8.ROUNDED`.
The head is kept as well, unless it is asked for: then it is in int8, in models whose matrices are in int4 too. A tied
head is the table of words: then words are read from int8. How products are computed: weight_products.py.

What torchao (0.18) cannot do here. It has no int4 for stacks of matrices, and from an int8 stack no matrix can be taken
in inference mode: every expert becomes a tensor of its own. Its int4 for CPUs is a prototype that wants rows in
multiples of 16 and columns in multiples of 32: other matrices stay as they are. Its int4 for GPUs is another format,
which nobody has tried here.

Reference: torchao's `Int8Tensor` and `Int4OpaqueTensor`.
"""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .errors import InputError
from .fp8 import is_rounded
from .model import TextModel


def to_weight_only(model: TextModel, kind: str, head: bool = False) -> tuple[str, ...]:
    """Replace the matrices of a model's layers, in place. What was done, in words.

    Args:
        kind: "int8" or "int4".
        head: the head too, in int8; where it is tied, that is the table of words.
    Raises:
        InputError: another kind, int4 on something else than a CPU, a model in float64, or torchao is not installed.
    """
    _check(model, kind)
    eight, four = _makers()
    make = eight if kind == "int8" else four
    done, left = 0, []
    for name, weight in list(model.named_parameters()):
        if not is_rounded(name):
            continue
        made = _stack(weight, make) if weight.ndim == 3 else make(weight.detach())
        if made is None:
            left.append(name)
            continue
        _put(model, name, made)
        done += 1
    notes = [f"{done} matrices are held in {kind} and used so (torchao)."]
    if left:
        notes.append(f"{len(left)} matrices do not fit {kind} and stay as they were, the first {left[0]}.")
    if head:
        name = "embed_tokens.weight" if model.lm_head is None else "lm_head.weight"
        _put(model, name, eight(model.get_parameter(name).detach()))
        notes.append("The head is held in int8" + (", and is the table of words." if model.lm_head is None else "."))
    return tuple(notes)


class ExpertStack(nn.ParameterList):
    """Experts that are not one tensor: `stack[index]` is a matrix, `shape` that of all of them."""

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self[0].shape))


def stored_bytes(tensor: Tensor) -> int:
    """What a tensor takes in memory; of one that is made of several, all of them."""
    if parts := getattr(tensor, "__tensor_flatten__", None):
        return sum(stored_bytes(getattr(tensor, name)) for name in parts()[0])
    return tensor.numel() * tensor.element_size()


def weight_bytes(model: nn.Module) -> int:
    """Of all parameters of a model, as they are held."""
    return sum(stored_bytes(parameter) for parameter in model.parameters())


def is_weight_only(model: nn.Module) -> bool:
    return any(hasattr(parameter, "__tensor_flatten__") for parameter in model.parameters())


def _check(model: TextModel, kind: str) -> None:
    if kind not in ("int8", "int4"):
        raise InputError(f"There are no weights in {kind!r} here; use quantised='int8' or 'int4', or leave it out.")
    weight = model.embed_tokens.weight
    if kind == "int4" and weight.device.type != "cpu":
        raise InputError(f"Weights in int4 are for CPUs here, and this is {weight.device}; use device='cpu', or int8.")
    if weight.dtype == torch.float64:
        raise InputError(f"Weights in {kind} stand for at most float32; use dtype='float32' or 'bfloat16'.")


def _put(model: TextModel, name: str, made: Tensor | nn.Module) -> None:
    """In place of a parameter."""
    owner, _, leaf = name.rpartition(".")
    module = model.get_submodule(owner)
    delattr(module, leaf)  # a parameter's place does not take a stack
    setattr(module, leaf, made if isinstance(made, nn.Module) else nn.Parameter(made, requires_grad=False))


def _stack(weight: Tensor, make: Callable[[Tensor], Tensor | None]) -> ExpertStack | None:
    made = [make(expert) for expert in weight.detach()]
    if any(each is None for each in made):
        return None
    return ExpertStack(nn.Parameter(each, requires_grad=False) for each in made if each is not None)


def _makers() -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor | None]]:
    """Of matrices in int8, and in int4 where they fit. Importing torchao takes a second, so it is done late."""
    try:
        importlib.import_module("torchao.quantization")
        from .weight_products import Int4Groups, Int8Rows
    except ImportError as error:
        raise InputError(
            f"Weights in int8 and int4 need torchao 0.18 or later ({error}); install it with `pip install torchao`."
        ) from error
    return Int8Rows.of, Int4Groups.of
