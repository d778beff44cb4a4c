"""What taps and hooks cost, and how long a person waits for a live dial.

The rival is the same model with less done to it: without any taps, or with nobody listening to them. So a ratio of 0.8
says that listening takes a quarter longer. The models are the nano (also one token at a time, where a pass is short and
a tap weighs most), recall, and four layers at the shapes of Qwen3.5-0.8B.

A dial is timed from the browser's message to the figure that is ready to be sent; drawing it is the browser's part
(tests/browser/test_speed.py). The decks are those of notebooks 04 and 07.
"""

import copy
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from benchmarks.race import Case, Given, Mark, Work, seconds
from benchmarks.text_cases import shape
from torch import Tensor, nn

import qwen35_lab as lab
from qwen35_lab.model import Tap, TextModel
from qwen35_lab.views import Deck

UNUSED, DEFAULT = 1 / 1.01, 1 / 1.25  # the ratios wanted: at most 1 % more time, at most 25 %
INSTANT = 100.0  # milliseconds from a dial to the figure
NOT_QUICK = "the four layers at the 0.8B's shapes, edits"
KINDS = ("story", "arithmetic", "code", "shapes", "clips")  # of the nano's world, as in notebook 07


def cases(given: Given) -> Iterator[Case]:
    for name, qwen, tokens in models(given):
        ids = torch.arange(tokens, device=given.device)[None] % qwen.config.text.vocab_size
        yield from listening(f"{name}, {tokens} tokens", qwen, ids, given)
        yield stepping(name, qwen, ids)


def models(given: Given) -> Iterator[tuple[str, Any, int]]:
    """Name, model, tokens of a text."""
    yield "recall", lab.load("recall", device=given.device), 104
    yield "nano", lab.load("nano", device=given.device), 128
    if given.quick:
        return
    raw = shape() | {"mtp_num_hidden_layers": 0, "num_hidden_layers": 4, "vocab_size": 2**15}
    raw["layer_types"] = raw["layer_types"][:4]
    yield "0.8B shapes, 4 layers", lab.from_config(raw, device=given.device), 512


def listening(name: str, qwen: Any, ids: Tensor, given: Given) -> Iterator[Case]:
    """A whole text: nobody listens, everything is recorded that is formed anyhow, one value is edited."""
    model, bare = qwen.model, without_taps(qwen.model)

    def edited() -> None:
        with lab.edits.edited(model, lab.edit("layers.*.mixer.beta", token=3).scale(0.5)):
            model(ids)

    plain: Work = lambda: model(ids)  # noqa: E731
    traced: Work = lambda: qwen.trace(ids)  # noqa: E731
    yield Case(f"{name}: nobody listens", plain, lambda: bare(ids), UNUSED, "no taps", rounds=51)
    yield Case(f"{name}: qwen.trace, default taps", traced, plain, DEFAULT, "nobody listens", rounds=21)
    if not given.quick:
        yield Case(f"{name}: β of one token edited in every layer", edited, plain, None, "nobody listens", rounds=21)


def stepping(name: str, qwen: Any, ids: Tensor) -> Case:
    """Decoding behind the text, token by token; each call begins at its end."""

    def steps(model: TextModel) -> Work:
        cache = model.new_cache()
        model(ids, cache=cache)
        moment = cache.snapshot()

        def run() -> None:
            cache.restore(moment)
            for _ in range(8):
                model(ids[:, :1], cache=cache)

        return run

    ours, bare = steps(qwen.model), steps(without_taps(qwen.model))
    return Case(f"{name}, decoding 8 tokens: nobody listens", ours, bare, UNUSED, "no taps", rounds=51)


class Gone:
    """In place of a tap: as if the line were not there."""

    wanted = False

    def __call__(self, value: Tensor) -> Tensor:
        return value


def without_taps(model: nn.Module) -> Any:
    """A copy that shares the weights and has no taps."""
    bare = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    for module in list(bare.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Tap):
                del module._modules[name]
                object.__setattr__(module, name, Gone())
    return bare


# ------------------------------------------------------------------------- live dials


def marks(given: Given) -> Iterator[Mark]:
    nano = lab.load("nano", device=given.device)
    samples = {kind: lab.nano.world.draw(kind, seed=0, index=3, split="test") for kind in KINDS}
    router = lab.views.router_lab(nano, {kind: s.prompt(s.questions[0]) for kind, s in samples.items()})
    yield waited(given, "router lab, experts per token", router, "experts per token")
    yield waited(given, "router lab, masked expert", router, "masked expert")
    yield waited(given, "router lab, precision of the router", router, "router in")
    story = samples["story"]
    full = nano.config.text.layer_types.index("full_attention")
    heads = list(range(nano.config.text.num_attention_heads))
    silence: Callable[..., Any] = lambda head: lab.edit(f"layers.{full}.mixer.gate", head=head).zero()  # noqa: E731
    edits = lab.views.edit_deck(nano, story.prompt(story.questions[0]), silence, {"head": heads})
    yield waited(given, "edit deck, an attention head silenced", edits, "head")


def waited(given: Given, what: str, deck: Deck, dial: str) -> Mark:
    """Milliseconds from the browser's message, one place further at a time; the first is left out."""
    names = list(deck.places())
    asked = itertools.count(deck._said + 1)
    labels = len(next(each for each in deck._dials if each.name == dial).labels)

    def ask(place: int) -> Work:
        at = list(deck.at)
        at[names.index(dial)] = place
        message = json.dumps({"count": next(asked), "at": at})
        return lambda: deck.set_trait("ask", message)

    times = [1e3 * seconds(ask(n % labels), given.clock) for n in range(1 + 2 * given.rounds)][1:]
    assert not deck._error, deck._error
    low, middle, high = statistics.quantiles(times, n=4)
    return Mark(what, middle, "ms", INSTANT, f"quartiles {low:.0f} … {high:.0f}")
