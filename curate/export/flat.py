"""The rows of a batch as an export reads them: the messages of each column flat, with the parts that they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.io.formats.marked_calls import Form, forms
from curate.io.formats.marked_reasoning import CLOSE, OPEN, around
from curate.rows.parts import items_have
from curate.rows.schema import ROLES

Mask: TypeAlias = NDArray[np.bool_]


class MessageColumn:
    """One column of messages, flat: `row` is the row of each message, `place` its place there, `size` how many are."""

    marks: Mapping[str, dict[int, str]]
    """What is before and after the reasoning of a message, where the source did not have it in the usual form; `forms`
    is how the source had the calls or results of a message in its text."""

    def __init__(self, lists: pa.ListArray) -> None:
        self.marks = {OPEN: {}, CLOSE: {}}
        self.forms: dict[int, Form] = {}
        offsets = np.asarray(lists.offsets)
        counts = np.diff(offsets)
        self.ends: NDArray[np.int32] = (offsets - offsets[0]).astype(np.int32)
        self.items: pa.StructArray = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
        self.row = np.repeat(np.arange(len(lists)), counts)
        self.place = np.arange(len(self.row)) - self.ends[:-1][self.row]
        self.size = counts[self.row]

    def part(self, name: str) -> pa.Array | None:
        """Return a field of all messages; None if the build has none."""
        return self.items.field(name) if self.items.type.get_field_index(name) >= 0 else None

    def has(self, name: str) -> Mask:
        """Tell which messages have a part."""
        part = self.part(name)
        if part is None:
            return np.zeros(len(self.items), bool)
        return self.calls > 0 if name == "tool_calls" else np.asarray(part.is_valid())

    @cached_property
    def calls(self) -> NDArray[np.int64]:
        """How many calls each message makes."""
        part = self.part("tool_calls")
        if part is None:
            return np.zeros(len(self.items), np.int64)
        return np.asarray(pc.fill_null(part.value_lengths(), 0), np.int64)

    def call_part(self, name: str) -> tuple[pa.Array, NDArray[np.int64]]:
        """Return a field of all calls, and the message of each."""
        part = self.part("tool_calls")
        message = np.repeat(np.arange(len(self.items)), self.calls)
        return (pa.nulls(0, pa.string()) if part is None else part.flatten().field(name)), message

    @cached_property
    def role(self) -> NDArray[np.int32]:
        """The code of each role: its place in `ROLES`."""
        return np.asarray(pc.index_in(self.items.field("role"), pa.array(ROLES)), np.int32)

    @cached_property
    def written(self) -> Mask:
        """Tell which messages have text that is not empty."""
        return np.asarray(pc.fill_null(pc.greater(pc.binary_length(self.items.field("content")), 0), False))  # noqa: FBT003

    def words(self, *words: str) -> pa.Array:
        """Return a word for each message, by the code of its role."""
        return pa.array(words).take(pa.array(self.role))

    def lists(self, fields: Mapping[str, pa.Array | None], left_out: Mask | None = None) -> pa.ListArray:
        """Return lists like these, of messages with other fields, but for some; a field that is None is left out."""
        there = {name: array for name, array in fields.items() if array is not None}
        items, ends = pa.StructArray.from_arrays(list(there.values()), names=list(there)), self.ends
        if left_out is not None and left_out.any():
            ends = np.concatenate([[0], np.cumsum(~left_out)])[ends].astype(np.int32)
            items = items.filter(pa.array(~left_out))
        return pa.ListArray.from_arrays(pa.array(ends), items)

    def with_reasoning(self, texts: pa.Array) -> pa.Array:
        """Return texts, one for each message, behind the reasoning of its message where there is some."""
        reasoning = self.part("reasoning")
        if reasoning is None:
            return texts
        marks = (self._marks(usual) for usual in (OPEN, CLOSE))
        whole = pc.binary_join_element_wise(next(marks), reasoning, next(marks), pc.fill_null(texts, ""), "")
        return pc.if_else(reasoning.is_valid(), whole, texts)

    def _marks(self, usual: str) -> pa.Array | str:
        """Return what is on one side of the reasoning of each message."""
        found = self.marks[usual]
        if not found:
            return usual
        texts = np.full(len(self.items), usual, object)
        texts[list(found)] = list(found.values())
        return pa.array(texts, pa.string())


class FlatRows:
    """A batch of finished rows; `sides` are its columns of messages, by name."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.sides = {
            field.name: MessageColumn(batch[field.name]) for field in batch.schema if items_have(field.type, "role")
        }
        for row, meta in self._with("think_marks"):
            for place, marks in around(meta).items():
                for side, message in self._message(row, *place):
                    for usual, mark in zip((OPEN, CLOSE), marks, strict=True):
                        side.marks[usual][message] = mark
        for row, meta in self._with("call_marks"):
            for place, form in forms(meta).items():
                for side, message in self._message(row, *place):
                    side.forms[message] = form

    def _with(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield each row, and its `meta`, that names something."""
        named = pc.match_substring(self.batch["meta"], f'"{name}"')
        for row in np.flatnonzero(np.asarray(named)).tolist():
            yield row, self.batch["meta"][row].as_py()

    def _message(self, row: int, name: str, turn: int) -> Iterator[tuple[MessageColumn, int]]:
        """Yield a turn's column and place there, if the row has this turn."""
        side = self.sides.get(name, self.sides.get("messages"))
        if side is not None and turn < side.ends[row + 1] - side.ends[row]:
            yield side, int(side.ends[row]) + turn

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def column(self, name: str) -> pa.Array | None:
        """Return a column; None if the build has none of this name."""
        return self.batch[name] if name in self.batch.schema.names else None

    def where(self, found: Callable[[MessageColumn], Mask], *sides: str) -> Mask:
        """Tell which rows have a message for which `found` holds, of all sides or those named."""
        mask = np.zeros(len(self), bool)
        for name, messages in self.sides.items():
            if not sides or name in sides:
                mask[messages.row[found(messages)]] = True
        return mask


def joined(first: MessageColumn, then: MessageColumn) -> MessageColumn:
    """Return the messages of two columns as those of one: in each row the first, then the others."""
    order = np.argsort(np.concatenate([first.row, then.row]), kind="stable")
    items = pa.concat_arrays([first.items, then.items]).take(pa.array(order))
    made = MessageColumn(pa.ListArray.from_arrays(pa.array(first.ends + then.ends), items))
    place = np.argsort(order)
    for usual, found in made.marks.items():
        found |= {int(place[i]): mark for i, mark in first.marks[usual].items()}
        found |= {int(place[len(first.row) + i]): mark for i, mark in then.marks[usual].items()}
    return made
