"""Edits against a slow re-computation from scratch (slow.py): any value, any place, any kind.

The places and kinds are drawn as plain data, `Drawn`, and read twice: by `lab.edit`, and by `change_of`, which applies
them to one token at a time inside the slow model.
"""

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model.strategies import configs, pieces
from reference import randomise
from slow import Array, Change, Router, slow_forward
from small import DENSE, MOE

import qwen35_lab as lab
from qwen35_lab.edits import Edit
from qwen35_lab.model import taps
from qwen35_lab.routers import RoutingEdit

TOLERANCE = 1e-8  # float64; of each tap's largest value, or of 1 if all are smaller
IDS, OTHER_IDS = [3, 1, 4, 1, 5, 9, 2], [7, 7, 2, 9, 0, 5, 1]
T = len(IDS)
EXPERTS = MOE["num_experts"]
MAPS = ("mixer.scores", "mixer.weights")  # [head, query, key]
LAZY = (*MAPS, "mixer.erase", "mixer.write", "mixer.state")
SEEDS = st.integers(0, 2**31)
READ = {"final": "hidden", "logits": "logits"}  # tap -> field of the model's output
FULL_FIRST = ["full_attention", "linear_attention", "linear_attention", "full_attention"]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "dense": DENSE,
    "mixture of experts": MOE,
    "attention first": MOE | {"layer_types": FULL_FIRST, "linear_conv_kernel_dim": 2, "attention_bias": True},
}


# ------------------------------------------------------------------------------------ the referee is a referee


def model_of(raw: dict[str, Any], seed: int = 0) -> lab.Qwen:
    """In float64, with weights at which every parameter matters."""
    qwen = lab.from_config(raw, dtype="float64")
    randomise(qwen.model, seed)
    return qwen


def stacked(name: str, values: list[Array]) -> torch.Tensor:
    """One tap's values as a trace lays them out: [token, …], or [head, query, key]."""
    if short(name) in MAPS:
        later = -np.inf if name.endswith(".scores") else 0.0
        rows = [np.pad(row, ((0, 0), (0, len(values) - row.shape[1])), constant_values=later) for row in values]
        return torch.from_numpy(np.stack(rows, axis=1))
    return torch.from_numpy(np.stack(values))


def assert_same(found: dict[str, torch.Tensor], slow: dict[str, list[Array]], tolerance: float = TOLERANCE) -> None:
    for name, value in found.items():
        truth = stacked(name, slow[name])
        scale = max(1.0, truth[truth.isfinite()].abs().max().item())
        torch.testing.assert_close(
            value, truth, atol=tolerance * scale, rtol=0, msg=lambda m, name=name: f"{name}: {m}"
        )


@settings(max_examples=30)
@given(configs(), st.integers(1, 10), st.integers(0, 1000))
def test_the_slow_model_equals_ours_at_every_tap(raw: dict[str, Any], length: int, seed: int) -> None:
    """On random architectures, without edits."""
    raw["rope_parameters"] |= {"rope_type": "default"}  # slow.py has no YaRN
    qwen = model_of(raw, seed)
    ids = torch.randint(0, raw["vocab_size"], (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    slow = slow_forward(qwen.model, ids)
    assert slow.keys() == {name for name, _ in taps(qwen.model)}
    for record in ("*", tuple(slow)):
        assert_same(qwen.trace(ids, record=record).tensors, slow, 1e-9)


# ----------------------------------------------------------------------------------------------- drawing edits


@dataclass(frozen=True)
class Place:
    """Some indices of an axis, as `lab.edit` is told them, and spelled out in that order."""

    said: int | list[int] | slice
    indices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    pattern: str
    names: tuple[str, ...]  # of the taps that are meant
    where: dict[str, Place]
    steps: tuple[tuple[str, Any], ...]  # kind and amount: a number, a tensor over the chosen places, or nothing


@functools.cache
def qwen_of(architecture: str) -> lab.Qwen:
    return model_of(ARCHITECTURES[architecture])


@functools.cache
def axes_of(architecture: str) -> dict[str, tuple[str, ...]]:
    return {name: tap.axes[1:] for name, tap in taps(qwen_of(architecture).model)}


@functools.cache
def source_of(architecture: str) -> tuple[lab.Trace, dict[str, list[Array]]]:
    """Where `patch_from` takes its values: another prompt, by our trace and by the slow model."""
    qwen = qwen_of(architecture)
    return qwen.trace(OTHER_IDS, record=list(axes_of(architecture))), slow_forward(qwen.model, OTHER_IDS)


def short(name: str) -> str:
    """`layers.3.mixer.k` -> `mixer.k`"""
    return name.split(".", 2)[2] if name.startswith("layers.") else name


@st.composite
def places(draw: st.DrawFn, size: int) -> Place:
    said = draw(st.sampled_from(["one", "list", "slice"]))
    if said == "slice":
        start, last = sorted((draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))))
        return Place(slice(start, last + 1), tuple(range(start, last + 1)))
    most = 1 if said == "one" else 3
    some = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=most, unique=True))
    return Place(some[0] if said == "one" else some, tuple(some))


