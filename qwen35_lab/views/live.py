"""Decks that run the model again when a dial moves: an edit, and what it does to the next token."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..analysis.effect import effect
from ..errors import InputError
from ..qwen import Prompt, Qwen
from .deck import Bars, Deck, Dial
from .words import minus, visible

GUESSES = 5  # next tokens that are shown


def edit_deck(
    qwen: Qwen, prompt: Prompt, change: Callable[..., Any], dials: Mapping[str, Sequence[Any]], *,
    answer: int | None = None,
) -> Deck:  # fmt: skip
    """Turn an edit and watch the next token: the model runs again whenever a dial moves.

        edit_deck(qwen, prompt, lambda layer, λ: lab.edit(f"layers.{layer}.mixer.erase").scale(λ),
                  {"layer": [0, 1, 2], "λ": [0, 0.25, 0.5, 0.75, 1]})

    Each dial begins at its first place. The runs use a twin of the model: same weights, edits of its own.

    Args:
        change: the dials' present values, in order -> an edit, or a list of edits.
        dials: name -> values.
        answer: the token id whose probability the effect is about; by default the first choice without the edit.
    Raises:
        InputError: there is no dial, or the edit does not fit the model.
    """
    if not dials:
        raise InputError('There is nothing to turn; pass dials, such as {"λ": [0, 0.5, 1]}.')
    twin = qwen.twin()
    ids = twin.encode(prompt)
    if len(ids) != 1:
        raise InputError(f"There are {len(ids)} prompts; pass one.")
    before = _next(twin, ids, [])

    def panels(places: Mapping[str, int]) -> list[Bars]:
        after = _next(twin, ids, _edits(change, dials, places))
        found = effect(before, after, answer, twin.token_text)
        p, q = before.double().softmax(-1), after.double().softmax(-1)
        shown = torch.maximum(p, q).topk(min(GUESSES, len(p))).indices
        shown = shown[p[shown].argsort(descending=True, stable=True)]
        name = visible(found.names[0])
        return [
            Bars("Probability of the next token, %", [visible(twin.token_text(int(n))) for n in shown],
                 {"unedited": _percent(p[shown]), "edited": _percent(q[shown])}, signed=False),
            Bars(f"Effect on “{name}”, rank {found.rank_before + 1} → {found.rank_after + 1}", ["ΔlogP", "KL"],
                 {"nats": torch.tensor([found.delta_logp, found.kl])}),
        ]  # fmt: skip

    top = int(before.argmax()) if answer is None else answer
    far = _next(twin, ids, _edits(change, dials, dict.fromkeys(dials, 0)))
    change_of = effect(before, far, answer).delta_logp
    settings = ", ".join(f"{name} {values[0]}" for name, values in dials.items())
    return Deck(
        dials=[Dial(name, values) for name, values in dials.items()],
        live=panels,
        caption=f"The next token without the edit: “{visible(twin.token_text(int(before.argmax())))}”, "
        f"{float(before.double().softmax(-1).max()):.0%}. With {settings} the log-probability of "
        f"“{visible(twin.token_text(top))}” changes by {minus(f'{change_of:+.3g}')} nats.",
        provenance=qwen.provenance,
    )


def _edits(change: Callable[..., Any], dials: Mapping[str, Sequence[Any]], places: Mapping[str, int]) -> Sequence[Any]:
    found = change(*(values[places[name]] for name, values in dials.items()))
    return found if isinstance(found, list | tuple) else [found]


def _percent(p: Tensor) -> Tensor:
    return (100 * p).round(decimals=2)


@torch.inference_mode()
def _next(qwen: Qwen, ids: Tensor, edits: Sequence[Any]) -> Tensor:
    """Logits of the next token, [vocabulary]."""
    with qwen.edited(*edits):
        return qwen.model(ids).logits[0, -1].float().cpu()
