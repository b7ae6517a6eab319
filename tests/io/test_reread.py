"""Lines read again by their place: any files, any order, any length; an I/O error is not a changed file."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.errors import FormatError
from curate.io import reread
from curate.io.reread import lines_again


def test_lines_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    chance = random.Random(0)
    found = []
    for number in range(3):
        lines = [chance.randbytes(chance.choice([0, 1, 31, 32, 33, 5_000])).replace(b"\n", b"") for _ in range(200)]
        place = 0
        for line in lines:
            found.append((number, place, line))
            place += len(line) + 1
        (tmp_path / f"{number}").write_bytes(b"\n".join(lines))
    chance.shuffle(found)
    asked = found + found[:50]
    data = lines_again(
        [tmp_path / f"{number}" for number in range(3)],
        np.array([number for number, _, _ in asked]),
        np.array([place for _, place, _ in asked]),
        np.array([len(line) for _, _, line in asked], np.int32),
    )
    assert data.tobytes() == b"".join(line + b"\n" for _, _, line in asked)


def test_no_line_is_no_byte(tmp_path: Path) -> None:
    none = np.zeros(0, np.int64)
    assert not len(lines_again([tmp_path / "absent"], none, none, none.astype(np.int32)))


def test_a_file_that_ends_early_or_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"{}")
    where = np.array([0]), np.array([1]), np.array([5], np.int32)
    with pytest.raises(FormatError, match="short changed while"):
        lines_again([tmp_path / "short"], *where)
    with pytest.raises(FormatError, match="absent can no longer be read: No such file"):
        lines_again([tmp_path / "absent"], *where)


def test_a_file_that_the_system_cannot_read_is_not_called_changed(tmp_path: Path) -> None:
    """`/proc/self/mem` opens, and its first page is not mapped: `pread` itself fails with EIO."""
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("needs /proc")
    with pytest.raises(FormatError, match="mem can no longer be read: Input/output error"):
        lines_again([memory], np.array([0]), np.array([0]), np.array([5], np.int32))
    (tmp_path / "good").write_bytes(b"{}\n")
    assert lines_again([tmp_path / "good"], np.array([0]), np.array([0]), np.array([2], np.int32)).tobytes() == b"{}\n"


def _fails_once_on(line: int, kernel: Callable[..., int]) -> Callable[..., int]:
    """Stand in for the kernel: `pread` is interrupted once, on this line."""
    failed: list[int] = []

    def read(first: int, *arguments: object) -> int:
        if first > line or failed:
            return kernel(first, *arguments)
        failed.append(line)
        file, start, length, to, out = arguments
        kernel(first, file, start[:line], length[:line], to[:line], out)  # type: ignore[index]
        return line

    return read


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_read_that_was_interrupted_or_short_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    (tmp_path / "a").write_bytes(b"one\ntwo\nthree\n")
    pread = os.pread
    monkeypatch.setattr(reread, "_read_lines_from", _fails_once_on(line, reread._read_lines_from))
    monkeypatch.setattr(os, "pread", lambda file, _size, place: pread(file, 1, place))
    where = np.array([0, 0, 0]), np.array([8, 0, 4]), np.array([5, 3, 3], np.int32)
    assert lines_again([tmp_path / "a"], *where).tobytes() == b"three\none\ntwo\n"


def test_an_error_while_a_line_is_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_file: int, _size: int, _place: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a").write_bytes(b"one\n")
    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(FormatError, match="a can no longer be read: Input/output error"):
        lines_again([tmp_path / "a"], np.array([0]), np.array([0]), np.array([9], np.int32))
