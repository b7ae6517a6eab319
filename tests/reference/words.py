"""Words, the slow way: a pattern over one letter a character."""

from __future__ import annotations

import functools
import re
import unicodedata

from curate.text.normal import APOSTROPHES
from curate.text.words import UNSPACED
from tests.reference.normal import INVISIBLE

WORD = re.compile(r"w[mi]*|l[lmi]*(?:'i*l[lmi]*)*")


@functools.cache
def kind(letter: str) -> str:
    if letter in "'" + APOSTROPHES:
        return "'"
    if INVISIBLE.match(letter):
        return "i"
    category = unicodedata.category(letter)[0]
    if category in "LN":
        return "w" if any(first <= ord(letter) <= last for first, last in UNSPACED) else "l"
    return "m" if category == "M" else " "


def words(text: str) -> list[str]:
    return [text[found.start() : found.end()] for found in WORD.finditer("".join(map(kind, text)))]
