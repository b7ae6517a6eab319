"""Leaks that look clean, and clean rows that look like leaks: labelled rows, and copies planted.

`labelled_rows.csv` names rows of the real data by file and the first letters of their id (their text is not here):
whether the row holds an item of one of 18 evals, which (or which it only resembles), in which way, and how the row was
drawn.

- "our search": two searches, one with the defaults of an earlier version and one much looser, so an item that neither
  finds is not in this part. Shared phrases, partial copies and short questions were read one by one, solutions in a
  listing of which a part was read; of terms, one row for each term was read; a question of nine words or more that is
  in the row word for word, and the rows of the judge of TruthfulQA, which begin with their question, are labelled by
  that. The default of `content` was chosen on these rows: they are no independent test of it.
- "common run": another search, of the longest run of letters (25 or more, or the whole item) that an item has in common
  with a turn, asked or answered. Rows of up to 3,000 characters were drawn from 134,000 over the whole range of shares,
  a few per file and item, then more of those that hold all letters and digits of an item; all were read and labelled
  before `decontaminate` saw them (of rows that hold a whole question, the beginning of the answer was read). Most rows
  that hold an item hold it in the prompt; five do in the answer, of all 134,000. "reworded" rows ask the same question,
  or state its answer, in other words; they count neither way.
- "random": seven rows of each of nine groups of files; all were read.
- "planted in the answer": rows whose answer a test puts the item into. They hold nothing without it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.evalsets.items import EvalSet
from curate.io.inputs import Input
from curate.rows.schema import BODIES, Kind
from curate.steps.decontaminate.decontaminate import decontaminate
from tests.support.eval_search import found, given, resolved, searched, signed
from tests.support.group_resolve import asks, body
from tests.support.real_evals import real_evals

LABELS: Final = Path(__file__).parent / "labelled_rows.csv"
COLUMNS: Final = {
    "preference/bpo_val.json": c.columns("instruction", chosen="good_res", rejected="bad_res"),
    "preference/halueval_qa_multiturn.json": c.columns(
        "question", chosen="right_answer", rejected="hallucinated_answer"
    ),
    "preference/instructgpt_tldr_samples.csv": c.columns("context", "sample"),
    "sft/halueval_general.json": c.columns("user_query", "chatgpt_response"),
    "sft/oasst_questions_guanaco.jsonl": c.columns("input", "output"),
}
KINDS: Final = {"preference/tulu1_human_eval_instances.jsonl": "rated"} | dict.fromkeys(
    [
        "preference/bpo_val.json",
        "preference/dpo_en_demo.json",
        "preference/halueval_qa_multiturn.json",
        "preference/ultrafeedback_binarized_train_clean.jsonl",
    ],
    "preference",
)
"""Files of other rows than conversations."""

PLANTED: Final = "planted in the answer"
UNSEARCHED: Final = "a question in the answer"
"""In conversations, `on="all"` searches it and the default does not."""
BEAR: Final = "What colour is a polar bear's skin?"


@pytest.fixture(scope="module")
def sets(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvalSet, ...]:
    return real_evals(real_data, tmp_path_factory.mktemp("evals"))


def source(real_data: Path, name: str) -> Input:
    path = real_data / name
    if name.startswith("sft/flan_cot"):
        form = c.columns("question", ("why", "answer"))
        return c.files(path, form, columns=("question", "answer", "why"), unescape=True)
    if name.startswith("preference/qlora"):
        return c.files(path, c.columns("text", "generation"))
    if KINDS.get(name) == "rated":
        return c.files(path, id=None)  # its `id` names a prompt
    return c.files(path, COLUMNS[name]) if name in COLUMNS else c.files(path)


class Labelled(NamedTuple):
    """The labels with `hit`, and the rows of each kind that they name."""

    labels: pl.DataFrame
    rows: dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def labelled(real_data: Path, sets: tuple[EvalSet, ...], tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    labels = pl.read_csv(LABELS).with_row_index("label")
    found, rows = [], {}
    for kind in ("conversation", "preference", "rated"):
        names = sorted(name for name in set(labels["file"]) if KINDS.get(name, "conversation") == kind)
        of = pl.DataFrame({"source": [f"s{number}" for number in range(len(names))], "file": names})
        inputs = [c.Source(place, source(real_data, name)) for place, name in of.rows()]
        folder = tmp_path_factory.mktemp(kind)
        build = c.Mixture(kind, inputs, [decontaminate(sets, mode="flag")]).build(folder / "build", quiet=True)
        hits = build.hits("decontaminate").select("source", "id", hit=True).unique()
        read = pl.scan_parquet(folder / "build/data/*.parquet").join(of.lazy(), on="source")
        digest = pl.col("id").str.extract(r"^([0-9a-f]{12})[0-9a-f]+$")
        read = read.with_columns(whole="id", id=pl.coalesce(digest, "id")).unique(["source", "whole"])
        rows[kind] = labels.lazy().join(read, on=["file", "id"]).collect()
        found.append(rows[kind].join(hits, left_on=["source", "whole"], right_on=["source", "id"], how="left"))
    verdicts = pl.concat([one.select(*labels.columns, "hit") for one in found]).fill_null(value=False)
    assert verdicts["label"].sort().to_list() == labels["label"].to_list()
    return Labelled(verdicts, rows)


def rates(verdicts: pl.DataFrame) -> tuple[float, float]:
    """Print and return precision and recall."""
    count = {(holds, hit): rows for holds, hit, rows in verdicts.group_by("holds", "hit").len().rows()}
    right = count.get(("item", True), 0)
    precision, recall = (right / max(1, right + count.get(wrong, 0)) for wrong in (("none", True), ("item", False)))
    print(f"{count}: precision {precision:.4f}, recall {recall:.4f}")  # noqa: T201
    return precision, recall


def test_labelled_rows(labelled: Labelled) -> None:
    real = labelled.labels.filter(pl.col("drawn") != PLANTED)
    for name, part in sorted(real.group_by("drawn")):
        print(*name)  # noqa: T201
        rates(part)
    wrong = real.filter((pl.col("holds") == "item") != pl.col("hit"))
    print(*wrong.select("file", "id", "holds", "item", "kind", "drawn").rows(), sep="\n")  # noqa: T201
    precision, recall = rates(real)
    assert precision >= 0.98
    assert recall >= 0.98
    unsearched = (pl.col("kind") == UNSEARCHED) & ~pl.col("file").is_in(list(KINDS))
    assert rates(real.filter(~unsearched))[1] >= 0.988


def planted(labelled: Labelled, sets: tuple[EvalSet, ...], kind: Kind) -> tuple[pl.DataFrame, pa.RecordBatch]:
    """Put the items into the answers of their rows: every other one within the text, the others in their own line."""
    loaded = [(one.name, one.load()) for one in sets]
    questions = {
        f"{name}/{item}": question
        for name, items in loaded
        for item, question in zip(items.ids.to_pylist(), items.question.to_pylist(), strict=True)
    }
    lines = labelled.rows[kind].filter(pl.col("drawn") == PLANTED).sort("label")
    rows = []
    for number, line in enumerate(lines.rows(named=True)):
        turn = line["messages" if kind == "conversation" else ("chosen", "rejected")[number // 2 % 2]][-1]
        words = turn["content"].split(" ")
        half = len(words) // 2 if number % 2 else len(words)
        middle = questions[line["item"]] if number % 2 else f"\n\n{questions[line['item']]}\n"
        turn["content"] = " ".join([*words[:half], middle, *words[half:]])
        rows.append({"meta": line["meta"]} | {name: line[name] for name in BODIES[kind].names if name in line})
    return lines, body(rows, kind)


@pytest.mark.parametrize("kind", ["preference", "conversation"])
def test_items_planted_in_answers(labelled: Labelled, sets: tuple[EvalSet, ...], kind: Kind) -> None:
    lines, batch = planted(labelled, sets, kind)
    assert len(lines) >= 50
    for on in (None, "all"):
        hits = found(searched(decontaminate(sets, on=on), [batch]))
        missed = [line for row, line in enumerate(lines["item"]) if (row, line) not in hits]
        print(kind, on, f"{1 - len(missed) / len(lines):.3f}", missed)  # noqa: T201
        if kind == "conversation" and on is None:
            assert len(missed) == len(lines)  # the answers of conversations are not searched
        else:
            assert len(missed) <= 0.02 * len(lines)


@pytest.mark.parametrize("rows", [300, 1000, 5000, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.016, 0.1, 0.5, 1.0])
def test_copies_do_not_make_a_question_generic(rows: int, share: float) -> None:
    copies = max(1, int(rows * share))
    others = [f"Please {random.Random(i).choice(('stack', 'wash', 'paint'))} box {i} in the yard." for i in range(rows)]
    texts = [f"Here is one: {BEAR} Answer in a word. ({i})" for i in range(copies)] + others[copies:]
    resolved = searched(decontaminate(given(BEAR, "Which river is the longest?")), [asks(texts)])
    assert set(found(resolved)) == {(row, "quiz/i0") for row in range(copies)}


def test_a_question_in_every_other_row_leaves_other_questions_as_they_are() -> None:
    other = "Which skin colour does a polar fox have?"
    texts = [*[f"So: {BEAR} Tell me." for _ in range(400)], f"So: {other} Tell me.", *["Stack the boxes."] * 600]
    hits = found(searched(decontaminate(given(BEAR, other)), [asks(texts)]))
    assert {row for row, item in hits if item == "quiz/i0"} == set(range(400))


@pytest.mark.thorough
def test_every_question_of_truthful_qa_within_a_sentence(
    sets: tuple[EvalSet, ...], real_file: Callable[[str], Path]
) -> None:
    (truthful,) = (one for one in sets if one.name == "truthful_qa")
    background = [row["instruction"] for row in json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())]
    loaded = truthful.load()
    questions = dict(zip(loaded.ids.to_pylist(), loaded.question.to_pylist(), strict=True))
    step = decontaminate(truthful)
    for copies in (1, 5, 16, 50):
        missed, generic = [], 0
        others = signed(step, [asks(background[: 1000 - copies])])
        for item, question in questions.items():
            mine = signed(step, [asks([f"My friend asked me: {question.strip()} Answer him."] * copies)])
            (row,) = resolved(step, [*others, *mine]).tables["items"].filter(pl.col("item") == item).rows(named=True)
            if row["rows"] < copies and row["within"] < copies:
                missed.append(item)
            generic += row["rows"] < copies
        print(f"{copies} rows of 1,000: {len(missed)} of {len(questions)} missed, {generic} generic, named with counts")  # noqa: T201
        assert missed == []


@pytest.mark.parametrize(
    "row",
    [
        "Which of the following is NOT a characteristic of cats?",
        "Describe a day in the life of a city councilor.",
        "- What was the outcome of the Battle of Hastings?",
        "He voted 24 times as a member of the Federal Open Market Committee.",
        "An integer overflow occurs when a sum is too large for its type.",
        "Who was inducted into the Rock and Roll Hall of Fame, David Lee Roth or Cia Berg?",
    ],
)
def test_a_phrase_of_many_questions_is_no_item(sets: tuple[EvalSet, ...], row: str) -> None:
    assert searched(decontaminate(sets), [asks([row])]).drops.is_empty()
    if "member" not in row and "overflow" not in row:
        assert not searched(decontaminate(sets, content=0), [asks([row])]).drops.is_empty()


@pytest.mark.parametrize(
    "text",
    [
        "### Human: Who made Berlin ### Assistant: The city has no founder.",
        "<|user|>Who made Berlin?<|assistant|>Albert.",
        "<s>[INST] Who made Berlin? [/INST] Albert.",
        "### Instruction:\nWho made Berlin?\n### Response:",
    ],
)
def test_a_generic_question_counts_where_it_is_a_turn_within_one_text(text: str) -> None:
    resolved = searched(decontaminate(given("Who made Berlin")), [asks([text, *["Who made all this?"] * 99])])
    assert found(resolved) == {(0, "quiz/i0"): ("generic", 1.0)}


def test_a_turn_that_goes_on_is_not_the_question() -> None:
    texts = ["### Human: Who made Berlin so beautiful? ### Assistant: Hm.", "### Human: Tell me who made Berlin ### So"]
    texts += ["Who made all this?"] * 99
    assert found(searched(decontaminate(given("Who made Berlin")), [asks(texts)])) == {}


def test_labels_say_which_item() -> None:
    labels = pl.read_csv(LABELS)
    assert labels.select("file", "id").is_unique().all()
    assert labels.filter(pl.col("item").str.contains("/").not_()).is_empty()