@st.composite
def steps(draw: st.DrawFn, name: str, shape: Sequence[int]) -> tuple[str, Any]:
    """A kind of edit that makes sense at a tap, with an amount for chosen places of that shape."""
    if short(name) == "ffn.expert_ids":
        kind = draw(st.sampled_from(["set", "zero", "replace", "patch_from"]))
        return kind, draw(st.integers(0, EXPERTS - 1)) if kind == "set" else None
    kind = draw(st.sampled_from(["set", "scale", "add", "zero", "replace", "patch_from"]))
    if kind in ("zero", "replace", "patch_from"):
        return kind, None
    if draw(st.booleans()):
        amount: Any = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(draw(SEEDS)))
    else:
        amount = draw(st.integers(-15, 15)) / 10
    if short(name) == "mixer.decay":  # a memory that fades: e^g is at most 1
        amount = abs(amount) if kind == "scale" else -abs(amount)
    return kind, amount


@st.composite
def edits(draw: st.DrawFn, architecture: str) -> Drawn:
    found = axes_of(architecture)
    alike: dict[Any, list[str]] = {}  # q of attention and q of DeltaNet have other axes
    for name, axes in found.items():
        alike.setdefault((short(name), axes), []).append(name)
    lazy = [group for group in alike.items() if group[0][0] in LAZY]  # the hard ones: three times as often
    (kind_of_tap, axes), names = draw(st.sampled_from([*sorted(alike.items()), *lazy, *lazy]))
    where: dict[str, Place] = {}
    pattern = draw(st.sampled_from(names))
    if len(names) > 1 and draw(st.booleans()):
        pattern = f"layers.*.{kind_of_tap}"
        layers = draw(st.lists(st.sampled_from([int(name.split(".")[1]) for name in names]), min_size=1, unique=True))
        where["layer"] = Place(layers, tuple(layers))
        names = [f"layers.{n}.{kind_of_tap}" for n in layers]
    else:
        names = [pattern]
    trace, _ = source_of(architecture)
    chosen = []
    for axis, size in zip(axes, trace[names[0]].shape, strict=True):
        if draw(st.booleans()):
            where[axis] = draw(places(size))
        growing = kind_of_tap in MAPS and axis == "key"  # one number for all keys
        chosen.append(1 if growing else len(where[axis].indices) if axis in where else size)
    if "choice" in axes and draw(st.booleans()):
        where["expert"] = draw(places(EXPERTS))
    done = draw(st.lists(steps(names[0], chosen), min_size=1, max_size=2))
    return Drawn(pattern, tuple(names), where, tuple(done))


ARCHITECTURE = st.sampled_from(sorted(ARCHITECTURES))


# ------------------------------------------------------------------------------------------- one edit, read twice


def bent(x: Any) -> Any:
    """For `replace`, of numpy's arrays and of torch's: other values, of which none grows, and experts stay experts."""
    return EXPERTS - 1 - x if "int" in str(x.dtype) else -abs(x) / (1 + x * x)


