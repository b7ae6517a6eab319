"""Real rows for benches: every readable file of the real data as conversations, in JSON Lines that all sides read.

Rows come in a fixed shuffle, so that the first n of them are a fair part of all. Every 50th row of at least 100 words
is followed by a near copy, one word longer, whose id starts with "copy-": whoever finds near duplicates drops the row
or the copy.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import curate as c
from curate.io.inputs import Input

SEED: Final = 7
COPY_EVERY: Final = 50
COPY_WORDS: Final = 100

AUTO: Final = (
    "sft/alpaca_*.json",
    "sft/alpagasus_*.json",
    "sft/cherry_alpaca_5pct.json",
    "sft/code_alpaca_2k.json",
    "sft/dummy_conversation.json",
    "sft/glaive_toolcall_en_demo.json",
    "sft/gpteacher_*.json",
    "sft/gsm8k_train*",
    "sft/identity.json",
    "sft/lima.json",
    "sft/oasst_en_100_tree.jsonl",
    "sft/oasst_sft_zh.json",
    "sft/rasbt_instruction_data.json",
    "sft/t0_train_50k/*",
    "sft/toolbench_weather_demo.json",
    "sft/truthfulqa_judge_finetune_truth.jsonl",
    "sft/v1_sft_demo.jsonl",
    "sft/vicuna_dummy_data.json",
    "preference/xstest_completions/*.csv",
)
"""Files whose layout tells itself."""

SCORED: Final = ("alpaca_eval_v1_gpt4", "alpaca_eval_weighted", "bon_tulu2dpo13b_scored")


class Chats(NamedTuple):
    """A folder of JSON Lines: its rows, the bytes of their texts, and the ids of the near copies by their row's id."""

    folder: Path
    rows: int
    size: int
    copies: dict[str, str]

    @property
    def summary(self) -> str:
        """Say how much it is."""
        return f"{self.rows:,} rows, {self.size / 1e6:.1f} MB of text, {len(self.copies)} near copies among them"


def inputs(data: Path) -> Iterator[Input]:
    """Give the inputs, a file each."""
    for pattern in AUTO:
        for path in sorted(data.glob(pattern)):
            yield c.files(path)
    yield c.files(data / "sft/halueval_general.json", c.columns("user_query", "chatgpt_response"))
    yield c.files(data / "sft/oasst_questions_guanaco.jsonl", c.columns("input", "output"))
    cells = ("question", "answer", "why")
    form = c.columns("question", ("why", "answer"))
    for path in sorted(data.glob("sft/flan_cot/*.tsv")):
        yield c.files(path, form, columns=cells, unescape=True)
    for name in SCORED:
        for path in sorted(data.glob(f"preference/{name}/*.json.gz")):
            yield c.files(path, c.columns("instruction", "output_2"))


def dialogues(data: Path) -> list[list[dict[str, str]]]:
    """Return the messages of every real row, shuffled."""
    found: list[list[dict[str, str]]] = []
    for source in inputs(data):
        opened = source.open()
        for block in opened.blocks():
            found += opened.parse(block).body["messages"].to_pylist()
    random.Random(SEED).shuffle(found)
    return found


def rows(data: Path) -> Iterator[dict[str, Any]]:
    """Give the rows, each near copy behind its own."""
    for number, messages in enumerate(dialogues(data)):
        yield {"id": f"r{number}", "messages": messages}
        last = messages[-1]["content"] or ""
        if number % COPY_EVERY == 0 and len(last.split()) >= COPY_WORDS:
            yield {"id": f"copy-r{number}", "messages": [*messages[:-1], {**messages[-1], "content": f"{last} indeed"}]}


def text_of(row: dict[str, Any]) -> str:
    """Return a row's texts as one, as a peer reads them."""
    return "\n\n".join(message["content"] or "" for message in row["messages"])


def write(found: Iterable[dict[str, Any]], folder: Path, files: int) -> Chats:
    """Write rows into a folder of `files` files of JSON Lines, in turn."""
    folder.mkdir(parents=True)
    number = size = 0
    copies: dict[str, str] = {}
    streams = [(folder / f"part-{i}.jsonl").open("w", encoding="utf-8") for i in range(files)]
    for row, out in zip(found, itertools.cycle(streams)):
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
        number += 1
        size += len(text_of(row).encode())
        if row["id"].startswith("copy-"):
            copies[row["id"].removeprefix("copy-")] = row["id"]
    for out in streams:
        out.close()
    return Chats(folder, number, size, copies)


def share_found(chats: Chats, kept: set[str]) -> float:
    """Return which share of the near copies was found: not both are kept."""
    hit = sum(not {row, copy} <= kept for row, copy in chats.copies.items())
    return hit / max(len(chats.copies), 1)


def part(found: Sequence[dict[str, Any]], mark: int) -> Sequence[dict[str, Any]]:
    """Return the first rows that hold about `mark` bytes of text."""
    sizes = itertools.accumulate(len(text_of(row).encode()) for row in found)
    return found[: next((i for i, size in enumerate(sizes, 1) if size >= mark), len(found))]
