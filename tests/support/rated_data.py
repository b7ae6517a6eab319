"""Small rated sources, what a slow and plain pairing makes of them, and steps that only tests have."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from curate.io.inputs import Input, files
from curate.io.tables import frame
from curate.result.build import Build
from curate.rows.edits import Change, Edits
from curate.rows.segments import Segments
from curate.steps.base import Edit, Filter, Scores, Step
from curate.steps.filters.shape import shape
from curate.steps.pairs.binarize import binarize
from tests.support.build_data import Row, write_lines

LONG = "please please please"


def ask(prompt: str, *answers: tuple[str, float | None], **more: object) -> Row:
    """Return a row in the layout `rated`."""
    completions = [{"content": text, "scores": {} if score is None else {"overall": score}} for text, score in answers]
    return {"prompt": prompt, "completions": completions, **more}


def asks(count: int, seed: int = 0) -> list[Row]:
    """Return rated rows with own ids and without, shared prompts, duplicates, and every reason to give no pair."""
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        prompt = f"Ask {chance.randrange(count // 2 + 1)}?" + (f" {LONG}" if chance.random() < 0.08 else "")
        scores: list[float | None] = list(chance.sample(range(1, 10), chance.randint(2, 4)))
        match chance.randrange(12):
            case 0:
                scores = scores[:1]
            case 1:
                scores = [5.0] * len(scores)
            case 2:
                scores = [*(None for _ in scores[1:]), *scores[:1]]
            case _:
                pass
        answers = [(f"Answer {i} {j}. " + "word " * chance.randrange(6), score) for j, score in enumerate(scores)]
        rows.append(ask(prompt, *answers, **({"id": f"own-{i}"} if i % 3 else {})))
    return [*rows, *rows[:2]]


def of_rated(rows: list[Row]) -> Input:
    """Return an input that holds these rated rows."""
    plain = [{**row, "completions": [{"text": "", **each} for each in row["completions"]]} for row in rows]
    return frame(pl.DataFrame(plain, infer_schema_length=None), "rated")


def rated_file(path: Path, rows: Iterable[Row | str | bytes]) -> Input:
    return files(write_lines(path, rows), "rated")


def pair(prompt: str, chosen: str, rejected: str, **more: object) -> Row:
    """Return a ready-made pair in the layout `preference`."""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


STEPS: tuple[Step, ...] = (
    shape(on="prompt", max_words=3),
    binarize(rejected="all_lower"),
    shape(on="chosen", max_words=6),
)
"""Drops long prompts, pairs the best answer with each lower one, drops pairs with a long chosen answer."""


class Came(NamedTuple):
    """What a row comes to by `STEPS`: its fate, or that and its pairs (chosen, rejected, fate)."""

    fate: str
    reason: str | None
    pairs: tuple[tuple[str, str, str], ...] = ()


def slow(row: Row, *, protect: bool = False) -> Came:
    """Return what becomes of one row, by the plain rules."""
    answers = {one["content"]: one["scores"].get("overall") for one in row["completions"]}
    scored = {text: score for text, score in answers.items() if score is not None}
    if LONG in row["prompt"] and not protect:
        return Came("dropped", "too_many_words")
    if len(answers) < 2:
        return Came("dropped", "one_completion")
    if len(scored) < 2:
        return Came("dropped", "missing_score")
    best, *others = sorted(scored, key=lambda text: -scored[text])
    if scored[best] == scored[others[-1]]:
        return Came("dropped", "all_tied")
    fate = "dropped" if len(best.split()) > 6 and not protect else "kept"
    return Came("paired", None, tuple((best, other, fate) for other in others))


def count_fates(done: Build) -> None:
    """Hold the laws of a folder: fates add up to rows and to pairs, and each paired row has a pair."""
    for source in done.manifest["sources"]:
        own = pl.col("source") == source["name"]
        lines, pairs = done.ledger.filter(own).collect(), done.pairs.filter(own).collect()
        assert dict(lines["fate"].value_counts().rows()) == {k: n for k, n in source["fates"].items() if n}
        assert sum(source["fates"].values()) == source["read"] == lines.height
        counts = source.get("pairs", {"made": 0, "fates": {}})
        assert dict(pairs["fate"].value_counts().rows()) == {k: n for k, n in counts["fates"].items() if n}
        assert sum(counts["fates"].values()) == counts["made"] == pairs.height
        places = ["file", "line"]
        paired = lines.filter(pl.col("fate") == "paired").select(places).unique().sort(places)
        assert paired.equals(pairs.select(places).unique().sort(places))
    total = done.funnel.row(-1, named=True)
    assert total["read"] == done.ledger.collect().height
    assert total["rows"] == done.kept().collect().height


def sides(rows: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return id, last prompt turn, chosen and rejected text of preference rows, sorted."""
    last = {name: pl.col(name).list.last().struct.field("content") for name in ("prompt", "chosen", "rejected")}
    return sorted(rows.select("id", **last).rows())


@dataclass(frozen=True, kw_only=True)
class Dots(Edit):
    """Puts "..." for "word"; a step for tests."""

    name: ClassVar[str] = "dots"

    def edit(self, segments: Segments) -> Edits:
        changes = []
        for part in segments.parts:
            data, ends = bytes(part.text.data), part.text.offsets.tolist()
            said = [data[ends[i] : ends[i + 1]].decode() for i in part.index.tolist()]
            place = [i for i, text in enumerate(said) if "word" in text]
            texts = pa.array([said[i].replace("word", "...") for i in place], pa.string())
            changes.append(Change(np.array(place, np.int32), texts))
        return Edits(tuple(changes))


@dataclass(frozen=True, kw_only=True)
class Tongue(Filter):
    """Says of each row a language, by the number of its texts; a step for tests."""

    name: ClassVar[str] = "tongue"

    def bounds(self) -> tuple[Any, ...]:
        return ()

    def score(self, segments: Segments) -> Scores:
        count = np.zeros(segments.rows, np.int32)
        for part in segments.parts:
            np.add.at(count, part.row, 1)
        names = pa.array([("en", "de")[n % 2] for n in count.tolist()], pa.string())
        return Scores({"texts": count}, labels={"language": names})
