"""A refusal says what each near format reads and where it stops, and names one call: that call then reads the rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from curate.errors import FormatError
from curate.io.formats.columns import columns
from curate.io.formats.dialogues import messages, sharegpt
from curate.io.formats.rated import scored
from curate.io.inputs import Input, files

CALLS = {"columns": columns, "messages": messages, "scored": scored, "sharegpt": sharegpt}
CALLED = [{"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}]


def save(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def refusal(source: Input) -> str:
    with pytest.raises(FormatError, match=r"no format fits|binary feedback") as caught:
        source.open()
    return str(caught.value)


def counts(source: Input) -> tuple[int, int]:
    opened = source.open()
    parsed = [opened.parse(block) for block in opened.blocks()]
    return sum(one.body.num_rows for one in parsed), sum(one.bad.num_rows for one in parsed)


def offered(message: str) -> str:
    """Return the call that a refusal ends with."""
    (found,) = re.findall(r"format=(\w+\(.*?\))(?:, and|$)", message)
    return str(found)


def turns(role: str, text: str, *words: str) -> list[dict[str, str]]:
    return [{role: word, text: f"turn {place}"} for place, word in enumerate(words)]


JUDGED = {"model_a": "answer_a", "model_b": "answer_b", "tie": "tie"}
NUMBERS = {"1": "output_1", "2": "output_2", "0": "tie"}
PAIR = {"chosen": "a", "rejected": "b"}
GUESSED: dict[str, tuple[dict[str, Any], str]] = {
    "Intel's pairs": (
        {"system": "", "question": "q?", **PAIR},
        "columns(prompt='question', chosen='chosen', rejected='rejected', system='system')",
    ),
    "HelpSteer": (
        {"prompt": "p?", "response": "r", "helpfulness": 3, "verbosity": 2, "turn": 1},
        "scored(prompt='prompt', response='response', scores=('helpfulness', 'verbosity'))",
    ),
    "a chosen and a rejected output": (
        {"instruction": "Name a tree.", "input": "", "output": ["Oak.", "Stone."]},
        "columns(prompt=('instruction', 'input'), chosen='output[0]', rejected='output[1]')",
    ),
    "good and bad": (
        {"instruction": "q?", "good_res": "a", "bad_res": "b"},
        "columns(prompt='instruction', chosen='good_res', rejected='bad_res')",
    ),
    "two answers and who won": (
        {"question": "q?", "answer_a": "a", "answer_b": "b", "winner": "model_b"},
        f"columns(prompt='question', chosen='answer_a', rejected='answer_b', winner='winner', values={JUDGED})",
    ),
    "two answers and a number": (
        {"instruction": "q?", "output_1": "a", "output_2": "b", "preference": 2.0},
        f"columns(prompt='instruction', chosen='output_1', rejected='output_2', winner='preference', values={NUMBERS})",
    ),
    "SGD": (
        {"turns": turns("speaker", "utterance", "USER", "SYSTEM")},
        "messages(column='turns', roles={'SYSTEM': 'assistant'}, role='speaker', content='utterance')",
    ),
    "Taskmaster": (
        {"conversation_id": "x", "utterances": turns("speaker", "text", "USER", "ASSISTANT")},
        "messages(column='utterances', role='speaker', content='text')",
    ),
    "strange words": (
        {"messages": turns("role", "content", "narrator", "user", "hero")},
        "messages(roles={'narrator': 'assistant', 'hero': 'assistant'})",
    ),
    "strange speakers": (
        {"dialogue": turns("from", "value", "A", "B")},
        "sharegpt(column='dialogue', roles={'A': 'user', 'B': 'assistant'})",
    ),
    "another column": (
        {"dialog": turns("role", "content", "human", "gpt")},
        "messages(column='dialog', roles={'human': 'user', 'gpt': 'assistant'})",
    ),
    "another answer": (
        {"user_query": "q?", "chatgpt_response": "a", "label": "no"},
        "columns(prompt='user_query', response='chatgpt_response')",
    ),
    "one level down": (
        {"id": 1, "data": {"question": "q?", "answer": "a", "score": "4"}},
        "scored(prompt='data.question', response='data.answer', scores='data.score')",
    ),
    "instances": (
        {"instruction": "q?", "instances": [{"input": "", "output": "a"}]},
        "columns(prompt='instruction', response='instances[0].output')",
    ),
}


@pytest.mark.parametrize("name", GUESSED)
def test_the_call_that_is_offered_reads_the_rows(tmp_path: Path, name: str) -> None:
    row, call = GUESSED[name]
    path = save(tmp_path / "rows.jsonl", [row] * 3)
    message = refusal(files(path))
    assert offered(message) == call
    assert message.endswith(f" Map them: format={call}")
    assert counts(files(path, eval(call, CALLS))) == (3, 0)  # noqa: S307  a call of ours


def test_a_list_of_unknown_speakers_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "lists.json"
    path.write_text(json.dumps([turns("role", "content", "guest", "host")] * 2))
    call = offered(refusal(files(path)))
    assert call == "messages(roles={'guest': 'user', 'host': 'assistant'})"
    assert counts(files(path, eval(call, CALLS))) == (2, 0)  # noqa: S307  a call of ours


def chat(**last: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"messages": [{"role": "user", "content": "q?"}, {"role": "assistant", **last}]}


@pytest.mark.parametrize(
    "calls", [{"content": None, "tool_calls": CALLED}, {"tool_calls": CALLED}, {"content": "", "tool_calls": CALLED}]
)
def test_rows_with_calls_of_tools_are_counted(tmp_path: Path, calls: dict[str, Any]) -> None:
    path = save(tmp_path / "mix.jsonl", [chat(content="a")] * 80 + [chat(**calls)] * 20)
    message = refusal(files(path))
    assert (
        "messages() reads 80 of them (20 have messages[1].content: expected content; tool calls are not read yet, a "
        "coming version will read them)."
    ) in message
    assert message.endswith(
        "To read the 80 and leave the others out: format=messages(), and Source(..., max_quarantine=0.21)"
    )
    assert counts(files(path, messages())) == (80, 20)
    alone = save(tmp_path / "alone.jsonl", [chat(**calls)] * 2)
    message = refusal(files(alone))
    assert "content; tool calls are not read yet, a coming version will read them)" in message
    assert message.endswith("Leave such rows out until then.")


def test_the_most_frequent_fault_is_named_wherever_it_is(tmp_path: Path) -> None:
    rows = [chat(content="a")] * 6
    rows += [
        {"messages": [{"role": "user", "content": "q?"}] * n + [{"role": "assistant", "content": 7}]} for n in (1, 2, 3)
    ]
    rows += [chat(content="a", role="narrator")]
    message = refusal(files(save(tmp_path / "rows.jsonl", rows)))
    assert "messages() reads 6 of them (3 have messages[1].content: expected str | array | null, not int)." in message


TABLE = [
    ("Is the river that runs through Paris long?", "yes", "It is 777 km"),
    ("Is it cold in the winter there?", "no", "It is mild"),
]


def test_a_table_without_a_header_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "flan.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in TABLE))
    message = refusal(files(path))
    assert "(fields: 'Is the river that runs through Paris lon...', 'yes', 'It is 777 km')" in message
    call = message[message.index("files(") :]
    assert call == "files(..., format=columns('c1', 'c2'), columns=('c1', 'c2', 'c3'))"
    assert counts(eval(call.replace("...", "path"), {"files": files, "columns": columns, "path": path})) == (2, 0)  # noqa: S307


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"question_id": 1, "text": "a"}, "It has no two texts, nor a list of messages"),
        ({"x": 1, "y": [1, 2]}, "It has no two texts, nor a list of messages"),
        (
            {"first": "a", "second": "b", "n": 1},
            "format=columns(prompt=..., response=...), with two of 'first', 'second'",
        ),
        (
            {"\ufeffquestion": "q?", "ans\u200bwer": "a"},
            "'<U+FEFF byte order mark>question', 'ans<U+200B zero width space>wer'",
        ),
        ({"messages": turns("role", "content", *"abcdefghij")}, "It has no two texts, nor a list of messages"),
    ],
)
def test_a_hint_never_offers_what_cannot_work(tmp_path: Path, row: dict[str, Any], hint: str) -> None:
    assert hint in refusal(files(save(tmp_path / "rows.jsonl", [row] * 2)))


def test_answers_that_are_good_or_bad_are_refused_by_name_under_any_name(tmp_path: Path) -> None:
    rows = [{"query": "q?", "reply": "a", "kto_tag": good} for good in (True, False)]
    assert "binary feedback (KTO), which is not read yet" in refusal(files(save(tmp_path / "rows.jsonl", rows)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\ufeff{", "<U+FEFF byte order mark>{"),
        ("{\u200b", "{<U+200B zero width space>"),
        ("{ a\u200db", "{ a<U+200D zero width joiner>b"),
        ("{\u2060\u00ad", "{<U+2060 word joiner><U+00AD soft hyphen>"),
        ("{\u202e", "{<U+202E right-to-left override>"),
        (
            "{ \U0001f469\u200d\U0001f680 \u0645\u06cc\u200c\u062e",
            "{ \U0001f469\u200d\U0001f680 \u0645\u06cc\u200c\u062e",
        ),
    ],
)
def test_invisible_characters_are_shown_by_name(tmp_path: Path, text: str, shown: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(chat(content="a")) + "\n" + text + "\n", "utf-8")
    opened = files(path, messages()).open()
    (block,) = opened.blocks()
    assert opened.parse(block).bad["excerpt"].to_pylist() == [shown]


REAL = [
    "sft/halueval_general.json",
    "sft/self_instruct_seed_tasks.jsonl",
    "sft/sgd_dialogues/dialogues_001.json.gz",
    "preference/bpo_val.json",
    "preference/halueval_qa_multiturn.json",
    "preference/alpaca_eval_v1_gpt4/gpt4.json.gz",
    "preference/pandalm_testset.json",
]


@pytest.mark.parametrize("name", REAL)
def test_the_call_that_is_offered_reads_real_rows(real_data: Path, name: str) -> None:
    path = real_data / name
    good, bad = counts(files(path, eval(offered(refusal(files(path))), CALLS)))  # noqa: S307  a call of ours
    assert bad <= 0.11 * (good + bad)  # the ties
