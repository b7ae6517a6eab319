"""Conversations too long for a model's context, split between exchanges: what a user says, and all up to the next.

An exchange that alone is too long goes into no part, and is quarantined with its place. All parts have the line of
their conversation, so that the ledger says which belong together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.io.formats.base import Format, as_json, json_fields, json_items
from curate.io.row_collector import EXCERPT, Parsed, excerpt_of, quarantined
from curate.kernels.buffers import view
from curate.rows.schema import ASSISTANT, SYSTEM, USER
from curate.rows.segments import role_codes, segments
from curate.rows.take import take, take_array
from curate.rows.tokens import Tokenizer, part_tokens

Like: TypeAlias = Literal["tulu2"]


@dataclass(frozen=True)
class LongSplit:
    """How long conversations are split (`curate.io.split_long`)."""

    max_tokens: int
    tokenizer: Tokenizer | None = None
    like: Like | None = None

    def __str__(self) -> str:
        counted = "" if self.tokenizer else ", estimated"
        return f", split at {self.max_tokens:,} tokens{counted}" + (f", like {self.like}" if self.like else "")


def check_splits(how: LongSplit | None, form: Format, where: str) -> None:
    """Raise `MixtureError` if rows other than conversations are to be split; `where` names their source."""
    if how is not None and form.kind != "conversation":
        raise MixtureError(f"{where}: split_long() splits conversations, and {form.name} makes {form.kind} rows")


class Conversations(NamedTuple):
    """The messages of a batch, flat.

    `start` is where those of each row start, `role` the code of each, `tokens` what each comes to; `around` are the
    tokens of a row beside its messages: its tools.
    """

    start: NDArray[np.int64]
    role: NDArray[np.uint8]
    tokens: NDArray[np.int64]
    around: NDArray[np.int64]


class Stretch(NamedTuple):
    """Messages `first` to `end` of a row, with its first `head` ones before them; `fault` says why they are no part."""

    row: int
    head: int
    first: int
    end: int
    fault: str = ""


def split_parsed(parsed: Parsed, how: LongSplit | None, column: str | None) -> Parsed:
    """Return parsed conversations as parts of at most `how.max_tokens` (None: as they are).

    `column` is the list of messages in raw rows: `meta` may have a list of that name, with what each message also has.

    >>> from curate.rows.schema import BODIES
    >>> said = [{"role": role, "content": "one two"} for role in ("user", "assistant", "user", "assistant")]
    >>> body = pa.RecordBatch.from_pylist([{"messages": said, "meta": "{}"}], BODIES["conversation"])
    >>> whole = Parsed(body, pa.array(["a"]), np.array([1]), quarantined([]))
    >>> split_parsed(whole, LongSplit(12), None).ids.to_pylist()
    ['a_0', 'a_2']
    """
    if how is None:
        return parsed
    found = _conversations(parsed.body, how.tokenizer)
    whole = _whole(found, how)
    if whole.all():
        return parsed._replace(ids=_numbered(parsed.ids, ["0"] * len(whole)), span=None)
    rows, ends = np.flatnonzero(whole).tolist(), np.diff(found.start)[whole].tolist()
    stretches = [Stretch(row, 0, 0, end) for row, end in zip(rows, ends, strict=True)]
    for row in np.flatnonzero(~whole).tolist():
        stretches += _split(row, found, how)
    stretches.sort(key=lambda one: (one.row, one.first))
    parts = [one for one in stretches if not one.fault]
    source = np.array([one.row for one in parts], np.int32)
    body = _body(parsed.body, found, parts, source, column)
    ids = _numbered(parsed.ids.take(pa.array(source)), [str(one.first - one.head) for one in parts])
    return Parsed(body, ids, parsed.line[source], _refused(parsed, found, [one for one in stretches if one.fault]))


def _numbered(ids: pa.StringArray, first: list[str]) -> pa.StringArray:
    """Add to the own ids of parts the numbers of their first messages."""
    return pc.binary_join_element_wise(ids, pa.array(first, pa.string()), "_")


def _conversations(body: pa.RecordBatch, tokenizer: Tokenizer | None) -> Conversations:
    offsets = body["messages"].offsets.to_numpy(zero_copy_only=True).astype(np.int64)
    start = offsets - offsets[0]
    items = body["messages"].values.slice(offsets[0], start[-1])
    tokens, around = np.zeros(start[-1], np.int64), np.zeros(body.num_rows, np.int64)
    for part in segments(body, parts=None).parts:
        counts = part_tokens(part, tokenizer)
        if part.of == "tools":
            np.add.at(around, part.row, counts)
        else:
            np.add.at(tokens, start[part.row] + part.turn, counts)
    return Conversations(start, role_codes(view(items.field("role"))), tokens, around)


def _whole(found: Conversations, how: LongSplit) -> NDArray[np.bool_]:
    """Mark the rows that are one part as they are."""
    sums = np.concatenate([[0], np.cumsum(found.tokens)])
    total = sums[found.start[1:]] - sums[found.start[:-1]]
    if how.like is None:
        return total + found.around <= how.max_tokens
    sizes = np.diff(found.start)
    turn = np.arange(len(found.role)) - np.repeat(found.start[:-1], sizes)
    odd = np.concatenate([[0], np.cumsum(found.role != np.where(turn % 2, ASSISTANT, USER))])
    in_turn = odd[found.start[1:]] == odd[found.start[:-1]]
    return (total <= how.max_tokens) & (sizes % 2 == 0) & in_turn


def _split(row: int, found: Conversations, how: LongSplit) -> list[Stretch]:
    """Return the parts of one conversation, and the messages that are in none."""
    own = slice(found.start[row], found.start[row + 1])
    roles, tokens = found.role[own].tolist(), found.tokens[own].tolist()
    head, edges = (0, _pairs(roles)) if how.like == "tulu2" else _exchanges(roles)
    around = (0 if how.like == "tulu2" else int(found.around[row])) + sum(tokens[:head])
    packed = list(_packed(row, head, edges, tokens, around, how.max_tokens))
    return packed if how.like is None else _as_tulu2(row, packed, roles, edges)


def _exchanges(roles: list[int]) -> tuple[int, list[int]]:
    """Return how many messages of the system come first, and where exchanges start, and the last one ends."""
    head = next((i for i, role in enumerate(roles) if role != SYSTEM), 0)
    starts = [i for i in range(head + 1, len(roles)) if roles[i] == USER != roles[i - 1]]
    return head, [head, *starts, len(roles)]


def _pairs(roles: list[int]) -> list[int]:
    """Return where pairs of messages start, and the last one ends; the last of an odd number is in none."""
    return list(range(0, len(roles) // 2 * 2 + 1, 2))


def _packed(row: int, head: int, edges: list[int], tokens: list[int], around: int, limit: int) -> list[Stretch]:
    """Put as many exchanges into each part as fit; those that alone are too long are faults."""
    made: list[Stretch] = []
    first, filled = edges[0], around
    for start, end in pairwise(edges):
        more = sum(tokens[start:end])
        if filled + more <= limit:
            filled += more
            continue
        if start > first:
            made.append(Stretch(row, head, first, start))
        first, filled = start, around + more
        if filled > limit:
            what = "an exchange, with the system turn and tools," if around else "an exchange"
            made.append(Stretch(row, head, start, end, f"{what} of at most {limit:,} tokens, not {filled:,}"))
            first, filled = end, around
    if edges[-1] > first:
        made.append(Stretch(row, head, first, edges[-1]))
    return made


_ODD: Final = 'a reply to it: like="tulu2" leaves out the last of an odd number of messages'
_LAST: Final = 'another exchange in its part: like="tulu2" leaves out a last one by itself'
_ROLES: Final = "a part in which the user and the assistant take turns"


def _as_tulu2(row: int, packed: list[Stretch], roles: list[int], edges: list[int]) -> list[Stretch]:
    """Return parts as open-instruct's script leaves them.

    The script never writes a last exchange that opens a part, of a conversation with several; then it keeps the parts
    whose roles are the user's and the assistant's in turn.
    """
    made = []
    for one in packed:
        fault = one.fault
        if not fault and one.first == edges[-1] - 2 and len(edges) > 2:
            fault = _LAST
        elif not fault and roles[one.first : one.end] != [USER, ASSISTANT] * ((one.end - one.first) // 2):
            fault = _ROLES
        made.append(one._replace(fault=fault))
    if len(roles) % 2:
        made.append(Stretch(row, 0, len(roles) - 1, len(roles), _ODD))
    return made


def _refused(parsed: Parsed, found: Conversations, faults: list[Stretch]) -> pa.RecordBatch:
    """Return the quarantined rows, with messages that are in no part."""
    contents = parsed.body["messages"].flatten().field("content")
    more = []
    for one in faults:
        text = (contents[int(found.start[one.row]) + one.first].as_py() or "")[:EXCERPT]
        more.append((int(parsed.line[one.row]), f"messages[{one.first}]", one.fault, excerpt_of(text.encode())))
    bad = pa.concat_batches([parsed.bad, quarantined(more)])
    return take(bad, np.argsort(bad["line"].to_numpy(), kind="stable").astype(np.int32))


def _body(
    body: pa.RecordBatch, found: Conversations, parts: list[Stretch], row: NDArray[np.int32], column: str | None
) -> pa.RecordBatch:
    """Return the parts as a batch: of a row's messages those of each part, everything else as it is."""
    lists = body["messages"]
    spans = np.array([[(0, one.head), (one.first, one.end)] for one in parts], np.int64).reshape(-1, 2)
    lengths = spans[:, 1] - spans[:, 0]
    starts = np.repeat(found.start[row] + lists.offsets[0].as_py(), 2) + spans[:, 0]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths.reshape(-1, 2).sum(axis=1))]).astype(np.int32)
    items = take_array(lists.values, index.astype(np.int32))
    made = {"messages": pa.ListArray.from_arrays(pa.array(offsets), items, type=lists.type)}
    for name in body.schema.names[1:]:
        made[name] = take_array(body[name], row)
    if column is not None:
        made["meta"] = _meta(made["meta"], found, parts, column)
    return pa.RecordBatch.from_arrays(list(made.values()), schema=body.schema)


def _meta(meta: pa.StringArray, found: Conversations, parts: list[Stretch], column: str) -> pa.StringArray:
    """Leave in each part what its own messages hold beyond their turns, of the list that `meta` has of all of them."""
    texts = meta.to_pylist()
    for i in np.flatnonzero(np.asarray(pc.match_substring(meta, as_json(column) + ":"))).tolist():
        one, fields = parts[i], json_fields(texts[i].encode())
        size = int(found.start[one.row + 1] - found.start[one.row])
        rest = json_items(fields[column]) if bytes(fields.get(column, Raw())).startswith(b"[") else []
        missing = size - len(rest)  # a system turn from a field of its own is none of the list
        if missing not in {0, 1} or one.end - one.first + one.head == size:
            continue
        rest = [Raw(b"{}")] * missing + rest
        own = (rest[: one.head] + rest[one.first : one.end])[missing:] if one.head else rest[one.first : one.end]
        fields[column] = own
        if all(bytes(item) == b"{}" for item in own):
            del fields[column]
        texts[i] = as_json(fields)
    return pa.array(texts, pa.string())
