"""What each expert is for: held-out conversations of the nano's world, answered while one expert is away.

    texts = held_out(qwen, documents=4)
    found = missed_experts(qwen, texts)
    found.cost[0]                       # [kind, expert]: how much worse the right answers get, in nats a token

An expert that is masked cannot be chosen: the next best takes its place, and the weights still sum to one. So the cost
is what the others cannot make up for, not what the expert says.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..model.moe import SparseMoE
from ..model.taps import listen
from ..nano.loss import watched_routers
from ..nano.pack import Batch, batch
from ..nano.patches import PATCHING
from ..nano.world import KINDS
from ..nano.world.kinds import TEXT_KINDS
from ..passes import in_force
from ..qwen import Qwen
from ..routers import routing
from .recorded import counted

LENGTH = 512  # tokens; no document of the world is longer
FEW = 8  # layers, and experts of each, that are taken away if nothing is said
Texts = Mapping[str, Batch]  # kind -> its documents, one in each row


def moe_layers(qwen: Qwen) -> list[int]:
    """The numbers of the layers that have experts.

    Raises:
        InputError: there is none.
    """
    found = [n for n, block in enumerate(qwen.model.layers) if isinstance(block.ffn, SparseMoE)]
    if not found:
        raise InputError("This model has one feed-forward in every layer and no experts; load one that has some.")
    return found


def held_out(
    qwen: Qwen, documents: int = 4, kinds: Sequence[str] | None = None, seed: int = 0, split: str = "test"
) -> dict[str, Batch]:
    """Conversations that the nano's training left out, by kind, as this model reads them.

    Args:
        documents: of each kind.
        kinds: all that the model can read, if nothing is said: the pictures of this world fit eyes like the nano's.
    Raises:
        InputError: a kind that the model cannot read.
    """
    eyes = qwen.config.vision
    sees = eyes is not None and (eyes.patch_size, eyes.spatial_merge_size) == (PATCHING.patch, PATCHING.merge)
    readable = tuple(KINDS) if sees else TEXT_KINDS
    chosen = readable if kinds is None else tuple(kinds)
    if unread := [kind for kind in chosen if kind not in readable]:
        raise InputError(f"This model cannot read {unread[0]!r}; choose from {', '.join(readable)}.")
    how = {"rows": counted(documents, "documents", 1), "length": LENGTH, "split": split, "alone": True}
    return {
        kind: batch(qwen.tokenizer, 0, seed, mix={kind: 1.0}, **how).to(qwen.device) for kind in chosen
    }  # fmt: skip


@dataclass(frozen=True)
class Routes:
    """What the routers of one layer did with some texts, padding left out."""

    logits: Tensor  # [token, expert], float32
    ids: Tensor  # [token, choice]
    inputs: Tensor  # [token, hidden]: what the router reads
    document: Tensor  # [token]: number of the document, over all kinds
    kinds: tuple[str, ...]  # of every document


@torch.no_grad()  # and not in inference mode: what is kept may go into computations with gradients
def routes(qwen: Qwen, texts: Texts) -> dict[int, Routes]:
    """Read the texts and keep, for each layer with experts, what its router saw and chose."""
    layers = moe_layers(qwen)
    kept: dict[int, list[tuple[Tensor, ...]]] = {n: [] for n in layers}
    kinds: list[str] = []
    for kind, read in texts.items():
        real = read.document > 0
        number = (len(kinds) + torch.arange(len(read.ids), device=real.device))[:, None].expand_as(real)[real].cpu()
        with watched_routers(qwen.model) as seen, ExitStack() as stack:
            inputs = _keep(stack, qwen, layers)
            qwen.model(**read.inputs(), logits_to_keep=1)
        for n in layers:
            name = f"layers.{n}.ffn"
            there = (seen.logits[name][real], seen.ids[name][real], inputs[n][real])
            kept[n].append((*(value.cpu() for value in there), number))
        kinds += [kind] * len(read.ids)
    joined = {n: [torch.cat(column) for column in zip(*rows, strict=True)] for n, rows in kept.items()}
    return {n: Routes(*columns, kinds=tuple(kinds)) for n, columns in joined.items()}


def _keep(stack: ExitStack, qwen: Qwen, layers: Sequence[int]) -> dict[int, Tensor]:
    """What the feed-forwards of some layers read, by layer, until `stack` closes."""
    kept: dict[int, Tensor] = {}
    for n in layers:
        listen(stack, qwen.model.get_submodule(f"layers.{n}.ffn"), partial(_put, kept, n), before=True)
    return kept


def _put(kept: dict[int, Tensor], layer: int, module: nn.Module, args: tuple, kwargs: dict) -> None:
    kept[layer] = args[0]


@dataclass(frozen=True)
class Missed:
    """What it costs to do without one expert. Nats for each token of the right answers; above 0 they get unlikelier."""

    layers: tuple[int, ...]
    experts: tuple[tuple[int, ...], ...]  # of each layer, those that were taken away
    kinds: tuple[str, ...]
    whole: Tensor  # [kind, document]: with all experts
    each: Tensor  # [layer, kind, document, expert], the expert by its place in `experts`: what is added without it
    load: Tensor  # [layer, kind, expert]: its share of all choices
    of: int  # experts that a layer has

    @property
    def cost(self) -> Tensor:
        """[layer, kind, expert], the mean over documents."""
        return self.each.mean(2)

    @property
    def agreement(self) -> float:
        """Rank correlation (Spearman) of the costs in one half of the documents with those in the other; nan of a
        single one. Ranks, because few documents hold a few costs that are far larger than all the others."""
        halves = torch.stack([self.each[:, :, start::2].mean(2).flatten() for start in (0, 1)])
        ranks = halves.argsort(-1).argsort(-1).double().where(halves.isfinite(), torch.nan)
        return float(torch.corrcoef(ranks)[0, 1])

    @property
    def dearest(self) -> tuple[int, str, int]:
        """The layer, kind and expert of the largest cost."""
        at = int(self.cost.argmax())
        layer, kind, expert = (int(n) for n in torch.unravel_index(torch.tensor(at), self.cost.shape))
        return self.layers[layer], self.kinds[kind], self.experts[layer][expert]


@torch.inference_mode()
def missed_experts(qwen: Qwen, texts: Texts, layers: Sequence[int] | None = None, experts: int = FEW) -> Missed:
    """Take every expert away in turn, the rest of the model as it is.

    Args:
        layers: all that have experts if nothing is said, the first of them where they are many.
        experts: how many of each layer; the most asked ones, if there are more.
    Raises:
        InputError: a layer without experts, or a top-k that needs them all.
    """
    found = moe_layers(qwen)
    chosen = found[:FEW] if layers is None else list(layers)
    if strange := [n for n in chosen if n not in found]:
        raise InputError(f"Layer {strange[0]} has no experts; choose from {found}.")
    answered, loads = [_Answered(qwen, read) for read in texts.values()], _loads(qwen, texts, chosen)
    whole = torch.stack([each.loss(qwen, 0) for each in answered])
    count = min(counted(experts, "experts", 1), loads.shape[-1])
    away = loads.mean(1).topk(count).indices.sort(-1).values  # [layer, expert]
    cost = torch.stack([
        torch.stack([_without(qwen, answered, n, int(expert)) - whole for expert in row], -1)
        for n, row in zip(chosen, away, strict=True)
    ])  # fmt: skip
    load = loads.gather(-1, away[:, None].expand(-1, loads.shape[1], -1))
    return Missed(tuple(chosen), tuple(map(tuple, away.tolist())), tuple(texts), whole, cost, load, loads.shape[-1])


def _without(qwen: Qwen, answered: Sequence["_Answered"], layer: int, expert: int) -> Tensor:
    """Mean cross-entropy of the right answers' tokens while an expert is away, [kind, document]."""
    with qwen.edited(routing(layer, mask=expert)):
        return torch.stack([each.loss(qwen, layer) for each in answered])


