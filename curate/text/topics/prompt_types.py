"""What a prompt asks for, by rules that everyone can read: the first that holds gives its type.

1. `code`: a fence of code, or near an end of the prompt a word of code.
2. `chat`: at its beginning a part to play, or a question about the assistant.
3. `maths`: near an end a word of maths, or numbers with a question such as "how many"; or a formula.
4. `given text`: to rewrite, summarise, translate, classify or answer from a text that the prompt has.
5. `writing`: to write, invent or design something.
6. `question`: a question word, "explain", or a question mark anywhere.
7. `chat`: a greeting.
8. `other`: none of these, as of most prompts in other languages than English without a question mark.

The words are in `lists/prompt_types.txt`. Of 110 prompts of Alpaca, LIMA, AlpacaEval and OASST that were labelled one
by one and not used for the rules, 88 have the type of their label; prompts of T0 that end with the question about the
text before it are often taken for questions (tests/text/topics/test_prompt_types.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.kernels.buffers import Int32s, Text, strings
from curate.text.phrases.matching import PhraseHits, find
from curate.text.topics.word_lists import shipped_lists

PROMPT_TYPES: Final = ("code", "maths", "given text", "writing", "question", "chat", "other")

LISTS: Final = ("prompt_types.txt",)

BEGINNING: Final = 40
"""Characters at the beginning of a prompt that its first words are in."""

NEAR: Final = 200
"""Characters at either end of a prompt that say what it asks for; between them may be a text of any kind."""

GIVEN: Final = r'\S\s*\n+\s*\S|:\s*\S|["“«][^"”»]{40}|<br>'
"""A sign that a prompt has a text beside its instruction."""

FENCE: Final = "```"
MARK: Final = r"[?？؟]"
NUMBER: Final = r"\d+"
FORMULA: Final = r"\$[^$\n]*[=^\\+][^$\n]*\$|\d ?[-+*/^×÷] ?\d+ ?[-+*/^×÷=]"

NEVER: Final = 2**31 - 1


def prompt_types(text: Text, index: Int32s) -> NDArray[np.uint8]:
    """Return the type of each of the prompts at `index`, as a place in `PROMPT_TYPES`; an empty one is `other`.

    >>> import pyarrow as pa
    >>> from curate.kernels.buffers import view
    >>> prompts = ["Write a haiku about ships.", "Why do ships float?", "Translate: bateau", "Write a C++ program."]
    >>> found = prompt_types(view(pa.array(prompts)), np.arange(4, dtype=np.int32))
    >>> [PROMPT_TYPES[place] for place in found]
    ['writing', 'question', 'given text', 'code']
    """
    lists, count = shipped_lists(LISTS), len(index)
    texts = pl.Series(strings(text.data, text.offsets)).gather(index)
    hits = find(text, index, lists.automaton)
    length = texts.str.len_chars().fill_null(0).to_numpy()[hits.place]
    outer = (hits.start < NEAR) | (hits.end > length - NEAR)
    of = {name: lists.members[hits.phrase, column] for column, name in enumerate(lists.groups)}
    near = {name: _any(hits, outer & of[name], count) for name in lists.groups}
    first = {name: _first(hits, of[name], count) for name in lists.groups}

    def before_question(name: str, within: int) -> NDArray[np.int32]:
        place = first[name]
        return np.where((place < first["asking"]) & (place < within), place, np.int32(NEVER))

    rework, writing = (before_question(name, BEGINNING) for name in ("rework", "writing"))
    numbers = np.bincount(hits.place[of["numbers"]], minlength=count)
    numbers += _count(texts, NUMBER, near["sums"] | near["amounts"])
    sums = (near["sums"] & (numbers >= 2)) | (near["amounts"] & (numbers >= 3))
    given = ((rework < NEVER) & (rework <= writing)) | (near["given"] & (writing == NEVER)) | near["given text"]
    asks = np.minimum.reduce([first["asking"], first["question"], first["rework"]]) < BEGINNING
    every = np.ones(count, np.bool_)
    rules = (
        ("code", near["code"] | _matches(texts, FENCE, every)),
        ("chat", first["part"] < BEGINNING),
        ("maths", near["maths"] | sums | _matches(texts, FORMULA, every)),
        ("given text", _matches(texts, GIVEN, given)),
        ("writing", (writing < NEVER) | (near["to write"] & (before_question("to write", NEVER) < NEVER))),
        ("question", asks | _matches(texts, MARK, every)),
        ("chat", first["greeting"] < BEGINNING),
    )
    types = [PROMPT_TYPES.index(name) for name, _ in rules]
    return np.select([found for _, found in rules], types, PROMPT_TYPES.index("other")).astype(np.uint8)


def _any(hits: PhraseHits, which: NDArray[np.bool_], texts: int) -> NDArray[np.bool_]:
    found = np.zeros(texts, np.bool_)
    found[hits.place[which]] = True
    return found


def _first(hits: PhraseHits, which: NDArray[np.bool_], texts: int) -> NDArray[np.int32]:
    """Return where the first of these hits begins in each text."""
    found = np.full(texts, NEVER, np.int32)
    np.minimum.at(found, hits.place[which], hits.start[which])
    return found


def _matches(texts: pl.Series, pattern: str, places: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(len(texts), np.bool_)
    at = np.flatnonzero(places)
    found[at] = texts.gather(at).str.contains(pattern).fill_null(value=False).to_numpy()
    return found


def _count(texts: pl.Series, pattern: str, places: NDArray[np.bool_]) -> NDArray[np.int64]:
    found = np.zeros(len(texts), np.int64)
    at = np.flatnonzero(places)
    found[at] = texts.gather(at).str.count_matches(pattern).fill_null(0).to_numpy()
    return found
