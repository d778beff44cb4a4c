"""An adapter on a model: W stays as it is, and beside it stands (α / r) · B A, of which alone something is learnt.

    tuned = attach(qwen, parts=("deltanet", "attention"), rank=8)
    tuned.qwen                  # the same weights in memory, with an adapter; generates, and can be trained
    with tuned.off(): …         # the base, to the bit
    tuned.merged()              # an ordinary model whose matrices are W + (α / r) · B A
    tuned.remove()              # the base again

A [r, in] begins at random, B [out, r] at zero, so that a new adapter changes nothing. Experts are stacked in one
parameter [expert, out, in]; peft gives each expert its own A and B and adds their product whenever the stack is read.

Source: Hu et al. 2021 (arXiv 2106.09685), §4.1; the adapter's code is peft's (`LoraModel`, `target_parameters`).
Taps of an adapted feed-forward have longer names; to trace what was learnt, trace `merged()`.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..qwen import Qwen
from .targets import PARTS, STACKED, check_rank, targets

NAME = "default"  # peft's, of the only adapter


def attach(
    qwen: Qwen, parts: Sequence[str] | None = None, rank: int = 8, alpha: float | None = None, seed: int = 0
) -> "Tuned":
    """Put an adapter on a twin of a model; the model itself is left alone, and its weights are not copied.

    Args:
        parts: see targets.py; by default all that the model has.
        rank: r, of every matrix.
        alpha: α; by default 2 r, so that B A counts twice.
        seed: of A.
    Raises:
        InputError: peft is missing, there is no such part or it stays in files, or a rank below 1.
    """
    check_rank(rank)
    text = qwen.config.text
    in_memory = text.is_moe and qwen.experts is None
    parts = tuple(part for part in PARTS if part != "experts" or in_memory) if parts is None else parts
    if "experts" in parts and qwen.experts:
        raise InputError("These experts stay in their files and cannot be tuned; load them into memory, or leave them.")
    return Tuned(qwen, targets(text, parts), rank, 2.0 * rank if alpha is None else float(alpha), seed)


class Tuned:
    """A model with an adapter. Made by `attach`.

    Attributes: `base`, `qwen` (the twin with the adapter), `names` (of the parameters it changes), `rank`, `alpha`.
    """

    def __init__(self, base: Qwen, names: Sequence[str], rank: int, alpha: float, seed: int):
        with _quiet_imports():
            peft = _peft()
        self.base, self.names, self.rank, self.alpha = base, list(names), rank, alpha
        self._learnt = [(p, p.requires_grad) for p in base.model.parameters()]
        self.qwen = base.twin()
        self.qwen.model.requires_grad_(False)  # all of it: peft sees the layers alone, and its weights are the base's
        linear, stacked = _split([name.removeprefix("layers.") for name in self.names])
        chosen = peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules="|".join(map(re.escape, linear)) or [], target_parameters=stacked
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]), _quiet_imports():
            torch.manual_seed(seed)
            # of the layers alone: peft compares the ends of names, and the MTP head has a layer 0 too
            self._lora: Any = peft.LoraModel(self.qwen.model.layers, chosen, NAME)
        self._refuse_gaps()

    def __repr__(self) -> str:
        share = self.trained / sum(p.numel() for p in self.base.model.parameters())
        return (
            f"Tuned({self.base.provenance}: rank {self.rank} on {len(self.names)} matrices, {self.trained:,} numbers "
            f"to learn, {share:.1%} of the model)"
        )

    @property
    def trained(self) -> int:
        """Numbers that can be learnt."""
        return sum(p.numel() for p in self.qwen.model.parameters() if p.requires_grad)

    @contextmanager
    def off(self) -> Iterator[Qwen]:
        """Inside the block the adapter is silent, and the twin is the base."""
        self._lora.disable_adapter_layers()
        try:
            yield self.qwen
        finally:
            self._lora.enable_adapter_layers()

    def deltas(self) -> dict[str, Tensor]:
        """Name of a changed parameter -> what is added to it, of its shape."""
        with torch.no_grad():
            return {name: layer.get_delta_weight(NAME).detach() for name, layer in self.layers().items()}

    def merged(self, factor: float = 1.0) -> Qwen:
        """An ordinary model with what was learnt inside its matrices; the others it shares with the base.

        Args:
            factor: how much of what was learnt; 0 is the base, and more than 1 goes beyond.
        """
        merged = self.base.twin()
        label = f"{self.base.provenance.name}, fine-tuned"
        merged.provenance = replace(self.base.provenance, name=label)
        for name, delta in self.deltas().items():
            owner, _, leaf = name.rpartition(".")
            module = merged.model.get_submodule(owner)
            weight = getattr(module, leaf)
            setattr(
                module, leaf, nn.Parameter(weight.detach() + (factor * delta).to(weight.dtype), requires_grad=False)
            )
        return merged

    def remove(self) -> Qwen:
        """Take the adapter away: the twin is the base again, and what was learnt is gone."""
        while self.layers():  # peft's unload leaves what stands inside a layer that it takes away
            self._lora.unload()
        for parameter, learns in self._learnt:
            parameter.requires_grad_(learns)
        return self.qwen

    def layers(self) -> dict[str, Any]:
        """Name of a changed parameter, as the base has it -> peft's layer around it."""
        from peft.tuners.lora.layer import LoraLayer, ParamWrapper

        found = {}
        for name, module in self.qwen.model.named_modules():
            if isinstance(module, LoraLayer):
                leaf = module.parameter_name if isinstance(module, ParamWrapper) else "weight"
                found[".".join((plain(name), leaf))] = module
        return {name: found[name] for name in self.names if name in found}

    def _refuse_gaps(self) -> None:
        if missing := [name for name in self.names if name not in self.layers()]:
            raise InputError(f"peft put no adapter on {missing[0]}; use the version of peft in constraints.txt.")


def plain(name: str) -> str:
    """A module's name without the layers that peft has put around it."""
    return name.replace(".base_layer", "")


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Modules that are matrices, and parameters that are stacks of them."""
    stacked = [name for name in names if name.rpartition(".")[2] in STACKED]
    return [name.removesuffix(".weight") for name in names if name not in stacked], stacked


@contextmanager
def _quiet_imports() -> Iterator[None]:
    """peft imports torchao where that is installed, which logs warnings about kernels that nobody here asks for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise InputError("peft is not installed; `pip install peft` brings it.") from error
    return peft
