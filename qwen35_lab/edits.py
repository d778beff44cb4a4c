"""Change a value while the model runs, by its tap's name, and everything that follows is computed from the change.

    edit("layers.0.mixer.beta", token=5).scale(0)              # token 5 writes nothing into layer 0
    edit("layers.*.mixer.erase").zero()                        # no layer erases
    edit("layers.2.output", token=3).patch_from(other)         # as it was in another trace
    routing(top_k=1)                                           # one expert per token

    with qwen.edited(edit(…).scale(0.5).add(1), routing(…)):   # in this order; gone again at the end of the block
        …

Inside a recurrence an edit acts on all that comes later: the memory is really computed anew from the edited token on.
Tokens are counted from the first one that the cache has read, so an edit means the same in one pass and in many.
Padding is not counted and never edited: an edit means the same for a row of a batch as for that row alone.
An edit acts in the thread that began its block; what other threads run meanwhile is as if it were not there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .capture import chosen
from .errors import InputError
from .interrupt import whole
from .model import Tap, TextModel
from .model.taps import listen
from .passes import Passes, pick
from .routers import RoutingEdit
from .selection import Selection, cross
from .trace import Trace

Change = Callable[[Tensor, Selection], Tensor]


@dataclass(frozen=True)
class Operation:
    words: str
    change: Change  # (the chosen part, where it is) -> what takes its place
    same: bool = False  # leaves every value as it is


@dataclass(frozen=True, repr=False)
class Edit:
    """Taps, places in their values, and what happens there, one operation after the other. Made by `edit`.

    Each operation gives a new edit that has it as its last: `set`, `scale`, `add`, `zero`, `replace`, `patch_from`.
    """

    pattern: str
    where: Mapping[str, object]
    operations: tuple[Operation, ...] = ()

    def set(self, value: float | Tensor) -> "Edit":
        """Put a number there, or a tensor that has the tap's axes without the batch (or broadcasts to them)."""
        value = _amount(value)
        return self._then(f"= {_words(value)}", lambda part, at: at.spread(value, part))

    def scale(self, factor: float | Tensor) -> "Edit":
        """Multiply by a number, or by a tensor as in `set`."""
        factor = _amount(factor)
        same = bool(torch.as_tensor(factor == 1).all())
        return self._then(f"× {_words(factor)}", lambda part, at: part * at.spread(factor, part), same)

    def add(self, value: float | Tensor) -> "Edit":
        """Add a number, or a tensor as in `set`."""
        value = _amount(value)
        same = bool(torch.as_tensor(value == 0).all())
        return self._then(f"+ {_words(value)}", lambda part, at: part + at.spread(value, part), same)

    def zero(self) -> "Edit":
        """Put 0 there."""
        return self._then("= 0", lambda part, at: torch.zeros_like(part))

    def replace(self, function: Callable[[Tensor], Tensor]) -> "Edit":
        """Put `function(part)` there; part has a batch axis, and those tokens of the choice that are being computed:
        all of a pass, or one at a time inside a recurrence. Of a batch with padding it has one row at a time."""
        if not callable(function):
            raise InputError(
                f"replace takes a function of the chosen part; {function!r} is none. For a number, use set."
            )
        name = getattr(function, "__name__", "a function")
        return self._then(f"= {name}(it)", lambda part, at: function(part))

    def patch_from(self, trace: Trace, token: int | Sequence[int] | None = None) -> "Edit":
        """Put there what the same tap held in another trace.

        Args:
            token: read it from these tokens of the trace, one for each chosen one; by default from the same ones.
                Negative ones count from the trace's end.
        """
        if not isinstance(trace, Trace):
            raise InputError(f"patch_from takes a trace, and {trace!r} is none; make one with qwen.trace(…).")
        words = f"from “{' '.join(trace.tokens[:3])}…”" if len(trace.tokens) > 3 else f"from “{' '.join(trace.tokens)}”"
        return self._then(words, lambda part, at: at.read(trace, token, part))

    def _then(self, words: str, change: Change, same: bool = False) -> "Edit":
        return replace(self, operations=(*self.operations, Operation(words, change, same)))

    def __str__(self) -> str:
        places = ", ".join(f"{axis} {_words(place)}" for axis, place in self.where.items())
        return f"{self.pattern}{f'[{places}]' if places else ''} {' '.join(o.words for o in self.operations)}".strip()

    def __repr__(self) -> str:
        return f"<edit {self}>"

    def install(self, model: TextModel, stack: ExitStack, passes: Passes) -> None:
        """Let it act until `stack` closes."""
        if not self.operations:
            raise InputError(f"The edit {self} says where and not what; go on with .scale(…), .zero() or .set(…).")
        names = chosen(model, self.pattern)
        if (layers := self.where.get("layer")) is not None:
            count = len(model.layers)
            wanted = {f"layers.{n}" for n in pick(layers, count, "layer").tolist()}
            names = {name: tap for name, tap in names.items() if ".".join(name.split(".")[:2]) in wanted}
            if not names:
                raise InputError(f"{self.pattern!r} has no tap in layer {_words(layers)}; change one of the two.")
        where = {axis: place for axis, place in self.where.items() if axis != "layer" and place is not None}
        self._check_axes(names, where)
        for name, tap in names.items():
            self._install(model, name, tap, dict(where), stack, passes)

    def _check_axes(self, names: Mapping[str, Tap], where: Mapping[str, object]) -> None:
        """Raises InputError if only some of the taps have an axis that is named: says which."""
        for axis in where:
            known = {name: (*tap.axes, "expert") if "choice" in tap.axes else tap.axes for name, tap in names.items()}
            have = [name for name in names if axis in known[name]]
            if have and len(have) < len(names) and all(name.startswith("layers.") for name in have):
                layers = [int(name.split(".")[1]) for name in have]
                raise InputError(
                    f"Only some of the taps that match {self.pattern!r} have an axis {axis!r}; choose them with "
                    f"layer={layers}, and the others in an edit of their own."
                )

    def _install(
        self, model: TextModel, name: str, tap: Tap, where: dict, stack: ExitStack, passes: Passes
    ) -> None:  # fmt: skip
        experts = where.pop("expert", None) if "choice" in tap.axes else None
        numbers = None if experts is None else pick(experts, passes.experts(name), "expert")
        selection = Selection(name, tap, where, passes, str(self))
        if tap.lazy and all(operation.same for operation in self.operations):
            return  # forming the value takes the readable path, which rounds differently: for nothing
        passes.reached.setdefault(selection.words, False)
        ids: list[Tensor] = []  # the latest choice of experts, where the edit is of some experts' answers
        if numbers is not None:
            source = model.get_submodule(name.rsplit(".", 1)[0] + ".expert_ids")
            listen(stack, source, lambda module, inputs, value: ids.__setitem__(slice(None), [value]))

        def act(module: nn.Module, inputs: tuple, value: Tensor) -> Tensor:
            edited = value
            for window in selection.windows(value):
                here = None if numbers is None else torch.isin(ids[0], numbers.to(value.device))
                if window is None:
                    return self._changed(value, selection, here)
                index = cross(window, value)
                here = None if here is None else here[cross(window[:3], value)]
                edited = value.clone() if edited is value else edited
                edited[index] = self._changed(value[index], selection, here)
            return edited

        listen(stack, tap, act)

    def _changed(self, window: Tensor, selection: Selection, only: Tensor | None) -> Tensor:
        """A window with what the operations make of the chosen places.

        Args:
            only: bool, the window's first axes: leave all else as it is.
        """
        at = selection.next(window)
        if at is None:
            return window
        grid = cross(at, window)
        part = window[grid]
        for operation in self.operations:
            part = selection.fitting(operation.change(part, selection), part)
        edited = window.clone()
        edited[grid] = part
        if selection.maps:  # a key later than its query stays what it is, and so does another frame: out of sight
            only = selection.in_sight(window).expand_as(window)
        if only is None:
            selection.passes.reached[selection.words] = True
            return edited
        only = only.view(*only.shape, *[1] * (window.ndim - only.ndim)).expand_as(window)
        selection.passes.reached[selection.words] |= bool(only[grid].any())
        return torch.where(only, edited, window)


