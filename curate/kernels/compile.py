"""How a kernel is compiled, and the load that NumPy indexing cannot express.

A kernel is Python that Numba compiles once and caches. It runs without the GIL over the buffers of an Arrow array.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TextIO, TypeVar, cast

import numba
from numba import types
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic

from curate.kernels.pipeline import HelperCompiler, KernelCache, KernelCompiler, change_numba

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")


PATIENCE, PAUSE = 120.0, 0.02
"""Seconds that a process waits for another one to compile a kernel, and between two looks."""

_NOTICES: Final[list[Callable[[], None]]] = []
"""Whom to notify, see `on_compile`."""


@contextmanager
def on_compile(notice: Callable[[], None]) -> Iterator[None]:
    """Call `notice` before each kernel that has to be compiled, because the cache on this machine lacks it."""
    _NOTICES.append(notice)
    try:
        yield
    finally:
        _NOTICES.remove(notice)


@cache
def sources() -> str:
    """Return a hash of the modules with helpers that kernels in other modules may have inlined.

    Numba's own cache only asks whether a kernel's own file changed; a kernel whose helper was edited elsewhere, or came
    with an upgrade, would go on running the old code. 2 ms, once a process.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        code = file.read_bytes()
        if file.parent.name == "kernels" or b"@inline" in code or b"intrinsic(" in code:
            digest.update(code)
    return digest.hexdigest()


class StampedCache(FunctionCache):
    """Numba's cache on disk, with `sources` and the name under which the module was loaded in the key."""

    _impl_class = KernelCache
    _lock: TextIO | None = None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:  # noqa: ANN401
        key: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*key, self._py_func.__module__, sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        """Return compiled code; none where its key names a type that was renamed or moved since.

        Numba's own method first imports all that it can compile, SciPy's BLAS included (0.5 s): code that is compiled
        needs the reference counts alone. What has to be compiled imports the rest by itself.
        """
        rtsys.initialize(target_context)
        found = self._found(sig, target_context)
        if found is None:
            change_numba()
            for notice in tuple(_NOTICES):
                notice()
            if self._begin():
                found = self._found(sig, target_context)
        if found is not None:
            self._done()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        """Keep compiled code for other processes, those that wait for it first."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        finally:
            self._done()

    def _found(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        try:
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):
            self.flush()  # type: ignore[no-untyped-call]
            return None

    def _begin(self) -> bool:
        """Let no other process compile this kernel from now on; tell whether one did, and this one waited for it.

        Two first builds at once, or a build and the processes beside it, so compile each kernel once. A folder that
        cannot be written, or a wait of more than `PATIENCE`, changes nothing.
        """
        if self._lock is not None:
            return False
        place = Path(self._cache_file._index_path).with_suffix(".lock")  # noqa: SLF001
        try:
            self._impl.locator.ensure_cache_path()
            self._lock = place.open("w")
        except OSError:
            return False
        waited = False
        for _ in range(int(PATIENCE / PAUSE)):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                waited = True
                time.sleep(PAUSE)
            else:
                break
        return waited

    def _done(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


_STAMPED: Any = StampedCache
_NJIT: Any = numba.njit
"""Numba's types know neither `_nrt` nor that Python and C need no way into a helper."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call: no GIL, cached on disk, wrap-around integers, no bounds checks."""
    compiled = _NJIT(nogil=True, no_cfunc_wrapper=True, pipeline_class=KernelCompiler)(function)
    compiled._cache = _STAMPED(function)  # noqa: SLF001  what `cache=True` does, with a better key
    return cast("Callable[P, R]", compiled)


class Helper(CPUDispatcher):
    """What kernels call, compiled once for all integers: LLVM sees how wide they are, and which, when it inlines."""

    def get_call_template(self, args: Any, kws: Any) -> Any:  # noqa: ANN401
        """Return what Numba asks a function for where a kernel calls it."""
        return super().get_call_template(tuple(map(_common, args)), kws)

    def __call__(self, *_args: object) -> NoReturn:
        """Refuse: there is no way in from Python, and Numba would go it all the same."""
        raise TypeError(f"{self.py_func.__qualname__} is a helper that only kernels call; wrap it in one")


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a helper that only kernels call, as a part of them; it makes no array of its own.

    It becomes part of the code that calls it: left to LLVM, a helper of many arrays was called with 70 numbers.
    It needs no reference counts: with them, passing arrays to a helper took three times as long as matching phrases.
    Nor does it need ways in from Python and C; without those, and as a `Helper`, a first build takes half as long.
    """
    helper = _NJIT(
        nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, forceinline=True,
        pipeline_class=HelperCompiler,
    )(function)  # fmt: skip
    helper.__class__ = Helper
    return cast("Callable[P, R]", helper)


def _common(kind: Any) -> Any:  # noqa: ANN401
    """Return the type of all values like those of `kind`: int64 for an int32, and for a number that is known."""
    plain = types.unliteral(kind)  # type: ignore[no-untyped-call]
    return types.int64 if plain in types.signed_domain else plain


def _load64(_typing: Any, array: Any, index: Any) -> Any:  # noqa: ANN401
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        view = context.make_array(signature.args[0])(context, builder, args[0])
        word = context.get_value_type(types.uint64).as_pointer()
        address = builder.bitcast(builder.gep(view.data, [args[1]]), word)
        return builder.load(address, align=1)

    return types.uint64(array, types.intp), codegen


load64 = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_load64))
"""`load64(bytes, i)`: the eight bytes from `i` as a little-endian uint64. The caller keeps `i + 8` in bounds."""
