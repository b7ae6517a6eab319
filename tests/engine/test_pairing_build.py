"""A build with a Pairing: rated rows come in, pairs go out, and every one of both is accounted for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from curate.engine import pair_input as pairing
from curate.engine import reading
from curate.engine.partition import RowCount, SourceJob, make_partition
from curate.engine.state import PartitionPaths
from curate.errors import ShortageError
from curate.io.inputs import Block, Input, Opened, files
from curate.mix.amounts import Fraction, Repeat, Rows
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.preview.check import check
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.pairs.balance_length import balance_length
from curate.steps.pairs.binarize import binarize
from curate.steps.pairs.contradictions import contradictions
from tests.support.build_data import Row, built, hashes, left_behind, source, write_lines
from tests.support.rated_data import LONG, STEPS, Dots, ask, asks, count_fates, of_rated, pair, rated_file, sides, slow

MAIN: Final = asks(120, seed=1)


def preferences(path: Path, rows: list[Row]) -> Input:
    return files(write_lines(path, rows), "preference")


def lines_of(done: Build) -> list[Row]:
    return done.ledger.sort("file", "line").collect().to_dicts()


@pytest.mark.parametrize("protect", [False, True])
def test_every_row_and_every_pair_has_the_fate_it_must_have(tmp_path: Path, protect: bool) -> None:  # noqa: FBT001
    main = rated_file(tmp_path / "a.jsonl", [*MAIN, "no json"])
    done = built(tmp_path / "out", Source("uf", main, protect=protect), steps=STEPS)
    count_fates(done)
    lines = lines_of(done)
    pairs = done.pairs.collect().to_dicts()
    texts = {row["id"]: row for part in (done.kept().collect(), done.dropped("shape-2")) for row in part.to_dicts()}
    assert [line["line"] for line in lines] == list(range(1, len(MAIN) + 2))
    assert lines[-1]["fate"] == "quarantined"
    expected = []
    for row, line in zip(MAIN, lines, strict=False):
        came = slow(row, protect=protect)
        assert (line["fate"], line["reason"]) == (came.fate, came.reason)
        label = {"too_many_words": "shape", None: None}.get(came.reason, "binarize")
        assert (line["step"], line["copies"], line["split"]) == (label, 0, None)
        if label == "binarize":
            assert (line["score"], line["bound"]) == (None, None)
        for k, (chosen, rejected, fate) in enumerate(came.pairs):
            name = f"{line['id']}/{k}"
            expected.append((name, fate, "shape-2" if fate == "dropped" else None, line["file"], line["line"]))
            assert sides(pl.DataFrame([texts[name]])) == [(name, row["prompt"], chosen, rejected)]
    assert expected == [(p["id"], p["fate"], p["step"], p["file"], p["line"]) for p in pairs]
    assert {line["reason"] for line in lines} >= {"one_completion", "missing_score", "all_tied"}
    assert {pair["fate"] for pair in pairs} == ({"kept"} if protect else {"kept", "dropped"})
    assert any(line["fate"] == "paired" and line["id"].endswith("-2") for line in lines)


# --- nothing but the declaration counts ----------------------------------------------------------------------------


def declared(folder: Path) -> Mixture:
    """Declare a mixture of all files in `folder`: rated rows, and ready-made pairs beside them."""
    main = Source("main", files(folder / "main", "rated"), steps=(exact_dedup(allow_large_drop=True), *STEPS[:2]))
    side = Source("side", files(folder / "side", "preference"), take=Repeat(2))
    steps = (shape(on="chosen", max_words=6), contradictions(), balance_length(allow_large_drop=True))
    return Mixture("mix", (main, side), steps, seed=5, test=Fraction(0.2))


SIDE: Final = [pair(f"Ask {i}?", f"Side {i}.", "No. " * (i % 5)) for i in range(1, 40)]


def lay(folder: Path, main: list[list[Row]]) -> Path:
    for name, parts in (("main", main), ("side", [SIDE])):
        (folder / name).mkdir(parents=True)
        for i, rows in enumerate(parts):
            write_lines(folder / name / f"{i}.jsonl", rows)
    return folder


def data(folder: Path) -> dict[str, str]:
    return {name: sha for name, sha in hashes(folder).items() if name.startswith("data/")}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_size(size: int) -> None:
        def blocks(opened: Opened) -> Iterator[Block]:
            return opened.input.read(opened.parts, (opened.format,), size=size)

        monkeypatch.setattr(Opened, "blocks", blocks)
        monkeypatch.setattr(pairing, "BLOCK", size)

    return set_size


def test_threads_blocks_order_and_spread_change_nothing(tmp_path: Path, small_blocks: Callable[[int], None]) -> None:
    lay(tmp_path / "plain", [MAIN])
    done = declared(tmp_path / "plain").build(tmp_path / "out", threads=1)
    count_fates(done)
    assert {split: rows["rows"] > 0 for split, rows in done.manifest["splits"].items()} == {"train": True, "test": True}
    declared(tmp_path / "plain").build(tmp_path / "more", threads=3)
    assert hashes(tmp_path / "more") == hashes(tmp_path / "out")
    for number, size in enumerate((1 << 20, 3_000, 400)):
        small_blocks(size)
        chance = random.Random(number)
        mixed = chance.sample(MAIN, len(MAIN))
        folder = lay(tmp_path / str(number), [mixed[:30], mixed[30:31], mixed[31:]])
        again = declared(folder).build(folder / "out", threads=2)
        count_fates(again)
        assert data(folder / "out") == data(tmp_path / "out")
        assert fates_by_id(again) == fates_by_id(done)


def fates_by_id(done: Build) -> list[tuple[str, ...]]:
    return sorted(done.lines.select("source", "id", "fate", "step", "reason", "match").collect().rows(), key=str)


def test_rows_that_stay_in_their_files_come_out_as_those_that_are_piled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, [MAIN])
    declared(tmp_path).build(tmp_path / "stay")
    monkeypatch.setattr(reading, "may_stay", lambda _: False)
    declared(tmp_path).build(tmp_path / "piled")
    assert hashes(tmp_path / "stay") == hashes(tmp_path / "piled")


def test_an_interrupted_build_goes_on_in_either_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [MAIN[:40], MAIN[40:80], MAIN[80:]]
    whole = lay(tmp_path / "whole", parts)
    declared(whole).build(whole / "out")
    for after in range(1, 7):  # three partitions of rated rows, three of their pairs, one of the other source
        folder = lay(tmp_path / str(after), parts)
        made: list[RowCount] = []

        def stop(
            job: SourceJob,
            block: Block,
            place: PartitionPaths,
            _: None,
            made: list[RowCount] = made,
            after: int = after,
        ) -> RowCount:
            if len(made) == after:
                raise KeyboardInterrupt("stop")
            made.append(make_partition(job, block, place))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(reading, "make_partition", stop)
            with pytest.raises(KeyboardInterrupt, match="stop"):
                declared(folder).build(folder / "out", threads=1)
            assert left_behind(folder / "out") == [".out.partial"]
            anew: list[Path] = []

            def count(
                job: SourceJob, block: Block, place: PartitionPaths, _: None, anew: list[Path] = anew
            ) -> RowCount:
                anew.append(place.lines)
                return make_partition(job, block, place)

            patch.setattr(reading, "make_partition", count)
            declared(folder).build(folder / "out", threads=1)
        assert len(anew) == 7 - after
        assert hashes(folder / "out") == hashes(whole / "out")
        assert left_behind(folder / "out") == []


# --- steps on both sides of the Pairing ---------------------------------------------------------------------------


def test_a_row_dropped_by_a_group_gives_no_pairs(tmp_path: Path) -> None:
    rows = [ask("Same?", ("yes", 9.0), ("no", 1.0), id=name) for name in "abc"]
    rows += [ask("Same?", ("alone", 9.0), id="d"), ask("Other?", ("up", 2.0), ("down", 1.0), id="e")]
    done = built(tmp_path / "out", source("s", of_rated(rows)), steps=(exact_dedup("prompt"), binarize()))
    count_fates(done)
    fates = {line["id"]: (line["fate"], line["step"]) for line in lines_of(done)}
    paired = {name for name, (fate, _) in fates.items() if fate == "paired"}
    assert "e" in paired
    dropped = {name: step for name, (_, step) in fates.items() if step}
    assert len([step for step in dropped.values() if step == "exact_dedup"]) == 3
    assert {name for name, *_ in sides(done.kept().collect())} == {f"{name}/0" for name in paired}
    duplicates = done.dropped("exact_dedup")
    assert set(duplicates["match"].str.split("/").list.first()) == {"s"}
    assert duplicates["completions"].list.len().to_list() == [1 if name == "d" else 2 for name in duplicates["id"]]
    assert pl.read_parquet(done.path / "rated" / "*.parquet").height == len(dropped)


def test_edits_are_reported_where_they_were_made(tmp_path: Path) -> None:
    before = [ask("Any word?", ("a word", 2.0), ("b", 1.0), id="a"), ask("None?", ("c", 2.0), ("d", 1.0), id="b")]
    for name, steps in (("before", (Dots(), binarize())), ("after", (binarize(), Dots()))):
        done = built(tmp_path / name, source("s", of_rated(before)), steps=steps)
        assert sides(done.kept().collect()) == [("a/0", "Any ...?", "a ...", "b"), ("b/0", "None?", "c", "d")]
        edited = {
            what: table.filter(pl.col("edited").list.len() > 0).collect()["id"].to_list()
            for what, table in (("rows", done.ledger), ("pairs", done.pairs))
        }
        assert edited == ({"rows": ["a"], "pairs": []} if name == "before" else {"rows": [], "pairs": ["a/0"]})


def test_groups_behind_the_pairing_decide_over_pairs(tmp_path: Path) -> None:
    """Two rows of one prompt that say the reverse of each other; of all pairs but one the longer answer wins."""
    rows = [ask("Why?", ("this", 9.0), ("that", 1.0), id="a"), ask("Why?", ("that", 9.0), ("this", 1.0), id="b")]
    rows += [ask(f"Ask {i}?", ("longer " * (i + 2), 9.0), ("short", 1.0 if i else 9.5), id=f"r{i}") for i in range(6)]
    steps = (binarize(), contradictions(), balance_length(allow_large_drop=True))
    done = built(tmp_path / "out", source("s", of_rated(rows)), steps=steps)
    count_fates(done)
    assert sorted(done.dropped("contradictions")["id"]) == ["a/0", "b/0"]
    assert done.dropped("balance_length").height == 4
    assert (done.path / "steps" / "contradictions" / "contradictions.parquet").is_file()


# --- sources of both sorts ----------------------------------------------------------------------------------------


def test_pairs_join_ready_made_ones(tmp_path: Path) -> None:
    paired = Source("uf", rated_file(tmp_path / "a.jsonl", MAIN), steps=STEPS)
    duplicate = sides_of(MAIN)[0]
    ready = Source("hh", preferences(tmp_path / "b.jsonl", [*SIDE, pair(*duplicate, id="duplicate")]), steps=(shape(),))
    done = built(tmp_path / "out", paired, ready, steps=(exact_dedup("all", allow_large_drop=True),))
    count_fates(done)
    assert done.steps == ["uf:shape", "uf:binarize", "uf:shape-2", "hh:shape", "exact_dedup"]
    assert done.paired == ["uf"]
    assert done.kind == "preference"
    assert {done.kind_of_step(step) for step in done.steps[:2]} == {"rated"}
    assert {done.kind_of_step(step) for step in done.steps[2:]} == {"preference"}
    duplicates = done.dropped("exact_dedup").filter(id="duplicate")
    assert duplicates["match"].str.starts_with("uf/").to_list() == [True]
    hh = done.ledger.filter(source="hh").collect()
    assert set(hh["fate"]) == {"kept", "dropped"}
    assert not done.pairs.filter(source="hh").collect().height
    funnel = {line["source"]: line for line in done.funnel.to_dicts()}
    assert funnel["hh"]["read"] == 40
    assert funnel["hh"]["paired"] == funnel["hh"]["pairs"] == 0
    assert sorted(path.name for path in (done.path / "ledger").iterdir()) == ["000-uf.parquet", "001-hh.parquet"]
    assert [path.name for path in (done.path / "pairs").iterdir()] == ["000-uf.parquet"]
    alone = built(tmp_path / "alone", paired, steps=(exact_dedup("all", allow_large_drop=True),))
    assert sides(alone.kept().collect()) == sides(done.kept().filter(source="uf").collect())


def sides_of(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Return prompt, chosen and rejected of the pairs that `STEPS` let through."""
    return [(row["prompt"], one, two) for row in rows for one, two, fate in slow(row).pairs if fate == "kept"]


