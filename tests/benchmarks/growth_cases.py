"""How cost grows with a text, at the shapes of Qwen3.5-0.8B: seconds of a DeltaNet layer, memory of a long prompt.

A prompt is read in pieces (`generate.PREFILL_TOKENS`), a text that is traced as a whole. As a whole its arrays outgrow
what the allocator gives back, so that every one of them gets new pages, which have to be filled with zeros first; of
pieces they do not. The layer is timed in both ways.

Beside what the cache keeps of every token, the memory of a prompt in pieces should not depend on its length. What is
compared is the most that torch has set aside while a prompt is read, less the keys and values of its tokens. All of
this is measured on the CPU.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from benchmarks.race import Given, Mark
from benchmarks.text_cases import NAME, shape
from peak import measured
from torch import nn

import qwen35_lab as lab
from qwen35_lab.analysis import fit_power
from qwen35_lab.analysis.mixers import build_mixer, reading
from qwen35_lab.analysis.roofline import take_turns
from qwen35_lab.config import FULL, LINEAR, ModelConfig
from qwen35_lab.generate import PREFILL_TOKENS, decode
from qwen35_lab.memory import in_words
from qwen35_lab.model.cache import DeltaNetMemory

LINEAR_COST = 1.05  # the exponent that is still called linear
NOT_QUICK = "texts beyond 8,192 tokens, a prompt through more than two layers"
FLAT = 1.05  # memory of a long prompt over that of a short one


def marks(given: Given) -> Iterator[Mark]:
    if given.device == "cpu":
        config = lab.load_config(NAME)
        mixer = build_mixer(config, LINEAR)
        lengths = [PREFILL_TOKENS * 2**n for n in ((0, 2) if given.quick else range(5))]
        pieces = [in_pieces(mixer, config, tokens) for tokens in lengths]
        yield exponent("in pieces", lengths, pieces, given)
        yield exponent("as a whole", lengths, [reading(mixer, config, tokens) for tokens in lengths], given)
        yield flatness(given)


def exponent(how: str, lengths: Sequence[int], jobs: Sequence[Callable[[], object]], given: Given) -> Mark:
    """b of seconds = a · tokens^b for one DeltaNet layer that reads texts of these lengths, float32."""
    jobs[0]()  # what comes first is slower
    taken = take_turns(jobs, 2 if given.quick else 3, given.clock)
    found = fit_power([n for n, times in zip(lengths, taken) for _ in times], [t for times in taken for t in times])
    what = f"DeltaNet layer, {lengths[0]:,} to {lengths[-1]:,} tokens {how}: exponent of its cost"
    return Mark(what, found.exponent, "", LINEAR_COST, f"± {found.error:.2f}")


def in_pieces(mixer: nn.Module, config: ModelConfig, tokens: int) -> Callable[[], None]:
    """A call that lets a DeltaNet layer read a text as `generate.decode` has it read."""
    x = torch.randn(1, PREFILL_TOKENS, config.text.hidden_size)

    def run() -> None:
        memory = DeltaNetMemory()
        for _ in range(tokens // PREFILL_TOKENS):
            mixer(x, None, memory)

    return run


def flatness(given: Given) -> Mark:
    """Peak memory of a long prompt over that of a short one, both without the cache's keys and values."""
    short, long = 2 * PREFILL_TOKENS, PREFILL_TOKENS * (4 if given.quick else 16)
    kinds = shape()["layer_types"][2:4] if given.quick else shape()["layer_types"][:4]
    size = {"num_hidden_layers": len(kinds), "layer_types": kinds, "vocab_size": 4096, "mtp_num_hidden_layers": 0}
    qwen = lab.from_config(shape() | size, dtype="bfloat16")
    few, many = (beside_the_cache(qwen, tokens) for tokens in (short, long))
    what = f"prompt of {long:,} tokens in pieces: memory beside keys and values, over that of {short:,}"
    return Mark(what, many / few, "", FLAT, f"{in_words(few)} and {in_words(many)}, {len(kinds)} layers, bfloat16")


def beside_the_cache(qwen: lab.Qwen, tokens: int) -> int:
    """Bytes at the peak while a prompt is read, less its keys and values."""
    text, ids = qwen.config.text, torch.arange(tokens)[None] % qwen.config.text.vocab_size
    kept = 2 * text.num_key_value_heads * text.head_dim * qwen.model.embed_tokens.weight.itemsize
    peak = measured(lambda: next(decode(qwen.model, ids, max_new_tokens=1)))
    return peak - tokens * kept * text.layer_types.count(FULL)
