"""What torchao says when it is imported, and nobody who reads a notebook can do anything about.

transformers imports torchao with its model classes, where it is installed. On a machine without CUDA that prints that
its CUDA kernels could not be loaded, and twice that PyTorch has come to know a kind of class by itself. Nothing fails,
and nothing else that these two say is held back.
"""

import logging

HELD_BACK = {
    "torchao": "Failed to load",
    "torch.utils._pytree": "is an Enum subclass",
}  # logger -> words of its message


def hush_torchao() -> None:
    """Hold these lines back, whoever imports torchao later. May be called again."""
    for name, words in HELD_BACK.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Without) for known in logger.filters):
            logger.addFilter(_Without(words))


class _Without(logging.Filter):
    def __init__(self, words: str):
        super().__init__()
        self.words = words

    def filter(self, record: logging.LogRecord) -> bool:
        return self.words not in record.getMessage()