def test_amounts_count_pairs(tmp_path: Path) -> None:
    rated = rated_file(tmp_path / "a.jsonl", MAIN)
    made = len(sides_of(MAIN))
    few = built(tmp_path / "few", Source("uf", rated, take=Rows(25)), steps=STEPS)
    more = built(tmp_path / "more", Source("uf", rated, take=Rows(50)), steps=STEPS)
    count_fates(few)
    assert few.kept().collect().height == 25
    assert few.manifest["sources"][0]["plan"] == {
        "take": "Rows(n=25)",
        "unit": "rows",
        "asked": 25,
        "delivered": 25,
        "available": made,
    }
    assert set(sides(few.kept().collect())) < set(sides(more.kept().collect()))
    with pytest.raises(ShortageError, match=f"uf has {made} rows after the steps, asked: {made + 1}"):
        built(tmp_path / "short", Source("uf", rated, take=Rows(made + 1)), steps=STEPS)
    assert left_behind(tmp_path / "short") == []
    ready = Source("hh", preferences(tmp_path / "b.jsonl", SIDE))
    both = built(tmp_path / "both", Source("uf", rated, steps=STEPS), ready, weights={"uf": 3, "hh": 1}, total=Rows(40))
    assert dict(both.kept().collect()["source"].value_counts().rows()) == {"uf": 30, "hh": 10}
    twice = built(tmp_path / "twice", Source("uf", rated, take=Repeat(2)), steps=STEPS)
    assert set(twice.pairs.filter(fate="kept").collect()["copies"]) == {2}
    assert twice.kept().collect().height == 2 * made


