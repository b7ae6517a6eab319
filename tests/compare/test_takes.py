"""The report on takes: each figure beside an oracle that reads the data files row by row."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import pytest

from curate.compare.takes import TakeComparison, measured
from curate.errors import CallError, MixtureError
from curate.io.inputs import files
from curate.mix.amounts import Rows, Tokens
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.ranked import Longest, Top
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.dedup.dedup import dedup
from tests.laws.test_takes import rows
from tests.support.build_data import chat, hashes, write_lines

N = 8


def pool(folder: Path, **options: Any) -> Mixture:  # noqa: ANN401
    many = write_lines(folder / "many.jsonl", rows(90))
    few = write_lines(folder / "few.jsonl", [chat(f"What is boat {i}?", "A boat. " * i) for i in range(30)])
    sources = [Source("many", files(many, "messages")), Source("few", files(few, "messages"))]
    options = {"weights": "size", "total": Rows(1), **options}
    return Mixture("pool", sources, [dedup(threshold=0.9)], **options)


def messages(build: Build) -> list[dict[str, Any]]:
    return build.kept().select("source", "messages", "id").collect().to_dicts()


def grams(row: dict[str, Any]) -> set[tuple[str, ...]]:
    """Return the 8-grams of a row of plain words; a shorter turn is one."""
    found = set()
    for turn in row["messages"]:
        words = re.findall(r"\w+", turn["content"].lower())
        found |= {tuple(words[at : at + N]) for at in range(max(len(words) - N + 1, 1))} if words else set()
    return found


def ends(row: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    words = row["messages"][0]["content"].lower().replace("?", " ?").replace(":", " :").split()
    return tuple(words[:4]), tuple(words[-4:])


def templates(part: list[dict[str, Any]], whole: list[dict[str, Any]]) -> int:
    counts = [Counter(ends(row)[side] for row in whole) for side in (0, 1)]
    shared = {tuple(end if counts[side][end] >= 5 else None for side, end in enumerate(ends(row))) for row in part}
    return len(shared - {(None, None)})


def drift(part: list[str], whole: list[str]) -> float:
    return sum(abs(part.count(name) / len(part) - whole.count(name) / len(whole)) for name in set(whole)) / 2


def furthest(part: list[int], whole: list[int]) -> float:
    below = [[sum(one <= at for one in each) / len(each) for at in whole] for each in (part, whole)]
    return max(abs(a - b) for a, b in zip(*below, strict=True))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TakeComparison]:
    folder = tmp_path_factory.mktemp("takes")
    takes = {"diverse": Diverse(), "longest": Longest()}
    return folder, pool(folder).compare(takes, [12, 40], folder / "out", seeds=2, quiet=True)


def test_every_figure_is_that_of_an_oracle(compared: tuple[Path, TakeComparison]) -> None:
    _, found = compared
    assert found.figures.select("take", "size", "seed").rows() == [
        (take, size, seed) for take in ("random", "diverse", "longest") for size in ("12", "40") for seed in (0, 1)
    ]
    for one, line in zip(found.builds, found.figures.to_dicts(), strict=True):
        part, whole = messages(one.build), messages(found.pools[one.seed])
        tokens = [
            dict(build.ledger.filter(pl.col("fate") == "kept").select("id", "tokens").collect().rows())
            for build in (one.build, found.pools[one.seed])
        ]
        sizes = [[tokens[side][row["id"]] for row in rows] for side, rows in enumerate((part, whole))]
        distinct, every = (set().union(*map(grams, rows)) for rows in (part, whole))
        assert line == {
            "take": one.take,
            "size": one.size,
            "seed": one.seed,
            "rows": len(part),
            "tokens": sum(sizes[0]),
            "median_tokens": int(median(sizes[0])),
            "ngrams": len(distinct),
            "coverage": pytest.approx(len(distinct) / len(every)),
            "novelty": pytest.approx(len(distinct) / sum(len(grams(row)) for row in part)),
            "templates": templates(part, whole),
            "source_drift": pytest.approx(drift(*([row["source"] for row in rows] for rows in (part, whole)))),
            "length_drift": pytest.approx(furthest(*sizes)),
        }


def test_the_summary_is_over_seeds(compared: tuple[Path, TakeComparison]) -> None:
    _, found = compared
    own = found.figures.filter(take="diverse", size="40")
    usual = found.figures.filter(take="random", size="40")["ngrams"]
    times = (own["ngrams"] / usual).to_list()
    line = found.summary.filter(take="diverse", size="40").row(0, named=True)
    assert line["seeds"] == 2
    assert line["coverage"] == pytest.approx(sum(own["coverage"]) / 2)
    assert (line["times"], line["times_low"], line["times_high"]) == pytest.approx(
        (sum(times) / 2, min(times), max(times))
    )
    assert found.summary.filter(take="random")["times"].to_list() == [1, 1]


def test_a_build_of_a_comparison_is_one_of_its_take_alone(compared: tuple[Path, TakeComparison]) -> None:
    folder, found = compared
    one = next(one for one in found.builds if (one.take, one.size, one.seed) == ("diverse", "40", 1))
    sources = [Source(name, files(folder / f"{name}.jsonl", "messages"), take=Diverse()) for name in ("many", "few")]
    alone = Mixture("pool", sources, [dedup(threshold=0.9)], seed=1, weights="size", total=Rows(40))
    assert hashes(alone.build(folder / "alone", quiet=True).path) == hashes(one.build.path)
    assert one.build.path == folder / "out" / "seed-1" / "diverse" / "40"


def test_the_page_is_a_function_of_the_folders(compared: tuple[Path, TakeComparison]) -> None:
    folder, found = compared
    again = measured(
        [one._replace(build=Build(one.build.path)) for one in found.builds], [Build(one.path) for one in found.pools]
    )
    assert again.figures.equals(found.figures)
    assert again.page() == (folder / "out" / "comparison.html").read_text("utf-8")
    assert "diverse" in found._repr_html_()
    assert found.chart().to_dict()["datasets"]


def test_one_source_is_compared_by_its_take(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", rows(60))
    mixture = Mixture("one", [Source("a", files(path, "messages"), take=Rows(3))])
    found = mixture.compare({"top": Top(by="meta.rating")}, [Tokens(200)], tmp_path / "out", seeds=1, quiet=True)
    assert [one.build.path.name for one in found.builds] == ["200-tokens", "200-tokens"]
    assert all(tokens <= 200 for tokens in found.figures["tokens"])
    assert found.pools[0].funnel["rows"][-1] == 60


@pytest.mark.parametrize(
    ("takes", "options", "error", "said"),
    [
        ({"random": Diverse()}, {}, MixtureError, "not 'random'"),
        ({"../up": Diverse()}, {}, MixtureError, "take name"),
        ({"rows": Rows(5)}, {}, MixtureError, "give selections"),
        ({"diverse": Diverse(5)}, {}, MixtureError, "leave the amount out"),
        ({"diverse": Diverse()}, {"seeds": 0}, CallError, "seeds=0"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    takes: dict[str, Any], options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        pool(tmp_path).compare(takes, [5], tmp_path / "out", quiet=True, **options)
    assert not (tmp_path / "out").exists()


def test_a_source_that_stops_early_is_not_compared(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", rows(60))
    mixture = Mixture("one", [Source("a", files(path, "messages"), take=Rows(3), early_stop=True)])
    with pytest.raises(MixtureError, match="stops early"):
        mixture.compare({"diverse": Diverse()}, [5], tmp_path / "out", quiet=True)
