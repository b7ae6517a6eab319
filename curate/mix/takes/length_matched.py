"""A take of rows whose answers are as long as those of a reference, for each type of prompt."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from math import isqrt
from typing import ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.io.inputs import Input, Stored, rows_of
from curate.kernels.buffers import frozen
from curate.mix.takes._deficit_kernel import Bins, follow
from curate.mix.takes.selection import Budget, Choice, Selection
from curate.mix.takes.similar import reference_of
from curate.rows.segments import CONTENT, On, Segments, check_on, select
from curate.rows.visible import row_characters
from curate.steps.base import GroupKeys, KeyLists
from curate.text.topics.prompt_types import PROMPT_TYPES, prompt_types

EDGES: Final = np.array(sorted({0, *(isqrt((1 << k) - 1) + 1 for k in range(64))}), np.int64)
"""The least characters of each bin: 0, and the powers of the root of two, rounded up: 1, 2, 3, 4, 6, 8, 12, 16."""

LABELS: Final = [f"{a}" if a == b - 1 else f"{a}-{b - 1}" for a, b in itertools.pairwise([*EDGES.tolist(), 1 << 32])]
"""The limits of each bin, as people read them."""


@dataclass(frozen=True, repr=False)
class LengthMatched(Selection):
    """Rows whose answers are as long as those of a reference, for each type of prompt.

    Lengths, in visible characters, fall into bins whose limits are powers of the root of two (45 to 63, 64 to 90). With
    `by_type`, each type of prompt has bins of its own (`curate.text.topics.prompt_types`: code, maths, given text,
    writing, question, chat, other), as what is asked for decides how long an answer is.

    The next row is a random one of the bin that is most behind its share in the reference. So any first n rows follow
    the reference: as long as the bins last, none has a whole row more than its share. A bin that the source lacks, or
    of which all rows are chosen, leaves its share to the bin of the nearest length that has rows, rather of the same
    type.

    Use it to compare data by what it says: models learn the length of answers with the rest, and judges prefer long
    ones.

    `steps/<source>-take/chosen.parquet` says of each row the bin of its `length`, its `type`, and the `share` of that
    bin in the reference (0: it takes the place of another).

    Args:
        n: How much: a number of rows, `Rows(n)`, `Fraction(f)` or `Tokens(n)`; left out where weights decide.
        to: The reference: an input such as `files("chats.jsonl")`, a build, or the folder of one.
        on: The text whose visible characters count, of both: a scope such as "response", or a set of roles.
        by_type: Whether to hold rows against rows of the same type of prompt, that of the first turn of the user.

    Raises:
        MixtureError: `n` is no amount, `on` is unknown, or `to` is no input; in a build, no row of `to` has such text.
        SourceNotFoundError: A folder in `to` contains no build.

    Example:
        >>> from curate.io.inputs import files
        >>> LengthMatched(10_000, to=files("lima.json"), by_type=False)
        LengthMatched(10000, to=..., by_type=False)
    """

    to: Stored = field(kw_only=True)
    on: On = field(default="response", kw_only=True)
    by_type: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "length_matched"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "to", reference_of(self.to, "LengthMatched"))
        object.__setattr__(self, "on", check_on(self.on))

    def against(self) -> tuple[Input, ...]:
        """Return the reference."""
        return (rows_of(self.to, "LengthMatched(to="),)

    def check_reference(self, keys: pl.DataFrame, who: str) -> None:
        """Raise `MixtureError` where the reference has no text to measure."""
        if not keys["length"].sum():
            raise MixtureError(f"{who}: no row of the input has text in on={self.on!r}, so there is no length to match")

    def sign(self, segments: Segments) -> GroupKeys:
        """Return columns: `length` (uint8), the place of the bin of length, and `type` (uint8), that of the prompt."""
        length = np.searchsorted(EDGES, row_characters(select(segments, self.on, CONTENT)), side="right") - 1
        kind = np.full(segments.rows, PROMPT_TYPES.index("other") if self.by_type else 0, np.uint8)
        for part in select(segments, "first_user", CONTENT).parts if self.by_type else ():
            kind[part.row] = prompt_types(part.text, frozen(part.index))
        return GroupKeys({"length": length.astype(np.uint8), "type": kind})

    def choose(self, keys: pl.DataFrame, lists: KeyLists, budget: Budget) -> Choice:  # noqa: ARG002
        """Return the rows as their bins fall behind, with the `length`, the `type` and the `share` of each."""
        bins, of = _bins(keys["length"].to_numpy(), keys["type"].to_numpy(), keys["reference"].to_numpy())
        order = follow(bins, frozen(keys["tokens"].to_numpy().astype(np.int64)), budget.rows, budget.tokens)
        why = {
            "length": pl.Series(LABELS, dtype=pl.String).gather(bins.length[of[order]]),
            "type": pl.Series(PROMPT_TYPES, dtype=pl.String).gather(bins.kind[of[order]]),
            "share": bins.wanted[of[order]] / max(int(bins.wanted.sum()), 1),
        }
        return Choice(order, pl.DataFrame(why) if self.by_type else pl.DataFrame(why).drop("type"))


def _bins(
    length: NDArray[np.uint8], kind: NDArray[np.uint8], beside: NDArray[np.bool_]
) -> tuple[Bins, NDArray[np.int64]]:
    """Return the bins that rows are in, the shorter first, and the bin of each line; `beside` marks the reference."""
    code = length.astype(np.int64) * len(PROMPT_TYPES) + kind
    known, of = np.unique(code, return_inverse=True)
    lines = np.flatnonzero(~beside)
    order = np.argsort(of[lines], kind="stable")
    found = Bins(
        length=frozen(known // len(PROMPT_TYPES)),
        kind=frozen(known % len(PROMPT_TYPES)),
        wanted=frozen(np.bincount(of[beside], minlength=len(known)).astype(np.int64)),
        first=frozen(np.searchsorted(of[lines][order], np.arange(len(known) + 1)).astype(np.int64)),
        lines=frozen(lines[order]),
    )
    return found, of
