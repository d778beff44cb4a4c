"""How well a nano answers: greedy, on held-out samples, judged by the world; and who of its experts answers.

    scores = score(qwen, n=500)
    print(scores)

Every question is asked where it stands: what was said before it is the sample's own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..generate import decode
from ..model import MultimodalModel
from ..qwen import Qwen
from ..speculative import Drafts, decode_speculatively
from .encode import encode
from .loss import watched_routers
from .pack import batch
from .patches import as_floats
from .render import Document, render_prompt
from .template import pieces
from .world import KINDS, Question, Sample, Verdict, draw, judge

AT_ONCE = 32  # prompts per batch
ROOM = 12  # tokens that an answer may be longer than the right one
DEAD = 0.1  # of an even share of the choices; an expert with less is dead
ROUTED_ROWS, ROUTED_LENGTH = 8, 512
DRAFTS = 3  # tokens that the head proposes at a time


@dataclass(frozen=True)
class Asked:
    """One question and what came of it."""

    kind: str
    type: str
    said: str
    verdict: Verdict


@dataclass(frozen=True)
class Scores:
    """What `score` found. `print` it, or put `table()` on a card."""

    split: str
    asked: list[Asked]
    loads: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # layer -> kind -> share of each expert
    per_forward: dict[str, float] = field(default_factory=dict)  # kind -> tokens per pass of the model, with drafts

    def verdicts(self, kind: str, type: str | None = None) -> Counter[str]:
        return Counter(a.verdict for a in self.asked if a.kind == kind and type in (None, a.type))

    def right(self, kind: str, type: str | None = None) -> float:
        """Share of a kind's questions; nan if there were none."""
        found = self.verdicts(kind, type)
        return found["right"] / found.total() if found else float("nan")

    @property
    def types(self) -> list[tuple[str, str]]:
        """(kind, type) of all questions, in order."""
        return sorted({(a.kind, a.type) for a in self.asked}, key=lambda pair: (list(KINDS).index(pair[0]), pair[1]))

    @property
    def dead(self) -> list[str]:
        """Experts with less than a tenth of an even share, all kinds counting the same: `layers.0.ffn: 3`."""
        return [
            f"{layer}: {expert}"
            for layer, kinds in self.loads.items()
            for expert, share in enumerate(np.mean(list(kinds.values()), 0))
            if share * len(next(iter(kinds.values()))) < DEAD
        ]

    @property
    def busiest(self) -> float:
        """The most that an expert has to do, in even shares; all kinds count the same."""
        shares = (np.mean(list(kinds.values()), 0) for kinds in self.loads.values())
        return max((float(s.max() * len(s)) for s in shares), default=float("nan"))

    def table(self) -> str:
        """In Markdown."""
        lines = ["| kind | question | asked | right | wrong | malformed |", "|---|---|---:|---:|---:|---:|"]
        for kind in dict.fromkeys(a.kind for a in self.asked):
            lines.append(_row(f"**{kind}**", "all", self.verdicts(kind)))
            lines += [_row("", type, self.verdicts(kind, type)) for k, type in self.types if k == kind]
        return "\n".join(lines) + "\n"

    def routing(self) -> str:
        """The load of experts and the head's success, in sentences."""
        said = []
        if self.loads:
            dead = ", ".join(self.dead) or "none"
            said.append(
                f"Experts with less than {DEAD:.0%} of an even share: {dead}. The busiest has {self.busiest:.2f}."
            )
        if self.per_forward:
            mean = sum(self.per_forward.values()) / len(self.per_forward)
            each = ", ".join(f"{kind} {value:.2f}" for kind, value in self.per_forward.items())
            said.append(f"Tokens per forward pass with {DRAFTS} drafts: {mean:.2f} ({each}).")
        return "\n".join(said)

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.routing()}"


def _row(kind: str, type: str, found: Counter[str]) -> str:
    shares = " | ".join(f"{found[verdict] / found.total():.1%}" for verdict in ("right", "wrong", "malformed"))
    return f"| {kind} | {type} | {found.total()} | {shares} |"


def score(
    qwen: Qwen, n: int = 500, kinds: Sequence[str] = tuple(KINDS), split: str = "test", seed: int = 0, *,
    drafted: int = 8, progress: bool = True,
) -> Scores:  # fmt: skip
    """Ask a nano, and watch it.

    Args:
        n: questions of each kind.
        drafted: prompts of each kind that are also answered with drafts of the MTP head.
    """
    model, tokenizer = qwen.model, qwen.tokenizer
    assert isinstance(model, MultimodalModel)
    asked: list[Asked] = []
    per_forward: dict[str, float] = {}
    for kind in tqdm(kinds, "Asking", unit=" kinds", disable=not progress):
        prompts = list(islice(_questions(kind, seed, split), n))
        prompts.sort(key=lambda pair: len(pair[0].messages))  # of like length together; sorting is stable
        for start in range(0, len(prompts), AT_ONCE):
            asked += answer(model, tokenizer, prompts[start : start + AT_ONCE])
        if drafted and model.mtp is not None:
            per_forward[kind] = tokens_per_forward(model, tokenizer, prompts[:drafted])
    return Scores(split, asked, expert_loads(model, tokenizer, kinds, split, seed), per_forward)


