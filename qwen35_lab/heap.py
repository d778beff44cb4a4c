"""Memory that is used again is fast; fresh memory is cleared by the system first, page by page.

A pass makes and drops hundreds of arrays of some megabytes. As glibc's `malloc` is set, those go back to the system at
once and are asked for anew, which often takes longer than what is computed in them: of a bfloat16 prefill, an eighth.
So the process keeps what it has freed: `KEEP` at the end of its heap, and all that lies below an array still in use,
until `give_back_freed_memory`. Other systems, and processes whose user has set one of these things himself, are left
as they are.

Reference: mallopt(3), malloc_trim(3).
"""

import ctypes
import os
from functools import cache

REUSED = 32 << 20  # bytes: larger arrays go back to the system as before
KEEP = 256 << 20  # bytes at the end of the heap that are kept
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of the settings in malloc.h
# in the environment, where a user sets them
THEIRS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Set `malloc` for this process; returns whether it is set now."""
    glibc, told = _glibc(), any(name in os.environ for name in THEIRS)
    if glibc is None or told or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    return bool(glibc.mallopt(MMAP_THRESHOLD, REUSED) and glibc.mallopt(TRIM_THRESHOLD, KEEP))


def give_back_freed_memory() -> None:
    """All that is freed goes back to the system now: what the process holds is then what it uses."""
    glibc = _glibc()
    if glibc is not None:
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """This process's C library, if it is that one."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - another one has no such function
    except (AttributeError, OSError, TypeError):  # TypeError: on Windows a library has a name
        return None
    return library
