"""Applies the changes of an Edit to a batch: the only place where user text is replaced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.schema import kind_of
from curate.rows.segments import Segments
from curate.rows.take import take_array


class Change(NamedTuple):
    """New text for some segments of one part.

    Args:
        place: The places of the segments within the part, from 0.
        text: The new text of each, in the same order; never null.
    """

    place: NDArray[np.int32]
    text: pa.StringArray


class Edits(NamedTuple):
    """What an Edit changes.

    Args:
        changes: One `Change` for each part of the segments, in the same order.
        turns: If given, how many turns of each row's dialogue to keep, from its start; -1 keeps all.

    Example:
        >>> import curate as c
        >>> import pyarrow.compute as pc
        >>> from curate.kernels.buffers import strings
        >>> def trimmed(part):
        ...     old = strings(part.text.data, part.text.offsets).take(pa.array(part.index))
        ...     new = pc.utf8_trim_whitespace(old)
        ...     place = np.flatnonzero(pc.not_equal(old, new).to_numpy(zero_copy_only=False)).astype(np.int32)
        ...     return c.Change(place, new.take(pa.array(place)))
        >>> class Trimmed(c.Edit):
        ...     name = "trimmed"
        ...
        ...     def edit(self, segments):
        ...         return c.Edits(tuple(trimmed(part) for part in segments.parts))
        >>> from curate.testing import check_step
        >>> check_step(Trimmed(on="response"))
        >>> isinstance(Trimmed(), c.Step)
        True
    """

    changes: tuple[Change, ...] = ()
    turns: NDArray[np.int32] | None = None


def apply_edits(body: pa.RecordBatch, segments: Segments, edits: Edits) -> tuple[pa.RecordBatch, NDArray[np.bool_]]:
    """Return `body` with `edits` made, and which rows they changed; a row that no edit names keeps its bytes.

    Raises `ValueError` for an edit that cuts turns of rows without a dialogue.
    """
    changed = np.zeros(body.num_rows, np.bool_)
    for part, change in zip(segments.parts, edits.changes, strict=False):
        if len(change.place):
            name, *fields = part.path
            column = _with_text(body[name], fields, part.index[change.place], change.text)
            body = body.set_column(body.schema.get_field_index(name), body.schema.field(name), column)
            changed[part.row[change.place]] = True
    if edits.turns is None or not (edits.turns >= 0).any():
        return body, changed
    if kind_of(body.schema) != "conversation":
        raise ValueError("only a conversation has turns to cut")
    messages = body["messages"]
    lengths = np.diff(messages.offsets.to_numpy(zero_copy_only=True))
    keep = np.where(edits.turns < 0, lengths, np.minimum(edits.turns, lengths)).astype(np.int32)
    changed |= keep < lengths
    return body.set_column(0, body.schema.field(0), _first_items(messages, keep)), changed


def _with_text(array: pa.Array, path: list[str], index: NDArray[np.int32], text: pa.StringArray) -> pa.Array:
    """Return an array of strings, or of lists of structs with strings at `path`, with those at `index` replaced."""
    if pa.types.is_list(array.type):
        return pa.ListArray.from_arrays(array.offsets, _with_text(array.values, path, index, text), type=array.type)
    if path:
        columns = [
            _with_text(array.field(field.name), path[1:], index, text) if field.name == path[0] else array.field(i)
            for i, field in enumerate(array.type)
        ]
        return pa.StructArray.from_arrays(columns, fields=list(array.type))
    pick = np.arange(len(array), dtype=np.int32)
    pick[index] = len(array) + np.arange(len(index), dtype=np.int32)
    return pa.concat_arrays([array, text]).take(pa.array(pick))


def _first_items(lists: pa.ListArray, keep: NDArray[np.int32]) -> pa.ListArray:
    """Return `lists` with each cut to its first `keep` items."""
    starts = lists.offsets.to_numpy(zero_copy_only=True)[:-1]
    offsets = np.concatenate([[0], np.cumsum(keep)]).astype(np.int32)
    within = np.arange(offsets[-1], dtype=np.int32) - np.repeat(offsets[:-1], keep)
    index = np.repeat(starts, keep) + within
    return pa.ListArray.from_arrays(
        pa.array(offsets), take_array(lists.values, index.astype(np.int32)), type=lists.type
    )
