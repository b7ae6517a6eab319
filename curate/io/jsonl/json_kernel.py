"""The tokens of JSON as compiled helpers: white space, strings, numbers, nested values, all fully validated.

Every helper takes the bytes and a place and returns the place after what it read, or `ODD` where the bytes are no plain
JSON. The bytes end in a line feed, which no helper steps over, and 32 bytes more: so none needs to ask where they end.
Strings move 32 bytes at a time (LLVM vectors, which every machine has in some width). Grammar: RFC 8259.

Helpers see `pointer(array)`, not arrays: Numba counts references to each array argument of each call, with two atomic
instructions, and that took two thirds of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from curate.kernels.compile import inline
from curate.kernels.vector import WIDTH, vector_at

if TYPE_CHECKING:
    from collections.abc import Callable

ODD: Final = -1
"""Not a place: what was read is no plain JSON."""
DEPTH: Final = 64
"""How many arrays and objects a skipped value may nest: one bit each in a word."""

FEED, SPACE, QUOTE, SLASH = 0x0A, 0x20, 0x22, 0x5C
COMMA, MINUS, DOT, COLON = 0x2C, 0x2D, 0x2E, 0x3A
OPEN_LIST, SHUT_LIST, OPEN_OBJECT, SHUT_OBJECT = 0x5B, 0x5D, 0x7B, 0x7D
LITTLE_U = 0x75


def _table(pairs: dict[int, int], rest: int) -> NDArray[np.uint8]:
    table = np.full(256, rest, np.uint8)
    table[list(pairs)] = list(pairs.values())
    return table


UNESCAPED: Final = _table(dict(zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True)), 0)
"""The byte that an escape denotes, by the character after the backslash; 0 for none."""
HEX: Final = _table({ord(digit): int(digit, 16) for digit in "0123456789abcdefABCDEF"}, 0xFF)
TRUE: Final = np.frombuffer(b'true"', np.uint8)
FALSE: Final = np.frombuffer(b'false"', np.uint8)
NULL: Final = np.frombuffer(b'null"', np.uint8)


def _pointer(_typing: Any, array: Any) -> Any:  # noqa: ANN401
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return cast("Any", types.CPointer)(array.dtype)(array), codegen


def _count_plain(builder: Any, vector: Any) -> Any:  # noqa: ANN401
    """Emit code that counts the bytes before the first quote, backslash or control character: 0 to 32."""

    def against(operator: str, byte: int) -> Any:  # noqa: ANN401
        return builder.icmp_unsigned(operator, vector, ir.Constant(vector.type, [byte] * WIDTH))

    special = builder.or_(builder.or_(against("==", QUOTE), against("==", SLASH)), against("<", SPACE))
    bits = builder.zext(builder.bitcast(special, ir.IntType(WIDTH)), ir.IntType(64))
    stop = builder.or_(bits, ir.Constant(ir.IntType(64), 1 << WIDTH))
    return builder.cttz(stop, ir.Constant(ir.IntType(1), 1))


def _plain32(_typing: Any, data: Any, place: Any) -> Any:  # noqa: ANN401
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        return _count_plain(builder, builder.load(vector_at(builder, *args), align=1))

    return types.int64(data, types.intp), codegen


def _move32(_typing: Any, data: Any, place: Any, out: Any, at: Any) -> Any:  # noqa: ANN401
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:  # noqa: ANN401
        vector = builder.load(vector_at(builder, *args[:2]), align=1)
        builder.store(vector, vector_at(builder, *args[2:]), align=1)
        return _count_plain(builder, vector)

    return types.int64(data, types.intp, out, types.intp), codegen


Bytes: TypeAlias = NDArray[np.uint8]
"""A pointer to bytes, for a kernel; an array, for a type checker."""
A = TypeVar("A")


class _Pointer(Protocol):
    def __call__(self, array: A) -> A: ...


pointer = cast("_Pointer", intrinsic(_pointer))
"""`pointer(array)`: its first element, to index from. The caller keeps the array alive, and places in bounds."""

plain32 = cast("Callable[[Bytes, int], int]", intrinsic(_plain32))
"""`plain32(bytes, i)`: how many of the 32 bytes from `i` come before one that ends or escapes a string."""

move32 = cast("Callable[[Bytes, int, Bytes, int], int]", intrinsic(_move32))
"""`move32(bytes, i, out, k)`: copy 32 bytes to `out[k:]`, and answer as `plain32` does."""


@inline
def blanks(data: Bytes, place: int) -> int:
    """Step over spaces, tabs and carriage returns; a line feed ends the line."""
    while data[place] == SPACE or data[place] == 0x09 or data[place] == 0x0D:
        place += 1
    return place


@inline
def copy(data: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy `data[start:end]` to `out[at:]`, running over by up to 31 bytes; returns the place after the copy."""
    past = at + end - start
    while at < past:
        move32(data, start, out, at)
        start += WIDTH
        at += WIDTH
    return past


