"""Segments: every text of every row as flat string arrays, whatever the row kind.

`list<struct<role, content>>` is, in Arrow, one flat string array with offsets. A segment is one entry of such an array
together with the row, side, turn and role it belongs to. A step reads segments and never asks which kind it looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.kernels.buffers import Text, frozen, view
from curate.kernels.compile import kernel
from curate.rows.schema import ASSISTANT, ROLES, SYSTEM, USER, Kind, Role, kind_of

Side: TypeAlias = Literal["dialogue", "prompt", "completion", "chosen", "rejected"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
"""A side's code is its place here. A conversation has one side, `dialogue`."""

DIALOGUE: Final = SIDES.index("dialogue")
SIDE_CODE: Final = {side: DIALOGUE if side == "prompt" else code for code, side in enumerate(SIDES)}
"""A conversation's dialogue and the prompt of other kinds count as one side, so their prompts can be equal."""

TextPart: TypeAlias = Literal["content", "reasoning", "call", "tools"]
"""What a text is to its message or row: its content, the reasoning before it, a call that it makes (the name of the
tool and the arguments are a text each), or the tools on offer."""

TEXT_PARTS: Final[tuple[TextPart, ...]] = get_args(TextPart)
CONTENT: Final[frozenset[TextPart]] = frozenset({"content"})
EVERY_TEXT: Final = frozenset(TEXT_PARTS)

PLACES: Final = tuple(side if part == "content" else f"{side}.{part}" for part in TEXT_PARTS for side in SIDES)
"""Where a text can be, as evidence says it: "chosen", "chosen.reasoning". The first are `SIDES`, with their codes.
Within a turn, `call_place` tells its calls apart."""

OF_CALL: Final = (".name", ".arguments", "")
"""What of a call a place is: one of its two texts, or the whole of it."""

Scope: TypeAlias = Literal["prompt", "first_user", "response", "last_response", "all", "chosen", "rejected"]
On: TypeAlias = Scope | frozenset[Role]
"""Which segments a step reads: a scope, or the turns of a set of roles."""


class Part(NamedTuple):
    """The selected segments of one flat string array; the arrays after `text` run side by side.

    `index` is the place of a segment in `text`, `turn` is its message (or completion) number from 0 within its side,
    and `role` its code in `ROLES`. Segments come in row order, and in turn order within a row. `of` is what the texts
    are to their messages, and `path` the way to them in a batch: a column, then fields. Tools are turn 0 of the system.
    Of calls, `number` says which of its turn's a text belongs to, from 0.
    """

    side: Side
    text: Text
    index: NDArray[np.int32]  # type: ignore[assignment]  # a tuple has a method of this name
    row: NDArray[np.int32]
    turn: NDArray[np.int32]
    role: NDArray[np.uint8]
    of: TextPart = "content"
    path: tuple[str, ...] = ()
    number: NDArray[np.int32] | None = None

    def places(self, at: NDArray[np.signedinteger]) -> NDArray[np.int32]:
        """Return where the segments at `at` are, as evidence has it: codes of `place_names`."""
        if self.number is not None:
            return call_place(self.side, self.number[at], "arguments" if self.is_json else "name")
        return np.full(len(at), TEXT_PARTS.index(self.of) * len(SIDES) + SIDES.index(self.side), np.int32)

    @property
    def is_json(self) -> bool:
        """Whether its texts are JSON text: the arguments of calls, and tools."""
        return self.of == "tools" or self.path[-1:] == ("arguments",)


Number = TypeVar("Number", int, NDArray[np.int32])


def call_place(side: Side, number: Number, of: Literal["name", "arguments"] | None = None) -> Number:
    """Return the place of one of a turn's calls, from 0, or of one of its texts, as a code of `place_names`.

    >>> place_names(np.array([call_place("dialogue", 1), call_place("chosen", 0, "name")])).to_pylist()
    ['dialogue.call2', 'chosen.call1.name']
    """
    return len(PLACES) * (1 + 3 * number + OF_CALL.index(f".{of}" if of else "")) + PLACES.index(f"{side}.call")


