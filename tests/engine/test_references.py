"""What selections are held against: read once, before the rows, hashed in the manifest, and never items of an eval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.engine.manifest import fingerprint
from curate.errors import CallError, MixtureError, QuarantineError, SourceNotFoundError
from curate.evalsets.evals import evals
from curate.evalsets.items import EvalSet
from curate.io.blocks import Block
from curate.io.inputs import Opened, files
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mix.takes.length_matched import LengthMatched
from curate.mix.takes.selection import Selection
from curate.mix.takes.similar import Similar
from curate.mixture import Mixture
from curate.preview.check import check
from curate.result.build import Build
from curate.steps.base import Step
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.filters.shape import shape
from tests.support.build_data import chat, chats, hashes, of_rows, write_lines

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and half as many in May. How many did she sell altogether?"
)
Take = Callable[[Path], Selection]

TAKES: dict[str, Take] = {
    "similar": lambda path: Similar(5, to=files(path, "messages")),
    "length_matched": lambda path: LengthMatched(5, to=files(path, "messages")),
}


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "dev.jsonl", [chat(f"Ask {i}?", "word " * 9, id=f"q{i}") for i in range(6)])


@pytest.fixture
def quiz(tmp_path: Path) -> tuple[EvalSet, ...]:
    path = write_lines(tmp_path / "quiz.jsonl", [{"question": QUESTION, "id": "17"}, {"question": "Who?", "id": "18"}])
    return evals.files(path, question="question", id="id")


def mixture(take: Selection, steps: tuple[Step, ...] = (), **options: Any) -> Mixture:  # noqa: ANN401
    return Mixture("mix", [Source("pool", of_rows(chats(40)), take=take)], list(steps), **options)


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_the_content_counts_and_not_the_place(dev: Path, tmp_path: Path, take: Take) -> None:
    one = mixture(take(dev)).build(tmp_path / "one", quiet=True)
    lines = dev.read_bytes().splitlines(keepends=True)
    (tmp_path / "there").mkdir()
    moved = tmp_path / "there" / "dev.jsonl"
    moved.write_bytes(b"".join(reversed(lines)))
    two = mixture(take(moved)).build(tmp_path / "two", quiet=True)
    assert hashes(two.path) == hashes(one.path)
    assert str(tmp_path) not in (one.path / "manifest.json").read_text()
    assert one.manifest["sources"][0]["plan"]["take"].endswith("(5, to=...)")
    (against,) = one.manifest["mixture"]["sources"][0]["take"]["against"]
    assert against.startswith("rows:6:")
    moved.write_bytes(b"".join(lines[1:]))
    other = mixture(take(moved)).build(tmp_path / "two", quiet=True, overwrite=True)
    assert other.manifest["mixture"]["sources"][0]["take"]["against"] != [against]
    assert other.manifest["fingerprint"] != one.manifest["fingerprint"]
    assert fingerprint(mixture(take(dev)), {"pool": [against]}) == one.manifest["fingerprint"]


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_it_is_read_once_for_all_sizes(dev: Path, tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    blocks = Opened.blocks

    def counted(self: Opened) -> Iterator[Block]:
        read.extend(file.path.name for file in self.parts)
        return blocks(self)

    monkeypatch.setattr(Opened, "blocks", counted)
    built = mixture(take(dev)).ladder([3, 6], tmp_path / "ladder", quiet=True)
    assert read == ["dev.jsonl"]
    alone = mixture(take(dev)).ladder([3], tmp_path / "alone", quiet=True)
    assert hashes(alone[0].path) == hashes(built[0].path)


def test_an_interrupted_build_starts_anew_when_the_reference_changed(
    dev: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("stop")

    def made() -> dict[Path, int]:
        with pytest.raises(KeyboardInterrupt, match="stop"):
            mixture(TAKES["similar"](dev)).build(tmp_path / "out", quiet=True)
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob(".out*/**/*.keys.arrow")}

    monkeypatch.setattr("curate.engine.build.resolve", interrupted)
    first = made()
    assert first
    assert made() == first
    write_lines(dev, [chat("Something else?", "So.")])
    assert made() != first


def test_a_recut_knows_the_mixture_again(dev: Path, tmp_path: Path) -> None:
    declared = mixture(TAKES["similar"](dev), (shape(min_words=1),))
    built = declared.build(tmp_path / "b", quiet=True)
    with pytest.raises(CallError, match=r"source 'pool' takes Similar\(\.\.\.\)"):
        Build(built.path).recut(mixture=declared, shape={"too_few_words": 2})
    other = mixture(TAKES["similar"](dev), (shape(min_words=2),))
    with pytest.raises(CallError, match="its settings differ"):
        Build(built.path).recut(mixture=other, shape={"too_few_words": 2})


REFUSED = r"source 'pool': Similar\(to=\.\.\.\): 1 of 2 queries are test items of an eval: row dev\.jsonl/leak matches "


@pytest.mark.parametrize("how", ["test_sets", "step", "step of the source", "copy under one name"])
def test_test_items_are_refused_before_a_row_is_read(
    tmp_path: Path, quiz: tuple[EvalSet, ...], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = write_lines(tmp_path / "dev.jsonl", [chat("Ask?", "So.", id="ok"), chat(QUESTION, "So.", id="leak")])
    other = write_lines(tmp_path / "other.jsonl", [{"question": "What is the capital of the moon in summer, and why?"}])
    copy = evals.files(other, question="question", name="quiz")
    steps = {"step": (decontaminate(quiz, mode="flag", threshold=1),), "copy under one name": (decontaminate(quiz),)}
    sets = {"test_sets": quiz, "copy under one name": copy}
    take = Similar(5, to=files(dev, "messages"), test_sets=sets.get(how, ()))
    own = [decontaminate(quiz)] if how == "step of the source" else []
    declared = Mixture("mix", [Source("pool", of_rows(chats(40)), take=take, steps=own)], steps.get(how, ()))
    monkeypatch.setattr("curate.engine.build.read", pytest.fail)
    with pytest.raises(MixtureError, match=REFUSED + r"quiz/17\. .*Remove these rows"):
        declared.build(tmp_path / "out", quiet=True)
    with pytest.raises(MixtureError, match=REFUSED):
        check(declared)
    assert not (tmp_path / "out").exists()


def test_the_same_queries_without_an_eval_to_hold_them_against_pass(tmp_path: Path, quiz: tuple[EvalSet, ...]) -> None:
    dev = write_lines(tmp_path / "dev.jsonl", [chat(QUESTION, "So.")])
    assert mixture(Similar(5, to=files(dev, "messages"))).build(tmp_path / "out", quiet=True).chosen("pool").height == 5
    lengths = LengthMatched(5, to=files(dev, "messages"))
    found = mixture(lengths, (decontaminate(quiz),)).build(tmp_path / "too", quiet=True)
    assert found.chosen("pool").height == 5, "lengths of test items say nothing of what they ask"


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        ([], MixtureError, "the input has no row to choose by"),
        ([chat("🙂", "")], MixtureError, "no row of the input has"),
        ([chat("Ask?", "So."), "{broken", "[]", "7"], QuarantineError, r"3 of 4 rows of .*dev\.jsonl.* are invalid"),
        (None, SourceNotFoundError, "dev.jsonl"),
    ],
)
def test_a_reference_that_says_nothing_stops_the_build(
    tmp_path: Path, take: Take, lines: list[Any] | None, error: type[Exception], said: str
) -> None:
    if lines is not None:
        write_lines(tmp_path / "dev.jsonl", lines)
    with pytest.raises(error, match=said):
        mixture(take(tmp_path / "dev.jsonl")).build(tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_one_row_among_broken_ones_and_a_build_are_references(dev: Path, tmp_path: Path, take: Take) -> None:
    one = write_lines(tmp_path / "one.jsonl", [chat("Ask?", "So."), "{broken"])
    assert mixture(take(one)).build(tmp_path / "a", quiet=True).chosen("pool").height == 5
    first = mixture(take(dev)).build(tmp_path / "b", quiet=True)
    again = mixture(Similar(3, to=first)).build(tmp_path / "c", quiet=True)
    assert hashes(mixture(Similar(3, to=first.path)).build(tmp_path / "d", quiet=True).path) == hashes(again.path)


def test_takes_that_are_compared_keep_their_own_references(tmp_path: Path, no_page: None) -> None:  # noqa: ARG001
    rows, sizes = of_rows(chats(40)), [4, 8]
    takes: dict[str, Selection] = {}
    takes |= {f"t{i}": Similar(to=of_rows([chat(f"Ask {i}{i}?", "word " * 9)]), noise=False) for i in (1, 2)}
    takes["lengths"] = LengthMatched(to=of_rows([chat("Ask?", "word " * 9)]))
    pool = Mixture("mix", [Source("pool", rows)], [])
    found = pool.compare(takes, sizes, tmp_path / "takes", seeds=1, quiet=True)
    for name, take in takes.items():
        for size in sizes:
            alone = Mixture("mix", [Source("pool", rows, take=replace(take, n=Rows(size)))], [])
            built = alone.build(tmp_path / "alone", quiet=True, overwrite=True)
            (same,) = [one.build for one in found.builds if (one.take, one.size) == (name, str(size))]
            assert hashes(same.path) == hashes(built.path)
    first = [
        one.build.chosen("pool")["id"].to_list() for one in found.builds if one.size == "4" and one.take in "t1 t2"
    ]
    assert first[0] != first[1]
