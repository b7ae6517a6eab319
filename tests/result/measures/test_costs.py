"""What steps cost: counted by hand, bounded, and shown; a filter against a group is made visible."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import curate as c
from curate.errors import BuildFolderError, CallError
from curate.report.page import page
from curate.report.run_card import card
from curate.report.terminal import findings
from curate.result.build import Build
from curate.result.measures.costs import SURE, wilson
from curate.result.measures.costs import costs as measured_costs
from tests.support.build_data import Row, built, chat, source
from tests.support.rated_data import of_rated

TOPICS = {"boats": ["boat", "boats"], "winds": ["gale"]}


def shown(build: Build) -> str:
    console = Console(width=400)
    with console.capture() as capture:
        console.print(*findings(build))
    return capture.get()


def about(count: int, seed: int) -> list[Row]:
    chance = random.Random(seed)
    subject = ("boat", "boats", "gale", "boat in a gale", "house")
    return [
        chat(
            f"What is {chance.choice(subject)} {seed} {i}?",
            chance.choice(("Yes. ", "It is as long as it is wide, and so it goes on. ", "no "))
            * chance.choice((1, 9, 60))
            + f"{i % 40}",
            subset=chance.choice("ab"),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Build:
    filters = [c.where(~pl.col("prompt").str.contains("boats"), reason="boats", allow_large_drop=True)]
    return built(
        tmp_path_factory.mktemp("costs") / "build",
        source("first", about(80, 1), take=c.Rows(20)),
        source("second", about(90, 2), steps=filters, take=c.Rows(80)),
        source("ours", about(20, 3), protect=True),
        steps=[
            c.shape(min_words=5, on="response", allow_large_drop=True),
            c.language(allow_large_drop=True),
            c.exact_dedup(on="response", allow_large_drop=True),
        ],
        on_shortage="repeat",  # of some rows of `second` there are two copies, of others one
    )


def by_hand(build: Build, topics: dict[str, list[str]]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the rows of each group that reached a step, and those that it dropped."""
    files = [*(build.path / "data").glob("*"), *(build.path / "dropped").glob("*")]
    texts = {(row["source"], row["id"]): row for path in files for row in pl.read_parquet(path).to_dicts()}
    lines = [line for line in build.ledger.collect().to_dicts() if line["source"] != "ours"]
    fates = Counter((line["source"], line["fate"]) for line in lines)
    found: defaultdict[tuple[str, str, str, bool], float] = defaultdict(float)
    for line in lines:
        groups = [("source", line["source"], 1.0), ("language", line["language.language"], 1.0)]
        for low, high in ((0, 32), (32, 128), (128, 512), (512, 2048)):
            if low <= line["tokens"] < high:
                groups.append(("length", f"{low} to {high - 1:,} tokens" if low else f"under {high} tokens", 1.0))
        row = texts.get((line["source"], line["id"]))
        if row is not None:
            kept, left = (fates[line["source"], fate] for fate in ("kept", "unsampled"))
            words = row["messages"][0]["content"].strip("?").split()
            own = [("topic", name) for name, phrases in topics.items() if set(phrases) & set(words)]
            own.append(("meta.subset", json.loads(row["meta"])["subset"]))
            groups += [(*one, (kept + left) / kept if line["fate"] == "kept" else 1.0) for one in own]
        for step in build.steps:
            if ":" in step and not step.startswith(line["source"]):
                continue
            for dimension, group, weight in groups:
                found[step, dimension, group, False] += weight
                found[step, dimension, group, True] += weight * (line["step"] == step)
            if line["step"] == step:
                break
    return {key[:3]: (found[key], found[*key[:3], True]) for key in list(found) if not key[3] and key[2] is not None}


