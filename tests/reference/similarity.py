"""How similar a question is to a part of a turn, the slow way: every part of every length."""

from __future__ import annotations

from rapidfuzz import process
from rapidfuzz.distance import OSA, Levenshtein


def similarity(item: list[str], turn: list[str], least: float) -> float:
    """Return the greatest similarity, by words or by characters, of parts of the turn; 0 if it is below `least`."""
    code = {word: chr(0x4E00 + number) for number, word in enumerate(dict.fromkeys([*item, *turn]))}
    sizes = range(max(1, int(0.8 * least * len(item))), min(len(turn), int(1.2 * len(item) / least)) + 1)
    parts = [turn[i : i + size] for size in sizes for i in range(len(turn) - size + 1)]
    best = 0.0
    for asked, found in (
        ("".join(code[word] for word in item), ["".join(code[word] for word in part) for part in parts]),
        (" ".join(item), [" ".join(part) for part in parts]),
    ):
        scores = process.cdist([asked], found, scorer=Levenshtein.normalized_similarity, score_cutoff=least - 1e-9)
        best = max(best, float(scores.max(initial=0)))
    return best


def lacks(item: list[str], part: list[str], says: dict[str, float]) -> float:
    """Return the share of what the words of an item say that a part of a turn lacks."""

    def alike(old: str, new: str) -> bool:
        letters = old[0] == new[0] and not any("0" <= character <= "9" for character in old)
        return old == new or (letters and OSA.normalized_similarity(old, new) >= 0.7)

    missing = {word for word in item if not any(alike(word, new) for new in part)}
    return sum(says[word] for word in missing) / sum(says[word] for word in set(item))