class _Answered:
    """Conversations of one kind, read once: what lies below a change is not computed again."""

    def __init__(self, qwen: Qwen, read: Batch):
        self.read, self.inputs = read, read.inputs()
        del self.inputs["attention_mask"]  # padding stands behind, where nobody sees it
        self.entering: list[tuple] = []  # what each layer is called with
        if in_force(qwen.model):  # other edits want whole passes, in which they find their places
            return
        with ExitStack() as stack:
            for block in qwen.model.layers:
                note = block.register_forward_pre_hook(lambda block, given: self.entering.append(given), prepend=True)
                stack.callback(note.remove)
            qwen.model(**self.inputs, logits_to_keep=1)

    def loss(self, qwen: Qwen, layer: int) -> Tensor:
        """Mean cross-entropy of the right answers' tokens, read on from a layer: [document]."""
        asked = self.read.answer[:, 1:] > 0
        hidden = self._hidden(qwen, layer)[:, :-1][asked]
        wanted = self.read.targets[asked]
        each = F.cross_entropy(qwen.model.head(hidden).float(), wanted, reduction="none").double().cpu()
        row = torch.arange(len(asked), device=asked.device)[:, None].expand_as(asked)[asked].cpu()
        total = torch.zeros(len(asked), dtype=torch.float64).index_add(0, row, each)
        return total / torch.bincount(row, minlength=len(asked))

    def _hidden(self, qwen: Qwen, layer: int) -> Tensor:
        if not self.entering:
            return qwen.model(**self.inputs, logits_to_keep=1).hidden
        x, *rest = self.entering[layer]
        for block in qwen.model.layers[layer:]:
            x = block(x, *rest)
        return qwen.model.final(qwen.model.norm(x))


def _loads(qwen: Qwen, texts: Texts, layers: Sequence[int]) -> Tensor:
    """[layer, kind, expert]: the share of each kind's choices."""
    seen = routes(qwen, texts)
    return torch.stack([torch.stack(list(_by_kind(seen[n], list(texts)))) for n in layers])


def _by_kind(seen: Routes, kinds: Sequence[str]) -> Iterator[Tensor]:
    of = torch.tensor([kinds.index(kind) for kind in seen.kinds])[seen.document]
    for number in range(len(kinds)):
        counts = torch.bincount(seen.ids[of == number].flatten(), minlength=seen.logits.shape[-1]).double()
        yield counts / counts.sum()
