"""Each run of a notebook is made once, for all tests that look at it."""

import pytest
from notebooks.running import executed as execute
from notebooks.running import runs

RUNS = {name: rest for name, *rest in runs()}


def one_each(names):
    """One run for each worker, so that two of them share the work."""
    return [pytest.param(name, marks=[pytest.mark.slow, pytest.mark.xdist_group(name)]) for name in names]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory):
    made = {}

    def outcome(name):
        if name not in made:
            made[name] = execute(*RUNS[name], tmp_path_factory.mktemp(name))
        return made[name]

    return outcome


@pytest.fixture(params=one_each(RUNS))
def executed(request, outcome):
    """A notebook that has run from top to bottom."""
    return outcome(request.param)


@pytest.fixture(params=one_each(name for name, (_, parameters) in RUNS.items() if not parameters))
def filled_in(request, outcome):
    """One whose stubs were filled in."""
    return outcome(request.param)
