"""Memory that was freed, given back to the system before something else takes its own."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import pyarrow as pa


def give_back() -> None:
    """Give back to the system what Arrow and the C library keep of freed memory.

    Both keep it for later: 0.45 GB after a build of 1.5 million chats was written. Where the C library is not glibc,
    its part stays.
    """
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
