"""Tokens in the case that the `truecase` package gives them, by the table and the kernels that restore texts."""

from __future__ import annotations

import string
from functools import cache
from itertools import accumulate, pairwise
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from curate.kernels.buffers import frozen, strings, view
from curate.text.casing.model import load
from curate.text.casing.scoring_kernel import SCORED, UNKNOWN, choose, recognise

OutOfVocabulary: TypeAlias = Literal["title", "capitalize", "lower", "as-is"]


@cache
def numbers() -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Return the numbers of words and of seen forms, the first of equal ones, and all forms."""
    table = load()
    words = strings(table.word_data, table.word_offsets).to_pylist()
    forms = strings(table.form_data, table.form_offsets).to_pylist()
    by_word, by_form = (
        {text: number for number, text in reversed(list(enumerate(texts)))}
        for texts in (words, forms[: len(table.capital)])
    )
    return by_word, by_form, forms


def true_case(sentences: list[list[str]], option: OutOfVocabulary = "title") -> list[list[str]]:
    """Return what `TrueCaser.get_true_case_from_tokens` does; of forms with the same score, the usual one wins."""
    table, (words, forms, spelled) = load(), numbers()
    tokens = [token for sentence in sentences for token in sentence]
    text = view(pa.array(tokens, pa.string()))
    word, chosen = recognise(text.data, text.offsets[:-1], text.offsets[1:], table)
    write = {"title": str.title, "capitalize": str.capitalize}.get(option, str.lower)
    texts = []
    for i, token in enumerate(tokens):
        kept = token.isdigit() or token in string.punctuation
        texts.append(token if kept else write(token.lower()))
        if token.isascii():
            assert word[i] == words.get(token.lower(), UNKNOWN) or not token
        word[i] = words.get(token.lower(), UNKNOWN)
        chosen[i] = SCORED if word[i] != UNKNOWN and not kept else forms.get(texts[i], UNKNOWN)
    offsets = [0, *accumulate(map(len, sentences))]
    choose(frozen(np.array(offsets, np.int32)), word, chosen, table, table.capital)
    cased = [spelled[form] if form >= 0 else texts[i] for i, form in enumerate(chosen.tolist())]
    return [cased[low:high] for low, high in pairwise(offsets)]
