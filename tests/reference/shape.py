"""The scores of `shape` for one row, the slow way."""

from __future__ import annotations

from typing import Any

from tests.reference.normal import normal
from tests.reference.words import words

INITIAL = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}


def misplaced(dialogue: str) -> set[int]:
    """Places of turns that may not follow the one before; `dialogue` has a letter a turn."""
    good = {"^s", "^u", "su", "ua", "au", "at", "tt", "ta"}
    return {i for i, pair in enumerate(zip("^" + dialogue, dialogue, strict=False)) if "".join(pair) not in good}


def scores(row: dict[str, Any]) -> dict[str, int]:
    before = row["prompt"] if "prompt" in row else row["messages"]
    if "completions" in row:
        answers = [[{"role": "assistant", "content": each["content"]}] for each in row["completions"]]
    else:
        answers = [row[side] for side in ("chosen", "rejected", "completion") if side in row]
    texts = [turn["content"] for turns in (before, *answers) for turn in turns]
    letters = ["".join(INITIAL[turn["role"]] for turn in turns) for turns in (before, *answers)]
    opening, *rest = letters
    wrong = {(0, i) for i in misplaced(opening)}
    wrong |= {(k, i) for k, answer in enumerate(rest, 1) for i in misplaced(opening + answer) if i >= len(opening)}
    ends = rest if "prompt" in row else [opening] if "completions" not in row else rest[:1] or [""]
    return {
        "turns": len(opening) + max(map(len, rest), default=0),
        "characters": sum(map(len, texts)),
        "words": sum(len(words(text)) for text in texts),
        "empty_turns": sum(not normal(text) for text in texts),
        "unanswered": int(not all(end.endswith("a") for end in ends)),
        "role_order": len(wrong),
        **dict.fromkeys(("unknown_tools", "bad_arguments", "unmatched_calls"), 0),
        "open_reasoning": sum(
            turn["content"].count("<think>") != turn["content"].count("</think>")
            for turns in (before, *answers)
            for turn in turns
            if turn["role"] == "assistant"
        ),
    }
