"""Lists stored another way, role words of any kind, scores as text or one level down, and calls of tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import MixtureError
from curate.io.detect import call, detect
from curate.io.formats.base import Format
from curate.io.formats.columns import columns
from curate.io.formats.dialogues import messages, prompt_completion, sharegpt
from curate.io.formats.preference import helpsteer3, preference
from curate.io.formats.rated import rated, scored
from curate.io.inputs import files
from curate.io.jsonl.fast_path import parse_block
from curate.io.parse import parse_lines, parse_objects
from curate.io.row_collector import Parsed
from curate.io.tables import frame

ASK, SAY, NO = (
    {"role": role, "content": text} for role, text in (("user", "q?"), ("assistant", "a"), ("assistant", "b"))
)
HUMAN, GPT = {"from": "human", "value": "q?"}, {"from": "gpt", "value": "a"}
CHAT = [ASK, SAY]
CALLED = {"id": "c", "name": "tide", "arguments": "{}"}
CALLS = [{"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]


def both(form: Format, row: Any) -> Parsed:  # noqa: ANN401
    """Parse a row as JSON; a row that is no list also as Python values, with the same result."""
    parsed = parse_lines([json.dumps(row).encode()], [1], form, None)
    if isinstance(row, dict):
        same = parse_objects([row], [1], form, None)
        assert same.body.drop_columns("meta").equals(parsed.body.drop_columns("meta"))
        assert same.bad["column"].equals(parsed.bad["column"])
    return parsed


def read(form: Format, row: Any) -> dict[str, Any]:  # noqa: ANN401
    parsed = both(form, row)
    assert parsed.bad.to_pylist() == []
    (made,) = parsed.body.to_pylist()
    return {**made, "meta": json.loads(made["meta"])}


def text(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, indent=1)


LISTS: dict[str, tuple[str, Any]] = {
    "JSON text": ("messages()", {"messages": text(CHAT)}),
    "JSON text of an object": ("messages()", {"messages": text({"messages": CHAT})}),
    "an object around the list": ("messages()", {"messages": {"messages": CHAT}}),
    "an object of lists": ("messages()", {"messages": {"role": ["user", "assistant"], "content": ["q?", "a"]}}),
    "JSON text of an object of lists": (
        "sharegpt()",
        {"conversations": text({"from": ["human", "gpt"], "value": ["q?", "a"]})},
    ),
    "the row itself": ("messages()", CHAT),
    "the row itself, in another spelling": ("sharegpt()", [HUMAN, GPT]),
    "role words in capitals": ("messages()", {"messages": [{**ASK, "role": "USER"}, {**SAY, "role": "Assistant"}]}),
    "a speaker in capitals": ("sharegpt()", {"conversations": [{**HUMAN, "from": "HUMAN"}, {**GPT, "from": "GPT"}]}),
    "both as JSON text": ("prompt_completion()", {"prompt": text([ASK]), "completion": text([SAY])}),
    "a prompt as JSON text": ("prompt_completion()", {"prompt": text([ASK]), "completion": "a"}),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_messages_is_read_however_it_is_stored(name: str) -> None:
    form, row = LISTS[name]
    found = detect([json.dumps(row).encode()] * 3, "x")
    assert call(found.format) == form
    made = read(found.format, row)
    assert made == {"messages": CHAT, "meta": {}}


@pytest.mark.parametrize(
    "sides",
    [
        {"chosen": text(CHAT), "rejected": text([ASK, NO])},
        {"chosen": text({"messages": CHAT}), "rejected": text({"messages": [ASK, NO]})},
        {"chosen": {"messages": CHAT}, "rejected": {"messages": [ASK, NO]}},
        {"prompt": text([ASK]), "chosen": "a", "rejected": "b"},
        {"prompt": "q?", "chosen": text([SAY]), "rejected": text([NO])},
        {"prompt": {"role": ["user"], "content": ["q?"]}, "chosen": "a", "rejected": "b"},
    ],
)
def test_pairs_are_read_however_they_are_stored(sides: dict[str, Any]) -> None:
    made = read(preference(), sides)
    assert [made[side] for side in ("prompt", "chosen", "rejected")] == [[ASK], [SAY], [NO]]
    assert made["meta"] == {}


def test_an_answer_that_happens_to_be_json_stays_text() -> None:
    odd = text([{"role": "user", "content": "Hi"}])
    assert read(preference(), {"prompt": "q?", "chosen": odd, "rejected": "b"})["chosen"][0]["content"] == odd
    assert read(prompt_completion(), {"prompt": "As JSON, please", "completion": odd})["messages"][1]["content"] == odd
    for answer in ("[1, 2]", "{", "[]", '[{"a": 1}]', '{"messages": "none"}', '{"role": "user"}'):
        assert read(prompt_completion(), {"prompt": answer, "completion": "a"})["messages"][0]["content"] == answer
    assert both(messages(), {"messages": "[1]"}).bad["column"].to_pylist() == ["messages"]


def test_nothing_beside_a_stored_list_is_lost() -> None:
    more = [{**ASK, "name": "Ann"}, {**SAY, "weight": 1.5}]
    meta = {"messages": [{"name": "Ann"}, {"weight": 1.5}], "n": 1}
    assert read(messages(), {"messages": text(more), "n": 1})["meta"] == meta
    assert read(messages(), {"messages": {"messages": more}, "n": 1})["meta"] == meta
    around = read(messages(), {"messages": text({"messages": CHAT, "tools": ["t"]})})
    assert around["meta"] == {"messages.tools": ["t"]}
    lists = {"role": ["user", "assistant"], "content": ["q?", "a"], "weight": [0, 1]}
    assert read(messages(), {"messages": lists})["meta"] == {"messages": [{"weight": 0}, {"weight": 1}]}


def test_a_stored_list_with_a_fault_says_where() -> None:
    bad = both(messages(), {"messages": text([ASK, {"role": "assistant", "content": None}])}).bad.to_pylist()
    assert [(one["column"], one["expected"]) for one in bad] == [("messages[1].content", "text, not null")]
    bad = both(messages(), {"messages": {"role": ["user", "assistant"], "content": ["q?"]}}).bad.to_pylist()
    assert bad[0]["expected"] == "lists of the same length; role has 2, content has 1"
    bad = both(messages(), [ASK, {"role": "narrator", "content": "x"}]).bad.to_pylist()
    assert bad[0]["column"] == "messages[1].role"


def test_a_table_and_a_file_of_lists_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lists.json"
    path.write_text(json.dumps([[HUMAN, GPT], CHAT]))
    opened = files(path).open()
    (block,) = opened.blocks()
    assert [row["messages"] for row in opened.parse(block).body.to_pylist()] == [CHAT, CHAT]
    table = pl.DataFrame({"conversations": [{"role": ["user", "assistant"], "content": ["q?", "a"]}]})
    opened = frame(table).open()
    (block,) = opened.blocks()
    assert opened.parse(block).body["messages"].to_pylist() == [CHAT]


def test_the_scanner_leaves_other_cases_to_the_parser() -> None:
    plain, loud = ({"messages": [{**one, "role": change(one["role"])} for one in CHAT]} for change in (str, str.upper))
    block = "".join(json.dumps(row) + "\n" for row in (plain, loud, plain)).encode()
    parsed = parse_block(block, 1, messages(), None)
    assert parsed.body["messages"].to_pylist() == [CHAT] * 3
    assert parsed.span is not None
    assert parsed.span[:, 0].tolist() == [0, -1, len(block) - len(json.dumps(plain)) - 1]


SGD = [{"speaker": "USER", "utterance": "q?"}, {"speaker": "SYSTEM", "utterance": "a"}]


def test_other_words_and_fields_are_mapped() -> None:
    sgd = messages("turns", role="speaker", content="utterance", roles={"SYSTEM": "assistant"})
    made = read(sgd, {"turns": [{**SGD[0], "frames": []}, SGD[1]]})
    assert made == {"messages": CHAT, "meta": {"turns": [{"frames": []}, {"speaker": "SYSTEM"}]}}
    line = json.dumps({"turns": SGD}).encode()
    assert (
        parse_block(line + b"\n", 1, sgd, None).body.to_pylist() == parse_lines([line], [1], sgd, None).body.to_pylist()
    )
    assert eval(call(sgd), {"messages": messages}) == sgd  # noqa: S307  the text of a call of ours
    taskmaster = messages("utterances", role="speaker", content="text")
    rows = b'{"utterances":[{"speaker":"user","text":"q?"},{"text":"a","speaker":"assistant"}]}\n'
    assert parse_block(rows, 1, taskmaster, None).body["messages"].to_pylist() == [CHAT]


@pytest.mark.parametrize(
    "form", [messages(roles={"narrator": "system"}), sharegpt("messages", roles={"narrator": "system"})]
)
def test_a_mapped_word_is_kept_and_read_in_any_case(form: Format) -> None:
    row = {"messages": [{"role": "Narrator", "content": "x"}, *CHAT]}
    made = read(form, row)
    assert made["messages"] == [{"role": "system", "content": "x"}, *CHAT]
    assert made["meta"] == {"messages": [{"role": "Narrator"}, {}, {}]}


def test_a_mapping_takes_precedence_over_the_words_known() -> None:
    swapped = sharegpt(roles={"gpt": "user", "human": "assistant"})
    line = json.dumps({"conversations": [GPT, HUMAN]}).encode()
    parsed = parse_block(line + b"\n", 1, swapped, None)
    assert [one["role"] for one in parsed.body["messages"].to_pylist()[0]] == ["user", "assistant"]
    with pytest.raises(MixtureError, match="did you mean 'assistant'"):
        messages(roles={"bot": "asistant"})
    with pytest.raises(MixtureError, match="names of two fields"):
        messages(role="text", content="text")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"content": None, "tool_calls": []}, "text, not null"),
        ({}, ""),
    ],
)
def test_a_message_that_says_nothing_is_no_answer(said: dict[str, Any], expected: str) -> None:
    for form in (messages(), sharegpt("messages")):
        parsed = both(form, {"messages": [ASK, {"role": "assistant", **said}, SAY]})
        assert parsed.body.num_rows == 0
        (bad,) = parsed.bad.to_pylist()
        assert bad["column"] == "messages[1].content"
        assert bad["expected"].startswith(expected)


def test_text_beside_calls_and_empty_lists_of_calls_are_read() -> None:
    made = read(messages(), {"messages": [ASK, {**SAY, "tool_calls": CALLS}]})
    assert [message["content"] for message in made["messages"]] == [message["content"] for message in CHAT]
    assert (made["messages"][1]["tool_calls"], made["meta"]) == ([CALLED], {})
    made = read(messages(), {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": "[]"}]})
    assert made["messages"][1]["content"] == ""


def test_numbers_as_text_are_scores() -> None:
    pair = {"prompt": "q?", "chosen": "a", "rejected": "b"}
    made = read(preference(), {**pair, "score_chosen": 8.5, "score_rejected": "7"})
    assert (made["chosen_score"], made["rejected_score"], made["meta"]) == (8.5, 7.0, {})
    assert read(preference(), {**pair, "chosen_score": "N/A"})["chosen_score"] is None
    assert both(preference(), {**pair, "chosen_score": "good"}).bad["column"].to_pylist() == ["chosen_score"]
    for scores in ({"x": "4"}, [{"name": "x", "value": "4"}]):
        made = read(rated(), {"prompt": "q?", "completions": [{"content": "a", "scores": scores}]})
        assert made["completions"][0]["scores"] == [{"name": "x", "value": 4.0}]
    three = {"context": text([ASK]), "response1": "a", "response2": "b", "overall_preference": "-2"}
    assert read(helpsteer3(), three)["chosen"] == [SAY]


def test_scores_one_level_down_are_found() -> None:
    pair = {"prompt": "q?", "chosen": "a", "rejected": "b"}
    inner = {"score_chosen": 9, "rejected_score": "8.5", "set": "x"}
    made = read(preference(), {**pair, "metadata": inner})
    assert (made["chosen_score"], made["rejected_score"], made["meta"]) == (9.0, 8.5, {"metadata": inner})
    made = read(preference(), {**pair, "score_chosen": None, "chosen_score": 1, "metadata": inner})
    assert made["chosen_score"] == 1.0
    made = read(preference(), {**pair, "metadata": {"score_chosen": {"by": "x"}, "score_rejected": "high"}})
    assert (made["chosen_score"], made["rejected_score"]) == (None, None)
    row = {"prompt": "q?", "response": "a", "ratings": {"help": {"mean": 3}}, "a.b": 1}
    made = read(scored("prompt", "response", ("ratings.help.mean", "a.b", "ratings.none")), row)
    assert made["completions"][0]["scores"] == [
        {"name": "ratings.help.mean", "value": 3.0},
        {"name": "a.b", "value": 1.0},
    ]
    assert made["meta"] == {"ratings": {"help": {"mean": 3}}}


def test_columns_are_found_by_their_path() -> None:
    row = {"instruction": "q?", "output": ["a", "b"], "by": {"name": "x"}}
    made = read(columns("instruction", chosen="output[0]", rejected="output[1]"), row)
    assert (made["chosen"], made["rejected"]) == ([SAY], [NO])
    assert made["meta"] == {"output": ["a", "b"], "by": {"name": "x"}}
    assert both(columns("instruction", "output[2]"), row).bad["column"].to_pylist() == ["output[2]"]
