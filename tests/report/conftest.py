"""Builds that this room's tests use: the demo's conversations, and one whose every text is there to break it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.refusals import refusals

DEMO = Path(__file__).parents[2] / "mixtures" / "demo"
PHRASE = "I do not have opinions"


def chat(name: str, *said: str) -> str:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]
    return json.dumps({"id": name, "messages": messages}, ensure_ascii=False)


NASTY = {
    "<img src=x onerror=alert(1)>": ("<script>alert(2)</script>", f"<b>{PHRASE}</b> & \"quotes\" 'single' &amp;"),
    "template": ("{{ 7 * 7 }} {% raw %} {# gone #}", f"{PHRASE} {{{{ cycler }}}}"),
    "wide": (
        "你好。👨‍👩‍👧‍👦",
        f"\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 你好。e\u0301 {PHRASE}。 谢谢 \U0001f1e9\U0001f1ea",
    ),
    "turned": ("abc\u202edef\u202c \u2066x\u2069 a\u200bb\ufeffc\u00add \x1b[31m", f"مرحبا \u202e {PHRASE} \u202c"),
    "unbroken": ("w" * 3000, "a" * 5000 + f" {PHRASE} " + "b" * 5000),
    "long": tuple(f"turn {n} " + (PHRASE if n == 21 else "") for n in range(30)),
    "pipes|and\nlines": ("a | b\nc", f"| {PHRASE} |\r\n| --- |"),
}
"""Rows by their id; each refuses once."""


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), "utf-8", newline="")
    return path


def nasty_mixture(folder: Path) -> Mixture:
    refusing = [chat(name, *said) for name, said in NASTY.items()]
    plain = [chat(f"plain-{n}", f"Question {n}?", f"Answer {n}.") for n in range(12)]
    again = [chat(f"z-again-{n}", f"QUESTION {n}?", "<i>Something</i> else.") for n in (0, 1)]
    other = [chat(f"other-{n}", f"Other {n}?", "Yes.") for n in range(30)]
    bad = [
        '{"messages": "<script>alert(3)</script>|"}',
        chat("lost", "a", "b")[:40],
        '{"id": "\u202e", "messages": [{"role": "user", "content": 5}]}',
    ]
    first = write(folder / "first.jsonl", *refusing, *plain, *bad)
    second = write(
        folder / "second.jsonl", *again, *other, chat("empty", "Hm?", " "), chat("open", "One?", "Two.", "Three?")
    )
    return Mixture(
        "nasty",
        (
            Source("first", files(first, format="messages"), licence="<b>mine|yours</b>"),
            Source("second", files(second, format="messages"), take=Rows(20)),
        ),
        (refusals(), shape(), exact_dedup(on="prompt")),
        seed=7,
        test=Fraction(0.2),
    )


@pytest.fixture(scope="session")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("nasty")
    return nasty_mixture(folder).build(folder / "build", threads=1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Four sources and four steps."""
    sources = (
        Source("assistant", files(DEMO / "assistant.jsonl", format="messages"), licence="CC0-1.0"),
        Source("instructions", files(DEMO / "instructions.json", format="alpaca"), take=Rows(70), licence="CC0-1.0"),
        Source("forum", files(DEMO / "forum.jsonl.gz", format="sharegpt"), take=Fraction(0.75), licence="CC0-1.0"),
        Source(
            "identity",
            files(DEMO / "identity.jsonl", format="messages"),
            take=Repeat(3),
            protect=True,
            licence="CC0-1.0",
        ),
    )
    steps = (refusals(), shape(), exact_dedup(on="prompt"), exact_dedup())
    mixture = Mixture("demo", sources, steps, seed=42, test=Fraction(0.05))
    return mixture.build(tmp_path_factory.mktemp("demo") / "build", threads=1)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Build:
    source = Source("pairs", files(DEMO / "pairs.jsonl", format="preference"))
    mixture = Mixture("pairs", (source,), (refusals(), shape(), exact_dedup(on="prompt")))
    return mixture.build(tmp_path_factory.mktemp("pairs") / "build", threads=1)


ASKED = {
    "<b>bold</b>": "How many <script>alert(4)</script> tags does a page need before a reader loses all patience?",
    "pipe|line": "Which of the seven bridges of Pellow was the last one to be built across the harbour?",
    "\u202eturned": "Why does the lamp of the old lighthouse turn slower in winter than it does in summer?",
    "kept": "Where did the keeper of the lighthouse hide the spare key during the great storm?",
    "who": "Who are you?",
    "mark": "?!",
    "never": "What colour are the chimneys of the second ferry that sails to the outer islands?",
}
"""Eval items by their id: one that is generic, one that cannot be found, and one that no row holds."""

LONG = "Tell me in a few short sentences about the old harbour of Pellow and all of the boats that {} there"


def searched_mixture(folder: Path, mode: Literal["drop", "flag"] = "drop") -> Mixture:
    """Declare a mixture with duplicates, within and across sources, and with eval items in all of its sources."""
    items = [json.dumps({"id": name, "question": text}) for name, text in ASKED.items()]
    quiz = evals.files(write(folder / "quiz.jsonl", *items), question="question", id="id", name="qu<i>z")
    plain = [chat(f"plain-{n}", f"Is it {n} miles to number {n * n} from here?", "Yes.") for n in range(40)]
    near = [chat(f"near-{n}", LONG.format(f"sail on day {n}"), f"<u>{n}</u> boats.") for n in range(9)]
    same = [chat(f"same-{n}", "What IS a boat?", "A ship.") for n in range(2)]
    asked = ["<b>bold</b>", "pipe|line", "\u202eturned", "who"]
    holding = [chat(f"holds-{n}", f"Caller {n}.", "Hello.", ASKED[name], "No.") for n, name in enumerate(asked)]
    first = write(folder / "one.jsonl", *plain[:30], *near[:5], *same[:1])
    second = write(folder / "two.jsonl", *plain[30:], *near[5:], *same[1:], *holding)
    third = write(folder / "three.jsonl", chat("ours", f"So: {ASKED['kept']}", "Under the mat."))
    return Mixture(
        "searched",
        (
            Source("one", files(first, format="messages")),
            Source("two", files(second, format="messages")),
            Source("ours", files(third, format="messages"), protect=True),
        ),
        (exact_dedup(on="prompt"), dedup(on="prompt", threshold=0.7), decontaminate(quiz, mode=mode)),
        seed=5,
    )


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("searched")
    return searched_mixture(folder).build(folder / "build", threads=1)


@pytest.fixture(scope="session")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("flagged")
    return searched_mixture(folder, "flag").build(folder / "build", threads=1)
