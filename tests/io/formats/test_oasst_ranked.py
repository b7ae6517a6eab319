"""`oasst_ranked` makes a rated row of each message of the user that was replied to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.errors import MixtureError
from curate.io.formats.oasst import oasst, oasst_messages, oasst_ranked
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


def labelled(text: str, quality: float | None, *replies: dict[str, Any], lists: bool, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A message with the label `quality`, as the trees of OASST have it or as the messages on the Hub do."""
    if quality is None:
        return message(text, *replies, labels=None, **more)
    by_name = {"spam": {"value": 0.9, "count": 1}, "quality": {"value": quality, "count": 3}}
    in_lists = {"name": ["spam", "quality"], "value": [0.9, quality], "count": [1, 3]}
    return message(text, *replies, labels=in_lists if lists else by_name, **more)


@pytest.mark.parametrize("lists", [False, True])
def test_the_best_reply_is_that_of_highest_quality_where_asked(lists: bool) -> None:  # noqa: FBT001
    tree = message(
        "q",
        labelled("ranked first", 0.2, rank=0, lists=lists),
        labelled("none", None, rank=1, lists=lists),
        labelled("good", 0.8, rank=3, lists=lists),
        labelled("as good", 0.8, rank=2, lists=lists),
        labelled("deleted", 1.0, rank=4, deleted=True, lists=lists),
        user=True,
    )
    flat = [
        {"message_id": str(number), "parent_id": "0" if number else None}
        | {name: value for name, value in each.items() if name != "replies"}
        for number, each in enumerate([tree, *tree["replies"]])
    ]
    lines = [json.dumps(tree).encode()]
    for replies, answers in ((1, ["good"]), (2, ["good", "as good"]), (9, ["good", "as good", "ranked first", "none"])):
        parsed = parse_lines(lines, [1], oasst(replies, by="quality"), None)
        rows = parsed.body["messages"].to_pylist()
        assert [turns[-1]["content"] for turns in rows] == answers
        found = parse_objects(flat, range(1, 7), oasst_messages(replies, by="quality"), None)
        assert found.body["messages"].to_pylist() == rows
    assert parse_lines(lines, [1], oasst(), None).body["messages"][0][1]["content"].as_py() == "ranked first"
    with pytest.raises(MixtureError, match="by='score': known: quality, rank"):
        oasst(by="score")  # type: ignore[arg-type]
