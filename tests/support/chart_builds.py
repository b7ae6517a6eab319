"""Small builds of every kind of row, to draw charts of: with every step that charts know, and with next to nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

import curate as c
from curate.result.build import Build
from tests.support.build_data import Row, built, built_empty, chat, chats, source
from tests.support.rated_data import of_rated

KINDS: Final = ("chats", "pairs", "ratings", "rated", "unpaired", "prompts", "empty", "one", "fifty", "plain")
HOSTILE: Final = '<script>alert(1)</script>"&\u202e\u05e9\u05dc\u05d5\u05dd'
REFUSAL: Final = "I'm sorry, but as an AI language model I cannot help with that."
LONG_NAME: Final = "a-source-with-a-name-that-is-far-longer-than-any-label-of-a-chart-could-ever-be-drawn_" + "x" * 14


def asked(number: int) -> str:
    return f"What is the distance in miles between harbour number {number} and the lighthouse of Pellow?"


def mixed(start: int, count: int, seed: int) -> list[Row]:
    """Return chats of many lengths, some of which steps drop, and some that are in other sources."""
    chance = random.Random(seed)
    rows = []
    for i in range(start, start + count):
        answer = " ".join(chance.choices(("boat", "wind", "the", "sea", "of"), k=chance.choice((1, 2, 8, 30, 200))))
        rows.append(chat(f"{asked(i)} {seed}", REFUSAL if chance.random() < 0.2 else f"{answer} {i}"))
    return rows


def chat_build(out: Path, evals: Path) -> Build:
    """Build chats with filters, an edit, groups, a shortage and a protected source."""
    evals.write_text(f'{{"q": "{asked(3)}", "a": "40"}}\n{{"q": "{asked(900)}", "a": "41"}}\n', encoding="utf-8")
    quiz = c.evals.files(evals, question="q", answer="a", name="quiz<b>")
    same = mixed(0, 30, 1)
    return built(
        out,
        source("first", [*same, chat("Hi?", " ")], take=c.Rows(10)),
        source(
            LONG_NAME,
            [*same[:12], *mixed(50, 40, 2), {"messages": []}, chat(asked(3), "It is forty miles.")],
            take=c.Rows(200),
        ),
        source("ours", chats(6), protect=True, take=c.Repeat(2)),
        steps=[
            c.language(allow_large_drop=True),
            c.refusals(allow_large_drop=True),
            c.shape(min_words=3, on="response", allow_large_drop=True),
            c.repetition(allow_large_drop=True),
            c.truecase(),
            c.exact_dedup(allow_large_drop=True),
            c.decontaminate(quiz, allow_large_drop=True),
        ],
        on_shortage="shrink",
        test=c.Fraction(0.1),
    )


def rated_rows(count: int) -> list[Row]:
    chance = random.Random(count)
    return [
        {
            "prompt": asked(i),
            "completions": [
                {
                    "content": f"{model} says " + "sea " * chance.randrange(1, 80),
                    "model": model,
                    "scores": {"overall": float(chance.randrange(1, 6))},
                }
                for model in ("small", "large", HOSTILE)
            ],
        }
        for i in range(count)
    ]


def pair_rows(count: int) -> pl.DataFrame:
    chance = random.Random(count)
    names = ("small", "large", HOSTILE)
    rows = []
    for i in range(count):
        models = chance.sample(names, 2)
        sides = {
            side: [{"role": "assistant", "content": f"{side} " + "word " * chance.randrange(1, 60)}]
            for side in ("chosen", "rejected")
        }
        rows.append(
            {
                "prompt": [{"role": "user", "content": asked(i)}],
                **sides,
                "chosen_score": float(chance.randrange(3, 6)),
                "rejected_score": float(chance.randrange(1, 4)),
                "chosen_model": models[0],
                "rejected_model": models[1],
            }
        )
    return pl.DataFrame(rows)


def build_of(kind: str, folder: Path) -> Build:
    """Build the rows of one of `KINDS` in a new folder below `folder`."""
    out = folder / kind
    match kind:
        case "chats":
            return chat_build(out, folder / "evals.jsonl")
        case "pairs":
            steps = [c.refusals(allow_large_drop=True), c.lint_pairs(), c.balance_length(0.55, allow_large_drop=True)]
            return built(out, source("pairs", c.frame(pair_rows(60), "preference")), steps=steps)
        case "ratings":
            early = [c.shape(on="prompt"), c.binarize(allow_large_drop=True)]
            rated = source("ratings", of_rated(rated_rows(40)), steps=early)
            pairs = source("ready", c.frame(pair_rows(20), "preference"))
            return built(out, rated, pairs, steps=[c.lint_pairs(("equal_answers",)), c.shape(on="response")])
        case "rated":
            return built(out, source("ratings", of_rated(rated_rows(40))), steps=[c.shape()])
        case "unpaired":
            rows = [{"prompt": asked(i), "completion": "sea " * (1 + i % 40), "label": i % 3 > 0} for i in range(60)]
            return built(out, source("kto", c.frame(pl.DataFrame(rows), "unpaired")), steps=[c.shape(min_words=2)])
        case "prompts":
            rows = [{"messages": [{"role": "user", "content": asked(i)}], "ground_truth": str(i)} for i in range(30)]
            return built(out, source("rlvr", c.frame(pl.DataFrame(rows), "prompts")), steps=[c.exact_dedup()])
        case "empty":
            steps = [c.shape(min_words=10_000, allow_large_drop=True), c.refusals()]
            return built_empty(out, source("none", chats(5)), steps=steps)
        case "one":
            return built(out, source("one", [chat("Why?", "Because.")]), steps=[c.shape(), c.refusals()])
        case "fifty":
            many = [source(f"source-{i:02}", mixed(i * 20, 12, 7)) for i in range(50)]
            steps = [c.refusals(allow_large_drop=True), c.shape(min_words=3, allow_large_drop=True), c.exact_dedup()]
            return built(out, *many, steps=steps)
        case _:
            return built(out, source("plain", chats(9)))


def builds_in(folder: Path) -> Callable[[str], Build]:
    """Return a function that builds the rows of one of `KINDS` below `folder` once, and opens the build afresh."""
    made: dict[str, Build] = {}

    def build(kind: str) -> Build:
        if kind not in made:
            made[kind] = build_of(kind, folder)
        return Build(made[kind].path)

    return build