@inline
def key_end(data: Bytes, place: int) -> int:
    """Find the closing quote of the key whose first byte is `place`; a key with an escape is `ODD`."""
    step = WIDTH
    while step == WIDTH:
        step = plain32(data, place)
        place += step
    return place if data[place] == QUOTE else ODD


@inline
def string(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    """Unescape the string whose first byte is `place` to `out[at:]`; returns the places after its quote and its text.

    `ODD` for a control character, NUL (escaped too), an unknown escape, a lone surrogate, or no end on this line.
    """
    while True:
        step = move32(data, place, out, at)
        place += step
        at += step
        if step == WIDTH:
            continue
        while data[place] == SLASH:
            letter = UNESCAPED[data[place + 1]]
            if letter:
                out[at] = letter
                at += 1
                place += 2
                continue
            place, at = _unicode(data, place, out, at)
            if place < 0:
                return ODD, at
        if data[place] == QUOTE:
            return place + 1, at
        if data[place] < SPACE:
            return ODD, at


@inline
def _unit(data: Bytes, place: int) -> int:
    r"""Read the `\uXXXX` at `place`: its 16 bits, or `ODD`. Stops at the first byte that is none of it."""
    if data[place] != SLASH or data[place + 1] != LITTLE_U:
        return ODD
    unit = 0
    for k in range(place + 2, place + 6):
        digit = HEX[data[k]]
        if digit == 0xFF:
            return ODD
        unit = unit << 4 | digit
    return unit


@inline
def _unicode(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, int]:
    r"""Write the character of the `\uXXXX`, or of the pair of them, at `place` as UTF-8."""
    unit = _unit(data, place)
    if unit <= 0 or unit >> 10 == 0x37:
        return ODD, at
    place += 6
    if unit < 0x80:
        out[at] = unit
        return place, at + 1
    if unit < 0x800:
        out[at] = 0xC0 | unit >> 6
        out[at + 1] = 0x80 | unit & 0x3F
        return place, at + 2
    if unit >> 10 != 0x36:
        out[at] = 0xE0 | unit >> 12
        out[at + 1] = 0x80 | unit >> 6 & 0x3F
        out[at + 2] = 0x80 | unit & 0x3F
        return place, at + 3
    low = _unit(data, place)
    if low >> 10 != 0x37:
        return ODD, at
    point = 0x10000 + ((unit & 0x3FF) << 10 | low & 0x3FF)
    out[at] = 0xF0 | point >> 18
    out[at + 1] = 0x80 | point >> 12 & 0x3F
    out[at + 2] = 0x80 | point >> 6 & 0x3F
    out[at + 3] = 0x80 | point & 0x3F
    return place + 6, at + 4


@inline
def digits(data: Bytes, place: int) -> int:
    """Step over one digit or more."""
    start = place
    while 0x30 <= data[place] <= 0x39:
        place += 1
    return place if place > start else ODD


@inline
def integer(data: Bytes, place: int) -> int:
    """Step over an integer: a minus sign or none, no leading zero."""
    if data[place] == MINUS:
        place += 1
    return place + 1 if data[place] == 0x30 else digits(data, place)


@inline
def _number(data: Bytes, place: int) -> int:
    place = integer(data, place)
    if place >= 0 and data[place] == DOT:
        place = digits(data, place + 1)
    if place >= 0 and (data[place] | 0x20) == 0x65:
        sign = data[place + 1] == 0x2B or data[place + 1] == MINUS
        place = digits(data, place + 2 if sign else place + 1)
    return place


@inline
def starts(data: Bytes, place: int, word: Bytes) -> int:
    """Step over `word`, which ends before its quote; `ODD` if other bytes are at `place`."""
    k = 0
    while word[k] != QUOTE:
        if data[place + k] != word[k]:
            return ODD
        k += 1
    return place + k


@inline
def _scalar(data: Bytes, place: int, out: Bytes, at: int) -> int:
    """Step over a string, number, `true`, `false` or `null`; `out[at:]` is scratch space."""
    byte = data[place]
    if byte == QUOTE:
        return string(data, place + 1, out, at)[0]
    if byte == MINUS or 0x30 <= byte <= 0x39:
        return _number(data, place)
    if byte == 0x74:
        return starts(data, place, TRUE)
    return starts(data, place, FALSE if byte == 0x66 else NULL)


@inline
def _key(data: Bytes, place: int, out: Bytes, at: int) -> int:
    """Step over a key and its colon, to its value."""
    if data[place] != QUOTE:
        return ODD
    place = string(data, place + 1, out, at)[0]
    if place < 0:
        return ODD
    place = blanks(data, place)
    return blanks(data, place + 1) if data[place] == COLON else ODD


@inline
def _open(data: Bytes, place: int, out: Bytes, at: int) -> tuple[int, bool]:
    """Step into the array or object at `place`: to its first value, or, saying so, to the end of an empty one."""
    is_object = data[place] == OPEN_OBJECT
    place = blanks(data, place + 1)
    if data[place] == (SHUT_OBJECT if is_object else SHUT_LIST):
        return place, True
    return (_key(data, place, out, at) if is_object else place), False


@inline
def _close(data: Bytes, place: int, depth: int, objects: np.uint64, out: Bytes, at: int) -> tuple[int, int, np.uint64]:
    """Step from the end of a value to the next one, and out of what ends between; returns place, depth and objects."""
    while depth:
        place = blanks(data, place)
        is_object = (objects & np.uint64(1)) != 0
        if data[place] == COMMA:
            place = blanks(data, place + 1)
            return (_key(data, place, out, at) if is_object else place), depth, objects
        if data[place] != (SHUT_OBJECT if is_object else SHUT_LIST):
            return ODD, depth, objects
        place += 1
        depth -= 1
        objects >>= np.uint64(1)
    return place, depth, objects


@inline
def skip(data: Bytes, place: int, out: Bytes, at: int) -> int:
    """Step over a value of any kind, checking all of it; `out[at:]` is scratch space. `ODD` over 64 levels."""
    depth = 0
    objects = np.uint64(0)
    while place >= 0:
        empty = False
        if data[place] == OPEN_OBJECT or data[place] == OPEN_LIST:
            depth += 1
            if depth > DEPTH:
                return ODD
            objects = objects << np.uint64(1) | np.uint64(data[place] == OPEN_OBJECT)
            place, empty = _open(data, place, out, at)
            if not empty:
                continue
        else:
            place = _scalar(data, place, out, at)
        if place >= 0:
            place, depth, objects = _close(data, place, depth, objects, out, at)
        if depth == 0:
            return place
    return ODD


@inline
def is_utf8(data: Bytes, start: int, end: int) -> bool:
    """Say whether `data[start:end]` is UTF-8: shortest forms, no surrogates, nothing above U+10FFFF."""
    while start < end:
        lead = data[start]
        start += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        for k in range(start, start + more):
            if k >= end or not low <= data[k] <= high:
                return False
            low, high = 0x80, 0xBF
        start += more
    return True
