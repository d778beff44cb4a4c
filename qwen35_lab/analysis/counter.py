"""Count what really runs: PyTorch's own FLOP counter, and beside it every operator that it gives nothing.

`FlopCounterMode` knows products of matrices, convolutions and some fused attentions, and scores every other operator
with zero. On a CPU that includes the fused attention itself, the triangular solve, and all that is done element by
element. So a count is only as good as the list of what it has passed over, and both are kept here.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ..model.taps import Tap, listen
from .table import Table

# operators that compute nothing: they make room, or copy, or look at the same numbers in another shape
IDLE = {"_to_copy", "arange", "cat", "clone", "copy_", "empty", "empty_like", "eye", "fill_", "full", "index_put_",
        "new_empty", "new_zeros", "ones", "repeat", "scalar_tensor",
        "stack", "zero_", "zeros", "constant_pad_nd"}  # fmt: skip

VIEWS = {"_unsafe_view", "promote_types"}  # that do not call themselves so
UNREAD = {"empty_like", "new_empty", "new_zeros"}  # their operand only lends its dtype
PICKING = {"embedding", "gather", "index", "index_select"}  # read as much as they write


@dataclass(frozen=True)
class Seen:
    """One operator over a whole run."""

    calls: int
    flops: int  # by PyTorch's counter
    moved: int  # bytes of its operands and of its results


@dataclass(frozen=True)
class Count:
    """What ran, by operator, and the FLOPs by module where there was one."""

    operators: dict[str, Seen]
    modules: dict[str, int]

    @property
    def flops(self) -> int:
        return sum(op.flops for op in self.operators.values())

    @property
    def moved(self) -> int:
        """Bytes read and written by operators without FLOPs: passes over arrays."""
        return sum(op.moved for op in self.operators.values() if not op.flops)

    @property
    def passed_over(self) -> list[str]:
        """Operators that compute something and got no FLOPs, the one that moves most first."""
        names = [name for name, op in self.operators.items() if not op.flops and name not in IDLE]
        return sorted(names, key=lambda name: -self.operators[name].moved)

    def table(self, most: int = 12) -> Table:
        """The operators with the most FLOPs, then those that were passed over."""
        counted = sorted((n for n, op in self.operators.items() if op.flops), key=lambda n: -self.operators[n].flops)
        names = [*counted, *self.passed_over][:most]
        rows = [(name, f"{op.calls:,}", f"{op.flops:,}", f"{op.moved:,}")
                for name in names for op in [self.operators[name]]]  # fmt: skip
        left = len(counted) + len(self.passed_over) - len(rows)
        more = f" {left} more operators that got none are left out." if left else ""
        caption = "Every operator of one run: FLOPs as FlopCounterMode gives them, and the bytes of all operands."
        return Table(("operator", "calls", "FLOPs counted", "bytes moved"), tuple(rows), "<>>>", caption + more)


def _onednn() -> dict[Any, Callable[..., int]]:
    """What PyTorch's counter does not know: a layer's product by oneDNN (model/product.py), where there is one."""

    def flops(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
        """From the shapes [..., in] and [out, in]."""
        return 2 * prod(x) * weight[0]

    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return {product: flops} if product else {}


def count_operators(run: Callable[[], Any], model: nn.Module | None = None) -> Count:
    """Run once, and count.

    Args:
        run: what to watch; it runs in inference mode. On the `meta` device nothing is computed, and all is counted.
        model: also give the FLOPs of its modules, by their names: "layers.0.mixer".
    """
    watch, flops = _Watch(), FlopCounterMode(display=False, custom_mapping=_onednn())
    with torch.no_grad(), watch, flops:
        run()
    found = flops.get_flop_counts()
    counted = Counter({_name(op): n for op, n in found.get("Global", {}).items()})
    operators = {name: Seen(watch.calls[name], counted[name], watch.moved[name]) for name in watch.calls}
    modules = {}
    if model is not None:
        prefix = type(model).__name__ + "."
        modules = {name.removeprefix(prefix): sum(ops.values()) for name, ops in found.items() if name != "Global"}
    return Count(operators, modules)


@contextmanager
def written_out(model: nn.Module) -> Iterator[None]:
    """Inside, attention runs as written, product by product, and not in a fused kernel; nothing is kept of it."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, Tap) and name.endswith("weights") and "key" in module.axes[-1]:
                listen(stack, module, _nothing)
        yield


def _nothing(*_: Any) -> None:
    """A listener that changes nothing; that somebody listens is enough."""


class _Watch(TorchDispatchMode):
    """Calls of every operator, and the bytes that it reads and writes; views are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view and _name(func) not in VIEWS:
            name = _name(func)
            self.calls[name] += 1
            read, written = _bytes((args, kwargs)), _bytes(made)
            self.moved[name] += written if name in UNREAD else 2 * written if name in PICKING else read + written
        return made


def _name(op: Any) -> str:
    """`aten.mm.default` -> `mm`"""
    return getattr(op, "_overloadpacket", op).__name__


def _bytes(operands: Any) -> int:
    """Of the numbers that tensors have, not of those that they seem to have when they were expanded."""
    found = 0
    for t in tree_leaves(operands):
        if isinstance(t, Tensor):
            found += prod(size for size, stride in zip(t.shape, t.stride()) if stride or size < 2) * t.element_size()
    return found
