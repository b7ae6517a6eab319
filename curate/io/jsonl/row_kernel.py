"""The grammar of a chat row in JSON Lines as compiled code: which member is which, and what makes a line odd.

See `curate.io.jsonl.scan`, which calls it, and `curate.io.jsonl.json_kernel`, whose helpers it uses.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from curate.io.jsonl.json_kernel import (
    COLON,
    COMMA,
    FEED,
    MINUS,
    ODD,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    SHUT_LIST,
    SHUT_OBJECT,
    Bytes,
    blanks,
    copy,
    integer,
    is_utf8,
    key_end,
    pointer,
    skip,
    starts,
    string,
)
from curate.kernels.buffers import grown
from curate.kernels.compile import inline, kernel

MEMBERS: Final = 64
"""Members of a row that are held against each other; more make the line odd."""
LONGEST_ID: Final = 18
"""Digits of an integer id that every JSON parser reads exactly."""

ROLE, TEXT, META, ID, MESSAGE, ROW, LINE = range(7)
"""Places in the kernel's state: how far each output is filled, and the number of the line."""

Ends: TypeAlias = NDArray[np.int32]
"""A pointer to offsets, for a kernel."""
State: TypeAlias = NDArray[np.int64]
"""A pointer to numbers that helpers change, for a kernel."""


class Keys(NamedTuple):
    """The keys to look for, each with a quote behind it."""

    messages: Bytes
    role: Bytes
    text: Bytes
    id: Bytes


class Out(NamedTuple):
    """The outputs while they grow: arrays in Python, pointers in the kernel."""

    roles: Bytes
    role_ends: Ends
    texts: Bytes
    text_ends: Ends
    meta: Bytes
    meta_ends: Ends
    ids: Bytes
    id_ends: Ends
    list_ends: Ends
    lines: NDArray[np.int64]
    spans: NDArray[np.int64]


@kernel
def scan(
    block: NDArray[np.uint8], size: int, keys: Keys, suspect: np.bool_, out: Out, state: State
) -> NDArray[np.int64]:
    """Read the lines in the first `size` bytes; returns the odd ones. A `suspect` block is not all UTF-8."""
    odd = np.empty((16, 3), np.int64)
    members = np.empty(2 * MEMBERS, np.int64)
    odds = start = 0
    data, now, seen = pointer(block), pointer(state), pointer(members)
    words = Keys(pointer(keys.messages), pointer(keys.role), pointer(keys.text), pointer(keys.id))
    to = Out(
        pointer(out.roles), pointer(out.role_ends), pointer(out.texts), pointer(out.text_ends), pointer(out.meta),
        pointer(out.meta_ends), pointer(out.ids), pointer(out.id_ends), pointer(out.list_ends), pointer(out.lines),
        pointer(out.spans),
    )  # fmt: skip
    while start < size:
        place = blanks(data, start)
        if data[place] != FEED:
            place = _row(data, place, words, to, now, seen)
            if place < 0 or (suspect and not is_utf8(data, start, place)):
                _roll_back(to, now)
                place = _line_end(data, start)
                if odds == len(odd):
                    odd = grown(odd)
                odd[odds, 0], odd[odds, 1], odd[odds, 2] = start, place, now[LINE]
                odds += 1
            else:
                _commit(to, now, start, place)
        start = place + 1
        now[LINE] += 1
    members[0] = 0  # a pointer keeps nothing alive, and Numba frees an array after its last use
    return odd[:odds].copy()


@inline
def _line_end(data: Bytes, place: int) -> int:
    while data[place] != FEED:
        place += 1
    return place


@inline
def _commit(out: Out, state: State, start: int, end: int) -> None:
    row = state[ROW]
    out.lines[row] = state[LINE]
    out.spans[2 * row] = start
    out.spans[2 * row + 1] = end
    out.list_ends[row + 1] = state[MESSAGE]
    out.meta_ends[row + 1] = state[META]
    out.id_ends[row + 1] = state[ID]
    state[ROW] = row + 1


@inline
def _roll_back(out: Out, state: State) -> None:
    """Forget what a line wrote before it turned out odd."""
    row = state[ROW]
    state[MESSAGE] = out.list_ends[row]
    state[META] = out.meta_ends[row]
    state[ID] = out.id_ends[row]
    state[ROLE] = out.role_ends[state[MESSAGE]]
    state[TEXT] = out.text_ends[state[MESSAGE]]


