"""One text per row, for models that judge whole rows."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.kernels.buffers import strings
from curate.rows.schema import ASSISTANT
from curate.rows.segments import Part, Segments
from curate.text.normal import normalise
from curate.text.tokenise import spaced

TextForm: TypeAlias = Literal["spaced", "plain"]
"""How a row's segments become one text.

`spaced`: their normal form (lower case, one line) with one space between words and signs; what `train_classifier`
trains on. `plain`: as they are; what most other models were trained on.
"""


def row_texts(segments: Segments, form: TextForm = "spaced", opening: int | None = None) -> pa.StringArray:
    r"""Return the segments of each row as one text, a space between two, in the order of sides and turns.

    Sides come as `Segments` has them: a prompt before the completions of a rated row, or before what was chosen and
    rejected. Of what the assistant says, only the first `opening` characters are read, if it says how many. A row
    without a selected segment has the empty text; so has, spaced, one of nothing but white space.
    Raises `OverflowError` where an array cannot hold all texts (2 GiB).

    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello.\nI'm  HERE."}]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> row_texts(segments(batch)).to_pylist(), row_texts(segments(batch, "prompt"), "plain").to_pylist()
    (["hi hello . i'm here ."], ['Hi'])
    >>> row_texts(segments(batch), "plain", opening=5).to_pylist()
    ['Hi Hello']
    """
    joined = _joined([_texts(part, form, opening) for part in segments.parts], segments)
    return joined if form == "plain" else spaced(joined)


def _texts(part: Part, form: TextForm, opening: int | None) -> pa.StringArray:
    texts = strings(part.text.data, part.text.offsets).take(pa.array(part.index))
    if opening is not None:
        texts = pc.if_else(pa.array(part.role == ASSISTANT), pc.utf8_slice_codeunits(texts, 0, opening), texts)
    return texts if form == "plain" else normalise(texts)


def _joined(texts: list[pa.StringArray], segments: Segments) -> pa.StringArray:
    if not texts:
        return pa.array([""] * segments.rows, pa.string())
    row = np.concatenate([part.row for part in segments.parts])
    flat = pa.concat_arrays(texts)
    if len(texts) > 1:
        order = np.argsort(row, kind="stable")
        flat, row = flat.take(pa.array(order)), row[order]
    full = np.asarray(pc.binary_length(flat)) > 0
    flat, row = flat.filter(pa.array(full)), row[full]
    ends = np.cumsum(np.bincount(row, minlength=segments.rows), dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(np.concatenate([np.zeros(1, np.int32), ends])), flat)
    joined = pc.binary_join(lists, " ")
    return joined if joined.null_count == 0 else joined.fill_null("")
