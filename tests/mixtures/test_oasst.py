"""OpenAssistant's dialogues as Tulu 2 and Tulu 3 took them.

Schemas, from the card of OpenAssistant/oasst1: trees in 2023-04-12_oasst_ready.trees.jsonl.gz; a message a row in the
splits train (84,437) and validation of data/*.parquet: `message_id, parent_id, text, role, lang, deleted, rank, labels`
(lists of `name, value, count`) and others. oasst2 has 2023-11-05_oasst2_ready.trees.jsonl.gz.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.support.replicas import QUESTION, Row, built_clean, built_twice, full_size, recipe, repository, text

TREES: Final = 86


def messages(number: int) -> list[Row]:
    """A question with two answers, the first better by rank and the second by quality; some end with a question."""

    def message(name: str, parent: str | None, role: str, quality: float, **more: Any) -> Row:  # noqa: ANN401
        at = None if parent is None else f"{number}{parent}"
        labels = {"name": ["spam", "quality"], "value": [0.0, quality], "count": [3, 3]}
        said = {"message_id": f"{number}{name}", "parent_id": at, "text": text(f"oasst {number}{name}"), "role": role}
        return {**said, "lang": "en", "deleted": False, "rank": None, "labels": labels, **more}

    made = [
        message("a", None, "prompter", 0.5),
        message("b", "a", "assistant", 0.25, rank=0),
        message("c", "a", "assistant", 0.75, rank=1),
    ]
    if number % 10 == 0:
        made.append(message("d", "c", "prompter", 0.5))
    if number % 10 == 1:
        made[2]["text"] = "I am Open Assistant."
    return made


def tree(number: int) -> Row:
    nested = {
        one["message_id"]: {
            **one,
            "replies": [],
            "labels": {"quality": {"value": one["labels"]["value"][1], "count": 3}},
        }
        for one in messages(number)
    }
    for one in nested.values():
        if one["parent_id"] is not None:
            nested[one["parent_id"]]["replies"].append(one)
    return {"message_tree_id": f"{number}a", "tree_state": "ready_for_export", "prompt": nested[f"{number}a"]}


OASST: Final = {
    f"OpenAssistant/oasst{release}": repository(
        {
            f"{name}.trees.jsonl.gz": [tree(i) for i in range(TREES)],
            "data/train-00000-of-00001-b42a775f407cee45.parquet": [one for i in range(TREES) for one in messages(i)],
            "data/validation-00000-of-00001-134b8fd0c89408b6.parquet": messages(TREES),
        },
        licence="apache-2.0",
    )
    for release, name in ((1, "2023-04-12_oasst_ready"), (2, "2023-11-05_oasst2_ready"))
}


def test_the_plans_at_full_size() -> None:
    assert full_size(recipe("oasst")) == {"oasst": 7_708}
    assert full_size(recipe("oasst", as_in="tulu3")) == {"oasst": 7_132}
    assert not recipe("oasst", by="rank").published
    assert not recipe("oasst", replies=2).published


def test_a_replica_builds_as_in_tulu_2(tmp_path: Path) -> None:
    build = built_twice("oasst", OASST, tmp_path, scale=0.01)
    assert build.reproduction()["difference"].to_list() == [0, 0]
    last = build.kept().collect()["messages"].list.last().struct.field("content")
    assert last.is_in([*(text(f"oasst {i}c") for i in range(TREES)), "I am Open Assistant."]).all(), "by quality"
    assert build.dropped(step="shape")["reason"].unique().to_list() == ["unanswered"]


def test_a_replica_builds_as_in_tulu_3(tmp_path: Path) -> None:
    build = built_twice("oasst", OASST, tmp_path, scale=0.0095, as_in="tulu3")
    assert build.reproduction()["rows"].to_list() == [68, 68]
    assert build.dropped(step="refusals").height == 9


def test_the_other_release_by_rank(tmp_path: Path) -> None:
    build = built_twice("oasst", OASST, tmp_path, release="oasst2", by="rank")
    last = build.kept().collect()["messages"].list.last().struct.field("content")
    assert sorted(last) == sorted(text(f"oasst {i}b") for i in range(TREES))


def test_the_clean_rows(tmp_path: Path) -> None:
    trees = [tree(i) for i in range(20)]
    trees[3]["prompt"]["text"] = QUESTION
    trees.append(tree(4) | {"message_tree_id": "again"})
    replica = repository({"2023-04-12_oasst_ready.trees.jsonl.gz": trees})
    build = built_clean("oasst", {"OpenAssistant/oasst1": replica}, tmp_path)
    assert sorted(build.dropped()["step"]) == ["decontaminate", "dedup", "shape", "shape"]
