"""Each run of a notebook is made once, for all tests that look at it."""

import pytest
from notebooks.running import executed as execute
from notebooks.running import runs

RUNS = {name: rest for name, *rest in runs()}


def one_each(kinds: tuple[str, ...]):
    """One run for each worker, so that two of them share the work."""
    names = [name for name, (_, kind, _) in RUNS.items() if kind in kinds]
    return [pytest.param(name, marks=[pytest.mark.slow, pytest.mark.xdist_group(name)]) for name in names]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory):
    made = {}

    def outcome(name):
        if name not in made:
            made[name] = execute(*RUNS[name], tmp_path_factory.mktemp(name))
        return made[name]

    return outcome


@pytest.fixture(params=one_each(("student", "solution", "")))
def executed(request, outcome):
    """A notebook that has run from top to bottom."""
    return outcome(request.param)


@pytest.fixture(params=one_each(("student",)))
def student(request, outcome):
    return outcome(request.param)


@pytest.fixture(params=one_each(("solution",)))
def solution(request, outcome):
    return outcome(request.param)
