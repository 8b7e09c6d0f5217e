"""Large arrays go back to the system when they are freed."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD = -3
"""Of ``mallopt`` in glibc's malloc.h."""
_LARGE_BYTES = 8 << 20
_SET_BY_THE_USER = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_blocks() -> None:
    """Request from glibc a mapping of its own for every block from 8 MiB on, unless the user's environment says something else.

    It begins that way, but moves the limit up to 32 MiB as such blocks are freed. Frames, features and logits then share one
    heap, and what is free between them stays resident: more the longer a video runs (docs/benchmarks.md, "Memory"). It is a
    setting of the whole process, which is why the command makes it and the library does not.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SET_BY_THE_USER):
        return
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "gnu_get_libc_version"):  # other C libraries have no such limit
        c_library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
