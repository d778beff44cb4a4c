"""Change a value while the model runs, by its tap's name, and everything that follows is computed from the change.

    edit("layers.0.mixer.beta", token=5).scale(0)              # token 5 writes nothing into layer 0
    edit("layers.*.mixer.erase").zero()                        # no layer erases
    edit("layers.2.output", token=3).patch_from(other)         # as it was in another trace
    routing(top_k=1)                                           # one expert per token

    with qwen.edited(edit(…).scale(0.5).add(1), routing(…)):   # in this order; gone again at the end of the block
        …

Inside a recurrence an edit acts on all that comes later: the memory is really computed anew from the edited token on.
Tokens are counted from the first one that the cache has read, so an edit means the same in one pass and in many.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from .capture import chosen
from .errors import InputError
from .model import Tap, TextModel
from .model.moe import Routing, SparseMoE
from .model.taps import listen
from .selection import Passes, Selection, pick
from .trace import Trace

Change = Callable[[Tensor, Selection], Tensor]


@dataclass(frozen=True)
class Operation:
    words: str
    change: Change  # (the chosen part, where it is) -> what takes its place
    same: bool = False  # leaves every value as it is


@dataclass(frozen=True)
class Edit:
    """Taps, places in their values, and what happens there, one operation after the other. Made by `edit`."""

    pattern: str
    where: Mapping[str, object]
    operations: tuple[Operation, ...] = ()

    def set(self, value: float | Tensor) -> "Edit":
        """Put a number there, or a tensor that has the tap's axes without the batch (or broadcasts to them)."""
        return self._then(f"= {_words(value)}", lambda part, at: at.spread(value, part))

    def scale(self, factor: float | Tensor) -> "Edit":
        same = not isinstance(factor, Tensor) and factor == 1
        return self._then(f"× {_words(factor)}", lambda part, at: part * at.spread(factor, part), same)

    def add(self, value: float | Tensor) -> "Edit":
        same = not isinstance(value, Tensor) and value == 0
        return self._then(f"+ {_words(value)}", lambda part, at: part + at.spread(value, part), same)

    def zero(self) -> "Edit":
        return self._then("= 0", lambda part, at: torch.zeros_like(part))

    def replace(self, function: Callable[[Tensor], Tensor]) -> "Edit":
        """Put `function(part)` there; part has a batch axis, and those tokens of the choice that are being computed:
        all of a pass, or one at a time inside a recurrence."""
        name = getattr(function, "__name__", "a function")
        return self._then(f"= {name}(it)", lambda part, at: function(part))

    def patch_from(self, trace: Trace, token: int | Sequence[int] | None = None) -> "Edit":
        """Put there what the same tap held in another trace.

        Args:
            token: read it from these tokens of the trace, one for each chosen one; by default from the same ones.
        """
        words = f"from “{' '.join(trace.tokens[:3])}…”" if len(trace.tokens) > 3 else f"from “{' '.join(trace.tokens)}”"
        return self._then(words, lambda part, at: at.read(trace, token, part))

    def _then(self, words: str, change: Change, same: bool = False) -> "Edit":
        return replace(self, operations=(*self.operations, Operation(words, change, same)))

    def __str__(self) -> str:
        places = ", ".join(f"{axis} {_words(place)}" for axis, place in self.where.items())
        return f"{self.pattern}{f'[{places}]' if places else ''} {' '.join(o.words for o in self.operations)}".strip()

    def install(self, model: TextModel, stack: ExitStack, passes: Passes) -> None:
        """Let it act until `stack` closes."""
        names = chosen(model, self.pattern)
        if (layers := self.where.get("layer")) is not None:
            count = len(model.layers)
            wanted = {f"layers.{n}" for n in pick(layers, count, "layer").tolist()}
            names = {name: tap for name, tap in names.items() if ".".join(name.split(".")[:2]) in wanted}
            if not names:
                raise InputError(f"{self.pattern!r} has no tap in layer {_words(layers)}; change one of the two.")
        where = {axis: place for axis, place in self.where.items() if axis != "layer" and place is not None}
        for name, tap in names.items():
            if tap.lazy and all(operation.same for operation in self.operations):
                continue  # forming the value takes the readable path, which rounds differently: for nothing
            self._install(model, name, tap, dict(where), stack, passes)

    def _install(
        self, model: TextModel, name: str, tap: Tap, where: dict, stack: ExitStack, passes: Passes
    ) -> None:  # fmt: skip
        experts = where.pop("expert", None) if "choice" in tap.axes else None
        selection = Selection(name, tap, where, passes, str(self))
        ids: list[Tensor] = []  # the latest choice of experts, where the edit is of some experts' answers
        if experts is not None:
            numbers = pick(experts, passes.experts(name), "expert")
            source = model.get_submodule(name.rsplit(".", 1)[0] + ".expert_ids")
            listen(stack, source, lambda module, inputs, value: ids.__setitem__(slice(None), [value]))

        def act(module: nn.Module, inputs: tuple, value: Tensor) -> Tensor | None:
            grid = selection.next(value)
            if grid is None:
                return None
            part = value[grid]
            for operation in self.operations:
                part = selection.fitting(operation.change(part, selection), part)
            edited = value.clone()
            edited[grid] = part
            if "query" in tap.axes:  # a key later than its query stays what it is: out of sight
                edited = torch.where(selection.seen_keys(value), edited, value)
            if experts is not None:
                here = torch.isin(ids[0], numbers.to(value.device))
                edited = torch.where(here[..., None] if value.ndim > here.ndim else here, edited, value)
            return edited

        listen(stack, tap, act)


