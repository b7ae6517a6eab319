"""The rows to learn from: read, made into texts, each taken once, and split: to train on, and held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, ShortageError
from curate.io.inputs import Input, Stored, rows_of
from curate.kernels.buffers import view
from curate.kernels.hashing import Hashes, hash_strings, ranks
from curate.rows.identity import content_hash, content_hashes
from curate.rows.joined_text import row_texts
from curate.rows.segments import On, segments

Name: TypeAlias = Literal["positive", "negative"]
NAMES: Final[tuple[Name, Name]] = ("positive", "negative")

LEAST: Final = 50
"""Texts a side: with fewer, the held-out figures say nothing."""
MOST_COPIES: Final = 16
"""How often at most a text of the smaller side is trained on; of a side that is larger still, a sample is taken."""
SEED: Final = 0x6B8A_11E5


class SideCounts(NamedTuple):
    """What was read for one label.

    `rows` were read, `bad` were quarantined, `empty` had no text; `repeated` had the text of another; `both` had one
    that the other side has too. `content` is a hash of the rows that no order of rows or files changes.
    """

    rows: int
    bad: int
    empty: int
    repeated: int
    both: int
    content: str


class TextSplit(NamedTuple):
    """Texts to train on with their labels (0 positive), those held out of either side, and how many are trained."""

    texts: pl.Series
    label: NDArray[np.int64]
    held_out: tuple[pl.Series, pl.Series]
    trained: tuple[int, int]
    sides: tuple[SideCounts, SideCounts]


class SideTexts(NamedTuple):
    """The text of every row of one side, a hash of every row, and how many could not be read."""

    texts: list[pa.StringArray]
    content: Hashes
    bad: int


def inputs_of(given: Stored | Sequence[Stored], name: Name) -> tuple[Input, ...]:
    """Return what `positive` or `negative` names as inputs; raises `SourceNotFoundError` for a folder of no build."""
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not several:
        raise MixtureError(f"train_classifier({name}=()): name the rows to learn from, such as files('rows.jsonl')")
    return tuple(rows_of(each, f"train_classifier({name}=") for each in several)


def read_side(inputs: tuple[Input, ...], on: On, opening: int | None = None) -> SideTexts:
    """Read every row of `inputs`, and make one text of what `on` selects of each (see `row_texts`)."""
    texts: list[pa.StringArray] = []
    hashes: list[Hashes] = []
    bad = 0
    for opened in [each.open() for each in inputs]:
        for block in opened.blocks():
            parsed = opened.parse(block)
            texts.append(row_texts(segments(parsed.body, on), opening=opening))
            hashes.append(content_hashes(parsed.body))
            bad += parsed.bad.num_rows
    none = np.zeros(0, np.uint64)
    high = np.concatenate([none, *(each.high for each in hashes)])
    low = np.concatenate([none, *(each.low for each in hashes)])
    return SideTexts(texts, Hashes(high, low), bad)


def split(read: tuple[SideTexts, SideTexts], on: On, share: float) -> TextSplit:
    """Take every text once, hold `share` of each side out, and put the others in an order that only text decides.

    A text that both sides have teaches nothing and is left out. Which texts are held out is decided by a keyed hash of
    each. Texts of the smaller side are repeated, so that both sides weigh the same: a probability of one half means
    undecided, whatever the numbers of rows. Raises `ShortageError` where a side has fewer than 50 texts.
    """
    frame = pl.concat([_frame(side, place) for place, side in enumerate(read)])
    texts = frame["text"]
    numbered = frame.select("high", "low", "side").with_row_index("number").filter(texts != "")
    once = numbered.group_by("high", "low").agg(
        pl.col("side").min(), pl.col("side").max().alias("last"), pl.col("number").min()
    )
    own = once.filter(pl.col("side") == pl.col("last")).sort("low", "high", "number")
    sides = _sides(read, frame, numbered, own)
    for name, side, place in zip(NAMES, sides, (0, 1), strict=True):
        _check_enough(name, side, int((own["side"] == place).sum()), on)
    by_side = [own.filter(pl.col("side") == place) for place in (0, 1)]
    held = [round(part.height * share) for part in by_side]
    train = [part[count:] for part, count in zip(by_side, held, strict=True)]
    number, label = _ordered(train)
    return TextSplit(
        texts.gather(number),
        label,
        (texts.gather(by_side[0]["number"][: held[0]]), texts.gather(by_side[1]["number"][: held[1]])),
        (train[0].height, train[1].height),
        sides,
    )


def _frame(read: SideTexts, place: int) -> pl.DataFrame:
    """Return texts with their hashes, and the side."""
    hashes = [hash_strings(view(part), SEED) for part in read.texts]
    columns = {
        "text": pl.Series(pa.chunked_array(read.texts, pa.string()), dtype=pl.String),
        "high": np.concatenate([np.zeros(0, np.uint64), *(each.high for each in hashes)]),
        "low": np.concatenate([np.zeros(0, np.uint64), *(each.low for each in hashes)]),
    }
    return pl.DataFrame(columns).with_columns(side=pl.lit(place))


def _sides(
    read: tuple[SideTexts, SideTexts], frame: pl.DataFrame, numbered: pl.DataFrame, own: pl.DataFrame
) -> tuple[SideCounts, SideCounts]:
    """Return the counts of each side's rows."""
    found = []
    for place, side in enumerate(read):
        rows = int((frame["side"] == place).sum())
        full = numbered.filter(pl.col("side") == place)
        distinct = full.select("high", "low").n_unique()
        kept = int((own["side"] == place).sum())
        found.append(
            SideCounts(
                rows, side.bad, rows - full.height, full.height - distinct, distinct - kept, content_hash(side.content)
            )
        )
    return found[0], found[1]


def _check_enough(name: Name, side: SideCounts, texts: int, on: On) -> None:
    if texts >= LEAST:
        return
    read = sorted(on) if isinstance(on, frozenset) else on
    message = (
        f"train_classifier: {name} has {texts:,} texts to learn from, and needs {LEAST} or more: {side.rows:,} rows "
    )
    message += f"were read, {side.empty:,} of them have no text on={read!r}, {side.repeated:,} repeat another's and "
    message += f"{side.both:,} have one that the other side has too"
    if side.bad:
        message += f"; {side.bad:,} more could not be read (is the format right?)"
    raise ShortageError(message)


def _ordered(train: list[pl.DataFrame]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the numbers of the texts in the order of training, copies among them, and the label of each."""
    most = min(max(part.height for part in train), MOST_COPIES * min(part.height for part in train))
    number, label, rank = [], [], []
    for place, part in enumerate(train):
        which = np.arange(most) % part.height
        high, low = part["high"].to_numpy()[which], part["low"].to_numpy()[which]
        copy = (np.arange(most) // part.height).astype(np.uint64)
        number.append(part["number"].to_numpy()[which])
        label.append(np.full(most, place))
        rank.append(ranks(Hashes(high, low), copy, SEED))
    order = np.lexsort((np.concatenate(label), np.concatenate(rank)))
    return np.concatenate(number)[order], np.concatenate(label)[order]
