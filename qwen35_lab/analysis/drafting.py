"""Speculative decoding, watched: the drafts of every pass, what became of them, and whether it was worth the time.

For a draft that is accepted with probability p whatever came before it, a step with k drafts writes

    1 + p + p² + … + p^k = (1 − p^(k+1)) / (1 − p)      tokens

since the n-th draft counts only if all before it did (Leviathan et al. 2023, arXiv 2211.17192, eq. 1).
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..generate import decode
from ..model import TextModel
from ..qwen import Prompt, Qwen
from ..speculative import Draft, Drafts, decode_speculatively
from .recorded import counted
from .taking_back import WAYS, read_and_keep, state_gap


@dataclass(frozen=True)
class Tape:
    """One text, written with one number of drafts: what happened in every pass of the model after the prompt's."""

    count: int  # drafts at a time; 0 is plain decoding
    first: int  # the token that the pass over the prompt gave
    steps: tuple[Draft, ...]
    states: Tensor  # [pass, way of `WAYS`]: how wrong the DeltaNet states would be after it, a share of the largest

    @property
    def tokens(self) -> tuple[int, ...]:
        """All that was written."""
        return (self.first, *(token for step in self.steps for token in step.tokens))

    @property
    def per_forward(self) -> float:
        """New tokens for every pass; nan if there was none."""
        return (len(self.tokens) - 1) / len(self.steps) if self.steps else float("nan")


@dataclass(frozen=True)
class Tapes:
    """The same prompt with several numbers of drafts. `names` has what each token id that occurs reads like."""

    prompt: tuple[int, ...]
    tapes: tuple[Tape, ...]
    names: dict[int, str]
    provenance: str

    def __getitem__(self, count: int) -> Tape:
        return next(tape for tape in self.tapes if tape.count == count)


@torch.inference_mode()
def record_tapes(
    qwen: Qwen, prompt: Prompt, max_new_tokens: int, counts: Sequence[int] = (0, 1, 2, 3, 4, 6)
) -> Tapes:  # fmt: skip
    """Write the same greedy text with each number of drafts, and keep every step.

    Raises:
        InputError: no MTP head, more than one prompt, or what `decode` refuses.
    """
    ids = qwen.encode(prompt)
    tapes = []
    for count in counts:
        written, steps = _steps(qwen, ids, max_new_tokens, count)
        nothing = torch.zeros(len(steps), len(WAYS), dtype=torch.float64)  # without drafts none is taken back
        states = _states(qwen.model, ids, written[0], steps) if count else nothing
        tapes.append(Tape(count, written[0], steps, states))
    shown = {*ids[0].tolist(), *(t for tape in tapes for t in tape.tokens)}
    shown |= {t for tape in tapes for step in tape.steps for t in step.drafted}
    names = {token: qwen.token_text(token) for token in sorted(shown)}
    return Tapes(tuple(ids[0].tolist()), tuple(tapes), names, str(qwen.provenance))


def _steps(qwen: Qwen, ids: Tensor, new: int, count: int) -> tuple[list[int], tuple[Draft, ...]]:
    """The greedy text and its steps; without drafts, a step is one token."""
    if counted(count, "the number of drafts"):
        drafts = Drafts(count)
        how = {"max_new_tokens": new, "stop_ids": qwen.stop_ids, "speculative": drafts}
        return [int(t) for t in decode_speculatively(qwen.model, ids, **how)], tuple(drafts.steps)  # type: ignore[arg-type]
    written = [int(t) for t in decode(qwen.model, ids, max_new_tokens=new, stop_ids=qwen.stop_ids)]
    first = ids.shape[1] + 1
    return written, tuple(Draft(first + n, (), 0, (token,)) for n, token in enumerate(written[1:]))


def _states(model: TextModel, ids: Tensor, first: int, steps: Iterable[Draft]) -> Tensor:
    """How wrong each way of taking the refused drafts back would leave the states, [pass, way].

    Against a cache that has read what is kept token by token, and never a draft that was refused.
    """
    right = model.new_cache()
    model(ids, cache=right)
    last, rows = first, []
    for step in steps:
        read, kept = ids.new_tensor([[last, *step.drafted]]), 1 + step.accepted
        before, after = right.snapshot(), []
        for way in WAYS:
            read_and_keep(model, right, read, kept, way)
            after.append(right.snapshot())
            right.restore(before)
        for token in read[:, :kept].split(1, dim=1):
            model(token, cache=right)
        here, errors = right.snapshot(), []
        for moment in after:
            trial = model.new_cache()
            trial.restore(moment)
            errors.append(state_gap(trial, right))
        right.restore(here)
        rows.append(errors)
        last = step.tokens[-1]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, len(WAYS))


