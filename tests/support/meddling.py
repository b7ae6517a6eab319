"""A mixture of everything that travels to workers, and an executor that delays them, kills them and counts them."""

from __future__ import annotations

import gzip
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from curate.engine.executors.base import Executor
from curate.io.inputs import Opened
from tests.support.build_data import Row, chat, write_lines
from tests.support.rated_data import asks, pair

T = TypeVar("T")
R = TypeVar("R")

BLOCK: Final = 12_000
"""Bytes of a block, so that small sources have several partitions."""

WORDS: Final = ("one", "two", "three", "four", "yak ")
COMMON: Final = (9, 9, 9, 9, 0.2)

JUDGES: Final = """
import marks

def length(rows):
    return [marks.of(turns) for turns in rows["messages"].to_pylist()]
"""
MARKS: Final = """
def of(turns):
    return float(len(turns[-1]["content"] or ""))
"""
MINE: Final = '''
"""A mixture with functions of its own, and modules beside it."""

import os
from pathlib import Path

import polars as pl

import curate as c
import judges

HERE = Path(__file__).parent
BANNED = ("zebra", "yak")
QUIZ = c.evals.files(HERE / "quiz.jsonl", question="question", answer="answer", name="quiz")


def wild(texts):
    return ~texts.str.contains_any(list(BANNED))


chats = c.Mixture(
    "chats",
    [
        c.Source("plain", c.files("main", "messages"), take=c.Rows(150)),
        c.Source("packed", c.files(HERE / "side.jsonl.gz", "messages"), take=c.Repeat(3), before=c.Fraction(0.8)),
        c.Source(
            "table",
            c.frame(pl.DataFrame({"prompt": [f"Sum {i}?" for i in range(90)], "completion": ["So it is."] * 90})),
            take=c.Diverse(20),
        ),
    ],
    [
        c.score(judges.length, at_least=9, allow_large_drop=True),
        c.keep_if(wild, reason="wild"),
        c.where(pl.col("characters") < 400, reason="long"),
        c.change(lambda texts: texts.str.strip_chars_end()),
        c.cut_refusals(),
        c.refusals(),
        c.shape(),
        c.exact_dedup(on="prompt", keep="longest", allow_large_drop=True),
        c.dedup(on="all", allow_large_drop=True),
        c.decontaminate(QUIZ),
    ],
    seed=7,
    test=c.Fraction(0.1),
    tokenizer=c.Tokenizer("words/tokenizer.json"),
)

pairs = c.Mixture(
    "pairs",
    [
        c.Source(
            "rated",
            c.files(HERE / "rated.jsonl", "rated"),
            steps=[c.exact_dedup("prompt", allow_large_drop=True), c.binarize(rejected="all_lower")],
        ),
        c.Source("ready", c.files(HERE / "ready.jsonl.gz", "preference"), take=c.Repeat(2)),
    ],
    [c.shape(on="chosen", max_words=6), c.exact_dedup("all")],
)
'''


def conversations(seed: int, count: int) -> list[Row]:
    """Return rows that every step of the mixture has something to do with."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        words = " ".join(chance.choices(WORDS, COMMON, k=chance.randint(1, 40)))
        answer = "As an AI language model, I cannot." if chance.random() < 0.05 else f"Answer {i % 50}. {words}"
        rows.append(
            chat(f"Ask {chance.randrange(count)}?", answer, **({"id": f"own-{seed}-{i}"} if i % 3 == 0 else {}))
        )
    rows += [chat("How many legs has a spider that has lost two of its eight?", "Six of them are left.")] * 3
    return [*rows, chat("One?", "The first answer.", id=f"s-{seed}"), chat("Two?", "Another one.", id=f"s-{seed}")]


def lay(folder: Path) -> Path:
    """Write the mixture file, what it imports and its data into a folder; return the file."""
    (folder / "main").mkdir(parents=True)
    for i in range(3):
        write_lines(folder / "main" / f"{i}.jsonl", conversations(i, 250))
    packed = {"side": conversations(9, 200), "ready": [pair(f"Tell {i}?", f"Yes {i}.", "No.") for i in range(150)]}
    for name, rows in packed.items():
        plain = write_lines(folder / f"{name}.jsonl", rows)
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    write_lines(folder / "rated.jsonl", asks(120))
    question = "How many legs has a spider that has lost two of its eight?"
    write_lines(folder / "quiz.jsonl", [{"question": question, "answer": "six"}])
    for name, text in (("judges", JUDGES), ("marks", MARKS), ("mine", MINE)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / "mine.py"


def small_blocks(opened: Opened) -> Iterator[Any]:
    """Give the blocks of a source, smaller than they are."""
    return opened.input.read(opened.parts, (opened.format,), size=BLOCK)


class Meddling(NamedTuple):
    """Runs stages by another executor; tasks end in any order, and the worker of the first of each stage dies.

    It dies `deaths` times: at work, before it, and behind it.
    """

    executor: Executor
    notes: Path
    deaths: int

    @property
    def threads(self) -> int:
        """See `Executor`."""
        return self.executor.threads

    def run_all(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """See `Executor.run_all`."""
        stage = getattr(work, "func", work).__name__
        return self.executor.run_all(partial(meddled, work, self.notes / stage, self.deaths), enumerate(tasks))


def meddled(work: Callable[[T], R], note: Path, deaths: int, numbered: tuple[int, T]) -> R:
    """Run one task late; that with the number 0 dies first."""
    number, task = numbered
    time.sleep(random.random() / 20)
    before = note.stat().st_size if note.exists() else 0
    if number or before >= deaths:
        return work(task)
    with note.open("a") as out:
        out.write("x")
    match before:
        case 0:
            threading.Timer(random.random() / 50, _die).start()
        case 1:
            _die()
    work(task)
    _die()
    raise AssertionError("dead")


def noted(folder: Path, number: int) -> int:
    """Note that a task ran, and return its square, later ones sooner; number 5 fails."""
    (folder / str(number)).touch()
    time.sleep(0.05 * (3 - number % 3))
    if number == 5 and (folder / "fails").exists():
        raise ValueError("number 5")
    return number * number


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