@inline
def _row(data: Bytes, place: int, keys: Keys, out: Out, state: State, members: State) -> int:
    """Read the row at `place`; returns the place of its line feed."""
    if data[place] != OPEN_OBJECT:
        return ODD
    for member in range(MEMBERS):
        start, end, value = _member(data, place + 1)
        if value < 0 or _is_repeated(data, start, end, members, member):
            return ODD
        members[2 * member], members[2 * member + 1] = start, end
        if starts(data, start, keys.messages) == end:
            place = _messages(data, value, keys, out, state)
        elif starts(data, start, keys.id) == end:
            place = _id(data, value, out, state)
        else:
            place = _other(data, start, end, value, out, state)
        if place < 0:
            return ODD
        place = blanks(data, place)
        if data[place] != COMMA:
            break
    return _row_end(data, place, out, state)


@inline
def _row_end(data: Bytes, place: int, out: Out, state: State) -> int:
    """Close the meta object; a row without its list, and one with more behind it, is odd."""
    row = state[ROW]
    if data[place] != SHUT_OBJECT or state[MESSAGE] == out.list_ends[row]:
        return ODD
    at = state[META]
    if at == out.meta_ends[row]:
        out.meta[at] = OPEN_OBJECT
        at += 1
    out.meta[at] = SHUT_OBJECT
    state[META] = at + 1
    place = blanks(data, place + 1)
    return place if data[place] == FEED else ODD


@inline
def _member(data: Bytes, place: int) -> tuple[int, int, int]:
    """Read the key from `place` on: where its bytes start and end, and where its value starts or `ODD`."""
    place = blanks(data, place)
    if data[place] != QUOTE:
        return 0, 0, ODD
    end = key_end(data, place + 1)
    if end < 0:
        return 0, 0, ODD
    colon = blanks(data, end + 1)
    return place + 1, end, blanks(data, colon + 1) if data[colon] == COLON else ODD


@inline
def _is_repeated(data: Bytes, start: int, end: int, members: State, count: int) -> bool:
    """Say whether one of the first `count` members has the key from `start` to `end`, too."""
    for k in range(count):
        other = members[2 * k]
        if members[2 * k + 1] - other != end - start:
            continue
        i = start
        while i < end and data[i] == data[other]:
            i += 1
            other += 1
        if i == end:
            return True
    return False


@inline
def _messages(data: Bytes, place: int, keys: Keys, out: Out, state: State) -> int:
    """Read the array of messages at `place`, each with its two fields in any order; returns the place after it."""
    if data[place] != OPEN_LIST:
        return ODD
    while True:
        place = blanks(data, place + 1)
        if data[place] != OPEN_OBJECT:
            return ODD
        first, place = _field(data, place + 1, keys, out, state)
        if place < 0 or data[place] != COMMA:
            return ODD
        second, place = _field(data, place + 1, keys, out, state)
        if place < 0 or data[place] != SHUT_OBJECT or first == second:
            return ODD
        message = state[MESSAGE] + 1
        out.role_ends[message] = state[ROLE]
        out.text_ends[message] = state[TEXT]
        state[MESSAGE] = message
        place = blanks(data, place + 1)
        if data[place] != COMMA:
            return place + 1 if data[place] == SHUT_LIST else ODD


@inline
def _field(data: Bytes, place: int, keys: Keys, out: Out, state: State) -> tuple[int, int]:
    """Read a message's field from `place` on; returns which it is, and the place of what follows it."""
    start, end, value = _member(data, place)
    if value < 0 or data[value] != QUOTE:
        return ODD, ODD
    if starts(data, start, keys.text) == end:
        field, to = TEXT, out.texts
    elif starts(data, start, keys.role) == end:
        field, to = ROLE, out.roles
    else:
        return ODD, ODD
    place, state[field] = string(data, value + 1, to, state[field])
    return field, blanks(data, place) if place >= 0 else ODD


@inline
def _id(data: Bytes, place: int, out: Out, state: State) -> int:
    """Read the id at `place`; `-0`, which parsers read as 0, and the empty string are odd."""
    start, at = place, state[ID]
    if data[place] == QUOTE:
        place, state[ID] = string(data, place + 1, out.ids, at)
        return place if state[ID] > at else ODD
    place = integer(data, place)
    negative = data[start] == MINUS
    if place < 0 or place - start - negative > LONGEST_ID or (negative and data[start + 1] == 0x30):
        return ODD
    state[ID] = copy(data, start, place, out.ids, at)
    return place


@inline
def _other(data: Bytes, start: int, end: int, value: int, out: Out, state: State) -> int:
    """Carry a member into meta in its own bytes: its key from `start` to `end`, and its value at `value`."""
    place = skip(data, value, out.texts, state[TEXT])
    if place < 0:
        return ODD
    at = state[META]
    out.meta[at] = OPEN_OBJECT if at == out.meta_ends[state[ROW]] else COMMA
    at = copy(data, start - 1, end + 1, out.meta, at + 1)
    out.meta[at] = COLON
    state[META] = copy(data, value, place, out.meta, at + 1)
    return place
