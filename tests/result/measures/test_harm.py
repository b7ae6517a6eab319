"""Refusals of harmful requests: counted by hand, and measured on XSTest's labels."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import curate as c
from curate.report.costs import harm_line
from curate.report.overview import overview
from curate.report.page import page
from curate.report.run_card import card
from curate.result.build import Build
from tests.support.build_data import Row, built, chat, source

HARMFUL, HARMLESS = "How do I build a bomb at home, number {}?", "How do I build a shed at home, number {}?"
REFUSAL, ANSWER = "I'm sorry, but I cannot help with that.", "Begin with the floor, then the walls."


def rows(refused_harm: int, refused: int, answered: int) -> list[Row]:
    return [
        *(chat(HARMFUL.format(i), REFUSAL) for i in range(refused_harm)),
        *(chat(HARMLESS.format(i), REFUSAL) for i in range(refused)),
        *(chat(HARMFUL.format(i + 500), ANSWER) for i in range(answered)),
    ]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("share", [None, 0.0])
def test_refusals_are_counted_by_source(tmp_path: Path, keep: bool, share: float | None) -> None:  # noqa: FBT001
    step: c.Step = c.refusals(keep_safety=keep, allow_large_drop=True)
    if share is not None:
        step = c.refusals(keep_safety=keep, allow_large_drop=True, max_share=share)
    sources = [source("a", rows(3, 2, 9)), source("b", rows(0, 1, 4)), source("ours", rows(2, 1, 1), protect=True)]
    build = built(tmp_path / "build", *sources, steps=[step])
    left = 3 if keep else 0
    assert build.refusals_of_harm.rows() == [
        ("refusals", "a", 5, left, 3, left),
        ("refusals", "b", 1, 0, 0, 0),
        ("refusals", "ours", 3, 3, 2, 2),
    ]


def said(build: Build) -> tuple[str, bool]:
    line = harm_line(build, "refusals")
    assert line is not None
    for text in (page(build), card(build)):
        assert line.text.replace("_", "") in text.replace("\\_", "").replace("_", "")
    assert any(line.text in one.text for one in overview(build).wrong) == line.none_kept
    return line.text, line.none_kept


@pytest.mark.parametrize(
    ("keep", "counts", "text", "warns"),
    [
        (
            False,
            (3, 1, 9),
            "no row that refuses a plainly harmful request remains, of 3 found; keep_safety=True keeps",
            True,
        ),
        (True, (3, 1, 9), "3 rows that refuse a plainly harmful request in the data files, of 3 found", False),
        (True, (1, 0, 9), "1 row that refuses a plainly harmful request in the data files, of 1 found", False),
        (False, (0, 2, 9), "no row that refuses a plainly harmful request was found, among 2 refusals", True),
        (False, (0, 0, 9), "no row that refuses a plainly harmful request was found, and no other refusal", True),
    ],
)
def test_page_card_and_overview_say_it(
    tmp_path: Path,
    keep: bool,  # noqa: FBT001
    counts: tuple[int, int, int],
    text: str,
    warns: bool,  # noqa: FBT001
) -> None:
    build = built(
        tmp_path / "build", source("a", rows(*counts)), steps=[c.refusals(keep_safety=keep, allow_large_drop=True)]
    )
    found, warned = said(build)
    assert found.startswith(text)
    assert warned == warns


def test_of_pairs_the_chosen_answer_counts(tmp_path: Path) -> None:
    def pair(number: int, chosen: str, rejected: str) -> Row:
        asked = [{"role": "user", "content": HARMFUL.format(number)}]
        sides = {"chosen": chosen, "rejected": rejected}
        return {"prompt": asked, **{side: [{"role": "assistant", "content": text}] for side, text in sides.items()}}

    pairs = [pair(0, REFUSAL, ANSWER), pair(1, ANSWER, REFUSAL), pair(2, ANSWER, f"{ANSWER} So.")]
    frame = c.frame(pl.DataFrame(pairs), "preference")
    build = built(tmp_path / "build", c.Source("p", frame), steps=[c.refusals(keep_safety=True)])
    assert build.refusals_of_harm.rows() == [("refusals", "p", 1, 1, 1, 1)]


def test_a_build_without_the_step_has_none(tmp_path: Path) -> None:
    build = built(tmp_path / "build", source("a", rows(1, 1, 1)), steps=[c.shape()])
    assert not build.refusals_of_harm.height
    assert harm_line(build, "shape") is None


def test_xstest(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    """A refusal, full or partial, of an unsafe prompt is found or not; even prompts were read for the phrases."""
    asked: list[dict[str, str | bool]] = []
    for model in ("gpt4", "llama2new", "mistralinstruct"):
        path = real_file(f"preference/xstest_completions/xstest_v2_completions_{model}.csv")
        for number, row in enumerate(csv.DictReader(path.read_text("utf-8").splitlines(keepends=True))):
            harm = row["type"].startswith("contrast") and not row["final_label"].startswith("1")
            name = f"{'held' if number % 2 else 'read'}-{'harm' if harm else 'other'}"
            asked.append({"instruction": row["prompt"], "output": row["completion"], "name": name})
    frame = pl.DataFrame(asked)
    names = frame["name"].unique().sort().to_list()
    sources = [c.Source(name, c.frame(frame.filter(name=name).drop("name"), "alpaca")) for name in names]
    build = built(tmp_path / "build", *sources, steps=[c.refusals(allow_large_drop=True)])
    found = dict(build.refusals_of_harm.select("source", "of_harm").rows())
    for half in ("read", "held"):
        hit, wrong, all_ = found[f"{half}-harm"], found[f"{half}-other"], frame.filter(name=f"{half}-harm").height
        print(f"\n{half}: precision {hit / (hit + wrong):.3f}, recall {hit / all_:.3f} of {all_}")  # noqa: T201
    assert found["held-harm"] / (found["held-harm"] + found["held-other"]) >= 0.95
    assert found["held-harm"] / frame.filter(name="held-harm").height >= 0.4
