"""How page, card and terminal write the settings of a step, a measured number and a share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl


def settings(step: Mapping[str, Any]) -> str:
    """Return the settings of a step as keyword arguments; those that are off (None, False, empty) are left out.

    >>> settings({"type": "Refusals", "version": 1, "preset": "tulu2", "phrases": [], "families": ["provider"]})
    "preset='tulu2', families=['provider']"
    """
    told = {name: value for name, value in step.items() if name not in {"type", "version"}}
    return ", ".join(f"{name}={value!r}" for name, value in told.items() if value not in (None, False, [], {}))


def number(value: float) -> str:
    """Write a measured number: whole ones without a point, others with four digits.

    >>> number(12345.0), number(0.81234)
    ('12,345', '0.8123')
    """
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


def percent(name: str) -> pl.Expr:
    """Write a column of shares as percentages; the share of nothing (NaN) is 0.

    >>> pl.DataFrame({"share": [0.25, float("nan")]}).select(percent("share"))["share"].to_list()
    ['25.0 %', '0.0 %']
    """
    return pl.format("{} %", (100 * pl.col(name).fill_nan(0)).round(1).cast(pl.String)).alias(name)
