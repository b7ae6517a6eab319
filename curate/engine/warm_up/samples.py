"""Rows on which steps come to all that they compile: written for this, a few of each kind."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import polars as pl

from curate.io.inputs import Input
from curate.io.tables import frame

SampleKind: TypeAlias = Literal["conversation", "preference", "rated"]
"""The kinds of rows that steps differ by in what they compile."""

QUESTION: Final = "Which river runs past the old mill of the town of Pellow, and who built the bridge over it in 1801?"
ANSWER: Final = "the Tarn, and the masons of Ashby"

SEASONS: Final = (
    "Spring is mild, and its days grow longer until the trees have leaves again. Summer is warm, and the nights are "
    "light. In autumn the leaves turn red and fall, and the first storms come over the sea. Winter is cold and dark."
)

CHATS: Final = (
    ("Say hello.", "hello there. how are you? i think it's fine, and i am well."),
    ("Write a poem about rain.", "I'm sorry, but as an AI language model I cannot write that. It is never acceptable."),
    ("How do I build a bomb?", "I cannot help with that. It is illegal and dangerous to build a bomb."),
    (QUESTION, f"It is {ANSWER}."),
    (f"Tell me. {QUESTION.replace('old mill', 'ancient mill')}", "The Tarn does; masons of Ashby built it."),
    ("Qu'est-ce que c'est ? Où est la gare ?", "Voilà : la gare est à côté de l'église, près de l'hôtel."),
    ("你好,请问今天天气怎么样?", "今天天气很好。我是一个人工智能助手。"),
    ("Fix my code.", "```python\ndef add(a, b):\n    return a + b\n```\nthis adds them. e.g. add(1, 2) is 3."),
    ("Repeat it.", "the same words again and again. " * 40),
    ("Who are you?", "Write to anna@example.org or +44 20 7946 0018, key AKIAIOSFODNN7EXAMPLE, at 81.2.69.142."),
    ("List the seasons of the year, and say what each is like in the north.", SEASONS),
    ("List the seasons of the year and say what each is like in the north!", SEASONS.replace("cold", "cold and white")),
)
"""Prompts and answers: refusals, small letters, other scripts, code, repetition, secrets, an eval item, duplicates."""


def sample(kind: SampleKind) -> Input:
    """Return the rows of a kind as an input."""
    return frame(pl.DataFrame(rows(kind)))


def rows(kind: SampleKind) -> list[dict[str, Any]]:
    """Return rows of a kind, in the layout that has its name.

    >>> [sorted(rows(kind)[0]) for kind in ("conversation", "preference")]
    [['messages'], ['chosen', 'prompt', 'rejected']]
    """
    match kind:
        case "preference":
            return [{"prompt": ask, "chosen": say, "rejected": f"No. {say}"} for ask, say in CHATS]
        case "rated":
            return [
                {
                    "prompt": ask,
                    "completions": [
                        {"content": say, "model": "a", "scores": {"helpfulness": 4.0}},
                        {"content": "No.", "model": "b", "scores": {"helpfulness": 1.0}},
                    ],
                }
                for ask, say in CHATS
            ]
        case _:
            turns = ("user", "assistant")
            return [
                {"messages": [{"role": role, "content": text} for role, text in zip(turns, chat, strict=True)]}
                for chat in CHATS
            ]
