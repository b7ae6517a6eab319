"""Rows one by one into Arrow: flat lists for each block, then one array each."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.io.formats.base import Completion, Conversation, Preference, Prompt, RatedAnswers, Row, Unpaired, as_json
from curate.kernels.hashing import Hashes
from curate.rows.parts import conform
from curate.rows.schema import (
    BODIES,
    CALL,
    COMPLETION,
    FULL,
    FULL_MESSAGE,
    MESSAGE,
    MESSAGES,
    REWARDS,
    ROW_PARTS,
    SCORE,
    Kind,
)
from curate.rows.validate import RichTurn, Turn
from curate.text.unseen import visible

QUARANTINED = pa.schema(
    [("line", pa.int64()), ("column", pa.string()), ("expected", pa.string()), ("excerpt", pa.string())]
)
"""A bad row: its line, the column and what was expected there, and its first 200 characters."""

EXCERPT = 200
"""Characters of a bad row that its line in the quarantine shows."""


class Parsed(NamedTuple):
    """The rows of a block.

    `body` has the schema `BODIES[kind]`, or `FULL[kind]` if a row has more parts; no role is null, and no content
    but of a message with calls or reasoning. `ids` is the source's own id, null where it has none; `line` is each
    row's line, from 1; `bad` has the schema `QUARANTINED`, in line order. `span` has two columns, where in the block
    the line of each row starts and ends, or -1 for a row that is not one whole plain line; None if no row is. `key` is
    given if rows are not identified by the hash of their id.
    """

    body: pa.RecordBatch
    ids: pa.StringArray
    line: NDArray[np.int64]
    bad: pa.RecordBatch
    span: NDArray[np.int64] | None = None
    key: Hashes | None = None


class MessageLists:
    """Turns of one column of messages, flat; `rich` has those with parts beyond their text, by their place."""

    def __init__(self) -> None:
        self.roles: list[str] = []
        self.contents: list[str | None] = []
        self.ends = [0]
        self.rich: dict[int, RichTurn] = {}

    def add(self, turns: list[Turn]) -> None:
        """Take one row's messages."""
        roles, contents = self.roles, self.contents
        for turn in turns:
            if len(turn) > 2:
                self.rich[len(roles)] = turn
            roles.append(turn[0])
            contents.append(turn[1])
        self.ends.append(len(roles))

    def array(self, *, full: bool) -> pa.ListArray:
        """Return them as Arrow, in full with the parts of all."""
        plain = (strings(self.roles), strings(self.contents))
        return lists(self.ends, FULL_MESSAGE, *plain, *self._parts()) if full else lists(self.ends, MESSAGE, *plain)

    def _parts(self) -> list[pa.Array]:
        none = RichTurn("", None)
        turns = [self.rich.get(place, none) for place in range(len(self.roles))]
        calls = [call for turn in turns for call in turn.tool_calls]
        ends = [0, *accumulate(len(turn.tool_calls) for turn in turns)]
        columns = (strings([call[place] for call in calls]) for place in range(CALL.num_fields))
        return [
            strings([turn.reasoning for turn in turns]),
            lists(ends, CALL, *columns),
            strings([turn.tool_call_id for turn in turns]),
            strings([turn.name for turn in turns]),
        ]


class Answers:
    """Completions of rated rows, flat."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.models: list[str | None] = []
        self.names: list[str] = []
        self.values: list[float] = []
        self.score_ends = [0]
        self.ends = [0]

    def add(self, completions: list[Completion]) -> None:
        """Take one row's completions."""
        for completion in completions:
            self.contents.append(completion.content)
            self.models.append(completion.model)
            self.names += completion.scores.keys()
            self.values += completion.scores.values()
            self.score_ends.append(len(self.names))
        self.ends.append(len(self.contents))

    def array(self) -> pa.ListArray:
        """Return them as Arrow."""
        scores = lists(self.score_ends, SCORE, strings(self.names), floats(self.values))
        return lists(self.ends, COMPLETION, strings(self.contents), strings(self.models), scores)


def strings(values: list[str] | list[str | None]) -> pa.StringArray:
    """Return a string array; None is null."""
    return pa.array(values, pa.string())


def floats(values: list[float] | list[float | None]) -> pa.DoubleArray:
    """Return a float array; None is null."""
    return pa.array(values, pa.float64())


