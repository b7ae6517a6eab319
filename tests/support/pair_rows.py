"""How tests drive `binarize` and its slow definition over the same rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.kernels.buffers import view
from curate.kernels.hashing import Hashes, hash_strings, ranks
from curate.rows.identity import content_hashes
from curate.rows.schema import BODIES, MESSAGES
from curate.steps.base import Paired
from curate.steps.pairs.binarize import AtLeast, Binarize, Rejected, Ties, at_least, binarize
from curate.steps.pairs.completion_scores import Blend
from tests.reference.binarize import Pair, pairs

MASK: Final = 2**64 - 1
Row = dict[str, Any]
Answers = list[list[Pair] | str]
Orders = tuple[Callable[[str], int], Callable[[str, str], int]]


def body(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES["rated"])


def ask(*completions: tuple[Any, ...], prompt: str = "Why?", meta: str = "{}") -> Row:
    """A rated row of (text, score) or (text, {name: score}) completions."""
    answers = [
        {
            "content": text,
            "model": None,
            "scores": [
                {"name": name, "value": value}
                for name, value in (scores if isinstance(scores, dict) else {"overall": scores}).items()
            ],
        }
        for text, scores in completions
    ]
    return {"messages": [{"role": "user", "content": prompt}], "completions": answers, "meta": meta}


def outcomes(step: Binarize, batch: pa.RecordBatch) -> Answers:
    """What the step says of each row: its pairs, or the reason."""
    found = step.pair(batch)
    assert_sound(batch, found)
    answers: Answers = [[] if place < 0 else step.reasons()[place] for place in found.reason.tolist()]
    texts = (found.body[side].values.field("content").to_pylist() for side in ("chosen", "rejected"))
    scores = (found.body[f"{side}_score"].to_pylist() for side in ("chosen", "rejected"))
    for number, *pair in zip(found.row.tolist(), *texts, *scores, strict=True):
        mine = answers[number]
        assert isinstance(mine, list)
        mine.append(Pair(*pair))
    return answers


def assert_sound(batch: pa.RecordBatch, found: Paired) -> None:
    """What holds of every answer: rows ascend, pairs or a reason, one message a side, fields as they were."""
    found.body.validate(full=True)
    assert found.body.schema == BODIES["preference"]
    assert (np.diff(found.row) >= 0).all()
    assert len(found.reason) == batch.num_rows
    assert {*np.flatnonzero(found.reason == -1).tolist()} == {*found.row.tolist()}
    assert without_models(found.body["meta"]).equals(without_models(batch["meta"].take(pa.array(found.row))))
    assert found.body["prompt"].equals(batch["messages"].take(pa.array(found.row)))
    for side in ("chosen", "rejected"):
        assert (np.diff(found.body[side].offsets) == 1).all()
        assert set(found.body[side].values.field("role").to_pylist()) <= {"assistant"}


def without_models(meta: pa.StringArray) -> pa.StringArray:
    """The fields of pairs but for the models of their answers."""
    return pc.replace_substring_regex(meta, r',?"(chosen|rejected)_model":"([^"\\]|\\.)*"', "")


def expected(step: Binarize, rows: list[Row], drawn: list[Orders] | None = None) -> Answers:
    """What the slow definition says; `drawn` are the orders of the rows, where many steps of one seed share them."""
    score = scorer(step.score)
    drawn = drawn or [orders(row, step.seed) for row in rows]
    return [pairs(row, score, step, *order) for row, order in zip(rows, drawn, strict=True)]


def scorer(score: str | Blend) -> Callable[[dict[str, float]], float | None]:
    def one(scores: dict[str, float]) -> float | None:
        good = {name: value for name, value in scores.items() if value is not None and np.isfinite(value)}
        if isinstance(score, Blend):
            if not all(name in good for name, _ in score.weights):
                return None
            total = 0.0
            for name, weight in score.weights:
                total += weight * good[name]
            return float(np.round(total / sum(abs(weight) for _, weight in score.weights), 9))
        return good.get(score, good.get("overall_score") if score == "overall" else None)

    return one


def orders(row: Row, seed: int) -> Orders:
    """Return the keyed hash of a text of this row, and that of a pair of texts."""
    messages = pa.RecordBatch.from_arrays([pa.array([row["messages"]], MESSAGES)], ["messages"])
    texts = list({each["content"] for each in row["completions"]})
    hashes = hash_strings(view(pa.array(texts, pa.string())))
    prompt = ranks(content_hashes(messages), np.zeros(1, np.uint64), seed)
    known = dict(zip(texts, ranks(Hashes(*hashes), np.repeat(prompt, len(texts)), seed).tolist(), strict=True))
    return known.__getitem__, cache(lambda one, other: mixed(known[one] + mixed(known[other])))


def mixed(word: int) -> int:
    """MurmurHash3's finaliser."""
    word &= MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word = (word ^ word >> 33) * factor & MASK
    return word ^ word >> 33


def every_strategy(score: str | Blend, good: float, margin: float) -> list[Binarize]:
    """Return steps of every strategy, with and without ties, a margin, a limit and each way to choose."""
    choices: tuple[Literal["best"] | AtLeast, ...] = ("best", at_least(good))
    ways = product(get_args(Rejected), choices, (0.0, margin), get_args(Ties), (None, 2))
    return [
        binarize(score=score, rejected=rejected, chosen=chosen, margin=least, ties=ties, pairs_per_prompt=most, seed=7)
        for rejected, chosen, least, ties, most in ways
    ]
