"""Every layout, row by row: what it makes, what it carries in `meta`, and what it turns away and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.errors import MixtureError
from curate.io.formats.base import Format
from curate.io.formats.columns import columns
from curate.io.formats.dialogues import alpaca, messages, prompt_completion, question_answer, sharegpt
from curate.io.formats.messages_common import MESSAGES_ROLES
from curate.io.formats.oasst import oasst, oasst_messages
from curate.io.formats.preference import hh, openai_pairs, preference
from curate.io.formats.rated import rated, ultrafeedback
from curate.io.parse import parse_lines, parse_objects

USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}

A_ROLE = f"a role: {', '.join(MESSAGES_ROLES)}; not "


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def without_nulls(value: Any) -> Any:  # noqa: ANN401
    """Drop null fields, which tables do not tell from absent ones."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def read(form: Format, *rows: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Parse rows as JSON and as Python values; both must say the same."""
    lines = [json.dumps(row).encode() for row in rows]
    parsed = parse_lines(lines, range(1, len(rows) + 1), form, "id")
    assert parsed.bad.to_pylist() == []
    parsed.body.validate(full=True)
    same = parse_objects(rows, range(1, len(rows) + 1), form, "id")
    assert same.bad.to_pylist() == []
    made = [{**row, "meta": json.loads(row["meta"])} for row in parsed.body.to_pylist()]
    assert without_nulls([{**row, "meta": json.loads(row["meta"])} for row in same.body.to_pylist()]) == without_nulls(
        made
    )
    assert same.ids.equals(parsed.ids)
    return made


