"""Drop rows whose text is nearly that of a row that stays, each verified by the n-grams themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean
from curate.io.build_input import Stored, rows_of
from curate.io.inputs import Input
from curate.kernels.buffers import frozen
from curate.rows.segments import On, Segments, check_on, select
from curate.rows.shingles import Sets, joined, row_sets, set_hashes
from curate.steps.base import DROP_COLUMNS, Finding, Group, GroupKeys, KeyLists, Resolved
from curate.steps.dedup._candidates import Candidates, nearest
from curate.steps.dedup.exact_dedup import row_characters
from curate.text.minhash import Bands, band_hashes, bands_for

Keep: TypeAlias = Literal["first", "longest", "shortest", "best_score"]


@dataclass(frozen=True, kw_only=True)
class Dedup(Group):
    """See `dedup`."""

    name: ClassVar[str] = "dedup"
    findings: ClassVar[tuple[Finding, ...]] = (
        Finding("duplicates", "Duplicates"),
        Finding("signatures", "Signatures"),
    )
    reason: ClassVar[str] = "near_duplicate"
    threshold: float = 0.8
    ngram: int = 5
    num_perm: int = 128
    keep: Keep = "first"
    ignore: tuple[str, ...] = ()
    others: tuple[Input, ...] = ()

    @property
    def reads(self) -> On:
        """What it compares; whole rows where their length decides."""
        return "all" if self.keep in {"longest", "shortest"} else self.on

    @property
    def bound(self) -> float:
        """The threshold."""
        return self.threshold

    @property
    def bands(self) -> Bands:
        """The bands of the signatures under which rows meet."""
        return bands_for(self.threshold, self.num_perm)

    def against(self) -> tuple[Input, ...]:
        """Return the inputs whose rows stand before all others."""
        return self.others

    def sign(self, segments: Segments) -> GroupKeys:
        """Return hashes of each row's set of shingles, and the set itself.

        Columns: `set_high` and `set_low`, a hash of the whole set (0 and 0: it is empty), `shingles` (int32), their
        number, `band00` and on (uint32), a hash of each band, and `characters` (uint32), those of the whole row, if
        `keep` needs them. KeyLists: `shingles`, uint64, ascending and distinct.
        """
        names = [f"band{k:02d}" for k in range(self.bands.number)]
        made: list[Sets] = []
        columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("set_high", "set_low", *names)}
        for sets in row_sets(select(segments, self.on), self.ngram, self.ignore):
            made.append(sets)
            hashes = set_hashes(sets), band_hashes(*sets, self.bands, self.num_perm)
            for column, values in zip(columns.values(), chain(*hashes), strict=True):
                column.append(values)
        offsets, lists = joined(made)
        signed = {name: np.concatenate(values) for name, values in columns.items()} | {"shingles": np.diff(offsets)}
        if self.keep in {"longest", "shortest"}:
            signed["characters"] = row_characters(segments)
        return GroupKeys(signed, {"shingles": lists})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Return the rows that fall, each with the row that stays and their similarity.

        Rows with equal sets stand or fall together, protected ones aside. Raises `MixtureError` where `keep` is
        "best_score" and the keys have no column of that name: the rows have no scores.
        """
        order = self._order(keys)
        protect = keys["protect"].to_numpy()[order]
        leader = _leaders(keys["set_high"].to_numpy()[order], keys["set_low"].to_numpy()[order])
        size = keys["shingles"].to_numpy()[order].astype(np.int64)
        places = np.flatnonzero((leader == np.arange(len(leader))) & (size > 0))
        bands = [frozen(keys[name].to_numpy()) for name in sorted(keys.columns) if name.startswith("band")]
        near = nearest(Candidates(order[places], size[places], protect[places], bands), lists, self.threshold)
        kept, score = np.arange(len(order)), np.ones(len(order))
        falls = near.kept >= 0
        kept[places[falls]], score[places[falls]] = places[near.kept[falls]], near.score[falls]
        kept, score = kept[leader], score[leader]
        fell = np.flatnonzero((kept != np.arange(len(order))) & ~protect)
        row = keys["row"].cast(pl.Int64).to_numpy()[order]
        frame = pl.DataFrame({"row": row[fell], "score": score[fell], "kept": row[kept[fell]]})
        reason = pl.lit(self.reason).alias("reason"), pl.lit(None, pl.String).alias("match")
        return Resolved(
            frame.with_columns(*reason).select(DROP_COLUMNS.names()).cast(dict(DROP_COLUMNS.items())).sort("row")
        )

    def _order(self, keys: pl.DataFrame) -> NDArray[np.int64]:
        """Return the lines of the keys by priority: protected, then by source, then as `keep` says, then by rank."""
        within = {
            "first": [],
            "longest": [-pl.col("characters").cast(pl.Int64)],
            "shortest": [pl.col("characters")],
            "best_score": [-pl.col("best_score").fill_nan(None)],
        }[self.keep]
        if self.keep == "best_score" and "best_score" not in keys.columns:
            message = f"{self.name}(keep='best_score') needs rows with scores: rated rows, or pairs with chosen_score; "
            message += "these have none; choose keep='longest', 'shortest' or 'first'"
            raise MixtureError(message)
        by = [~pl.col("protect"), pl.col("source").cast(pl.Int64), *within, pl.col("rank"), pl.col("row")]
        order = keys.lazy().select(pl.arg_sort_by(by, nulls_last=True)).collect().to_series()
        return order.cast(pl.Int64).to_numpy()


