"""`dedup(semantic=...)`: drop rows whose vector is nearly that of a row that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.io.inputs import Input
from curate.rows.embeddings import embed
from curate.rows.left_out import leave_out
from curate.rows.segments import On, Segments, TextPart, select
from curate.rows.shingles import COMPARED
from curate.rows.visible import row_characters
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from curate.steps.dedup._keep import BY_LENGTH, Keep, check_scored
from curate.steps.dedup._vector_search import nearest_vectors
from curate.steps.dedup.exact_dedup import by_priority
from curate.steps.vector_keys import VECTOR, read_vectors, signed_vectors
from curate.text.embeddings.static_model import load_static_model


@dataclass(frozen=True, kw_only=True)
class SemanticDedup(Group):
    """What `dedup` makes with `semantic`: it drops rows whose vector is nearly that of a row that is kept.

    A row is the mean over the vectors of all tokens of its selected text (`curate.rows.embeddings`), and similarity the
    cosine of two. A dropped row has the reason `semantic_duplicate`, its score is the cosine, computed in float64, and
    the ledger names the most similar row that is kept. As with n-grams, duplicates do not chain, and `keep`, `against`
    and protected rows mean the same. A row without a known token is kept. With `ignore`, the model reads normal form.

    **Use it after `dedup()`, and read what it drops.** A mean knows neither the order of words nor which one matters:
    "Convert Celsius to Fahrenheit" and the reverse are near duplicates, and so are two sums with other numbers. With
    wordllama's 256 dimensions, 25 of 26 labelled pairs that reach 0.95 are paraphrases, and 110 of 121 that reach 0.9
    (MRPC, QQP, rephrasings of MMLU and HumanEval); these are 3 % and 15 % of the paraphrases there. Of PAWS, whose
    pairs share their words, 71 of 160 are, no more than chance. In 13,599 prompts of Alpaca it drops 9 at 0.95, of
    which 5 ask the same, and 70 at 0.9, of which 14 of 49 read by eye do. `tests/bench/bench_semantic.py` prints such
    figures for any model.

    Every pair is compared, none is missed. That takes 25 s of processor for 100,000 rows of 256 dimensions (71,000 are
    kept), and a hundred times as long for ten times the rows. Memory: 4 bytes per row and dimension, 100 MB for these.

    Args:
        semantic: The folder of the model: of model2vec, sentence-transformers' `StaticEmbedding`, or wordllama; see
            `curate.text.embeddings.static_model.load_static_model`. The manifest has the sha256 of its files; its path
            does not change the fingerprint. Needs the extra `curate[embeddings]`; nothing is downloaded.
        threshold: The cosine from which rows are duplicates.
        keep: As in `dedup`.
        ignore: As in `dedup`.
        others: The inputs that rows are compared `against`.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = "dedup"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("duplicates", "Duplicates"),)
    semantic: str = field(metadata={"fingerprint": False})
    threshold: float
    keep: Keep = "first"
    ignore: tuple[str, ...] = ()
    others: tuple[Input, ...] = ()

    @property
    def reads(self) -> On:
        """The compared text, or whole rows if their length decides."""
        return "all" if self.keep in BY_LENGTH else self.on

    @property
    def reads_parts(self) -> frozenset[TextPart]:
        """All but tools, which many different rows share."""
        return COMPARED

    @property
    def bound(self) -> float:
        """The threshold."""
        return self.threshold

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose rows come before all others."""
        return self.others

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's files."""
        return load_static_model(self.semantic).digests

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the vector of each row.

        Columns: `known`, 1 if it has one, and if `keep` needs it `characters` (uint32), the length of the row.
        Lists: `vector`, float32 of unit length, empty if the row has none. Raises `MixtureError` where both answers of
        a pair are selected: a vector would be the same if they were swapped.
        """
        chosen = select(segments, self.on)
        if {"chosen", "rejected"} <= {part.side for part in chosen.parts}:
            raise MixtureError(
                f"dedup({self.on!r}, semantic=...): one vector for both answers of a pair is the same if they are "
                "swapped; compare 'prompt', 'chosen' or 'rejected'"
            )
        vectors = embed(leave_out(chosen, self.ignore), load_static_model(self.semantic))
        known: NDArray[np.bool_] = np.asarray(vectors.any(axis=1))
        signed: dict[str, NDArray[np.generic]] = {"known": known.view(np.uint8)}
        if self.keep in BY_LENGTH:
            signed["characters"] = row_characters(segments)
        return GroupKeys(signed, {VECTOR: signed_vectors(vectors).lists})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows to drop, each with the surviving row and their cosine.

        Raises `MixtureError` if `keep` is "best_score" and the rows have no scores.
        """
        check_scored(self.name, self.keep, keys)
        order = by_priority(keys, self.keep)
        line = order[keys["known"].to_numpy()[order] > 0]
        near = nearest_vectors(read_vectors(lists, line), int(keys["protect"].gather(line).sum()), self.threshold)
        dropped = np.flatnonzero(near.kept >= 0)
        row = keys["row"].to_numpy()[line]
        frame = pl.DataFrame({"row": row[dropped], "score": near.score[dropped], "kept": row[near.kept[dropped]]})
        decided = {"reason": pl.lit("semantic_duplicate"), "match": pl.lit(None, pl.String)}
        return Resolved(frame.with_columns(**decided).select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"))
