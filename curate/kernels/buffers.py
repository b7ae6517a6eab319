"""An Arrow string array as a kernel sees it, its own buffers and not a copy, and buffers that grow."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.compile import kernel

Element = TypeVar("Element", bound=np.generic)
Bytes: TypeAlias = NDArray[np.uint8]
Flags: TypeAlias = NDArray[np.bool_]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
UInt32s: TypeAlias = NDArray[np.uint32]
UInt64s: TypeAlias = NDArray[np.uint64]
Float32s: TypeAlias = NDArray[np.float32]
Float64s: TypeAlias = NDArray[np.float64]


class Text(NamedTuple):
    """A string array's buffers.

    `data` is UTF-8, uint8; string `i` is `data[offsets[i]:offsets[i + 1]]`; `offsets` is int32, one longer than the
    array. Both are read-only, so that every kernel is compiled for one signature.
    """

    data: Bytes
    offsets: Int32s

    def __len__(self) -> int:
        return len(self.offsets) - 1


def view(strings: pa.StringArray) -> Text:
    """See the buffers of `strings` without copying.

    A null reads as the empty string (Arrow gives it length 0 in every writer that `curate` uses). Raises `TypeError`
    for any type but `string`.

    >>> text = view(pa.array(["ab", "", "c"]))
    >>> text.offsets.tolist(), bytes(text.data)
    ([0, 2, 2, 3], b'abc')
    """
    if strings.type != pa.string():
        raise TypeError(f"a kernel reads string arrays, not {strings.type}")
    _, offset_buffer, data_buffer = strings.buffers()
    if len(strings) == 0 or offset_buffer is None:
        offsets = np.zeros(1, np.int32)
    else:
        offsets = np.frombuffer(offset_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    data = (
        np.frombuffer(data_buffer, np.uint8) if data_buffer is not None and data_buffer.size else np.zeros(0, np.uint8)
    )
    return Text(frozen(data), frozen(offsets))


def frozen(array: NDArray[Element]) -> NDArray[Element]:
    """Return a read-only view of `array`."""
    seen = array.view()
    seen.flags.writeable = False
    return seen


def strings(data: Bytes, offsets: Int32s) -> pa.StringArray:
    """Make a string array around two buffers without copying; the inverse of `view`.

    >>> strings(np.frombuffer(b"abc", np.uint8), np.array([0, 2, 2, 3], np.int32)).to_pylist()
    ['ab', '', 'c']
    """
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@kernel
def grown(array: NDArray[Element]) -> NDArray[Element]:
    """Return an array (of one dimension, or of rows) twice as long that begins with `array`; the rest is undefined."""
    more = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    before, after = array.reshape(-1), more.reshape(-1)
    for i in range(len(before)):  # assigned as a slice, it takes 3 s to compile
        after[i] = before[i]
    return more
