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
from .batches import in_batches
from .encode import encode
from .experts import Separation, expert_loads, permutation_test
from .marks import MARKS, Mark
from .patches import as_floats
from .render import Document, render_prompt
from .template import pieces
from .world import KINDS, Question, Sample, Verdict, draw, judge

AT_ONCE = 64  # prompts per batch
ROOM = 12  # tokens that an answer may be longer than the right one
DEAD = 0.1  # of an even share of the choices; an expert with less is dead
DRAFTS = 3  # tokens that the head proposes at a time
DISTANCES = (0, 2, 4, 8, 16, 24, 48, 72, 96)  # sentences between a fact and its question; training knows up to 24


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
    separations: dict[str, Separation] = field(default_factory=dict)  # layer -> how far its routing tells kinds apart
    recall: dict[int, float] = field(default_factory=dict)  # distance -> share of facts still known
    familiar: list[Asked] = field(default_factory=list)  # as fresh, but of constructions that training shows

    def reached(self, mark: Mark, familiar: bool = False) -> bool:
        """nan, where nothing was asked, reaches nothing."""
        found = self.of(mark, familiar)
        formed = 1 - found["malformed"] / max(found.total(), 1)
        return bool(found) and found["right"] >= mark.least * found.total() and formed >= mark.formed

    def of(self, mark: Mark, familiar: bool = False) -> Counter[str]:
        asked = self.familiar if familiar else self.asked
        return Counter(a.verdict for a in asked if a.kind == mark.kind and a.type in mark.types)

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

    def marks(self) -> str:
        """In Markdown: what should be reached, and what is."""
        blocks = [self._marks(familiar) for familiar in (False, True)[: 1 + bool(self.familiar)]]
        return "\nOf constructions that training shows, in samples that it does not:\n\n".join(blocks)

    def _marks(self, familiar: bool) -> str:
        lines = ["| | should be right | asked | right | malformed | |", "|---|---:|---:|---:|---:|---|"]
        for mark in MARKS:
            if found := self.of(mark, familiar):
                right, malformed = (f"{found[verdict] / found.total():.1%}" for verdict in ("right", "malformed"))
                said = "reached" if self.reached(mark, familiar) else "**not reached**"
                lines.append(f"| {mark.name} | {mark.least:.0%} | {found.total()} | {right} | {malformed} | {said} |")
        return "\n".join(lines) + "\n"

    def table(self) -> str:
        """In Markdown."""
        lines = ["| kind | question | asked | right | wrong | malformed |", "|---|---|---:|---:|---:|---:|"]
        for kind in dict.fromkeys(a.kind for a in self.asked):
            lines.append(_row(f"**{kind}**", "all", self.verdicts(kind)))
            lines += [_row("", type, self.verdicts(kind, type)) for k, type in self.types if k == kind]
        return "\n".join(lines) + "\n"

    def routing(self) -> str:
        """The load of experts, what it depends on, and the head's success, in sentences."""
        said = []
        if self.loads:
            dead = ", ".join(self.dead) or "none"
            said.append(
                f"Experts with less than {DEAD:.0%} of an even share: {dead}. The busiest has {self.busiest:.2f}."
            )
        if self.separations:
            least = min(self.separations.values(), key=lambda each: each.distance / each.by_chance)
            worst = max(each.p for each in self.separations.values())
            said.append(
                "Each kind of sample is routed in its own way: the total variation between a kind's experts and those "
                f"of the others is at least {least.distance / least.by_chance:.1f} times what 99 of 100 shuffles "
                f"of the documents stay below, in every layer (p ≤ {worst:.3f})."
            )
        if self.per_forward:
            mean = sum(self.per_forward.values()) / len(self.per_forward)
            each = ", ".join(f"{kind} {value:.2f}" for kind, value in self.per_forward.items())
            said.append(f"Tokens per forward pass with {DRAFTS} drafts: {mean:.2f} ({each}).")
        if self.recall:
            each = ", ".join(f"{distance}: {share:.0%}" for distance, share in self.recall.items())
            said.append(f"Facts still known after so many other sentences: {each}.")
        return "\n\n".join(said)

    def __repr__(self) -> str:
        return "\n".join((self.marks(), self.table(), self.routing()))


def _row(kind: str, type: str, found: Counter[str]) -> str:
    shares = " | ".join(f"{found[verdict] / found.total():.1%}" for verdict in ("right", "wrong", "malformed"))
    return f"| {kind} | {type} | {found.total()} | {shares} |"


