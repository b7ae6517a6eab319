"""A take that is even over groups of rows: sources, languages, lengths, templates, or any label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, check_whole
from curate.kernels.buffers import view
from curate.kernels.hashing import hash_strings
from curate.mix.takes._clusters import SAMPLE, assigned, spherical_kmeans
from curate.mix.takes._vectors import check_folder, row_vectors
from curate.mix.takes.selection import Budget, Choice, Selection, within
from curate.mix.takes.template import prompt_ends, shared_end
from curate.rows.frame import check_columns, row_frame
from curate.rows.joined_text import row_texts
from curate.rows.segments import Segments, select
from curate.rows.tokens import tokens
from curate.steps.base import GroupKeys, KeyLists
from curate.steps.vector_keys import VECTOR
from curate.text.embeddings.static_model import load_static_model

LANGUAGE: Final = ".language"
ENDS: Final = ("template start", "template end")
CLUSTER: Final = "cluster"
OWN: Final = frozenset({"language", "length", "template", CLUSTER})
"""Names that are no columns."""

BEGINS: Final = 24
"""Words of the beginning of a prompt that can mark a cluster."""

WORD: Final = r"^\p{L}{3,}$|[^\x00-\x7f]"
"""What counts as a word there: other scripts have words of one or two characters."""

MARKS: Final = 3
"""Words that a cluster is shown with."""

LEFT_OPEN: Final = "..."


@dataclass(frozen=True, repr=False)
class Stratified(Selection):
    """The same number of rows from each group, as far as they go.

    The order of choice goes round: a random row of each group, then a second of each, and so on. So small groups are in
    whole before large ones get more, and a smaller amount is part of a larger one.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        by: What makes a group, one name or several, which are then combined:

            - `"language"`: the language that a `language()` step before found.
            - `"length"`: the tokens of the row, estimated, in powers of two: 64 to 127, 128 to 255.
            - `"template"`: how a prompt begins and ends: its first four and last four words, an end counting only where
              five rows have it. Rows without either are one group.
            - `"cluster"`: what a prompt is about: rows in clusters by spherical k-means over static embeddings of their
              prompts. A group shows the number of its cluster, and words that its prompts begin with more than others
              do. Rows without a token that the model knows are one group.
            - any column of the row with text or whole numbers: `"turns"`, `"meta.task"`, a label of a filter that ran
              before, and others (`curate.rows.frame`).

        semantic: For `"cluster"`, the folder of a static embedding model, as in `FacilityLocation`.
        clusters: How many, at most. A random 50,000 rows decide where they are.

    Raises:
        MixtureError: `n` is no amount, `by` no column, or `semantic` is there without `"cluster"` or the reverse; in a
            build, the column does not exist, or holds fractions.
        SourceNotFoundError: In a build: there is no model in the folder.

    Example:
        >>> Stratified(1_000, by=["meta.task", "length"]).by
        ('meta.task', 'length')
        >>> Stratified(1_000, by="cluster", semantic="models/potion-base-8M", clusters=50)
        Stratified(1000, by=('cluster',), clusters=50)
    """

    by: str | Sequence[str] = field(kw_only=True)
    semantic: str | os.PathLike[str] | None = field(default=None, kw_only=True, metadata={"fingerprint": False})
    clusters: int = field(default=100, kw_only=True)

    name: ClassVar[str] = "stratified"

    def __post_init__(self) -> None:
        super().__post_init__()
        by = (self.by,) if isinstance(self.by, str) else tuple(self.by)
        if not by:
            raise MixtureError("Stratified(by=[]): name what makes a group")
        check_columns([name for name in by if name not in OWN], f"Stratified(by={by})")
        object.__setattr__(self, "by", by)
        check_whole(f"Stratified(clusters={self.clusters!r})", self.clusters, least=2, most=4096)
        if CLUSTER in by:
            folder = check_folder(f"Stratified(by='cluster', semantic={self.semantic!r})", self.semantic)
            object.__setattr__(self, "semantic", folder)
        elif self.semantic is not None:
            raise MixtureError(f"Stratified(by={by}, semantic=...): only by='cluster' reads a model")

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's files, where there is one."""
        return {} if self.semantic is None else load_static_model(self.semantic).digests

    def sign(self, segments: Segments) -> GroupKeys:
        """Return a hash of each value (uint64), in a column of its name; the list `values` has them as text.

        For `"cluster"` the value is how the prompt begins, the column a hash of the row's vector, 0 where it has none,
        and the list `vector` has the vector.
        """
        texts = dict(_values(segments, self.by))
        columns: dict[str, NDArray[np.generic]] = {
            name: hash_strings(view(column)).high for name, column in texts.items()
        }
        lists: dict[str, pa.ListArray] = {}
        if self.semantic is not None:
            columns[CLUSTER], lists[VECTOR] = row_vectors(segments, "prompt", os.fsdecode(self.semantic))
        flat = pa.concat_arrays(list(texts.values()))
        place = np.arange(segments.rows * len(texts)).reshape(len(texts), -1).T.ravel()
        offsets = pa.array(np.arange(segments.rows + 1, dtype=np.int32) * len(texts))
        lists["values"] = pa.ListArray.from_arrays(offsets, flat.take(pa.array(place)))
        return GroupKeys(columns, lists)

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return the rows round by round, each with its `group`, the `round`, and the `rows_of_group`."""
        names = [name for name in keys.columns if name not in {"row", "tokens", "rank"}]
        label = None
        if CLUSTER in names:
            of_row = _clusters(lists, keys[CLUSTER].to_numpy() > 0, self.clusters)
            keys = keys.with_columns(pl.Series(CLUSTER, of_row))
            first = lists.read("values", np.arange(min(keys.height, SAMPLE)))
            label = _labels(of_row, _columns(first, len(names))[names.index(CLUSTER)])
        found = keys.select(shared_end(name) if name in ENDS else pl.col(name) for name in names)
        group = found.select(group=pl.struct(names).rank("dense"))["group"]
        counted = pl.DataFrame({"group": group}).with_columns(
            turn=pl.int_range(pl.len()).over("group"), rows=pl.len().over("group")
        )
        order = np.argsort(counted["turn"].to_numpy(), kind="stable")
        order = within(order, keys["tokens"].to_numpy(), budget)
        values = _columns(lists.read("values", order), len(names))
        if label is not None:
            values[names.index(CLUSTER)] = label[order]
        shown = counted[order].select(
            pl.Series("group", _shown(values, found[order].select(pl.all().is_not_null()))),
            round=pl.col("turn") + 1,
            rows_of_group="rows",
        )
        return Choice(order, shown)


def _values(segments: Segments, by: Sequence[str]) -> Iterator[tuple[str, pa.StringArray]]:
    """Give each column that makes a group as text, by name; a template is two."""
    for name in by:
        if name == "length":
            size = tokens(segments)
            power = np.int64(1) << np.floor(np.log2(np.maximum(size, 1))).astype(np.int64)
            yield name, _text(pl.Series(power).cast(pl.String) + "-" + pl.Series(2 * power - 1).cast(pl.String))
        elif name == "template":
            yield from zip(ENDS, prompt_ends(segments), strict=True)
        elif name == CLUSTER:
            words = pl.Series(row_texts(select(segments, "prompt")), dtype=pl.String).str.split(" ")
            yield name, _text(words.list.head(BEGINS).list.join(" "))
        else:
            column = row_frame(segments, [_language(segments) if name == "language" else name]).to_series()
            if column.dtype.is_float():
                raise MixtureError(
                    f"Stratified(by={name!r}): a group needs a label or a whole number; Top takes scores"
                )
            yield name, _text(column.cast(pl.String).fill_null(""))


def _language(segments: Segments) -> str:
    """Return the label in which a step says the language."""
    scores = segments.context.scores if segments.context is not None else {}
    found = [name for name in scores if name.endswith(LANGUAGE)]
    if not found:
        raise MixtureError("Stratified(by='language'): no step says the language; add language() to the steps")
    return found[-1]


def _text(column: pl.Series) -> pa.StringArray:
    return column.to_arrow().cast(pa.string())


def _clusters(lists: KeyLists, known: NDArray[np.bool_], count: int) -> NDArray[np.int32]:
    """Return the cluster of each row, the largest first; -1 for rows without a vector."""
    line = np.flatnonzero(known)
    of_row = np.full(len(known), -1, np.int32)
    if len(line):
        found = assigned(lists, line, spherical_kmeans(lists, line, count))
        by_size = np.argsort(-np.bincount(found), kind="stable")
        of_row[line] = np.argsort(by_size)[found]
    return of_row


def _labels(of_row: NDArray[np.int32], begins: pl.Series) -> pl.Series:
    """Return the label of each row's cluster: its number, from 1, and the words that mark it; "..." without one.

    `begins` has how the first rows begin. There a word counts by the rows of the cluster that begin with it, times
    their share of all rows that do, less the cluster's share of all rows: so "the" marks none.
    """
    share = pl.len().over("cluster") / pl.len()
    of_word = (
        pl.DataFrame({"cluster": of_row[: len(begins)], "word": begins.str.split(" ").list.unique()})
        .with_columns(share=share)
        .explode("word")
        .filter(pl.col("word").str.contains(WORD))
        .group_by("cluster", "word")
        .agg(pl.col("share").first(), rows=pl.len())
        .with_columns(marks=pl.col("rows") * (pl.col("rows") / pl.col("rows").sum().over("word") - pl.col("share")))
        .filter(pl.col("marks") > 0)
        .sort("marks", "word", descending=[True, False])
        .group_by("cluster")
        .agg(pl.col("word").head(MARKS).str.join(", "))
    )
    number = pl.col("cluster") + 1
    words = (
        pl.when(pl.col("word").is_null()).then(number.cast(pl.String)).otherwise(pl.format("{}: {}", number, "word"))
    )
    found = pl.DataFrame({"cluster": of_row}).join(of_word, on="cluster", how="left", maintain_order="left")
    return found.select(pl.when(pl.col("cluster") < 0).then(pl.lit(LEFT_OPEN)).otherwise(words)).to_series()


def _columns(values: pa.ListArray, width: int) -> list[pl.Series]:
    """Return lists of `width` texts each as so many columns."""
    flat = pl.Series(values.values, dtype=pl.String)
    return [flat.gather_every(width, place) for place in range(width)]


def _shown(values: Sequence[pl.Series], known: pl.DataFrame) -> pl.Series:
    """Return the values of each row as one text; ends of prompts that too few rows share are left open."""
    open_or_not = [
        pl.select(pl.when(mask).then(value).otherwise(pl.lit(LEFT_OPEN))).to_series().alias(mask.name)
        for value, mask in zip(values, known, strict=True)
    ]
    return pl.DataFrame(open_or_not).select(pl.concat_str(pl.all(), separator=" | ")).to_series()
