"""`dedup` on real data: held against brute force, and the counts of collections that are known to overlap."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.io.inputs import Input, files
from curate.steps.dedup.dedup import Dedup, dedup
from tests.reference.dedup import jaccard, near_pairs, shingles
from tests.support.group_resolve import Keys, asks, signed

RealFile = Callable[[str], Path]
ALPACA = (
    "alpaca_random_9k",
    "alpaca_cleaned_1000",
    "alpagasus_claude_t45",
    "alpagasus_helpfulness_t45",
    "cherry_alpaca_5pct",
)


def rows(source: Input) -> list[pa.RecordBatch]:
    opened = source.open()
    return [opened.parse(block).body for block in opened.blocks()]


def keys_of(step: Dedup, sources: list[list[pa.RecordBatch]]) -> Keys:
    source = np.repeat(np.arange(len(sources)), [sum(batch.num_rows for batch in batches) for batches in sources])
    rank = np.random.default_rng(0).permutation(len(source)).astype(np.uint64)
    return signed(step, [batch for batches in sources for batch in batches], source=source, rank=rank)


class Left(NamedTuple):
    """Rows of each source, and how many of them stay."""

    read: list[int]
    stay: list[int]
    drops: pl.DataFrame


def left(step: Dedup, sources: list[list[pa.RecordBatch]]) -> Left:
    keys = keys_of(step, sources)
    drops = step.resolve(keys.frame, keys.lists, {}).drops
    source = keys.frame["source"].to_numpy()
    read = np.bincount(source)
    dropped = np.bincount(source[drops["row"].to_numpy()], minlength=len(read))
    return Left(read.tolist(), (read - dropped).tolist(), drops)


@pytest.fixture(scope="module")
def mixed(real_data: Path) -> list[pa.RecordBatch]:
    """5,000 real rows of many sources: three templates of T0 for each passage, Alpaca, GSM8K in two layouts, LIMA."""
    t0 = [path for path in t0_files(real_data) if path.name.startswith(("adversarial", "app", "paws", "common"))][::4]
    sources: list[tuple[Input, int]] = [
        *((files(path, "prompt_completion"), 200) for path in t0[:12]),
        (files(real_data / "sft/alpaca_random_9k.json", "alpaca"), 900),
        (files(real_data / "sft/gsm8k_train.jsonl", "question_answer"), 300),
        (files(real_data / "sft/gsm8k_train_alpaca.json", "alpaca"), 300),
        (files(real_data / "sft/alpaca_zh_part00.json", "alpaca"), 600),
        (files(real_data / "sft/lima.json", "alpaca"), 500),
    ]
    batches = [rows(source)[0].slice(0, most) for source, most in sources]
    batches = [pa.RecordBatch.from_pylist(batch.to_pylist(), batch.schema) for batch in batches]
    assert sum(batch.num_rows for batch in batches) == 5_000
    return batches


def t0_files(real_data: Path) -> list[Path]:
    """Return T0's files, a template of a task each; one is empty upstream."""
    return [path for path in sorted((real_data / "sft/t0_train_50k").glob("*.gz")) if path.stat().st_size > 100]


@pytest.mark.parametrize("on", ["prompt", "all"])
def test_5000_real_rows_against_brute_force(mixed: list[pa.RecordBatch], on: str) -> None:
    sets = []
    for row in (row for batch in mixed for row in batch["messages"].to_pylist()):
        first = next((k for k, turn in enumerate(row) if turn["role"] == "assistant"), len(row))
        turns = row[:first] if on == "prompt" else row
        sets.append(shingles([("", turn["content"]) for turn in turns], 5))
    near = near_pairs(sets, 0.5)
    for threshold in (0.5, 0.7, 0.8, 0.9):
        step = dedup(on, threshold=threshold)
        dropped = keys_of(step, [mixed]).dropped(step)
        for row, (kept, score) in dropped.items():
            assert kept not in dropped
            assert jaccard(sets[row], sets[kept]) == score >= threshold
        # Of the pairs that reach the threshold and are not equal, how many are both kept?
        pairs = [(i, j) for i, j, score in near if threshold <= score < 1]
        missed = sum(i not in dropped and j not in dropped for i, j in pairs)
        assert len(pairs) > 300
        assert missed <= 0.01 * len(pairs)  # in fact 3 of 21,000 pairs at all four thresholds


@pytest.mark.parametrize(
    ("on", "stay"),
    [
        ("all", [9228, 977, 4360, 1531, 2257]),
        ("prompt", [9229, 834, 4282, 1503, 2257]),
        ("response", [9083, 973, 4213, 1518, 2241]),
    ],
)
def test_alpaca_subsets_collapse(real_file: RealFile, on: str, stay: list[int]) -> None:
    found = left(dedup(on), [rows(files(real_file(f"sft/{name}.json"), "alpaca")) for name in ALPACA])
    assert found.read == [9229, 1000, 5305, 2022, 3111]
    assert found.stay == stay


