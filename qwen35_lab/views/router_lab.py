"""The router lab: turn a router while the model runs, see who answers instead, and what it does to the next token."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from .. import capture
from ..analysis.routing import entropy, jensen_shannon, load
from ..analysis.specialists import moe_layers
from ..errors import InputError
from ..interrupt import whole_stack
from ..model.taps import listen
from ..qwen import Prompt, Qwen
from ..routers import routing
from .deck import Axis, Bars, Curves, Deck, Dial, Heat
from .panels import Panel

FEW = 8  # layers that are shown if nothing is said
NAMED = 16  # experts that can be masked, and numbers of experts per token to choose from
RECORD = ("router_logits", "expert_ids", "expert_weights", "shared_gate")
PRECISIONS = ("float32", "bfloat16")


def router_lab(qwen: Qwen, prompts: Mapping[str, Prompt], layers: Sequence[int] | None = None) -> Deck:
    """Tokens × experts of a layer; dials for experts per token, a mask, the router's precision, and the input.

    The layer's dial has all its frames; the others run the model again, a twin of it: same weights, routers of its own.
    How many experts a token has, and the precision, are turned in every layer; an expert is masked in the layer that is
    shown, since those of the same number in other layers have nothing to do with it.

    Args:
        prompts: name -> what is read: two or more kinds of input, so that their experts can be compared.
        layers: those to show; by default all that have experts, or some of them where they are many.
    Raises:
        InputError: no experts, no prompts, or a layer without experts.
    """
    bench = Bench(qwen, prompts, layers)
    names = list(prompts)
    E, k = bench.experts, bench.top_k
    counts = range(1, E + 1) if E <= NAMED else sorted({k, *(2**n for n in range(int(math.log2(E)) + 1))})
    counts = list(counts)
    masks = ["none", *map(str, range(E) if E <= NAMED else bench.busiest(NAMED))]

    def panels(places: Mapping[str, int]) -> list[Panel]:
        mask = masks[places["masked expert"]]
        return bench.panels(
            names[places["input"]], counts[places["experts per token"]],
            None if mask == "none" else int(mask), PRECISIONS[places["router in"]],
        )  # fmt: skip

    return Deck(
        dials=[
            Dial("layer", bench.layers), Dial("experts per token", counts, start=counts.index(k)),
            Dial("masked expert", masks), Dial("router in", PRECISIONS), Dial("input", names),
        ],
        live=panels, caption=bench.caption(), provenance=qwen.provenance,
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What the routers of the layers shown did in a pass, and the scores of the next token."""

    logits: Tensor  # [layer, token, expert]
    ids: Tensor  # [layer, token, choice]
    weights: Tensor  # [layer, token, expert], 0 where an expert was not chosen
    gates: Tensor  # [layer, token], of the shared expert
    scores: Tensor  # [layer or 1, token, vocabulary]


