"""The first exercise of notebook 09: a snapshot of a mixed cache, and the way back to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache as once
from typing import Any

import torch
from torch import Tensor

from ..analysis import gap
from ..model import Cache, TextModel
from ..model.cache import AttentionMemory, DeltaNetMemory
from ..qwen import from_config
from .verdict import attempt

TRIALS = 20
RIGHT = 1e-8  # the largest gap of logits that is rounding, in float64
Back = Callable[[], Any]
SHAPE: dict[str, Any] = {
    "model_type": "qwen3_5_text", "vocab_size": 32, "hidden_size": 24, "num_hidden_layers": 4,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "linear_num_key_heads": 2,
    "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "intermediate_size": 32,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Random token ids [1, n]: what is read, what is drafted twice, and what the caches are asked with."""

    text: Tensor
    drafts: Tensor
    others: Tensor
    probe: Tensor


@once
def hybrid() -> TextModel:
    """A random model with both kinds of layers, at weights where each of them matters."""
    model = from_config(SHAPE, seed=3, dtype="float64").model
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
                module.weight.mul_(50 * module.weight.shape[-1] ** -0.5)
    return model


def trials(seed: int = 0) -> list[Trial]:
    draw = torch.Generator().manual_seed(seed)

    def ids(most: int) -> Tensor:
        count = int(torch.randint(1, most + 1, (), generator=draw))
        return torch.randint(SHAPE["vocab_size"], (1, count), generator=draw)

    return [Trial(ids(9), ids(6), ids(6), ids(3)) for _ in range(TRIALS)]


def stages(snapshot: Callable[..., Any], trial: Trial) -> list[Tensor]:
    """The probe's logits after going back once, once more, and to a later snapshot after that.

    A right answer gives the same for the first two, those of `text`, and for the last those of `text` and `drafts`.
    """
    model, cache = hybrid(), hybrid().new_cache()

    def read(ids: Tensor) -> Tensor:
        return model(ids, cache=cache).logits[0]

    read(trial.text)
    back, found = snapshot(cache), []
    read(trial.drafts)
    back()
    found.append(read(trial.probe))
    back()
    found.append(read(trial.probe))
    back()
    read(trial.drafts)
    later = snapshot(cache)
    back()
    read(trial.others)
    later()
    return [*found, read(trial.probe)]


def right(trial: Trial) -> list[Tensor]:
    """The same by caches that have never read what was taken back."""
    model, plain, drafted = hybrid(), hybrid().new_cache(), hybrid().new_cache()
    model(trial.text, cache=plain)
    model(torch.cat((trial.text, trial.drafts), dim=1), cache=drafted)
    once_more, other = (model(trial.probe, cache=cache).logits[0] for cache in (plain, drafted))
    return [once_more, once_more, other]


# ----------------------------------------------------------------------- mistakes: what each of them leaves as it is


def keeping(*, states: bool = True, conv: bool = True, keys: bool = True, length: bool = True, copy: bool = True,
            reuse: bool = False) -> Callable[[Cache], Back]:  # fmt: skip
    """A snapshot that is right but for what is switched off; `reuse` hands out what it kept instead of copies."""

    def snapshot(cache: Cache) -> Back:
        kept = [_parts(layer, copy) for layer in cache.layers]
        total, layers = cache.length, [_rebuilt(layer, *k) for layer, k in zip(cache.layers, kept, strict=True)]

        def back() -> None:
            if length:
                cache.length = total
            if reuse:
                cache.layers = layers
                return
            for layer, (first, second, count) in zip(cache.layers, kept, strict=True):
                if isinstance(layer, DeltaNetMemory):
                    layer.conv, layer.state = first if conv else layer.conv, second if states else layer.state
                elif keys:
                    if first is not None and copy:
                        layer.k_buffer, layer.v_buffer = first.clone(), second.clone()
                    layer.length = count

        return back

    return snapshot


def _parts(layer: AttentionMemory | DeltaNetMemory, copy: bool) -> tuple[Any, Any, int]:
    if isinstance(layer, DeltaNetMemory):
        return layer.conv, layer.state, 0
    if layer.k is None or layer.v is None:
        return None, None, layer.length
    return (layer.k.clone(), layer.v.clone(), layer.length) if copy else (layer.k_buffer, layer.v_buffer, layer.length)


