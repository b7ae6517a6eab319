"""How well `truecase()` restores sentence starts of real answers, and what it does to originals.

Run with `pytest -s` to see the figures; with `CURATE_CHANGES=FILE` every change to an original is written to that file,
a line each, to be read by eye.

Restored: in answers without code, formulas, quotations or names of things, the first letters of sentences are made
small and repaired. What opens a sentence is found without our code: a capital and a small letter after two small
letters, a stop and white space, or at the start of a text, in a word that the same data write small in the middle of
sentences at least five times, and five times as often as with a capital.

Originals: `ORIGINALS` says for each file how many letters of answers (and of users' turns) change, and how many of
these changes are wrong, read one by one. Wrong is a change that makes a well-written text worse: answers that go on
where the question stopped ("... are", "walks into a bar."), a sign that is part of a name ("Joomla! works"), a lower
case meant by the author (Arnold's "To one another! for the world", a list of rhymes). Neutral ones (a fragment with a
full stop: "Majestic and rustic.") count as right.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from curate.kernels.buffers import view
from curate.steps.filters.truecase import capitalise
from tests.support.sentence_starts import plain_words, starts

CORRUPTED: Final = (
    "sft/lima.json",
    "sft/alpaca_random_9k.json",
    "sft/alpaca_cleaned_1000.json",
    "sft/cherry_alpaca_5pct.json",
    "sft/flan_cot/qasc_train.tsv",
    "sft/flan_cot/creak_train.tsv",
    "sft/flan_cot/strategyqa_train.tsv",
)


class Read(NamedTuple):
    """Changes to the answers and to the users' turns of a file, and how many of each are wrong."""

    answers: int
    wrong: int
    users: int
    wrong_users: int


ORIGINALS: Final = {
    "sft/lima.json": Read(28, 4, 20, 0),
    "sft/alpaca_random_9k.json": Read(12, 2, 5, 1),
    "sft/alpaca_cleaned_1000.json": Read(0, 0, 1, 0),
    "sft/cherry_alpaca_5pct.json": Read(7, 0, 0, 0),
    "sft/halueval_general.json": Read(10, 9, 0, 0),
    "sft/gpteacher_roleplay-simple-deduped-roleplay-instruct.json": Read(2, 2, 0, 0),
    "sft/code_alpaca_2k.json": Read(1, 0, 1, 0),
    "sft/flan_cot/qasc_train.tsv": Read(2, 2, 0, 0),
    "sft/flan_cot/gsm8k_train.tsv": Read(1, 0, 8, 0),
    "sft/flan_cot/sensemaking_train.tsv": Read(5, 2, 0, 0),
}


def turns(path: Path) -> Iterator[tuple[str, bool]]:
    """Every text of a file, and whether a user says it; FLAN's answers are the explanation and the answer."""
    if path.suffix == ".tsv":
        for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
            question, answer, why = line.replace("\\n", "\n").split("\t")
            yield question, True
            yield f"{why}\n\n{answer}", False
        return
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if text.startswith("[") else map(json.loads, text.rstrip("\n").split("\n"))
    for row in rows:
        yield "\n\n".join(row[key] for key in ("instruction", "user_query", "input") if row.get(key)), True
        yield next(row[key] for key in ("output", "response", "chatgpt_response") if key in row), False


def repaired(texts: list[str], *, user: bool = False) -> list[str]:
    answer = list(texts)
    places, new = capitalise(view(pa.array(texts)), np.arange(len(texts), dtype=np.int32), np.full(len(texts), user))
    for place, text in zip(places.tolist(), new.to_pylist(), strict=True):
        answer[place] = text
    return answer


def test_sentence_starts_are_restored(real_file: Callable[[str], Path]) -> None:
    answers = {name: [text for text, user in turns(real_file(name)) if not user] for name in CORRUPTED}
    plain = plain_words(text for texts in answers.values() for text in texts)
    right = total = 0
    lines = []
    for name, texts in answers.items():
        with_starts = [(text, starts(text, plain)) for text in texts]
        with_starts = [(text, places) for text, places in with_starts if places]
        small = [
            "".join(letter.lower() if at in places else letter for at, letter in enumerate(text))
            for text, places in ((text, set(places)) for text, places in with_starts)
        ]
        restored = repaired(small)
        hit = sum(
            text[at] == new[at] for (text, places), new in zip(with_starts, restored, strict=True) for at in places
        )
        count = sum(len(places) for _, places in with_starts)
        right, total = right + hit, total + count
        lines.append(f"{name:36} {len(with_starts):6,} texts  {count:6,} starts  {hit / count:.4f} restored")
        assert hit / count >= 0.99, name
    print("\nSentence starts:", *lines, f"{right:,} of {total:,}: {right / total:.4f}", sep="\n")  # noqa: T201
    assert right / total >= 0.995


def changes(texts: list[str], *, user: bool) -> list[tuple[int, int]]:
    """The place and the character of each change."""
    return [
        (place, at)
        for place, (text, new) in enumerate(zip(texts, repaired(texts, user=user), strict=True))
        if new != text
        for at, (before, after) in enumerate(zip(text, new, strict=True))
        if before != after
    ]


def test_originals_are_left_alone(real_file: Callable[[str], Path]) -> None:
    lines, figures, words, wrong = [], [], 0, 0
    for name, read in ORIGINALS.items():
        spoken = list(turns(real_file(name)))
        for user, most in ((False, read.answers), (True, read.users)):
            texts = [text for text, by_user in spoken if by_user == user]
            found = changes(texts, user=user)
            words += sum(len(text.split()) for text in texts)
            lines += [f"{name}\t{user}\t{place}\t{texts[place][max(0, at - 60) : at + 40]!r}\n" for place, at in found]
            figures.append(f"{name:60} {'users  ' if user else 'answers'} {len(found):4} changes")
            assert len(found) <= most, f"{name}: read the new changes (CURATE_CHANGES) and judge them"
        wrong += read.wrong + read.wrong_users
    if os.environ.get("CURATE_CHANGES"):
        Path(os.environ["CURATE_CHANGES"]).write_text("".join(lines), encoding="utf-8")
    share = f"{wrong} wrong changes in {words:,} words: {wrong / words * 10_000:.2f} in 10,000"
    print("\nOriginals:", *figures, share, sep="\n")  # noqa: T201
    assert wrong / words * 10_000 < 1
