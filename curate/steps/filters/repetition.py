"""Filter by repetition: answers that say the same line, paragraph or run of words over and over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, TypedDict, Unpack

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import MixtureError, check_whole, did_you_mean
from curate.kernels.utf8 import character_places
from curate.rows.segments import On, Part, Segments, check_on
from curate.rows.visible import places_as_they_are, visible
from curate.steps._evidence import part_hits, sort_and_trim
from curate.steps._settings import check_limit
from curate.steps.base import Bound, Evidence, Filter, Scores
from curate.steps.filters._times import TIMES, Times, most_times
from curate.text.repetition import SCORES, Repeats, measure_repeats

Preset: TypeAlias = Literal["chat", "gopher", "olmo3"]


class Limits(TypedDict, total=False):
    """The share, or number of times, above which a row is dropped, by score; None is no limit."""

    duplicate_lines: float | None
    duplicate_paragraphs: float | None
    duplicate_line_characters: float | None
    duplicate_paragraph_characters: float | None
    top_2gram: float | None
    top_3gram: float | None
    top_4gram: float | None
    duplicate_5grams: float | None
    duplicate_6grams: float | None
    duplicate_7grams: float | None
    duplicate_8grams: float | None
    duplicate_9grams: float | None
    duplicate_10grams: float | None
    sentence_times: int | None
    paragraph_times: int | None
    phrase_times: int | None


class Measures(NamedTuple):
    """A preset: the shortest texts that are measured, and the limits in the order of `SCORES` and of `TIMES`."""

    min_words: int
    min_lines: int
    limits: tuple[float | None, ...]
    times: tuple[int | None, ...] = (None, None, None)


PRESETS: Final[dict[Preset, Measures]] = {
    "chat": Measures(50, 5, (0.70, 0.50, 0.60, 0.50, 0.60, 0.60, 0.60, 0.75, 0.72, 0.69, 0.66, 0.63, 0.60)),
    "gopher": Measures(0, 0, (0.30, 0.30, 0.20, 0.20, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10)),
    "olmo3": Measures(0, 0, (None,) * len(SCORES), (9, 9, 49)),
}
NAMES: Final = pa.array([name.replace("_", " ").replace("gram", "-gram") for name in SCORES], pa.string())
"""The match of a hit, as the evidence says it."""


@dataclass(frozen=True, kw_only=True)
class Repetition(Filter):
    """Drops rows with a text that repeats itself; see `repetition`. A limit that is `None` is not held."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "repetition"
    bound_fields: ClassVar[frozenset[str]] = frozenset({*SCORES, *TIMES})
    min_words: int
    min_lines: int
    duplicate_lines: float | None
    duplicate_paragraphs: float | None
    duplicate_line_characters: float | None
    duplicate_paragraph_characters: float | None
    top_2gram: float | None
    top_3gram: float | None
    top_4gram: float | None
    duplicate_5grams: float | None
    duplicate_6grams: float | None
    duplicate_7grams: float | None
    duplicate_8grams: float | None
    duplicate_9grams: float | None
    duplicate_10grams: float | None
    sentence_times: int | None = None
    paragraph_times: int | None = None
    phrase_times: int | None = None

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits: lines and paragraphs, then runs of words, the short ones first, then those of times."""
        held = ((name, getattr(self, name)) for name in (*SCORES, *TIMES))
        return tuple(Bound(name, name, at_most=limit) for name, limit in held if limit is not None)

    def score(self, segments: Segments) -> Scores:
        """Measure each row by its worst segment; the evidence has each segment that breaks a bound."""
        worst = np.zeros((len(SCORES), segments.rows))
        bounds = self.bounds()
        shares = [(reason, bound) for reason, bound in enumerate(bounds) if bound.score in SCORES]
        most = {bound.score: np.zeros(segments.rows, np.int32) for bound in bounds if bound.score in TIMES}
        hits = []
        for part in segments.parts:
            seen = visible(part)
            found = measure_repeats(seen.text, seen.index, min_words=self.min_words, min_lines=self.min_lines)
            begins = np.flatnonzero(np.diff(part.row, prepend=-1))
            rows = part.row[begins]
            if len(rows):
                worst[:, rows] = np.maximum(worst[:, rows], np.maximum.reduceat(found.share, begins, axis=1))
            hits += [_hits(part, seen, found, reason, bound) for reason, bound in shares]
            for reason, bound in enumerate(bounds):
                if bound.score in most:
                    often = most_times(seen, bound.score)
                    np.maximum.at(most[bound.score], part.row, often.times)
                    hits.append(_often(part, seen, often, reason, bound))
        columns: dict[str, NDArray[np.float64] | NDArray[np.int32]] = dict(zip(SCORES, worst, strict=True))
        return Scores(columns | most, sort_and_trim(hits, shown=None))


def _hits(part: Part, seen: Part, repeats: Repeats, reason: int, bound: Bound) -> Evidence:
    """Return where the segments of a part that break one bound show what it measures; `seen` are its visible ones."""
    column = SCORES.index(bound.score)
    limit = np.inf if bound.at_most is None else bound.at_most
    place = np.flatnonzero(repeats.share[column] > limit).astype(np.int32)
    start, end = character_places(
        seen.text, seen.index[place], repeats.start[column, place], repeats.stop[column, place]
    )
    start, end = places_as_they_are(part, seen, place, start, end)
    return part_hits(part, place, reason, start, end, NAMES.take(pa.array(np.full(len(place), column))))


def _often(part: Part, seen: Part, often: Times, reason: int, bound: Bound) -> Evidence:
    """Return the first of what the segments say more often than the bound allows."""
    place = np.flatnonzero(often.times > (bound.at_most or 0)).astype(np.int32)
    start, end = places_as_they_are(part, seen, place, often.start[place], often.end[place])
    match = pa.array(
        [f"{bound.score.removesuffix('_times')} {times} times" for times in often.times[place]], pa.string()
    )
    return part_hits(part, place, reason, start, end, match)


def repetition(
    preset: Preset = "chat",
    *,
    on: On | set[str] | tuple[str, ...] = "response",
    min_words: int | None = None,
    min_lines: int | None = None,
    allow_large_drop: bool = False,
    **limits: Unpack[Limits],
) -> Repetition:
    r"""Drop rows with a text that says the same over and over; a row is judged by the worst of its segments.

    Thirteen scores, each a share from 0 to 1, each its own reason, each with a limit of its name; `None` lifts it:

    - `duplicate_lines`: of the lines, those that came before. A line is without the white space around it; lines with
      no letter or digit ("---", "}") do not count. `duplicate_line_characters`: the share of their characters.
    - `duplicate_paragraphs`, `duplicate_paragraph_characters`: the same of paragraphs, which blank lines part.
    - `top_2gram`, `top_3gram`, `top_4gram`: of the characters of all words, those in the most frequent run of so many
      words (of several, the longest); 0 if none comes twice.
    - `duplicate_5grams` to `duplicate_10grams`: of the characters of all words, those in runs of so many words that
      came before. No character counts twice.

    A limit on `sentence_times`, `paragraph_times` or `phrase_times` counts the most frequent sentence (ended by ".",
    "!", "?"), paragraph, both of two words or more, or run of three words.

    Words are those of `curate.text.words` without ASCII letter case; lines and paragraphs are compared as they are.
    Invisible characters do not count. In Chinese a word is one character. Empty and null texts score 0.

    The evidence shows the first repeated line or top n-gram, or the longest stretch of duplicate ones.

    Args:
        preset: "chat" has limits above what refrains (0.37 of 10-grams), timetables, forms and worked sums (0.59 of a
            pair of words) reach. It drops 126 of 217,602 real answers, 113 of them of models under test, none of LIMA,
            GSM8K, FLAN and GPTeacher; of 57 read in excerpts, about 40 are loops of a model, the others tables in HTML,
            regular expressions, lists, lyrics and requested repeats. "gopher" has the limits of Rae et al. for web
            pages, on texts of any length; it drops 10.7 % of the same answers, and 5.6 % of LIMA. "olmo3" has limits of
            times alone: 9, 9 and 49.
        on: The segments to read; the worst one of a row counts.
        min_words: Texts with fewer words score 0 for runs of words. Default: 50 ("chat") or 0.
        min_lines: Texts with fewer lines (or paragraphs) score 0 for these. Default: 5 ("chat") or 0.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.
        limits: Limits of your own, by score, 0 to 1, or for times from 1; None is no limit.

    Returns:
        A Filter.

    Raises:
        MixtureError: An unknown preset, scope or limit, or a limit or minimum out of range.

    Example:
        >>> from curate.rows.schema import BODIES
        >>> from curate.rows.segments import segments
        >>> answer = {"role": "assistant", "content": "I like apples.\n" * 5}
        >>> batch = pa.RecordBatch.from_pylist([{"messages": [answer], "meta": "{}"}], BODIES["conversation"])
        >>> step = repetition()
        >>> scores = step.score(segments(batch, step.reads))
        >>> scores.columns["duplicate_lines"].tolist(), scores.columns["top_2gram"].tolist()
        ([0.8], [0.0])
        >>> scores.evidence.match.to_pylist(), scores.evidence.start.tolist(), scores.evidence.end.tolist()
        (['duplicate lines', 'duplicate line characters'], [15, 15], [29, 29])

    References:
        Rae et al., arXiv:2112.11446, table A1; counted as in datatrove's `GopherRepetitionFilter` (Apache 2.0) and
        RedPajama-Data-v2, which count overlaps once and the characters of words only; arXiv:2512.13961, A.7.1 (times).
    """
    if preset not in PRESETS:
        raise MixtureError(f"preset={preset!r} is no preset of repetition; {did_you_mean(preset, PRESETS)}")
    measures = PRESETS[preset]
    chosen: dict[str, Any] = dict(zip((*SCORES, *TIMES), (*measures.limits, *measures.times), strict=True))
    chosen |= {name: _limit(name, limit) for name, limit in limits.items()}
    return Repetition(
        on=check_on(on),
        min_words=_least("min_words", min_words, measures.min_words),
        min_lines=_least("min_lines", min_lines, measures.min_lines),
        allow_large_drop=allow_large_drop,
        **chosen,
    )


def _limit(name: str, limit: Any) -> float | None:  # noqa: ANN401  whatever the user gave
    setting = f"repetition({name}={limit!r})"
    if name not in (*SCORES, *TIMES):
        raise MixtureError(f"repetition has no limit {name!r}; {did_you_mean(name, (*SCORES, *TIMES))}")
    if name in TIMES and limit is not None:
        return check_whole(setting, limit, least=1, hint=", or None for no limit")
    return check_limit(setting, limit, least=0, most=1)


def _least(name: str, given: int | None, default: int) -> int:
    return default if given is None else check_whole(f"repetition({name}={given!r})", given)
