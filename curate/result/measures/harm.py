"""Refusals of harmful requests: how many of them a build found, and how many of these its data files still have.

A model that is trained on no refusal may answer everything. A refusal counts as one of harm where the user's last turn
before it has a phrase of `phrases/harmful.txt`, or what `refusals(keep_safety=...)` was given. On XSTest's prompts that
the phrases were not written from, 97 % of what is found refuses an unsafe prompt, and 42 % of such refusals are found:
counts are lower bounds.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from curate.result.folder import BuildFolder, reading
from curate.result.measures.stored_batches import some_batches
from curate.rows.segments import segments
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


def refusals_of_harm(made: BuildFolder) -> pl.DataFrame:
    """Return `Build.refusals_of_harm`."""
    labels = [label for label in made.steps_with("refusals") if made.kind_of_step(label) == made.kind]
    if made.kind == "prompt" or not labels:
        return pl.DataFrame(schema=HARM)
    hit = pl.col("evidence")
    with reading(made.path):
        lines = made.readable_of(made.kind).filter(hit.list.len() > 0).select(*KEYS, "fate", "evidence")
        each = (
            lines.explode("evidence")
            .unnest("evidence")
            .filter(pl.col("step").is_in(labels), pl.col("side").is_in(SIDES))
        )
        hits = each.select("step", *KEYS, "fate", "reason", "side", "turn").unique().collect()
        harm = _of_harm(made, hits)
    return _counted(made, labels, hits, harm)


def _of_harm(made: BuildFolder, hits: pl.DataFrame) -> pl.DataFrame:
    """Return the step, source and id of rows with a refusal of harm: by the ledger, or by their text."""
    known = hits.filter(pl.col("reason") == KEPT).select("step", *KEYS).unique()
    saving = {one["label"] for one in made.manifest["steps"] if one["step"].get("keep_safety")}
    unsure = hits.filter(~pl.col("step").is_in(list(saving)))
    parts = [known]
    for folder, fate in (("data", "kept"), ("dropped", "dropped")):
        own = unsure.filter(fate=fate).select("step", *KEYS, "side", "turn").unique()
        for batch in some_batches(made, folder, own.select(KEYS).unique()):
            found = batch.names.with_row_index("row").join(own, on=KEYS)
            answers = RefusedAnswers(
                found["row"].cast(pl.Int32).to_numpy(), found["side"].to_numpy().astype(str), found["turn"].to_numpy()
            )
            marked = rows_of_harm(segments(batch.body, "all"), answers)
            parts.append(found.filter(pl.Series(marked[answers.row])).select("step", *KEYS))
    return pl.concat(parts).unique()


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