def edit(pattern: str, **where: object) -> Edit:
    """Choose what to change, taps by a glob and places by the names of axes; then say what happens there.

        edit("layers.0.mixer.write", token=8).zero()
        edit("layers.*.mixer.beta", token=[2, 5], head=3).scale(0.5).add(0.1)

    The operations are `set`, `scale`, `add`, `zero`, `replace` and `patch_from`. Tokens are counted as in
    `qwen.trace(…).tokens`. A DeltaNet layer may write a word one or two tokens after it: its q, k and v are made of a
    few tokens up to theirs.

    Args:
        pattern: as in `record`: "layers.0.mixer.beta", "layers.*.mixer.erase".
        where: token, head, expert, or any other axis of the tap (`trace[name].axes`, `docs/taps.md`), and `layer`:
            a number, a list of numbers, a range or a slice (that runs forwards) each; everything where an axis is not
            mentioned. Tokens are counted without padding; negative ones count from the end of the prompt, also if it
            is read in several passes by `generate` or `trace` (by hand, say `cache.prompt = …`, its number of tokens).
            Patches and cells are counted over all pictures that one call shows, negative ones from their end.
            `expert=3` at a tap with a `choice` axis means wherever expert 3 was chosen, as the edits before this one
            left the choice. `batch` means rows of a batch, negative ones from its end.
    Raises:
        InputError: the pattern is no text. What does not fit the model is refused when the block begins, or at the tap.
    """
    if not isinstance(pattern, str):
        raise InputError(f"An edit begins with the name of a tap; {pattern!r} is none.")
    return Edit(pattern, where)


