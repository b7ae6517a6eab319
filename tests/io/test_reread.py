"""Lines read again from where they stand: any files, any order, any length."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from curate.errors import FormatError
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
