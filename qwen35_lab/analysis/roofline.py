"""Seconds from FLOPs and bytes: a roofline (Williams, Waterman & Patterson 2009, doi 10.1145/1498765.1498785).

An operation takes as long as the slower of its two needs: arithmetic at the machine's rate, or its weights and cache at
the rate at which memory is read. Those two constants are enough for decoding, which reads every weight for one token.
Prefill in plain PyTorch needs a third: the rate at which arrays are read *and written* between the products, which also
depends on whether a process keeps the memory that it frees (heap.py). A machine without a third constant is one with
fused kernels that leave nothing in memory between products.

The constants are measured with the model's own shapes, and are medians of repeats. Approximate: overlap, caches, and
what starting an operator costs are left out; `tests/benchmarks/cost_bench.py` says how far off that is.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ModelConfig
from ..errors import InputError
from ..family import load_config
from ..memory import total
from ..model.one_row import reading
from ..model.product import times
from .cost import Cost, Operation
from .recorded import counted

Clock = Callable[[], float]
TOKENS = 512  # of the products that are timed
BANK = 2**28  # bytes of matrices that are read for one token, too many for any cache
ARRAY = 2**23  # bytes of the array that is moved, as large as those between the products of a prefill


@dataclass(frozen=True)
class Machine:
    """The constants of a roofline, and where they come from."""

    name: str
    flops: float  # per second, of a product of matrices
    reads: float  # bytes per second, of weights that no cache holds
    moves: float | None  # bytes per second, read and written, of an operation element by element; None: fused away
    dtype: str
    provenance: str
    memory: float = math.inf  # bytes
    spread: float = 0.0  # (slowest − quickest) / median of the repeats, of the worst of the constants

    @property
    def balance(self) -> float:
        """FLOPs that take as long as reading one byte: an operation with fewer waits for memory."""
        return self.flops / self.reads

    @property
    def words(self) -> str:
        """The constants, for a caption."""
        moves = "" if self.moves is None else f", arrays moved at {self.moves / 1e9:.3g} GB/s"
        rates = f"{self.flops / 1e9:,.3g} GFLOP/s, weights read at {self.reads / 1e9:,.3g} GB/s{moves}"
        return rates + (f"; repeats differ by {self.spread:.0%}" if self.spread else "")

    def __repr__(self) -> str:
        return f"Machine({self.name}, {self.dtype}: {self.words})"


# The fastest that a data sheet promises (NVIDIA H100 SXM5: dense BF16 tensor cores, HBM3); no program reaches it.
DATA_SHEETS = {
    "H100": Machine(
        "H100 SXM", 989e12, 3.35e12, None, "bfloat16", "PUBLISHED · NVIDIA's data sheet of the H100 SXM", 80e9
    )
}


@torch.inference_mode()
def measure_machine(
    config: ModelConfig | str = "Qwen3.5-0.8B", *, dtype: str = "float32", repeats: int = 7,
    clock: Clock | None = None,
) -> Machine:  # fmt: skip
    """Measure this machine's three constants, in about two seconds.

    Args:
        config: whose shapes the products have: a feed-forward's, up and down.
        dtype: of the numbers.
        repeats: of each; the three take turns.
        clock: seconds so far; `quiet_clock()` if not given.
    """
    config = load_config(config) if isinstance(config, str) else config
    kind, rounds = getattr(torch, dtype, None), counted(repeats, "repeats", 1)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise InputError(f"The dtype {dtype!r} cannot be timed; pass 'float32', 'bfloat16' or 'float16'.")
    H = config.text.hidden_size
    width = config.text.intermediate_size or config.text.moe_intermediate_size
    x, up, down = (torch.randn(shape).to(kind) for shape in ((TOKENS, H), (width, H), (H, width)))
    bank = [(torch.ones_like(up), torch.ones_like(down)) for _ in range(-(-BANK // (up.nbytes + down.nbytes)))]
    array = torch.ones(ARRAY // kind.itemsize, dtype=kind)

    def decode(token: Tensor) -> None:
        with reading(token[None]):
            for a, b in bank:
                times(times(token, a), b)

    jobs: list[tuple[Callable[[], object], float]] = [
        (lambda: times(times(x, up), down), 4 * TOKENS * H * width),
        (lambda: decode(x[:1]), len(bank) * (up.nbytes + down.nbytes)),
        (lambda: array * 2.0, 2 * array.nbytes),
    ]
    take_turns([job for job, _ in jobs], 1)  # what comes first is slower
    taken = take_turns([job for job, _ in jobs], rounds, clock)
    flops, reads, moves = (work / statistics.median(each) for (_, work), each in zip(jobs, taken, strict=True))
    spread = max((max(each) - min(each)) / statistics.median(each) for each in taken)
    threads = torch.get_num_threads()
    name = f"this machine, {threads} thread{'s' * (threads > 1)}"
    return Machine(name, flops, reads, moves, dtype, f"RANDOM · {name} · {dtype} · cpu", total(), spread)


def predicted_seconds(cost: Cost, machine: Machine) -> float:
    """Predicted time of a pass: operation after operation, each as fast as its slower need allows."""
    return sum(operation_seconds(op, machine) for op in cost.operations)


def operation_seconds(op: Operation, machine: Machine) -> float:
    between = op.moved / machine.moves if machine.moves else 0.0
    return max(op.flops / machine.flops, (op.weights + op.cache) / machine.reads) + between


def quiet_clock() -> Clock:
    """The clock that other programs disturb least: with one thread the time that the processor spends on it, which is
    the wall clock of a machine that does nothing else; with several threads the wall clock itself."""
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def take_turns(jobs: Sequence[Callable[[], object]], repeats: int, clock: Clock | None = None) -> list[list[float]]:
    """Seconds of each job in each round, [job][round]; `clock` is `quiet_clock()` if not given.

    Jobs take turns, so that a machine that is busy for a while slows all of them alike.
    """
    clock, found = clock or quiet_clock(), [[] for _ in jobs]
    for _ in range(repeats):
        for each, job in zip(found, jobs, strict=True):
            began = clock()
            job()
            each.append(clock() - began)
    return found
