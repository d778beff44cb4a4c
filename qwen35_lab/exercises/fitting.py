"""The exercises of notebook 00: the bytes that a model needs, the longest text that fits, and reading a report."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..analysis import bytes_held
from ..config import FULL, TextConfig
from ..doctor import Finding, Report, doctor
from ..doctor.report import STATES
from ..errors import InputError
from ..family import Parameters, conv_state_bytes, kv_bytes_per_token, load_config, parameters, state_bytes
from ..family.stored import stored_bytes
from .numbers import as_number, numbers_of
from .verdict import attempt

# ------------------------------------------------------------- 00.1  bytes_needed(counts, text, bits, context) -> bytes

ARGUMENTS = "(counts, text, bits, context)"
TOLERANCE = 0.003
DTYPES = {16: "bfloat16", 8: "int8", 4: "int4"}
ASKED = (("0.8B", 16, 200_000), ("0.8B", 4, 1_000), ("4B", 8, 100_000), ("9B", 16, 32_768), ("35B-A3B", 4, 262_144))


def counts_of(name: str) -> Parameters:
    """How many parameters each part of a model of the family has."""
    return parameters(load_config(name))


def bytes_needed(counts: Parameters, text: TextConfig, bits: int, context: int, **changed: Any) -> float:
    """The sum, with nothing or one thing changed: weights, keys and values in 16 bits, states in float32."""
    layers = text.num_hidden_layers if changed.get("all_layers") else text.layer_types.count(FULL)
    linear = len(text.layer_types) - text.layer_types.count(FULL)
    heads = text.num_attention_heads if changed.get("queries") else text.num_key_value_heads
    wide = bits if changed.get("cache_too") else 16
    kv = (1 if changed.get("keys") else 2) * layers * heads * text.head_dim * context * wide / 8
    state = linear * text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    state *= changed.get("state", 4) * (context if changed.get("grows") else 1)
    numbers = changed.get("numbers", lambda c: c.total)(counts)
    weights = numbers * bits / (1 if changed.get("in_bits") else 8)
    return (weights + (0 if changed.get("no_kv") else kv) + state) / changed.get("unit", 1)


MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("The vision tower and the MTP head are counted twice: `counts.total` is the whole checkpoint, with both.",
     {"numbers": lambda c: c.total + c.vision + c.mtp}),
    ("The vision tower and the MTP head are missing: they lie in memory too. Take `counts.total`.",
     {"numbers": lambda c: c.text}),
    ("You count what works on a token; what rests must lie in memory as well. Take `counts.total`.",
     {"numbers": lambda c: c.active}),
    ("You count keys and values for every layer; only one in four is an attention layer, see `text.layer_types`.",
     {"all_layers": True}),
    ("Keys and values are two arrays; you count one.", {"keys": True}),
    ("Keys and values have `num_key_value_heads` heads; several query heads share one.", {"queries": True}),
    ("Keys and values are missing.", {"no_kv": True}),
    ("The cache stays in 16 bits, whatever the weights have.", {"cache_too": True}),
    ("The DeltaNet states are missing: a matrix of key × value features for every value head of a linear layer.",
     {"state": 0}),
    ("The DeltaNet states are kept in float32: four bytes a number.", {"state": 2}),
    ("The DeltaNet states do not grow with the text; you multiply them by `context`.", {"grows": True}),
    ("These are bits where bytes are asked for: divide the weights by 8.", {"in_bits": True}),
    ("These are gigabytes; return bytes.", {"unit": 1e9}),
    ("These are GiB; return bytes.", {"unit": 2**30}),
)  # fmt: skip


def check_bytes(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge the sum on five models and lengths, against `analysis.bytes_held`."""
    cases = [(counts_of(name), load_config(name).text, bits, context) for name, bits, context in ASKED]
    found, problem = numbers_of(answer, cases, ARGUMENTS, "a number of bytes")
    if problem:
        return False, problem
    right = [bytes_held(name, context, dtype=DTYPES[bits]).total for name, bits, context in ASKED]
    if _all_near(found, right, TOLERANCE):
        return True, f"`{getattr(answer, '__name__', 'it')}` is right for {len(ASKED)} models, precisions and lengths."
    for diagnosis, change in MISTAKES:
        if _all_near(found, [bytes_needed(*case, **change) for case in cases], 1e-3):
            return False, diagnosis
    n = max(range(len(found)), key=lambda n: abs(found[n] / right[n] - 1))
    name, bits, context = ASKED[n]
    return False, (
        f"Not yet, and not a mistake this checker knows: for the {name} in {bits} bits and {context:,} tokens it "
        f"returns {found[n]:,.4g}; {right[n]:,.4g} is right."
    )


