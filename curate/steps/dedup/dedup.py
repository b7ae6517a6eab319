"""Drop near duplicates of rows that are kept; each match is verified on the n-grams themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, get_args, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, check_number
from curate.io.inputs import Input, Stored, rows_of
from curate.kernels.buffers import frozen
from curate.rows.segments import On, Segments, TextPart, check_on, select
from curate.rows.shingles import COMPARED, Sets, joined, row_sets, set_hashes
from curate.rows.visible import row_characters
from curate.steps._settings import check_choice
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from curate.steps.dedup._candidates import Candidates, nearest
from curate.steps.dedup._keep import BY_LENGTH, Keep, check_scored
from curate.steps.dedup.exact_dedup import by_priority, leaders
from curate.steps.dedup.semantic_dedup import SemanticDedup
from curate.text.embeddings.static_model import load_static_model
from curate.text.minhash import Bands, band_keys, bands_for, most_apart

SIMILAR: Final = 0.8
"""The threshold for n-grams, unless another is given."""

SEMANTIC: Final = 0.95
"""The threshold for vectors, unless another is given."""

SKETCH: Final = ("sketch_low", "sketch_high")
"""The columns of the sketch of a row."""


@dataclass(frozen=True, kw_only=True)
class Dedup(Group):
    """See `dedup`."""

    version: ClassVar[int] = 4
    name: ClassVar[str] = "dedup"
    findings: ClassVar[tuple[Finding, ...]] = (
        Finding("duplicates", "Duplicates"),
        Finding("signatures", "Signatures"),
    )
    threshold: float = SIMILAR
    ngram: int = 5
    num_perm: int = 128
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

    @property
    def bands(self) -> Bands:
        """The signature bands; rows that share one are candidates."""
        return bands_for(self.threshold, self.num_perm)

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose rows come before all others."""
        return self.others

    def sign(self, segments: Segments) -> GroupKeys:
        """Return hashes of each row's set of shingles, and the set itself.

        Columns: `set_high` and `set_low`, a hash of the set (both 0 if it is empty); `shingles` (int32), its size;
        `band00` onwards (uint32), a hash of each band; `sketch_low` and `sketch_high` (uint64), that of its
        signature; and, if `keep` needs it, `characters` (uint32), the length of the row. Lists: `shingles`, uint64,
        ascending and distinct.
        """
        names = [f"band{k:02d}" for k in range(self.bands.number)]
        made: list[Sets] = []
        columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("set_high", "set_low", *names, *SKETCH)}
        for sets in row_sets(select(segments, self.on), self.ngram, self.ignore):
            made.append(sets)
            banded = band_keys(*sets, self.bands, self.num_perm)
            found = (*set_hashes(sets), *banded.hashes, *banded.sketch)
            for column, values in zip(columns.values(), found, strict=True):
                column.append(values)
        offsets, lists = joined(made)
        signed = {name: np.concatenate(values) for name, values in columns.items()} | {"shingles": np.diff(offsets)}
        if self.keep in BY_LENGTH:
            signed["characters"] = row_characters(segments)
        return GroupKeys(signed, {"shingles": lists})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows to drop, each with the surviving row and their similarity.

        Rows with equal sets share one decision, except protected ones. Raises `MixtureError` if `keep` is
        "best_score" and the rows have no scores.
        """
        check_scored(self.name, self.keep, keys)
        order = by_priority(keys, self.keep)
        protect = keys["protect"].to_numpy()[order]
        leader = leaders(keys["set_high"].to_numpy()[order], keys["set_low"].to_numpy()[order])
        size = keys["shingles"].to_numpy()[order].astype(np.int64)
        places = np.flatnonzero((leader == np.arange(len(leader))) & (size > 0))
        bands = [frozen(keys[name].to_numpy()) for name in sorted(keys.columns) if name.startswith("band")]
        sketch = np.stack([keys[name].to_numpy()[order[places]] for name in SKETCH], axis=1)
        keys = keys.select("row")  # the rest is not held while sets are compared
        sets = Candidates(order[places], size[places], protect[places], bands, sketch)
        near = nearest(sets, lists, self.threshold, most_apart(self.threshold, self.bands))
        kept, score = np.arange(len(order)), np.ones(len(order))
        matched = near.kept >= 0
        kept[places[matched]], score[places[matched]] = places[near.kept[matched]], near.score[matched]
        kept, score = kept[leader], score[leader]
        dropped = np.flatnonzero((kept != np.arange(len(order))) & ~protect)
        row = keys["row"].to_numpy()[order]
        frame = pl.DataFrame({"row": row[dropped], "score": score[dropped], "kept": row[kept[dropped]]})
        decided = {"reason": pl.lit("near_duplicate"), "match": pl.lit(None, pl.String)}
        return Resolved(frame.with_columns(**decided).select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"))


@overload
def dedup(
    on: str | frozenset[str] | set[str] = "all",
    *,
    threshold: float | None = None,
    ngram: int = 5,
    num_perm: int = 128,
    keep: Keep = "first",
    ignore: str | Sequence[str] = (),
    against: Stored | Sequence[Stored] = (),
    semantic: None = None,
    allow_large_drop: bool = False,
) -> Dedup: ...


@overload
def dedup(
    on: str | frozenset[str] | set[str] = "all",
    *,
    threshold: float | None = None,
    keep: Keep = "first",
    ignore: str | Sequence[str] = (),
    against: Stored | Sequence[Stored] = (),
    semantic: str | os.PathLike[str],
    allow_large_drop: bool = False,
) -> SemanticDedup: ...


def dedup(
    on: str | frozenset[str] | set[str] = "all",
    *,
    threshold: float | None = None,
    ngram: int = 5,
    num_perm: int = 128,
    keep: Keep = "first",
    ignore: str | Sequence[str] = (),
    against: Stored | Sequence[Stored] = (),
    semantic: str | os.PathLike[str] | None = None,
    allow_large_drop: bool = False,
) -> Dedup | SemanticDedup:
    """Drop rows whose selected text is nearly the same as that of a row that is kept.

    A row is the set of the word n-grams of its segments, in normal form. N-grams do not cross segments; a segment of
    fewer than `ngram` words gives one n-gram of all its words, so short prompts are compared too. Roles and turns do
    not count, sides do: swapped answers are not duplicates. Reasoning and calls count like content, the tools on offer
    do not. A row without words (an emoji, white space) is always kept. In Chinese, Japanese, Thai and similar scripts
    each character is a word.

    Similarity is the Jaccard similarity of two sets: shared n-grams over all n-grams of both. A row is dropped only if
    it reaches `threshold` with a row that is kept; the ledger names the most similar one and the similarity. Duplicates
    do not chain. Candidates come from MinHash signatures, cut into bands such that at least 99.5 % of the pairs at the
    threshold share one; each candidate is verified on the sets themselves.

    Boilerplate shared by 100,000 rows stays linear (`curate.steps.dedup._verify_kernel` says how). Memory: about 150
    bytes per row, and the n-grams (8 bytes each) of 128 MB of candidates at a time, or of all rows that candidates link
    to each other.

    Args:
        on: The text to compare: a scope such as "prompt" or "response", or a set of roles.
        threshold: The similarity from which rows are duplicates, above 0 and up to 1 (equal sets only). Default: 0.8,
            at which 56 % of T0's templated prompts are kept; with `semantic` 0.95.
        ngram: Words per n-gram. 5 is usual.
        num_perm: Permutations of a signature. 128 are enough for 99.5 % of the pairs at 0.8; low thresholds need more.
        keep: The row to keep within a source: the "first" in a fixed random order of ids, the "longest" or "shortest"
            (characters of the whole row), or the one with the "best_score" (of a rated row, the highest mean over the
            scores of a completion; of a pair, the chosen score; rows without scores come last). Earlier sources come
            before later ones, and protected rows, which are never dropped, before all.
        ignore: Texts (templates, system prompts) that do not count: n-grams are made as if they were not there, so
            equal prompts are equal under any of them. Each is left out where its normal form is, as whole words:
            before, after, within or around a text. `{}` or `{instruction}` in it is what it is around. Where only part
            of it is, its n-grams do not count. A row with nothing else counts in full.
        against: Inputs, builds or build folders whose rows come before all others and are not part of this build.
        semantic: The folder of a static embedding model. Rows are compared by their vectors, in place of n-grams. Few
            paraphrases reach 0.95 (3 % of labelled ones); of labelled pairs that do, 25 of 26 are paraphrases, and of
            Alpaca's prompts 5 of 9: other numbers or another order of words hardly count. See `SemanticDedup`.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `on` or `keep` is unknown, `threshold` is outside (0, 1] or too low for `num_perm`, `ngram` is
            below 1, `num_perm` is below 2, or one of these two is given with `semantic`.
        SourceNotFoundError: A folder in `against` contains no build, or that of `semantic` no model.

    Example:
        >>> dedup("prompt", threshold=0.8).bands
        Bands(number=21, places=6)

    References:
        Broder, "On the resemblance and containment of documents" (1997); datasketch for the signatures.
    """
    check_choice(f"dedup(keep={keep!r})", keep, get_args(Keep))
    ignored, inputs = (ignore,) if isinstance(ignore, str) else tuple(ignore), _inputs(against)
    if semantic is not None:
        limit, folder = _semantic_threshold(threshold, ngram, num_perm), os.fspath(semantic)
        load_static_model(folder)
        step = SemanticDedup(
            semantic=folder, on=check_on(on), threshold=limit, keep=keep, ignore=ignored, others=inputs
        )
        return replace(step, allow_large_drop=allow_large_drop)
    if ngram < 1:
        raise MixtureError(f"dedup(ngram={ngram!r}): an n-gram has one word or more; 5 is usual")
    limit = SIMILAR if threshold is None else threshold
    bands_for(limit, num_perm)
    sets = Dedup(on=check_on(on), threshold=float(limit), ngram=ngram, num_perm=num_perm, keep=keep, ignore=ignored)
    return replace(sets, others=inputs, allow_large_drop=allow_large_drop)


def _inputs(against: Stored | Sequence[Stored]) -> tuple[Input, ...]:
    others = against if isinstance(against, Sequence) and not isinstance(against, str) else [against]
    return tuple(rows_of(each, "dedup(against=") for each in others)


def _semantic_threshold(threshold: float | None, ngram: int, num_perm: int) -> float:
    """Return the threshold for vectors; raises `MixtureError` for settings of n-grams, which are not compared."""
    if (ngram, num_perm) != (Dedup.ngram, Dedup.num_perm):
        raise MixtureError("dedup(semantic=...) compares no n-grams: leave out ngram and num_perm")
    limit = SEMANTIC if threshold is None else threshold
    return check_number(f"dedup(threshold={limit!r}, semantic=...)", limit, above=0, most=1)
