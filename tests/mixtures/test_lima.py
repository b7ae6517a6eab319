"""LIMA is read, built and held against what was published.

GAIR/lima has train.jsonl and test.jsonl with the columns `conversations` (list of texts) and `source`, is gated, and
"other" by licence: open-instruct e6c3044, scripts/data/sft/lima.py and scripts/data/sft_v1_v2/prepare_tulu_v1_v2.sh.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.support.replicas import QUESTION, Row, built_clean, built_twice, full_size, recipe, repository, sampled, text


def row(number: int, texts: int) -> Row:
    return {"conversations": [text(f"lima {number}/{i}") for i in range(texts)], "source": "stackexchange"}


TRAIN: Final = [row(i, 2) for i in range(8)] + [row(8, 5), row(9, 4)]
REPLICAS: Final = {
    "GAIR/lima": repository(
        {"train.jsonl": TRAIN, "test.jsonl": [row(i, 1) for i in range(10, 13)]}, licence="other", gated=True
    )
}


def test_a_replica_builds_as_published(tmp_path: Path) -> None:
    build = built_twice("lima", REPLICAS, tmp_path, scale=0.01)
    assert build.reproduction()["difference"].to_list() == [0, 0]
    kept = build.kept().collect()
    assert sorted(kept["messages"].list.len()) == [2] * 8 + [4, 4], "the open question at the end of five texts is cut"
    assert build.licences["licence"].to_list()[0] == "other"


def test_the_plan_at_full_size() -> None:
    assert full_size(recipe("lima")) == sampled(recipe("lima")) == {"lima": 1_030}


def test_the_clean_rows(tmp_path: Path) -> None:
    leaked = {"conversations": [QUESTION, text("a")], "source": "wikihow"}
    replica = repository({"train.jsonl": [*TRAIN, leaked, TRAIN[0] | {"source": "wikihow"}]}, gated=True)
    build = built_clean("lima", {"GAIR/lima": replica}, tmp_path)
    assert sorted(build.dropped()["step"]) == ["decontaminate", "dedup"]
    assert build.reproduction()["rows"].to_list() == [10, 10]