def test_costs_are_those_counted_by_hand(mixed: Build) -> None:
    own = by_hand(mixed, TOPICS)
    found = mixed.costs(TOPICS, field="subset")
    said = {(one["step"], one["dimension"], one["group"]): (one["reached"], one["dropped"]) for one in found.to_dicts()}
    assert said == {key: (round(reached), round(dropped)) for key, (reached, dropped) in own.items()}
    assert {key[1] for key in said} == {"source", "language", "length", "topic", "meta.subset"}
    shape = found.filter(step="shape", dimension="source")
    whole = shape.select(pl.col("dropped").sum() / pl.col("reached").sum()).item()
    assert shape["overall"].to_list() == pytest.approx([whole] * shape.height)
    assert found["step"].unique(maintain_order=True).to_list() == mixed.steps


def test_topics_are_counted_by_the_step_that_the_ledger_names(mixed: Build, tmp_path: Path) -> None:
    """Files of dropped rows and the ledger have one order; a file with other rows is an error."""
    for path in (mixed.path / "dropped").glob("*.parquet"):
        lines = pl.read_parquet(mixed.path / "ledger" / path.name).filter(fate="dropped")
        assert lines["id"].equals(pl.read_parquet(path)["id"])
    shutil.copytree(mixed.path, tmp_path / "build")
    path = next((tmp_path / "build" / "dropped").glob("*-first.parquet"))
    rows = pq.read_table(path)
    more = pa.concat_tables([rows, rows.slice(0, 1)])
    for other in (rows.take(list(range(len(rows)))[::-1]), rows.slice(1), rows.slice(0, len(rows) - 1), more):
        pq.write_table(other, path)
        with pytest.raises(BuildFolderError, match=r"other rows of 'first' than the ledger; build it again"):
            Build(tmp_path / "build").costs()


def test_the_bound_is_where_the_test_of_a_share_turns() -> None:
    """Wilson's lower bound is the share of which the one found is `SURE` standard errors away."""
    cases = [(2, 3), (1, 1), (5, 1000), (50, 100), (0, 7)]
    frame = pl.DataFrame({"share": [k / n for k, n in cases], "rows": [n for _, n in cases]})
    for (k, n), low in zip(cases, frame.select(wilson(pl.col("share"), pl.col("rows"))).to_series(), strict=True):
        error = math.sqrt(low * (1 - low) / n)
        assert k / n - low == pytest.approx(SURE * error, abs=1e-9)


@pytest.mark.parametrize(("dropped", "rows", "above"), [(2, 3, False), (4, 4, False), (5, 9, True), (20, 400, False)])
def test_few_rows_are_not_called_above(tmp_path: Path, dropped: int, rows: int, above: bool) -> None:  # noqa: FBT001
    own = [chat(f"What is boat {i}?", " " if i < dropped else "A boat.") for i in range(rows)]
    others = [chat(f"What is house {i}?", " " if i < 12 else "A house.") for i in range(300)]
    build = built(tmp_path / "build", source("a", [*own, *others]), steps=[c.shape()])
    found = build.costs({"boats": ["boat"]}).filter(dimension="topic")
    assert found.select("reached", "dropped", "above").row(0) == (rows, dropped, above)


def test_a_filter_against_a_group_is_made_visible(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    """ToxiGen's neutral prompts beside Alpaca's: a filter by a word list drops those about one group."""
    sentences = []
    for path in sorted(real_file("evals/toxigen_prompts").glob("neutral_*.txt")):
        lines = path.read_text("utf-8").split("\n")
        sentences += [part.removeprefix("- ") for line in lines for part in line.split("\\n") if len(part) > 2]
    rows = [chat(f"Rephrase: {text}", "Here it is.") for text in dict.fromkeys(sentences)]
    plain: list[dict[str, Any]] = json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())[:3000]
    rows += [chat(f"{row['instruction']} {row['input']}", row["output"]) for row in plain]
    words = c.where(~pl.col("prompt").str.contains("(?i)muslim|islam|mosque"), reason="word_list")
    build = built(tmp_path / "build", source("rows", rows), steps=[words])
    found = build.costs().filter("above", dimension="topic")
    print(found)  # noqa: T201
    assert found["group"][0] == "Muslims"
    assert found["share"][0] > 0.9
    assert "Muslims" in shown(build)
    for text in (page(build), card(build)):
        assert "Muslims" in text
    assert build.chart.costs().to_dict()["title"].startswith("Groups of which")


