"""Tests of `unpaired` and `prompts`: labels and reward columns are read as such, or their rows are quarantined."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.errors import MixtureError
from curate.io.formats.base import Format
from curate.io.formats.unpaired import prompts, unpaired
from curate.io.parse import parse_lines, parse_objects

ASK, SAY = {"role": "user", "content": "q?"}, {"role": "assistant", "content": "a"}
PAIR = {"prompt": "q?", "completion": "a"}


def both(form: Format, row: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # noqa: ANN401
    """Parse one row as JSON and as Python values; both must agree."""
    parsed = [parse_lines([json.dumps(row).encode()], [1], form, "id"), parse_objects([row], [1], form, "id")]
    rows, bad = ([getattr(one, name).to_pylist() for one in parsed] for name in ("body", "bad"))
    decoded = [[decoded_rewards(row) for row in one] for one in rows]
    assert decoded[0] == decoded[1]
    assert [one["column"] for one in bad[0]] == [one["column"] for one in bad[1]]
    return decoded[0], bad[0]


def decoded_rewards(row: dict[str, Any]) -> dict[str, Any]:
    given = {one["name"]: json.loads(one["value"]) for one in row.get("rewards", ())}
    row = {**row, "tools": json.loads(row["tools"])} if row.get("tools") else row
    return {**row, "meta": json.loads(row["meta"]), **({"rewards": given} if "rewards" in row else {})}


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (True, True), (False, False), (1, True), (0, False), (-1, False), (1.0, True), ("true", True), ("False", False),
        ("Good", True), ("bad", False), ("chosen", True), ("rejected", False), ("thumbs_down", False), ("1", True),
    ],
)  # fmt: skip
def test_a_label_is_a_truth_value_or_means_one(value: object, good: bool) -> None:  # noqa: FBT001
    (row,), _ = both(unpaired(), {**PAIR, "label": value})
    assert row == {"prompt": [ASK], "completion": [SAY], "label": good, "meta": {}}


@pytest.mark.parametrize("value", [None, "", "sport", 2, 0.5, [True], {"a": 1}])
def test_other_labels_are_quarantined(value: object) -> None:
    made, (bad,) = both(unpaired(), {**PAIR, "label": value})
    assert (made, bad["column"]) == ([], "label")


def test_the_prompt_may_have_other_names_and_be_messages() -> None:
    for name in ("question", "instruction"):
        (row,), _ = both(unpaired(), {name: "q?", "completion": "a", "label": True, "topic": 1})
        assert (row["prompt"], row["meta"]) == ([ASK], {"topic": 1})
    system = {"role": "system", "content": "s"}
    (row,), _ = both(unpaired(), {"prompt": [system, ASK], "completion": [SAY], "label": False})
    assert row["prompt"] == [system, ASK]
    (row,), _ = both(unpaired(), {**PAIR, "system": "s", "label": False})
    assert row["prompt"] == [system, ASK]
    assert both(unpaired(), {"completion": "a", "label": True})[1][0]["column"] == "prompt"


def test_the_last_of_a_list_is_the_answer() -> None:
    chat = [ASK, SAY, ASK, {"role": "assistant", "content": "b"}]
    (row,), _ = both(unpaired("messages", label="kto_tag"), {"messages": chat, "kto_tag": True})
    assert (row["prompt"], row["completion"]) == (chat[:3], chat[3:])
    for wrong in ([ASK], [SAY], [ASK, SAY, ASK], []):
        assert both(unpaired("messages"), {"messages": wrong, "label": True})[1][0]["column"] == "messages"


def test_an_answer_may_be_a_call() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": "{}"}]}
    (row,), _ = both(unpaired(), {"prompt": "q?", "completion": [call], "label": True, "tools": [{"name": "f"}]})
    assert row["completion"][0]["tool_calls"] == [{"id": "1", "name": "f", "arguments": "{}"}]
    assert row["tools"] == [{"name": "f"}]


def test_reward_columns_are_kept_as_they_are() -> None:
    row = {"id": "r1", "messages": [ASK], "ground_truth": ["4", "four"], "dataset": "math", "n": 3, "meta": {"a": 1}}
    (made,), _ = both(prompts(), row)
    assert made["prompt"] == [ASK]
    assert made["rewards"] == {"ground_truth": ["4", "four"], "dataset": "math", "n": 3}
    assert made["meta"] == {"meta": {"a": 1}}
    (made,), _ = both(prompts(rewards="ground_truth"), row)
    assert (made["rewards"], made["meta"]) == (
        {"ground_truth": ["4", "four"]},
        {"dataset": "math", "n": 3, "meta": {"a": 1}},
    )


def test_a_prompt_may_be_text_and_ends_with_the_user() -> None:
    (made,), _ = both(prompts("prompt"), {"prompt": "q?", "solution": "4", "tools": ["python"]})
    assert [(turn["role"], turn["content"]) for turn in made["prompt"]] == [("user", "q?")]
    assert made["rewards"] == {"solution": "4"}
    assert made["tools"] == ["python"]
    assert both(prompts(), {"messages": [ASK, SAY], "ground_truth": "4"})[1][0]["column"] == "messages"
    assert both(prompts(), {"messages": [ASK], "a\0": "4"})[1][0]["column"] == "the name of a reward column"


def test_fields_are_named_once() -> None:
    with pytest.raises(MixtureError, match="give the names of two fields"):
        unpaired("label")
    with pytest.raises(MixtureError, match=r"prompts\(rewards=\('source',\)\): 'source' is a column of its own"):
        prompts(rewards="source")
    with pytest.raises(MixtureError, match="'q' is a column of its own"):
        prompts("q", rewards=("q",))
