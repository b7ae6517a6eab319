"""A take that represents as much as it can: rows such that every row has one near it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import check_number, check_whole
from curate.kernels.buffers import Float64s, Int64s, UInt64s, frozen
from curate.mix.takes._cosine import STEPS
from curate.mix.takes._location_kernel import Located, locate
from curate.mix.takes._neighbours import neighbour_graph
from curate.mix.takes._vectors import check_folder, row_vectors
from curate.mix.takes.ranked import factors, numbers
from curate.mix.takes.selection import Budget, Choice, Selection, within
from curate.rows.frame import check_columns
from curate.rows.segments import On, Segments, check_on
from curate.steps.base import GroupKeys, KeyLists
from curate.steps.vector_keys import VECTOR
from curate.text.embeddings.static_model import load_static_model

LARGEST: Final = 1e30
"""The most that quality multiplies by: what it makes of a gain stays finite."""


@dataclass(frozen=True, repr=False)
class FacilityLocation(Selection):
    """The rows that represent all rows best: each row is as near as can be to one that was chosen.

    Greedy facility location. Each row is a vector, the mean over those of its tokens, and is represented as well as its
    cosine to the nearest chosen row says. The next row is always the one that adds most to the sum of these. So what
    many rows are about comes early and once; rows like chosen ones, and rows like no other, come late.

    Not every pair counts: a row is represented only by itself and its `neighbors`, the rows nearest to it (over 0).
    Up to 100,000 distinct vectors these are found among all. More are split into cells of about 1,000 by k-means, and
    neighbours are looked for in a row's own and the 15 nearest cells, so that the time does not grow with the square.

    Choosing 10,000 of 100,000 real prompts (90,000 vectors of 256 dimensions) takes 40 s of processor and 0.3 GB more
    than taking all. Choosing alone takes 32 s of these, and 50 s for 80,000 of 400,000 rows, which go into cells.
    `tests/bench/bench_facility.py` prints such figures for any model.

    Rows with the same vector as a chosen one add nothing; they come after all that add something, then rows without
    quality, then rows without a vector: those without a token that the model knows.

    `steps/<source>-take/chosen.parquet` says of each row what it `adds` (in rows: 1 for a row that nothing represented
    and that is now chosen itself), how many rows it `represents` (those that no row chosen before is as near to), and
    how well all rows with a vector are then `covered`: the mean of their cosines, 1 at most.

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        semantic: The folder of a static embedding model: of model2vec, sentence-transformers' `StaticEmbedding`, or
            wordllama; see `curate.text.embeddings.static_model.load_static_model`. The manifest has the sha256 of its
            files; its path changes nothing. Needs the extra `curate[embeddings]`; nothing is downloaded.
        on: The text that counts: a scope such as "prompt" or "all", or a set of roles.
        neighbors: How many rows can represent a row beside itself. More are worth it where few rows are chosen, and
            need 16 bytes per row each.
        quality: A column with numbers, such as a score: what a row adds is multiplied by it. Rows without it, or with 0
            or less, come last, and what they add is not counted.
        exponent: The power to which quality is raised: 0 is coverage alone, a high one nearly quality alone.

    Raises:
        MixtureError: An argument is out of its range, or the extra is not installed; in a build, `quality` is no column
            with numbers.
        SourceNotFoundError: In a build: there is no model in the folder.

    Example:
        >>> FacilityLocation(10_000, semantic="models/potion-base-8M", quality="meta.rating").amount
        Rows(n=10000)

    References:
        Lin and Bilmes, "A class of submodular functions for document summarization" (2011).
        Wei, Iyer and Bilmes, "Submodularity in data subset selection and active learning" (2015).
        Minoux, "Accelerated greedy algorithms for maximizing submodular set functions" (1978).
    """

    semantic: str | os.PathLike[str] = field(kw_only=True, metadata={"fingerprint": False})
    on: On = field(default="prompt", kw_only=True)
    neighbors: int = field(default=64, kw_only=True)
    quality: str | None = field(default=None, kw_only=True)
    exponent: float = field(default=1.0, kw_only=True)

    name: ClassVar[str] = "facility_location"

    def __post_init__(self) -> None:
        super().__post_init__()
        folder = check_folder(f"FacilityLocation(semantic={self.semantic!r})", self.semantic)
        object.__setattr__(self, "semantic", folder)
        object.__setattr__(self, "on", check_on(self.on))
        check_whole(f"FacilityLocation(neighbors={self.neighbors!r})", self.neighbors, least=1, most=1024)
        check_number(f"FacilityLocation(exponent={self.exponent!r})", self.exponent, least=0)
        if self.quality is not None:
            check_columns([self.quality], f"FacilityLocation(quality={self.quality!r})")

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the model's files."""
        return load_static_model(self.semantic).digests

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the vector of each row, and the quality where one is named.

        Columns: `hashed` (uint64), a hash of the vector, 0 where there is none, and `quality` (float64). Lists:
        `vector`, float32 of unit length, empty if the row has none.
        """
        found = row_vectors(segments, self.on, os.fsdecode(self.semantic))
        columns: dict[str, NDArray[np.generic]] = {"hashed": found.hashed}
        if self.quality is not None:
            columns["quality"] = numbers(segments, self.quality, "FacilityLocation")
        return GroupKeys(columns, {VECTOR: found.lists})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:
        """Return the rows by what each `adds`, with how many it `represents`, and how well all are then `covered`."""
        hashed, cost = keys["hashed"].to_numpy(), keys["tokens"].to_numpy().astype(np.int64)
        # a power may be off by a bit of float64, which is gone in float32
        factor = np.minimum(factors(keys, self.exponent), LARGEST).astype(np.float32).astype(np.float64)
        line, weight = _distinct(hashed, factor)
        found = Located(*(np.zeros(0, np.int64) for _ in range(3)))
        if len(line):
            graph = neighbour_graph(lists, line, self.neighbors)
            own = (frozen(weight), frozen(factor[line]), frozen(cost[line]))
            found = locate(graph, *own, budget.rows, budget.tokens)
        rest = np.ones(keys.height, np.bool_)
        rest[line[found.row]] = False
        left = np.flatnonzero(rest)
        last = np.where(hashed[left] == 0, 2, np.where(factor[left] > 0, 0, 1))
        order = np.concatenate([line[found.row], left[np.argsort(last, kind="stable")]])
        order = within(order, cost, budget)
        adds, represents = (np.zeros(len(order), np.int64) for _ in range(2))
        adds[: len(found.row)], represents[: len(found.row)] = found.adds[: len(order)], found.represents[: len(order)]
        rows = max(int(weight.sum()), 1)
        why = {"adds": adds / STEPS, "represents": represents, "covered": np.cumsum(adds) / STEPS / rows}
        return Choice(order, pl.DataFrame(why))


def _distinct(hashed: UInt64s, factor: Float64s) -> tuple[Int64s, Int64s]:
    """Return the lines with distinct vectors, ascending, and how many rows have each.

    Of several with one vector it is the line of the highest factor, the first of equals.
    """
    order = np.lexsort((np.arange(len(hashed)), -factor, hashed))
    order = order[hashed[order] != 0]
    start = np.flatnonzero(np.append(True, np.diff(hashed[order]) != 0)[: len(order)])
    line, weight = order[start], np.diff(np.append(start, len(order)))
    by_line = np.argsort(line)
    return line[by_line].astype(np.int64), weight[by_line].astype(np.int64)
