"""How long answers are, by source and by what the prompt asks for: against a slow count, and on the page."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import curate as c
from curate.kernels.buffers import view
from curate.report.charts.answers import answer_section
from curate.report.page import page
from curate.result.build import Build
from curate.result.measures import texts
from curate.result.measures.answers import ANSWER_LENGTHS, answer_lengths, stored_answers
from curate.rows.tokens import Tokenizer
from curate.text.topics.prompt_types import PROMPT_TYPES, prompt_types
from tests.support.build_data import Row, built, chat, source

ASKED = (
    "Why do boats float?",
    "Write a haiku about boats",
    "Summarise: boats float.",
    "2 boats",
    "Solve for x: 2x = 4",
)


def chats_of(count: int, seed: int, wordy: int = 1) -> list[Row]:
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        turns = [{"role": "system", "content": "Be kind."}] if i % 7 == 0 else []
        for _ in range(chance.choice((1, 1, 3))):
            turns += [
                {"role": "user", "content": f"{chance.choice(ASKED)} {seed} {i}"},
                {"role": "assistant", "content": "s\u00ea " * (wordy * chance.randrange(0, 60))},
            ]
        rows.append({"messages": turns})
    return [*rows, {"messages": [{"role": "assistant", "content": "I speak first."}, *turns]}]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return built(
        tmp_path_factory.mktemp("answers") / "build",
        source("short", chats_of(60, 1)),
        source("wordy", chats_of(40, 2, wordy=5), take=c.Repeat(2)),
        source("few", chats_of(3, 3)),
        test=c.Rows(8),
    )


def asked_type(prompt: str) -> str:
    return PROMPT_TYPES[prompt_types(view(pa.array([prompt])), np.zeros(1, np.int32))[0]]


def middle(values: list[tuple[float, float]], share: float) -> float:
    """Return the least value with so much of the weight at or below it."""
    whole, sum_ = sum(weight for _, weight in values), 0.0
    for value, weight in sorted(values):
        sum_ += weight
        if sum_ >= share * whole - 1e-9:
            return value
    raise AssertionError


def slow(build: Build, rows: int | None) -> dict[tuple[str | None, str | None], dict[str, Any]]:
    """Read one answer after the other."""
    seen: dict[str, int] = defaultdict(int)
    answers = []
    for path in sorted((build.path / "data").glob("*")):
        for row in pl.read_parquet(path).to_dicts():
            seen[row["source"]] += 1
            said = None
            for turn in row["messages"] if rows is None or seen[row["source"]] <= rows else ():
                said = turn["content"] if turn["role"] == "user" else said
                if turn["role"] == "assistant" and turn["content"] and said is not None:
                    answers.append((row["source"], asked_type(said), -(-len(turn["content"].encode()) // 4)))
    weights = {name: count / min(count, rows or count) for name, count in seen.items()}
    usual = {kind: middle([(n, weights[s]) for s, k, n in answers if k == kind], 0.5) for _, kind, _ in answers}
    groups = defaultdict(list)
    for name, kind, size in answers:
        for key in ((name, kind), (name, None), (None, kind), (None, None)):
            groups[key].append((size, size / usual[kind], weights[name]))
    return {
        key: {
            "answers": round(sum(weight for *_, weight in own)),
            "median": middle([(size, weight) for size, _, weight in own], 0.5),
            "p95": middle([(size, weight) for size, _, weight in own], 0.95),
            "longest": max(size for size, *_ in own),
            "mean": sum(size * weight for size, _, weight in own) / sum(weight for *_, weight in own),
            "times": middle([(ratio, weight) for _, ratio, weight in own], 0.5) if len(own) >= 10 else None,
        }
        for key, own in groups.items()
    }


@pytest.mark.parametrize("rows", [None, 25])
def test_lengths_are_those_of_a_slow_count(mixed: Build, rows: int | None) -> None:
    found = answer_lengths(mixed.sources, stored_answers(mixed, rows))
    expected = slow(mixed, rows)
    assert set(found.select("source", "prompt_type").rows()) == set(expected)
    for line in found.to_dicts():
        own = expected[line["source"], line["prompt_type"]]
        assert {name: line[name] for name in own} == pytest.approx(own)
        assert line["share"] == pytest.approx(own["answers"] / expected[line["source"], None]["answers"], abs=1e-9)
    assert found["source"].unique(maintain_order=True).to_list() == [None, *mixed.sources]
    assert found.schema == ANSWER_LENGTHS


def test_the_chart_reads_the_first_rows_of_each_source(mixed: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "ROWS", 25)
    again = Build(mixed.path)
    assert again.chart.data("answer_lengths").equals(answer_lengths(mixed.sources, stored_answers(mixed, 25)))
    assert not again.chart.data("answer_lengths").equals(mixed.chart.data("answer_lengths"))
    assert mixed.chart.data("answer_lengths").equals(mixed.answer_lengths())


def test_the_page_says_which_source_is_wordy(mixed: Build) -> None:
    found = answer_section(mixed)
    assert found is not None
    (times,) = mixed.answer_lengths().filter(pl.col("prompt_type").is_null(), source="wordy")["times"]
    assert times > 2
    assert f"wordy {times:.1f} times as long" in found.notes[0]
    assert len(found.figures) == 2
    assert '<h2 id="answer-lengths">' in page(mixed)


def test_pages_of_many_rows_say_what_was_read(mixed: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Measured on the first 50 rows of each source"
    assert said not in page(mixed)
    monkeypatch.setattr("curate.report.charts.answers.ROWS", 50)
    assert said in page(mixed)


def test_other_rows_have_no_answers_to_measure(tmp_path: Path) -> None:
    pairs = pl.DataFrame({"prompt": ["Why?"], "chosen": ["So."], "rejected": ["No."]})
    build = built(tmp_path / "pairs", source("pairs", c.frame(pairs, "preference")))
    assert build.answer_lengths().height == 0
    assert answer_section(build) is None
    assert 'id="answer-lengths"' not in page(build)


def test_a_single_source_has_no_map(tmp_path: Path) -> None:
    build = built(tmp_path / "one", source("one", [chat("Why?", "Because.")]))
    found = answer_section(build)
    assert found is not None
    assert (len(found.notes), len(found.figures)) == (1, 1)


def test_a_tokenizer_counts_in_place_of_the_estimate(mixed: Build, words_tokenizer: Path) -> None:
    counted = mixed.answer_lengths(tokenizer=Tokenizer(str(words_tokenizer), per_turn=3))
    assert counted["answers"].to_list() == mixed.answer_lengths()["answers"].to_list()
    said = [
        turn["content"] for row in mixed.kept().collect()["messages"] for turn in row if turn["role"] == "assistant"
    ]
    assert counted["longest"][0] == max(len(text.split()) for text in said)


def test_long_answers_of_real_data(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    names = ("alpaca_cleaned_1000", "alpaca_1k_longest")
    sources = [c.Source(name, c.files(real_file(f"sft/{name}.json"))) for name in names]
    found = c.Mixture("long", sources).build(tmp_path / "long", quiet=True).answer_lengths()
    times = dict(found.filter(pl.col("prompt_type").is_null()).select("source", "times").rows())
    assert times["alpaca_1k_longest"] > 1 > times["alpaca_cleaned_1000"]
