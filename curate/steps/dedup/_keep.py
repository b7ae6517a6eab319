"""Which of several like rows is kept: what `dedup` and its option `semantic` share."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import polars as pl

from curate.errors import MixtureError

Keep: TypeAlias = Literal["first", "longest", "shortest", "best_score"]

BY_LENGTH: Final = frozenset({"longest", "shortest"})
"""Choices that need whole rows, for their length."""


def check_scored(name: str, keep: Keep, keys: pl.DataFrame) -> None:
    """Raise `MixtureError` if the row with the best score is to be kept, and rows have no scores."""
    if keep == "best_score" and "best_score" not in keys.columns:
        raise MixtureError(
            f"{name}(keep='best_score') needs rows with scores: rated rows, or pairs with chosen_score; "
            "these have none; choose keep='longest', 'shortest' or 'first'"
        )
