"""The weighted sum of the chosen experts' answers, on a pass where nobody watches them: they are never side by side.

`SparseMoE.mix` is the readable form, which forms every answer [batch, token, choice, feature] and weights it. Here the
answers lie as the experts give them, one expert's after another's, and are fetched, weighted and added in one go:
PyTorch's `embedding_bag` is that sum over rows of a table, made in float32 at least.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def mix(x: Tensor, ids: Tensor, weights: Tensor, expert: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Σ weight · expert(x): x [B, T, H], ids and weights [B, T, k] -> [B, T, H], every expert run once."""
    tokens, choices = x.flatten(0, 1), ids.flatten()
    order = choices.argsort(stable=True)  # pairs (token, choice), grouped by expert
    experts, counts = choices[order].unique_consecutive(return_counts=True)
    groups = (order // ids.shape[-1]).split(counts.tolist())
    answers = tokens.new_empty(len(order), x.shape[-1])
    for index, group, place in zip(experts.tolist(), groups, answers.split(counts.tolist()), strict=True):
        place.copy_(expert(index, tokens.index_select(0, group)))
    where = order.argsort().view(-1, ids.shape[-1])  # the row of `answers` that is a token's choice
    return F.embedding_bag(where, answers, mode="sum", per_sample_weights=weights.flatten(0, 1).to(x.dtype)).view_as(x)
