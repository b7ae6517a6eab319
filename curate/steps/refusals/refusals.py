"""Filter by phrase: answers in which the assistant declines, disclaims a mind, or names its cutoff or its maker.

Families of phrases are text files, so a phrase is added without touching code; `phrase_files` reads them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Final, TypedDict, Unpack, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MixtureError, check_number
from curate.rows.segments import SIDES, On, Segments, check_on
from curate.steps._evidence import sort_and_trim
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Bound, Filter, Group, GroupKeys, KeyLists, Resolved, Scores
from curate.steps.refusals._answer_model import MORALISES, ShippedModel, shipped
from curate.steps.refusals._classifier import MODEL, SURE, Judge, judge_of
from curate.steps.refusals._detect import RefusalSettings
from curate.steps.refusals.harm_phrases import KEPT, REQUEST_HARM, KeepSafety, check_harmful
from curate.steps.refusals.phrase_files import MORALISING, PRESETS, Preset, Where, check_families
from curate.steps.refusals.phrase_hits import LIMIT


@dataclass(frozen=True, kw_only=True)
class Refusals(RefusalSettings, Filter):
    """Drops rows with refusal phrases; see `refusals`. `families` are in the order in which they name the reason."""

    def bounds(self) -> tuple[Bound, ...]:
        """Return the limits: any phrase hit drops a row, and so does moralising unless a user's model replaces it.

        The first matching family is the reason. Refusals of harmful requests have a reason of their own, without limit.
        """
        moralising: float | None = LIMIT - 1 if self.model is None else None
        if isinstance(self.model, ShippedModel):
            moralising = math.nextafter(MORALISES, 0)
        limits = {MORALISING: moralising, MODEL: math.nextafter(SURE, 0), KEPT: None}
        return tuple(Bound(reason, reason, at_most=limits.get(reason, 0)) for reason in self.reasons)

    def score(self, segments: Segments) -> Scores:
        """Count the hits of each family in each row; the evidence lists the first eight of each.

        The score of `moralising` is the probability or the points of the row's worst answer, that of `model` the
        highest probability of a refusal. With `keep_safety`, hits in refusals of harmful requests count as
        `kept_safety` alone.
        """
        detected = self.detect(segments)
        width = len(self.reasons)
        key = detected.hits.row * np.int64(width) + detected.hits.reason
        counts = np.bincount(key, minlength=segments.rows * width).reshape(-1, width).astype(np.int32)
        scores: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {}
        scores.update((name, counts[:, place].copy()) for place, name in enumerate(self.reasons))
        if MORALISING in self.families:
            scores[MORALISING] = detected.moralising
        if self.judge:
            scores[MODEL] = detected.probability
        if isinstance(self.keep_safety, Judge):
            scores[REQUEST_HARM] = detected.request_harm
        return Scores(scores, sort_and_trim([detected.hits.evidence(self.matches)]))


SHIPPED: Final = "shipped"
"""The argument `model` for the one that comes with the package."""

COLUMNS: Final = ("side", "turn", "start", "end", "phrase")


@dataclass(frozen=True, kw_only=True)
class RefusalShare(RefusalSettings, Group):
    """Drops refusals beyond a share of them; see `refusals`."""

    max_share: float = 0.0

    def sign(self, segments: Segments) -> GroupKeys:
        """Return the first reason of each row (-1: none), its score as the filter has it, and the row's first hit."""
        detected = self.detect(segments)
        hits = detected.hits
        order = np.lexsort((hits.phrase, hits.end, hits.start, hits.turn, hits.side, hits.reason, hits.row))
        rows, first = np.unique(hits.row[order], return_index=True)
        first = order[first]
        reason = np.full(segments.rows, -1, np.int16)
        reason[rows] = hits.reason[first]
        score = np.bincount(hits.row[reason[hits.row] == hits.reason], minlength=segments.rows).astype(np.float64)
        for name, own in ((MORALISING, detected.moralising), (MODEL, detected.probability)):
            if name in self.reasons:
                score = np.where(reason == self.reasons.index(name), own, score)
        columns: dict[str, NDArray[np.generic]] = {"reason": reason, "score": score}
        for name in COLUMNS:
            columns[name] = np.full(segments.rows, -1, np.int32)
            columns[name][rows] = getattr(hits, name)[first]
        return GroupKeys(columns)

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:  # noqa: ARG002
        """Drop the refusals of the highest ranks, beyond the share that is kept."""
        refused = keys.filter(pl.col("reason") >= 0)
        hits = refused.select(
            "row",
            pl.Series(self.reasons).gather(refused["reason"]).alias("reason"),
            pl.Series(SIDES).gather(refused["side"]).alias("side"),
            "turn",
            "start",
            "end",
            pl.Series(self.matches).gather(refused["phrase"]).alias("match"),
        )
        unprotected = refused.filter(~pl.col("protect"))
        safe = pl.col("reason") == (self.reasons.index(KEPT) if self.keep_safety else -1)
        kept = int(Fraction(str(self.max_share)) * unprotected.height) - unprotected.filter(safe).height
        drops = unprotected.filter(~safe).sort("rank", "row").slice(max(kept, 0))
        drops = drops.select("row", "score").with_columns(kept=pl.lit(-1))
        drops = drops.join(hits.select("row", "reason", "match"), on="row", how="left")
        return Resolved(drops.select(*DROP_COLUMNS).cast(DROP_COLUMNS).sort("row"), hits.cast(HIT_COLUMNS).sort("row"))


