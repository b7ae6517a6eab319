"""What the steps `refusals(...)` look for, and what they meet in a batch: hits, points, and a model's opinion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.rows.segments import SIDES, On, Segments, select
from curate.steps.base import Evidence, Step
from curate.steps.refusals._classifier import MODEL, SURE, Judge, judge_answers
from curate.steps.refusals._harmful_requests import KEPT, Harmful, harm_of
from curate.steps.refusals.phrase_files import PRESETS, Preset, Search, Where, compiled
from curate.steps.refusals.phrase_hits import Found, hits_in, places_in

OPINION: Final = "the model"
"""What the evidence names as the match of an answer that the model felled."""


class Hits(NamedTuple):
    """An entry a hit: `reason` is a place in `Looking.reasons`, `phrase` one in `Looking.words`."""

    row: NDArray[np.int32]
    reason: NDArray[np.int32]
    side: NDArray[np.int32]
    turn: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]

    def evidence(self, words: pa.StringArray) -> Evidence:
        """Return the hits as evidence, with the phrase that matched."""
        reason, side, match = (
            self.reason.astype(np.int16),
            self.side.astype(np.uint8),
            words.take(pa.array(self.phrase)),
        )
        return Evidence(self.row, reason, side, self.turn, self.start, self.end, match)


class Met(NamedTuple):
    """The hits of a batch, and an entry a row for what else is told: NaN where there is nothing to tell.

    `points` are those of the worst lecture; a model finds a refusal `probable`, the highest of the row's answers; a
    model of harm finds it probable (`harm`) that a refused request is harmful.
    """

    hits: Hits
    points: NDArray[np.int32]
    probable: NDArray[np.float64]
    harm: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Looking(Step):
    """The settings that the filter and the group of `refusals` share; see there."""

    version: ClassVar[int] = 3
    name: ClassVar[str] = "refusals"
    preset: Preset = "default"
    families: tuple[str, ...] = tuple(PRESETS["default"].families)
    where: Where = "anywhere"
    phrases: tuple[str, ...] = ()
    keep_safety: Harmful = ()
    model: Judge | None = None

    @property
    def reads(self) -> On:
        """What `on` selects; whole rows where the request decides too."""
        return "all" if self.keep_safety or (self.model is not None and self.model.asks) else self.on

    @property
    def reasons(self) -> tuple[str, ...]:
        """The families, `model` and `kept_safety`, in the order in which they name the reason."""
        return (*self.families, *((MODEL,) if self.model else ()), *((KEPT,) if self.keep_safety else ()))

    @property
    def search(self) -> Search:
        """The phrases, compiled."""
        return compiled(self.preset, self.families, self.phrases)

    @property
    def words(self) -> pa.StringArray:
        """What `Met.phrase` counts through."""
        return pa.concat_arrays([self.search.text, self.search.lines, pa.array([OPINION])])

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the models."""
        harm = self.keep_safety.held("keep_safety") if isinstance(self.keep_safety, Judge) else {}
        return (self.model.held("model") if self.model else {}) | harm

    def meet(self, segments: Segments) -> Met:
        """Return what is met in a batch, handed as `reads` says."""
        points = np.zeros(segments.rows, np.int32)
        probable, harm = (np.full(segments.rows, np.nan) for _ in range(2))
        chunks = [Hits(*(np.zeros(0, np.int32) for _ in Hits._fields))]
        for part in (segments if self.reads == self.on else select(segments, self.on)).parts:
            found = hits_in(part, self.search, self.where)
            told = np.full(len(part.index), np.nan)
            if self.model is not None:
                told, read = judge_answers(segments, part, places_in(part, self.where), self.model)
                found = self._overruled(found, np.flatnonzero(told >= SURE).astype(np.int32), read)
            refused, entry = np.unique(found.place, return_inverse=True)
            safe, chance = harm_of(segments, part, refused, self.keep_safety)
            np.fmax.at(harm, part.row[refused], chance)
            open_ = np.ones(len(part.index), np.bool_)
            open_[refused[safe]] = False
            np.maximum.at(points, part.row[open_], found.points[open_])
            np.fmax.at(probable, part.row[open_], told[open_])
            reason = np.where(safe[entry], np.int32(len(self.reasons) - 1), found.family)
            side = np.full(len(found.place), SIDES.index(part.side), np.int32)
            row, turn = part.row[found.place], part.turn[found.place]
            chunks.append(Hits(row, reason, side, turn, found.start, found.end, found.phrase))
        hits = Hits(*(np.concatenate(column) for column in zip(*chunks, strict=True)))
        return Met(hits, points, probable, harm)

    def _overruled(self, found: Found, fell: NDArray[np.int32], read: NDArray[np.int32]) -> Found:
        """Return the hits without those of lectures, and with one, over what was read, for each answer that fell."""
        own = found.family != self.search.lecture
        family, word = (np.full(len(fell), value, np.int32) for value in (len(self.families), len(self.words) - 1))
        return Found(
            np.concatenate([found.place[own], fell]),
            np.concatenate([found.family[own], family]),
            np.concatenate([found.start[own], np.zeros(len(fell), np.int32)]),
            np.concatenate([found.end[own], read[fell]]),
            np.concatenate([found.phrase[own], word]),
            found.points,
        )