def score(
    qwen: Qwen, n: int = 500, kinds: Sequence[str] = tuple(KINDS), split: str = "test", seed: int = 0, *,
    drafted: int = 8, familiar: int = 0, progress: bool = True,
) -> Scores:  # fmt: skip
    """Ask a nano, and watch it.

    Args:
        n: questions of each kind and, where a mark counts some types of them alone, of these.
        drafted: prompts of each kind, those of the fewest turns, that the MTP head's drafts help to answer as well.
        familiar: questions for each mark, of the split "seen" besides.
    """
    model, tokenizer = qwen.model, qwen.tokenizer
    assert isinstance(model, MultimodalModel)
    asked: list[Asked] = []
    per_forward: dict[str, float] = {}
    for kind in tqdm(kinds, "Asking", unit=" kinds", disable=not progress):
        prompts = list(_chosen(kind, seed, split, n))
        asked += answer(model, tokenizer, prompts)
        if drafted and model.mtp is not None:
            short = sorted(prompts, key=lambda pair: len(pair[0].messages))[:drafted]
            per_forward[kind] = tokens_per_forward(model, tokenizer, short)
    loads = expert_loads(model, tokenizer, kinds, split, seed)
    separations = {layer: permutation_test(loads, layer) for layer in loads.counts if len(kinds) > 1}
    recall = recall_curve(model, tokenizer, n // 5, split, seed) if n >= 5 and "facts" in kinds else {}
    known = [each for mark in MARKS if mark.kind in kinds for each in _marked(model, tokenizer, mark, seed, familiar)]
    return Scores(split, asked, loads.shares(), per_forward, separations, recall, known)


def _marked(model: MultimodalModel, tokenizer: Any, mark: Mark, seed: int, n: int) -> list[Asked]:
    """Answers to n questions that a mark counts, of constructions that training shows."""
    prompts = (pair for pair in _questions(mark.kind, seed, "seen") if pair[1].type in mark.types)
    return answer(model, tokenizer, list(islice(prompts, n)))


def answer(model: MultimodalModel, tokenizer: Any, prompts: Sequence[tuple[Sample, Question]]) -> list[Asked]:
    """Ask all of them, greedily, in batches of like answers and like prompts."""
    rooms = [_room(*prompt, tokenizer) for prompt in prompts]
    documents = [render_prompt(*prompt, tokenizer) for prompt in prompts]

    def ask(batch: list[int]) -> list[list[int]]:
        return _said(model, tokenizer, [documents[n] for n in batch], max(rooms[n] for n in batch))

    said = in_batches(list(zip(rooms, map(len, documents), strict=True)), AT_ONCE, ask)
    return [_judged(*prompt, ids, tokenizer) for prompt, ids in zip(prompts, said, strict=True)]


def _chosen(kind: str, seed: int, split: str, n: int) -> Iterator[tuple[Sample, Question]]:
    """The first n questions of a kind, and then more of those that a mark counts, until it has n."""
    taken = 0
    missing = {mark: n for mark in MARKS if mark.kind == kind}
    for sample, question in _questions(kind, seed, split):
        wanted = [mark for mark in missing if missing[mark] > 0 and question.type in mark.types]
        if taken < n or wanted:
            taken += 1
            missing |= {mark: missing[mark] - 1 for mark in wanted}
            yield sample, question
        if taken >= n and not any(left > 0 for left in missing.values()):
            return


def recall_curve(
    model: MultimodalModel, tokenizer: Any, n: int = 100, split: str = "test", seed: int = 0,
    distances: Sequence[int] = DISTANCES,
) -> dict[int, float]:  # fmt: skip
    """Distance -> share of n facts that are still known after so many other sentences."""
    found: dict[int, float] = {}
    for distance in distances:
        samples = [draw("facts", seed, index, split, distance=(distance, distance)) for index in range(n)]
        prompts = [(sample, sample.questions[0]) for sample in samples]
        found[distance] = sum(each.verdict == "right" for each in answer(model, tokenizer, prompts)) / n
    return found


def _questions(kind: str, seed: int, split: str) -> Iterator[tuple[Sample, Question]]:
    for index in count():
        sample = draw(kind, seed, index, split)
        yield from ((sample, question) for question in sample.questions)


def _said(model: MultimodalModel, tokenizer: Any, documents: Sequence[Document], room: int) -> list[list[int]]:
    """What is answered to each prompt of a batch: tokens, and what comes after the end."""
    device = model.embed_tokens.weight.device
    inputs, pictures = _batched(documents, tokenizer.pad_token_id)
    tokens = decode(
        model, inputs["input_ids"].to(device), inputs["attention_mask"].to(device), max_new_tokens=room,
        stop_ids=_stops(tokenizer), pictures={name: value.to(device) for name, value in pictures.items()},
    )  # fmt: skip
    return torch.stack(list(tokens), 1).tolist()


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