def _all_near(found: Sequence[float], right: Sequence[float], within: float) -> bool:
    return all(_near(a, b, within) for a, b in zip(found, right, strict=True))


def _near(found: float, right: float, within: float) -> bool:
    return abs(found - right) <= within * right


# ------------------------------------------------------ 00.2  (tokens in bfloat16, tokens in int4) of the 9B in 24 GB

ROOM = 24e9
NAME = "Qwen3.5-9B"


def longest_texts(
    *, layers: int = 1, arrays: float = 1, room: float = ROOM, ideal: bool = False, text_only: bool = False,
    nothing: bool = False,
) -> tuple[float, float]:  # fmt: skip
    """Tokens of one text whose cache fits beside the weights, in bfloat16 and int4, with one thing changed."""
    config = load_config(NAME)
    fixed = state_bytes(config) + conv_state_bytes(config)
    found = []
    for dtype in ("bfloat16", "int4"):
        parts = stored_bytes(config, dtype)
        size = sum(size for part, size in parts.items() if not (text_only and part in ("vision", "mtp")))
        size = bytes_held(config, 0, dtype=dtype).weights if ideal else 0 if nothing else size
        found.append((room - size - fixed) / (kv_bytes_per_token(config) * layers * arrays))
    return found[0], found[1]


LENGTHS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("That is 24 GiB, 24 × 2³⁰ bytes; the room is 24 GB, 24 × 10⁹.", {"room": 24 * 2**30}),
    ("You count keys and values for every layer; only one in four is an attention layer.", {"layers": 4}),
    ("Keys and values are two arrays; you count one.", {"arrays": 0.5}),
    ("In four bits not everything has four: tables, norms and the vision tower stay in 16. See section 2.",
     {"ideal": True}),
    ("The vision tower and the MTP head lie in memory as well.", {"text_only": True}),
    ("The weights have to lie in memory too.", {"nothing": True}),
)  # fmt: skip


