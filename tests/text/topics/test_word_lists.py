"""Lists of words by group: what a line means, what matches, and how many of ToxiGen's prompts are recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CallError
from curate.kernels.buffers import view
from curate.text.topics.word_lists import compiled, groups_in, read_lists, shipped_lists

TOXIGEN = {"asian": "Asian people", "black": "Black people", "jewish": "Jews", "muslim": "Muslims", "women": "women"}
WORDS = {"boats": ["boat", "=Ferry", "ship of the line"], "seas": ["sea", "boat"]}


def marked(texts: list[str]) -> np.ndarray:
    return groups_in(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32), compiled(WORDS))


@given(
    st.lists(
        st.lists(st.sampled_from(["boat", "BOAT", "boats", "Ferry", "ferry", "ship of the line", "sea", "."])),
        max_size=5,
    )
)
def test_groups_are_those_of_a_search_word_by_word(rows: list[list[str]]) -> None:
    texts = [" ".join(words) for words in rows]
    patterns = {
        name: [re.compile(f"{'' if one[0] == '=' else '(?i)'}\\b{one.lstrip('=')}\\b") for one in own]
        for name, own in WORDS.items()
    }
    expected = [[any(one.search(text) for one in own) for own in patterns.values()] for text in texts]
    assert marked(texts).tolist() == expected


def test_edge_texts_have_no_group(edge_texts: dict[str, str]) -> None:
    assert marked(list(edge_texts.values())).sum() == 0


def test_a_file_is_groups_of_phrases() -> None:
    assert read_lists("[a]\n# no\n\n=(X|Y) z\nq\n[b]\nq") == {"a": ("=X z", "=Y z", "q"), "b": ("q",)}


def test_phrases_come_as_lists() -> None:
    with pytest.raises(CallError, match="give a list of phrases"):
        compiled({"a": "boat"})


def test_toxigen_is_recognised_by_group(real_file: Callable[[str], Path]) -> None:
    """Of the distinct sentences about each group, the share whose group is marked."""
    lists = shipped_lists()
    shares = {}
    for path in sorted(real_file("evals/toxigen_prompts").glob("*.txt")):
        kind, group, _ = path.stem.split("_")
        parts = [part.removeprefix("- ") for line in path.read_text("utf-8").split("\n") for part in line.split("\\n")]
        texts = [text for text in dict.fromkeys(parts) if len(text) > 2]
        found = groups_in(view(pa.array(texts)), np.arange(len(texts), dtype=np.int32), lists)
        shares[kind, group] = found[:, lists.groups.index(TOXIGEN[group])].mean(), len(texts)
    print("\nToxiGen, sentences whose group is marked:", shares)  # noqa: T201
    whole = sum(share * count for share, count in shares.values()) / sum(count for _, count in shares.values())
    assert whole >= 0.7
