"""What two vocabularies have in common, and what their rows are: which scripts, how long, how many unused."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import InputError
from ..family import parameters
from ..family.shapes import Config
from ..inputs.vocabularies import Vocabulary
from .scripts import script

PART, BLANK, DIGITS, SIGNS = "part of a character", "blanks", "digits", "signs and emoji"


@dataclass(frozen=True)
class Overlap:
    """Two tables side by side; special tokens are left out, as each model has its own.

    Attributes: `old`, `new`, the vocabularies; `shared`, `gone`, `added`, sets of byte strings; `same_id`, how many of
    the shared ones have kept their id.
    """

    old: Vocabulary
    new: Vocabulary

    @cached_property
    def shared(self) -> frozenset[bytes]:
        return frozenset(self.old.table.keys() & self.new.table.keys())

    @cached_property
    def gone(self) -> frozenset[bytes]:
        return frozenset(self.old.table.keys() - self.new.table.keys())

    @cached_property
    def added(self) -> frozenset[bytes]:
        return frozenset(self.new.table.keys() - self.old.table.keys())

    @property
    def same_id(self) -> int:
        return sum(self.old.table[token] == self.new.table[token] for token in self.shared)

    def by_script(self) -> dict[str, tuple[int, int, int]]:
        """script -> rows of the old table, of the new one, and shared; the largest first."""
        old, new, both = (Counter(map(kind, each)) for each in (self.old.table, self.new.table, self.shared))
        order = sorted(old.keys() | new.keys(), key=lambda name: (-new[name], -old[name], name))
        return {name: (old[name], new[name], both[name]) for name in order}


def kind(token: bytes) -> str:
    """The script of a token's first letter; of what has none: blanks, digits, signs, or part of a character."""
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return PART
    found = next((name for letter in text if (name := script(letter))), "")
    if found:
        return found
    return BLANK if text.isspace() else DIGITS if text.strip().isdigit() else SIGNS


def lengths(tokens: frozenset[bytes], most: int = 16) -> Tensor:
    """How many byte strings have 1, 2, … bytes, [most]; the last place holds all that are as long or longer."""
    sizes = torch.tensor([min(len(token), most) for token in tokens])
    return torch.bincount(sizes, minlength=most + 1)[1:]


@dataclass(frozen=True)
class TableCost:
    """What a vocabulary costs a model, in parameters.

    Attributes: `rows` and `width` of a table; `tables`, 1 where input and output share it, else 2; `parameters` of all
    tables; `total` of the checkpoint; `unused` rows, which no token has.
    """

    rows: int
    width: int
    tables: int
    parameters: int
    total: int
    unused: int

    @property
    def share(self) -> float:
        return self.parameters / self.total

    @property
    def row(self) -> int:
        """Parameters of one token."""
        return self.tables * self.width


def table_cost(config: Config, used: int) -> TableCost:
    """The embedding and output tables of a model.

    Args:
        config: of one of the eight models, or of a predecessor.
        used: ids that its tokenizer has.
    Raises:
        InputError: the tokenizer has more ids than the tables have rows.
    """
    counts, rows = parameters(config), config.text.vocab_size
    if used > rows:
        raise InputError(
            f"The tokenizer has {used:,} ids and the table {rows:,} rows; pass the tokenizer of this model."
        )
    both = counts.embedding + counts.head
    tables = 2 if counts.head else 1
    return TableCost(rows, config.text.hidden_size, tables, both, counts.total, rows - used)