def dedup(
    on: str | frozenset[str] | set[str] = "all",
    *,
    threshold: float = 0.8,
    ngram: int = 5,
    num_perm: int = 128,
    keep: Keep = "first",
    ignore: str | Sequence[str] = (),
    against: Stored | Sequence[Stored] = (),
    allow_large_drop: bool = False,
) -> Dedup:
    """Drop rows whose text, as far as `on` selects it, is nearly that of a row that stays.

    A row is the set of the word n-grams of its segments, in normal form; n-grams do not reach across segments, and a
    segment of fewer than `ngram` words gives the one n-gram of all its words, so short prompts are compared too. Roles
    and turns do not count, sides do: an answer chosen here and rejected there is none. A row without a word (an emoji,
    white space) equals none and stays. Chinese, Japanese, Thai and their like have a word for each character.

    The similarity of two rows is the Jaccard similarity of their sets: shared n-grams over all of the two. A row falls
    only if it reaches `threshold` with a row that stays, and the ledger names that row, the most similar one, and
    the similarity; nothing falls by a chain of others. Candidates come from MinHash signatures of `num_perm`
    permutations, cut into bands so that at least 99.5 % of the pairs at the threshold meet, and each is verified by the
    sets themselves. With a threshold of 1, equal sets fall.

    Boilerplate that 100,000 rows share stays linear: where more than 8 rows that stay share a band, others meet them by
    their rarest n-grams, 32 rows an n-gram and 512 a row at most (`curate.steps.dedup._verify_kernel`). Memory: about 130 bytes a row
    and the n-grams, 8 bytes each, of 128 MB of candidates at a time, or of all rows that candidates link to each other.

    - `keep`: who stays of the rows of one source: the `first` in a fixed random order of ids, the `longest` or
      `shortest` (characters of the whole row), or the one with the `best_score` (of rated rows, the highest mean over
      the scores of a completion; of pairs, the chosen score; rows without one come last). Rows of an earlier source
      come before those of a later one, protected rows before all; those never fall.
    - `ignore`: texts (templates, system prompts) whose n-grams do not count. A row that is nothing else counts in full.
    - `against`: inputs, builds or their folders, whose rows come first of all and are no part of this build.

    Raises `MixtureError` for an unknown `on` or `keep`, a threshold outside (0, 1] or too low for `num_perm`, an
    `ngram` below 1 and a `num_perm` below 2; `SourceNotFoundError` for `against` a folder that is no build.

    Sources: Broder, "On the resemblance and containment of documents" (1997); datasketch for the signatures.

    >>> import pyarrow as pa
    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> turns = [{"role": "user", "content": "Name three primary colours, please, and say why."}]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> step = dedup("prompt", ngram=5)
    >>> step.sign(segments(batch, step.reads)).columns["shingles"].tolist(), step.bands
    ([4], Bands(number=21, places=6))
    """
    if keep not in get_args(Keep):
        message = f"dedup(keep={keep!r}): {did_you_mean(str(keep), get_args(Keep))}"
        raise MixtureError(message)
    if ngram < 1:
        message = f"dedup(ngram={ngram!r}): an n-gram has one word or more; 5 is usual"
        raise MixtureError(message)
    bands_for(threshold, num_perm)
    others = against if isinstance(against, Sequence) and not isinstance(against, str) else [against]
    return Dedup(
        on=check_on(on),
        threshold=float(threshold),
        ngram=ngram,
        num_perm=num_perm,
        keep=keep,
        ignore=(ignore,) if isinstance(ignore, str) else tuple(ignore),
        others=tuple(rows_of(each, "dedup(against=") for each in others),
        allow_large_drop=allow_large_drop,
    )


def _leaders(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return for each set the first that equals it; an empty one equals none."""
    order = np.argsort(high, kind="stable")
    same = high[order[1:]] == high[order[:-1]]
    if (same & (low[order[1:]] != low[order[:-1]])).any():
        order = np.lexsort((low, high))
        same = high[order[1:]] == high[order[:-1]]
    same &= (low[order[1:]] == low[order[:-1]]) & ((high[order[1:]] != 0) | (low[order[1:]] != 0))
    begins = np.concatenate([np.ones(min(1, len(order)), np.bool_), ~same])
    leader = np.empty(len(order), np.int64)
    leader[order] = order[begins][np.cumsum(begins) - 1]
    return leader
