"""The parity ledger: this package's model against transformers' own class, on the same weights, in this kernel.

Two questions, two kinds of rows. Is it the same model? The residual stream after every layer and the logits must agree
with transformers. Is it consistent with itself? Reading a text token by token with the cache must give what one pass
over all of it gives, and padding on the left must change nothing.

A row compares max |a − b| with the largest value of the reference: rounding grows with the numbers it rounds. Float32
keeps about seven digits, so a ratio of 1e-4 leaves room for the rounding of dozens of layers and for no mistake.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..capture import record
from ..config import LINEAR
from ..config_json import text_only
from ..model import TextModel
from ..names import name_map, official_name
from ..qwen import Prompt, Qwen
from .compare import largest
from .table import Table

BOUND = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 1e-1, torch.float16: 2e-2}


@dataclass(frozen=True)
class Row:
    """One comparison."""

    what: str
    against: str
    difference: float  # max |a − b|
    scale: float  # max |b|
    below: float  # the ratio that is still rounding

    @property
    def gap(self) -> float:
        return self.difference / self.scale if self.scale else self.difference

    @property
    def holds(self) -> bool:
        return self.gap < self.below


@dataclass(frozen=True, repr=False)
class ParityLedger:
    """The rows, and on what they were measured. `holds` says whether all do; shows itself as a table."""

    rows: tuple[Row, ...]
    provenance: str
    tokens: int
    transformers: str  # its version

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)

    def worst(self, against: str = "") -> float:
        """The largest ratio of all rows, or of those whose column "against" contains a word."""
        return max(row.gap for row in self.rows if against in row.against)

    def table(self) -> Table:
        rows = tuple(
            (
                "✓" if row.holds else "✗ differs",
                *(row.what, row.against),
                *(f"{row.difference:.1e}", f"{row.scale:.4g}", f"{row.gap:.1e}"),
            )
            for row in self.rows
        )
        headers = ("", "value", "against", "max |difference|", "max |value|", "ratio")
        failed = sum(not row.holds for row in self.rows)
        verdict = f"{failed} of {len(self.rows)} rows differ" if failed else f"all {len(self.rows)} rows agree"
        caption = (
            f"{verdict}: ratio below {self.rows[0].below:g}. {self.provenance} · {self.tokens} tokens · "
            f"transformers {self.transformers}"
        )
        return Table(headers, rows, "<<<>>>", caption)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@torch.inference_mode()
def parity_ledger(qwen: Qwen, prompt: Prompt, padding: int = 3) -> ParityLedger:
    """Compare a model with transformers on one prompt, and with itself.

    transformers reads the checkpoint's folder by itself where there is one, so that loading is compared too; a model
    with random weights is copied into transformers' class through the table of tensor names.

    Args:
        padding: how many padding tokens to put on the left.
    """
    ids = qwen.encode(prompt)
    below = BOUND[qwen.model.embed_tokens.weight.dtype]
    ours, logits = _ours(qwen.model, ids)
    with quiet_transformers():
        import transformers

        theirs, their_logits = _theirs(transformers_model(qwen), ids)
    kinds = ("DeltaNet" if kind == LINEAR else "attention" for kind in qwen.config.text.layer_types)
    names = ["embedding", *(f"residual stream after layer {n} ({kind})" for n, kind in enumerate(kinds))]
    pairs = [
        *((name, "transformers", a, b) for name, a, b in zip(names, ours, theirs, strict=True)),
        ("logits", "transformers", logits, their_logits),
        ("logits, token by token with the cache", "one full pass", _step_by_step(qwen.model, ids), logits),
        (f"logits behind {padding} padding tokens", "no padding", _padded(qwen.model, ids, padding), logits),
    ]
    rows = tuple(Row(what, against, *largest(a, b), below) for what, against, a, b in pairs)
    return ParityLedger(rows, str(qwen.provenance), ids.shape[1], transformers.__version__)


def _ours(model: TextModel, ids: Tensor) -> tuple[list[Tensor], Tensor]:
    """The residual stream before the first layer and after each, and the logits."""
    with record(model, ["embed", "layers.*.output"]) as values:
        logits = model(ids).logits
    return [values[name][0] for name in ("embed", *(f"layers.{n}.output" for n in range(len(model.layers))))], logits


def _theirs(model: Any, ids: Tensor) -> tuple[list[Tensor], Tensor]:
    states: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    inner = model.model
    hooks = [module.register_forward_hook(keep) for module in (inner.embed_tokens, *inner.layers)]
    try:
        return states, model(input_ids=ids, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()


def _step_by_step(model: TextModel, ids: Tensor) -> Tensor:
    """Logits of every token when each pass sees only one, and the cache."""
    cache = model.new_cache()
    return torch.cat([model(token, cache=cache).logits for token in ids.split(1, dim=1)], dim=1)


def _padded(model: TextModel, ids: Tensor, padding: int) -> Tensor:
    """Logits of the real tokens behind padding."""
    filled = torch.nn.functional.pad(ids, (padding, 0))
    mask = torch.ones_like(filled)
    mask[:, :padding] = 0
    return model(filled, attention_mask=mask).logits[:, padding:]


def transformers_model(qwen: Qwen) -> Any:
    """transformers' class with the weights, dtype and device of `qwen`."""
    from transformers import AutoModelForCausalLM, Qwen3_5MoeTextConfig, Qwen3_5TextConfig

    model: Any

    dtype = qwen.model.embed_tokens.weight.dtype
    # its grouped product of experts takes no float64, and only widths that are multiples of 16 bytes
    experts: dict[str, Any] = {"experts_implementation": "eager"} if qwen.config.text.is_moe else {}
    if qwen.folder is not None:
        model = AutoModelForCausalLM.from_pretrained(qwen.folder, dtype=dtype, **experts)
        return model.eval().to(qwen.device)
    kind = Qwen3_5MoeTextConfig if qwen.config.text.is_moe else Qwen3_5TextConfig
    config = kind(**text_only(qwen.config, str(dtype).removeprefix("torch.")), **experts)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval().to(qwen.device)
    names = name_map(qwen.config.text)
    # not the vision tower's, and not the MTP head's, which transformers does not have
    parameters = [(n, p) for n, p in qwen.model.named_parameters() if not n.startswith(("vision.", "mtp."))]
    weights = {official_name(names[ours], "model."): p for ours, p in parameters}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = {"lm_head.weight"} if qwen.config.text.tie_word_embeddings else set()
    assert not unexpected and set(missing) <= tied, (missing, unexpected)
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No warnings, log lines or progress bars of transformers inside the block; everything as before after it."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