AnyEdit = Edit | RoutingEdit


@whole
def edited(model: TextModel, edits: AnyEdit | Iterable[AnyEdit]) -> Iterator[Passes]:
    """Inside the block the model runs with the edits, in their order; afterwards it is what it was, bit for bit.

    They act in the thread that opens the block. A block inside another one adds its edits.

    Raises:
        InputError: an edit that does not fit; at the end of the block, one that met none of its places in what was run.
    """
    edits = edits_of(edits)
    with ExitStack() as stack:
        passes = Passes(stack, model, edits)
        for each in edits:
            each.install(model, stack, passes)
        yield passes
    missed = [words for words, met in passes.reached.items() if not met]
    if missed and passes.number:
        raise InputError(
            f"The edit {missed[0]} changed nothing: none of its places is in the {passes.tokens} tokens that were run; "
            "choose others."
        )


def edits_of(edits: Any) -> tuple[AnyEdit, ...]:
    """One edit or several, as several. Raises `InputError` for what are none."""
    if isinstance(edits, AnyEdit):
        return (edits,)
    listed: tuple[Any, ...] = tuple(edits) if isinstance(edits, Iterable) and not isinstance(edits, str) else (edits,)
    for each in listed:
        if not isinstance(each, AnyEdit):
            raise InputError(f"{each!r} is no edit; make one with lab.edit(…) or lab.routing(…).")
    return listed


def _amount(value: Any) -> float | Tensor:
    """A number or a tensor as it was given, numpy's as torch's."""
    if isinstance(value, int | float | Tensor):
        return value
    try:
        found = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{value!r} is no number and no tensor; pass one of the two.") from error
    return found.item() if found.ndim == 0 else found


def _words(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.numel() == 1 else f"a tensor {list(value.shape)}"
    if isinstance(value, slice):
        parts = [value.start, value.stop] if value.step is None else [value.start, value.stop, value.step]
        return ":".join("" if part is None else str(part) for part in parts)
    return f"{value:g}" if isinstance(value, float) else str(value)
