"""Turn rated completions into pairs: the Pairing of the recipes for preference data.

Other tools choose the first of tied maxima and reject the first of tied minima, which may be one completion, and draw
without a seed. Here each text of a row counts once, a pair has two different texts, and every random choice is a keyed
hash of the content of the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import MixtureError, check_number, is_number
from curate.kernels.buffers import frozen, view
from curate.kernels.hashing import Hashes, hash_strings, ranks
from curate.rows.identity import content_hashes
from curate.rows.parts import conform, is_full
from curate.rows.schema import BODIES, FULL, kind_of
from curate.rows.take import take_array
from curate.steps._settings import check_choice
from curate.steps.base import Paired, Pairing
from curate.steps.pairs._pair_models import models_of, with_models
from curate.steps.pairs._pairing_kernel import (
    LENGTH_MATCHED,
    MADE,
    NONE_GOOD_ENOUGH,
    ROUGH,
    Pairs,
    RankedCompletions,
    choose,
)
from curate.steps.pairs.completion_scores import ASPECTS, Blend, mean, rounded, scores_of

Rejected: TypeAlias = Literal["random_lower", "worst", "next_best", "all_lower", "random_other", "length_matched"]
Ties: TypeAlias = Literal["drop", "keep"]

STRATEGIES: Final = get_args(Rejected)
"""The code of a strategy in the kernel is its index."""

REASONS: Final = ("one_completion", "missing_score", "none_good_enough", "all_tied", "drawn_tied", "below_margin")
_ONE, _MISSING, _FIRST = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """See `at_least`."""

    score: float


def at_least(score: float) -> AtLeast:
    """Let every completion with at least this score be chosen, for `binarize(chosen=)`.

    Args:
        score: The lowest score of a chosen completion.

    Returns:
        The setting.

    Raises:
        MixtureError: `score` is not a number.

    Example:
        >>> at_least(7)
        AtLeast(score=7.0)
    """
    if not is_number(score):
        raise MixtureError(f"at_least({score!r}) takes a number")
    return AtLeast(score=float(score))


@dataclass(frozen=True, kw_only=True)
class Binarize(Pairing):
    """See `binarize`."""

    name: ClassVar[str] = "binarize"
    version: ClassVar[int] = 2
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
            raise MixtureError(
                f"{self.name}() pairs rated rows; these are {kind_of(body.schema)} rows. "
                "Read them in a format with several scored completions a row: rated(), ultrafeedback(), joined()"
            )
        answers = body["completions"]
        offsets = answers.offsets.to_numpy(zero_copy_only=True)
        values = answers.values.slice(offsets[0], offsets[-1] - offsets[0])
        row = np.repeat(np.arange(body.num_rows, dtype=np.int32), np.diff(offsets))
        contents = values.field("content")
        texts = hash_strings(view(contents))
        text, different = _distinct(row, texts, body.num_rows)
        ranked, place, model = self._ranked(body, values, row, texts, text)
        pairs, outcome = self._choose(ranked)
        reason = outcome.astype(np.int16) - NONE_GOOD_ENOUGH + _FIRST
        reason[outcome == MADE] = -1
        reason[np.diff(ranked.offsets) < 2] = _MISSING
        reason[different < 2] = _ONE
        columns = [
            take_array(body["messages"], pairs.row),
            *(_answers(values, place[side]) for side in (pairs.chosen, pairs.rejected)),
            *(pa.array(ranked.score[side]) for side in (pairs.chosen, pairs.rejected)),
            *(body[name].take(pa.array(pairs.row)) for name in body.schema.names[2:-1]),
            with_models(
                body["meta"].take(pa.array(pairs.row)),
                *(model.take(pa.array(side)) for side in (pairs.chosen, pairs.rejected)),
            ),
        ]
        names = [*BODIES["preference"].names[:-1], *body.schema.names[2:]]
        made = pa.RecordBatch.from_arrays(columns, names=names)
        return Paired(conform(made, (FULL if is_full(body.schema) else BODIES)["preference"]), pairs.row, reason)

    def _ranked(
        self,
        body: pa.RecordBatch,
        values: pa.StructArray,
        row: NDArray[np.int32],
        texts: Hashes,
        text: NDArray[np.int64],
    ) -> tuple[RankedCompletions, NDArray[np.int64], pa.StringArray]:
        """Return the completions that can be paired, and for each the index of one with its text, and its model.

        Those of equal text are one, with the mean of their scores.
        """
        score = scores_of(values.field("scores"), self.score)
        there = np.flatnonzero(np.isfinite(score))
        order = there[np.lexsort((score[there], text[there]))]
        begins = np.diff(text[order], prepend=-1) != 0
        place, one = order[begins], np.cumsum(begins) - 1
        model = models_of(values.field("model"), order, begins)
        counts = np.bincount(one, minlength=len(place))
        means = np.where(counts > 1, rounded(np.bincount(one, score[order], len(place)) / counts), score[place])
        prompts = ranks(content_hashes(body.select(["messages"])), np.zeros(body.num_rows, np.uint64), self.seed)
        rank = ranks(Hashes(texts.high[place], texts.low[place]), prompts[row[place]], self.seed)
        best_first = np.lexsort((rank, -means, row[place]))
        place, means, rank = place[best_first], means[best_first], rank[best_first]
        length = np.zeros(len(place), np.int32)
        if self.rejected == STRATEGIES[LENGTH_MATCHED]:
            length = pc.utf8_length(values.field("content").take(pa.array(place))).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row[place], minlength=body.num_rows))])
        model = model.take(pa.array(best_first))
        return RankedCompletions(frozen(offsets), frozen(means), frozen(rank), frozen(length)), place, model

    def _choose(self, ranked: RankedCompletions) -> tuple[Pairs, NDArray[np.int8]]:
        """Return the pairs, at most `pairs_per_prompt` per row (those with the lowest draws), and each outcome."""
        sizes = np.diff(ranked.offsets)
        good = np.minimum(sizes, 1) if self.chosen == "best" else sizes
        most = int((good * (np.maximum(sizes - 1, 0) if self.rejected == "all_lower" else 1)).sum())
        limit = math.nan if isinstance(self.chosen, str) else self.chosen.score
        strategy, margin = STRATEGIES.index(self.rejected), self.margin - ROUGH if self.margin else 0.0
        pairs, outcome = choose(ranked, limit, strategy, margin, self.ties == "keep", most)
        if self.pairs_per_prompt is None or not len(pairs.row):
            return pairs, outcome
        order = np.lexsort((pairs.draw, pairs.row))
        number = np.arange(len(order)) - np.searchsorted(pairs.row, pairs.row[order])
        kept = np.sort(order[number < self.pairs_per_prompt])
        return Pairs(pairs.row[kept], pairs.chosen[kept], pairs.rejected[kept], pairs.draw[kept]), outcome


def _distinct(row: NDArray[np.int32], texts: Hashes, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the texts such that those of one row are equal if their numbers are; return also how many a row has."""
    order = np.lexsort((texts.low, texts.high, row))
    begins = np.ones(len(row), np.bool_)
    begins[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in (row, texts.high, texts.low)], axis=0)
    text = np.empty(len(row), np.int64)
    text[order] = np.cumsum(begins) - 1
    return text, np.bincount(row[order[begins]], minlength=rows)


