"""The tokenizer of these tests: as the nano's, from a tenth of the text."""

import pytest

from qwen35_lab import nano


@pytest.fixture(scope="session")
def tokenizer():
    return nano.train_tokenizer(samples=150)