def test_nothing_is_said_where_nothing_is_above(tmp_path: Path) -> None:
    rows = [chat(f"What is boat {i}?", " " if i % 9 == 0 else "A boat.") for i in range(90)]
    build = built(tmp_path / "build", source("a", rows), steps=[c.shape()])
    assert not build.costs().filter("above").height
    assert "costs" not in build.chart.names
    assert "What steps cost" not in card(build)
    assert "There is none." in page(build)
    assert not shown(build).strip()


def test_rows_of_a_pairing_count_with_their_own_kind(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"What is boat {i}?",
            "completions": [
                {"content": f"a {i}", "scores": {"overall": float(i % 3)}},
                {"content": f"b {i}", "scores": {"overall": 1.0}},
            ],
        }
        for i in range(30)
    ]
    ratings = c.Source("r", of_rated(rows), steps=[c.binarize(allow_large_drop=True)])
    build = built(tmp_path / "build", ratings, steps=[c.shape(min_words=2, on="rejected")])
    found = build.costs({"boats": ["boat"]})
    assert found.filter(step="r:binarize", dimension="source").select("reached", "dropped").row(0) == (30, 10)
    assert found.filter(step="shape", dimension="topic").select("reached", "dropped").row(0) == (20, 0)
    assert not found.filter(step="r:binarize", dimension="topic").height


def test_of_many_rows_some_are_searched_and_count_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        chat(f"What is {'a woman' if i % 4 else 'a house'} {i}?", " " if i % 16 == 1 else "Yes.") for i in range(800)
    ]
    build = built(tmp_path / "build", source("a", rows), steps=[c.shape()])
    monkeypatch.setattr("curate.result.measures.stored_batches.ROWS", 25)
    monkeypatch.setattr("curate.result.measures.texts.SEARCHED", 100)
    again = Build(build.path)
    topics = again.text_measures.topics
    assert topics is not None
    assert topics.every == 8
    assert topics.rows[0, :, -1].tolist() == [50, 4 * 25]
    assert again.text_measures.tokens.tolist() == build.text_measures.tokens.tolist()
    sampled = measured_costs(again, [topics]).filter(dimension="topic", group="women").row(0, named=True)
    assert again.costs().equals(build.costs())
    assert sampled["dropped"] == 50
    assert sampled["reached"] == pytest.approx(600, abs=100)
    assert "Of kept rows, one batch in 8 was searched for topics" in page(again)


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ({"boats": []}, "without any: 'boats'"),
        ({}, "without any: all"),
        ({"a": "boat"}, r"\['boat'\]"),
        ("boat", "phrases by group"),
    ],
)
def test_topics_have_phrases(mixed: Build, topics: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(CallError, match=said):
        mixed.costs(topics)


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    rows = [
        chat(f"What is boat {i}?", " " if i < 40 else "A boat.", kind="<script>alert(1)</script>" if i < 30 else "b")
        for i in range(300)
    ]
    build = built(tmp_path / "build", source("a", rows), steps=[c.shape()])
    assert build.costs(None, field="kind").filter("above", dimension="meta.kind")["group"].to_list() == [
        "<script>alert(1)</script>"
    ]


def test_texts_are_not_searched_for_topics_where_nothing_can_be_above(tmp_path: Path) -> None:
    rows = [chat(f"Why do women sail boat {n}?", "They like it. " * (n > 2)) for n in range(20)]
    few = built(tmp_path / "few", source("s", rows), steps=[c.shape()])
    assert few.text_measures.topics is None
    (line,) = few.costs().filter(group="women").to_dicts()
    assert (line["reached"], line["dropped"]) == (20, 3)
    assert not few.chart.data("costs").height