def bad(form: Format, row: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return column and expectation of a row that is turned away, as JSON and as Python values alike."""
    found = parse_lines([json.dumps(row).encode()], [1], form, "id").bad.to_pylist()
    same = parse_objects([row], [1], form, "id").bad.to_pylist()
    assert [one["column"] for one in found] == [one["column"] for one in same]
    assert len(found) == 1
    return found[0]["column"], found[0]["expected"]


def test_messages_carries_what_it_does_not_read() -> None:
    row = {"id": 3, "messages": [{**USER, "name": "Ann"}, BOT], "lang": "en", "n": [1, 2]}
    assert read(messages(), row) == [
        {"messages": [USER, BOT], "meta": {"messages": [{"name": "Ann"}, {}], "lang": "en", "n": [1, 2]}}
    ]
    assert read(messages("input"), {"input": [USER]}) == [{"messages": [USER], "meta": {}}]


def test_one_text_part_is_taken_unchanged_and_several_are_joined() -> None:
    one = {"role": "user", "content": [{"type": "text", "value": " a\n"}]}
    two = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    made = read(messages(), {"messages": [one, two]})
    assert made == [
        {
            "messages": [turn("user", " a\n"), turn("user", "ab")],
            "meta": {"messages": [{}, {"content": two["content"]}]},
        }
    ]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": None}, "messages", ""),
        ({}, "messages", "a field of this name"),
        (
            {"messages": [turn("human", "Hi")]},
            "messages[0].role",
            f"{A_ROLE}'human'",
        ),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages[1].content", "text, not null"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "a field of this name"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "str | array | null, not int"),
        ({"messages": [turn("user", "a\0b")]}, "messages[0].content", "text without NUL"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
            "messages[0].content[0]",
            "text, not content of another medium (image), which media='keep' of messages() marks",
        ),
        ({"id": "a\0", "messages": [USER]}, "id", "text without NUL"),
    ],
)
def test_messages_turns_away(row: dict[str, Any], column: str, expected: str) -> None:
    if row.get("messages", 0) is None:  # a null field of a table is an absent one
        assert parse_lines([b'{"messages":null}'], [1], messages(), None).bad["column"].to_pylist() == [column]
        return
    assert bad(messages(), row) == (column, expected)


@pytest.mark.parametrize("spelling", [("from", "value"), ("role", "content")])
def test_sharegpt_knows_both_spellings_and_keeps_words_that_say_more(spelling: tuple[str, str]) -> None:
    words = ["human", "function_call", "observation", "gpt"]
    row = {
        "conversations": [{spelling[0]: word, spelling[1]: word.upper()} for word in words],
        "system": "S",
        "tools": "[]",
    }
    kept = [{}, {spelling[0]: "function_call"}, {spelling[0]: "observation"}, {}]
    roles = ["user", "assistant", "tool", "assistant"]
    said = [turn(role, word.upper()) for role, word in zip(roles, words, strict=True)]
    assert read(sharegpt(), row) == [
        {"messages": [turn("system", "S"), *said], "meta": {"tools": "[]", "conversations": kept}}
    ]
    assert bad(sharegpt(), {"conversations": [{spelling[0]: "narrator", spelling[1]: "x"}]})[0].startswith(
        "conversations[0]"
    )
    assert bad(sharegpt(), {"conversations": [{"text": "x"}]})[1] == "fields from and value, or role and content"
    assert bad(sharegpt(), {"conversations": [{"from": "human"}]}) == ("conversations[0].value", "text, not null")


@pytest.mark.parametrize("name", ["output", "response", "completion"])
def test_alpaca(name: str) -> None:
    row = {"instruction": "I", "input": "X", name: "O", "history": [["q", "a"]], "system": "", "n": 1}
    turns = [turn("user", "q"), turn("assistant", "a"), turn("user", "I\n\nX"), turn("assistant", "O")]
    assert read(alpaca(), row) == [{"messages": turns, "meta": {"n": 1}}]
    assert read(alpaca(), {"instruction": "I", "input": "", name: ""})[0]["messages"] == [
        turn("user", "I"),
        turn("assistant", ""),
    ]
    assert bad(alpaca(), {"instruction": "I"}) == ("output", "text in output, response or completion")
    assert bad(alpaca(), {"instruction": "I", name: "O", "history": [["q"]]})[0] == "history[0]"


def test_prompts_with_completions_and_questions_with_answers() -> None:
    pair = [turn("user", "P"), turn("assistant", "C")]
    assert read(prompt_completion(), {"prompt": "P", "completion": "C", "x": 1}) == [
        {"messages": pair, "meta": {"x": 1}}
    ]
    assert read(prompt_completion(), {"prompt": pair[:1], "completion": pair[1:]})[0]["messages"] == pair
    assert read(question_answer(), {"question": "P", "answer": "C"}) == [{"messages": pair, "meta": {}}]
    assert bad(question_answer(), {"question": "P", "answer": 4}) == ("answer", "str, not int")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": [turn("assistant", "a")], "rejected": [turn("assistant", "b")]},
        {"prompt": "Hi", "chosen": [USER, turn("assistant", "a")], "rejected": [USER, turn("assistant", "b")]},
        {"chosen": [USER, turn("assistant", "a")], "rejected": [USER, turn("assistant", "b")]},
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
    ],
)
def test_preference_reads_every_spelling_alike(row: dict[str, Any]) -> None:
    row |= {"score_chosen": 1.5, "rejected_score": 1, "x": "y"}
    assert read(preference(), row) == [
        {
            "prompt": [USER],
            "chosen": [turn("assistant", "a")],
            "rejected": [turn("assistant", "b")],
            "chosen_score": 1.5,
            "rejected_score": 1.0,
            "meta": {"x": "y"},
        }
    ]


def test_preference_keeps_a_prompt_that_says_something_else_and_turns_away_half_pairs() -> None:
    row = {"prompt": "other", "chosen": [USER, BOT], "rejected": [USER, BOT]}
    made = read(preference(), row)[0]
    assert (made["prompt"], made["chosen"], made["rejected"], made["meta"]) == (
        [USER],
        [BOT],
        [BOT],
        {"prompt": "other"},
    )
    assert bad(preference(), {"prompt": "p", "chosen": [], "rejected": "b"}) == ("chosen", "at least one message")
    assert bad(preference(), {"prompt": "p", "chosen": "a"})[0] == "rejected"
    assert bad(preference(), {"chosen": "a", "rejected": "b"})[0] == "prompt"
    asked = [{"role": "user", "content": "q"}]
    in_messages = {"messages": asked, "chosen": "a", "rejected": {"role": "assistant", "content": "b"}}
    assert [
        turn["content"]
        for name in ("prompt", "chosen", "rejected")
        for turn in read(preference(), in_messages)[0][name]
    ] == [*"qab"]
    answered = in_messages | {"messages": [*asked, {"role": "assistant", "content": "a"}]}
    assert bad(preference(), answered) == ("messages", "a prompt, which does not end with an answer")
    assert bad(preference(), {"chosen": [USER, BOT], "rejected": [turn("user", "?"), BOT]})[0] == "rejected"


def test_hh_splits_the_prompt_off() -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Q"
    row = {"chosen": f"{start}\n\nAssistant: a ", "rejected": f"{start}\n\nAssistant:  b"}
    made = read(hh(), row)[0]
    assert made["prompt"] == [USER, turn("assistant", "Yes?"), turn("user", "Q")]
    assert (made["chosen"], made["rejected"]) == ([turn("assistant", "a ")], [turn("assistant", " b")])
    assert read(hh(text=True), {"text": start})[0]["messages"] == made["prompt"]
    assert bad(hh(), {"chosen": "Hi", "rejected": "Hi"})[0] == "chosen"


def test_ultrafeedback_reads_ratings_and_carries_rationales() -> None:
    notes = {"honesty": {"Rating": "4", "Rationale": "r"}, "helpfulness": {"Rating": "N/A"}, "truth": {"Rating": 2}}
    one = {
        "response": "a",
        "model": "m",
        "annotations": notes,
        "overall_score": 7.5,
        "fine-grained_score": 3,
        "principle": "p",
    }
    made = read(ultrafeedback(), {"instruction": "Hi", "completions": [one, {"response": ""}], "source": "s"})[0]
    scores = [("honesty", 4.0), ("truth", 2.0), ("overall_score", 7.5), ("fine-grained_score", 3.0)]
    assert made["completions"] == [
        {"content": "a", "model": "m", "scores": [{"name": name, "value": value} for name, value in scores]},
        {"content": "", "model": None, "scores": []},
    ]
    assert made["messages"] == [USER]
    assert made["meta"] == {"source": "s", "completions": [{"annotations": notes, "principle": "p"}, {}]}
    wrong = {"instruction": "Hi", "completions": [{"response": "a", "overall_score": "good"}]}
    assert bad(ultrafeedback(), wrong) == ("completions[0].overall_score", 'a number, or "N/A"')
    assert bad(ultrafeedback(), {"instruction": "Hi", "completions": []})[0] == "completions"


@pytest.mark.parametrize("scores", [{"x": 1, "y": None}, [{"name": "x", "value": 1}, {"name": "y", "value": None}]])
def test_rated(scores: Any) -> None:  # noqa: ANN401
    made = read(
        rated(), {"messages": [USER], "completions": [{"content": "a", "model": "m", "scores": scores, "seed": 1}]}
    )
    assert made[0]["completions"] == [{"content": "a", "model": "m", "scores": [{"name": "x", "value": 1.0}]}]
    assert made[0]["meta"] == {"completions": [{"seed": 1}]}
    assert read(rated(), {"prompt": "Hi", "completions": [{"completion": "a"}]})[0]["messages"] == [USER]
    assert (
        bad(rated(), {"messages": [USER, BOT], "completions": [{"content": "a"}]})[1]
        == "a prompt that ends with a user turn"
    )
    assert bad(rated(), {"messages": [USER], "completions": []})[0] == "completions"


def reply(name: str, role: str, replies: list[Any] | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"message_id": name, "text": name, "role": role, "replies": replies or [], **more}


TREE = reply(
    "p",
    "prompter",
    [
        reply("worse", "assistant", rank=1),
        reply("gone", "assistant", rank=0, deleted=True),
        reply("best", "assistant", [reply("next", "prompter", [reply("end", "assistant")])], rank=0),
        reply("unranked", "assistant", rank=None),
    ],
)


def paths(form: Format, *rows: Any) -> list[list[str]]:  # noqa: ANN401
    return [[message["content"] for message in made["messages"]] for made in read(form, *rows)]


def flat(node: dict[str, Any], parent: str | None = None) -> list[dict[str, Any]]:
    own = {name: value for name, value in node.items() if name != "replies"} | {"parent_id": parent}
    return [own, *(message for child in node["replies"] for message in flat(child, node["message_id"]))]


@pytest.mark.parametrize("row", [TREE, {"message_tree_id": "t", "prompt": TREE}])
def test_oasst_follows_the_best_replies(row: dict[str, Any]) -> None:
    assert paths(oasst(), row) == [["p", "best", "next", "end"]]
    assert paths(oasst(2), row) == [["p", "best", "next", "end"], ["p", "worse"]]
    assert paths(oasst(9), row) == [["p", "best", "next", "end"], ["p", "worse"], ["p", "unranked"]]
    assert read(oasst(), row)[0]["messages"][2]["role"] == "user"
    assert bad(oasst(), {"prompt": {**TREE, "deleted": True}}) == ("prompt", "a prompt that was not deleted")
    with pytest.raises(MixtureError, match="replies=0 is not a number"):
        oasst(0)


def test_oasst_carries_the_messages_of_the_path() -> None:
    meta = read(oasst(), {"message_tree_id": "t", "prompt": TREE})[0]["meta"]
    assert meta["message_tree_id"] == "t"
    assert [message["message_id"] for message in meta["prompt"]] == ["p", "best", "next", "end"]
    bare = read(oasst(), TREE)[0]["meta"]
    assert bare["message_id"] == "p"
    assert [message["message_id"] for message in bare["replies"]] == ["best", "next", "end"]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_flat_messages_make_the_conversations_of_their_trees(k: int) -> None:
    rows = flat(TREE)
    assert paths(oasst_messages(k), *reversed(rows)) == paths(oasst(k), TREE)
    other = [{"mid": row.pop("message_id"), **row} for row in flat(TREE)]
    assert paths(oasst_messages(k, message_id="mid"), *other) == paths(oasst(k), TREE)


def test_flat_messages_turn_orphans_loops_and_doubles_away() -> None:
    rows = [
        *flat(reply("p", "prompter", [reply("a", "assistant")])),
        {"message_id": "p", "text": "again", "role": "prompter"},
        {"message_id": "o", "parent_id": "nowhere", "text": "orphan", "role": "assistant"},
        {"message_id": "x", "parent_id": "y", "text": "loop", "role": "assistant"},
        {"message_id": "y", "parent_id": "x", "text": "loop", "role": "prompter"},
        {"message_id": "d", "text": "gone", "role": "prompter", "deleted": True},
        {"message_id": "q", "text": "odd", "role": "narrator"},
    ]
    parsed = parse_objects(rows, range(1, len(rows) + 1), oasst_messages(), None)
    assert parsed.line.tolist() == [1]
    assert parsed.bad.select(["line", "column"]).to_pylist() == [
        {"line": 3, "column": "message_id"},
        {"line": 4, "column": "parent_id"},
        {"line": 5, "column": "parent_id"},
        {"line": 6, "column": "parent_id"},
        {"line": 7, "column": ""},
        {"line": 8, "column": "role"},
    ]


def test_columns_maps_anything() -> None:
    made = read(columns(("q", "more"), "a", system="s"), {"q": "Q", "more": None, "a": "A", "s": "S", "x": 1})
    assert made == [{"messages": [turn("system", "S"), turn("user", "Q"), turn("assistant", "A")], "meta": {"x": 1}}]
    assert read(columns(("q", "more"), "a"), {"q": "Q", "more": "M", "a": "A"})[0]["messages"][0]["content"] == "Q\n\nM"
    pair = read(columns("q", chosen="good", rejected="bad"), {"q": "Hi", "good": "a", "bad": "b"})[0]
    assert (pair["prompt"], pair["chosen"]) == ([USER], [turn("assistant", "a")])
    assert bad(columns("q", "a"), {"q": "Q"}) == ("a", "a field of this name")
    for wrong in ({}, {"chosen": "x"}, {"response": "a", "chosen": "x", "rejected": "y"}, {"response": ()}):
        with pytest.raises(MixtureError, match=r"columns\(\) takes"):
            columns("q", **wrong)


def test_prompt_and_completion_may_have_other_names() -> None:
    row = {"input": [turn("system", "s"), USER], "output": "Hello.", "reasoning": "off", "system": "s"}
    assert read(prompt_completion("input", "output"), row) == [
        {"messages": [turn("system", "s"), USER, BOT], "meta": {"reasoning": "off", "system": "s"}}
    ]
    with pytest.raises(MixtureError, match="give the names of two fields"):
        prompt_completion("a", "a")


def test_a_pair_may_have_its_prompt_in_question_and_a_system_text() -> None:
    row = {"system": "Be brief.", "question": "Hi?", "chosen": "a", "rejected": "b", "n": 1}
    assert read(preference(), row) == [
        {
            "prompt": [turn("system", "Be brief."), turn("user", "Hi?")],
            "chosen": [turn("assistant", "a")],
            "rejected": [turn("assistant", "b")],
            "chosen_score": None,
            "rejected_score": None,
            "meta": {"n": 1},
        }
    ]
    (made,) = read(preference(), {**row, "system": ""})
    assert made["prompt"] == [turn("user", "Hi?")]


def test_pairs_as_openai_takes_them() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    row = {
        "input": {"messages": [USER], "tools": json.dumps(tools), "parallel_tool_calls": True},
        "preferred_output": [BOT],
        "non_preferred_output": [turn("assistant", "No.")],
        "n": 1,
    }
    (made,) = read(openai_pairs(), row)
    sides = ("prompt", "chosen", "rejected")
    assert [made[side][0]["content"] for side in sides] == ["Hi", "Hello.", "No."]
    assert json.loads(made["tools"]) == tools
    assert made["meta"] == {"n": 1, "parallel_tool_calls": True}
