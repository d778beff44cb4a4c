"""The logit lens as a map: what the model would say after every layer, at every token."""

from collections.abc import Mapping, Sequence

from ..analysis import Lens
from ..errors import InputError
from .figure import Figure
from .maps import heat_map, token_axis
from .words import numbered, visible

LINE = 112  # letters of a row of cells


def logit_lens_map(lens: Lens, tokens: Sequence[str], vocabulary: Mapping[int, str], *, provenance: object) -> Figure:
    """Layers × tokens: in a cell the best guess for the next token, on the colour of its probability.

    An asterisk marks guesses that already are what the model finally says.

    Args:
        vocabulary: the text of every token id in `lens.ids`.
    Raises:
        InputError: the lens is of another text, or a word is missing.
    """
    floors, places, _ = lens.ids.shape
    if places != len(tokens):
        raise InputError(f"The lens read {places} tokens and {len(tokens)} were passed; pass the tokens of its trace.")
    if missing := set(lens.ids.unique().tolist()) - set(vocabulary):
        raise InputError(
            f"The vocabulary lacks the text of token {min(missing)}; pass {{id: text}} for all of lens.ids."
        )
    best, sure = lens.ids[..., 0], lens.probabilities[..., 0]
    final = lens.chosen_rank == 0
    rows = ["embedding", *(f"layer {n}" for n in range(floors - 1))]
    written = [
        [
            _cell(vocabulary[int(word)], bool(right), max(2, LINE // places - 2))
            for word, right in zip(words, rights, strict=True)
        ]
        for words, rights in zip(best, final, strict=True)
    ]
    settled = [lens.settled(token) for token in range(places)]
    early = sum(row < floors - 1 for row in settled)
    figure = heat_map(
        sure, rows, numbered(tokens), provenance=provenance, what="probability", span=(0, 1), written=written,
        axes=("after", "token read so far"),
        caption=f"The best guess for the next token after every layer; * marks what the model finally says. "
        f"{early} of {places} guesses are final before the last layer; the last layer is sure of its guess to "
        f"{float(sure[-1].mean()):.0%} on average.",
        alt="Logit lens. "
        + "; ".join(
            f"after {name}: final {visible(vocabulary[int(best[-1, n])])} ({float(sure[-1, n]):.0%}), "
            f"settled at {rows[settled[n]]}" for n, name in enumerate(numbered(tokens))
        ),
    )  # fmt: skip
    figure.update_traces(
        customdata=[[_several(lens, vocabulary, row, n) for n in range(places)] for row in range(floors)],
        hovertemplate="%{y} · %{x}<br>%{customdata}<extra></extra>",
        textfont_size=11 if places <= 12 else 9,
    )
    if places > 28:
        figure.update_traces(texttemplate="")  # words would not fit: colour and hover stay
    figure.update_xaxes(**token_axis(tokens), tickangle=-90 if places > 12 else 0)
    figure.update_layout(height=max(260, min(900, 130 + 34 * floors)))
    figure.update_yaxes(autorange=True)  # the model grows upwards
    return figure


def _cell(word: str, final: bool, room: int) -> str:
    text = visible(word)
    return (text if len(text) <= room else text[: room - 1] + "…") + ("*" if final else "")


def _several(lens: Lens, vocabulary: Mapping[int, str], row: int, token: int) -> str:
    """All kept guesses of a cell, for hovering."""
    pairs = zip(lens.ids[row, token].tolist(), lens.probabilities[row, token].tolist(), strict=True)
    return "<br>".join(f"{visible(vocabulary[word])} {probability:.1%}" for word, probability in pairs)
