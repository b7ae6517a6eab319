"""How page, card and terminal write the settings of a step, a measured number and a share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl


def settings(step: Mapping[str, Any]) -> str:
    """Return the settings of a step as keyword arguments; those that are off (None, False, empty) are left out.

    >>> settings({"type": "Refusals", "version": 1, "preset": "tulu2", "phrases": [], "families": ["provider"]})
    "preset='tulu2', families=['provider']"
    >>> settings({"type": "Decontaminate", "version": 1, "evals": [{"type": "EvalSet", "name": "gsm8k"}], "ngram": 8})
    'evals=[gsm8k], ngram=8'
    """
    given = {name: value for name, value in step.items() if name not in {"type", "version"}}
    return ", ".join(f"{name}={_value(value)}" for name, value in given.items() if value not in (None, False, [], {}))


def _value(value: object) -> str:
    """Write a setting; an object by its name, or by its type and settings."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping) and "type" in value:
        return str(value["name"]) if "name" in value else f"{value['type']}({settings(value)})"
    return repr(value)


def number(value: float) -> str:
    """Write a measured number: whole ones without a point, others with four digits.

    >>> number(12345.0), number(0.81234)
    ('12,345', '0.8123')
    """
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


def counted(count: int, noun: str = "row") -> str:
    """Write a count with its noun.

    >>> counted(1), counted(2000, "item")
    ('1 row', '2,000 items')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def of_all(share: float) -> str:
    """Write a share; only nothing is 0.0%, and only everything is 100.0%.

    >>> [of_all(share) for share in (0, 0.00001, 0.25, 0.99999, 1)]
    ['0.0%', '<0.1%', '25.0%', '>99.9%', '100.0%']
    """
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def percent(name: str) -> pl.Expr:
    """Write a column of shares as percentages; the share of nothing (NaN) is 0.0 %, a tiny one <0.1 %.

    >>> pl.DataFrame({"share": [0.25, float("nan"), 0.0001]}).select(percent("share"))["share"].to_list()
    ['25.0 %', '0.0 %', '<0.1 %']
    """
    share = pl.col(name).fill_nan(0)
    shown = pl.when((share > 0) & (share < 0.0005)).then(pl.lit("<0.1"))
    return pl.format("{} %", shown.otherwise((100 * share).round(1).cast(pl.String))).alias(name)
