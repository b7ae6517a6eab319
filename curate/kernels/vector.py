"""32 bytes at a time: the vector instructions that NumPy indexing cannot express, as LLVM writes them.

Every machine has such vectors in some width, so there is one code for all. A mask is an integer in which bit `k` is for
byte `k`; none is below zero or above 32 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH: Final = 32
"""Bytes that one vector holds."""
LANES: Final = 32
"""Numbers of 32 bits in the vectors of `least_affine`: four registers of AVX2, two of AVX-512."""
BYTE: Final = ir.IntType(8)
VECTOR: Final = ir.VectorType(BYTE, WIDTH)
_CGUTILS: Any = cgutils


def vector_at(builder: Any, data: Any, place: Any) -> Any:  # noqa: ANN401
    """Emit the address of the vector at `place` of the bytes at the pointer `data`."""
    return builder.bitcast(builder.gep(data, [place]), VECTOR.as_pointer())


def _load(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:  # noqa: ANN401
    return builder.load(_address(context, builder, kind, array, place), align=1)


def _address(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:  # noqa: ANN401
    return vector_at(builder, context.make_array(kind)(context, builder, array).data, place)


def _all(byte: int) -> Any:  # noqa: ANN401
    return ir.Constant(VECTOR, [byte] * WIDTH)


def _spread(builder: Any, number: Any) -> Any:  # noqa: ANN401
    """Emit a vector with the low byte of `number` in every place."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), builder.trunc(number, BYTE), ir.Constant(BYTE, 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), places)


def _between(builder: Any, vector: Any, low: Any, high: Any) -> Any:  # noqa: ANN401
    return builder.icmp_unsigned("<=", builder.sub(vector, low), builder.sub(high, low))


def _within32(_typing: Any, data: Any, place: Any, low: Any, high: Any) -> Any:  # noqa: ANN401
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        vector = _load(context, builder, signature.args[0], *args[:2])
        marks = _between(builder, vector, _spread(builder, args[2]), _spread(builder, args[3]))
        return builder.zext(builder.bitcast(marks, ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(data, types.intp, types.intp, types.intp), codegen


def _lower32(_typing: Any, data: Any, place: Any, out: Any, at: Any) -> Any:  # noqa: ANN401
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        vector = _load(context, builder, signature.args[0], *args[:2])
        capital = _between(builder, vector, _all(0x41), _all(0x5A))
        control = builder.or_(
            _between(builder, vector, _all(0x09), _all(0x0D)), _between(builder, vector, _all(0x1C), _all(0x1F))
        )
        lowered = builder.select(capital, builder.or_(vector, _all(0x20)), vector)
        spaced = builder.select(control, _all(0x20), lowered)
        builder.store(spaced, _address(context, builder, signature.args[2], *args[2:]), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, out, types.intp), codegen


def _trailing(_typing: Any, mask: Any) -> Any:  # noqa: ANN401
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), codegen


def _ones(_typing: Any, mask: Any) -> Any:  # noqa: ANN401
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


def _least_affine(
    _typing: Any,  # noqa: ANN401
    members: Any,  # noqa: ANN401
    count: Any,  # noqa: ANN401
    factor: Any,  # noqa: ANN401
    addend: Any,  # noqa: ANN401
    place: Any,  # noqa: ANN401
    out: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    word = ir.IntType(32)
    lanes = ir.VectorType(word, LANES)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        def start(number: int) -> Any:  # noqa: ANN401
            return context.make_array(signature.args[number])(context, builder, args[number]).data

        def at(number: int) -> Any:  # noqa: ANN401
            return builder.bitcast(builder.gep(start(number), [args[4]]), lanes.as_pointer())

        factors, addends = (builder.load(at(number), align=4) for number in (2, 3))
        least = _CGUTILS.alloca_once_value(builder, ir.Constant(lanes, [0xFFFFFFFF] * LANES))
        with _CGUTILS.for_range(builder, args[1]) as loop:
            member = builder.load(builder.gep(start(0), [loop.index]))
            undefined = ir.Constant(lanes, ir.Undefined)
            one = builder.insert_element(undefined, member, ir.Constant(word, 0))
            every = builder.shuffle_vector(one, undefined, ir.Constant(lanes, [0] * LANES))
            made, before = builder.add(builder.mul(factors, every), addends), builder.load(least)
            builder.store(builder.select(builder.icmp_unsigned("<", made, before), made, before), least)
        builder.store(builder.load(least), at(5), align=4)
        return context.get_dummy_value()

    return types.void(members, types.intp, factor, addend, types.intp, out), codegen


within32 = cast("Callable[[NDArray[np.uint8], int, int, int], int]", intrinsic(_within32))
"""`within32(bytes, i, low, high)`: mark those of the 32 bytes from `i` that are `low` to `high`.

The caller keeps `i + 32` in bounds."""

lower32 = cast("Callable[[NDArray[np.uint8], int, NDArray[np.uint8], int], None]", intrinsic(_lower32))
"""`lower32(bytes, i, out, k)`: copy 32 bytes to `out[k:]`, A to Z in lower case, ASCII white space as spaces.

The caller keeps `i + 32` and `k + 32` in bounds."""

least_affine = cast(
    "Callable[[NDArray[np.uint32], int, NDArray[np.uint32], NDArray[np.uint32], int, NDArray[np.uint32]], None]",
    intrinsic(_least_affine),
)
"""`least_affine(members, count, factor, addend, k, out)`: write to each of the `LANES` places of `out` from `k` on the
least `factor * member + addend` modulo 2^32 of the first `count` members; 2^32 - 1 for none.

The least numbers stay in registers. Left to LLVM, they were loaded and stored every four members, eight to a register.
The caller keeps `k + LANES` in bounds."""

trailing = cast("Callable[[int], int]", intrinsic(_trailing))
"""`trailing(mask)`: how many bytes come before the first marked one; 64 when none is."""

ones = cast("Callable[[int], int]", intrinsic(_ones))
"""`ones(mask)`: how many bytes are marked."""
