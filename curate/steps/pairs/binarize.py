"""Turn rated completions into pairs: the Pairing of the recipes for preference data.

Peers pair carelessly: the first of tied maxima is chosen and the first of tied minima rejected, so that both are one
completion, and random choices have no seed. Here each text of a row counts once, a pair has two different texts, and
every random choice is a keyed hash of what the row says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError, did_you_mean, is_number
from curate.kernels.buffers import frozen, view
from curate.kernels.hashing import Hashes, hash_strings, ranks
from curate.rows.identity import content_hashes
from curate.rows.schema import BODIES, MESSAGE, MESSAGES, kind_of
from curate.rows.take import take_array
from curate.steps.base import Paired, Pairing
from curate.steps.pairs._pairing_kernel import LENGTH_MATCHED, MADE, NONE_GOOD_ENOUGH, ROUGH, Pairs, Rivals, choose
from curate.steps.pairs.completion_scores import ASPECTS, Blend, mean, rounded, scores_of

Rejected: TypeAlias = Literal["random_lower", "worst", "next_best", "all_lower", "random_other", "length_matched"]
Ties: TypeAlias = Literal["drop", "keep"]

STRATEGIES: Final = ("random_lower", "worst", "next_best", "all_lower", "random_other", "length_matched")
"""A strategy's code in the kernel is its place here."""

REASONS: Final = ("one_completion", "missing_score", "none_good_enough", "all_tied", "drawn_tied", "below_margin")
_ONE, _MISSING, _FIRST = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """See `at_least`."""

    score: float


def at_least(score: float) -> AtLeast:
    """Let every completion with at least this score be chosen, for `binarize(chosen=)`; raises `MixtureError`.

    >>> at_least(7)
    AtLeast(score=7.0)
    """
    if not is_number(score):
        message = f"at_least({score!r}) takes a number"
        raise MixtureError(message)
    return AtLeast(score=float(score))


class Scored(NamedTuple):
    """The completions that can be paired, each text of a row once; `place` is where one of its text stands."""

    rivals: Rivals
    place: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Binarize(Pairing):
    """See `binarize`."""

    name: ClassVar[str] = "binarize"
    score: str | Blend = "overall"
    chosen: Literal["best"] | AtLeast = "best"
    rejected: Rejected = "random_lower"
    margin: float = 0.0
    ties: Ties = "drop"
    pairs_per_prompt: int | None = None
    seed: int = 0

    def reasons(self) -> tuple[str, ...]:
        """Return what keeps a row from giving a pair."""
        return REASONS

    def pair(self, body: pa.RecordBatch) -> Paired:
        """Pair the completions of each row. The order of pairs within a row is that of their scores, best first.

        Raises `MixtureError` for rows that are not rated.
        """
        if kind_of(body.schema) != "rated":
            message = f"{self.name}() pairs rated rows; these are {kind_of(body.schema)} rows. "
            message += "Read them in a format with several scored completions a row: rated(), ultrafeedback(), joined()"
            raise MixtureError(message)
        answers = body["completions"]
        offsets = answers.offsets.to_numpy(zero_copy_only=True)
        values = answers.values.slice(offsets[0], offsets[-1] - offsets[0])
        row = np.repeat(np.arange(body.num_rows, dtype=np.int32), np.diff(offsets))
        texts = hash_strings(view(values.field("content")))
        scored = self._scored(body, values, row, texts)
        pairs, came_to = self._choose(scored)
        reason = came_to.astype(np.int16) - NONE_GOOD_ENOUGH + _FIRST
        reason[came_to == MADE] = -1
        reason[np.diff(scored.rivals.offsets) < 2] = _MISSING
        reason[_different(row, texts, body.num_rows) < 2] = _ONE
        sides = scored.place[pairs.chosen], scored.place[pairs.rejected]
        scores = scored.rivals.score[pairs.chosen], scored.rivals.score[pairs.rejected]
        contents = values.field("content")
        columns = [
            take_array(body["messages"], pairs.row),
            *(_answers(contents, side) for side in sides),
            *(pa.array(score) for score in scores),
            body["meta"].take(pa.array(pairs.row)),
        ]
        return Paired(pa.RecordBatch.from_arrays(columns, schema=BODIES["preference"]), pairs.row, reason)

    def _scored(self, body: pa.RecordBatch, values: pa.StructArray, row: NDArray[np.int32], texts: Hashes) -> Scored:
        """Return what can be paired; completions of one text meet, with the mean of their scores."""
        score = scores_of(values.field("scores"), self.score)
        there = np.flatnonzero(np.isfinite(score))
        order = there[np.lexsort((score[there], texts.low[there], texts.high[there], row[there]))]
        begins = _begins(row[order], texts.high[order], texts.low[order])
        place = order[begins]
        one = np.cumsum(begins) - 1
        counts = np.bincount(one, minlength=len(place))
        means = np.where(counts > 1, rounded(np.bincount(one, score[order], len(place)) / counts), score[place])
        prompts = ranks(content_hashes(body.select(["messages"])), np.zeros(body.num_rows, np.uint64), self.seed)
        rank = ranks(Hashes(texts.high[place], texts.low[place]), prompts[row[place]], self.seed)
        best_first = np.lexsort((rank, -means, row[place]))
        place, means, rank = place[best_first], means[best_first], rank[best_first]
        sizes = np.bincount(row[place], minlength=body.num_rows)
        length = np.zeros(len(place), np.int32)
        if self.rejected == STRATEGIES[LENGTH_MATCHED]:
            length = pc.utf8_length(values.field("content").take(pa.array(place))).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        rivals = Rivals(frozen(offsets), frozen(means), frozen(rank), frozen(length))
        return Scored(rivals, place)

    def _choose(self, scored: Scored) -> tuple[Pairs, NDArray[np.int8]]:
        """Return the pairs, at most `pairs_per_prompt` a row (those with the lowest draws), and what rows came to."""
        sizes = np.diff(scored.rivals.offsets)
        good = np.minimum(sizes, 1) if self.chosen == "best" else sizes
        most = int((good * (np.maximum(sizes - 1, 0) if self.rejected == "all_lower" else 1)).sum())
        limit = math.nan if isinstance(self.chosen, str) else self.chosen.score
        strategy, margin = STRATEGIES.index(self.rejected), self.margin - ROUGH if self.margin else 0.0
        pairs, came_to = choose(scored.rivals, limit, strategy, margin, self.ties == "keep", most)
        if self.pairs_per_prompt is None or not len(pairs.row):
            return pairs, came_to
        order = np.lexsort((pairs.draw, pairs.row))
        number = np.arange(len(order)) - np.searchsorted(pairs.row, pairs.row[order])
        kept = np.sort(order[number < self.pairs_per_prompt])
        return Pairs(pairs.row[kept], pairs.chosen[kept], pairs.rejected[kept], pairs.draw[kept]), came_to


