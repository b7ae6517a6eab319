"""What kernels and their helpers are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.compile import inline, kernel
from curate.kernels.pipeline import change_numba
from curate.text.prose import prose


@inline
def seen(data: NDArray[np.uint8], i: int) -> int:
    return int(data[i]) + i


@kernel
def read(data: NDArray[np.uint8], places: NDArray[np.int32]) -> int:
    total = seen(data, 0) + seen(data, 1)
    for place in places:
        total += seen(data, place)
    return total


def test_a_helper_is_compiled_once_for_all_integers() -> None:
    fresh: Any = numba.njit(read.py_func)  # type: ignore[attr-defined]  # a kernel from the cache compiles no helper
    assert fresh(np.array([5, 6, 7], np.uint8), np.array([2], np.int32)) == 5 + 7 + 9
    assert len(seen.overloads) == 1  # type: ignore[attr-defined]


def test_a_helper_called_from_python_refuses() -> None:
    read(np.array([5, 6, 7], np.uint8), np.array([2], np.int32))
    with pytest.raises(TypeError, match="seen is a helper that only kernels call"):
        seen(np.zeros(1, np.uint8), 0)


MODULE = """
from typing import NamedTuple
import numpy as np
from curate.kernels.compile import kernel
from {types} import {name}

@kernel
def first(tables: {name}) -> int:
    return tables.data[0]

print(first({name}(np.array([7]))))
"""


def test_a_kernel_whose_argument_type_was_renamed_is_compiled_again(tmp_path: Path) -> None:
    """The index on disk names the type: an upgrade must not fail on what an older version compiled."""
    kernels, stamp = tmp_path / "kernels.py", None
    for name in ("Old", "New"):
        (tmp_path / "types_of_it.py").write_text(
            f"from typing import NamedTuple\nimport numpy as np\nclass {name}(NamedTuple):\n    data: np.ndarray\n"
        )
        kernels.write_text(MODULE.format(types="types_of_it", name=name))
        stamp = stamp or kernels.stat().st_mtime
        os.utime(kernels, (stamp, stamp))
        # Without compiled modules: by time and size, the second module of types is the first.
        command = [sys.executable, "-B", str(kernels)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stdout == "7\n", done.stderr


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from curate.kernels.compile import StampedCache, kernel

@kernel
def first(data: np.ndarray) -> int:
    return data[0]

save = StampedCache.save_overload
def slow(self, sig, data):
    time.sleep(1)
    Path(sys.argv[1]).touch()
    save(self, sig, data)
StampedCache.save_overload = slow
print(first(np.array([7])))
"""


def test_two_processes_compile_a_kernel_once(tmp_path: Path) -> None:
    code = tmp_path / "kernels.py"
    code.write_text(SLOW, encoding="utf-8")
    runs = [
        subprocess.Popen(
            [sys.executable, str(code), str(tmp_path / f"compiled-{n}")], stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    assert [run.communicate()[0] for run in runs] == ["7\n"] * 3
    assert len(list(tmp_path.glob("compiled-*"))) == 1


def test_functions_of_others_still_count_from_the_end() -> None:
    change_numba()
    numbers = np.arange(3)
    assert numba.njit(lambda array, place: array[place])(numbers, -1) == 2


def test_kernels_count_from_the_end_by_a_constant() -> None:
    texts = view(pa.array(["a b", "c", "d"]))
    assert len(prose(texts, np.arange(3, dtype=np.int32)).text.data) == 5  # `ends[-1]` bytes
