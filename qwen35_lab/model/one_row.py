"""Decoding on a CPU is as fast as the weights can be read: a token's products are of one row.

For one row in bfloat16, oneDNN's products take about twice as long as PyTorch's own on x86 processors (PyTorch 2.13),
so it is switched off while a single token is read. The results are the same sums, rounded once. The switch is the
process's: what other threads compute meanwhile is as right, but may be slower.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor

from .product import X86


class _Switch:
    """oneDNN, off as long as anybody wants it to be. An interrupt at any line leaves nothing behind."""

    def __init__(self) -> None:
        self.backend = cast(Any, torch.backends.mkldnn)
        self.lock, self.users, self.before = Lock(), set[object](), True

    def off(self, user: object) -> None:
        with self.lock:
            if not self.users:
                self.before = self.backend.enabled
            self.users.add(user)
            self.backend.enabled = False

    def back(self, user: object) -> None:
        with self.lock:
            if user in self.users:
                self.users.remove(user)
                if not self.users:
                    self.backend.enabled = self.before


_onednn = _Switch()


@contextmanager
def reading(x: Tensor) -> Iterator[None]:
    """While x [batch, token, hidden] goes through the layers: choose the kernels of its products."""
    if not (X86 and x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.shape[0] * x.shape[1] == 1):
        yield
        return
    user = object()
    try:
        _onednn.off(user)
        yield
    finally:
        _onednn.back(user)
