"""Weights in 8 or 4 bits while the model runs, by torchao; activations stay as they are ("weight-only").

The matrices of layers are held as whole numbers with scales: int8 with one for each row, int4 with a scale and an
offset for each group of up to 128 in a row. What official FP8 files keep in 16 bits is kept here too: `fp8.ROUNDED`.

What torchao (0.18) cannot do here. It has no int4 for stacks of matrices, and from an int8 stack no matrix can be taken
in inference mode: every expert becomes a tensor of its own. Its int4 for CPUs is a prototype that wants rows in
multiples of 16 and columns in multiples of 32: other matrices stay as they are. Its int4 for GPUs is another format,
which nobody has tried here.

Reference: torchao's `Int8Tensor` and `Int4OpaqueTensor`.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from .errors import InputError
from .fp8 import is_rounded
from .model import TextModel

GROUPS = (128, 64, 32)  # of int4, the largest that divides a row


def to_weight_only(model: TextModel, kind: str) -> tuple[str, ...]:
    """Replace the matrices of a model's layers, in place. What was done, in words.

    Args:
        kind: "int8" or "int4".
    Raises:
        InputError: another kind, int4 on something else than a CPU, or torchao is not installed.
    """
    if kind not in ("int8", "int4"):
        raise InputError(f"There are no weights in {kind!r} here; use quantised='int8' or 'int4', or leave it out.")
    device = model.embed_tokens.weight.device
    if kind == "int4" and device.type != "cpu":
        raise InputError(f"Weights in int4 are for CPUs here, and this is {device}; use device='cpu', or int8.")
    convert = _int8() if kind == "int8" else _int4()
    done, left = 0, []
    for name, weight in list(model.named_parameters()):
        if not is_rounded(name):
            continue
        owner, _, leaf = name.rpartition(".")
        made = _stack(weight, convert) if weight.ndim == 3 else convert(weight.detach())
        if made is None:
            left.append(name)
            continue
        module = model.get_submodule(owner)
        delattr(module, leaf)  # a parameter's place does not take a stack
        setattr(module, leaf, made if isinstance(made, nn.Module) else nn.Parameter(made, requires_grad=False))
        done += 1
    notes = (f"{done} matrices are held in {kind} and used so (torchao).",)
    few = f"{len(left)} matrices do not fit {kind} and stay as they were, the first {left[0]}." if left else ""
    return (*notes, few) if few else notes


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


def _stack(weight: Tensor, convert: Callable[[Tensor], Tensor | None]) -> ExpertStack | None:
    made = [convert(expert) for expert in weight.detach()]
    if any(each is None for each in made):
        return None
    return ExpertStack(nn.Parameter(each, requires_grad=False) for each in made if each is not None)


def _int8() -> Callable[[Tensor], Tensor | None]:
    torchao = _torchao()
    return lambda weight: torchao.Int8Tensor.from_hp(weight, granularity=torchao.PerRow())


def _int4() -> Callable[[Tensor], Tensor | None]:
    Int4 = _torchao().Int4OpaqueTensor

    def convert(weight: Tensor) -> Tensor | None:
        rows, columns = weight.shape
        group = next((size for size in GROUPS if columns % size == 0), None)
        return None if group is None or rows % 16 else Int4.from_hp(weight.contiguous(), [1, group])

    return convert


def _torchao() -> SimpleNamespace:
    """The three names of torchao that are used. Importing it takes a second, so it is done late."""
    try:
        from torchao.prototype.quantization.int4 import Int4OpaqueTensor
        from torchao.quantization import Int8Tensor, PerRow
    except ImportError as error:
        raise InputError(
            f"Weights in int8 and int4 need torchao 0.18 or later ({error}); install it with `pip install torchao`."
        ) from error
    return SimpleNamespace(Int4OpaqueTensor=Int4OpaqueTensor, Int8Tensor=Int8Tensor, PerRow=PerRow)