class RefusalOptions(TypedDict, total=False):
    """The arguments of `refusals` that the result's type does not depend on."""

    families: tuple[str, ...] | list[str] | None
    on: On | set[str] | tuple[str, ...] | None
    where: Where
    phrases: tuple[str, ...] | list[str]
    keep_safety: KeepSafety
    model: str | os.PathLike[str] | None
    allow_large_drop: bool


@overload
def refusals(preset: Preset = "default", *, max_share: None = None, **options: Unpack[RefusalOptions]) -> Refusals: ...
@overload
def refusals(preset: Preset = "default", *, max_share: float, **options: Unpack[RefusalOptions]) -> RefusalShare: ...
def refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    on: On | set[str] | tuple[str, ...] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
    keep_safety: KeepSafety = False,
    model: str | os.PathLike[str] | None = SHIPPED,
    max_share: float | None = None,
    allow_large_drop: bool = False,
) -> Refusals | RefusalShare:
    """Drop rows in which the assistant refuses, disclaims feelings, names its cutoff, itself as an AI or its provider.

    The score of a family is its number of hits. Any hit drops the row, and the first matching family is the reason. The
    evidence has each hit's phrase as the file writes it, its side, turn and characters. In the default preset, a phrase
    does not count between quotation marks (unless they begin the turn), within an exception ("I cannot help but"), or,
    if it is not certain, in a turn with a phrase that the file lists against the family; and `provider` is what the
    speaker says of itself ("I am ChatGPT", "as an AI trained by OpenAI"), not what a text says of a company or a model.
    See `curate.steps.refusals.phrase_files.PhraseKind`. Outside the Tulu presets, contractions, apostrophes, ASCII
    letter case and white space do not matter, and a phrase is whole words. Invisible characters never matter. Empty and
    null text has no hit, and text in other languages than English has few.

    Args:
        preset: "default", measured on human labels; "zephyr", the three phrases that Zephyr published; "tulu2", 22
            substrings in any role and inside words ("palm tree"); "tulu3", 18 whole words in assistant turns; "olmo3",
            regular expressions for providers in assistant turns; "olmo3_dates", one for cut-off dates in any role. A
            hit of theirs is the first match in a turn.
        families: Some of the preset's, default all: `self_reference`, `no_feelings`, `knowledge_cutoff`, `cannot_help`,
            `moralising`, `provider`. `moralising` is what moralises in place of an answer ("It is never acceptable to
            ..."); see `model`.
        on: The segments to read. Default: the preset's own.
        where: "anywhere", "opening" (the hit starts in the first 100 characters of a turn), or "first_turn" (the first
            assistant turn of each side of a row; every completion).
        phrases: More phrases, as the family `phrases`.
        keep_safety: Keep a refusal if the user's last turn before it is plainly harmful: it contains a phrase of
            phrases/harmful.txt (True) or of your own list, or the model at this path, one of
            `train_classifier(harmful, harmless, on="prompt")`, gives it a probability of one half or more (score
            `request_harm`). Its hits count only under the score and reason `kept_safety`, which drops nothing.
        model: "shipped", a small model that comes with the package: it reads each answer, up to 1,000 bytes, and its
            request; its highest probability in a row is the score `moralising`, from 0.5 on the row is dropped, and the
            evidence has the sentences that weigh most. See its card, curate/steps/refusals/model/README.md. None: the
            score is points of weak phrases, and from 86 on the row is dropped. Or the path of a second opinion, a model
            of `train_classifier(refusing, answering, opening=400, refit=True, lr=1.0, epochs=25)`, with thousands of
            plain answers in `answering`; with `on="all"` it reads the request too, which helps with false premises, but
            then its topic counts. It averages the log odds of four openings of each answer, 200 to 500 characters; a
            row's highest probability is the score `model`, and from 0.75 on the row is dropped as `model`.
        max_share: Keep this share, 0 to 1, of all refusals: those of lowest rank, a keyed hash of the id, so that input
            order does not matter. Those that `keep_safety` keeps count towards it; protected rows do not count. The
            step is then a Group, which waits for every row.
        allow_large_drop: Let the step drop more than half of a source without stopping the build.

    Returns:
        A Filter; with `max_share` a Group.

    Raises:
        MixtureError: An unknown preset, family, scope or place, a phrase that can match nothing, a share out of range,
            or a model trained on other segments than it is asked about; `SourceNotFoundError` and `FormatError` for a
            model that is missing, no model, or without its card.

    Example:
        >>> refusals(families=("cannot_help",), keep_safety=True).bounds()[-1]
        Bound(reason='kept_safety', score='kept_safety', at_least=None, at_most=None)

    References:
        arXiv:2310.16944 (Zephyr), 2311.10702 (Tulu 2), 2411.15124 (Tulu 3), 2308.01263 (XSTest, on whose labels the
        model and the points of moralising were fitted); the files name the rest.
    """
    chosen = check_families(preset, None if families is None else tuple(families), tuple(phrases), where)
    step = Refusals(
        preset=preset,
        families=chosen,
        on=_check_read(preset, on, where),
        where=where,
        phrases=tuple(phrases),
        keep_safety=check_harmful(keep_safety),
        model=_check_model(model, chosen),
        allow_large_drop=allow_large_drop,
    )
    return step if max_share is None else _shared(step, max_share)


def _check_model(model: str | os.PathLike[str] | None, families: tuple[str, ...]) -> Judge | ShippedModel | None:
    """Return the model; the package's own is for the family `moralising` alone."""
    if model == SHIPPED:
        return shipped().model if MORALISING in families else None
    return None if model is None else judge_of(model, "model")


def _shared(step: Refusals, max_share: float) -> RefusalShare:
    """Return the same step as a group that keeps a share of the refusals."""
    share = check_number(f"refusals(max_share={max_share!r})", max_share, least=0, most=1, hint=", or None for none")
    return RefusalShare(**{field.name: getattr(step, field.name) for field in fields(step)}, max_share=share)


def _check_read(preset: Preset, on: On | set[str] | tuple[str, ...] | None, where: Where) -> On:
    """Return the segments to read; raises `MixtureError` if the assistant's first turn is not among them."""
    read = PRESETS[preset].on if on is None else check_on(on)
    if where == "first_turn" and (read == "first_user" or (isinstance(read, frozenset) and "assistant" not in read)):
        raise MixtureError(
            f"where='first_turn' is the assistant's first turn, and on={on!r} has none; add the role 'assistant'"
        )
    return read
