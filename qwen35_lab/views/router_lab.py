"""The router lab: turn a router while the model runs, see who answers instead, and what it does to the next token."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from ..analysis.routing import entropy, jensen_shannon, load
from ..analysis.specialists import moe_layers
from ..errors import InputError
from ..qwen import Prompt, Qwen
from ..routers import routing
from ..trace import Trace
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
        self.normal = {name: self.run(name) for name in prompts}
        self.loads = {name: self._loads(trace) for name, trace in self.normal.items()}  # [layer, expert]

    def run(self, name: str, top_k: int | None = None, mask: int | None = None, precision: str = "float32",
            layer: int | None = None) -> Trace:  # fmt: skip
        """One pass; the mask acts in `layer`."""
        top_k = self.top_k if top_k is None else min(top_k, self.experts - (mask is not None))
        edits = [routing(top_k=top_k, dtype=precision)] if (top_k, precision) != (self.top_k, "float32") else []
        edits += [] if mask is None else [routing(layer, mask=mask)]
        record = [f"layers.{n}.ffn.{tap}" for n in self.layers for tap in RECORD]
        return self.twin.trace(self.prompts[name], [*record, "logits"], edits)

    def panels(self, name: str, top_k: int, mask: int | None, precision: str) -> list[Panel]:
        """What is shown, over the layers."""
        if mask is None:
            passes = dict.fromkeys(self.layers, self.run(name, top_k, None, precision))
        else:
            passes = {n: self.run(name, top_k, mask, precision, n) for n in self.layers}
        weights, logits, ids, gates = (torch.stack(part) for part in zip(
            *(_read(trace, n, self.experts) for n, trace in passes.items()), strict=True
        ))  # fmt: skip
        normal = self.normal[name]
        kl = {id(trace): _kl(normal, trace) for trace in passes.values()}
        moved = torch.stack([kl[id(trace)] for trace in passes.values()])
        share = torch.stack([load(chosen, self.experts) for chosen in ids])
        expert, tokens, over = Axis("expert"), Axis("token", normal.tokens), ("layer",)
        certain = entropy(logits)
        return [
            Heat("Weight of the chosen experts", weights.mT, over, expert, tokens, signed=False, limit=1.0,
                 reading="expert {row}, “{column}”"),
            Heat("Shared expert, let through", gates[:, None], over, Axis("gate", ["σ"]), tokens, signed=False,
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

    def _loads(self, trace: Trace) -> Tensor:
        return torch.stack([load(trace[f"layers.{n}.ffn.expert_ids"], self.experts) for n in self.layers])


def _read(trace: Trace, layer: int, experts: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights and logits [token, expert], ids [token, choice], shared gate [token]."""
    logits, ids, weights, gate = (torch.as_tensor(trace[f"layers.{layer}.ffn.{tap}"]).cpu() for tap in RECORD)
    dense = torch.zeros(len(ids), experts).scatter(-1, ids, weights.float())
    return dense, logits.float(), ids, gate.float()[..., 0]


def _loads(share: Tensor, normal: Tensor, over: Sequence[str]) -> Bars | Curves:
    """Bars as long as there are few experts."""
    series, title = {"turned": share, "normal": normal}, "Load, share of all choices"
    if share.shape[-1] <= NAMED:
        return Bars(title, [f"expert {n}" for n in range(share.shape[-1])], series, over, signed=False)
    return Curves(title, Axis("expert"), series | {"even": torch.full_like(share, 1 / share.shape[-1])}, over)


def _kl(normal: Trace, turned: Trace) -> Tensor:
    """KL of the next token's distribution at every token, [token]."""
    before, after = (torch.as_tensor(trace["logits"]).double().log_softmax(-1) for trace in (normal, turned))
    return (before.exp() * (before - after)).sum(-1).clamp(min=0).cpu()