def _begins(row: NDArray[np.int32], high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mark the first of each run of one text in one row."""
    begins = np.ones(len(row), np.bool_)
    begins[1:] = (row[1:] != row[:-1]) | (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return begins


def _different(row: NDArray[np.int32], texts: Hashes, rows: int) -> NDArray[np.int64]:
    """Return how many different texts each row has."""
    order = np.lexsort((texts.low, texts.high, row))
    begins = _begins(row[order], texts.high[order], texts.low[order])
    return np.bincount(row[order[begins]], minlength=rows)


def _answers(contents: pa.StringArray, places: NDArray[np.int64]) -> pa.ListArray:
    """Return a list with one assistant message for each of `places`."""
    roles = pa.array(["assistant"]).take(pa.array(np.zeros(len(places), np.int8)))
    flat = pa.StructArray.from_arrays([roles, contents.take(pa.array(places))], fields=list(MESSAGE))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(places) + 1, dtype=np.int32)), flat, type=MESSAGES)


def binarize(
    *,
    score: str | Blend = "overall",
    chosen: Literal["best"] | AtLeast = "best",
    rejected: Rejected = "random_lower",
    margin: float = 0,
    ties: Ties = "drop",
    pairs_per_prompt: int | None = None,
    seed: int = 0,
    allow_large_drop: bool = False,
) -> Binarize:
    """Pair the completions of rated rows: one chosen, one rejected, both with the score that says so.

    - `score`: what a completion is worth. "overall" is its score `overall`, or else `overall_score`; any other name is
      the score of that name; `mean("helpfulness", "honesty")` and `weighted(helpfulness=2, honesty=1)` are means of
      several. A completion that lacks a score that is needed ("N/A", null, NaN, infinite) is left out.
    - `chosen`: the "best", or each one with `at_least(x)`.
    - `rejected`: one of those that score lower than the chosen one by `margin` or more, whichever is drawn
      ("random_lower"), the "worst", the "next_best", or the one whose length in characters is nearest to that of the
      chosen one ("length_matched"); or each of them ("all_lower"). "random_other" draws from all others first, whatever
      their scores, and makes no pair where the one drawn scores higher, or lower by less than `margin`.
    - `margin`: the least difference of scores, taken with a slack of 1e-9.
    - `ties`: whether chosen and rejected may have equal scores: "drop" or "keep". If kept, those of equal score count
      as lower for every strategy, in a random order; no two completions are ever paired both ways.
    - `pairs_per_prompt`: at most so many pairs a row, drawn from all that it gives; those of 2 are part of those of 3.
      None is no limit. One pair is all that `chosen="best"` gives, unless `rejected="all_lower"`.
    - `seed`: changes all random choices. They are hashes of prompt and completions, so neither the order of completions
      nor anything outside the row has a say.

    The text of a completion counts once in a row, with the mean of its scores where it stands there several times, so
    chosen and rejected always differ. An empty text is a text. A pair carries prompt and `meta` of its row as they are.

    A row that gives no pair says why: `one_completion` (fewer than two different ones), `missing_score` (fewer than two
    of them have the score), `none_good_enough` (none reaches `at_least`), `all_tied`, `below_margin` (no two lie that
    far apart; or "random_other" drew one that does not lie so far below), `drawn_tied` ("random_other" drew a tie).

    Raises `MixtureError` for an unknown strategy, a negative margin, fewer than one pair a prompt and a seed below 0.

    >>> from curate.rows.schema import BODIES
    >>> answers = [
    ...     {"content": text, "model": None, "scores": [{"name": "overall", "value": value}]}
    ...     for text, value in (("No.", 2.0), ("Yes, at 100 °C.", 9.0), ("Yes.", 7.5))
    ... ]
    >>> row = {"messages": [{"role": "user", "content": "Does it boil?"}], "completions": answers, "meta": "{}"}
    >>> body = pa.RecordBatch.from_pylist([row], BODIES["rated"])
    >>> pairs = binarize(rejected="next_best").pair(body).body.to_pylist()
    >>> [(pair["chosen"][0]["content"], pair["rejected"][0]["content"], pair["rejected_score"]) for pair in pairs]
    [('Yes, at 100 °C.', 'Yes.', 7.5)]
    """
    _check_choices(score, chosen, rejected, ties)
    if not is_number(margin) or margin < 0:
        message = f"binarize(margin={margin!r}): a margin is a number from 0 up, in points of the score"
        raise MixtureError(message)
    for what, value, least in (("pairs_per_prompt", pairs_per_prompt, 1), ("seed", seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**64):
            message = f"binarize({what}={value!r}): give a whole number from {least} up"
            raise MixtureError(message)
    return Binarize(
        score=score,
        chosen=chosen,
        rejected=rejected,
        margin=float(margin),
        ties=ties,
        pairs_per_prompt=pairs_per_prompt,
        seed=seed,
        allow_large_drop=allow_large_drop,
    )


def _check_choices(score: object, chosen: object, rejected: object, ties: object) -> None:
    if not (isinstance(score, Blend) or (isinstance(score, str) and score)):
        message = f"binarize(score={score!r}): give the name of a score, mean(...) or weighted(...)"
        raise MixtureError(message)
    if not (isinstance(chosen, AtLeast) or chosen == "best"):
        message = f'binarize(chosen={chosen!r}): give "best" or at_least(x)'
        raise MixtureError(message)
    for what, value, known in (("rejected", rejected, get_args(Rejected)), ("ties", ties, get_args(Ties))):
        if value not in known:
            message = f"binarize({what}={value!r}): {did_you_mean(str(value), known)}"
            raise MixtureError(message)


def zephyr(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Zephyr's UltraFeedback does: the best overall score, against any of the others at random, ties and all.

    Source: the card of HuggingFaceH4/ultrafeedback_binarized (highest `overall_score`; one of the other three at
    random, "to encourage diversity"); Tunstall et al., "Zephyr" (arXiv 2310.16944), says mean score instead. How ties
    for the best were broken, and the random state, are not published; here both are keyed hashes. Its latest version
    leaves out TruthfulQA's prompts first: `decontaminate(evals("truthful_qa"))`.

    >>> zephyr().rejected, zephyr().ties
    ('random_other', 'keep')
    """
    return binarize(score="overall", rejected="random_other", ties="keep", seed=seed, allow_large_drop=allow_large_drop)


def argilla(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Argilla's cleaned UltraFeedback does: the best mean of the four aspects, against a random lower one.

    Source: the cards of argilla/ultrafeedback-binarized-preferences (-cleaned: without ties and TruthfulQA's prompts;
    -multi: every lower one, `rejected="all_lower"`). Its means skip an aspect that is "N/A" (as far as the card tells);
    here a completion needs all four. The random state is not published.

    >>> argilla().score.weights[0], argilla().ties
    (('helpfulness', 1.0), 'drop')
    """
    return binarize(
        score=mean(*ASPECTS), rejected="random_lower", ties="drop", seed=seed, allow_large_drop=allow_large_drop
    )


def max_min(*, score: str | Blend = "overall", seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair the best with the worst.

    Source: distilabel's `FormatTextGenerationDPO` (highest and lowest rating, the first of equal ones, so that a row
    of ties becomes a pair of one completion; here it gives none), and Meng et al., "SimPO" (arXiv 2405.14734), whose
    scores are a reward model's.

    >>> max_min(score="reward").rejected
    'worst'
    """
    return binarize(score=score, rejected="worst", ties="drop", seed=seed, allow_large_drop=allow_large_drop)


def tulu3(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Tulu 3 does: the best mean of the four aspects, against any of the others at random, ties and all.

    Source: Lambert et al., "Tulu 3" (arXiv 2411.15124), and its code, open-instruct's `synth_pref/parse_preferences.py`
    (unseeded; the first of tied maxima; a rating that cannot be parsed counts as -1, and a lone completion is paired
    with itself). Here the choice is a keyed hash, and a completion without all four ratings is left out.

    >>> tulu3() == binarize(score=mean(*ASPECTS), rejected="random_other", ties="keep")
    True
    """
    return binarize(
        score=mean(*ASPECTS), rejected="random_other", ties="keep", seed=seed, allow_large_drop=allow_large_drop
    )
