"""Which rows hold which items, the slow way: sets of n-grams, and every stretch of lines."""

from __future__ import annotations

from itertools import chain

from tests.reference.normal import normal
from tests.reference.words import words

LABELS = {"q", "question", "user", "human", "prompt", *map(str, range(1, 1000))}


def split(text: str) -> list[str]:
    return words(normal(text))


def generic(item: list[str], at: int, n: int, ignored: list[list[str]], *, symbols: bool) -> bool:
    """Tell whether most words of an n-gram of the item are in phrases to ignore, or, without `symbols`, one letter."""
    phrases = {
        i + k for one in ignored for i in range(len(item)) if item[i : i + len(one)] == one for k in range(len(one))
    }
    single = 0 if symbols else sum(len(word) == 1 and ord(word) < 0x2E80 for word in item[at : at + n])
    return 2 * single > n or 2 * len(phrases.intersection(range(at, at + n))) > n


def share(
    item: list[str], turns: list[list[str]], n: int, ignored: list[list[str]] | None = None, *, symbols: bool = True
) -> float:
    """Return the share of the item's words that lie in n-grams of the turns, but for generic ones."""
    grams = {tuple(turn[i : i + n]) for turn in turns for i in range(len(turn) - n + 1)}
    starts = [i for i in range(len(item) - n + 1) if tuple(item[i : i + n]) in grams]
    starts = [i for i in starts if not generic(item, i, n, ignored or [], symbols=symbols)]
    return len({i + k for i in starts for k in range(n)}) / len(item)


def within(item: list[str], turn: list[str]) -> bool:
    return any(turn[i : i + len(item)] == item for i in range(len(turn) - len(item) + 1))


def alone(item: list[str], turn: str) -> bool:
    """Tell whether a stretch of whole lines is the item, but for a label before it."""
    lines = [line for line in map(split, turn.split("\n")) if line]
    stretches = (list(chain(*lines[i:j])) for i in range(len(lines)) for j in range(i + 1, len(lines) + 1))
    return any(one == item or (one[1:] == item and one[0] in LABELS) for one in stretches)
