"""Keeping freed memory in the process while training on CPU."""

import ctypes
import platform

# From <malloc.h> of glibc.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGE, _LARGEST, _PAD = 2**30, 2**31 - 1, 2**26


def keep_freed_memory() -> bool:
    """Let the allocator keep large freed blocks for the next step instead of returning them to the system.

    XLA's CPU backend allocates and frees its buffers in every step. By default glibc maps each large one anew, and the
    kernel clears every page again: a third of the time of a training step of Song's student. Process-wide; results do
    not change.

    Returns:
      Whether it applies: False without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGEST), (_M_TOP_PAD, _PAD))
    return all(library.mallopt(option, value) for option, value in settings)
