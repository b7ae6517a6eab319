"""How the model of moralising answers is made: `python -m tests.support.refusal_model DATA` writes its weights.

It learns from XSTest's answers with people's labels (CC BY 4.0), and from ordinary answers under open licences. An
answer that declines in a set phrase is learned without the sentences of its phrases: what is left of such answers is
how models moralise. An answer is dropped from a probability of one half on, so that no limit is tuned, on any fold.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from curate.kernels.buffers import view
from curate.kernels.compile import kernel
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.refusals import _answer_model
from curate.steps.refusals._answer_features import SLOTS
from curate.steps.refusals._answer_model import AnswerWeights, answer_slots, no_spans, spans_of, word_book, write_model
from curate.steps.refusals.phrase_files import FAMILIES, MORALISING, compiled
from curate.steps.refusals.phrase_hits import hits_in

Marks: TypeAlias = NDArray[np.bool_]
Scheme: TypeAlias = Literal["model", "prompt", "both"]
"""What a fold is of: answers of a model, of a share of the prompts, or of both."""

MODELS: Final = ("gpt4", "llama2new", "mistralinstruct")
FOLDER: Final = Path(_answer_model.__file__).with_name("model")
WEIGHTS, WORDS = FOLDER / "moralising.weights", FOLDER / "words.txt"

RIDGE: Final = 1.0
"""Cost of an error against that of the squared weights; from 0.3 to 3 it makes no difference."""
ORDINARY: Final = 0.2
"""Weight of an ordinary answer, of which there are three for each labelled one."""
LEAST: Final = 80
"""Features that the rest of an answer has at least to be learned, about 15 words and the request's."""
BIAS: Final = 3.0
PASSES: Final = 60
FOLDS: Final = 5


class Answers(NamedTuple):
    """XSTest: its answers, of which model they are, what people say of them, and what phrases do.

    `declines` has a phrase of `cannot_help`.
    """

    prompt: list[str]
    answer: list[str]
    model: NDArray[Any]
    refused: Marks
    complied: Marks
    declines: Marks