def _questions(kind: str, seed: int, split: str) -> Iterator[tuple[Sample, Question]]:
    for index in count():
        sample = draw(kind, seed, index, split)
        yield from ((sample, question) for question in sample.questions)


def answer(model: MultimodalModel, tokenizer: Any, prompts: Sequence[tuple[Sample, Question]]) -> list[Asked]:
    """Ask several questions in one batch, greedily."""
    documents = [render_prompt(sample, question, tokenizer) for sample, question in prompts]
    device = model.embed_tokens.weight.device
    inputs, pictures = _batched(documents, tokenizer.pad_token_id)
    stops = _stops(tokenizer)
    tokens = decode(
        model, inputs["input_ids"].to(device), inputs["attention_mask"].to(device),
        max_new_tokens=max(_room(*prompt, tokenizer) for prompt in prompts), stop_ids=stops,
        pictures={name: value.to(device) for name, value in pictures.items()},
    )  # fmt: skip
    said = torch.stack(list(tokens), 1).tolist()
    return [_judged(*prompt, ids, tokenizer) for prompt, ids in zip(prompts, said, strict=True)]


def _judged(sample: Sample, question: Question, ids: list[int], tokenizer: Any) -> Asked:
    ends = [n for n, token in enumerate(ids) if token in _stops(tokenizer)]
    text = ("<think>" if sample.thinking else "") + tokenizer.decode(ids[: ends[0] + 1] if ends else ids)
    return Asked(sample.kind, question.type, text, judge(sample, question, text) if ends else "malformed")


def _stops(tokenizer: Any) -> tuple[int, int]:
    return tokenizer.eos_token_id, tokenizer.pad_token_id


def _room(sample: Sample, question: Question, tokenizer: Any) -> int:
    """Tokens for an answer: as many as the right one has, and some."""
    turn = [*sample.prompt(question), sample.messages[question.turn]]
    said = pieces(turn, sample.tools, thinking=sample.thinking)
    right = sum(len(encode(tokenizer, p.text)) for p in said if p.turn == question.turn and p.part != "given")
    return right + ROOM + right // 4


def _batched(documents: Sequence[Document], pad: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Prompts padded on the left, and their pictures one behind the other."""
    width = max(map(len, documents))
    ids = np.full((len(documents), width), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, document in enumerate(documents):
        ids[row, width - len(document) :] = document.ids
        mask[row, width - len(document) :] = 1
    pictures: dict[str, Tensor] = {}
    for what, pixels, grid in (("image", "pixel_values", "image"), ("clip", "pixel_values_videos", "video")):
        patches = [each for document in documents for each in getattr(document, f"{what}_patches")]
        if patches:
            pictures[pixels] = as_floats(torch.from_numpy(np.concatenate(patches)))
            grids = [each for document in documents for each in getattr(document, f"{what}_grids")]
            pictures[f"{grid}_grid_thw"] = torch.tensor(grids)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}, pictures


@torch.inference_mode()
def tokens_per_forward(model: MultimodalModel, tokenizer: Any, prompts: Sequence[tuple[Sample, Question]]) -> float:
    """New tokens for every pass of the model after the prompt's, when its head proposes; nan if there were none."""
    device = model.embed_tokens.weight.device
    passes = new = 0
    for prompt in prompts:
        document = render_prompt(*prompt, tokenizer)
        inputs, pictures = _batched([document], tokenizer.pad_token_id)
        drafts = Drafts(DRAFTS)
        for _ in decode_speculatively(
            model, inputs["input_ids"].to(device), speculative=drafts, max_new_tokens=_room(*prompt, tokenizer),
            stop_ids=_stops(tokenizer), pictures={name: value.to(device) for name, value in pictures.items()},
        ):  # fmt: skip
            pass
        passes += drafts.forwards
        new += sum(len(step.tokens) for step in drafts.steps)
    return new / passes if passes else float("nan")


@torch.inference_mode()
def expert_loads(
    model: MultimodalModel, tokenizer: Any, kinds: Sequence[str] = tuple(KINDS), split: str = "test", seed: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Layer -> kind -> the share of all choices that fell on each expert, over some rows of that kind."""
    device = model.embed_tokens.weight.device
    loads: dict[str, dict[str, list[float]]] = {}
    for kind in kinds:
        how = {"rows": ROUTED_ROWS, "length": ROUTED_LENGTH, "split": split, "mix": {kind: 1.0}}
        texts = batch(tokenizer, 0, seed, **how).to(device)
        real = texts.document > 0
        with watched_routers(model) as seen:
            model(**texts.inputs(), logits_to_keep=1)
        for layer, routed in seen:
            counts = torch.bincount(routed.ids[real].flatten(), minlength=routed.logits.shape[-1]).double()
            loads.setdefault(layer, {})[kind] = (counts / counts.sum()).tolist()
    return loads
