"""A process keeps the memory that it frees, unless its user has said what `malloc` is to do, and until it is asked."""

import os
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from qwen35_lab.heap import THEIRS, give_back_freed_memory, keep_freed_memory
from qwen35_lab.memory import free, resident

FAULTS = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages, of which an array takes few
{before}
def pages(megabytes):
    for count in range(12):
        if count == 2:
            begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [torch.ones(megabytes << 18) for _ in range(3)]
        del arrays
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin) / 10
print(*map(pages, {sizes}))
"""
OTHERWISE = platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in (*THEIRS, "GLIBC_TUNABLES"))
pytestmark = pytest.mark.skipif(OTHERWISE, reason="another C library, or one that its user has set")
OURS = "import qwen35_lab; qwen35_lab.load"


def fresh_pages(before: str, *sizes: int, **environment: str) -> list[float]:
    """That a process of its own asks for, each time that it makes three arrays of so many megabytes."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS.format(before=before, sizes=sizes)]
    done = subprocess.run(command, env=mine | environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def test_arrays_take_the_room_of_those_before_them_but_for_very_large_ones() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    small, large = fresh_pages(OURS, 8, 64)
    assert small < 0.05 * 3 * (8 << 20) / page
    assert large > 0.9 * 3 * (64 << 20) / page  # not kept: a user's memory is his again


@pytest.mark.parametrize("name", [THEIRS[-1], "GLIBC_TUNABLES"])
def test_a_user_who_has_set_malloc_is_obeyed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = "131072" if name.startswith("MALLOC") else "glibc.malloc.trim_threshold=131072"
    assert fresh_pages(OURS, 8, **{name: value})[0] > 100
    monkeypatch.setenv(name, value)
    assert not keep_freed_memory()


def test_without_the_package_each_array_is_fresh() -> None:
    """Else the first test would see nothing."""
    assert fresh_pages("", 8)[0] > 100


def test_what_a_process_holds_is_said_without_what_it_only_keeps() -> None:
    megabyte = 1 << 20
    before = resident()
    arrays = [torch.ones(20 * megabyte // 4) for _ in range(10)]
    assert resident() - before > 150 * megabyte
    del arrays
    assert abs(resident() - before) < 20 * megabyte
    give_back_freed_memory()  # a second time is as good


def test_what_a_process_keeps_counts_as_free() -> None:
    """Also below an array that is still in use, where `malloc` cannot give it back by itself."""
    assert keep_freed_memory()
    megabyte = 1 << 20
    arrays = [torch.ones(14 * megabyte // 4) for _ in range(100)]
    above = arrays.pop()  # once the holes in the heap are filled, each array lies above the one before it
    del arrays
    kept = held()
    free(torch.device("cpu"))
    assert kept - held() > 1000 * megabyte
    assert above.sum() == above.numel()


def held() -> int:
    """Bytes of this process in memory, with what it only keeps."""
    return psutil.Process().memory_info().rss


def test_a_pass_for_which_there_is_enough_gives_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("qwen35_lab.memory.give_back_freed_memory", lambda: asked.append(1))
    assert free(torch.device("cpu"), enough=1000) > 1000 and not asked
    assert free(torch.device("cpu"), enough=1e30) < 1e30 and asked
