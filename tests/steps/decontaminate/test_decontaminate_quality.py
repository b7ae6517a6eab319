"""`decontaminate` on real rows, against all evals of the real data (18 sets, 40,771 items).

What is planted must be found; what is known to be in a file is found in full; what is found elsewhere was read by eye.
Run with -s to see the figures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa
import pytest

from curate.evalsets.items import EvalSet
from curate.io.formats.columns import columns
from curate.io.inputs import Input, files
from curate.steps.decontaminate.decontaminate import decontaminate
from tests.support.eval_search import found, searched
from tests.support.group_resolve import asks, body
from tests.support.real_evals import real_evals, rephrased

Find = Callable[[str], Path]

PLANTED: Final = 60
"""Items planted of each eval set; of all of them it would be 200,000 rows."""

STRANGERS: Final = ("apple", "seven", "quickly", "under", "garden", "theory", "purple", "run", "system", "music")

ITEM: Final = "the item itself"
VARIANT: Final = "a question with one word changed"
OPTION: Final = "false alarm: one of the choices of another question, on a line of its own"

READ: Final[dict[str, dict[str, tuple[str, int, str]]]] = {
    "lima": {
        "mmlu/professional_law_test/0": ("overlap", 1, ITEM),
        "truthful_qa/107": ("generic", 1, ITEM),
    },
    "flan": {
        "alpaca_eval/198": ("overlap", 1, VARIANT),
        "koala/koala_87": ("overlap", 1, VARIANT),
        "mmlu/nutrition_test/173": ("generic", 1, OPTION),
    },
    "t0": {"mmlu/high_school_chemistry_test/28": ("generic", 3, ITEM)},
}
"""Every item found in LIMA, FLAN CoT and T0: why, in how many rows, and what it is, by eye."""


class Item(NamedTuple):
    """An item by the name that hits have for it, and its question."""

    name: str
    question: str

    @property
    def words(self) -> list[str]:
        return self.question.split()


@pytest.fixture(scope="module")
def sets(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvalSet, ...]:
    return real_evals(real_data, tmp_path_factory.mktemp("evals"))


@pytest.fixture(scope="module")
def items(sets: tuple[EvalSet, ...]) -> list[Item]:
    """Some items of each set, a fixed choice."""
    chosen: list[Item] = []
    for one in sets:
        loaded = one.load()
        every = [
            Item(f"{one.name}/{name}", text) for name, text in zip(*map(pa.Array.to_pylist, loaded[:2]), strict=True)
        ]
        chosen += random.Random(1).sample(every, min(PLANTED, len(every)))
    return chosen


def read(source: Input) -> list[pa.RecordBatch]:
    opened = source.open()
    return [opened.parse(block).body for block in opened.blocks()]


def planted_rows(items: list[Item], write: Callable[[str], str], turns: int) -> pa.RecordBatch:
    chatter = [("user", "Hello there."), ("assistant", "Hello! How can I help?")] * (turns // 2)
    return body(
        [
            {"messages": [{"role": role, "content": text} for role, text in [*chatter, ("user", write(item.question))]]}
            for item in items
        ]
    )


@pytest.mark.parametrize(
    ("write", "turns"),
    [
        (lambda text: text, 1),
        (lambda text: text.swapcase(), 1),
        (lambda text: f"Please answer the following for me, my friend: {text}", 1),
        (lambda text: f"{text} Please think step by step, then tell me.", 1),
        (lambda text: text, 3),
    ],
    ids=["verbatim", "re-cased", "prefixed", "suffixed", "in turn three"],
)
def test_planted_items_are_all_found(
    sets: tuple[EvalSet, ...], items: list[Item], write: Callable[[str], str], turns: int
) -> None:
    resolved = searched(decontaminate(sets), [planted_rows(items, write, turns)])
    kinds = {
        f"{name}/{item}": kind for name, item, kind in resolved.tables["items"].select("eval", "item", "kind").rows()
    }
    hits = found(resolved)
    missed = [item.name for row, item in enumerate(items) if (row, item.name) not in hits]
    apart = [name for name in missed if kinds[name] == "generic"]
    print(f"{len(items)} planted, {len(missed) - len(apart)} missed, {len(apart)} generic ones within longer text")  # noqa: T201
    assert [name for name in missed if kinds[name] not in {"generic", "unmatchable"}] == []
    if write("x") in {"x", "X"}:
        assert apart == []


@pytest.mark.parametrize("edit", ["insert", "delete", "substitute"])
def test_one_changed_word_in_twelve_or_more(sets: tuple[EvalSet, ...], items: list[Item], edit: str) -> None:
    chance = random.Random(2)
    long = [item for item in items if len(item.words) >= 12]

    def changed(text: str) -> str:
        words = text.split()
        place = chance.randrange(len(words))
        words[place : place + (edit != "insert")] = [chance.choice(STRANGERS)] if edit != "delete" else []
        return f"Please answer this. {' '.join(words)} Thanks a lot!"

    rows = [planted_rows(long, changed, 1)]
    recall = {}
    for fuzzy in (None, 0.85):
        hits = found(searched(decontaminate(sets, fuzzy=fuzzy), rows))
        recall[fuzzy] = sum((row, item.name) in hits for row, item in enumerate(long)) / len(long)
    print(f"{edit}: {len(long)} planted, recall {recall[None]:.4f}, with fuzzy=0.85 {recall[0.85]:.4f}")  # noqa: T201
    assert recall[0.85] >= 0.95


def test_all_rows_of_ultrafeedback(sets: tuple[EvalSet, ...], real_file: Find) -> None:
    batches = read(files(real_file("preference/ultrafeedback_truthful_qa_completions.json")))
    falls = searched(decontaminate(sets), batches).drops
    assert falls["row"].to_list() == list(range(10))
    assert falls["match"].str.starts_with("truthful_qa/").all()


def test_the_judge_of_truthful_qa(sets: tuple[EvalSet, ...], real_file: Find) -> None:
    batches = read(files(real_file("sft/truthfulqa_judge_finetune_truth.jsonl")))
    resolved = searched(decontaminate(sets), batches)
    mine = resolved.tables["hits"].filter(pl.col("eval") == "truthful_qa")
    print(resolved.drops["reason"].value_counts(sort=True).rows())  # noqa: T201
    assert (mine["item"].n_unique(), mine["row"].n_unique()) == (816, 22_408)
    assert set(mine["row"]) <= set(resolved.drops["row"])


def test_gsm8k_train_is_not_gsm8k_test(sets: tuple[EvalSet, ...], real_file: Find) -> None:
    gsm8k = [one for one in sets if one.name == "gsm8k"]
    for name in ("sft/gsm8k_train.jsonl", "sft/gsm8k_train_alpaca.json"):
        batches = read(files(real_file(name)))
        for fuzzy in (None, 0.85):
            assert found(searched(decontaminate(gsm8k, on="all", fuzzy=fuzzy), batches)) == {}
        variants = found(searched(decontaminate(gsm8k, on="all", numbers=False, content=0), batches))
        assert {item for _, item in variants} == {"gsm8k/602", "gsm8k/632"}


@pytest.mark.parametrize("name", READ)
def test_what_else_is_found_was_read_by_eye(sets: tuple[EvalSet, ...], real_file: Find, name: str) -> None:
    sources = {
        "lima": lambda: files(real_file("sft/lima.json")),
        "flan": lambda: files(
            real_file("sft/flan_cot"),
            columns("question", ("why", "answer")),
            columns=("question", "answer", "why"),
            unescape=True,
        ),
        "t0": lambda: files(real_file("sft/t0_train_50k")),
    }
    batches = read(sources[name]())
    hits = searched(decontaminate(sets), batches).tables["hits"]
    counts = hits.group_by(pl.concat_str("eval", "item", separator="/"), "reason").len().rows()
    print(f"{name}: {sum(batch.num_rows for batch in batches):,} rows, {hits['row'].n_unique()} hold an item")  # noqa: T201
    assert {item: (reason, rows) for item, reason, rows in counts} == {
        item: (reason, rows) for item, (reason, rows, _) in READ[name].items()
    }


def test_rephrased_items_as_far_as_their_words_allow(sets: tuple[EvalSet, ...], real_data: Path) -> None:
    """A rephrasing by a model keeps hardly any run of words: figures, not a promise."""
    for one in rephrased(real_data):
        texts = one.load().question.to_pylist()
        rows = {
            fuzzy: searched(decontaminate(sets, fuzzy=fuzzy), [asks(texts)]).tables["hits"]["row"].n_unique()
            for fuzzy in (None, 0.85, 0.6)
        }
        print(f"{one.name}: {len(texts)} texts; found by fuzzy:", rows)  # noqa: T201
        assert 0 <= rows[None] <= rows[0.85] <= rows[0.6] <= len(texts)
