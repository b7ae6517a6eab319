"""Restoring changes letter case and nothing else, only where a text has none, and once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import frozen, view
from curate.text.casing import restore as module
from curate.text.casing.lexicon import PROTECTED, tables
from curate.text.casing.restore import restore
from curate.text.casing.restore_kernel import mark_texts

WORDS: Final = [
    *("the", "dog", ".", "john", "smith's", "u.s.", "i", "i'm", "new-york", "html", "gpt4", "!", "`Code x`", "\n", "-"),
    *("https://a.B/c", "straße", "İx", "ΣΑΣ", "ǆ", "中文", "1.", "é", "ßa", "ﬁ", "", '"', "and", "ALL", "of", "we"),
]


def restored(texts: Sequence[str | None], *, user: bool = False) -> list[str | None]:
    """All texts, restored where they are."""
    flags = np.full(len(texts), user)
    places, new = restore(view(pa.array(texts, pa.string())), np.arange(len(texts), dtype=np.int32), flags)
    answer = list(texts)
    for place, text in zip(places.tolist(), new.to_pylist(), strict=True):
        answer[place] = text
    return answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("HELLO. MY NAME IS JOHN SMITH.", "Hello. My name is John Smith."),
        ("we went to new york in july, and i liked it.", "We went to New York in July, and I liked it."),
        ("THE U.S. AND THE UK ARE ALLIES OF FRANCE.", "The U.S. and the UK are allies of France."),
        ("first line here\n\n- a dog\n- the cat", "First line here\n\n- A dog\n- The cat"),
        ("IT IS HTML AND GPT4 IN ONE GO.", "It is HTML and GPT4 in one go."),
        (
            "the file that you are looking for is in `Some.path` i think, or there in the other one",
            "The file that you are looking for is in `Some.path` I think, or there in the other one",
        ),
        ("NOTHING IS AS GOOD AS A CAFÉ IN PARIS", "Nothing is as good as a café in Paris"),
    ],
)
def test_restored(text: str, answer: str) -> None:
    assert restored([text]) == [answer]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " \n\t",
        "OK",
        "NASA",
        "NASA HQ",
        "yes",
        "ok, thanks",
        "It has a case of its own.",
        "who met Smith there and then",
        "ICH BIN EIN BERLINER UND ICH WOHNE IN DER GROSSEN STADT.",
        "le chat noir est sur la petite table du salon",
        "me gusta mucho la casa de mi hermano en madrid",
        "MILK EGGS BREAD BUTTER",
        "你好世界。今天天气怎么样？",
        "مرحبا بالعالم، كيف حالك؟",
        "ΟΔΥΣΣΕΥΣ ΗΤΑΝ ΒΑΣΙΛΙΑΣ ΤΗΣ ΙΘΑΚΗΣ",
        "istanbul'da ılık bir akşamdı ve ırmak sakindi",
        '{"a": "the dog and the cat"}',
        "```\nthe dog and the cat are here\n```",
    ],
)
def test_left_alone(text: str | None) -> None:
    assert restored([text]) == [text]


def test_characters_without_a_way_back_stay() -> None:
    text = "THE DOG AND THE CAT OF THE İSTANBUL ΟΔΥΣΣΕΥΣ STRAẞE ǄX ARE IN THE HOUSE AND THE GARDEN OF THE MAN"
    assert restored([text]) == [
        "The dog and the cat of the İSTANBUL ΟΔΥΣΣΕΥΣ STRAẞE ǆx are in the house and the garden of the man"
    ]


def check(texts: list[str]) -> None:
    """The laws: letters differ in case only, bytes stay in place, protected ones as they are, and once is enough."""
    array = pa.array(texts, pa.string())
    text, index, user = view(array), np.arange(len(texts), dtype=np.int32), np.zeros(len(texts), np.bool_)
    answer = restored(texts)
    marks = mark_texts(text.data, text.offsets, frozen(index), frozen(user), frozen(text.offsets.copy()), tables())
    new = view(pa.array(answer, pa.string()))
    assert np.array_equal(text.offsets, new.offsets)
    kept = marks & PROTECTED != 0
    assert np.array_equal(text.data[: len(marks)][kept], new.data[: len(marks)][kept])
    for before, after in zip(texts, answer, strict=True):
        assert after is not None
        assert len(before) == len(after)
        assert before.casefold() == after.casefold()
    assert restored(answer) == answer
    assert [restored([one])[0] for one in texts] == answer


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), max_size=5),
    st.sampled_from([str, str.lower, str.upper]),
)
def test_laws(texts: list[str], case: Callable[[str], str]) -> None:
    check([case(text) for text in texts])


@pytest.mark.parametrize("case", [str, str.lower, str.upper])
def test_edge_texts(edge_texts: dict[str, str], case: Callable[[str], str]) -> None:
    check([case(text) for name, text in edge_texts.items() if name != "10_mb"])
    check(["the dog and the cat are here. " + case(text) for name, text in edge_texts.items() if name != "10_mb"])


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_real_texts(real_file: Callable[[str], Path], case: Callable[[str], str]) -> None:
    texts = [case(row["output"]) for row in json.loads(real_file("sft/lima.json").read_bytes())[::4]]
    check(texts)


def test_nothing_slices_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restored([]) == []
    texts = pa.array(["It is.", "the dog and the cat", None, "THE DOG AND THE CAT", "my dog and i are here"] * 9)
    part = view(texts.slice(3, 30))
    index = np.array([0, 1, 2, 3, 4], np.int32)
    places, new = restore(part, index, np.zeros(5, np.bool_))
    assert places.tolist() == [0, 1, 3]
    assert new.to_pylist() == ["The dog and the cat", "My dog and I are here", "The dog and the cat"]
    monkeypatch.setattr(module, "BLOCK", 1)
    again, blocks = restore(part, index, np.zeros(5, np.bool_))
    assert again.tolist() == places.tolist()
    assert blocks.equals(new)
