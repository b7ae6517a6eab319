"""Zephyr's recipe on 20,000 real chats in which the flaws are planted that its authors describe.

Run with `pytest -s` to see the figures; with `CURATE_CHANGES=FILE` every letter that was changed elsewhere is written
to that file, a line each, to be read by eye.

The steps are those of `ultrachat_200k(raw=True)`. The chats are four files of dialogues about services, OASST's trees,
LIMA, Alpaca, ShareGPT-like ones, what people asked ChatGPT (HaluEval), and answers of several models. Planted are:

- a first exchange with the card's example: "Hello. how are you?", "I'm fine, thank you. how can I help you today?";
- sentences within half of the chats that begin with a small letter. `plain` are those behind a plain word and a stop,
  on the same line of prose; `doubtful` those behind a name, a number or an abbreviation, in brackets, in verse and
  lists, where the step may leave them. What a user gives to be worked on ("Correct this: ...") stays as it is by
  design, so nothing is planted there;
- the phrases of card and paper in answers, also contracted and in other letter case. In a user's turn they are allowed.

ELSEWHERE has what changed in the originals; all 425 letters were read one by one. Wrong are 8: "Joomla! Works", twice
Arnold's "To one another! For the world", a list of rhymes, words in reverse order, and three answers that go on where
the question stopped. Dropped are 34, each for one of the phrases ("As an AI language model, I do not have ...").
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
import pytest

from curate.io.formats.columns import columns
from curate.io.formats.dialogues import messages
from curate.io.inputs import Input, files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.text.casing.lexicon import TASK, WORDS
from tests.support.replicas import recipe
from tests.support.sentence_starts import plain_words, starts

Chat = list[dict[str, str]]
ROWS: Final = 20_000
GREETING: Final = ("Hello. how are you?", "I'm fine, thank you. how can I help you today?")
MENDED: Final = ("Hello. How are you?", "I'm fine, thank you. How can I help you today?")
PHRASES: Final = (
    "I do not have emotions",
    "I don't have emotions",
    "I DO NOT HAVE OPINIONS",
    "I don\u2019t have opinions",
    "i dont have personal experiences",
)
ASKED: Final = set(WORDS[TASK].split())
"""With one of these, by its first eight letters, a user asks for a text to be worked on."""


class Read(NamedTuple):
    """Letters changed in users' turns and in answers, how many of all are wrong, and rows dropped."""

    users: int
    answers: int
    wrong: int
    dropped: int


ELSEWHERE: Final = Read(users=234, answers=191, wrong=8, dropped=34)


class Planted(NamedTuple):
    """A flaw in a chat: its kind, its turn, and the places in it."""

    kind: str
    turn: int
    places: tuple[int, ...] = ()


def inputs(real_file: Callable[[str], Path]) -> Iterator[Input]:
    roles = {"SYSTEM": "assistant", "USER": "user"}
    spoken = messages("turns", role="speaker", content="utterance", roles=roles)
    yield from (files(path, spoken) for path in sorted(real_file("sft/sgd_dialogues").glob("*")))
    for name in ("dummy_conversation.json", "lima.json", "oasst_en_100_tree.jsonl", "vicuna_dummy_data.json"):
        yield files(real_file(f"sft/{name}"))
    yield files(real_file("sft/alpaca_random_9k.json"))
    yield files(real_file("sft/halueval_general.json"), columns("user_query", "chatgpt_response"))
    yield files(real_file("sft/oasst_questions_guanaco.jsonl"), columns("input", "output"))
    for path in sorted(real_file("preference/alpaca_eval_v1_gpt4").glob("*.json.gz")):
        yield files(path, columns("instruction", "output_2"))


@pytest.fixture(scope="module")
def chats(real_data: Path) -> list[Chat]:
    found: list[Chat] = []
    for one in inputs(lambda name: real_data / name):
        opened = one.open()
        for block in opened.blocks():
            found += opened.parse(block).body["messages"].to_pylist()
    return [[{name: turn[name] for name in ("role", "content")} for turn in chat] for chat in found[:ROWS]]


def lowered(text: str, places: tuple[int, ...]) -> str:
    return "".join(letter.lower() if at in places else letter for at, letter in enumerate(text))


def sentences(turn: dict[str, str], known: set[str]) -> dict[str, tuple[int, ...]]:
    """Return where sentences within a turn open: behind plain words, and behind others."""
    text = turn["content"]
    words = re.findall(r"[a-z']+", text.lower())
    if turn["role"] == "user" and (":" in text or "\n" in text or any(word[:8] in ASKED for word in words)):
        return {}
    found: dict[str, tuple[int, ...]] = {"plain": (), "doubtful": ()}
    for at in starts(text, known):
        before = re.search(r"(?<![\w.-])(?=[^aeiouy]*[aeiouy])([a-z']{3,})[.!?] $", text[:at])
        bracketed = text.count("(", 0, at) > text.count(")", 0, at)
        prose = not re.search(r"[°£€²]|^[a-z]", text, re.MULTILINE)
        if at:
            found["plain" if before and before[1] in known and prose and not bracketed else "doubtful"] += (at,)
    return {kind: places for kind, places in found.items() if places}


