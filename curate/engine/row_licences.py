"""The licences that rows name themselves, counted in the finished data files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl


def row_licences(data: Path, fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count the rows of some sources by the licence that each names.

    Args:
        data: The folder of the data files.
        fields: The field of `meta` with the licence, by source.

    Returns:
        Rows by licence, by source; an empty name for rows that name none. Names are in order.
    """
    found = {}
    for source, field in fields.items():
        path = "$[" + repr(field) + "]"
        rows = pl.scan_parquet(data / "*.parquet").filter(pl.col("source") == source)
        named = rows.select(licence=pl.col("meta").str.json_path_match(path).fill_null(""))
        counts = named.group_by("licence").len().sort("licence").collect()
        found[source] = {str(name): int(count) for name, count in counts.rows()}
    return found
