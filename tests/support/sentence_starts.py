"""Where sentences of real text open, as far as that is certain without our code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

SPECIAL: Final = re.compile(r"[`$\\<>{}\"“”«»@#=|_/]|''|(?<!\w)'")
START: Final = re.compile(r"(?<=[a-z]{2}[.!?])\s+(?:([A-Z])[a-z']+(?=[ ,;:])|([AI])(?= [a-z]{2}))")
FIRST: Final = re.compile(r"([A-Z][a-z]+|[AI]) ")
SHORTENED: Final = re.compile(
    r"\b(vs|etc|mr|mrs|dr|ms|st|inc|ltd|co|corp|llc|jr|sr|no|prof|fig|eq|approx|dept|al|sen|gov|gen|rep|rev|ft)\.$",
    re.IGNORECASE,
)


def plain_words(texts: Iterable[str]) -> set[str]:
    """Words that are no names: written small in these texts, at least five times as often as with a capital."""
    small: Counter[str] = Counter()
    large: Counter[str] = Counter()
    for text in texts:
        small.update(re.findall(r"(?<![\w'])[a-z]+(?![\w'])", text))
        large.update(word.lower() for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text))
    return {word for word, count in small.items() if count >= max(5, 5 * large[word])} | {"i"}


def starts(text: str, plain: set[str]) -> list[int]:
    """Where sentences of `text` open, as far as is certain."""
    if SPECIAL.search(text):
        return []
    found = [
        max(match.start(1), match.start(2))
        for match in START.finditer(text)
        if not SHORTENED.search(text[: match.start()])
    ]
    first = FIRST.match(text)
    if first and re.search(r"[a-z]{2}[.!?](\s|$)", text.split("\n", maxsplit=1)[0]):
        found.append(0)
    return [at for at in found if re.match(r"[A-Za-z']+", text[at:])[0].lower() in plain]  # type: ignore[index]
