"""The rows chosen: all where they are few; else some of each cause and source, whatever the order of the input."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curate.io.inputs import files
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.browser.sample import sample
from curate.result.build import Build
from curate.steps.custom.where import where
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase


def built(folder: Path, *, shuffled: bool = False) -> Build:
    """Build two sources of 300 and 30 rows; some are short, some repeat, some get a capital, some are not sampled."""
    folder.mkdir()
    for name, count in (("large", 300), ("small", 30)):
        rows = [
            {
                "id": f"{name}-{n}",
                "messages": [
                    {"role": "user", "content": f"Question {n % 250} of {name}?"},
                    {
                        "role": "assistant",
                        "content": "" if n % 40 == 7 else f"{'Yes' if n % 9 else 'hello. it is so'} {n}.",
                    },
                ],
            }
            for n in range(count)
        ]
        if shuffled:
            random.Random(3).shuffle(rows)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    large, small = (files(folder / f"{name}.jsonl", format="messages") for name in ("large", "small"))
    long = where(pl.col("characters") < 10_000, reason="long")
    steps = (truecase(), shape(), exact_dedup(on="prompt"), long)
    mixture = Mixture("two", (Source("large", large, take=Rows(150)), Source("small", small)), steps)
    return mixture.build(folder / "build", threads=1, quiet=True)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return built(tmp_path_factory.mktemp("sample") / "a")


def with_text(build: Build) -> list[tuple[str, str]]:
    return sorted(build.lines.filter(pl.col("fate").is_in(["kept", "dropped"])).select("source", "id").collect().rows())


def test_all_rows_are_chosen_where_they_are_few(two: Build) -> None:
    found = sample(two, 2000)
    assert sorted(found.rows.select("source", "id").rows()) == with_text(two)
    assert found.total == found.rows.height


def test_each_cause_and_source_has_rows_before_any_has_many(two: Build) -> None:
    lines = two.lines.collect()
    for n in (1, 2, 12, 40, 100, 150):
        found = sample(two, n)
        assert found.rows.height == n
        assert not found.rows.is_duplicated().any()
        chosen = lines.join(found.rows, on=["source", "id"])
        every = Counter(causes(lines.filter(pl.col("fate").is_in(["kept", "dropped"]))))
        own = Counter(causes(chosen))
        short = [cause for cause in every if cause and own[cause] < every[cause]]
        assert all(own[cause] >= max(own[one] for one in own if one) - 1 for cause in short)
        plain = sum(own[cause] for cause in own if not cause)
        assert plain in {n // 2, n - sum(every[cause] for cause in every if cause)}


def causes(lines: pl.DataFrame) -> list[str]:
    return [
        f"{line['step']}/{line['reason']}" if line["step"] else ",".join(line["edited"] or [])
        for line in lines.to_dicts()
    ]


def test_order_of_the_input_changes_nothing(two: Build, tmp_path: Path) -> None:
    other = built(tmp_path / "b", shuffled=True)
    for n in (10, 90):
        assert sample(other, n).rows.rows() == sample(two, n).rows.rows()


def test_wanted_rows_are_those_alone(two: Build) -> None:
    dropped = two.dropped("shape", source="large")
    found = sample(two, 2000, {"step": "shape", "source": "large"})
    assert sorted(found.rows["id"]) == sorted(dropped["id"])
    edited = two.lines.filter(pl.col("edited").list.contains("truecase"), pl.col("fate") != "unsampled").collect()
    assert sorted(sample(two, 2000, {"step": "truecase"}).rows["id"]) == sorted(edited["id"])
    assert sample(two, 5, {"fate": "kept"}).total == two.kept().collect().height
    assert sample(two, 5, {"reason": "no such reason"}).total == 0


def test_rated_rows_and_their_pairs_are_both_chosen(rated_build: Build) -> None:
    found = sample(rated_build, 2000)
    assert set(found.rows["kind"]) == {"rated", "preference"}
    assert sorted(found.rows.select("source", "id").rows()) == with_text(rated_build)
