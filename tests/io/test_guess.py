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
    "pairs and a system text": (
        {"system": "", "query": "q?", **PAIR},
        "columns(prompt='query', chosen='chosen', rejected='rejected', system='system')",
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
