"""What is changed of Numba: less work, and the same functions."""

from __future__ import annotations

import gc
import itertools
import operator
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import types
from numba.core.compiler import DefaultPassBuilder, Flags, StateDict
from numba.core.registry import cpu_target
from numba.core.types.functions import BaseFunction
from numpy.typing import NDArray

from curate.kernels.compile import inline, kernel
from curate.kernels.pipeline import LEFT_OUT, KernelCompiler, QuickFlags, change_numba


@inline
def twice(number: int) -> int:
    return 2 * number


@kernel
def doubled(numbers: NDArray[np.int64]) -> int:
    total = 0
    for number in numbers:
        total += twice(number)
    return total


@kernel
def refused(numbers: NDArray[np.int64]) -> int:
    return numbers.no_such_thing()  # type: ignore[attr-defined]


def fresh(function: Any) -> Any:  # noqa: ANN401
    """Return a kernel that no cache knows."""
    compiled = numba.njit(nogil=True, pipeline_class=KernelCompiler)
    return compiled(function.py_func)


def test_a_helper_is_a_part_of_kernels_only() -> None:
    assert fresh(doubled)(np.arange(4)) == 12
    (made,) = twice.overloads.values()  # type: ignore[attr-defined]
    assert made.library.get_pointer_to_function(made.fndesc.llvm_func_name) == 0


def test_cycles_are_looked_for_again_after_a_kernel_is_compiled() -> None:
    fresh(doubled)(np.arange(4))
    assert gc.isenabled()
    with pytest.raises(numba.TypingError, match="no_such_thing"):
        fresh(refused)(np.arange(4))
    assert gc.isenabled()


MODULE = """
import sys
import numpy as np
from curate.kernels.compile import kernel

@kernel
def first(numbers):
    return numbers[0]

@kernel
def second(numbers):
    return first(numbers) + numbers[1]

print((second if sys.argv[1] == "second" else first)(np.array([7, 8])))
"""


def test_a_kernel_from_disk_is_a_part_of_another(tmp_path: Path) -> None:
    code = tmp_path / "kernels.py"
    code.write_text(MODULE, encoding="utf-8")
    runs = [
        subprocess.run([sys.executable, str(code), name], capture_output=True, text=True, check=True).stdout
        for name in ("first", "first", "second", "second")
    ]
    assert runs == ["7\n", "7\n", "15\n", "15\n"]


def test_the_passes_left_out_are_passes_of_numba() -> None:
    state = StateDict()
    state.flags, state.func_ir = Flags(), None
    passes = DefaultPassBuilder.define_nopython_pipeline(state).passes
    assert {one.__name__ for one, _ in passes} >= LEFT_OUT


def test_options_are_the_same_where_numba_finds_them_the_same() -> None:
    given = [{}, {"nrt": True}, {"nrt": False}, {"nrt": True, "release_gil": True}, {"no_compile": True, "nrt": True}]
    for one, other in itertools.product(given, given):
        plain, quick = [], []
        for options in (one, other):
            flags = Flags()
            for name, value in options.items():
                setattr(flags, name, value)
            plain.append(flags)
            quick.append(QuickFlags(flags))
        assert (quick[0] == quick[1]) == (plain[0] == plain[1]) == (quick[0] == plain[1])
        assert hash(quick[0]) == hash(plain[0])


def test_types_of_operations_on_numbers_are_those_that_numba_works_out() -> None:
    change_numba()
    context = cpu_target.typing_context
    context.refresh()
    numbers = [types.int64, types.int32, types.uint8, types.uint64, types.float64, types.boolean]
    numbers += [types.literal(3), types.literal(value=True)]
    for what in (operator.add, operator.floordiv, operator.rshift, operator.and_, operator.lt, operator.neg, min, int):
        count = 1 if what in (operator.neg, int) else 2
        for arguments in itertools.product(numbers, repeat=count):
            found = [_type(context, what, arguments) for _ in range(3)]
            assert found == [_worked_out(context, what, arguments)] * 3, (what, arguments)


def _type(context: Any, what: object, arguments: tuple[object, ...]) -> object:  # noqa: ANN401
    try:
        return context.resolve_function_type(what, arguments, {})
    except numba.TypingError:
        return None


def _worked_out(context: Any, what: object, arguments: tuple[object, ...]) -> object:  # noqa: ANN401
    changed = BaseFunction.get_call_type
    (resolve,) = (cell.cell_contents for cell in changed.__closure__ or () if callable(cell.cell_contents))
    BaseFunction.get_call_type = resolve  # type: ignore[method-assign]
    try:
        return _type(context, what, arguments)
    finally:
        BaseFunction.get_call_type = changed  # type: ignore[method-assign]


STRINGS = """
import sys
import numpy as np
from curate.text.fasttext.model_file import _read_words
assert _read_words(np.zeros(1, np.uint8), 0)[0][0] == 0
print("numba.cpython.unicode" in sys.modules)
"""


def test_a_kernel_from_disk_imports_nothing_that_compiles(tmp_path: Path) -> None:
    """Its arrays are made by a function of Numba's, in a module that imports strings too: 0.05 s."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for imported in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", STRINGS], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.split() == [imported]


DEMO = """
import gc, sys
from numba.core.registry import CPUDispatcher
from curate.cli.app import main
from curate.kernels.buffers import grown
from curate.kernels.compile import Helper
sys.argv = ["curate", "build", "mixtures/demo.py", "-q", "--out", sys.argv[1]]
try:
    main()
except SystemExit:
    pass
gc.unfreeze()
found = [one for one in gc.get_objects() if isinstance(one, CPUDispatcher) and one.py_func.__module__[:7] == "curate."]
assert sum(bool(one.overloads) for one in found) > 50
for one in found:
    if not isinstance(one, Helper) and one is not grown and len(one.overloads) > 1:
        print(one.py_func.__module__, one.py_func.__name__, *one.overloads, sep="\\n  ")
"""


def test_each_kernel_of_the_demo_is_compiled_once(tmp_path: Path) -> None:
    """An array that is read-only in one place and not in another makes two kernels of one: 0.2 to 1.5 s each."""
    done = subprocess.run(
        [sys.executable, "-c", DEMO, str(tmp_path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if not line.startswith(str(tmp_path))] == []
