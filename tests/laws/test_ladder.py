"""The law of ladders: each build is the one that its size would give alone, and part of the next."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import MixtureError, ShortageError
from curate.io.inputs import files
from curate.mix.amounts import Fraction, Rows, Tokens
from curate.mix.ladder import rungs
from curate.mix.spec import Source
from curate.mix.takes.diverse import Diverse
from curate.mix.takes.selection import Selection
from curate.mixture import Mixture
from curate.report.page import page
from curate.result.browser.sample import sample
from curate.result.browser.shown_rows import SeenRows, ShownRow, shown_row, shown_rows
from curate.result.build import Build
from curate.result.folder import BuildFolder
from curate.result.held_lines import HeldLines
from curate.result.measures.texts import DroppedTexts, measured_dropped
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import chats, hashes, of_rows, write_lines
from tests.support.rated_data import STEPS as STEPS_OF_PAIRS
from tests.support.rated_data import asks, rated_file

ANY_DROP: Any = {"allow_large_drop": True}
STEPS = [shape(min_words=2), exact_dedup()]


def kept(build: Build) -> set[str]:
    return set(build.ledger.filter(pl.col("fate") == "kept").select("id").collect()["id"])


def mixture(folder: Path, take: Selection | Rows, **options: Any) -> Mixture:  # noqa: ANN401
    rows = write_lines(folder / "rows.jsonl", chats(60) + chats(10))
    return Mixture("rungs", [Source("a", files(rows, "messages"), take=take)], STEPS, **options)


@pytest.mark.parametrize(
    ("take", "sizes", "options"),
    [
        (Rows(1), [5, 20, 40], {}),
        (Diverse(1), [40, 5, 20], {"test": Fraction(0.2)}),
        (Diverse(), [5, 20], {"weights": {"a": 1}, "total": Rows(3)}),
        (Rows(1), [Tokens(200), Tokens(600)], {}),
        (Rows(1), [Fraction(0.5), Fraction(0.25)], {}),
    ],
)
def test_each_build_is_the_one_of_its_size_alone(
    tmp_path: Path, take: Selection | Rows, sizes: list[Any], options: dict[str, Any]
) -> None:
    whole = mixture(tmp_path, take, **options)
    builds = whole.ladder(sizes, tmp_path / "ladder", quiet=True)
    for name, rung, built in zip(rungs(whole, sizes), rungs(whole, sizes).values(), builds, strict=True):
        alone = rung.build(tmp_path / "alone" / name, quiet=True)
        assert built.path == tmp_path / "ladder" / name
        assert hashes(built.path) == hashes(alone.path)
        built.verify()
    assert all(kept(small) < kept(large) for small, large in pairwise(builds))
    assert not [path for path in (tmp_path / "ladder").iterdir() if path.name.startswith(".")]


def test_rows_that_an_earlier_page_showed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[tuple[str, str]] = []

    def counted(place: Any, kind: str, facts: dict[str, Any], bodies: Any) -> ShownRow:  # noqa: ANN401
        cut.append((facts["fate"], facts["id"]))
        return shown_row(place, kind, facts, bodies)

    monkeypatch.setattr("curate.result.browser.shown_rows.shown_row", counted)
    rows = write_lines(tmp_path / "rows.jsonl", chats(60))
    whole = Mixture("rungs", [Source("a", files(rows, "messages"), take=Rows(1))], [shape(min_words=5, **ANY_DROP)])
    builds = whole.ladder([5, 20, 40], tmp_path / "ladder", quiet=True)
    assert 0 < builds[0].funnel["shape"][0] < 20
    times = Counter(cut)
    assert [times[one] for one in times if one[0] == "dropped"] == builds[0].funnel["shape"][0] * [1]
    # The 5 kept rows are among the 40 of the page before, and of the 20 the 5 are.
    assert times.total() == builds[0].funnel["shape"][0] + 40 + 15
    one, *others = (path.stat() for built in builds for path in (built.path / "dropped").iterdir())
    assert [(other.st_ino, other.st_nlink) for other in others] == 2 * [(one.st_ino, 3)]


@pytest.mark.parametrize("take", [Rows(1), Diverse(1)])
def test_builds_have_all_lines_in_common_but_what_takes_and_splits_decide(tmp_path: Path, take: Rows | Diverse) -> None:
    builds = mixture(tmp_path, take, test=Fraction(0.2)).ladder([5, 20, 40], tmp_path / "ladder", quiet=True)
    held = HeldLines()
    for built in (Build(made.path) for made in builds):
        expected = built.ledger.collect()
        held = HeldLines(held.last)
        with held.reading(built.path, ["ledger"]):
            assert held.frames["ledger"].equals(expected)
    other = Mixture("more", [Source("a", of_rows(chats(9)))], STEPS).build(tmp_path / "other", quiet=True)
    for built in (mixture(tmp_path, Rows(3)).build(tmp_path / "unsplit", quiet=True), other):
        with held.reading(built.path, ["ledger"]):
            assert held.frames["ledger"].equals(Build(built.path).ledger.collect())


def test_a_page_remembers_the_rows_of_the_last_one(tmp_path: Path) -> None:
    built = mixture(tmp_path, Rows(20)).build(tmp_path / "build", quiet=True)
    keys = sample(built, 100).rows
    seen = SeenRows.none()
    first = shown_rows(built, keys, seen)
    assert shown_rows(built, keys, seen) == first
    assert len(seen.shown) == len(first) > 20
    assert shown_rows(built, keys.head(3), seen) == first[:3]
    assert {name for _, name in seen.shown} == set(keys.head(3).select("source", "id").rows())


def test_texts_of_dropped_rows_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [f"How do I make a pipe bomb number {n}?" for n in range(8)]
    turns = [
        [{"role": "user", "content": ask}, {"role": "assistant", "content": "I cannot help with that."}]
        for ask in asked
    ]
    file = write_lines(tmp_path / "rows.jsonl", [*chats(40), *({"messages": each} for each in turns)])
    read: list[Path] = []

    def counted(made: BuildFolder) -> DroppedTexts:
        read.append(made.path)
        return measured_dropped(made)

    monkeypatch.setattr("curate.result.measured_build.measured_dropped", counted)
    whole = Mixture("rungs", [Source("a", files(file, "messages"), take=Rows(1))], [refusals(allow_large_drop=True)])
    builds = whole.ladder([5, 10, 20], tmp_path / "ladder", quiet=True)
    assert len(read) == 1
    for built in builds:
        assert built.refusals_of_harm.select("refusals", "of_harm").row(0) == (8, 8)
        again = Build(built.path)
        assert again.refusals_of_harm.equals(built.refusals_of_harm)
        assert page(again) == (built.path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_page_that_fails_leaves_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    asked: list[Build] = []

    def failing(build: Build) -> str:
        asked.append(build)
        if len(asked) > which:
            raise RuntimeError("no page")
        return page(build)

    whole, out = mixture(tmp_path, Rows(1)), tmp_path / "ladder"
    with monkeypatch.context() as patched:
        patched.setattr("curate.mixture.page", failing)
        with pytest.raises(RuntimeError, match="no page"):
            whole.ladder([5, 20, 40], out, quiet=True)
    assert which < len(asked) <= 3
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    builds = whole.ladder([5, 20, 40], out, quiet=True)  # goes on from what was read
    assert [len(kept(built)) for built in builds] == [5, 20, 40]
    assert sorted(path.name for path in out.iterdir()) == ["20", "40", "5"]


def test_pairs_of_rated_rows_make_a_ladder_too(tmp_path: Path) -> None:
    rows = rated_file(tmp_path / "rated.jsonl", asks(60, seed=1))
    whole = Mixture("rungs", [Source("a", rows, take=Rows(1))], STEPS_OF_PAIRS)
    for size, built in zip((4, 8), whole.ladder([4, 8], tmp_path / "ladder", quiet=True), strict=True):
        alone = rungs(whole, [size])[str(size)].build(tmp_path / f"alone{size}", quiet=True)
        assert hashes(built.path) == hashes(alone.path)


def test_what_is_no_ladder_is_refused(tmp_path: Path) -> None:
    one = mixture(tmp_path, Rows(1))
    refused: list[list[Any]] = [[], [5, 5], [5, Tokens(9)]]
    for sizes in refused:
        with pytest.raises(MixtureError, match="different sizes of one kind"):
            one.ladder(sizes, tmp_path / "b")
    two = Mixture("two", [*one.sources, Source("b", files(tmp_path / "rows.jsonl", "messages"))])
    with pytest.raises(MixtureError, match="no weights"):
        two.ladder([5], tmp_path / "b")
    weighted = mixture(tmp_path, Diverse(), weights={"a": 1}, total=Rows(3))
    with pytest.raises(MixtureError, match=r"Rows\(n\) or Tokens\(n\)"):
        weighted.ladder([Fraction(0.5)], tmp_path / "b")
    with pytest.raises(ShortageError, match="asked: 5,000"):
        one.ladder([5, 5_000], tmp_path / "b", quiet=True)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("take", [Diverse(20), Diverse(Rows(20)), Rows(20)])
def test_a_build_is_the_one_that_a_user_would_write(tmp_path: Path, take: Selection | Rows) -> None:
    (built,) = mixture(tmp_path, take).ladder([20], tmp_path / "ladder", quiet=True)
    assert hashes(mixture(tmp_path, take).build(tmp_path / "alone", quiet=True).path) == hashes(built.path)
    assert Diverse(20) == Diverse(Rows(20))