def lists(ends: list[int], item: pa.StructType, *columns: pa.Array) -> pa.ListArray:
    """Return lists of structs from the columns of all items, and where each list ends."""
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.StructArray.from_arrays(columns, fields=list(item)))


class Collector:
    """Collects the rows of a block for Arrow, and those that are quarantined."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        columns = [field.name for field in BODIES[kind] if field.type == MESSAGES]
        self.lists = [MessageLists() for _ in columns]
        self.answers = Answers()
        self.labels: list[bool] = []
        self.rewards: list[list[tuple[str, str]]] = []
        self.scores: tuple[list[float | None], list[float | None]] = ([], [])
        self.parts: dict[int, tuple[str | None, ...]] = {}
        self.meta: list[str] = []
        self.ids: list[str | None] = []
        self.lines: list[int] = []
        self.bad: list[tuple[int, str, str, str]] = []

    def add(self, row: Row, parts: tuple[str | None, ...] | None, meta: str, line: int, own: str | None) -> None:
        """Take one row, with its tools and template arguments and what `meta_of` made of its leftovers."""
        match row:
            case Conversation():
                self.lists[0].add(row.messages)
            case RatedAnswers():
                self.lists[0].add(row.messages)
                self.answers.add(row.completions)
            case Preference():
                prompt, chosen, rejected = self.lists
                prompt.add(row.prompt)
                chosen.add(row.chosen)
                rejected.add(row.rejected)
                self.scores[0].append(row.chosen_score)
                self.scores[1].append(row.rejected_score)
            case Unpaired():
                self.lists[0].add(row.prompt)
                self.lists[1].add(row.completion)
                self.labels.append(row.label)
            case Prompt():
                self.lists[0].add(row.prompt)
                self.rewards.append([(name, as_json(value)) for name, value in row.rewards.items()])
        if parts and any(parts):
            self.parts[len(self.meta)] = parts
        self.meta.append(meta)
        self.ids.append(own)
        self.lines.append(line)

    def refuse(self, line: int, column: str, expected: str, excerpt: str) -> None:
        """Quarantine one row."""
        self.bad.append((line, visible(column), visible(expected), excerpt))

    def parsed(self) -> Parsed:
        """Return everything as Arrow."""
        full = any(lists.rich for lists in self.lists) or bool(self.parts)
        arrays = [lists.array(full=full) for lists in self.lists]
        if self.kind == "rated":
            arrays.append(self.answers.array())
        if self.kind == "preference":
            arrays += [floats(scores) for scores in self.scores]
        if self.kind == "unpaired":
            arrays.append(pa.array(self.labels, pa.bool_()))
        if self.kind == "prompt":
            arrays.append(pa.array(self.rewards, REWARDS))
        if full:
            none = (None,) * len(ROW_PARTS)
            found = [self.parts.get(place, none) for place in range(len(self.meta))]
            arrays += [strings([parts[column] for parts in found]) for column in range(len(ROW_PARTS))]
        names = [*BODIES[self.kind].names[:-1], *(part.name for part in ROW_PARTS if full), "meta"]
        body = pa.RecordBatch.from_arrays([*arrays, strings(self.meta)], names=names)
        body = conform(body, (FULL if full else BODIES)[self.kind])
        return Parsed(body, strings(self.ids), np.array(self.lines, np.int64), quarantined(self.bad))


def quarantined(bad: list[tuple[int, str, str, str]]) -> pa.RecordBatch:
    """Return (line, column, expected, excerpt) of bad rows as Arrow, in line order."""
    rows = sorted(bad, key=lambda row: row[0])
    columns = zip(*rows, strict=True) if rows else [[] for _ in QUARANTINED]
    return pa.RecordBatch.from_arrays(
        [pa.array(list(values), field.type) for values, field in zip(columns, QUARANTINED, strict=True)],
        schema=QUARANTINED,
    )


def meta_of(row: Row) -> str:
    """Return a row's leftovers as a JSON object; raises `UnicodeDecodeError` where undecoded JSON is not UTF-8."""
    return as_json(row.meta) if row.meta else "{}"


def excerpt_of(raw: bytes) -> str:
    r"""Return the first 200 characters of a raw row, bytes that are no text and NUL escaped.

    >>> excerpt_of(b"caf\xc3\xa9 \xff")
    'café \\xff'
    """
    return visible(raw[: 4 * EXCERPT].decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:EXCERPT])
