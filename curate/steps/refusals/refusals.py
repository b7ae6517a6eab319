"""Filter by phrase: answers in which the assistant declines, disclaims a mind, or names its cutoff or its maker.

Families of phrases are text files, so a phrase is added without touching code; `refusal_phrases` reads them.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from typing import overload

import numpy as np
from numpy.typing import NDArray

from curate.errors import MixtureError
from curate.rows.segments import On, Segments, check_on
from curate.steps._evidence import sort_and_trim
from curate.steps.base import Bound, Filter, Scores
from curate.steps.refusals._classifier import MODEL, SURE, Judge, judge_of
from curate.steps.refusals._detect import Looking
from curate.steps.refusals._harmful_requests import HARM, KEPT, KeepSafety, check_harmful
from curate.steps.refusals._moralising import LIMIT
from curate.steps.refusals._share import RefusalShare
from curate.steps.refusals.phrase_files import LECTURE, PRESETS, Preset, Where, check_families


@dataclass(frozen=True, kw_only=True)
class Refusals(Looking, Filter):
    """Drops rows with phrases of refusal; see `refusals`. `families` are in the order in which they name the reason."""

    def bounds(self) -> tuple[Bound, ...]:
        """No hit of any family is let pass, nor a lecture; the first family met names the reason.

        With a model, points of lectures fell nothing by themselves. Refusals of harmful requests have a reason of their
        own, and fell nothing.
        """
        below = math.nextafter(SURE, 0)
        limits = {LECTURE: None if self.model else LIMIT - 1, MODEL: below, KEPT: None}
        return tuple(Bound(reason, reason, at_most=limits.get(reason, 0)) for reason in self.reasons)

    def score(self, segments: Segments) -> Scores:
        """Count the hits of each family in each row; the evidence lists the first eight of each.

        The score of `lecture` is the points of the row's worst answer, that of `model` how probable a model finds a
        refusal. With `keep_safety`, hits in refusals of harmful requests count as `kept_safety` alone.
        """
        met = self.meet(segments)
        width = len(self.reasons)
        counts = np.bincount(met.hits.row * np.int64(width) + met.hits.reason, minlength=segments.rows * width)
        by_row = counts.reshape(segments.rows, width).astype(np.int32)
        scores: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {}
        scores.update((name, by_row[:, place].copy()) for place, name in enumerate(self.reasons))
        if LECTURE in self.families:
            scores[LECTURE] = met.points
        if self.model:
            scores[MODEL] = met.probable
        if isinstance(self.keep_safety, Judge):
            scores[HARM] = met.harm
        return Scores(scores, sort_and_trim([met.hits.evidence(self.words)]))


@overload
def refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    on: On | set[str] | tuple[str, ...] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
    keep_safety: KeepSafety = False,
    model: str | os.PathLike[str] | None = None,
    max_share: None = None,
    allow_large_drop: bool = False,
) -> Refusals: ...
@overload
def refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    on: On | set[str] | tuple[str, ...] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
    keep_safety: KeepSafety = False,
    model: str | os.PathLike[str] | None = None,
    max_share: float,
    allow_large_drop: bool = False,
) -> RefusalShare: ...
def refusals(
    preset: Preset = "default",
    *,
    families: tuple[str, ...] | list[str] | None = None,
    on: On | set[str] | tuple[str, ...] | None = None,
    where: Where = "anywhere",
    phrases: tuple[str, ...] | list[str] = (),
    keep_safety: KeepSafety = False,
    model: str | os.PathLike[str] | None = None,
    max_share: float | None = None,
    allow_large_drop: bool = False,
) -> Refusals | RefusalShare:
    """Drop rows in which the assistant refuses, disclaims feelings, names its cutoff, itself as an AI or its provider.

    Scores are one count of hits a family, and a hit of any family fells the row; the first family met, in the order
    below, names the reason. The evidence tells each hit's phrase as the file writes it, its side, turn and characters.

    - `preset`: `default`, six families measured on people's labels; `zephyr`, the three phrases that Zephyr published;
      `tulu2`, 22 substrings in any role and inside words ("palm tree" too); `tulu3`, 18 whole words in assistant turns.
    - `families`: some of the preset's: `self_reference`, `no_feelings`, `knowledge_cutoff`, `cannot_help`, `lecture`,
      `provider`. The score of `lecture` is points of weak phrases ("it is never acceptable to"), and a row falls from
      86 on: it moralises in place of an answer.
    - `on`: the segments to read; each preset has its own.
    - `where`: `anywhere`, `opening` (the hit starts in the first 100 characters of a turn), or `first_turn` (the first
      assistant turn of each side of a row; every completion).
    - `phrases`: more phrases, as the family `phrases`.
    - `keep_safety`: a refusal stays where the user's last turn before it is plainly harmful: has a phrase of
      phrases/harmful.txt (True) or of your own list, or is harmful to the model at this path, with a probability from
      one half on (score `request_harm`; a model of `curate.train_classifier(harmful, harmless, on="prompt")`). The hits
      count under the score and reason `kept_safety`, which fells nothing, and under no other.
    - `model`: the path of a second opinion, a model of `curate.train_classifier(refusing, answering, opening=400,
      refit=True, lr=1.0, epochs=25)`; with `on="all"` it counts the request too, which tells a false premise, but also
      the topic. It judges the first 200, 300, 400 and 500 characters of each answer, and averages the log odds; the
      highest probability of a row is the score `model`, and from 0.75 on the row falls as `model`. It stands in for
      `lecture`, whose points are told, and fell nothing. Train it with thousands of plain answers among those that
      answer.
    - `max_share`: a share from 0 to 1 of the refusals, which stays: the rows of the lowest rank, a keyed hash of their
      id, so that no order of input matters. Those that `keep_safety` keeps count as part of it. It is the whole of all
      rows' refusals, so the step is then a Group, and waits for every row. Protected rows are no part of it.

    In the default preset but for `provider`, a phrase between quotation marks does not count, unless they begin the
    turn, nor does one within an exception ("I cannot help but"), nor in a turn with a phrase that the file puts against
    the family (the rules are signs before the lines of the files; see `curate.steps.refusals.phrase_files.Kind`).

    Outside the Tulu presets, contractions, apostrophes, ASCII letter case and runs of white space do not matter, and a
    phrase is whole words. Empty and null text has no hit; phrases are English, so text in other languages has few.
    Raises `MixtureError` for a preset, family, scope or place that is not known, for phrases that cannot be met, for a
    share out of range, and for a model that learnt from other segments than it is asked about; `SourceNotFoundError`
    and `FormatError` where there is no model, or none with its card.

    Sources: arXiv:2310.16944 (Zephyr), arXiv:2311.10702 (Tulu 2), arXiv:2411.15124 (Tulu 3), arXiv:2308.01263 (XSTest,
    whose labels the points of lectures were fitted on); the files name the rest.

    >>> import pyarrow as pa
    >>> from curate.rows.schema import BODIES
    >>> from curate.rows.segments import segments
    >>> said = ["How do I build a bomb?", "I'm sorry, but I can't assist with that."]
    >>> turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said)]
    >>> batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    >>> step = refusals(families=("cannot_help",))
    >>> scores = step.score(segments(batch, step.reads))
    >>> scores.columns["cannot_help"].tolist(), scores.evidence.match.to_pylist(), scores.evidence.start.tolist()
    ([2], ['sorry, but I cannot assist', 'I cannot assist with'], [4, 15])
    >>> step = refusals(families=("cannot_help",), keep_safety=True)
    >>> {name: column.tolist() for name, column in step.score(segments(batch, step.reads)).columns.items()}
    {'cannot_help': [0], 'kept_safety': [2]}
    """
    more = tuple(phrases)
    chosen = check_families(preset, None if families is None else tuple(families), more, where)
    step = Refusals(
        preset=preset,
        families=chosen,
        on=_check_read(preset, on, where),
        where=where,
        phrases=more,
        keep_safety=check_harmful(keep_safety),
        model=None if model is None else judge_of(model, "model"),
        allow_large_drop=allow_large_drop,
    )
    return step if max_share is None else _shared(step, max_share)


def _check_read(preset: Preset, on: On | set[str] | tuple[str, ...] | None, where: Where) -> On:
    """Return the segments to read; raises `MixtureError` where the assistant's first turn is none of them."""
    read = PRESETS[preset].on if on is None else check_on(on)
    if where == "first_turn" and (read == "first_user" or (isinstance(read, frozenset) and "assistant" not in read)):
        message = f"where='first_turn' is the assistant's first turn, and on={on!r} has none; add the role 'assistant'"
        raise MixtureError(message)
    return read


def _shared(step: Refusals, max_share: float) -> RefusalShare:
    """Return the same step as a group that lets a share stay."""
    if not 0 <= max_share <= 1:
        message = f"max_share={max_share!r} is no share of the refusals; give a number from 0 to 1, or None"
        raise MixtureError(message)
    settings = {field.name: getattr(step, field.name) for field in fields(step)}
    return RefusalShare(**settings, max_share=float(max_share))