class Slots(NamedTuple):
    """The features of answers: answer `i` has `slots[first[i]:first[i + 1]]`."""

    first: NDArray[np.int64]
    slots: NDArray[np.int32]

    def take(self, index: NDArray[np.int64]) -> Slots:
        sizes = np.diff(self.first)[index]
        first = np.concatenate([[0], np.cumsum(sizes)])
        at = np.arange(first[-1]) - np.repeat(first[:-1] - self.first[index], sizes)
        return Slots(first, self.slots[at])

    def add(self, more: Slots) -> Slots:
        return Slots(
            np.concatenate([self.first, self.first[-1] + more.first[1:]]), np.concatenate([self.slots, more.slots])
        )

    def odds(self, weights: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
        return bias + np.add.reduceat(weights[self.slots], self.first[:-1])


class Table(NamedTuple):
    """What is learned: XSTest's answers as they are, the rest of each without its phrases, and ordinary answers."""

    answers: Answers
    whole: Slots
    rest: Slots
    shorter: Marks
    ordinary: Slots


def read_answers(data: Path) -> Answers:
    """Read XSTest's three files."""
    folder = data / "preference/xstest_completions"
    files = [pl.read_csv(folder / f"xstest_v2_completions_{model}.csv") for model in MODELS]
    table = pl.concat(file.with_columns(model=pl.lit(model)) for model, file in zip(MODELS, files, strict=True))
    label, answer = table["final_label"].to_numpy(), table["completion"].to_list()
    declines = np.zeros(len(answer), np.bool_)
    declines[phrases(answer, ("cannot_help",))["row"]] = True
    marks = (label == "2_full_refusal", label == "1_full_compliance", declines)
    return Answers(table["prompt"].to_list(), answer, table["model"].to_numpy(), *marks)


def phrases(answers: list[str], families: tuple[str, ...]) -> pl.DataFrame:
    """Return the hits of families in answers: `row`, `start` and `end`."""
    rows = [{"messages": [{"role": "assistant", "content": answer}], "meta": "{}"} for answer in answers]
    search = compiled("default", families, ())
    (part,) = segments(pa.RecordBatch.from_pylist(rows, BODIES["conversation"]), "response").parts
    hits = hits_in(part, search, "anywhere")
    return pl.DataFrame({"row": part.row[hits.place], "start": hits.start, "end": hits.end})


def read_ordinary(data: Path) -> Iterator[tuple[str, str]]:
    """Give requests and answers of GPTeacher (MIT), GSM8K (MIT), Raschka's instructions and OASST (Apache-2.0)."""
    for name in ("gpteacher_roleplay-simple-deduped-roleplay-instruct", "gpteacher_codegen-instruct"):
        for row in json.loads((data / f"sft/{name}.json").read_bytes())[:1500:2]:
            yield f"{row['instruction']} {row.get('input', '')}", row["response"]
    for line in (data / "sft/gsm8k_train.jsonl").read_text("utf-8").splitlines()[:400:2]:
        yield json.loads(line)["question"], json.loads(line)["answer"]
    for row in json.loads((data / "sft/rasbt_instruction_data.json").read_bytes())[::2]:
        yield f"{row['instruction']} {row['input']}", row["output"]
    for line in (data / "sft/oasst_en_100_tree.jsonl").read_text("utf-8").splitlines():
        yield from _dialogues(json.loads(line)["prompt"], "")


def _dialogues(node: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    if node["role"] == "assistant":
        yield before, node["text"]
    for reply in node.get("replies", ()):
        yield from _dialogues(reply, node["text"])


def read_table(data: Path) -> Table:
    """Read all that is learned, as features."""
    answers = read_answers(data)
    book, count = word_book(WORDS.read_bytes()), len(answers.answer)
    said, asked = (view(pa.array(texts, pa.string())) for texts in (answers.answer, answers.prompt))
    hits = phrases(answers.answer, tuple(family for family in FAMILIES if family != MORALISING))
    spans = spans_of(count, *(hits[name].to_numpy() for name in ("row", "start", "end")))
    rest = Slots(*answer_slots(said, asked, spans, book))
    pairs = list(read_ordinary(data))
    plain = [view(pa.array([pair[side] for pair in pairs], pa.string())) for side in (1, 0)]
    return Table(
        answers,
        Slots(*answer_slots(said, asked, no_spans(count), book)),
        rest,
        (spans.first[1:] > spans.first[:-1]) & (np.diff(rest.first) > LEAST),
        Slots(*answer_slots(plain[0], plain[1], no_spans(len(pairs)), book)),
    )


def learn(table: Table, chosen: Marks) -> tuple[NDArray[np.float64], float]:
    """Return the weights and the bias that are learned from the `chosen` answers and all ordinary ones."""
    answers = table.answers
    usable = chosen & (answers.refused | answers.complied)
    whole, rest = (np.flatnonzero(usable & mark) for mark in (~answers.declines, table.shorter))
    slots = table.whole.take(whole).add(table.rest.take(rest)).add(table.ordinary)
    count = len(table.ordinary.first) - 1
    label = np.concatenate([answers.refused[whole], answers.refused[rest], np.zeros(count, np.bool_)])
    cost = RIDGE * np.where(np.arange(len(label)) < len(label) - count, 1.0, ORDINARY)
    return _learned(slots.first, slots.slots, np.where(label, 1.0, -1.0), cost)


@kernel
def _learned(
    first: NDArray[np.int64], slots: NDArray[np.int32], sign: NDArray[np.float64], cost: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression with a ridge by dual coordinate descent (Yu, Huang and Lin, 2011)."""
    weights, bias, dual = np.zeros(SLOTS), 0.0, cost * 1e-8
    order, state = np.arange(len(sign)), np.uint64(88172645463325252)
    for i in range(len(sign)):
        for k in range(first[i], first[i + 1]):
            weights[slots[k]] += dual[i] * sign[i]
        bias += dual[i] * sign[i] * BIAS
    for _ in range(PASSES):
        for j in range(len(order) - 1, 0, -1):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            other = np.int64(state % np.uint64(j + 1))
            order[j], order[other] = order[other], order[j]
        for row in order:
            odds = bias * BIAS
            for k in range(first[row], first[row + 1]):
                odds += weights[slots[k]]
            change = _step(dual[row], cost[row], odds * sign[row], first[row + 1] - first[row] + BIAS * BIAS)
            dual[row] += change
            for k in range(first[row], first[row + 1]):
                weights[slots[k]] += change * sign[row]
            bias += change * sign[row] * BIAS
    return weights, bias * BIAS


@kernel
def _step(dual: float, cost: float, odds: float, size: float) -> float:
    """Return by how much a dual variable changes, by Newton's method within its bounds."""
    value = dual
    for _ in range(30):
        slope = np.log(value / (cost - value)) + size * (value - dual) + odds
        step = slope / (cost / (value * (cost - value)) + size)
        if value - step <= 0:
            value *= 0.1
        elif value - step >= cost:
            value = cost - (cost - value) * 0.1
        else:
            value -= step
        if abs(step) < 1e-12 * cost:
            break
    return value - dual


def share(prompt: str, count: int, key: str) -> int:
    """Return which of so many folds a prompt is in."""
    return int(hashlib.sha256(f"{key} {prompt.strip().lower()}".encode()).hexdigest(), 16) % count


def folds(answers: Answers, scheme: Scheme, key: str) -> Iterator[tuple[Marks, Marks]]:
    """Give for each fold the answers to be judged, and those to learn from, which share no prompt and no model."""
    part = np.array([share(prompt, FOLDS, key) for prompt in answers.prompt])
    every = np.ones(len(part), np.bool_)
    for number in range(FOLDS) if scheme != "model" else [-1]:
        for name in MODELS if scheme != "prompt" else [""]:
            prompt, model = (part == number) | (number < 0), (answers.model == name) | (not name)
            apart = every & (~prompt | (number < 0)) & (~model | (not name))
            yield prompt & model, apart


def validate(table: Table, scheme: Scheme, key: str = "outer") -> Marks:
    """Mark the answers without a phrase that moralise by weights which were learned without their fold."""
    answers = table.answers
    hit = np.zeros(len(answers.answer), np.bool_)
    for judged, learned in folds(answers, scheme, key):
        hit |= judged & ~answers.declines & (table.whole.odds(*learn(table, learned)) >= 0)
    return hit


def make(table: Table) -> bytes:
    """Return the file of the model that is learned from all answers."""
    every = np.ones(len(table.answers.answer), np.bool_)
    weights, bias = learn(table, every)
    scale = float(np.abs(weights).max() / 127)
    rounded = np.round(weights / scale).astype(np.int8)
    return write_model(AnswerWeights(rounded, round(scale, 8), round(bias, 6)), WORDS.read_bytes())


if __name__ == "__main__":
    WEIGHTS.write_bytes(make(read_table(Path(sys.argv[1]))))
