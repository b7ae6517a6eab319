"""`format="auto"` chooses when the format is clear, says why, and refuses with the fix when it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.errors import FormatError
from curate.io.detect import CANDIDATES, call, detect, named
from curate.rows.validate import Fault

USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
HH = "\n\nHuman: Hi\n\nAssistant: a"

KNOWN: dict[str, dict[str, Any]] = {
    "messages()": {"messages": [USER, BOT], "label": "sport"},
    "unpaired()": {"prompt": "Hi", "completion": "a", "label": True},
    "unpaired(column='messages')": {"messages": [USER, BOT], "label": False},
    "unpaired(label='kto_tag', column='conversations')": {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "a"}],
        "kto_tag": True,
    },
    "prompts()": {"messages": [USER], "ground_truth": "4", "dataset": "math"},
    "prompts(column='prompt')": {"prompt": "2+2?", "ground_truth": ["4"]},
    "messages(column='input')": {"input": [USER, BOT]},
    "messages(column='prompt')": {"prompt": [USER]},
    "sharegpt()": {"conversations": [{"from": "human", "value": "Hi"}]},
    "alpaca()": {"instruction": "Hi", "input": "", "output": "a"},
    "prompt_completion()": {"prompt": "Hi", "completion": "a"},
    "prompt_completion(prompt='input', completion='output')": {"input": [USER], "output": "a"},
    "question_answer()": {"question": "Hi", "answer": "a"},
    "oasst()": {"prompt": {"text": "Hi", "role": "prompter", "replies": []}},
    "oasst_messages()": {"message_id": "1", "parent_id": None, "text": "Hi", "role": "prompter"},
    "hh()": {"chosen": HH, "rejected": HH},
    "hh(text=True)": {"text": HH},
    "openai_pairs()": {"input": {"messages": [USER]}, "preferred_output": [BOT], "non_preferred_output": [BOT]},
    "preference()": {"prompt": [USER], "chosen": [USER, BOT], "rejected": [USER, BOT]},
    "rated()": {"messages": [USER], "completions": [{"content": "a"}]},
    "scored(prompt='prompt', response='response', scores=('helpfulness', 'correctness', 'coherence', 'complexity', "
    "'verbosity'))": {
        "prompt": "Hi",
        "response": "a",
        **dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), 3),
    },
    "ultrafeedback()": {"instruction": "Hi", "completions": [{"response": "a", "annotations": {}}]},
}


@pytest.mark.parametrize("name", KNOWN)
def test_each_format_is_detected(name: str) -> None:
    three = [{**KNOWN[name], "message_id": str(i)} for i in range(3)]
    for rows in ([json.dumps(row).encode() for row in three], three):
        found = detect(rows, "x.json")
        assert call(found.format) == name
        assert found.why.startswith("auto: 3 of the first 3 rows have ")


def test_every_name_comes_from_a_candidate() -> None:
    assert set(map(call, CANDIDATES)) >= set(KNOWN)
    assert len(set(map(call, CANDIDATES))) == len(CANDIDATES)


HELPSTEER = next(row for name, row in KNOWN.items() if name.startswith("scored"))


@pytest.mark.parametrize(
    "change",
    [
        {"verbosity": None},
        {"coherence": "good"},
        {"correctness": [3, 4, 4]},  # the file of disagreements
        {"response": None, "response_1": "a"},
    ],
)
def test_rows_that_are_only_like_helpsteer_are_not_detected(change: dict[str, Any]) -> None:
    rows = [{name: value for name, value in {**HELPSTEER, **change}.items() if value is not None}] * 3
    with pytest.raises(FormatError, match="no format fits") as caught:
        detect(rows, "x.json")
    assert "'verbosity')) reads 3" not in str(caught.value)
    assert "Map them: format=scored(prompt='prompt', response='response" in str(caught.value)


def test_a_few_bad_rows_do_not_matter() -> None:
    rows = [json.dumps(KNOWN["alpaca()"]).encode()] * 19 + [b"{"]
    assert detect(rows, "x").why == "auto: 19 of the first 20 rows have input, instruction, output as it reads them"
    with pytest.raises(FormatError, match="no format fits"):
        detect(rows[-3:], "x")


def test_two_layouts_in_one_row_are_refused() -> None:
    row = {**KNOWN["question_answer()"], **KNOWN["prompt_completion()"]}
    with pytest.raises(
        FormatError, match=r"x: more than one format fits .* format=prompt_completion\(\) or question_answer\(\)"
    ):
        detect([row], "x")


def test_none_names_the_fields_the_nearest_formats_and_the_fix() -> None:
    with pytest.raises(FormatError, match="no format fits") as caught:
        detect([json.dumps({"question": "Hi", "reply": "a"}).encode()], "x.jsonl")
    assert str(caught.value) == (
        "x.jsonl: no format fits its first 1 rows (fields: 'question', 'reply'). "
        "question_answer() reads 0 of them (answer: expected a field of this name). "
        "Map them: format=columns(prompt='question', response='reply')"
    )


def test_rows_of_lines_and_of_tables_are_looked_at_together() -> None:
    row = KNOWN["alpaca()"]
    assert detect([json.dumps(row).encode(), row], "x").why.startswith("auto: 2 of the first 2 rows have input")


def test_unreadable_rows_are_distinguished_from_rows_of_no_format() -> None:
    with pytest.raises(
        FormatError, match=r"x: its first 1 rows cannot be read: expected valid JSON; .*Repair the file"
    ):
        detect([b'{"messages": [], "score": nan}'], "x")
    with pytest.raises(FormatError, match=r"cannot be read: a;b: expected a separator.*describe its cells: separator="):
        detect([Fault("a;b", "a separator after the closing quote")], "x.csv")
    with pytest.raises(FormatError, match=r"no format fits its first 1 rows \(fields: none\)"):
        detect([b"{}"], "x")


def test_names_give_formats() -> None:
    for one in CANDIDATES:
        assert one.name == "scored" or type(named(one.name)) is type(one)
        assert named(one) is one
    assert named("auto") is None
