"""Turn the routers of a mixture of experts while the model runs."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError
from .model import TextModel
from .model.moe import Routing, SparseMoE
from .model.taps import listen
from .passes import Passes, pick, whole_numbers

DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}


@dataclass(frozen=True)
class RoutingEdit:
    """How routers are turned. Made by `routing`."""

    layer: object = None
    top_k: int | None = None
    dtype: torch.dtype | None = None
    clone: Mapping[int, int] = field(default_factory=dict)
    mask: tuple[int, ...] = ()
    shared: bool = True

    def __str__(self) -> str:
        said = {
            "layer": self.layer, "top_k": self.top_k, "dtype": self.dtype and str(self.dtype).removeprefix("torch."),
            "clone": dict(self.clone) or None, "mask": list(self.mask) or None,
            "shared": None if self.shared else "off",
        }  # fmt: skip
        return f"routing({', '.join(f'{name} {value}' for name, value in said.items() if value is not None)})"

    def install(self, model: TextModel, stack: ExitStack, passes: Passes) -> None:
        """Let it act until `stack` closes."""
        layers = pick(slice(None) if self.layer is None else self.layer, len(model.layers), "layer").tolist()
        found = {n: ffn for n in layers if isinstance(ffn := model.layers[n].ffn, SparseMoE)}  # type: ignore[union-attr]
        if not found:
            raise InputError("There is no router to turn: these layers have one feed-forward and no experts.")
        for n, ffn in found.items():
            ffn.turn(stack, self._turned(ffn, n))
            if self.mask:
                out = pick(self.mask, ffn.router.out_features, "mask")
                listen(stack, ffn.router_logits, partial(_mask, out))
            if not self.shared:
                listen(stack, ffn.shared_gate, lambda module, inputs, value: torch.zeros_like(value))

    def _turned(self, ffn: SparseMoE, layer: int) -> Routing:
        """What becomes of a layer's routing, which an enclosing block may have turned before.

        Raises:
            InputError: more experts per token than are left, or one that is not there.
        """
        before, experts = ffn.routing, ffn.router.out_features
        place = lambda expert, what: int(pick(expert, experts, what))  # noqa: E731
        masked = before.masked | {place(expert, "mask") for expert in self.mask}
        clone = {place(old, "clone"): place(new, "clone") for old, new in self.clone.items()}
        top_k = before.top_k if self.top_k is None else self.top_k
        if not 1 <= top_k <= experts - len(masked):
            out = f", since {sorted(masked)} are masked" if masked else ""
            raise InputError(f"top_k is {top_k}; layer {layer} can choose 1 to {experts - len(masked)} experts{out}.")
        return Routing(top_k, self.dtype or before.dtype, {**before.stand_ins, **clone}, masked)


def routing(
    layer: object = None, *, top_k: int | None = None, dtype: str | torch.dtype | None = None,
    clone: Mapping[int, int] | None = None, mask: Any = (), shared: bool = True,
) -> RoutingEdit:  # fmt: skip
    """Turn the routers of a mixture of experts. Blocks inside one another add up: masks join, clones too.

    Args:
        layer: a number, a list, a range or a slice; None for every layer that has experts.
        top_k: experts per token.
        dtype: of the router's product, such as "bfloat16".
        clone: {3: 5}: where expert 3 is chosen, expert 5 answers, with the weight of 3.
        mask: a number, or a list, of experts that cannot be chosen.
        shared: False silences the shared expert.
    Raises:
        InputError: an argument of another kind. What the model does not have is refused when the block begins.
    """
    if dtype is not None and dtype not in (*DTYPES, *DTYPES.values()):
        raise InputError(f"dtype {dtype!r} is not known; use {', '.join(DTYPES)}.")
    if not isinstance(shared, bool):
        raise InputError(f"shared is {shared!r}; pass False to silence the shared expert, or leave it out.")
    if not isinstance(clone, Mapping | None):
        raise InputError(f"clone is {clone!r}; pass a dictionary such as {{3: 5}}: expert 5 answers for expert 3.")
    if top_k is not None:
        (top_k,) = _numbers(top_k, "top_k", 1)
    pairs = {_numbers(old, "clone", 1)[0]: _numbers(new, "clone", 1)[0] for old, new in (clone or {}).items()}
    nothing = isinstance(mask, list | tuple | set | frozenset) and not mask
    masked = () if nothing else tuple(_numbers(mask, "mask"))
    wanted = DTYPES[dtype] if isinstance(dtype, str) else dtype
    return RoutingEdit(layer, top_k, wanted, pairs, masked, shared)


def _mask(experts: Tensor, module: nn.Module, inputs: tuple, value: Tensor) -> Tensor:
    return value.index_fill(-1, experts.to(value.device), -torch.inf)


def _numbers(given: Any, what: str, most: int | None = None) -> list[int]:
    try:
        found = whole_numbers(given, what)
    except InputError as error:
        raise InputError(f"{what} is {given!r}; pass whole numbers.") from error
    if most is not None and len(found) > most:
        raise InputError(f"{what} is {given!r}; pass one whole number.")
    return found
