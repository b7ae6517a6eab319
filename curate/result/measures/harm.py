"""Refusals of harmful requests: how many of them a build found, and how many of these its data files still have.

A model that is trained on no refusal may answer everything. A refusal counts as one of harm where the user's last turn
before it has a phrase of `phrases/harmful.txt`, or what `refusals(keep_safety=...)` was given. On XSTest's prompts that
the phrases were not written from, 97 % of what is found refuses an unsafe prompt, and 42 % of such refusals are found:
counts are lower bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from curate.result.folder import BuildFolder, reading
from curate.result.measures.stored_batches import StoredBatch
from curate.rows.segments import segments
from curate.rows.take import take
from curate.steps.refusals.harm_phrases import KEPT, RefusedAnswers, rows_of_harm

HARM: Final = pl.Schema(
    {
        "step": pl.String,
        "source": pl.String,
        "refusals": pl.Int64,
        "refusals_kept": pl.Int64,
        "of_harm": pl.Int64,
        "of_harm_kept": pl.Int64,
    }
)
SIDES: Final = ("dialogue", "completion", "chosen")
"""Where a refusal is one that is trained; of pairs, a rejected answer is none."""

KEYS: Final = ["source", "id"]
HITS: Final = pl.Schema(
    {
        "step": pl.String,
        "source": pl.String,
        "id": pl.String,
        "fate": pl.String,
        "reason": pl.String,
        "side": pl.String,
        "turn": pl.Int32,
    }
)
FATES: Final = {"data": "kept", "dropped": "dropped"}
"""The fate of the rows whose texts are in a folder."""


@dataclass
class HarmReader:
    """Finds refusals of harm in the texts of a build, batch by batch.

    Args:
        made: The build.
    """

    made: BuildFolder
    labels: list[str] = field(init=False)
    hits: pl.DataFrame = field(init=False)
    unsure: pl.DataFrame = field(init=False)
    found: list[pl.DataFrame] = field(init=False)

    def __post_init__(self) -> None:
        made = self.made
        labels = [label for label in made.steps_with("refusals") if made.kind_of_step(label) == made.kind]
        self.labels = [] if made.kind == "prompt" else labels
        self.hits = _hits(made, self.labels) if self.labels else pl.DataFrame(schema=HITS)
        saving = [one["label"] for one in made.manifest["steps"] if one["step"].get("keep_safety")]
        self.found = [self.hits.filter(pl.col("reason") == KEPT).select("step", *KEYS).unique()]
        columns = ("step", *KEYS, "fate", "side", "turn")
        self.unsure = self.hits.filter(~pl.col("step").is_in(saving)).select(columns).unique()

    def add(self, folder: str, batch: StoredBatch) -> None:
        """Read the texts of a batch of this folder."""
        own = self.unsure.filter(fate=FATES[folder]).drop("fate")
        near = batch.names.with_row_index("row").join(own, on=KEYS)
        if near.height:
            rows, place = np.unique(near["row"].to_numpy(), return_inverse=True)
            every = segments(take(batch.body, rows.astype(np.int32)), "all")
            answers = RefusedAnswers(
                place.astype(np.int32), near["side"].to_numpy().astype(str), near["turn"].to_numpy()
            )
            self.found.append(near.filter(pl.Series(rows_of_harm(every, answers)[place])).select("step", *KEYS))

    @property
    def of_harm(self) -> pl.DataFrame:
        """Those found so far to be of harm: `step`, `source` and `id`."""
        return pl.concat(self.found).unique()

    def counts(self, others: pl.DataFrame) -> pl.DataFrame:
        """Return `Build.refusals_of_harm` of those found here, and of `others` that are of harm."""
        if not self.labels:
            return pl.DataFrame(schema=HARM)
        return _counted(self.made, self.labels, self.hits, pl.concat([self.of_harm, others]).unique())


def _hits(made: BuildFolder, labels: list[str]) -> pl.DataFrame:
    """Return the refusals in the ledger that these steps found, by row, answer and turn."""
    with reading(made.path):
        lines = made.readable_of(made.kind).filter(pl.col("evidence").list.len() > 0)
        each = (
            lines.select(*KEYS, "fate", "evidence")
            .explode("evidence")
            .unnest("evidence")
            .filter(pl.col("step").is_in(labels), pl.col("side").is_in(SIDES))
        )
        return each.select(HITS.names()).unique().collect()


def _counted(made: BuildFolder, labels: list[str], hits: pl.DataFrame, harm: pl.DataFrame) -> pl.DataFrame:
    """Count rows by step and source, in the order of both; a step has a line for each source that it works on."""
    rows = hits.select("step", *KEYS, "fate").unique()
    rows = rows.join(harm.with_columns(harm=pl.lit(value=True)), on=["step", *KEYS], how="left")
    kept, of_harm = pl.col("fate") == "kept", pl.col("harm").fill_null(value=False)
    counts = rows.group_by("step", "source").agg(
        refusals=pl.len(), refusals_kept=kept.sum(), of_harm=of_harm.sum(), of_harm_kept=(of_harm & kept).sum()
    )
    own = [
        (label, source) for label in labels for source in ([label.partition(":")[0]] if ":" in label else made.sources)
    ]
    names = pl.DataFrame(own, {"step": pl.String, "source": pl.String}, orient="row")
    found = names.join(counts, on=["step", "source"], how="left", maintain_order="left").fill_null(0)
    return found.select(HARM.names()).cast(dict(HARM.items()))
