"""Leaks that look clean, and clean rows that look like leaks: labelled rows, and copies planted.

`labelled_rows.csv` names rows of the real data by file and the first letters of their id (their text is not here):
whether the row holds an item of one of 18 evals, which (or which it only resembles), and in which way. The rows were
found by two searches, one with the defaults of an earlier version and one much looser, so an item that neither finds is
not in the set. Shared phrases, partial copies and short questions were read one by one, solutions in a listing of which
a part was read; of terms, one row for each term was read; a question of nine words or more that is in the row word for
word, and the rows of the judge of TruthfulQA, which begin with their question, are labelled by that. The default of
`content` was chosen on these rows: they are no independent test of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import polars as pl
import pytest

import curate as c
from curate.evalsets.items import EvalSet
from curate.io.inputs import Input
from curate.steps.decontaminate.decontaminate import decontaminate
from tests.support.eval_search import found, given, searched
from tests.support.group_resolve import asks
from tests.support.real_evals import real_evals

LETTERS: Final = 12
LABELS: Final = Path(__file__).parent / "labelled_rows.csv"
COLUMNS: Final = {
    "sft/halueval_general.json": c.columns("user_query", "chatgpt_response"),
    "sft/oasst_questions_guanaco.jsonl": c.columns("input", "output"),
}
BEAR: Final = "What colour is a polar bear's skin?"


@pytest.fixture(scope="module")
def sets(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvalSet, ...]:
    return real_evals(real_data, tmp_path_factory.mktemp("evals"))


def sources(real_data: Path, names: list[str]) -> Iterator[tuple[str, Input]]:
    for name in names:
        form = COLUMNS.get(name)
        yield name, c.files(real_data / name, form) if form else c.files(real_data / name)


def test_labelled_rows(real_data: Path, sets: tuple[EvalSet, ...], tmp_path: Path) -> None:
    labels = pl.read_csv(LABELS).with_row_index("label")
    names = labels["file"].unique().sort().to_list()
    mixture = c.Mixture(
        "labelled",
        [c.Source(f"s{number}", source) for number, (_, source) in enumerate(sources(real_data, names))],
        [decontaminate(sets, mode="flag")],
    )
    build = mixture.build(tmp_path / "build", quiet=True)
    of = pl.DataFrame({"source": [f"s{number}" for number in range(len(names))], "file": names})
    rows = pl.read_parquet(tmp_path / "build/data/*.parquet", columns=["source", "id"]).join(of, on="source")
    rows = labels.join(rows, on="file").filter(
        (pl.col("id_right") == pl.col("id"))
        | ((pl.col("id").str.len_chars() == LETTERS) & pl.col("id_right").str.starts_with(pl.col("id")))
    )
    assert rows["label"].n_unique() == labels.height
    hits = build.hits("decontaminate").select("source", id_right="id", hit=True).unique()
    verdicts = rows.join(hits, on=["source", "id_right"], how="left").unique("label").fill_null(value=False)
    table = verdicts.group_by("holds", "hit").len().rows()
    count = {(holds, hit): rows for holds, hit, rows in table}
    precision = count["item", True] / (count["item", True] + count.get(("none", True), 0))
    recall = count["item", True] / (count["item", True] + count.get(("item", False), 0))
    print(f"{count}: precision {precision:.4f}, recall {recall:.4f}")  # noqa: T201
    print(verdicts.filter((pl.col("holds") == "item") != pl.col("hit")).select("file", "id", "item", "kind").rows())  # noqa: T201
    assert labels["holds"].value_counts().filter(pl.col("count") < 400).is_empty()
    assert precision >= 0.98
    assert recall >= 0.98


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
        batch = asks(background[: 1000 - copies])
        for item, question in questions.items():
            resolved = searched(step, [batch, asks([f"My friend asked me: {question.strip()} Answer him."] * copies)])
            (row,) = resolved.tables["items"].filter(pl.col("item") == item).rows(named=True)
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
