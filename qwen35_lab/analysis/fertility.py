"""What texts cost in tokens, and what another vocabulary saves: for any tokenizers, in any languages.

Fertility is tokens per word (Ács 2019; Rust et al. 2021, arXiv 2012.15613, §3.2). It needs words, which not every
script writes apart. Tokens per byte need nothing, but a byte is a letter in English and a third of one in Hindi. A
saving compares two vocabularies on one text, so that neither is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from ..errors import InputError
from ..inputs.vocabularies import Vocabulary
from .scripts import main_script, words


@dataclass(frozen=True)
class Fertility:
    """Counts of some texts.

    Attributes: `texts` and `vocabularies`, names; `tokens` [text, vocabulary]; `bytes` (UTF-8), `characters` and
    `words`, each [text], float64, words NaN where blanks do not part them; `scripts`, of most letters of each text.
    """

    texts: tuple[str, ...]
    vocabularies: tuple[str, ...]
    tokens: Tensor
    bytes: Tensor
    characters: Tensor
    words: Tensor
    scripts: tuple[str, ...]

    @property
    def per_word(self) -> Tensor:
        """Tokens per word, [text, vocabulary]."""
        return self.tokens / self.words[:, None]

    @property
    def per_character(self) -> Tensor:
        return self.tokens / self.characters[:, None]

    def saved(self, old: int = 0, new: int = -1) -> Tensor:
        """The share of the tokens that the new vocabulary saves, [text]; negative where it needs more."""
        return 1 - self.tokens[:, new] / self.tokens[:, old]

    def row(self, text: str) -> int:
        """Where a text stands. Raises InputError for one that is not there."""
        if text not in self.texts:
            raise InputError(f"There is no text {text!r}; there are {', '.join(self.texts[:12])}, …")
        return self.texts.index(text)


def fertility(texts: Mapping[str, str], *vocabularies: Vocabulary) -> Fertility:
    """Count the tokens of every text under every vocabulary.

    Args:
        texts: name -> text.
    Raises:
        InputError: no text, an empty one, or no vocabulary.
    """
    if not texts or not vocabularies or not all(texts.values()):
        raise InputError("Pass at least one text, none of them empty, and at least one vocabulary.")
    counted = [[len(each.encode(text)) for each in vocabularies] for text in texts.values()]
    found = [words(text) for text in texts.values()]
    sizes = {
        "bytes": [len(text.encode("utf-8", errors="surrogatepass")) for text in texts.values()],
        "characters": [len(text) for text in texts.values()],
        "words": [len(each) if each else nan for each in found],
    }
    return Fertility(
        texts=tuple(texts),
        vocabularies=tuple(each.name for each in vocabularies),
        tokens=torch.tensor(counted, dtype=torch.float64),
        scripts=tuple(main_script(text) for text in texts.values()),
        **{name: torch.tensor(values, dtype=torch.float64) for name, values in sizes.items()},
    )


@dataclass(frozen=True)
class Spread:
    """How some numbers lie: their count, the ends, and the three quartiles."""

    n: int
    least: float
    low: float
    median: float
    high: float
    most: float

    def __str__(self) -> str:
        """Of shares, in percent."""
        return f"median {self.median:.0%}, half of them {self.low:.0%} to {self.high:.0%}, n = {self.n}".replace(
            "-", "−"
        )


def spread(values: Tensor | Sequence[float]) -> Spread:
    """Of numbers that are there, NaN left out. Raises InputError if there is none."""
    found = torch.as_tensor(values, dtype=torch.float64).flatten()
    found = found[~found.isnan()]
    if not len(found):
        raise InputError("There is no number to describe; pass at least one.")
    marks = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64)
    return Spread(len(found), *found.quantile(marks).tolist())


def by_script(found: Fertility, old: int = 0, new: int = -1) -> dict[str, Spread]:
    """Savings of the texts in each script, the largest median first."""
    saved = found.saved(old, new)
    groups = {
        name: [n for n, each in enumerate(found.scripts) if each == name] for name in dict.fromkeys(found.scripts)
    }
    spreads = {name or "no letters": spread(saved[rows]) for name, rows in groups.items()}
    return dict(sorted(spreads.items(), key=lambda item: -item[1].median))


def rank_correlation(a: Tensor | Sequence[float], b: Tensor | Sequence[float]) -> float:
    """Spearman's: 1 for the same order, 0 for none in common, −1 for the opposite; equal numbers share a rank.

    Raises:
        InputError: not two lists of one length, at least two numbers.
    """
    x, y = (torch.as_tensor(each, dtype=torch.float64).flatten() for each in (a, b))
    if len(x) != len(y) or len(x) < 2:
        raise InputError(f"There are {len(x)} and {len(y)} numbers; pass as many in both, and at least two.")
    p, q = (_ranks(each) - (len(x) - 1) / 2 for each in (x, y))
    size = float(p.norm() * q.norm())
    return float(p @ q) / size if size else 0.0


def _ranks(x: Tensor) -> Tensor:
    """0 for the smallest; equal ones get the mean of their places."""
    return ((x[:, None] > x).sum(1) + (x[:, None] >= x).sum(1) - 1).double() / 2