def ours(drawn: Drawn, architecture: str) -> Edit:
    edit = lab.edit(drawn.pattern, **{axis: place.said for axis, place in drawn.where.items()})
    for kind, amount in drawn.steps:
        argument = {"zero": (), "replace": (bent,), "patch_from": source_of(architecture)[:1]}.get(kind, (amount,))
        edit = getattr(edit, kind)(*argument)
    return edit


def change_of(edits: Sequence[Drawn], architecture: str, met: set[Drawn]) -> Change:
    """For the slow model; notes in `met` which edits have met a place of theirs."""
    axes, (_, source) = axes_of(architecture), source_of(architecture)
    experts: dict[tuple[str, int], Array] = {}  # chosen at (feed-forward, token)

    def change(name: str, value: Array, token: int) -> Array:
        at = (name.rsplit(".", 1)[0], token)
        for edit in (edit for edit in edits if name in edit.names):
            ids = value if name.endswith("expert_ids") else experts.get(at)
            after = changed(edit, value, token, axes[name], source[name][token], ids)
            if after is not None:
                met.add(edit)
                value = after
        if name.endswith("expert_ids"):
            experts[at] = value
        return value

    return change


def changed(
    edit: Drawn, value: Array, token: int, axes: tuple[str, ...], other: Array, experts: Array | None
) -> Array | None:  # fmt: skip
    """One tap's value at one token after an edit, None if nothing of it is meant; `other` is what the trace to patch
    from holds there."""
    time = "query" if "query" in axes else "token"
    tokens = edit.where[time].indices if time in edit.where else tuple(range(T))
    rest = [axis for axis in axes if axis != time]
    chosen = [edit.where[axis].indices if axis in edit.where else range(n) for axis, n in zip(rest, value.shape)]
    chosen = [[n for n in some if n < size] for some, size in zip(chosen, value.shape)]  # keys: those so far
    if token not in tokens or not all(chosen):
        return None
    grid = np.ix_(*chosen)
    part = value[grid]
    for kind, amount in edit.steps:
        if isinstance(amount, torch.Tensor):
            amount = amount.select(axes.index(time), tokens.index(token)).numpy()
        part = other[grid] if kind == "patch_from" else step(kind, part, amount)
    edited = value.copy()
    edited[grid] = part
    if experts is not None and "expert" in edit.where:
        here = np.isin(experts, edit.where["expert"].indices)
        if not here[chosen[axes.index("choice") - 1]].any():
            return None
        edited = np.where(here.reshape(-1, *[1] * (value.ndim - 1)), edited, value)
    return edited


def step(kind: str, part: Array, amount: Any) -> Array:
    match kind:
        case "set":
            return np.broadcast_to(amount, part.shape)
        case "scale":
            return part * amount
        case "add":
            return part + amount
        case "replace":
            return bent(part)
        case _:
            return 0 * part


def slow_with(
    architecture: str, drawn: Sequence[Drawn], router: Router | None = None
) -> tuple[dict[str, list[Array]], bool]:
    """The slow model under edits, and whether each of them has met a place of its own. Draws that make two experts
    tie are passed over: which wins is nobody's promise."""
    met: set[Drawn] = set()
    slow = slow_forward(qwen_of(architecture).model, IDS, change_of(drawn, architecture, met), router)
    scores = [row for name, rows in slow.items() if short(name) == "ffn.router_logits" for row in rows]
    assume(all(np.diff(np.sort(row[np.isfinite(row)])).min() > 1e-6 for row in scores))
    return slow, met == set(drawn)


def refused_unless(met: bool) -> Any:
    return nullcontext() if met else pytest.raises(lab.InputError, match="changed nothing")


