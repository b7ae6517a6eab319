"""What repeats in a text, the slow way."""

from __future__ import annotations

import re
from collections import Counter

from tests.reference.words import words

BLANK = " \t\v\f\r"


def duplicates(units: list[str], sizes: list[int]) -> tuple[float, float]:
    again = [unit in units[:i] for i, unit in enumerate(units)]
    size = sum(size for size, hit in zip(sizes, again, strict=True) if hit)
    return (sum(again) / len(units), size / sum(sizes)) if any(again) else (0.0, 0.0)


def gram_score(said: list[str], n: int) -> float:
    grams = [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]
    times = Counter(grams)
    best = max(times, key=lambda gram: (times[gram], len("".join(gram))), default=())
    hits = [gram == best and times[gram] > 1 if n <= 4 else gram in grams[:i] for i, gram in enumerate(grams)]
    inside = {k for i, hit in enumerate(hits) if hit for k in range(i, i + n)}
    return sum(len(said[k]) for k in inside) / max(len("".join(said)), 1)


def repeats(text: str, min_words: int, min_lines: int) -> list[float]:
    said = [re.sub("[A-Z]", lambda letter: letter[0].lower(), word) for word in words(text)]
    lines = [line.strip(BLANK) for line in text.split("\n")]
    blocks = [block for block in re.split(r"(?:^|(?<=\n))\n+", "\n".join(lines) + "\n\n") if words(block)]
    paragraphs = [block.strip("\n") for block in blocks]
    worded = [line for line in lines if words(line)]
    found = [(0.0, 0.0), (0.0, 0.0)]
    if len(worded) >= min_lines:
        found[0] = duplicates(worded, [len(line) for line in worded])
    if len(paragraphs) >= min_lines:
        found[1] = duplicates(paragraphs, [len(block.replace("\n", "")) for block in paragraphs])
    grams = [gram_score(said, n) if len(said) >= min_words else 0.0 for n in range(2, 11)]
    return [found[0][0], found[1][0], found[0][1], found[1][1], *grams]
