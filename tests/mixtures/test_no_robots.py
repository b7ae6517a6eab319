"""No Robots is read, built and held against its card.

HuggingFaceH4/no_robots has the splits `train` and `test` in data/train-* and data/test-*, with the columns `prompt,
prompt_id, messages, category`, and the licence cc-by-nc-4.0: its README on the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.replicas import QUESTION, Row, built_clean, built_twice, chat, full_size, recipe, repository


def row(number: int, split: str, **first: str) -> Row:
    messages = chat(f"{split} {number}", 2, **first)
    return {
        "prompt": messages[0]["content"],
        "prompt_id": f"{number:064x}",
        "messages": messages,
        "category": "Open QA",
    }


SPLITS: Final = {"train": 95, "test": 5}
REPLICAS: Final = {
    "HuggingFaceH4/no_robots": repository(
        {f"data/{one}-00000-of-00001.parquet": [row(i, one) for i in range(size)] for one, size in SPLITS.items()},
        licence="cc-by-nc-4.0",
        configs={"default": {"train": "data/train-*", "test": "data/test-*"}},
    )
}


@pytest.mark.parametrize(("split", "rows"), SPLITS.items())
def test_a_replica_builds_as_published(tmp_path: Path, split: str, rows: int) -> None:
    build = built_twice("no_robots", REPLICAS, tmp_path, split=split, scale=0.01, revision=None)
    assert build.reproduction().row(0, named=True)["why"] == "same count"
    assert build.kept().collect().height == rows
    assert build.licences.row(0) == (split, "cc-by-nc-4.0", rows, None)


def test_the_plan_at_full_size() -> None:
    assert full_size(recipe("no_robots")) == {"train": 9_500}
    assert full_size(recipe("no_robots", split="test")) == {"test": 500}


def test_the_clean_mixture_says_what_it_removed(tmp_path: Path) -> None:
    rows = [*(row(i, "train") for i in range(9)), row(3, "train") | {"prompt_id": "f"}, row(10, "train", user=QUESTION)]
    replica = repository({"data/train-0.parquet": rows})
    build = built_clean("no_robots", {"HuggingFaceH4/no_robots": replica}, tmp_path, revision=None)
    assert build.dropped()["step"].to_list() == ["dedup", "decontaminate"]
    assert build.contamination().row(0, named=True)["eval"] == "quiz"
