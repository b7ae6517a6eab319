"""Words and n-grams in normal form, the slow way."""

from __future__ import annotations

from tests.reference.normal import normal
from tests.reference.words import words

ROLL, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def mix(word: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        word = (word ^ word >> 33) * factor & MASK
    return word ^ word >> 33


def hash_word(word: str) -> int:
    data, answer = word.encode(), 0
    for i in range(0, len(data), 8):
        answer = mix(answer ^ int.from_bytes(data[i : i + 8], "little"))
    return answer


def lines(text: str) -> list[list[str]]:
    return [words(normal(line)) for line in text.split("\n")]


def ngrams(hashes: list[int], n: int) -> list[int]:
    size = min(n, len(hashes))
    runs = [hashes[i : i + size] for i in range(len(hashes) - size + 1)] if size else []
    return [mix(sum(word * ROLL ** (size - 1 - k) for k, word in enumerate(run)) + size & MASK) for run in runs]