@dataclass(frozen=True)
class Acceptance:
    """By place in the draft: how many drafts were up for a decision there, and how many were accepted.

    A draft is up for a decision if all before it in its step were accepted.
    """

    offered: tuple[int, ...]
    accepted: tuple[int, ...]

    @property
    def shares(self) -> list[float]:
        """Accepted of offered; nan where none was offered."""
        return [a / n if n else float("nan") for a, n in zip(self.accepted, self.offered, strict=True)]

    @property
    def overall(self) -> float:
        """All places together: the p of the formula above."""
        return sum(self.accepted) / sum(self.offered) if sum(self.offered) else float("nan")


def acceptance(steps: Iterable[Draft]) -> Acceptance:
    """Count what became of drafts, place by place."""
    steps = list(steps)
    depth = max((len(step.drafted) for step in steps), default=0)
    offered = [sum(step.accepted >= n and len(step.drafted) > n for step in steps) for n in range(depth)]
    accepted = [sum(step.accepted > n for step in steps) for n in range(depth)]
    return Acceptance(tuple(offered), tuple(accepted))


@dataclass(frozen=True)
class DraftSpeed:
    """Several texts, each written with several numbers of drafts: passes and seconds."""

    counts: tuple[int, ...]
    tokens: Tensor  # [text] that were written
    passes: Tensor  # [text, count] of the model, the one over the prompt included
    seconds: Tensor  # [text, count], the quickest of all repeats
    steps: tuple[tuple[Draft, ...], ...]  # of all texts together, for each count
    same: bool  # whether every text came out as without drafts
    noise: float  # how many times as long the slowest repeats without drafts took as the quickest, all texts together
    provenance: str

    @property
    def per_forward(self) -> Tensor:
        """New tokens for every pass after the one over the prompt, [text, count]; nan where there was none."""
        return (self.tokens[:, None] - 1) / (self.passes - 1)

    @property
    def per_token(self) -> Tensor:
        """Seconds for every new token, [text, count]."""
        return self.seconds / self.tokens[:, None]

    @property
    def together(self) -> tuple[Tensor, Tensor]:
        """`per_forward` and `per_token` of all texts together, [count] each."""
        tokens = self.tokens.sum()
        return (tokens - len(self.tokens)) / (self.passes - 1).sum(0), self.seconds.sum(0) / tokens

    @property
    def speedup(self) -> Tensor:
        """Seconds without drafts over seconds with them, all texts together, [count]."""
        total = self.seconds.sum(0)
        return total[self.counts.index(0)] / total


@torch.inference_mode()
def draft_speed(
    qwen: Qwen, prompts: Sequence[Prompt], max_new_tokens: int, counts: Sequence[int] = (0, 1, 2, 3, 4, 6),
    repeats: int = 3,
) -> DraftSpeed:  # fmt: skip
    """Write greedy texts with each number of drafts, 0 among them, and look at the clock.

    The numbers of drafts take turns, so that a machine that is busy for a while disturbs all of them alike.

    Raises:
        InputError: no MTP head, more than one text in a prompt, or what `decode` refuses.
    """
    counts, same = tuple(dict.fromkeys((0, *counts))), True
    tokens, passes, seconds, slowest = [], [], [], 0.0
    steps: dict[int, tuple[Draft, ...]] = dict.fromkeys(counts, ())
    for prompt in prompts:
        runs = [[_timed(qwen, qwen.encode(prompt), max_new_tokens, count) for count in counts] for _ in range(repeats)]
        plain = runs[0][0][1]
        same &= all(written == plain for run in runs for _, written, _ in run)
        steps = {count: steps[count] + taken for count, (*_, taken) in zip(counts, runs[0], strict=True)}
        tokens.append(len(plain))
        passes.append([1 + len(taken) for *_, taken in runs[0]])
        slowest += max(run[0][0] for run in runs)
        seconds.append([min(run[n][0] for run in runs) for n in range(len(counts))])
    found = tuple(steps[count] for count in counts)
    written, taken, clock = (torch.tensor(part, dtype=torch.float64) for part in (tokens, passes, seconds))
    noise = slowest / float(clock[:, 0].sum())
    return DraftSpeed(counts, written, taken, clock, found, same, noise, str(qwen.provenance))


def _timed(qwen: Qwen, ids: Tensor, new: int, count: int) -> tuple[float, list[int], tuple[Draft, ...]]:
    began = time.perf_counter()
    written, taken = _steps(qwen, ids, new, count)
    return time.perf_counter() - began, written, taken
