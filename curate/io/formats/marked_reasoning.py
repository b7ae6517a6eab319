r"""Reasoning at the start of an answer's text, `<think>...</think>`, made a part of its message, and written back.

The usual form is `<think>\n`, reasoning, `\n</think>\n\n`, answer. What is around the reasoning in another form is
kept in `meta` under `think_marks`, with side and turn, so that the text can be written back as it was.
"""

from __future__ import annotations

import json
from typing import Final, Literal, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from curate.rows.parts import conform
from curate.rows.schema import ASSISTANT, FULL, kind_of
from curate.rows.segments import Part, segments

Reasoning: TypeAlias = Literal["text", "split"]

OPEN, CLOSE = "<think>\n", "\n</think>\n\n"
"""What is around reasoning in the usual form."""

_MARKED: Final = r"^[ \t\r\n]*<think>"
_USUAL: Final = r"^(?s)(<think>\n)(.*?)(\n</think>\n\n)(.*)$"
_OTHER: Final = r"^(?s)([ \t\r\n]*<think>[ \t\r\n]*)(.*?)([ \t\r\n]*</think>[ \t\r\n]*)(.*)$"
_NAMES: Final = ("open", "reasoning", "close", "content")


def split_reasoning(body: pa.RecordBatch) -> pa.RecordBatch:
    r"""Return rows in which reasoning at the start of an answer is a part of its message.

    A message that has reasoning already, and one whose mark is never closed, stay as they are.

    >>> from curate.rows.schema import BODIES
    >>> said = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}
    >>> made = split_reasoning(pa.RecordBatch.from_pylist([{"messages": [said], "meta": "{}"}], BODIES["conversation"]))
    >>> made["messages"][0][0]["reasoning"].as_py(), made["messages"][0][0]["content"].as_py()
    ('Hm.', 'Yes.')
    """
    notes: list[pl.DataFrame] = []
    for part in segments(body).parts:
        column = part.path[0]
        found = _found(part, body[column].values)
        if not found.height:
            continue
        body = conform(body, FULL[kind_of(body.schema)])
        lists = _with_reasoning(body[column], found)
        body = body.set_column(body.schema.get_field_index(column), body.schema.field(column), lists)
        other = found.filter((pl.col("open") != OPEN) | (pl.col("close") != CLOSE))
        notes.append(other.with_columns(side=pl.lit(part.side)))
    odd = pl.concat(notes) if notes else pl.DataFrame()
    return _noted(body, odd) if odd.height else body


def _found(part: Part, items: pa.StructArray) -> pl.DataFrame:
    """Return the marked answers of a part: `index` in the items, `row`, `turn`, and the four columns of `_NAMES`."""
    texts = pl.Series(items.field("content"), dtype=pl.String)
    marked = texts.str.contains(_MARKED).fill_null(value=False).to_numpy()[part.index] & (part.role == ASSISTANT)
    if items.type.get_field_index("reasoning") >= 0:
        marked &= np.asarray(items.field("reasoning").is_null())[part.index]
    place = np.flatnonzero(marked)
    own = texts.gather(part.index[place])
    usual, other = (own.str.extract_groups(form).struct.unnest() for form in (_USUAL, _OTHER))
    # The first closing mark counts, in whichever form.
    is_usual = ~usual["2"].fill_null("</think>").str.contains("</think>", literal=True)
    columns = [
        pl.select(pl.when(is_usual).then(usual[str(k)]).otherwise(other[str(k)])).to_series().alias(name)
        for k, name in enumerate(_NAMES, 1)
    ]
    frame = pl.DataFrame({"index": part.index[place], "row": part.row[place], "turn": part.turn[place]})
    return frame.with_columns(columns).drop_nulls("content")


def _with_reasoning(lists: pa.ListArray, found: pl.DataFrame) -> pa.ListArray:
    """Return lists of messages with the reasoning and the content of those that were found."""
    items, index = lists.values, found["index"].to_numpy()
    columns = [items.field(field.name) for field in items.type]
    for name in ("reasoning", "content"):
        place = items.type.get_field_index(name)
        pick = np.arange(len(items))
        pick[index] = len(items) + np.arange(len(index))
        more = found[name].to_arrow().cast(pa.string())
        columns[place] = pa.concat_arrays([columns[place], more]).take(pa.array(pick))
    struct = pa.StructArray.from_arrays(columns, fields=list(items.type))
    return pa.ListArray.from_arrays(lists.offsets, struct, type=lists.type)


def _noted(body: pa.RecordBatch, odd: pl.DataFrame) -> pa.RecordBatch:
    """Add to `meta` what is around the reasoning where it is not the usual form."""
    said = odd.sort("row", "turn", maintain_order=True).select("row", note=pl.struct("side", "turn", "open", "close"))
    lists = said.group_by("row", maintain_order=True).agg("note")
    notes = lists.with_columns(text=pl.struct(think_marks="note").struct.json_encode())
    meta = (
        pl.DataFrame({"meta": pl.Series(body["meta"])})
        .with_row_index("row")
        .join(
            notes.select("row", "text").with_columns(pl.col("row").cast(pl.get_index_type())),
            on="row",
            how="left",
            maintain_order="left",
        )
    )
    rest = pl.col("text").str.slice(1)
    opened = pl.when(pl.col("meta") == "{}").then(pl.lit("{")).otherwise(pl.col("meta").str.head(-1) + ",")
    whole = meta.select(pl.when(pl.col("text").is_null()).then("meta").otherwise(opened + rest)).to_series()
    place = body.schema.get_field_index("meta")
    return body.set_column(place, body.schema.field(place), whole.rechunk().to_arrow().cast(pa.string()))


def around(meta: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Return what is around the reasoning of each turn in another form than the usual one, from its row's `meta`."""
    notes = json.loads(meta).get("think_marks", ()) if '"think_marks"' in meta else ()
    return {(note["side"], note["turn"]): (note["open"], note["close"]) for note in notes if isinstance(note, dict)}
