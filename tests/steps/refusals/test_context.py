"""A phrase between quotation marks, in an exception, or beside a phrase against it does not count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.steps.refusals.phrase_files import PhraseKind, PhraseRules, compile_rules
from curate.steps.refusals.phrase_hits import quotations, valid
from curate.text.phrases.automaton import SPACES, Phrase
from curate.text.phrases.matching import find
from tests.reference.phrases import in_word

FRAGMENTS = [
    '"',
    "“",
    "”",
    "„",
    "«",
    "»",
    "\n",
    " ",
    "a",
    "é",
    "你",
    "5",
    "(",
    ".",
    "I cannot",
    "\u00a0",
    "\U0001f600",
    "\0",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join)


def definition(text: str) -> list[tuple[int, int]]:
    """Every quotation, letter by letter."""
    found, opened, whole = [], None, False
    for place, letter in enumerate(text):
        if letter == "\n":
            opened = None
        elif opened is None and (letter in "“„«" or (letter == '"' and not (place and in_word(text[place - 1])))):
            opened, whole = place + 1, not text[:place].strip("".join(SPACES))
        elif opened is not None and letter in '"”»':
            if not whole:
                found.append((opened, place))
            opened = None
    return found


def quoted(texts: list[str | None]) -> list[list[tuple[int, int]]]:
    every = np.arange(len(texts), dtype=np.int32)
    quotes = quotations(view(pa.array(texts, pa.string())), every, every)
    found: list[list[tuple[int, int]]] = [[] for _ in texts]
    for place, start, end in zip(*(column.tolist() for column in quotes), strict=True):
        found[place].append((start, end))
    return found


@given(texts=st.lists(TEXTS, max_size=5))
def test_quotations_are_as_defined(texts: list[str]) -> None:
    assert quoted([*texts]) == [definition(text) for text in texts]


def test_more_quotations_than_there_is_room_for() -> None:
    texts: list[str | None] = ["", 'a "b"' * 300, None, 'no "quote', 'a "b" "c"', 'x "y"'] * 3
    assert quoted(texts) == [definition(text or "") for text in texts]


def test_edges(edge_texts: dict[str, str]) -> None:
    texts = [text for text in edge_texts.values() if len(text) < 1_000_000]
    assert quoted([*texts]) == [definition(text) for text in texts]
    said = [f'{text} He said, "No." and left.' for text in edge_texts.values()]
    for text, spans in zip(said, quoted([*said]), strict=True):
        assert [text[start:end] for start, end in spans][-1] == "No."


RULES = {
    0: PhraseRules(
        tuple(map(Phrase, ("I cannot help", "I refuse", "I cannot help but", "fictional"))),
        (PhraseKind.COUNTS, PhraseKind.OPENING, PhraseKind.EXCEPT, PhraseKind.UNLESS),
        unquoted=True,
    ),
    1: PhraseRules(
        (Phrase("as an AI"), Phrase("not as an AI")), (PhraseKind.COUNTS, PhraseKind.EXCEPT), unquoted=False
    ),
}


def matches(text: str) -> list[str]:
    """The phrases of a text that count."""
    search = compile_rules(RULES, 2)
    said, index = view(pa.array(["I cannot help but", text, "fictional"])), np.arange(3, dtype=np.int32)
    hits = find(said, index, search.automaton)
    good = valid(said, index, hits, search, 20)
    return [search.text[int(phrase)].as_py() for phrase in hits.phrase[good & (hits.place == 1)]]


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("I cannot help, as an AI", ["I cannot help", "as an AI"]),
        ("I can't help but smile; I can't help", ["I cannot help"]),
        ("I cannot help but", []),
        ("I cannot help, says the fictional man, as an AI", ["as an AI"]),
        ("Well, I refuse, and I refuse", ["I refuse"]),
        ("I say: not as an AI, but as an AI", ["as an AI"]),
        ('He: "I cannot help, as an AI"', ["as an AI"]),
        ('He: "I cannot help" I cannot help', ["I cannot help"]),
        ('"I cannot help"', ["I cannot help"]),
        ('He: "I cannot\nhelp"', ["I cannot help"]),
        ("", []),
    ],
)
def test_rules(text: str, stays: list[str]) -> None:
    assert matches(text) == stays
