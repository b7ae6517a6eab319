"""What a user's function or expression answered, checked: one number or one text for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.steps.base import Bound


def limits(reason: str, at_least: float | None, at_most: float | None) -> tuple[Bound, ...]:
    """Return the bound of a value; without limits, that of a condition: true is 1."""
    if at_least is None and at_most is None:
        return (Bound(reason, "value", at_least=1.0),)
    return (Bound(reason, "value", at_least=at_least, at_most=at_most),)


def numbers_of(answer: Any, rows: int, where: str, *, mask: bool | None = None) -> NDArray[np.float64]:  # noqa: ANN401
    """Return an answer as one number for each row, NaN for null; raises `MixtureError` where it is not that.

    True counts 1 and false 0: with `mask` each value must be one of them, without it none may be, with None all may.
    """
    values = _series(answer, rows, where)
    words, numeric = values.dtype in {pl.Boolean, pl.Null}, values.dtype.is_numeric() or values.dtype == pl.Null
    if mask and not words:
        raise MixtureError(
            f"{where} must be true or false for each row, not {values.dtype}; compare it, or give at_least= or at_most="
        )
    if not mask and not numeric and not (words and mask is None):
        limited = " where limits are given" if mask is False else ""
        raise MixtureError(f"{where} must be a number for each row{limited}, not {values.dtype}")
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    if np.isinf(numbers).any():
        raise MixtureError(
            f"{where} is infinite for {np.isinf(numbers).sum():,} rows; give null for a row without a value"
        )
    return numbers


def texts_of(answer: Any, rows: int, where: str) -> pl.Series:  # noqa: ANN401
    """Return an answer as one text for each text given; raises `MixtureError` where it is not that."""
    values = _series(answer, rows, where)
    if values.dtype != pl.String or values.null_count():
        raise MixtureError(
            f"{where} must give a text for each text, not {values.dtype} with {values.null_count():,} nulls; an "
            "edit never drops: give back the text as it is where nothing changes"
        )
    return values


def _series(answer: Any, rows: int, where: str) -> pl.Series:  # noqa: ANN401
    try:
        array = hasattr(answer, "__array__") and not isinstance(answer, pl.Series | pa.Array | pa.ChunkedArray)
        values = pl.Series("value", np.asarray(answer) if array else answer, strict=False)
    except (TypeError, ValueError, pa.ArrowInvalid, pl.exceptions.PolarsError) as error:
        raise MixtureError(f"{where} gave {type(answer).__name__}, which is no column of values ({error})") from error
    if len(values) != rows:
        raise MixtureError(f"{where} was given {rows:,} values and must give one for each; it gave {len(values):,}")
    return values
