"""What a checkpoint weighs in few bits: counted from a config, on shapes without numbers (family/stored.py)."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..config import ModelConfig
from ..family import parameters
from ..family.stored import stored_bytes


@dataclass(frozen=True)
class Weighed:
    """Bytes of a checkpoint by component, vision tower and MTP head among them, and how many parameters it has."""

    dtype: str
    parts: Mapping[str, int]
    parameters: int

    @property
    def bytes(self) -> int:
        return sum(self.parts.values())

    @property
    def bits(self) -> float:
        """Per parameter, on the mean of all: scales and what is kept included."""
        return 8 * self.bytes / self.parameters


def weigh(config: ModelConfig, dtype: str) -> Weighed:
    """A checkpoint in "bfloat16", or with the matrices of its layers in "fp8", "int8" or "int4" and their scales.

    Raises:
        InputError: no such dtype.
    """
    return Weighed(dtype, stored_bytes(config, dtype), parameters(config).total)