def _answers(completions: pa.StructArray, places: NDArray[np.int64]) -> pa.ListArray:
    """Return a list with one assistant message for each of `places`: its content, and its reasoning if there is any."""
    names = [name for name in ("content", "reasoning") if completions.type.get_field_index(name) >= 0]
    roles = pa.array(["assistant"]).take(pa.array(np.zeros(len(places), np.int8)))
    texts = [completions.field(name).take(pa.array(places)) for name in names]
    flat = pa.StructArray.from_arrays([roles, *texts], names=["role", *names])
    return pa.ListArray.from_arrays(pa.array(np.arange(len(places) + 1, dtype=np.int32)), flat)


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
    """Pair the completions of rated rows: one chosen, one rejected, each with its score.

    Each text counts once per row, with the mean of its scores, so chosen and rejected always differ. An empty text is a
    text. A pair carries the prompt and `meta` of its row. Where the row names the models of its completions, `meta` has
    them as `chosen_model` and `rejected_model`, except for a text that several models wrote. A row without a pair has a
    reason: `one_completion` (fewer than two different ones), `missing_score` (fewer than two have the score),
    `none_good_enough` (none reaches `at_least`), `all_tied`, `below_margin` (no two differ by `margin`, or
    "random_other" drew one that does not) or `drawn_tied` ("random_other" drew a tie).

    Args:
        score: The worth of a completion. "overall" is its score `overall`, or else `overall_score`; another name is the
            score of that name; `mean(...)` and `weighted(...)` combine several. Completions without a finite score
            are left out.
        chosen: "best", or `at_least(x)` for each completion from that score.
        rejected: One of the completions that score lower by `margin` or more: a random one ("random_lower"), the
            "worst", the "next_best", or the one nearest in length ("length_matched", characters); or each
            ("all_lower"). "random_other" draws from all others, and makes no pair if the one drawn is not lower.
        margin: The smallest difference of scores, in points, with a tolerance of 1e-9.
        ties: "keep" lets chosen and rejected have equal scores: ties count as lower, in random order. No two
            completions are paired both ways.
        pairs_per_prompt: The most pairs per row, drawn at random; those for 2 are among those for 3. None is no limit.
        seed: Changes all random choices. They are hashes of prompt and completions, so order has no effect.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: A strategy is unknown, or a number is out of range.

    Example:
        >>> from curate.rows.schema import BODIES
        >>> answers = [
        ...     {"content": text, "model": None, "scores": [{"name": "overall", "value": value}]}
        ...     for text, value in (("No.", 2.0), ("Yes, at 100 °C.", 9.0), ("Yes.", 7.5))
        ... ]
        >>> row = {"messages": [{"role": "user", "content": "Boils?"}], "completions": answers, "meta": "{}"}
        >>> body = pa.RecordBatch.from_pylist([row], BODIES["rated"])
        >>> pairs = binarize(rejected="next_best").pair(body).body.to_pylist()
        >>> [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs]
        [('Yes, at 100 °C.', 'Yes.')]
    """
    if not (isinstance(score, Blend) or (isinstance(score, str) and score)):
        raise MixtureError(f"binarize(score={score!r}): give the name of a score, mean(...) or weighted(...)")
    if not (isinstance(chosen, AtLeast) or chosen == "best"):
        raise MixtureError(f'binarize(chosen={chosen!r}): give "best" or at_least(x)')
    check_choice(f"binarize(rejected={rejected!r})", rejected, STRATEGIES)
    check_choice(f"binarize(ties={ties!r})", ties, get_args(Ties))
    for what, value, least in (("pairs_per_prompt", pairs_per_prompt, 1), ("seed", seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**64):
            raise MixtureError(f"binarize({what}={value!r}): give a whole number from {least} up")
    return Binarize(
        score=score,
        chosen=chosen,
        rejected=rejected,
        margin=check_number(f"binarize(margin={margin!r})", margin, least=0, hint=", in points of the score"),
        ties=ties,
        pairs_per_prompt=pairs_per_prompt,
        seed=seed,
        allow_large_drop=allow_large_drop,
    )


def zephyr(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Zephyr's UltraFeedback does: the best overall score against a random other one, ties included.

    Its tie-breaking and random state are not published; here both are keyed hashes. Its latest version first leaves out
    TruthfulQA's prompts: `decontaminate(evals("truthful_qa"))`.

    Args:
        seed: Changes all random choices.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Example:
        >>> zephyr().rejected, zephyr().ties
        ('random_other', 'keep')

    References:
        The card of HuggingFaceH4/ultrafeedback_binarized (one of the other three at random, "to encourage
        diversity"); Tunstall et al., "Zephyr" (arXiv:2310.16944), which says mean score instead.
    """
    return binarize(score="overall", rejected="random_other", ties="keep", seed=seed, allow_large_drop=allow_large_drop)


def argilla(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Argilla's cleaned UltraFeedback does: the best mean of the four aspects against a random lower one.

    According to their cards, its means skip an aspect that is "N/A"; here a completion needs all four. The random state
    is not published.

    Args:
        seed: Changes all random choices.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Example:
        >>> argilla().score.weights[0], argilla().ties
        (('helpfulness', 1.0), 'drop')

    References:
        The cards of argilla/ultrafeedback-binarized-preferences (-cleaned: without ties and TruthfulQA's prompts;
        -multi: every lower one, `rejected="all_lower"`).
    """
    return binarize(
        score=mean(*ASPECTS), rejected="random_lower", ties="drop", seed=seed, allow_large_drop=allow_large_drop
    )


def max_min(*, score: str | Blend = "overall", seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair the best completion with the worst; a row of ties, of which distilabel pairs one with itself, gives none.

    Args:
        score: The worth of a completion, as in `binarize`.
        seed: Changes all random choices.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Raises:
        MixtureError: `score` is no name, `mean(...)` or `weighted(...)`, or `seed` is below 0.

    Example:
        >>> max_min(score="reward").rejected
        'worst'

    References:
        distilabel's `FormatTextGenerationDPO`; Meng et al., "SimPO" (arXiv:2405.14734), which uses a reward model.
    """
    return binarize(score=score, rejected="worst", ties="drop", seed=seed, allow_large_drop=allow_large_drop)


def tulu3(*, seed: int = 0, allow_large_drop: bool = False) -> Binarize:
    """Pair as Tulu 3 does: the best mean of the four aspects against a random other one, ties included.

    Its code is unseeded, takes the first of tied maxima, counts an unparsable rating as -1 and pairs a lone completion
    with itself. Here the choice is a keyed hash, and a completion without all four ratings is left out.

    Args:
        seed: Changes all random choices.
        allow_large_drop: Accept that over half of a source is dropped, which otherwise stops the build.

    Returns:
        The step.

    Example:
        >>> tulu3() == binarize(score=mean(*ASPECTS), rejected="random_other", ties="keep")
        True

    References:
        Lambert et al., "Tulu 3" (arXiv:2411.15124); open-instruct's `synth_pref/parse_preferences.py`.
    """
    return binarize(
        score=mean(*ASPECTS), rejected="random_other", ties="keep", seed=seed, allow_large_drop=allow_large_drop
    )
