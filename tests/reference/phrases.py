"""Every occurrence of every phrase, the slow way: fold the text letter by letter and look for each spelling."""

from __future__ import annotations

import unicodedata
from functools import cache

from curate.text.phrases.automaton import APOSTROPHES, SPACES, Phrase, spellings
from curate.text.words import UNSPACED


def in_word(letter: str) -> bool:
    if any(first <= ord(letter) <= last for first, last in UNSPACED) and unicodedata.category(letter)[0] != "M":
        return False
    apart = letter in APOSTROPHES
    return letter in "_\u00ad\u200c\u200d" or (unicodedata.category(letter)[0] in "LNM" and not apart)


@cache
def fold(text: str, *, loose: bool) -> tuple[str, list[int]]:
    """Return `text` folded, and where each of its letters began."""
    folded: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        plain = " " if loose and letter in SPACES else "'" if loose and letter in APOSTROPHES else letter
        if loose and plain == " " and folded[-1:] == [" "]:
            continue
        folded.append(plain.lower() if plain.isascii() else plain)
        places.append(place)
    return "".join(folded), [*places, len(text)]


@cache
def owners(phrases: tuple[Phrase, ...], *, loose: bool) -> dict[tuple[str, bool], int]:
    """Return the number of the first phrase with each spelling."""
    found: dict[tuple[str, bool], int] = {}
    for number, phrase in enumerate(phrases):
        for spelling in spellings(phrase) if loose else [phrase.text]:
            found.setdefault((spelling, phrase.exact), number)
    return found


def find(text: str, phrases: tuple[Phrase, ...], *, words: bool, loose: bool) -> set[tuple[int, int, int]]:
    """Return (phrase, start, end) of every hit."""
    folded, places = fold(text, loose=loose)
    hits = set()
    for (spelling, exact), number in owners(phrases, loose=loose).items():
        needle, _ = fold(spelling, loose=loose)
        at = folded.find(needle)
        while at >= 0:
            start, end = places[at], places[at + len(needle) - 1] + 1
            inside = any(0 < i < len(text) and in_word(text[i - 1]) and in_word(text[i]) for i in (start, end))
            if not (words and inside) and not (exact and text[start:end] != spelling):
                hits.add((number, start, end))
            at = folded.find(needle, at + 1)
    return hits
