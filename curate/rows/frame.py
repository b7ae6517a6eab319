"""Rows as a Polars frame: one line per row, one column for each thing that a step may ask about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.rows.joined_text import row_texts
from curate.rows.parts import is_full
from curate.rows.schema import kind_of
from curate.rows.segments import Scope, Segments, select
from curate.rows.segments import segments as segments_of
from curate.rows.sides import best_scores
from curate.text.words import count_characters, count_words

TEXTS: Final[dict[str, Scope]] = {name: name for name in ("prompt", "response", "last_response", "chosen", "rejected")}
META: Final = "meta."
COLUMNS: Final = (
    *("source", "id", "kind"),
    *TEXTS,
    *("turns", "characters", "words"),
    *("best_score", "chosen_score", "rejected_score"),
    *("calls", "reasoning", "tools"),
    "meta",
)
"""The columns that every row has; see `row_frame`."""


def row_frame(segments: Segments, columns: Iterable[str] = COLUMNS) -> pl.DataFrame:
    """Return some columns of the rows of a batch; only these are computed.

    - `source`, `id`: strings; the id is the source's own or a hash of the content. Null where a step is called by hand.
    - `kind`: "conversation", "rated", "preference", "unpaired" or "prompt".
    - `prompt`, `response`, `last_response`, `chosen`, `rejected`: the text of that scope
      (`curate.rows.segments.segments`), one space between two turns; empty where the row has none.
    - `turns`, `characters`, `words`: counts over all turns and completions. Int64.
    - `best_score`, `chosen_score`, `rejected_score`: Float64, null where the row has none.
    - `calls`: the number of calls that its turns make, Int64. `reasoning`: the reasoning before its turns, one space
      between two; empty where it has none. `tools`: the tools on offer as JSON text, null where there are none. The
      columns before know the contents alone.
    - `meta`: a JSON object as text. `meta.field` is one field of it, as text ("4.5", "true", "en"): cast it to compare
      numbers. `meta.a.b` is a field of a field.
    - `step.score`: a score or label of a filter that ran earlier in the same mixture, such as `language.language`.

    Args:
        segments: All segments of a batch, with its body.
        columns: Names of the columns, in their order.

    Returns:
        One line per row, in the order of the batch.

    Raises:
        MixtureError: A column that the rows do not have.
    """
    return pl.DataFrame({name: _column(segments, name) for name in dict.fromkeys(columns)})


def check_columns(names: Iterable[str], where: str) -> None:
    """Raise `MixtureError` for a name that no row can have; those with a dot are looked up when the build runs."""
    for name in names:
        if name not in COLUMNS and "." not in name:
            raise MixtureError(
                f"{where}: rows have no column {name!r}; {did_you_mean(name, COLUMNS)}, or meta.<field>, or step.score"
            )


def _column(segments: Segments, name: str) -> pl.Series:
    body, context = segments.body, segments.context
    if context is not None and name in context.scores:
        return pl.Series(name, context.scores[name])
    if name in TEXTS:
        return pl.Series(name, row_texts(select(segments, TEXTS[name]), "plain"), dtype=pl.String)
    if name in {"turns", "characters", "words"}:
        return pl.Series(name, _count(segments, name))
    if name in {"source", "id"}:
        known = None if context is None else context.source if name == "source" else context.ids
        return (
            _repeated(name, known, segments.rows) if known is None or isinstance(known, str) else pl.Series(name, known)
        )
    if body is not None and name == "kind":
        return _repeated(name, kind_of(body.schema), segments.rows)
    if body is not None and name == "best_score":
        best = best_scores(body)
        return pl.Series(name, best).fill_nan(None) if best is not None else _nothing(name, segments.rows)
    if body is not None and name in {"chosen_score", "rejected_score"}:
        return pl.Series(name, body[name]) if name in body.schema.names else _nothing(name, segments.rows)
    if body is not None and name in {"calls", "reasoning", "tools"}:
        return _part_column(body, name)
    if body is not None and (name == "meta" or name.startswith(META)):
        meta = pl.Series(name, body["meta"], dtype=pl.String)
        return meta if name == "meta" else meta.str.json_path_match(json_path(name.removeprefix(META)))
    known_names = [*COLUMNS, *(context.scores if context is not None else ())]
    raise MixtureError(
        f"rows have no column {name!r} here; {did_you_mean(name, known_names)}; the scores of a step are there for "
        "the steps after it"
    )


def _part_column(body: pa.RecordBatch, name: str) -> pl.Series:
    """Return what the rows have beside their contents; those of plain chat have nothing."""
    rows, full = body.num_rows, is_full(body.schema)
    if name == "tools":
        return pl.Series(name, body[name] if full else pa.nulls(rows, pa.string()), dtype=pl.String)
    parts = segments_of(body, parts=frozenset({"reasoning", "call"})).parts if full else ()
    if name == "reasoning":
        thoughts = Segments(rows, tuple(part for part in parts if part.of == "reasoning"))
        return pl.Series(name, row_texts(thoughts, "plain"), dtype=pl.String)
    names = [part.row for part in parts if part.path[-1] == "name"]
    calls = np.bincount(np.concatenate([np.zeros(0, np.int32), *names]), minlength=rows)
    return pl.Series(name, calls.astype(np.int64))


def json_path(name: str) -> str:
    """Return the JSON path of a field, or of a field within others.

    >>> json_path("scores.helpfulness")
    "$['scores']['helpfulness']"
    """
    return "$" + "".join(f"['{part}']" if "'" not in part else f'["{part}"]' for part in name.split("."))


def _count(segments: Segments, unit: str) -> NDArray[np.int64]:
    total = np.zeros(segments.rows, np.int64)
    for part in segments.parts:
        count = {"characters": count_characters, "words": count_words}.get(unit)
        weights = count(part.text, part.index) if count is not None else None
        total += np.bincount(part.row, weights=weights, minlength=segments.rows).astype(np.int64)
    return total


def _repeated(name: str, value: str | None, rows: int) -> pl.Series:
    return pl.repeat(value, rows, dtype=pl.String, eager=True).alias(name)


def _nothing(name: str, rows: int) -> pl.Series:
    return pl.repeat(None, rows, dtype=pl.Float64, eager=True).alias(name)