def test_lima_in_two_layouts_is_lima_once(real_file: RealFile, tmp_path: Path) -> None:
    alpaca = rows(files(real_file("sft/lima.json"), "alpaca"))
    with (tmp_path / "lima.jsonl").open("w", encoding="utf-8") as out:
        for row in (row for batch in alpaca for row in batch["messages"].to_pylist()):
            out.write(json.dumps({"messages": row}) + "\n")
    messages = rows(files(tmp_path / "lima.jsonl", "messages"))
    for on in ("all", "prompt", "response"):
        assert left(dedup(on), [alpaca, messages]).stay == [1029, 0]


def test_gsm8k_in_three_layouts(real_file: RealFile) -> None:
    flan = files(
        real_file("sft/flan_cot/gsm8k_train.tsv"),
        "question_answer",
        columns=["question", "number", "answer"],
        unescape=True,
    )
    layouts = [
        rows(files(real_file("sft/gsm8k_train.jsonl"), "question_answer")),
        rows(files(real_file("sft/gsm8k_train_alpaca.json"), "alpaca")),
        rows(flan),
    ]
    assert left(dedup("prompt"), layouts).stay == [7472, 0, 0]  # one question differs from another by a number
    # OpenAI's own file has "<<48/2=24>>" in its answers, which parts whole dialogues; the other two are one.
    assert left(dedup("all"), layouts).stay == [7473, 6632, 0]


def families(real_data: Path) -> dict[str, list[pa.RecordBatch]]:
    """Return T0's rows by the dataset that they were made of."""
    by_name = groupby(t0_files(real_data), lambda path: path.name.split("_")[0])
    return {
        name: [batch for path in paths for batch in rows(files(path, "prompt_completion"))] for name, paths in by_name
    }


def test_templates_of_t0_wipe_out_no_source(real_data: Path) -> None:
    """56 % of T0's prompts stay. The dropped rows are the same passages under several templates and questions.

    QUOREF, with 36 of 2,200 rows left, asks 200 questions about some 33 long passages, in eleven templates; DuoRC asks
    about two dozen plots of films. A prompt that is passage for the most part is, at 0.8, a prompt of that passage.
    """
    found = families(real_data)
    step = dedup("prompt")
    stay = dict(zip(found, left(step, list(found.values())).stay, strict=True))
    assert sum(stay.values()) == pytest.approx(28_562, abs=50)
    assert min(stay, key=lambda name: stay[name]) == "quoref"
    assert {name: count for name, count in stay.items() if count < 100} == {"quoref": 36}


def test_a_template_longer_than_what_it_asks_is_ignored_on_request(real_data: Path) -> None:
    """The prompts of one file are a title of a few words, then the same fifty words: 11 of 200 stay, or all."""
    (path,) = (path for path in t0_files(real_data) if "dbpedia_14_given_a_list_of_category_what" in path.name)
    batches = rows(files(path, "prompt_completion"))
    texts = [row[0]["content"] for batch in batches for row in batch["messages"].to_pylist()]
    template = texts[0][texts[0].index(", given") :]
    assert all(text.endswith(template) for text in texts)
    assert left(dedup("prompt"), [batches]).stay == [11]
    assert left(dedup("prompt", ignore=template), [batches]).stay == [200]


HEAD = "Below is an instruction that describes a task. Write a response that completes it.\n\n### Instruction:\n"
TAIL = "\n\n### Response:"


@pytest.mark.parametrize(
    ("layout", "ignore"),
    [
        (HEAD + "{}", (HEAD,)),
        ("{}\n\n" + HEAD, (HEAD,)),
        ("{}" + TAIL, (TAIL,)),
        (HEAD + "{}" + TAIL, (HEAD, TAIL)),
        (HEAD + "{}" + TAIL, (HEAD + TAIL,)),
        (HEAD + "{}" + TAIL, (HEAD + "{instruction}" + TAIL,)),
        (HEAD + HEAD + "{}" + TAIL + TAIL, (HEAD, TAIL)),
    ],
)
def test_all_prompts_of_lima_are_found_in_two_layouts(
    real_file: RealFile, layout: str, ignore: tuple[str, ...]
) -> None:
    """Of prompts behind the template, 460 were found when n-grams reached across its end."""
    prompts = [row["instruction"] for row in json.loads(real_file("sft/lima.json").read_bytes()) if not row["history"]]
    assert len(prompts) == len(set(prompts)) == 1000
    step = dedup("prompt", ignore=ignore)
    dropped = signed(step, [asks(prompts), asks([layout.replace("{}", prompt) for prompt in prompts])]).dropped(step)
    assert dropped == {1000 + place: (place, 1.0) for place in range(1000)}
