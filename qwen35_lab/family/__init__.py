"""The eight models and their predecessors: tensors, parameters and memory, from config alone.

Everything follows from one table, `tensor_shapes(config)`: the official name and the shape of every tensor.
"""

from .checkpoints import Repository, repositories
from .models import (
    OFFICIAL,
    PREDECESSORS,
    Published,
    full_name,
    load_any,
    load_config,
    load_predecessor,
    published,
)
from .predecessors import PredecessorConfig
from .shapes import COMPONENTS, component, parameter_count, tensor_shapes
from .sizes import (
    Memory,
    Parameters,
    break_even_tokens,
    conv_state_bytes,
    kv_bytes_per_token,
    memory,
    parameters,
    state_bytes,
    weight_bytes,
)
from .table import FamilyTable, family

__all__ = [
    "COMPONENTS", "OFFICIAL", "PREDECESSORS", "FamilyTable", "Memory", "Parameters", "PredecessorConfig", "Published",
    "Repository", "break_even_tokens", "component", "conv_state_bytes", "family", "full_name", "kv_bytes_per_token",
    "load_any", "load_config", "load_predecessor", "memory", "parameter_count", "parameters", "published",
    "repositories", "state_bytes", "tensor_shapes", "weight_bytes",
]  # fmt: skip
