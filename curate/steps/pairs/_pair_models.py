"""The models that wrote the two answers of a pair, as fields of its `meta`: `chosen_model` and `rejected_model`."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

FIELDS: Final = ("chosen_model", "rejected_model")
"""What published sets of pairs call the models, too."""


def models_of(models: pa.StringArray, order: NDArray[np.int64], begins: NDArray[np.bool_]) -> pa.StringArray:
    """Return the model of each text: `order` are completions with those of one text together, `begins` the first ones.

    A text that several models wrote has none.

    >>> models = pa.array(["a", "b", "b", None])
    >>> models_of(models, np.array([0, 1, 2, 3]), np.array([True, True, False, True])).to_pylist()
    ['a', 'b', None]
    >>> models_of(models, np.array([0, 1]), np.array([True, False])).to_pylist()
    [None]
    """
    named = models.dictionary_encode()
    code = named.indices.fill_null(-1).to_numpy(zero_copy_only=False)[order]
    first = np.flatnonzero(begins)
    if not len(first):
        return pa.array([], pa.string())
    lowest, highest = np.minimum.reduceat(code, first), np.maximum.reduceat(code, first)
    return named.dictionary.take(pa.array(lowest, mask=(lowest != highest) | (lowest < 0)))


def with_models(meta: pa.StringArray, chosen: pa.StringArray, rejected: pa.StringArray) -> pa.StringArray:
    """Return `meta` with the models that are known, after the fields that it has; one with such a field is as it was.

    >>> with_models(pa.array(['{"x":1}', "{}"]), pa.array(["a", None]), pa.array(["b", None])).to_pylist()
    ['{"x":1,"chosen_model":"a","rejected_model":"b"}', '{}']
    """
    if chosen.null_count == len(chosen) and rejected.null_count == len(rejected):
        return meta
    frame = pl.DataFrame({"meta": meta, **dict(zip(FIELDS, (chosen, rejected), strict=True))})
    text = pl.col("meta")
    own = text.str.head(-1).str.slice(1)
    fields = [
        pl.when(pl.col(name).is_not_null()).then(pl.struct(name).struct.json_encode().str.head(-1).str.slice(1))
        for name in FIELDS
    ]
    parts = [pl.when(own.str.len_bytes() > 0).then(own), *fields]
    joined = pl.concat_str(pl.lit("{"), pl.concat_str(parts, separator=",", ignore_nulls=True), pl.lit("}"))
    has_them = text.str.contains_any([f'"{name}"' for name in FIELDS])
    changed = ~has_them & pl.any_horizontal(pl.col(FIELDS).is_not_null())
    return frame.select(meta=pl.when(changed).then(joined).otherwise(text))["meta"].to_arrow().cast(pa.string())