def check_one_pass(
    architecture: str, drawn: Sequence[Drawn], form_everything: bool, router: Router | None = None,
    *routers: RoutingEdit,
) -> None:  # fmt: skip
    """With the fast forms where the edits allow them, or with every value formed."""
    slow, met = slow_with(architecture, drawn, router)
    record = list(slow) if form_everything else "*"
    edits = [*routers, *(ours(edit, architecture) for edit in drawn)]
    with refused_unless(met):
        trace = qwen_of(architecture).trace(IDS, record=record, edits=edits)
    if met:
        assert trace.tensors.keys() >= {"final", "logits"}
        assert_same(trace.tensors, slow)


@settings(max_examples=200)
@given(st.data())
def test_an_edit_equals_a_slow_recomputation_at_every_tap(data: st.DataObject) -> None:
    architecture = data.draw(ARCHITECTURE)
    check_one_pass(architecture, [data.draw(edits(architecture))], data.draw(st.booleans()))


@settings(max_examples=60)
@given(st.data())
def test_edits_together_equal_a_slow_recomputation(data: st.DataObject) -> None:
    architecture = data.draw(ARCHITECTURE)
    drawn = data.draw(st.lists(edits(architecture), min_size=2, max_size=3))
    check_one_pass(architecture, drawn, data.draw(st.booleans()))


@settings(max_examples=100)
@given(st.data())
def test_edits_count_tokens_across_the_passes_of_a_cache(data: st.DataObject) -> None:
    """A prompt in pieces, single tokens among them: the same edit at the same tokens of the text."""
    architecture = data.draw(ARCHITECTURE)
    drawn = data.draw(st.lists(edits(architecture), min_size=1, max_size=2))
    sizes = data.draw(st.one_of(st.just([1] * T), pieces(T)))
    qwen = qwen_of(architecture)
    slow, met = slow_with(architecture, drawn)
    cache = qwen.model.new_cache()
    edits_of = [ours(edit, architecture) for edit in drawn]
    with refused_unless(met), qwen.edited(*edits_of), torch.no_grad():
        passes = [qwen.model(piece, cache=cache) for piece in torch.tensor([IDS]).split(sizes, dim=1)]
    found = {name: torch.cat([getattr(p, at)[0] for p in passes]) for name, at in READ.items()}
    assert_same(found, slow)


@st.composite
def knobs(draw: st.DrawFn) -> dict[str, Any]:
    """For one `lab.routing`; any two of them leave the experts that they ask for."""
    expert = st.integers(-EXPERTS, EXPERTS - 1)
    return draw(st.fixed_dictionaries({}, optional={
        "top_k": st.integers(1, 4), "mask": st.lists(expert, max_size=1),
        "clone": st.dictionaries(expert, expert, max_size=2), "shared": st.booleans(),
    }))  # fmt: skip


def router_of(turns: Sequence[dict[str, Any]]) -> Router:
    """What several turns, one after the other, come to."""
    clones: dict[int, int] = {}
    for turn in turns:
        clones |= {old % EXPERTS: new % EXPERTS for old, new in turn.get("clone", {}).items()}
    return Router(
        top_k=next((turn["top_k"] for turn in reversed(turns) if "top_k" in turn), None),
        masked=frozenset(expert % EXPERTS for turn in turns for expert in turn.get("mask", ())),
        clones=clones,
        shared=all(turn.get("shared", True) for turn in turns),
    )


@settings(max_examples=80)
@given(st.data())
def test_turned_routers_equal_a_slow_recomputation_with_edits_besides(data: st.DataObject) -> None:
    """One turn in a block, and perhaps another one inside it; the number of choices is no longer the config's."""
    architecture = data.draw(st.sampled_from(["mixture of experts", "attention first"]))
    turns = data.draw(st.lists(knobs(), min_size=1, max_size=2))
    drawn = data.draw(st.lists(edits(architecture), max_size=1))
    for edit in drawn:
        assume("choice" not in axes_of(architecture)[edit.names[0]])
        assume(not edit.pattern.endswith("router_logits"))  # −∞ there, times 0
    outer, *inner = (lab.routing(**turn) for turn in turns)
    with qwen_of(architecture).edited(outer):
        check_one_pass(architecture, drawn, data.draw(st.booleans()), router_of(turns), *inner)