def place_names(codes: NDArray[np.integer]) -> pa.StringArray:
    """Return the names of places: of `PLACES`, and of calls, which people count from 1."""
    known, which = np.unique(codes, return_inverse=True)
    names = []
    for beyond, code in zip(*np.divmod(known.astype(np.int64), len(PLACES)), strict=True):
        number, of = divmod(int(beyond) - 1, len(OF_CALL))
        names.append(PLACES[code] + (f"{number + 1}{OF_CALL[of]}" if beyond else ""))
    return pa.array(names, pa.string()).take(pa.array(which))


class Context(NamedTuple):
    """What is known of the rows of a batch beside their bodies.

    `ids` are the rows' own ids, or hashes of their content. `scores` has the columns of the filters that ran before, by
    `step.score`.
    """

    source: str
    ids: pa.StringArray
    scores: Mapping[str, NDArray[np.generic] | pa.StringArray]


class Segments(NamedTuple):
    """The selected segments of a batch of `rows` rows, a part for each side that has any to give.

    Args:
        rows: Rows of the batch.
        parts: The segments, by side.
        body: The batch itself, for a step that needs more than text, such as scores or `meta`.
        context: The source, the ids and the scores so far; None if a step is called outside a build.

    Example:
        >>> import curate as c
        >>> from curate.rows.schema import BODIES
        >>> row = {"messages": [{"role": "user", "content": "Hi!"}], "meta": "{}"}
        >>> found = segments(pa.RecordBatch.from_pylist([row], BODIES["conversation"]), "all")
        >>> isinstance(found, c.Segments), found.rows, len(found.parts)
        (True, 1, 1)
    """

    rows: int
    parts: tuple[Part, ...]
    body: pa.RecordBatch | None = None
    context: Context | None = None


def check_parts(parts: str | Iterable[str], where: str) -> frozenset[TextPart]:
    """Return kinds of text in their one shape; raises `MixtureError` for an unknown one, or none.

    >>> sorted(check_parts("content", "step")), len(check_parts("all", "step"))
    (['content'], 4)
    """
    if parts == "all":
        return EVERY_TEXT
    found = frozenset([parts] if isinstance(parts, str) else parts)
    unknown = sorted(found - set(TEXT_PARTS))
    if unknown or not found:
        raise MixtureError(f"{where}(parts={sorted(found)}): parts are 'all', or some of {', '.join(TEXT_PARTS)}")
    return found  # type: ignore[return-value]


def check_on(on: str | frozenset[str] | set[str] | tuple[str, ...] | list[str]) -> On:
    """Return `on` in its one shape; raises `MixtureError` for an unknown scope or role.

    >>> check_on("prompt"), check_on({"user"})
    ('prompt', frozenset({'user'}))
    """
    if isinstance(on, str):
        if on not in get_args(Scope):
            raise MixtureError(f"on={on!r} is no scope; {did_you_mean(on, get_args(Scope))}, or give a set of roles")
        return on  # type: ignore[return-value]
    roles = frozenset(on)
    unknown = sorted(roles - set(ROLES))
    if unknown or not roles:
        raise MixtureError(f"on={sorted(roles)} is no set of roles; roles: {', '.join(ROLES)}")
    return roles  # type: ignore[return-value]