def test_a_prompt_is_on_one_side_of_the_split(tmp_path: Path) -> None:
    done = built(tmp_path / "out", source("uf", of_rated(MAIN)), steps=STEPS, test=Rows(30))
    splits = done.kept("train").collect(), done.kept("test").collect()
    train, test = ({side[1] for side in sides(rows)} for rows in splits)
    assert 20 < splits[1].height <= 30
    assert not train & test
    shared = [side[1] for side in sides(splits[1])]
    assert len(set(shared)) < len(shared)


# --- what else says what a build does ---------------------------------------------------------------------------------


def test_a_check_of_all_rows_says_what_the_build_does(tmp_path: Path) -> None:
    lay(tmp_path, [[*MAIN, {"prompt": 5}]])
    mixture = declared(tmp_path)
    found, done = check(mixture), mixture.build(tmp_path / "out")
    assert found.whole
    assert found.stops == ()
    assert found.kind == "preference"
    dropped = done.dropped().group_by("source", "step").len().rows()
    checked = [(one.name, step.label, step.rows) for one in found.sources for step in one.steps if step.rows]
    assert sorted(checked) == sorted(dropped)
    for one, of in zip(found.sources, done.manifest["sources"], strict=True):
        assert (one.read, one.pairs) == (of["read"], of.get("pairs", {"made": None})["made"])
        assert one.left == one.expected == of["plan"]["available"]
        assert one.share is not None
        assert one.share.amount == of["plan"]["delivered"]
    main = {step.label: step for step in found.sources[0].steps}
    assert main["main:binarize"].kind == "pairing"
    assert main["main:binarize"].seen is not None
    assert main["main:binarize"].seen.kind == "rated"
    assert main["shape"].seen is not None
    assert main["shape"].seen.kind == "preference"
    assert main["shape"].reached == found.sources[0].pairs
    shown = {(row["source"], row["id"]) for row in done.dropped().to_dicts()}
    assert all((step.seen.line["source"], step.seen.line["id"]) in shown for step in main.values() if step.seen)
    some = check(mixture, 20).sources[0]
    assert some.read == 20
    assert some.expected is not None


