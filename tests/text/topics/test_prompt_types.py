"""What prompts ask for: rule by rule, against a slow reading of the rules, and on real prompts with their labels."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.text.topics.prompt_types import GIVEN, PROMPT_TYPES, prompt_types
from curate.text.topics.word_lists import read_lists

LISTS = read_lists(files("curate.text.topics").joinpath("lists/prompt_types.txt").read_text("utf-8"))


def pattern(phrases: list[str], flags: int) -> re.Pattern[str]:
    """Return what matches at each place where one of the phrases begins; its group is the longest of them."""
    longest = "|".join(re.escape(one) for one in sorted(phrases, key=len, reverse=True)) or "(?!)"
    return re.compile(rf"(?<![a-z0-9_])(?=((?:{longest})(?![a-z0-9_])))", flags | re.IGNORECASE * (not flags))


PATTERNS = {
    name: (
        pattern([one for one in own if one[0] != "="], 0),
        pattern([one[1:] for one in own if one[0] == "="], re.ASCII),
    )
    for name, own in LISTS.items()
}
LETTERS = {"q": "question", "w": "writing", "c": "code", "m": "maths", "g": "given text", "h": "chat", "o": "other"}
LABELLED = {
    "sft/alpaca_random_9k.json": (
        "qwqwqqqqqwgqcqqwwmqqwqgwwwgwqgowwqwqqwcmwqggqcqwmmgmqqqwqwcwggcwgqcgwgqwwqqcwwqq",
        (
            "103 109 1291 1428 1453 1517 1658 1881 1933 2012 2152 2177 2378 2423 2493 2625 2769 2856 2969 2997 "
            "3110 3213 3243 3280 3297 3307 3340 3388 3540 3611 3842 3889 3923 4088 4158 4250 4334 4341 4416 4458 "
            "4609 4841 4897 4967 5315 5481 5564 5615 5667 5774 5988 6444 6641 6650 6668 7159 7353 7509 7689 7821 "
            "7824 7860 7869 8019 8020 8055 8088 8094 8127 8204 8318 8412 8554 8630 8727 8752 8812 8904 8927 9041"
        ),
    ),
    "sft/lima.json": (
        "ccqqcccqqqqqqqqwwwqqqqqqqwggmwgwwwwwwwwq",
        (
            "11 17 37 119 191 207 258 264 293 299 308 333 352 360 371 460 527 554 608 617 687 693 738 754 789 812 "
            "819 827 828 850 852 864 867 873 888 939 966 979 982 1015"
        ),
    ),
    "evals/alpaca_eval_reference_davinci003.json": (
        "qqqqqqqqwqqqqwqwqgmwwqcwgqqwqqcqccqwwwgqqqmcqqhqqq",
        (
            "11 46 66 78 90 91 108 133 139 154 166 167 174 182 216 220 236 262 268 273 279 280 290 307 336 355 "
            "360 366 382 383 406 411 417 419 444 525 534 536 553 578 586 601 617 715 725 736 753 759 764 776"
        ),
    ),
    "sft/oasst_questions_guanaco.jsonl": (
        "qqqqwqqqqqhqqqmqqqqqqqqcqqqqwqqcqqqwwqqqqqqqqqchhq",
        (
            "21 77 90 91 95 109 166 224 225 266 315 322 335 372 389 412 448 466 477 478 502 519 542 551 571 586 "
            "654 663 692 700 710 726 739 774 775 777 789 793 794 796 797 849 855 863 879 882 895 908 928 947"
        ),
    ),
}
"""What prompts ask for, as a letter for each, and their places in a file. Of all, in this order, those with an even
number were looked at for the rules, the others not."""


def types_of(prompts: list[str | None]) -> list[str]:
    found = prompt_types(view(pa.array(prompts, pa.string())), np.arange(len(prompts), dtype=np.int32))
    return [PROMPT_TYPES[place] for place in found]


EXAMPLES = {
    "Fix this:\n```\nx = 1\n```": "code",
    "Write a function that adds": "code",
    "What does git commit do?": "code",
    "Solve for x: 2x = 4": "maths",
    "Ann has 3 boats and buys 4. How many boats has she?": "maths",
    "Ann has three boats and buys four. How many boats has she?": "maths",
    "How many boats are there?": "question",
    "Simplify $x^2 + 1$": "maths",
    "Summarise: boats float.": "given text",
    "Boats float on water.\n\nWhat is the tone of this text?": "given text",
    "Summarise the history of boats": "question",
    "Translate the following sentence.\nLes bateaux flottent.": "given text",
    "You are a pirate. Sing.": "chat",
    "Hello there": "chat",
    "who are you?": "chat",
    "Write a haiku about boats": "writing",
    "I love boats. Please, write a poem about one.": "writing",
    "How do I write a poem?": "question",
    "Create a list of boats": "question",
    "Explain why boats float.": "question",
    "boats, ok?": "question",
    "\u8239\u4e3a\u4ec0\u4e48\u6d6e\uff1f": "question",
    "\u8239": "other",
    "\u05e1\u05d9\u05e8\u05d4": "other",
    "boats": "other",
    " ": "other",
    "": "other",
}


def test_each_rule() -> None:
    assert types_of([*EXAMPLES]) == [*EXAMPLES.values()]
    assert types_of([None]) == ["other"]


def test_a_huge_prompt_and_none_at_all() -> None:
    assert types_of(["a" * 10_000_000, "word " * 1_000_000 + "?"]) == ["other", "question"]
    assert types_of([]) == []


def slow(prompt: str) -> str:
    """Read the rules one by one, as they are written."""
    hits = {
        name: [(hit.start(), hit.end(1)) for one in own for hit in one.finditer(prompt)]
        for name, own in PATTERNS.items()
    }
    near = {name for name, own in hits.items() for start, end in own if start < 200 or end > len(prompt) - 200}
    first = {name: min((start for start, _ in own), default=10**9) for name, own in hits.items()}
    early = {name: start for name, start in first.items() if start < min(40, first["asking"])}
    writing = early.get("writing", 10**9)
    numbers = len(hits["numbers"]) + len(re.findall(r"\d+", prompt))
    given = early.get("rework", 10**9) <= min(writing, 10**8) or ("given" in near and writing == 10**9)
    asks = min(first[name] for name in ("asking", "question", "rework")) < 40 or "?" in prompt
    sums = ("sums" in near and numbers >= 2) or ("amounts" in near and numbers >= 3) or "maths" in near
    rules = [
        ("code", "code" in near or "```" in prompt),
        ("chat", first["part"] < 40),
        ("maths", sums or re.search(r"\d ?[-+*/^] ?\d+ ?[-+*/^=]", prompt)),
        ("given text", (given or "given text" in near) and re.search(GIVEN, prompt)),
        ("writing", writing < 10**9 or ("to write" in near and first["to write"] < first["asking"])),
        ("question", asks),
        ("chat", first["greeting"] < 40),
    ]
    return next((name for name, holds in rules if holds), "other")


PARTS = (
    *("write", "Write a", "poem", "summarise", "the following text", ":", "\n", "what", "how many", "3", "four"),
    *("boats", "python", "```", "you are a", "hello", "explain", "?", "find", "this sentence", '"', "in this task"),
    *("create a list", "boats " * 40, "solve for", "title of the", "Rust program", "rust program", "tell me a joke"),
    *("1 + 2 =", "."),
)


@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=8), max_size=6))
def test_types_are_those_of_a_slow_reading(prompts: list[list[str]]) -> None:
    texts = [" ".join(parts) for parts in prompts]
    assert types_of([*texts]) == [slow(text) for text in texts]


def prompts_in(path: Path) -> list[str]:
    """Return the prompts of a file of real data, in its order."""
    text = path.read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    if path.name == "oasst_questions_guanaco.jsonl":
        return [row["input"].removeprefix("### Human: ").split(" ### Assistant:")[0] for row in rows]
    first = ("instruction", "question", "problem", "prompt", "text")
    asked = [next(row[name] for name in first if name in row) for row in rows]
    return [f"{one}\n\n{row['input']}" if row.get("input") else one for one, row in zip(asked, rows, strict=True)]


def test_labelled_prompts_have_the_type_of_their_label(real_file: Callable[[str], Path]) -> None:
    prompts, labels = [], ""
    for name, (letters, places) in LABELLED.items():
        every = prompts_in(real_file(name))
        prompts += [every[int(place)] for place in places.split()]
        labels += letters
    assert zlib.crc32("\n".join(prompts).encode()) == 1116475634, "these are not the prompts that were labelled"
    right = [found == LETTERS[letter] for found, letter in zip(types_of([*prompts]), labels, strict=True)]
    assert sum(right[1::2]) >= 85  # 88 as the rules are
    assert sum(right[::2]) >= 93  # 96


SETS = {
    "sft/gpteacher_codegen-instruct.json": ("code", 0.99),
    "sft/code_alpaca_2k.json": ("code", 0.83),
    "sft/gsm8k_train.jsonl": ("maths", 0.93),
    "evals/math500_test.jsonl": ("maths", 0.86),
    "evals/NQ-open.dev.jsonl": ("question", 0.92),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_of_one_type(real_file: Callable[[str], Path], name: str) -> None:
    wanted, least = SETS[name]
    found = types_of([*prompts_in(real_file(name))])
    share = found.count(wanted) / len(found)
    assert share >= least
