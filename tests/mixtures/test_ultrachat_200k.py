"""UltraChat 200k, as published and from the raw dialogues.

Schemas: HuggingFaceH4/ultrachat_200k has `prompt, prompt_id, messages` in data/train_sft-*, test_sft-*, train_gen-* and
test_gen-* (its card and its files); stingning/ultrachat `id, data` (a list of texts) in train_0.jsonl to train_9.jsonl.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.replicas import QUESTION, Row, built_clean, built_twice, chat, full_size, recipe, repository, text

SPLITS: Final = {"train_sft": 207_865, "test_sft": 23_110, "train_gen": 256_032, "test_gen": 28_304}


def published(split: str, number: int) -> Row:
    messages = chat(f"{split} {number}", 4)
    return {"prompt": messages[0]["content"], "prompt_id": f"{split}{number}", "messages": messages}


H4: Final = {
    "HuggingFaceH4/ultrachat_200k": repository(
        {
            f"data/{split}-00000-of-00001-3d4cd8309148a71f.parquet": [
                published(split, i) for i in range(round(rows / 500))
            ]
            for split, rows in SPLITS.items()
        },
        licence="mit",
        configs={"default": {split: f"data/{split}-*" for split in SPLITS}},
    )
}
FLAWED: Final = "Hello. how are you? the harbour is quiet today. it is."
MENDED: Final = "Hello. How are you? The harbour is quiet today. It is."
PHRASES: Final = (
    "I do not have emotions, but the lantern is lit.",
    "That is a fine ribbon. I don't have opinions on it.",
    "I don't have personal experiences with cars.",
)


@pytest.mark.parametrize(("split", "rows"), SPLITS.items())
def test_the_plan_at_full_size_is_that_of_the_card(split: str, rows: int) -> None:
    assert full_size(recipe("ultrachat_200k", split=split)) == {split: rows}


def test_the_subset_has_the_size_of_both_splits() -> None:
    raw = recipe("ultrachat_200k", raw=True)
    assert full_size(raw) == {"ultrachat": 207_865 + 23_110}
    assert raw.test is not None
    assert raw.test.n == 23_110  # type: ignore[union-attr]  # rows


def test_a_replica_of_the_published_rows_builds(tmp_path: Path) -> None:
    build = built_twice("ultrachat_200k", H4, tmp_path, scale=1 / 500)
    assert build.reproduction()["rows"].to_list() == [416, 416]
    assert build.kept().collect()["meta"].str.contains("prompt_id").all()


def test_the_raw_dialogues_are_put_right_as_zephyr_says(tmp_path: Path) -> None:
    """Every planted sentence without a capital is mended, and every phrase removed; no other text changes."""
    data = [[text(f"raw {i}/{turn}") for turn in range(4)] for i in range(460)]
    for i in range(0, 460, 20):
        data[i][1] = FLAWED
    for i in range(10, 460, 20):
        data[i][3] = PHRASES[i % 3]
    rows = [{"id": str(i), "data": texts} for i, texts in enumerate(data)]
    replica = repository({f"train_{i}.jsonl": rows[i::10] for i in range(10)}, licence="mit")
    settings = {"raw": True, "rows": 437, "test": 44, "scale": 1.0}
    build = built_twice("ultrachat_200k", {"stingning/ultrachat": replica}, tmp_path, **settings)
    kept = build.kept().collect()
    answers = kept["messages"].explode().struct.field("content")
    assert kept.height == 437, "460 less the 23 with a phrase"
    assert (answers == MENDED).sum() == 23
    assert not answers.is_in([FLAWED, *PHRASES]).any()
    assert build.dropped(step="refusals").height == 23
    assert answers.is_in([MENDED, *(said for one in data for said in one)]).all(), "and no other text was changed"
    why = build.reproduction().filter(source="ultrachat")["why"].item()
    assert why.startswith("437 rows were asked for")
    assert build.funnel.filter(source="ultrachat")["rows"].item() == 437


def test_the_clean_rows(tmp_path: Path) -> None:
    leaked = published("leaked", 0) | {"messages": chat("leaked", user=QUESTION)}
    rows = [*(published("train_sft", i) for i in range(20)), leaked, published("train_sft", 3) | {"prompt_id": "again"}]
    replica = repository({"data/train_sft-0.parquet": rows}, configs={"default": {"train_sft": "data/train_sft-*"}})
    build = built_clean("ultrachat_200k", {"HuggingFaceH4/ultrachat_200k": replica}, tmp_path)
    assert sorted(build.dropped()["step"]) == ["decontaminate", "dedup"]
