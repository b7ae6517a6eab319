"""How much of the letter case of real answers `full` restores once it is all gone, beside the package's own scoring."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.kernels.buffers import frozen, view
from curate.text.casing.lexicon import PROTECTED, tables
from curate.text.casing.restore import restore
from curate.text.casing.restore_kernel import mark_texts
from tests.support.true_case import OutOfVocabulary, true_case

TOKEN: Final = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]+")
SENTENCE: Final = re.compile(r".+?(?:[.!?]+(?=\s|$)|\n|$)")
FLAN: Final = ("strategyqa", "creak", "qasc", "ecqa")


class Tokens(NamedTuple):
    """Tokens of restored texts, sentence by sentence: without case, as written by people, and as restored."""

    bare: list[list[str]]
    written: list[list[str]]
    restored: list[list[str]]
    free: list[list[bool]]


def answers(real_file: Callable[[str], Path], name: str) -> list[str]:
    """Return every second answer of a source that has capitals and nothing but ASCII, where case is lost reversibly."""
    if name == "flan":
        files = [real_file(f"sft/flan_cot/{part}_train.tsv").read_text(encoding="utf-8") for part in FLAN]
        lines = "".join(files).rstrip("\n").split("\n")
        texts = [line.split("\t")[-1].replace("\\n", "\n") for line in lines[::4]]
    else:
        file = {"lima": "sft/lima.json", "alpaca": "sft/alpaca_random_9k.json"}[name]
        texts = [row["output"] for row in json.loads(real_file(file).read_bytes())]
    return [text for text in texts[::2] if text.isascii() and text != text.lower()]


def protected(texts: pa.StringArray) -> NDArray[np.bool_]:
    text = view(texts)
    index, user = frozen(np.arange(len(texts), dtype=np.int32)), frozen(np.zeros(len(texts), np.bool_))
    return mark_texts(text.data, text.offsets, index, user, frozen(text.offsets.copy()), tables()) & PROTECTED != 0


def restored_tokens(texts: list[str], case: Callable[[str], str]) -> tuple[Tokens, int]:
    """Restore the texts, and cut those that were restored into tokens; return how many texts those are, too."""
    bare = pa.array([case(text) for text in texts])
    places, new = restore(view(bare), np.arange(len(texts), dtype=np.int32), np.zeros(len(texts), np.bool_))
    marks, offsets = protected(bare), view(bare).offsets
    found = Tokens([], [], [], [])
    for place, after in zip(places.tolist(), new.to_pylist(), strict=True):
        written, covered = texts[place], marks[offsets[place] : offsets[place + 1]]
        for sentence in SENTENCE.finditer(written):
            spans = [match.span() for match in TOKEN.finditer(written, *sentence.span())]
            if spans:
                found.bare.append([case(written[low:high]) for low, high in spans])
                found.written.append([written[low:high] for low, high in spans])
                found.restored.append([after[low:high] for low, high in spans])
                found.free.append([not covered[low:high].any() for low, high in spans])
    return found, len(places)


def accuracy(tokens: Tokens, cased: list[list[str]]) -> float:
    """Return the share of tokens outside protected spans that are as people wrote them."""
    right = count = 0
    for written, mine, free in zip(tokens.written, cased, tokens.free, strict=True):
        right += sum(one == other for one, other, counts in zip(written, mine, free, strict=True) if counts)
        count += sum(free)
    return right / count


def package(tokens: Tokens, option: OutOfVocabulary) -> list[list[str]]:
    """What the package answers, by `true_case`: tests/text/casing/test_model.py holds them equal."""
    return true_case(tokens.bare, option)


@pytest.mark.parametrize("case", [str.lower, str.upper])
@pytest.mark.parametrize("name", ["lima", "alpaca", "flan"])
def test_full_is_as_right_as_the_package(
    real_file: Callable[[str], Path], name: str, case: Callable[[str], str]
) -> None:
    texts = answers(real_file, name)
    tokens, done = restored_tokens(texts, case)
    ours = accuracy(tokens, tokens.restored)
    title, lower = (accuracy(tokens, package(tokens, option)) for option in ("title", "lower"))
    count = sum(map(sum, tokens.free))
    print(  # noqa: T201  the figures are what this test is for
        f"\n{name}, {case.__name__}: {done} of {len(texts)} texts restored, {count:,} tokens: {ours:.2%} right; "
        f"the package {title:.2%} (unknown words in title case, its default), {lower:.2%} (in small letters)"
    )
    assert done > 0.75 * len(texts)
    assert ours >= title
