"""Freed memory goes back to the system, although memory behind it is in use."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from curate.kernels.memory import give_back


def megabytes() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_freed_memory_is_given_back() -> None:
    blocks = [b"x" * 100_000 for _ in range(2_000)]
    in_use = b"y" * 100_000
    del blocks
    before = megabytes()
    give_back()
    assert megabytes() < before - 100
    assert len(in_use) == 100_000