class Bench:
    """A model whose routers are turned, and what it does when nobody turns them."""

    def __init__(self, qwen: Qwen, prompts: Mapping[str, Prompt], layers: Sequence[int] | None = None):
        found = moe_layers(qwen)
        if not prompts:
            raise InputError("There is nothing to read; pass prompts, such as {'a story': text, 'a sum': other}.")
        few = sorted({found[n * (len(found) - 1) // (FEW - 1)] for n in range(FEW)}) if len(found) > FEW else found
        self.layers = few if layers is None else list(layers)
        if strange := [n for n in self.layers if n not in found]:
            raise InputError(f"Layer {strange[0]} has no experts; choose from {found}.")
        self.twin, self.prompts = qwen.twin(), dict(prompts)
        self.experts, self.top_k = qwen.config.text.num_experts, qwen.config.text.num_experts_per_tok
        self.read = {name: self.twin.arguments(prompt) for name, prompt in prompts.items()}
        self.normal = {name: self.run(name) for name in prompts}
        self.loads = {name: self._loads(seen) for name, seen in self.normal.items()}  # [layer, expert]

    def run(self, name: str, top_k: int | None = None, mask: int | None = None, precision: str = "float32") -> Seen:
        """One pass. With a mask the text is read once for each layer shown, side by side: a mask in each of them."""
        top_k = self.top_k if top_k is None else min(top_k, self.experts - (mask is not None))
        edits = [routing(top_k=top_k, dtype=precision)] if (top_k, precision) != (self.top_k, "float32") else []
        taps = [f"layers.{n}.ffn.{tap}" for n in self.layers for tap in RECORD]
        with torch.inference_mode(), whole_stack() as stack:
            stack.enter_context(self.twin.edited(*edits))
            if mask is not None:
                self._mask(stack, mask)
            values = stack.enter_context(capture.record(self.twin.model, [*taps, "logits"]))
            self.twin.model(**self.read[name])
        return self._seen({tap: found[0].cpu() for tap, found in values.items()})

    def _mask(self, stack: ExitStack, expert: int) -> None:
        """As many equal rows as there are layers, from the embedding on; row n cannot choose the expert in layer n."""
        listen(stack, self.twin.model.embed, partial(_repeat, len(self.layers)))
        for row, n in enumerate(self.layers):
            tap = self.twin.model.get_submodule(f"layers.{n}.ffn.router_logits")
            listen(stack, tap, partial(_mask_row, row, expert))

    def _seen(self, values: Mapping[str, Tensor]) -> Seen:
        """Of each layer its own row, where there are several."""
        rows = [n if len(values["logits"]) > 1 else 0 for n in range(len(self.layers))]
        logits, ids, weights, gates = (
            torch.stack([values[f"layers.{n}.ffn.{tap}"][row] for n, row in zip(self.layers, rows, strict=True)])
            for tap in RECORD
        )
        dense = torch.zeros(*ids.shape[:2], self.experts).scatter(-1, ids, weights.float())
        return Seen(logits.float(), ids, dense, gates.float()[..., 0], values["logits"])

    def panels(self, name: str, top_k: int, mask: int | None, precision: str) -> list[Panel]:
        """What is shown, over the layers."""
        seen = self.run(name, top_k, mask, precision)
        moved = _kl(self.normal[name].scores, seen.scores).expand(len(self.layers), -1)
        share, certain = self._loads(seen), entropy(seen.logits)
        names = [self.twin.token_text(int(n)) for n in self.read[name]["input_ids"][0]]
        expert, tokens, over = Axis("expert"), Axis("token", names), ("layer",)
        return [
            Heat("Weight of the chosen experts", seen.weights.mT, over, expert, tokens, signed=False, limit=1.0,
                 reading="expert {row}, “{column}”"),
            Heat("Shared expert, let through", seen.gates[:, None], over, Axis("gate", ["σ"]), tokens, signed=False,
                 limit=1.0, reading="shared expert, “{column}”"),
            Curves("Next token: KL from the normal model, nats", tokens,
                   {"KL": moved, "mean": moved.mean(-1, keepdim=True).expand_as(moved)}, over),
            Curves("Entropy of the router, nats", tokens,
                   {"entropy": certain, "even": torch.full_like(certain, math.log(self.experts))}, over),
            _loads(share, self.loads[name], over),
            Bars("Experts unlike those of … (JSD)",
                 [f"{other}, normal" if other == name else other for other in self.prompts],
                 {"divergence": torch.stack([jensen_shannon(share, each) for each in self.loads.values()], -1)},
                 over, signed=False),
        ]  # fmt: skip

    def busiest(self, count: int) -> list[int]:
        """Experts that are asked most, all layers and inputs together, by number."""
        return torch.stack(list(self.loads.values())).mean((0, 1)).topk(count).indices.sort().values.tolist()

    def caption(self) -> str:
        said = f"{self.top_k} of {self.experts} experts per token as the model was trained. "
        if len(self.prompts) > 1:
            far = {pair: float(jensen_shannon(*(self.loads[each] for each in pair)).mean())
                   for pair in combinations(self.prompts, 2)}  # fmt: skip
            (a, b), most = max(far.items(), key=lambda item: item[1])
            said += f"Farthest apart by their experts are “{a}” and “{b}”, {most:.2f} on the mean over layers. "
        return said + "The number of experts and the precision act in every layer, the mask in the layer shown."

    def _loads(self, seen: Seen) -> Tensor:
        return torch.stack([load(ids, self.experts) for ids in seen.ids])


def _repeat(rows: int, module: nn.Module, inputs: tuple, value: Tensor) -> Tensor:
    return value.expand(rows, -1, -1)


def _mask_row(row: int, expert: int, module: nn.Module, inputs: tuple, value: Tensor) -> Tensor:
    masked = value.clone()
    masked[row, :, expert] = -torch.inf
    return masked


def _loads(share: Tensor, normal: Tensor, over: Sequence[str]) -> Bars | Curves:
    """Bars as long as there are few experts."""
    series, title = {"turned": share, "normal": normal}, "Load, share of all choices"
    if share.shape[-1] <= NAMED:
        return Bars(title, [f"expert {n}" for n in range(share.shape[-1])], series, over, signed=False)
    return Curves(title, Axis("expert"), series | {"even": torch.full_like(share, 1 / share.shape[-1])}, over)


def _kl(normal: Tensor, turned: Tensor) -> Tensor:
    """KL of the next token's distribution at every token, [layer or 1, token]; row by row, since they are long."""
    before = normal[0].double().log_softmax(-1)
    found = torch.stack([(before.exp() * (before - row.double().log_softmax(-1))).sum(-1) for row in turned])
    return found.clamp(min=0)
