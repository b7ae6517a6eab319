"""Real files of every layout: as many rows as an independent reader counts, and the very same text."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import FormatError
from curate.io.formats.base import Format
from curate.io.formats.columns import columns
from curate.io.formats.oasst import oasst, oasst_messages
from curate.io.inputs import Input, files

Find = Callable[[str], Path]


def raw_rows(path: Path) -> list[Any]:
    """Read a file's rows with the standard library alone."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as stream:
        if ".csv" in path.suffixes:
            return list(csv.DictReader(stream))
        if ".tsv" in path.suffixes:
            return [line.split("\t") for line in stream.read().rstrip("\n").split("\n")]
        text = stream.read()
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    return found if isinstance(found, list) else list(found.values())


def read(source: Input) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    opened = source.open()
    good, bad = [], []
    for block in opened.blocks():
        parsed = opened.parse(block)
        parsed.body.validate(full=True)
        good += [{"id": own, **row} for own, row in zip(parsed.ids.to_pylist(), parsed.body.to_pylist(), strict=True)]
        bad += parsed.bad.to_pylist()
    return opened.describe().partition(" (")[0], good, bad


def texts(value: Any) -> list[str]:  # noqa: ANN401
    """Return every text of messages, completions or answers; calls as the JSON that they came in."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict) and value.get("tool_calls"):
        return [f'{{"name": "{call["name"]}", "arguments": {call["arguments"]}}}' for call in value["tool_calls"]]
    if isinstance(value, dict):
        return [value["content"]] if "content" in value else [value["value"]]
    return [text for one in value for text in texts(one)]


def alpaca_texts(row: dict[str, Any]) -> list[str]:
    prompt = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
    return [*texts(row.get("history", [])), prompt, row.get("output", row.get("response"))]


def pair_texts(*names: str) -> Callable[[dict[str, Any]], list[str]]:
    return lambda row: [text for name in names for text in texts(row[name])]


ALPACA = (
    "alpaca_cleaned_1000 alpaca_en_demo alpaca_random_9k alpaca_zh_demo alpaca_zh_part00 alpagasus_claude_t45 "
    "alpagasus_helpfulness_t45 cherry_alpaca_5pct code_alpaca_2k gpteacher_codegen-instruct gsm8k_train_alpaca "
    "identity lima "
    "gpteacher_roleplay-simple-deduped-roleplay-instruct oasst_sft_zh rasbt_instruction_data"
)
SHAREGPT = (
    "alpaca_1k_longest alpaca_1k_score dummy_conversation glaive_toolcall_en_demo toolbench_weather_demo "
    "vicuna_dummy_data"
)

DETECTED: list[tuple[str, str, Callable[[dict[str, Any]], list[str]]]] = [
    *((f"sft/{name}.json", "alpaca()", alpaca_texts) for name in ALPACA.split()),
    *((f"sft/{name}.json", "sharegpt()", pair_texts("conversations")) for name in SHAREGPT.split()),
    ("sft/v1_sft_demo.jsonl", "messages()", lambda row: [m["content"][0]["value"] for m in row["messages"]]),
    (
        "sft/oasst_questions_guanaco.jsonl",
        "prompt_completion(prompt='input', completion='output')",
        pair_texts("input", "output"),
    ),
    ("sft/gsm8k_train.jsonl", "question_answer()", pair_texts("question", "answer")),
    ("sft/truthfulqa_judge_finetune_truth.jsonl", "prompt_completion()", pair_texts("prompt", "completion")),
    (
        "preference/xstest_completions/xstest_v2_completions_gpt4.csv",
        "prompt_completion()",
        pair_texts("prompt", "completion"),
    ),
    ("preference/dpo_en_demo.json", "preference()", pair_texts("conversations", "chosen", "rejected")),
    (
        "preference/ultrafeedback_binarized_train_clean.jsonl",
        "preference()",
        pair_texts("prompt", "chosen", "rejected"),
    ),
    (
        "preference/ultrafeedback_truthful_qa_completions.json",
        "ultrafeedback()",
        lambda row: [row["instruction"], *(one["response"] for one in row["completions"])],
    ),
    (
        "preference/tulu1_human_eval_instances.jsonl",
        "rated()",
        lambda row: [row["prompt"], *(one["completion"] for one in row["completions"])],
    ),
]
SIDES = ("messages", "prompt", "chosen", "rejected", "completions")


@pytest.mark.parametrize(("name", "form", "expected"), DETECTED, ids=[name for name, _, _ in DETECTED])
def test_auto_reads_every_row_and_every_text(
    real_file: Find, name: str, form: str, expected: Callable[[dict[str, Any]], list[str]]
) -> None:
    path = real_file(name)
    raw = raw_rows(path)
    detected, good, bad = read(files(path))
    assert (detected, len(good), bad) == (form, len(raw), [])
    assert [texts([row[side] for side in SIDES if side in row]) for row in good] == [expected(row) for row in raw]
    assert [row["id"] for row in good] == [str(row["id"]) if "id" in row else None for row in raw]


MAPPED: list[tuple[str, Format, tuple[str, ...]]] = [
    ("sft/halueval_general.json", columns("user_query", "chatgpt_response"), ("user_query", "chatgpt_response")),
    (
        "preference/bpo_val.json",
        columns("instruction", chosen="good_res", rejected="bad_res"),
        ("instruction", "good_res", "bad_res"),
    ),
]


@pytest.mark.parametrize(("name", "form", "names"), MAPPED)
def test_a_mapping_reads_what_auto_refuses(real_file: Find, name: str, form: Format, names: tuple[str, ...]) -> None:
    path = real_file(name)
    with pytest.raises(FormatError, match="no format fits"):
        files(path).open()
    raw = raw_rows(path)
    _, good, bad = read(files(path, form))
    assert (len(good), bad) == (len(raw), [])
    assert [texts([row[side] for side in SIDES if side in row]) for row in good] == [
        [row[n] for n in names] for row in raw
    ]
    assert [json.loads(row["meta"]).keys() for row in good] == [row.keys() - {*names, "id"} for row in raw]


REFUSED = {
    "sft/CodeAlpacaDB.jsonl": "fields: 'test', 'train', 'results'",
    "sft/self_instruct_seed_tasks.jsonl": r"alpaca\(\) reads 0 of them \(output: expected text in output, resp",
    "sft/realistic_seed_data.json": "'task_message_id'",
    "sft/sgd_dialogues": "fields: 'dialogue_id', 'services', 'turns'",
    "sft/flan_cot/aqua_train.tsv": "looks like a row, not like a header",
    "preference/pandalm_testset.json": "'response1', 'response2'",
    "preference/halueval_qa_multiturn.json": r"question_answer\(\) reads 0 of them \(answer: expected a field",
    "preference/instructgpt_tldr_samples.csv": "'model_type'",
    "preference/qlora_vicuna_generations/answer_gpt4.jsonl": "'answer_id'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_auto_refuses_what_it_cannot_tell(real_file: Find, name: str) -> None:
    with pytest.raises(FormatError, match=REFUSED[name]):
        files(real_file(name)).open()


def test_a_folder_of_packed_files(real_file: Find) -> None:
    folder = real_file("sft/t0_train_50k")
    raw = [row for path in sorted(folder.iterdir()) for row in (raw_rows(path) if path.stat().st_size else [])]
    detected, good, bad = read(files(folder))
    assert (detected, len(good), bad) == ("prompt_completion()", len(raw), [])
    assert [texts(row["messages"]) for row in good] == [[row["prompt"], row["completion"]] for row in raw]


def test_tables_without_headers(real_file: Find) -> None:
    folder = real_file("sft/flan_cot")
    raw = [row for path in sorted(folder.iterdir()) for row in raw_rows(path)]
    form = columns("question", ("why", "answer"))
    _, good, bad = read(files(folder, form, columns=("question", "answer", "why"), unescape=True))
    assert len(good) + len(bad) == len(raw)
    whole = [[cell.replace("\\n", "\n") for cell in row] for row in raw if len(row) == 3]
    assert [texts(row["messages"]) for row in good] == [[q, "\n\n".join(filter(None, (why, a)))] for q, a, why in whole]


@pytest.mark.parametrize("name", ["tree", "message"])
def test_open_assistant_trees(real_file: Find, name: str) -> None:
    path = real_file(f"sft/oasst_en_100_{name}.jsonl")
    detected, good, bad = read(files(path))
    assert (detected, len(good), bad) == ("oasst()", 100, [])
    for row, raw in zip(good, raw_rows(path), strict=True):
        node, path_texts = raw.get("prompt", raw), []
        while node:
            path_texts.append(node["text"])
            alive = [child for child in node["replies"] if not child["deleted"]]
            node = min(alive, key=lambda child: (child.get("rank") is None, child.get("rank") or 0), default=None)
        assert texts(row["messages"]) == path_texts
    assert len(read(files(path, oasst(3)))[1]) > 100


def test_flat_messages_of_a_file_that_lacks_their_parents(real_file: Find) -> None:
    path = real_file("sft/realistic_seed_data.json")
    form = oasst_messages(message_id="user_message_id", parent_id="parent_message_id")
    raw = raw_rows(path)
    _, good, bad = read(files(path, form))
    assert (len(good), bad) == (sum(row["parent_message_id"] is None for row in raw), [])
    _, good, bad = read(files(path, oasst_messages(message_id="task_message_id", parent_id="parent_message_id")))
    assert (len(good), len(bad)) == (len(good), sum(row["parent_message_id"] is not None for row in raw))
