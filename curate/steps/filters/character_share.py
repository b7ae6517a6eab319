"""Filter by characters: answers with Chinese in them, or with emoji."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, check_number
from curate.kernels.buffers import strings
from curate.kernels.utf8 import character_places
from curate.rows.segments import On, Part, Segments, check_on
from curate.steps._evidence import part_hits, sort_and_trim
from curate.steps.base import Bound, Evidence, Filter, Scores

From: TypeAlias = "float | Literal['any'] | None"
"""The share of characters from which a row is dropped; "any" is one character, None is no limit."""

CLASSES: Final = {"chinese": r"[\x{4e00}-\x{9fff}]", "emoji": r"[\p{Emoji_Presentation}\x{fe0f}]"}
"""The characters of each kind: the block CJK Unified Ideographs, as Olmo 3 counts it, and what is shown as an emoji by
itself or by the sign that asks for it; "(c)" and arrows are shown as text without that sign."""


@dataclass(frozen=True, kw_only=True)
class CharacterShare(Filter):
    """See `character_share`."""

    name: ClassVar[str] = "character_share"
    bound_fields: ClassVar[frozenset[str]] = frozenset(CLASSES)
    chinese: From = None
    emoji: From = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of characters that are measured."""
        return tuple(kind for kind in CLASSES if getattr(self, kind) is not None)

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits: a row with the share itself is dropped."""
        limits = ((kind, getattr(self, kind)) for kind in self.kinds)
        return tuple(
            Bound(kind, kind, at_most=0.0 if limit == "any" else math.nextafter(limit, 0)) for kind, limit in limits
        )

    def score(self, segments: Segments) -> Scores:
        """Measure each row by its worst segment; the evidence has the first such characters of those that break it."""
        worst = {kind: np.zeros(segments.rows) for kind in self.kinds}
        hits = []
        for part in segments.parts:
            texts = pl.Series(strings(part.text.data, part.text.offsets).take(pa.array(part.index)), dtype=pl.String)
            texts = texts.fill_null("")
            length = texts.str.len_chars()
            place = (texts.str.len_bytes() != length).arg_true().to_numpy().astype(np.int32)  # not ASCII
            texts, length = texts.gather(place), length.gather(place)
            for reason, bound in enumerate(self.bounds()):
                share = (texts.str.count_matches(CLASSES[bound.score]) / length).to_numpy()
                np.maximum.at(worst[bound.score], part.row[place], share)
                over = np.flatnonzero(share > bound.at_most)
                hits.append(_hits(part, place[over], texts.gather(over), reason, CLASSES[bound.score]))
        columns: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {**worst}
        return Scores(columns, sort_and_trim(hits))


def _hits(part: Part, place: NDArray[np.signedinteger], texts: pl.Series, reason: int, characters: str) -> Evidence:
    """Return the first run of the characters in each of the texts, which are the segments at `place`."""
    run = texts.str.extract(f"({characters}{{1,20}})")
    start = texts.str.find(characters).to_numpy().astype(np.int32)
    stop = start + run.str.len_bytes().to_numpy().astype(np.int32)
    spans = character_places(part.text, part.index[place], start, stop)
    return part_hits(part, place, reason, *spans, run.to_arrow().cast(pa.string()))


def character_share(
    *,
    chinese: From = None,
    emoji: From = None,
    on: On | set[str] | tuple[str, ...] = "last_response",
    allow_large_drop: bool = False,
) -> CharacterShare:
    """Drop rows with a text of which so large a share is Chinese or emoji; a row is judged by its worst segment.

    The scores `chinese` and `emoji`, those that have a limit, are shares of the characters (Unicode code points) of a
    segment, 0 of an empty or null one. Text in Chinese characters is detected as `language()` does; this counts them
    also where an English answer has a few.

    Args:
        chinese: The share from which a row is dropped, over 0 and at most 1, or "any". Characters of the block CJK
            Unified Ideographs count, also where they are Japanese. Olmo 3 drops from 0.05.
        emoji: The same of emoji: characters that are shown as one by themselves, and the sign that asks for it. SmolLM3
            drops "any".
        on: The segments to read. Olmo 3 reads the last answer.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter.

    Raises:
        MixtureError: Neither limit is given, a share is out of range, or an unknown scope.

    Example:
        >>> character_share(emoji="any").bounds()
        (Bound(reason='emoji', score='emoji', at_least=None, at_most=0.0),)

    References:
        open-instruct e6c3044, scripts/data/filtering_and_updates/filter_chinese.py; the card of
        HuggingFaceTB/smoltalk2.
    """
    if chinese is None and emoji is None:
        raise MixtureError('character_share() measures nothing; give chinese=0.05, emoji="any" or both')
    for kind, limit in (("chinese", chinese), ("emoji", emoji)):
        if limit is not None and limit != "any":
            check_number(f"character_share({kind}={limit!r})", limit, above=0, most=1, hint=', or "any"')
    return CharacterShare(chinese=chinese, emoji=emoji, on=check_on(on), allow_large_drop=allow_large_drop)