def segments(body: pa.RecordBatch, on: On = "all", parts: frozenset[TextPart] | None = CONTENT) -> Segments:
    """Return the segments of `body` (a batch with a kind's body columns) that `on` selects, without copying text.

    Of messages and rows, only `parts` are read, by default the content alone; None is all of them.

    - `all`: every message and completion.
    - `prompt`: a conversation's turns before the first assistant turn; the prompt of rows of other kinds.
    - `first_user`: the first user turn of the prompt.
    - `response`: a conversation's assistant turns; the completions of a rated or unpaired row; both answers of a
      preference row.
    - `last_response`: of these, the last assistant turn of a conversation and of each answer of a preference row.
    - `chosen`, `rejected`: one answer of a preference row; no segment of other kinds.
    - a set of roles: messages of these roles; completions count as assistant turns.

    Reasoning and calls belong to the side, turn and role of their message, tools to the system of the prompt.

    >>> from curate.rows.schema import BODIES
    >>> rows = [
    ...     {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}], "meta": "{}"}
    ... ]
    >>> found = segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), "response")
    >>> [(part.side, part.turn.tolist()) for part in found.parts]
    [('dialogue', [1])]
    """
    return select(Segments(body.num_rows, tuple(_sides(body, kind_of(body.schema))), body), on, parts)


def select(every: Segments, on: On, parts: frozenset[TextPart] | None = None) -> Segments:
    """Return those of the segments of a batch that `on` and `parts` select; for a step that reads whole rows."""
    found = (_select(part, on) for part in every.parts if parts is None or part.of in parts)
    return every._replace(parts=tuple(part for part in found if len(part.index)))


def _sides(body: pa.RecordBatch, kind: Kind) -> Iterator[Part]:
    """Yield the parts of each side: contents, then reasoning and calls where there are any; and last the tools."""
    sides: dict[Kind, dict[str, Side]] = {
        "conversation": {"messages": "dialogue"},
        "rated": {"messages": "prompt", "completions": "completion"},
        "preference": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        "unpaired": {"prompt": "prompt", "completion": "completion"},
        "prompt": {"prompt": "prompt"},
    }
    for column, side in sides[kind].items():
        lists = body[column]
        content = _part(lists, column, side)
        yield content
        if lists.type.value_type.get_field_index("reasoning") >= 0:
            yield from _of_messages(content, lists.values, column)
    if "tools" in body.schema.names:
        yield from _of_rows(body, "tools", next(iter(sides[kind].values())))


def _part(lists: pa.ListArray, column: str, side: Side) -> Part:
    row, turn, index = _spread(frozen(lists.offsets.to_numpy(zero_copy_only=True)))
    if lists.type.value_type.get_field_index("role") < 0:
        role = np.full(len(index), ASSISTANT, np.uint8)
    else:
        role = role_codes(view(lists.values.field("role")))[index]
    return Part(side, view(lists.values.field("content")), index, row, turn, role, "content", (column, "content"))


def _of_rows(body: pa.RecordBatch, column: str, side: Side) -> Iterator[Part]:
    row = np.flatnonzero(np.asarray(body[column].is_valid())).astype(np.int32)
    if len(row):
        turn, role = np.zeros(len(row), np.int32), np.full(len(row), SYSTEM, np.uint8)
        yield Part(side, view(body[column]), row, row, turn, role, "tools", (column,))


def _of_messages(content: Part, messages: pa.StructArray, column: str) -> Iterator[Part]:
    """Yield the reasoning and the calls of messages, those that there are."""
    reasoning = messages.field("reasoning")
    there = np.flatnonzero(np.asarray(reasoning.is_valid())[content.index])
    if len(there):
        yield _at(content, there)._replace(text=view(reasoning), of="reasoning", path=(column, "reasoning"))
    if messages.type.get_field_index("tool_calls") < 0:
        return
    calls = messages.field("tool_calls")
    lengths = np.asarray(calls.value_lengths().fill_null(0))[content.index]
    place = np.repeat(np.arange(len(lengths)), lengths)
    if not len(place):
        return
    first = calls.offsets.to_numpy(zero_copy_only=True)[:-1][content.index]
    within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    index = (first[place] + within).astype(np.int32)
    for field in ("name", "arguments"):
        part = _at(content, place)._replace(text=view(calls.values.field(field)), index=index, of="call")
        yield part._replace(path=(column, "tool_calls", field), number=within.astype(np.int32))