def _rebuilt(layer: AttentionMemory | DeltaNetMemory, first: Any, second: Any, count: int) -> Any:
    return DeltaNetMemory(first, second) if isinstance(layer, DeltaNetMemory) else AttentionMemory(first, second, count)


def _nothing(cache: Cache) -> Back:
    return lambda: None


def _empty(cache: Cache) -> Back:
    def back() -> None:
        cache.layers, cache.length = hybrid().new_cache().layers, 0

    return back


MISTAKES: tuple[tuple[str, Callable[[Cache], Back]], ...] = (
    (
        "Nothing goes back. If you kept `cache.layers`, or its memories, you kept the very objects that the model goes "
        "on changing: keep their tensors and lengths, or deep copies.",
        _nothing,
    ),
    ("The cache is empty afterwards; it must hold what it held when the snapshot was taken.", _empty),
    (
        "Keys and values are cropped, and the DeltaNet layers still remember what was taken back: put `state` and "
        "`conv` back too.",
        keeping(states=False, conv=False),
    ),
    (
        "`state` does not go back: the DeltaNet layers still remember what was taken back.",
        keeping(states=False),
    ),
    (
        "`conv` does not go back: the convolution sees the last tokens that were taken back as its neighbours.",
        keeping(conv=False),
    ),
    (
        "The attention layers keep the keys and values that were taken back: set the `length` of each of them too.",
        keeping(keys=False),
    ),
    (
        "`cache.length` does not go back, so that the next token gets the position of a later one.",
        keeping(length=False),
    ),
    (
        "It goes back once: what is handed to the cache is what you kept, and the model goes on changing it. Hand out "
        "a copy each time.",
        keeping(reuse=True),
    ),
    (
        "One snapshot works, but two share their keys and values: the buffer is written anew behind the shorter one, "
        "which spoils the longer one. Copy keys and values (`clone`), or set `shared = True` when you go back, and the "
        "cache will.",
        keeping(copy=False),
    ),
)


@torch.inference_mode()
def check_snapshot(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge `snapshot(cache)`, which returns a function that puts the cache back."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    if problem := _kind_problem(answer):
        return False, problem
    found: list[list[Any]] = []
    for trial in trials():
        found.append(_outcome(answer, trial))
        if isinstance(found[-1][0], str):
            break
    asked = trials()[: len(found)]
    wanted = [right(trial) for trial in asked]
    worst = max(_apart(a, b) for a, b in zip(found, wanted, strict=True))
    if worst < RIGHT:
        name = getattr(answer, "__name__", "it")
        return True, (
            f"`{name}` goes back once, twice, and to a later snapshot, in {TRIALS} random texts; the next logits are "
            f"those of a cache that never read the drafts, to {worst:.0e} of the largest."
        )
    for diagnosis, mistake in MISTAKES:
        if all(_apart(a, _outcome(mistake, trial)) < RIGHT for a, trial in zip(found, asked, strict=True)):
            return False, diagnosis
    if isinstance(problem := found[-1][0], str):
        return False, problem
    when = next(n for n in range(3) if max(_apart(a[n : n + 1], b[n : n + 1]) for a, b in zip(found, wanted)) >= RIGHT)
    said = ("after going back", "after going back a second time", "after going to a later snapshot")[when]
    return False, f"Not yet, and not a mistake this checker knows: {said} the next logits are off by {worst:.0%}."


def _kind_problem(answer: Any) -> str:
    """Whether it takes a cache and returns a function."""
    cache = hybrid().new_cache()
    hybrid()(trials()[0].text, cache=cache)
    back, problem = attempt(answer, (cache,), "(cache)")
    if problem:
        return problem
    if not callable(back):
        return f"It returns a {type(back).__name__}; return a function without arguments that puts the cache back."
    return ""


def _outcome(snapshot: Callable[..., Any], trial: Trial) -> list[Any]:
    """What `stages` gives, or what it raises, in words: a half restored cache may fit no pass."""
    try:
        return stages(snapshot, trial)
    except Exception as error:
        return [f"After going back the model cannot read on: {type(error).__name__}: {error}"]


def _apart(ours: list[Any], theirs: list[Any]) -> float:
    if len(ours) != len(theirs) or isinstance(ours[0], str) or isinstance(theirs[0], str):
        return 0.0 if ours == theirs else float("inf")
    return max(gap(a, b) for a, b in zip(ours, theirs, strict=True))


CHECKS = {"09.1": check_snapshot}