def edit(pattern: str, **where: object) -> Edit:
    """Choose what to change: taps by a glob, and places by the names of axes.

    Args:
        pattern: as in `record`: "layers.0.mixer.beta", "layers.*.mixer.erase".
        where: token, head, expert, or any other axis of the tap (`trace[name].axes`, `docs/taps.md`), and `layer`:
            a number, a list of numbers, a range or a slice each; everything where an axis is not mentioned. Negative
            tokens count from the end of the prompt. `expert=3` at a tap with a `choice` axis means wherever expert 3
            was chosen, as the edits before this one left the choice.
    """
    if not isinstance(pattern, str):
        raise InputError(f"An edit begins with the name of a tap; {pattern!r} is none.")
    return Edit(pattern, where)


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
            experts = ffn.gate_up_proj.shape[0]
            before = ffn.routing
            top_k = before.top_k if self.top_k is None else self.top_k
            if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= experts - len(set(self.mask)):
                raise InputError(
                    f"top_k is {top_k!r}; layer {n} can choose 1 to {experts - len(set(self.mask))} experts."
                )
            for expert in (*self.clone, *self.clone.values()):
                pick(expert, experts, "expert")
            stack.callback(setattr, ffn, "routing", before)
            ffn.routing = Routing(top_k, self.dtype or before.dtype, {**before.stand_ins, **self.clone})
            if self.mask:
                edit(f"layers.{n}.ffn.router_logits", expert=self.mask).set(-torch.inf).install(model, stack, passes)
            if not self.shared:
                edit(f"layers.{n}.ffn.shared_gate").zero().install(model, stack, passes)


def routing(
    layer: object = None, *, top_k: int | None = None, dtype: str | torch.dtype | None = None,
    clone: Mapping[int, int] | None = None, mask: int | Sequence[int] = (), shared: bool = True,
) -> RoutingEdit:  # fmt: skip
    """Turn the routers of a mixture of experts.

    Args:
        layer: a number, a list, a range or a slice; None for every layer that has experts.
        top_k: experts per token.
        dtype: of the router's product, such as "bfloat16".
        clone: {3: 5}: where expert 3 is chosen, expert 5 answers, with the weight of 3.
        mask: experts that cannot be chosen.
        shared: False silences the shared expert.
    """
    known = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}
    if dtype is not None and dtype not in (*known, *known.values()):
        raise InputError(f"dtype {dtype!r} is not known; use {', '.join(known)}.")
    masked = (mask,) if isinstance(mask, int) else tuple(mask)
    wanted = known.get(dtype, dtype) if isinstance(dtype, str) else dtype
    return RoutingEdit(layer, top_k, wanted, dict(clone or {}), masked, shared)  # type: ignore[arg-type]


AnyEdit = Edit | RoutingEdit


@contextmanager
def edited(model: TextModel, edits: Iterable[AnyEdit]) -> Iterator[Passes]:
    """Inside the block the model runs with the edits, in their order; afterwards it is what it was, bit for bit."""
    edits = (edits,) if isinstance(edits, Edit | RoutingEdit) else tuple(edits)
    with ExitStack() as stack:
        passes = Passes(stack, model)
        for each in edits:
            if not isinstance(each, Edit | RoutingEdit):
                raise InputError(f"{each!r} is no edit; make one with lab.edit(…) or lab.routing(…).")
            each.install(model, stack, passes)
        yield passes


def _words(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.numel() == 1 else f"a tensor {list(value.shape)}"
    if isinstance(value, slice):
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}"
    return f"{value:g}" if isinstance(value, float) else str(value)
