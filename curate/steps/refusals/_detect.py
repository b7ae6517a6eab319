"""The settings of `refusals(...)`, and what they detect in a batch, apart from refusals of plainly harmful requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.utf8 import Places
from curate.rows.schema import ASSISTANT
from curate.rows.segments import SIDES, On, Part, Segments, select
from curate.rows.visible import places_as_they_are, visible
from curate.steps.base import Evidence, Finding, Step
from curate.steps.refusals._answer_model import (
    MORALISES,
    WEIGHTS,
    ShippedModel,
    heavy_sentences,
    probabilities,
    shipped,
)
from curate.steps.refusals._classifier import MODEL, SURE, Judge, judge_answers
from curate.steps.refusals.harm_phrases import KEPT, Harmful, harmful_requests
from curate.steps.refusals.phrase_files import MORALISING, PRESETS, PhraseSearch, Preset, Where, compiled
from curate.steps.refusals.phrase_hits import CountedHits, hits_in, places_in

MODEL_MATCH: Final = "the model"
"""The match that the evidence names for an answer that the model finds a refusal."""

SENTENCE_MATCH: Final = "a sentence that moralises"
"""The match that it names for each sentence that weighs most with the model that comes with the package."""


class BatchHits(NamedTuple):
    """Hits in a batch; `reason` is an index into `RefusalSettings.reasons`, `phrase` into `RefusalSettings.matches`."""

    row: NDArray[np.int32]
    reason: NDArray[np.int32]
    side: NDArray[np.int32]
    turn: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    phrase: NDArray[np.int32]

    def evidence(self, matches: pa.StringArray) -> Evidence:
        """Return the hits as evidence."""
        reason, match = self.reason.astype(np.int16), matches.take(pa.array(self.phrase))
        return Evidence(self.row, reason, self.side, self.turn, self.start, self.end, match)


class DetectedRefusals(NamedTuple):
    """The hits of a batch and the other scores, one value per row; NaN if not scored.

    `moralising` is that of the answer that moralises most: its points or, by the model that comes with the package, how
    probable it is. `probability` is the highest that a user's model gives an answer of being a refusal, `request_harm`
    the highest that a model gives a refused request of being harmful.
    """

    hits: BatchHits
    moralising: NDArray[np.int32] | NDArray[np.float64]
    probability: NDArray[np.float64]
    request_harm: NDArray[np.float64]


class JudgedHits(NamedTuple):
    """The hits of a part; for each segment how much it moralises, and how probable a user's model finds a refusal."""

    hits: CountedHits
    moralising: NDArray[np.int32] | NDArray[np.float64]
    refusal: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RefusalSettings(Step):
    """The settings, and the detection, that the filter and the group of `refusals` share; see `refusals`."""

    version: ClassVar[int] = 8
    name: ClassVar[str] = "refusals"
    findings: ClassVar[tuple[Finding, ...]] = (Finding("refusals", "Refusals of harmful requests"),)
    preset: Preset = "default"
    families: tuple[str, ...] = tuple(PRESETS["default"].families)
    where: Where = "anywhere"
    phrases: tuple[str, ...] = ()
    keep_safety: Harmful = ()
    model: Judge | ShippedModel | None = None

    @property
    def judge(self) -> Judge | None:
        """The user's model."""
        return self.model if isinstance(self.model, Judge) else None

    @property
    def reads(self) -> On:
        """The segments of `on`; whole rows if requests count too."""
        asks = isinstance(self.model, ShippedModel) or (self.judge is not None and self.judge.reads_requests)
        return "all" if self.keep_safety or asks else self.on

    @property
    def reasons(self) -> tuple[str, ...]:
        """The families, `model` and `kept_safety`, in the order in which they name the reason."""
        return (*self.families, *((MODEL,) if self.judge else ()), *((KEPT,) if self.keep_safety else ()))

    @property
    def search(self) -> PhraseSearch:
        """The phrases, compiled."""
        points = not isinstance(self.model, ShippedModel)
        return compiled(self.preset, self.families, self.phrases, points=points)

    @property
    def matches(self) -> pa.StringArray:
        """The texts that `BatchHits.phrase` refers to."""
        return pa.concat_arrays([self.search.text, self.search.lines, pa.array([MODEL_MATCH, SENTENCE_MATCH])])

    def data_hashes(self) -> Mapping[str, str]:
        """Return the sha256 of the models."""
        hashes = self.keep_safety.hashes("keep_safety") if isinstance(self.keep_safety, Judge) else {}
        if isinstance(self.model, ShippedModel):
            return {f"model/{WEIGHTS}": self.model.digest} | hashes
        return (self.model.hashes("model") if self.model else {}) | hashes

    def detect(self, segments: Segments) -> DetectedRefusals:
        """Search a batch of the segments that `reads` names, without their invisible characters."""
        parts = map(visible, segments.parts) if self.model or self.keep_safety else segments.parts
        seen = segments._replace(parts=tuple(parts))
        moralising: NDArray[np.int32] | NDArray[np.float64] = np.zeros(segments.rows, np.int32)
        if isinstance(self.model, ShippedModel):
            moralising = np.zeros(segments.rows)
        probability, request_harm = (np.full(segments.rows, np.nan) for _ in range(2))
        chunks = [BatchHits(*(np.zeros(0, np.int32) for _ in BatchHits._fields))]
        chosen, shown = (each if self.reads == self.on else select(each, self.on) for each in (segments, seen))
        for whole, part in zip(chosen.parts, shown.parts, strict=True):
            hits, moral, refusal = self._judged(seen, whole, part)
            refused, entry = np.unique(hits.place, return_inverse=True)
            safe, chance = harmful_requests(seen, part, refused, self.keep_safety)
            np.fmax.at(request_harm, part.row[refused], chance)
            counted = np.ones(len(part.index), np.bool_)
            counted[refused[safe]] = False
            np.maximum.at(moralising, part.row[counted], moral[counted])
            np.fmax.at(probability, part.row[counted], refusal[counted])
            reason = np.where(safe[entry], np.int32(len(self.reasons) - 1), hits.family)
            side = np.full(len(hits.place), SIDES.index(part.side), np.int32)
            row, turn = part.row[hits.place], part.turn[hits.place]
            chunks.append(BatchHits(row, reason, side, turn, hits.start, hits.end, hits.phrase))
        return DetectedRefusals(
            BatchHits(*(np.concatenate(column) for column in zip(*chunks, strict=True))),
            moralising,
            probability,
            request_harm,
        )

    def _judged(self, seen: Segments, whole: Part, part: Part) -> JudgedHits:
        """Search a part by phrases and the model; `part` is `whole` without invisible characters."""
        if isinstance(self.model, ShippedModel):
            return self._by_sentences(seen, whole, part)
        hits = hits_in(whole, self.search, self.where)
        none = np.full(len(part.index), np.nan)
        if self.model is None:
            return JudgedHits(hits, hits.points, none)
        refusal, read = judge_answers(seen, part, places_in(part, self.where), self.model)
        place = np.flatnonzero(refusal >= SURE).astype(np.int32)
        spans = places_as_they_are(whole, part, place, np.zeros(len(place), np.int32), read[place])
        left = hits.family != self.search.moralising
        return JudgedHits(self._with(hits, left, place, spans, len(self.families), -2), hits.points, refusal)

    def _by_sentences(self, seen: Segments, whole: Part, part: Part) -> JudgedHits:
        """Search a part by phrases, and add the sentences of answers that moralise by the model of the package.

        The model comes first: where it has to be compiled, another process compiles the search meanwhile.
        """
        loaded = shipped()
        read = places_in(part, self.where)
        read = read[part.role[read] == ASSISTANT]
        moral, none = np.zeros(len(part.index)), np.full(len(part.index), np.nan)
        moral[read] = probabilities(seen, part, read, loaded)
        place = np.flatnonzero(moral >= MORALISES).astype(np.int32)
        sentences = heavy_sentences(seen, part, place, loaded)
        place = place[sentences.answer]
        found = places_as_they_are(whole, part, place, sentences.start, sentences.end)
        hits = hits_in(whole, self.search, self.where)
        every = np.ones(len(hits.place), np.bool_)
        return JudgedHits(self._with(hits, every, place, found, self.families.index(MORALISING), -1), moral, none)

    def _with(
        self,
        hits: CountedHits,
        left: NDArray[np.bool_],
        place: NDArray[np.int32],
        found: Places,
        family: int,
        match: int,
    ) -> CountedHits:
        """Return the hits that are `left`, and one of a family at each place found; `match` counts from the end."""
        code = (np.full(len(place), number, np.int32) for number in (family, len(self.matches) + match))
        own = (place, next(code), *found, next(code))
        place, kind, start, end, phrase = (
            np.concatenate([column[left], more]) for column, more in zip(hits[:5], own, strict=True)
        )
        return CountedHits(place, kind, start, end, phrase, hits.points)
