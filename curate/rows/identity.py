"""The identity of a row: the source's own id, or a hash of its whole content.

Neither depends on the order of rows or on how they are spread over files. Rows of one source with the same content get
an occurrence number when the whole source has been read (`curate.engine.resolve`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.kernels.buffers import strings, view
from curate.kernels.hashing import GOLDEN, Hashes, combine, fold_lists, hash_strings
from curate.rows.parts import conform, is_full, parts_used
from curate.rows.schema import BODIES, kind_of
from curate.rows.take import take

OWN_ID_SEED = 1
"""Own ids are hashed with another seed than content, so that an id never passes for a content hash."""

NULL = GOLDEN


class Identities(NamedTuple):
    """The identity of each row of a batch: `own` marks those that bring an id; `content` is a hash of the whole row."""

    own: NDArray[np.bool_]
    key: Hashes
    content: Hashes


def identities(body: pa.RecordBatch, ids: pa.StringArray) -> Identities:
    """Identify every row of `body`; `ids` holds the source's own ids, null where there is none.

    >>> from curate.rows.schema import BODIES
    >>> row = {"messages": [{"role": "user", "content": "Hi"}], "meta": "{}"}
    >>> body = pa.RecordBatch.from_pylist([row, row], BODIES["conversation"])
    >>> found = identities(body, pa.array(["a", None]))
    >>> (
    ...     found.own.tolist(),
    ...     bool(found.content.low[0] == found.content.low[1]),
    ...     bool(found.key.low[0] == found.key.low[1]),
    ... )
    ([True, False], True, False)
    """
    content = content_hashes(body)
    own = np.asarray(ids.is_valid())
    named = hash_strings(view(ids), OWN_ID_SEED)
    key = Hashes(np.where(own, named.high, content.high), np.where(own, named.low, content.low))
    return Identities(own, key, content)


def content_hashes(body: pa.RecordBatch) -> Hashes:
    """Hash each row over all its columns, in the order of the schema.

    Parts beyond plain chat count where a row uses them, so a row without any has the same hash in every batch.
    """
    if not is_full(body.schema):
        return _column_hashes(body)
    plain = _column_hashes(conform(body, BODIES[kind_of(body.schema)]))
    rich = np.flatnonzero(parts_used(body)).astype(np.int32)
    for word, full in zip(plain, _column_hashes(take(body, rich)), strict=True):
        word[rich] = full
    return plain


def _column_hashes(body: pa.RecordBatch) -> Hashes:
    start = np.full(body.num_rows, len(body.schema), np.uint64)
    hashes = Hashes(start, start)
    for column in body.columns:
        hashes = combine(hashes, _hash_array(column))
    return hashes


def _hash_array(array: pa.Array) -> Hashes:
    if pa.types.is_string(array.type):
        return _with_nulls(array, hash_strings(view(array)))
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy(zero_copy_only=True)
        items = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        return fold_lists(offsets, _hash_array(items))
    if pa.types.is_struct(array.type):
        fields = array.flatten()
        hashes = _hash_array(fields[0])
        for column in fields[1:]:
            hashes = combine(hashes, _hash_array(column))
        return hashes
    if pa.types.is_float64(array.type):
        bits = np.asarray(array.fill_null(0.0)).view(np.uint64)
        return _with_nulls(array, Hashes(bits, bits))
    if pa.types.is_boolean(array.type):
        words = np.asarray(array.fill_null(False)).astype(np.uint64)  # noqa: FBT003  Arrow's argument
        return _with_nulls(array, Hashes(words, words))
    raise TypeError(f"no hash is defined for {array.type}")


def _with_nulls(array: pa.Array, hashes: Hashes) -> Hashes:
    """Give nulls a hash of their own: a null never equals an empty string or zero."""
    if array.null_count == 0:
        return hashes
    null = np.asarray(array.is_null())
    return Hashes(np.where(null, NULL, hashes.high), np.where(null, NULL, hashes.low))


def names(hashes: Hashes) -> pa.StringArray:
    """Spell hashes as ids: 32 hexadecimal digits.

    >>> names(Hashes(np.array([1], np.uint64), np.array([255], np.uint64))).to_pylist()
    ['000000000000000100000000000000ff']
    """
    words = np.stack([hashes.high, hashes.low], axis=1).astype(">u8")
    octets = np.ascontiguousarray(words).view(np.uint8).reshape(-1)
    pairs = np.stack([octets >> 4, octets & 15], axis=1).reshape(-1)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[pairs]
    return strings(digits, np.arange(0, 32 * (len(hashes.high) + 1), 32, dtype=np.int32))


def content_hash(content: Hashes) -> str:
    """Hash rows as a bag: neither their order nor their spread over files matters.

    >>> a, b = np.array([1, 2], np.uint64), np.array([2, 1], np.uint64)
    >>> content_hash(Hashes(a, a)) == content_hash(Hashes(b, b))
    True
    """
    high, low = (int(np.add.reduce(column, dtype=np.uint64)) for column in content)
    return f"rows:{len(content.high):x}:{high:016x}{low:016x}"


def numbered(ids: pa.StringArray, occurrence: NDArray[np.uint64]) -> pa.StringArray:
    """Add the number of its occurrence to the id of every row that is not the first of its kind.

    >>> numbered(pa.array(["a", "a"]), np.array([0, 1], np.uint64)).to_pylist()
    ['a', 'a-2']
    """
    if not occurrence.any():
        return ids
    later = pc.binary_join_element_wise(ids, pa.array(occurrence + np.uint64(1)).cast(pa.string()), "-")
    return pc.if_else(pa.array(occurrence > 0), later, ids)