def plant(chats: list[Chat]) -> tuple[list[Chat], dict[int, Planted]]:
    """Return the chats with flaws, and what was planted in which."""
    chance = random.Random(5)
    known = plain_words(turn["content"] for chat in chats for turn in chat)
    made, planted = [], {}
    for number, chat in enumerate(chats):
        new = [dict(turn) for turn in chat]
        draw = chance.random()
        places = [
            Planted(kind, turn, at)
            for turn, one in enumerate(new)
            for kind, at in (sentences(one, known) if draw < 0.5 else {}).items()
        ]
        answers = [turn for turn, one in enumerate(new) if one["role"] == "assistant"]
        users = [turn for turn, one in enumerate(new) if one["role"] == "user"]
        if places:
            flaw = planted[number] = chance.choice(places)
            new[flaw.turn]["content"] = lowered(new[flaw.turn]["content"], flaw.places)
        elif 0.5 <= draw < 0.55:
            first = users[0] if users else 0
            new[first:first] = [
                {"role": role, "content": said} for role, said in zip(("user", "assistant"), GREETING, strict=True)
            ]
            planted[number] = Planted("greeting", first)
        elif 0.55 <= draw < 0.6 and answers:
            flaw = planted[number] = Planted("phrase", chance.choice(answers))
            said, phrase = new[flaw.turn]["content"], chance.choice(PHRASES)
            ways = (f"{phrase}. {said}", f"{said}\n\nAs a program, {phrase}, but I can help.", f"{said} {phrase}.")
            new[flaw.turn]["content"] = chance.choice(ways)
        elif 0.6 <= draw < 0.61 and users:
            planted[number] = Planted("allowed", users[-1])
            new[users[-1]]["content"] += " I do not have emotions."
        made.append(new)
    return made, planted


def built(chats: list[Chat], folder: Path) -> Build:
    folder.mkdir()
    lines = (json.dumps({"id": f"r{number}", "messages": chat}) + "\n" for number, chat in enumerate(chats))
    (folder / "chats.jsonl").write_text("".join(lines), encoding="utf-8")
    steps = recipe("ultrachat_200k", raw=True).steps
    source = Source("chats", files(folder / "chats.jsonl", "messages"))
    return Mixture("zephyr", [source], steps).build(folder / "build", quiet=True)


def kept(build: Build) -> dict[int, list[str]]:
    rows = build.kept().select(pl.col("id").str.slice(1).cast(pl.Int64), pl.col("messages")).collect()
    texts = rows["messages"].list.eval(pl.element().struct.field("content"))
    return dict(zip(rows["id"], texts.to_list(), strict=True))


def is_mended(flaw: Planted, original: Chat, found: list[str] | None) -> bool:
    """Tell whether a flaw was corrected, or its chat removed."""
    if flaw.kind == "phrase":
        return found is None
    if flaw.kind == "greeting":
        return found is not None and tuple(found[flaw.turn : flaw.turn + 2]) == MENDED
    text = original[flaw.turn]["content"]
    return found is not None and all(found[flaw.turn][at] == text[at] for at in flaw.places)


def test_all_planted_flaws_are_corrected_or_removed(chats: list[Chat], tmp_path: Path) -> None:
    made, planted = plant(chats)
    texts = kept(built(made, tmp_path / "planted"))
    before = kept(built(chats, tmp_path / "originals"))
    lines = []
    for kind, least in (("greeting", 1.0), ("plain", 1.0), ("doubtful", 0.9), ("phrase", 1.0), ("allowed", 1.0)):
        own = {number: flaw for number, flaw in planted.items() if flaw.kind == kind and number in before}
        right = [number for number, flaw in own.items() if is_mended(flaw, chats[number], texts.get(number))]
        roles = Counter(made[number][flaw.turn]["role"] for number, flaw in own.items())
        starts_at = sum(len(flaw.places) for flaw in own.values())
        share = f"{len(right):5,} of {len(own):5,} chats ({', '.join(f'{n:,} {role}' for role, n in roles.items())})"
        lines.append(f"{kind:9} {share} {starts_at or ''}")
        left = [(number, own[number]) for number in own if number not in right]
        assert len(right) >= least * len(own) > 0, left
    print("\nCorrected or removed:", *lines, sep="\n")  # noqa: T201


def test_what_changes_elsewhere_was_read(chats: list[Chat], tmp_path: Path) -> None:
    build = built(chats, tmp_path / "originals")
    letters: Counter[str] = Counter()
    lines = []
    for number, found in kept(build).items():
        for turn, text in zip(chats[number], found, strict=True):
            places = [at for at, pair in enumerate(zip(turn["content"], text, strict=True)) if len(set(pair)) > 1]
            letters[turn["role"]] += len(places)
            lines += [f"{number}\t{turn['role']}\t{text[max(0, at - 60) : at + 40]!r}\n" for at in places]
    if os.environ.get("CURATE_CHANGES"):
        Path(os.environ["CURATE_CHANGES"]).write_text("".join(lines), encoding="utf-8")
    dropped = build.dropped()
    causes = Counter(dropped["evidence"].list.first().struct.field("match"))
    print(f"\nElsewhere: {dict(letters)} letters; dropped {dropped.height}: {dict(causes)}")  # noqa: T201
    assert len(chats) == build.funnel["read"][-1] == ROWS
    assert sum(len(chat) > 2 for chat in chats) > 900
    assert letters["user"] <= ELSEWHERE.users, "read the new changes (CURATE_CHANGES) and judge them"
    assert letters["assistant"] <= ELSEWHERE.answers, "read the new changes (CURATE_CHANGES) and judge them"
    assert ELSEWHERE.wrong / letters.total() < 0.02
    assert dropped.height == ELSEWHERE.dropped
    assert set(dropped["reason"]) == {"no_feelings"}
    assert all(re.search("(emotions|opinions|personal experiences)$", cause) for cause in causes)
