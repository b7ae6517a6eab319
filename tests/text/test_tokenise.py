"""`spaced` cuts texts as its slow definition does."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curate.text.normal import normalise
from curate.text.tokenise import spaced
from curate.text.words import APOSTROPHE, LETTER, MARK, classes

FRAGMENTS = st.sampled_from(
    ["a", "b", "'", " ", ".", "_", "1", "東", "ก", "ิ", "e\u0301", "\u0301", "é", "👍", "\u200d", "ア", "ß"]
)
TEXTS = st.lists(st.lists(FRAGMENTS, max_size=12).map("".join) | st.text(max_size=12), max_size=6)


def slow(text: str) -> str:
    kinds = [classes()[ord(letter)] for letter in text]
    out, word, token = "", False, False
    for i, letter in enumerate(text):
        if letter == " ":
            word = token = False
            continue
        inside = kinds[i] == APOSTROPHE and word and i + 1 < len(text) and kinds[i + 1] == LETTER
        joins = (word and kinds[i] == LETTER) or inside or (token and kinds[i] == MARK)
        if not joins:
            out += " " if out else ""
            word, token = kinds[i] == LETTER, True
        out += letter
    return out


@given(TEXTS)
def test_texts_are_cut_as_defined(texts: list[str]) -> None:
    normal = normalise(pa.array([text.replace("\0", "") for text in texts], pa.string()))
    found = spaced(normal)
    assert found.to_pylist() == [slow(text) for text in normal.to_pylist()]
    assert spaced(found).equals(found)
    assert spaced(normal.slice(1)).equals(found.slice(1))


def test_no_text_spells_what_fasttext_reads_as_its_own(edge_texts: dict[str, str]) -> None:
    hostile = ["__label__positive", "a __LABEL__x </S> b", "</s>", "＿＿label＿＿x"]
    found = spaced(normalise(pa.array([*edge_texts.values(), *hostile])))
    assert not [text for text in found.to_pylist() if "__label__" in text or "</s>" in text or "\n" in text]
    assert spaced(pa.array([None, ""], pa.string())).to_pylist() == ["", ""]
    assert len(spaced(pa.array([], pa.string()))) == 0
