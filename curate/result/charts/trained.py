"""Which share of the tokens in the data files is trained: counted by the estimate of `curate.rows.tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from curate.result.build import Build


def trained_tokens(build: Build) -> pl.DataFrame:
    """Return by source the share of its tokens that answers hold: `source`, `trained_share`.

    Answers are the assistant turns of chats, both answers of a pair, and completions, with their reasoning and calls. A
    source without a row in the data files has no line.
    """
    counts = build.text_measures.tokens
    share = counts[:, 1] / np.maximum(counts[:, 0], 1)
    return pl.DataFrame({"source": build.sources, "trained_share": share}).filter(pl.Series(counts[:, 0] > 0))
