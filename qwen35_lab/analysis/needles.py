"""One fact in a long text, and a cache that is cut: which layer's memory is the answer read from?

A text is a fact, the *needle*, with other sentences before and after it, and then a question about it. What a layer
keeps of a text is its part of the cache, so a layer can be made to forget without touching a weight:

* silent: its mixer adds nothing, from the first token to the last.
* frozen: a DeltaNet layer's part is put back, once the needle is read, to what it was before: it never took it in.
* emptied: as the question begins. A DeltaNet layer's part is set to zero; an attention layer loses its keys and values.

The texts of one cell have one shape, so that a batch is cut at one place; they are made by `recall_texts` for models
with the vocabulary of `qwen35_lab.recall` and by `told_texts` (told.py) for models that chat.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..config import LINEAR
from ..edits import AnyEdit, edit
from ..errors import InputError
from ..model import Cache
from ..model.cache import DeltaNetMemory, Snapshot
from ..qwen import Qwen
from ..recall import TRAINED, VALUES
from ..recall.task import FIRST_VALUE
from .recall_map import needle_texts

PIECES = 16  # that a document is read in, to look at the memories on the way
CUTS = ("silent", "frozen", "emptied")


@dataclass(frozen=True)
class Texts:
    """Texts of one shape. All int64 [text, token] but for the last two."""

    before: Tensor
    needle: Tensor
    after: Tensor
    question: Tensor
    other: Tensor  # the needle with another value in it
    answers: Tensor  # [text], token ids
    choices: Tensor  # [choice], token ids: the answers that there could be

    @property
    def document(self) -> Tensor:
        return torch.cat((self.before, self.needle, self.after), dim=1)

    @property
    def tokens(self) -> int:
        """Of one text, question included."""
        return self.document.shape[1] + self.question.shape[1]


Make = Callable[[int, float], Texts]  # (length in sentences, depth from 0 to 1)


@dataclass(frozen=True)
class NeedleCuts:
    """Shares of right answers by length and depth; float64, NaN where there is no such cut."""

    lengths: tuple[int, ...]  # sentences of a document
    depths: tuple[float, ...]  # 0: the needle is the first sentence; 1: the last
    kinds: tuple[str, ...]  # of the layers
    tokens: Tensor  # [length, depth] int64, question included
    recall: Tensor  # [length, depth], nothing cut
    cut: dict[str, Tensor]  # by the names of `CUTS`: [length, depth, layer]
    reading: Tensor  # [length, depth, layer, piece + 1]: see `reading_of`
    texts: int  # of every cell
    chance: float
    provenance: object


@torch.inference_mode()
def needle_cuts(
    qwen: Qwen, make: Make, lengths: Sequence[int], depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    *, cuts: Sequence[str] = CUTS, progress: bool = False,
) -> NeedleCuts:  # fmt: skip
    """Ask in every cell, with nothing cut and with each layer cut in turn.

    Args:
        make: the texts of a cell, `lambda length, depth: recall_texts(length, depth)`.
        cuts: which of `CUTS`; "silent" costs a whole reading for every layer, "frozen" a part of one, "emptied" none.
        progress: show a bar.
    Raises:
        InputError: no cell, or a cut that is none.
    """
    if not lengths or not depths or not set(cuts) <= set(CUTS):
        raise InputError(
            f"Pass lengths, depths and cuts among {', '.join(CUTS)}; these are {lengths}, {depths}, {cuts}."
        )
    kinds = tuple(qwen.config.text.layer_types)
    shape = len(lengths), len(depths)
    recall, tokens = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.long)
    cut = {name: torch.full((*shape, len(kinds)), torch.nan, dtype=torch.float64) for name in CUTS}
    reading = torch.full((*shape, len(kinds), PIECES + 1), torch.nan, dtype=torch.float64)
    made = None
    layers = product(cuts, range(len(kinds)))
    asked = [(name, layer) for name, layer in layers if name != "frozen" or kinds[layer] == LINEAR]
    cells = list(product(range(shape[0]), range(shape[1])))
    for row, column in tqdm(cells, unit="cell", disable=not progress):
        made = make(lengths[row], depths[column])
        at = (row, column)
        tokens[at], reading[at] = made.tokens, reading_of(qwen, made)
        recall[at], *shares = rights(qwen, made, [(None, 0), *asked]).double().mean(1)
        for (name, layer), share in zip(asked, shares, strict=True):
            cut[name][at][layer] = share
    assert made is not None
    return NeedleCuts(
        tuple(lengths), tuple(depths), kinds, tokens, recall, cut, reading, len(made.answers), 1 / len(made.choices),
        qwen.provenance,
    )  # fmt: skip


def right(qwen: Qwen, texts: Texts, cut: str | None = None, layer: int = 0) -> Tensor:
    """Is the right answer the likeliest of the choices? Bool [text].

    Args:
        cut: one of `CUTS`, of this layer; None for none.
    """
    return rights(qwen, texts, [(cut, layer)])[0]


@torch.inference_mode()
def rights(qwen: Qwen, texts: Texts, cuts: Sequence[tuple[str | None, int]]) -> Tensor:
    """`right` for several cuts, each with its layer: bool [cut, text].

    All cuts but "silent" go on from one reading of the document, rolled back to where they differ.
    """
    cache, moments, found = qwen.model.new_cache(), [], []
    for cut, layer in cuts:
        if cut == "silent":
            with qwen.edited(edit(f"layers.{layer}.mixer.out").zero()):
                changed = qwen.model.new_cache()
                _moments(qwen, changed, texts)
                found.append(_is_right(qwen, changed, texts))
            continue
        before, known, end = moments = moments or _moments(qwen, cache, texts)
        cache.restore(known if cut == "frozen" else end)
        if cut == "frozen":
            _put_back(cache, layer, before)
            _read(qwen, cache, texts.after)
        with qwen.edited(*(_emptied(cache, layer) if cut == "emptied" else [])):
            found.append(_is_right(qwen, cache, texts))
    return torch.stack(found)


def _moments(qwen: Qwen, cache: Cache, texts: Texts) -> list[Snapshot]:
    """Read a document; the cache before the needle, after it, and at the end."""
    found = []
    for part in (texts.before, texts.needle, texts.after):
        _read(qwen, cache, part)
        found.append(cache.snapshot())
    return found


def _is_right(qwen: Qwen, cache: Cache, texts: Texts) -> Tensor:
    """Ask, the document being read: bool [text]."""
    logits = _read(qwen, cache, texts.question)
    assert logits is not None
    scores = logits[:, texts.choices.to(logits.device)]
    return texts.choices[scores.argmax(-1).cpu()] == texts.answers


def _emptied(cache: Cache, layer: int) -> list[AnyEdit]:
    """Take from one layer all that it keeps; of an attention layer, with an edit to be in force from now on."""
    memory = cache.layers[layer]
    if isinstance(memory, DeltaNetMemory):
        _forget(memory)
        return []
    lost = edit(f"layers.{layer}.mixer.scores", key=slice(None, cache.length)).set(-torch.inf)
    return [lost]


def _put_back(cache: Cache, layer: int, moment: Snapshot) -> None:
    """Of one DeltaNet layer alone; a moment before the first token is an empty memory."""
    memory = cache.layers[layer]
    assert isinstance(memory, DeltaNetMemory)
    if moment.length:
        memory.conv, memory.state = moment.layers[layer]
    else:
        _forget(memory)


def _forget(memory: DeltaNetMemory) -> None:
    assert memory.conv is not None and memory.state is not None
    memory.conv, memory.state = torch.zeros_like(memory.conv), torch.zeros_like(memory.state)


def _read(qwen: Qwen, cache: Cache, ids: Tensor) -> Tensor | None:
    """Read a piece, if there is any; the scores of the token after it, [text, vocabulary]."""
    if not ids.shape[1]:
        return None
    return qwen.model(ids.to(qwen.device), cache=cache, logits_to_keep=1).logits[:, -1]


@torch.inference_mode()
def reading_of(qwen: Qwen, texts: Texts) -> Tensor:
    """How much of what the question would read hangs on the needle's value, while the document is read.

        ‖(S − S′)ᵀ q‖ / ‖Sᵀ q‖      averaged over the texts

    S is a DeltaNet layer's memory, S′ the one of the same text with another value in its needle, and q the query of the
    question's last token; the norms run over all heads. 0 as long as the needle is not read; about √2 where all that is
    read is the value, and the two values have nothing in common.

    Returns:
        [layer, piece + 1], float64: before the document, and after each of `PIECES` equal pieces; NaN for attention.
    """
    kinds = qwen.config.text.layer_types
    two = torch.cat((texts.document, torch.cat((texts.before, texts.other, texts.after), dim=1)))
    cache, half = qwen.model.new_cache(), len(texts.answers)
    ends = torch.linspace(0, two.shape[1], PIECES + 1).round().long().tolist()
    same = sum(end <= texts.before.shape[1] for end in ends)  # as long as there is no needle, nothing hangs on it
    states: list[list[Tensor | None]] = []
    _read(qwen, cache, two[:, : ends[same - 1]])
    for start, end in pairwise(ends[same - 1 :]):
        _read(qwen, cache, two[:, start:end])
        states.append([memory.state for memory in _memories(cache, kinds)])
    queries = _queries(qwen, cache, torch.cat((texts.question, texts.question)))
    found = torch.full((len(kinds), PIECES + 1), torch.nan, dtype=torch.float64)
    linear = [n for n, kind in enumerate(kinds) if kind == LINEAR]
    for n, (layer, q) in enumerate(zip(linear, queries, strict=True)):
        share = [_hangs(S[n], q[:half]) for S in states]
        found[layer] = torch.tensor([0.0] * same + share, dtype=torch.float64)
    return found


def _memories(cache: Cache, kinds: Sequence[str]) -> Iterator:
    """Those of the DeltaNet layers."""
    return (memory for memory, kind in zip(cache.layers, kinds, strict=True) if kind == LINEAR)


def _queries(qwen: Qwen, cache: Cache, question: Tensor) -> list[Tensor]:
    """The last token's query in every DeltaNet layer, [text, head, K]."""
    found: list[Tensor] = []

    def keep(part: Tensor) -> Tensor:
        found.append(part.double()[:, -1])
        return part

    kinds = qwen.config.text.layer_types
    with qwen.edited(*(edit(f"layers.{n}.mixer.q").replace(keep) for n, kind in enumerate(kinds) if kind == LINEAR)):
        _read(qwen, cache, question)
    return found