def check_longest(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge two lengths, within two percent."""
    if answer is None or answer is ...:
        return False, "No answer yet: write (tokens in bfloat16, tokens in int4)."
    pair = [as_number(n) for n in answer] if isinstance(answer, tuple | list) else []
    found = [n for n in pair if n is not None and math.isfinite(n)]
    if len(pair) != 2 or len(found) != 2:
        return False, "Write a pair of numbers: tokens in bfloat16, tokens in int4."
    right = longest_texts()
    if _all_near(found, right, 0.02):
        native = load_config(NAME).text.max_position_embeddings
        return True, (
            f"{found[0]:,.0f} and {found[1]:,.0f} tokens. The second is beyond the {native:,} for which the model "
            "was trained: there memory is no longer the limit."
        )
    if _all_near(found[::-1], right, 0.02):
        return False, "The two are exchanged: bfloat16 first, then int4."
    for diagnosis, change in LENGTHS:
        if _all_near(found, longest_texts(**change), 0.02):
            return False, diagnosis
    sides = ["right" if _near(a, b, 0.02) else "wrong" for a, b in zip(found, right, strict=True)]
    return False, f"Not yet: the length in bfloat16 is {sides[0]}, the one in int4 is {sides[1]}."


# ------------------------------------------------------------------- 00.3  worse(before, after) -> names of findings

TOPICS = ("kernels", "traps")


def _switch(get: Callable[[], Any], put: Callable[[Any], Any], to: Any) -> Callable[[], Callable[[], None]]:
    def plant() -> Callable[[], None]:
        before = get()
        put(to)
        return lambda: put(before)

    return plant


def _variable() -> Callable[[], None]:
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true" if before != "true" else "false"

    def back() -> None:
        os.environ.pop(name) if before is None else os.environ.update({name: before})

    return back


FAULTS: dict[str, Callable[[], Callable[[], None]]] = {  # name -> plants it, returns what takes it away
    "wrong dtype": _switch(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "fallback kernel": _switch(torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp, False),
    "rounded products": _switch(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "harmless variable": _variable,
}
# what is wrong before, and after: names of FAULTS
VISITS = (
    ((), ("fallback kernel",)),
    (("fallback kernel",), ("fallback kernel", "wrong dtype")),
    (("wrong dtype",), ("rounded products",)),
    ((), ("harmless variable",)),
)


@contextmanager
def planted(*faults: str) -> Iterator[None]:
    """With these faults in this process; afterwards all is as it was.

    Raises:
        InputError: there is no such fault.
    """
    if unknown := [fault for fault in faults if fault not in FAULTS]:
        raise InputError(f"There is no fault {unknown[0]!r}; choose from {', '.join(FAULTS)}.")
    mend: list[Callable[[], None]] = []
    try:
        for fault in faults:
            mend.append(FAULTS[fault]())
        yield
    finally:
        for each in reversed(mend):
            each()


def worse(before: Report, after: Report) -> set[str]:
    """The oracle: names of the findings whose state has become worse."""
    return {f.name for f in after if f.name in before and _rank(f) > _rank(before[f.name])}


def _rank(finding: Finding) -> int:
    return STATES.index(finding.state)


WORSE_MISTAKES: tuple[tuple[str, Callable[[Report, Report], set[str]]], ...] = (
    ("You name all that is not fine afterwards; some of it was so before. Compare with `before`.",
     lambda before, after: {f.name for f in after if f.state != "fine"}),
    ("You name only problems; a finding that was fine and is now a note has become worse too.",
     lambda before, after: {name for name in worse(before, after) if after[name].state == "problem"}),
    ("You name what has changed its state, also what has become better.",
     lambda before, after: {f.name for f in after if f.state != before[f.name].state}),
    ("You compare sentences or values; they change without anything being worse. Compare states.",
     lambda before, after: {f.name for f in after if (f.says, f.value) != (before[f.name].says, before[f.name].value)}),
    ("That is what has become better.", lambda before, after: worse(after, before)),
    ("You return states; return names.", lambda before, after: {after[name].state for name in worse(before, after)}),
)  # fmt: skip


def check_worse(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge a comparison of two reports, on reports of this process with faults planted."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    visits, found = [tuple(map(_report, visit)) for visit in VISITS], []
    for visit in visits:
        result, problem = attempt(answer, visit, "(before, after)")
        if problem:
            return False, problem
        try:
            names = list(result)
        except TypeError:
            return False, f"It returns a {type(result).__name__}; return a set or a list of names."
        if isinstance(result, str) or any(not isinstance(name, str) for name in names):
            return False, 'It does not return names alone; a name is a text such as "attention kernel".'
        found.append(set(names))
    right = [worse(*visit) for visit in visits]
    if found == right:
        return True, f"`{getattr(answer, '__name__', 'it')}` explains {len(VISITS)} visits, one without a fault."
    for diagnosis, mistake in WORSE_MISTAKES:
        if found == [mistake(*visit) for visit in visits]:
            return False, diagnosis
    n = next(n for n, names in enumerate(found) if names != right[n])
    before, after = (" and ".join(faults) or "nothing" for faults in VISITS[n])
    return False, (
        f"Not yet: with {before} planted before, and {after} afterwards, you name {sorted(found[n])}; "
        f"{sorted(right[n])} is right."
    )


def _report(faults: tuple[str, ...]) -> Report:
    with planted(*faults):
        return doctor(TOPICS)


CHECKS = {"00.1": check_bytes, "00.2": check_longest, "00.3": check_worse}
