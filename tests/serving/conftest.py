"""One real local server for all tests: it takes a while to start."""

import pytest

import qwen35_lab as lab


@pytest.fixture(scope="session")
def server():
    with lab.serve("nano") as server:
        yield server