def _hangs(states: Tensor | None, q: Tensor) -> float:
    """states [text and its twin, head, K, V], None before the first token; q [text, key head, K]."""
    if states is None:
        return 0.0
    S, other = states.double().chunk(2)
    q = q.repeat_interleave(S.shape[1] // q.shape[1], dim=1)
    moved, whole = (torch.einsum("nhk,nhkv->nhv", q, part).flatten(1).norm(dim=1) for part in (S - other, S))
    return float((moved / whole).nan_to_num(0).mean())


def recall_texts(length: int, depth: float, *, texts: int = 16, keys: int = TRAINED.keys[1], seed: int = 0) -> Texts:
    """Those of `needle_map`, in parts: `dog blue . cat red . owl gold . ? cat`."""
    ids, answers = needle_texts(length, depth, keys=keys, texts=texts, seed=seed)
    start = 3 * round(depth * (length - 1))
    needle = ids[:, start : start + 3]
    other = needle.clone()
    other[:, 1] = FIRST_VALUE + (needle[:, 1] - FIRST_VALUE + 1 + torch.arange(texts) % (len(VALUES) - 1)) % len(VALUES)
    choices = FIRST_VALUE + torch.arange(len(VALUES))
    return Texts(ids[:, :start], needle, ids[:, start + 3 : -2], ids[:, -2:], other, answers, choices)


@torch.inference_mode()
def in_chunks(qwen: Qwen, texts: Texts, tokens: int) -> Tensor:
    """The same question asked of every piece of the document alone, and the most certain answer taken. Bool [text].

    Args:
        tokens: of a piece, the question not counted; the last one may be shorter.
    """
    if tokens < 1:
        raise InputError(f"A chunk has {tokens} tokens; pass 1 or more.")
    pieces = [torch.cat((piece, texts.question), dim=1) for piece in texts.document.split(tokens, dim=1)]
    scores = torch.stack([_choice(qwen, texts, piece) for piece in pieces])  # [piece, text, choice]
    certainty, choice = scores.softmax(-1).max(-1)
    best = certainty.argmax(0, keepdim=True)
    return texts.choices[choice.gather(0, best)[0]] == texts.answers


def _choice(qwen: Qwen, texts: Texts, ids: Tensor) -> Tensor:
    """Scores of the choices after a text, float [text, choice]."""
    logits = qwen.model(ids.to(qwen.device), logits_to_keep=1).logits[:, -1]
    return logits[:, texts.choices.to(logits.device)].float().cpu()
