"""`oasst_ranked` makes a rated row of each message of the user that was replied to."""

from __future__ import annotations

import json
from typing import Any

from curate.io.formats.oasst import oasst_ranked
from curate.io.parse import parse_lines, parse_objects
from curate.io.row_collector import Parsed


def message(text: str, *replies: dict[str, Any], user: bool = False, **more: object) -> dict[str, Any]:
    return {"text": text, "role": "prompter" if user else "assistant", "replies": list(replies), **more}


TREE = message(
    "q1",
    message("worse", rank=1, lang="en"),
    message("best", message("q2", message("unranked"), user=True), message("q3", user=True), rank=0),
    message("gone", message("q4", message("below"), user=True), rank=2, deleted=True),
    user=True,
)


def parse(*trees: dict[str, Any]) -> Parsed:
    lines = [json.dumps(tree).encode() for tree in trees]
    parsed = parse_lines(lines, range(1, len(lines) + 1), oasst_ranked(), "id")
    values = parse_objects(list(trees), range(1, len(lines) + 1), oasst_ranked(), "id")
    assert parsed.body.drop_columns("meta").equals(values.body.drop_columns("meta"))
    return parsed


def test_a_row_for_each_message_that_was_replied_to() -> None:
    for tree in ({"id": "t", "prompt": TREE, "state": 1}, TREE | {"id": "t", "state": 1}):
        parsed = parse(tree)
        rows = parsed.body.to_pylist()
        assert [[turn["content"] for turn in row["messages"]] for row in rows] == [["q1"], ["q1", "best", "q2"]]
        found = [[(each["content"], each["scores"]) for each in row["completions"]] for row in rows]
        assert found == [
            [("worse", [{"name": "overall", "value": -1.0}]), ("best", [{"name": "overall", "value": 0.0}])],
            [("unranked", [])],
        ]
        meta = [json.loads(row["meta"]) for row in rows]
        assert [each["state"] for each in meta] == [1, 1]
        assert meta[0]["completions"] == [{"rank": 1, "lang": "en"}, {"rank": 0}]
        assert parsed.ids.to_pylist() == ["t", "t"]
        assert parsed.bad.num_rows == 0


def test_trees_that_give_no_row() -> None:
    parsed = parse(
        {"prompt": message("no answer", user=True)},
        {"prompt": message("gone", message("a"), user=True, deleted=True)},
        {"prompt": message("an odd role", {"text": "a", "role": "robot"}, user=True)},
        {"text": "no tree"},
    )
    assert parsed.body.num_rows == 0
    assert parsed.bad["expected"].to_pylist() == [
        "a reply of the assistant to a message of the user",
        "a prompt that was not deleted",
        "a role: prompter, assistant, user, system; not 'robot'",
        "a tree of messages in prompt, or text, role and replies",
    ]


def test_a_deep_tree() -> None:
    tree = message("a")
    for depth in range(60):
        tree = message("x", tree, user=depth % 2 == 0)
    parsed = parse({"prompt": tree | {"role": "prompter"}})
    assert parsed.body.num_rows > 25
