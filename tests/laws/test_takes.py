"""The laws of takes that choose rows: amounts nest, and no order, file, thread or other source changes a choice."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import polars as pl
import pytest

from curate.engine.build import _recipe
from curate.engine.references import TakeReferences
from curate.errors import CallError, MixtureError
from curate.io.inputs import files
from curate.mix.amounts import Fraction, Rows, Tokens
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.facility import FacilityLocation
from curate.mix.takes.length_matched import LengthMatched
from curate.mix.takes.ranked import Longest, Top
from curate.mix.takes.selection import Selection
from curate.mix.takes.similar import Similar
from curate.mix.takes.stratified import Stratified
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.dedup.dedup import dedup
from curate.steps.filters.shape import Shape, shape
from tests.support.build_data import Row, chat, hashes, of_rows, write_lines
from tests.support.tiny_embeddings import tiny_embeddings

NOWHERE: Final[Any] = "nowhere"
MANY: Final[Any] = "many"

Amount = int | Rows | Fraction | Tokens

LIKE: Final = of_rows([chat(f"Please sum up for me: w{i} w{i + 1}", "w3 w4 " * (2 + i % 5)) for i in range(9)])
FOLDER: Final = TemporaryDirectory(prefix="curate-laws-")
MODEL: Final = Path(FOLDER.name) / "model"
WORDS: Final = [f"w{i}" for i in range(60)]

TAKES: Final[dict[str, Callable[[Any], Selection]]] = {
    "diverse": Diverse,
    "diverse-short": lambda n: Diverse(n, on="prompt", ngram=1, ahead=2),
    "diverse-quality": lambda n: Diverse(n, quality="meta.rating", exponent=2),
    "facility": lambda n: FacilityLocation(n, semantic=MODEL),
    "facility-few": lambda n: FacilityLocation(n, semantic=MODEL, on="all", neighbors=2, quality="meta.rating"),
    "longest": Longest,
    "top": lambda n: Top(n, by="meta.rating"),
    "lowest": lambda n: Top(n, by="shape.words", lowest=True),
    "similar": lambda n: Similar(n, to=LIKE),
    "similar-best": lambda n: Similar(n, to=LIKE, on="all", noise=False),
    "length-matched": lambda n: LengthMatched(n, to=LIKE),
    "length-matched-plain": lambda n: LengthMatched(n, to=LIKE, on="all", by_type=False),
    "stratified": lambda n: Stratified(n, by="meta.task"),
    "stratified-more": lambda n: Stratified(n, by=["template", "length", "turns"]),
    "stratified-cluster": lambda n: Stratified(n, by="cluster", semantic=MODEL, clusters=6),
    "stratified-both": lambda n: Stratified(n, by=["cluster", "meta.task"], semantic=MODEL, clusters=3),
}


@pytest.fixture(autouse=True, scope="module")
def model() -> Path:
    return tiny_embeddings(MODEL, [*WORDS, "Please sum up for me", "What does mean to you ?"], dimensions=12).folder


class ShapeCalledTake(Shape):
    name = "take"


def rows(count: int = 120) -> list[Row]:
    """Return chats of few templates and many contents, some alike; of some, the rating is missing or no number."""
    rng = random.Random(3)
    found = []
    for i in range(count):
        ask = rng.choice(["Please sum up for me: {}", "What does {} mean to you?", "{}"])
        say = " ".join(rng.choices(WORDS, k=rng.randrange(1, 30)))
        more: dict[str, Any] = {"id": f"r{i}", "task": rng.choice("aaab"), "rating": rng.choice([1, 2.5, "no", None])}
        found.append(chat(ask.format(" ".join(rng.choices(WORDS, k=4))), say, **more))
    return found


def mixture(path: Path, take: Selection | Rows, seed: int = 0, **options: Any) -> Mixture:  # noqa: ANN401
    steps = [shape(min_words=3, allow_large_drop=True), dedup(threshold=0.9)]
    return Mixture("takes", [Source("a", files(path, "messages"), take=take)], steps, seed=seed, **options)


def kept(build: Build) -> set[str]:
    return set(build.ledger.filter(pl.col("fate") == "kept").select("id").collect()["id"])


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "rows.jsonl", rows())


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_a_smaller_amount_is_part_of_a_larger_one(
    lines: Path, tmp_path: Path, take: Callable[[Amount], Selection]
) -> None:
    sizes: list[Amount] = [1, 7, Rows(30), Fraction(0.6), Tokens(900), Tokens(3_000)]
    builds = [mixture(lines, take(n)).build(tmp_path / f"b{i}", quiet=True) for i, n in enumerate(sizes)]
    by_size = sorted(map(kept, builds), key=len)
    assert by_size[0] < by_size[-1]
    assert all(small <= large for small, large in pairwise(by_size))
    chosen = [build.chosen("a") for build in builds]
    longest = max(chosen, key=len)
    for build, table in zip(builds, chosen, strict=True):
        assert set(table["id"]) == kept(build)
        assert table["place"].to_list() == list(range(1, len(table) + 1))
        assert table.equals(longest.head(len(table)))


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_order_files_threads_and_an_earlier_build_change_nothing(
    lines: Path, tmp_path: Path, take: Callable[[Amount], Selection]
) -> None:
    whole = mixture(lines, take(20)).build(tmp_path / "whole", quiet=True, threads=1)
    again = mixture(lines, take(20)).build(tmp_path / "again", quiet=True, threads=3, from_=whole)
    assert hashes(again.path) == hashes(whole.path)
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    (tmp_path / "parts").mkdir()
    for i in range(3):
        write_lines(tmp_path / "parts" / f"{i}.jsonl", shuffled[i::3])
    parted = mixture(tmp_path / "parts", take(20)).build(tmp_path / "parted", quiet=True, threads=2)
    assert parted.chosen("a").equals(whole.chosen("a"))
    files_of = {path.name for path in (whole.path / "data").iterdir()}
    assert all(
        (parted.path / "data" / name).read_bytes() == (whole.path / "data" / name).read_bytes() for name in files_of
    )


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_another_source_changes_nothing(lines: Path, tmp_path: Path, take: Callable[[Amount], Selection]) -> None:
    alone = mixture(lines, take(20)).build(tmp_path / "alone", quiet=True)
    other = write_lines(tmp_path / "other.jsonl", [chat(f"Ask {i} this and that.", f"Say {i}.") for i in range(40)])
    both = mixture(lines, take(20))
    both = Mixture("takes", [*both.sources, Source("b", files(other, "messages"), take=Longest(3))], both.steps)
    built = both.build(tmp_path / "both", quiet=True)
    assert built.chosen("a").equals(alone.chosen("a"))
    assert built.chosen("b").height == 3


@pytest.mark.parametrize("take", [FacilityLocation(20, semantic=MODEL), TAKES["stratified-cluster"](20)], ids=repr)
def test_the_files_of_a_model_count_and_not_where_they_are(lines: Path, tmp_path: Path, take: Any) -> None:  # noqa: ANN401
    whole = mixture(lines, take).build(tmp_path / "whole", quiet=True)
    moved = tmp_path / "elsewhere"
    shutil.copytree(MODEL, moved)
    again = mixture(lines, replace(take, semantic=moved)).build(tmp_path / "again", quiet=True)
    assert hashes(again.path) == hashes(whole.path)
    manifest = (whole.path / "manifest.json").read_text()
    assert str(MODEL) not in manifest
    holds = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in moved.iterdir()}
    del holds["config.json"]
    assert json.loads(manifest)["sources"][0]["plan"]["holds"] == holds
    recipes = [_recipe(mixture(lines, take), (), TakeReferences(), None)]
    tiny_embeddings(moved, WORDS, dimensions=12, seed=1)
    recipes.append(_recipe(mixture(lines, replace(take, semantic=moved)), (), TakeReferences(), None))
    assert recipes[0] != recipes[1]
    other = mixture(lines, replace(take, semantic=moved)).build(tmp_path / "other", quiet=True)
    assert not other.chosen("a").equals(whole.chosen("a"))


def test_the_seed_decides_where_nothing_else_does(lines: Path, tmp_path: Path) -> None:
    found = [
        kept(mixture(lines, Stratified(20, by="meta.task"), seed).build(tmp_path / f"s{seed}", quiet=True))
        for seed in (0, 1)
    ]
    assert found[0] != found[1]


def test_weights_decide_how_much_and_the_selection_which(lines: Path, tmp_path: Path) -> None:
    by_weight = mixture(lines, Longest(), weights={"a": 1}, total=Rows(9)).build(tmp_path / "w", quiet=True)
    assert kept(by_weight) == kept(mixture(lines, Longest(9)).build(tmp_path / "n", quiet=True))
    with pytest.raises(MixtureError, match=r"leave the amount out of Longest\(9\)"):
        mixture(lines, Longest(9), weights={"a": 1}, total=Rows(9))
    with pytest.raises(MixtureError, match="does not say how much"):
        mixture(lines, Longest())


def test_more_than_there_is_repeats_the_first_rows(lines: Path, tmp_path: Path) -> None:
    everything = mixture(lines, Longest(1_000), on_shortage="shrink").build(tmp_path / "all", quiet=True)
    count = len(kept(everything))
    built = mixture(lines, Longest(count + 2), on_shortage="repeat").build(tmp_path / "twice", quiet=True)
    copies = built.ledger.filter(pl.col("fate") == "kept").select("id", "copies").collect()
    assert set(copies.filter(pl.col("copies") == 2)["id"]) == set(built.chosen("a")["id"])
    assert built.chosen("a").height == 2
    with pytest.raises(CallError, match="took every row"):
        everything.chosen("a")


def test_recut_says_that_it_cannot_choose_again(lines: Path, tmp_path: Path) -> None:
    built = mixture(lines, Diverse(10)).build(tmp_path / "b", quiet=True)
    with pytest.raises(CallError, match=r"source 'a' takes Diverse\(\.\.\.\)"):
        built.recut(shape={"too_few_words": 5})


def test_no_step_has_the_name_of_the_table_of_a_selection(lines: Path) -> None:
    step = ShapeCalledTake(min_words=3)
    with pytest.raises(MixtureError, match="called 'take' beside"):
        Mixture("takes", [Source("a", files(lines, "messages"), steps=[step], take=Longest(5))], [])
    Mixture("takes", [Source("a", files(lines, "messages"), steps=[step], take=Rows(5))], [])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Diverse(0), r"Rows\(0\)"),
        (lambda: Diverse(MANY), "whole number"),
        (lambda: Diverse(1, on=NOWHERE), "on='nowhere'"),
        (lambda: Diverse(1, ngram=0), "ngram=0"),
        (lambda: Diverse(1, ahead=0.5), "ahead=0.5"),
        (lambda: Diverse(1, exponent=-1), "exponent=-1"),
        (lambda: Diverse(1, quality="nothing"), "nothing"),
        (lambda: Top(1, by="nothing"), "nothing"),
        (lambda: Stratified(1, by=[]), "by="),
        (lambda: Stratified(1, by="nothing"), "nothing"),
        (lambda: FacilityLocation(1, semantic=""), "name the folder"),
        (lambda: FacilityLocation(1, semantic=MODEL, on=NOWHERE), "on='nowhere'"),
        (lambda: FacilityLocation(1, semantic=MODEL, neighbors=0), "neighbors=0"),
        (lambda: FacilityLocation(1, semantic=MODEL, exponent=-1), "exponent=-1"),
        (lambda: FacilityLocation(1, semantic=MODEL, quality="nothing"), "nothing"),
        (lambda: Stratified(1, by="cluster"), "name the folder"),
        (lambda: Stratified(1, by="turns", semantic=MODEL), "only by='cluster' reads a model"),
        (lambda: Stratified(1, by="cluster", semantic=MODEL, clusters=1), "clusters=1"),
        (lambda: Longest(1, on=NOWHERE), "on='nowhere'"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Selection], said: str) -> None:
    with pytest.raises(MixtureError, match=said):
        make()


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (Top(5, by="quality.score"), "quality.score"),
        (Top(5, by="response"), "holds text"),
        (Stratified(5, by="language"), "add language"),
        (Stratified(5, by="meta.absent"), None),
        (Top(5, by="meta.absent"), None),
    ],
)
def test_a_column_that_is_not_there_stops_the_build(
    lines: Path, tmp_path: Path, take: Selection, said: str | None
) -> None:
    if said is None:  # a field that no row has: every row is as good
        assert len(kept(mixture(lines, take).build(tmp_path / "b", quiet=True))) == 5
        return
    with pytest.raises(MixtureError, match=said):
        mixture(lines, take).build(tmp_path / "b", quiet=True)
    assert not (tmp_path / "b").exists()