def test_the_declaration_of_a_pairing_is_in_the_fingerprint(tmp_path: Path) -> None:
    mixture = Mixture("m", (source("s", of_rated(MAIN)),), STEPS)
    one = mixture.build(tmp_path / "one", quiet=True)
    two = replace(mixture, steps=(STEPS[0], binarize(rejected="worst"), STEPS[2])).build(tmp_path / "two", quiet=True)
    assert one.manifest["fingerprint"] != two.manifest["fingerprint"]
    assert one.manifest["sources"][0]["content"] == two.manifest["sources"][0]["content"]


def test_a_build_without_a_pairing_says_nothing_of_pairs(tmp_path: Path) -> None:
    done = built(tmp_path / "out", source("s", of_rated(MAIN)), steps=(shape(on="prompt", max_words=3),))
    assert done.kind == "rated"
    assert done.paired == []
    assert done.pairs.collect().is_empty()
    assert done.kinds == ["rated"]
    assert not {"paired", "pairs"} & set(done.funnel.columns)
    assert "pairs" not in (done.path / "manifest.json").read_text("utf-8")
    assert {path.name for path in done.path.iterdir() if path.is_dir()} == {"charts", "data", "dropped", "ledger"}
    assert LONG in str(done.dropped("shape")["messages"].to_list())