def _at(part: Part, places: NDArray[np.integer]) -> Part:
    """Return the segments of `part` at these places."""
    index, row, turn, role = part.index[places], part.row[places], part.turn[places], part.role[places]
    number = None if part.number is None else part.number[places]
    return part._replace(index=index, row=row, turn=turn, role=role, number=number)


@kernel
def _spread(offsets: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return for each element of lists with these offsets: its list, its place there, its place in the values."""
    count = offsets[-1] - offsets[0]
    row, turn, index = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    k = 0
    for i in range(len(offsets) - 1):
        for place in range(offsets[i], offsets[i + 1]):
            row[k], turn[k], index[k] = i, place - offsets[i], place
            k += 1
    return row, turn, index


def _select(part: Part, on: On) -> Part:
    mask = _mask(part, on)
    if mask is None:
        return part
    return _at(part, np.flatnonzero(mask))


def _mask(part: Part, on: On) -> NDArray[np.bool_] | None:
    """Return which segments of `part` are selected; None for all of them."""
    if isinstance(on, frozenset):
        return np.isin(part.role, [ROLES.index(role) for role in on])
    none = np.zeros(len(part.index), np.bool_)
    match on:
        case "all":
            return None
        case "prompt" if part.side == "dialogue":
            return _before_first(part.row, part.role == ASSISTANT)
        case "prompt":
            return None if part.side == "prompt" else none
        case "first_user" if part.side in {"dialogue", "prompt"}:
            return _first(part.row, part.role == USER)
        case "response" if part.side == "dialogue":
            return part.role == ASSISTANT
        case "last_response" if part.side not in {"prompt", "completion"}:
            return _last(part.row, part.role == ASSISTANT)
        case "response" | "last_response":
            return none if part.side == "prompt" else None
        case _:
            return None if part.side == on else none


@kernel
def _before_first(row: NDArray[np.int32], hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark each row's segments before its first hit."""
    mask = np.zeros(len(row), np.bool_)
    hit_row = -1
    for i in range(len(row)):
        if hit[i]:
            hit_row = row[i]
        mask[i] = row[i] != hit_row
    return mask


@kernel
def _first(row: NDArray[np.int32], hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark each row's first hit."""
    mask = np.zeros(len(row), np.bool_)
    hit_row = -1
    for i in range(len(row)):
        if hit[i] and row[i] != hit_row:
            mask[i] = True
            hit_row = row[i]
    return mask


def _last(row: NDArray[np.int32], hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark each row's last hit."""
    mask = np.zeros(len(row), np.bool_)
    hits = np.flatnonzero(hit)
    mask[hits[np.diff(row[hits], append=-1) != 0]] = True
    return mask


def role_codes(roles: Text) -> NDArray[np.uint8]:
    """Return each role's place in `ROLES`, or `UNKNOWN_ROLE`.

    >>> role_codes(view(pa.array(["user", "tool", "User"]))).tolist()
    [1, 3, 4]
    """
    words = np.frombuffer("".join(ROLES).encode(), np.uint8)
    ends = np.cumsum([0, *(len(role) for role in ROLES)]).astype(np.int32)
    return _role_codes(roles.data, roles.offsets, words, ends)


@kernel
def _role_codes(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], words: NDArray[np.uint8], ends: NDArray[np.int32]
) -> NDArray[np.uint8]:
    known = len(ends) - 1
    codes = np.full(len(offsets) - 1, known, np.uint8)
    for i in range(len(codes)):
        start, length = offsets[i], offsets[i + 1] - offsets[i]
        for code in range(known):
            if ends[code + 1] - ends[code] != length:
                continue
            same = True
            for k in range(length):
                if data[start + k] != words[ends[code] + k]:
                    same = False
                    break
            if same:
                codes[i] = code
                break
    return codes
