"""The logit lens: what would the model say if it stopped after this layer?

    p_n = softmax( W_head · norm(x_n) )      x_n the residual stream after layer n

The final norm and the head are applied to a stream they were not trained on, so an early guess is a reading, not a
belief of the model; after the last layer it is the model's own prediction, exactly.
Reference: nostalgebraist 2020, "interpreting GPT: the logit lens".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..model import TextModel
from ..qwen import Qwen
from ..trace import Trace
from .recorded import counted
from .residual import residual_stream

BLOCK = 2**26  # logits formed at a time: 256 MB in float32


@dataclass(frozen=True)
class Lens:
    """The k best next tokens after the embedding (row 0) and after every layer."""

    ids: Tensor  # [layer + 1, token, k], best first
    probabilities: Tensor  # [layer + 1, token, k], float32
    chosen_rank: Tensor  # [layer + 1, token]: place of the model's final first choice, 0 is best

    def settled(self, token: int = -1) -> int:
        """The first row from which on the best guess stays what the model finally says; 0 is the embedding."""
        right = (self.chosen_rank[:, token] == 0).tolist()
        wrong = [row for row, ok in enumerate(right) if not ok]
        return wrong[-1] + 1 if wrong else 0


@torch.inference_mode()
def logit_lens(model: TextModel | Qwen, trace: Trace, k: int = 5) -> Lens:
    """Apply the final norm and the head to the residual stream after every layer.

    Args:
        trace: of this model; needs `layers.*.input` and `layers.*.output` of all of its layers.
        k: how many tokens to keep.
    Raises:
        InputError: the stream was not recorded whole, or is another model's.
    """
    model = model.model if isinstance(model, Qwen) else model
    k = counted(k, "k", 1)
    vocabulary, width = model.embed_tokens.weight.shape
    stream = residual_stream(trace)
    if stream.shape[-1] != width:
        raise InputError(
            f"The trace has {stream.shape[-1]} features and the model {width}; pass the model that was traced."
        )
    if len(stream) != len(model.layers) + 1:
        raise InputError(
            f"The trace holds the stream after {len(stream) - 1} of {len(model.layers)} layers, and what the model "
            'says is read after the last; record "layers.*.input" and "layers.*.output" of this model.'
        )
    stream = stream.to(model.embed_tokens.weight)  # device and dtype
    pieces = [_read(model, part, k) for part in stream.split(max(1, BLOCK // vocabulary), dim=1)]
    return Lens(*(torch.cat(column, dim=1) for column in zip(*pieces, strict=True)))


def _read(model: TextModel, stream: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and probabilities [row, token, k] and the final choice's rank [row, token], layer by layer."""
    choice = model.head(model.norm(stream[-1])).argmax(-1, keepdim=True)
    rows = []
    for x in stream:
        logits = model.head(model.norm(x)).float()
        best = logits.softmax(-1).topk(min(k, logits.shape[-1]), dim=-1)
        rank = (logits > logits.gather(-1, choice)).sum(-1)
        rows.append((best.indices.cpu(), best.values.cpu(), rank.cpu()))
    ids, probabilities, ranks = (torch.stack(column) for column in zip(*rows, strict=True))
    return ids, probabilities, ranks
