"""Rows chosen ahead of the steps: `before` and `early_stop` give the rows that sampling everything would give."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq
import pytest

from curate.engine import presample, reading
from curate.engine.partition import ChosenRows, RowCount, SourceJob, make_partition
from curate.engine.state import PartitionPaths
from curate.errors import MixtureError, ShortageError
from curate.io.formats.oasst import oasst_messages
from curate.io.inputs import Block, Input, files
from curate.mix.amounts import All, Fraction, Rows, Tokens
from curate.mix.spec import Source
from curate.mix.takes.selection import Take
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from curate.steps.pairs.binarize import max_min
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import chat, hashes, write_lines

pytestmark = pytest.mark.usefixtures("no_page")

REFUSAL: Final = "As an AI language model, I cannot."
STEPS: Final = (refusals(), truecase(), shape(max_turns=6))


def rows(seed: int, count: int = 400) -> list[dict[str, Any]]:
    """Return rows with ids and without, duplicates, refusals, and two rows of one id."""
    chance = random.Random(seed)
    made = []
    for i in range(count):
        answer = REFUSAL if chance.random() < 0.3 else f"hello. {i} " + "word " * chance.randrange(9)
        made.append(chat(f"Ask {i}?", answer, **({"id": f"own-{i}"} if i % 3 == 0 else {})))
    made += [chat("Same?", "Same.")] * 40
    made += [chat("One?", "1", id="shared"), chat("Two?", "2", id="shared")]
    chance.shuffle(made)
    return made


def lines(folder: Path) -> Input:
    one, two = rows(1), rows(2)
    write_lines(folder / "a.jsonl", [*one[:100], "{broken", *one[100:]])
    write_lines(folder / "b.jsonl", ["", *two])
    return files(folder / "*.jsonl", "messages")


def array(folder: Path) -> Input:
    (folder / "a.json").write_text(json.dumps([*rows(1), {"messages": []}]))
    return files(folder / "a.json", "messages")


def parquet(folder: Path) -> Input:
    pl.DataFrame(rows(1)).write_parquet(folder / "a.parquet", row_group_size=50)
    return files(folder / "a.parquet", "messages")


def cells(folder: Path) -> Input:
    texts = [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows(1)]
    pl.DataFrame(texts, schema=["question", "answer"], orient="row").write_csv(folder / "a.csv")
    return files(folder / "a.csv", "question_answer")


def trees(folder: Path) -> Input:
    messages = []
    for i in range(240):
        answers = [REFUSAL, f"No {i}."] if i % 3 == 0 else [f"Yes {i}.", f"Perhaps {i}."]
        common = {"message_tree_id": str(i), "lang": "en", "deleted": False}
        messages.append({"message_id": str(i), "parent_id": None, "role": "prompter", "text": f"Ask {i}?", **common})
        messages += [
            {"message_id": f"{i}/{k}", "parent_id": str(i), "role": "assistant", "text": text, "rank": k, **common}
            for k, text in enumerate(answers)
        ]
    write_lines(folder / "a.jsonl", messages)
    return files(folder / "a.jsonl", oasst_messages())


CONTAINERS: Final = [lines, array, parquet, cells, trees]


def build(given: Input, out: Path, *, threads: int = 1, steps: tuple[Any, ...] = STEPS, **options: Any) -> Build:  # noqa: ANN401
    source = Source("main", given, max_quarantine=0.5, **options)
    return Mixture("mix", (source,), steps, seed=7).build(out, threads=threads, quiet=True)


def data(found: Build) -> dict[str, str]:
    return {name: one for name, one in hashes(found.path).items() if name.startswith("data/")}


def ledger(found: Build) -> pl.DataFrame:
    return found.ledger.sort("file", "line").collect()


@pytest.mark.parametrize("take", [Rows(1), Rows(60), Tokens(900)])
@pytest.mark.parametrize("make", CONTAINERS)
def test_stopping_early_gives_the_same_data(make: Callable[[Path], Input], take: Take, tmp_path: Path) -> None:
    given = make(tmp_path)
    whole = build(given, tmp_path / "whole", take=take)
    early = build(given, tmp_path / "early", take=take, early_stop=True)
    assert data(early) == data(whole)
    every, some = ledger(whole), ledger(early)
    assert some.select("id", "file", "line").equals(every.select("id", "file", "line"))
    assert some.filter(pl.col("fate") == "kept").equals(every.filter(pl.col("fate") == "kept"))
    differ = some["fate"].to_list() != every["fate"].to_list()
    assert differ or take != Rows(1), "a row that no step saw is unsampled"
    for fate, other in zip(some["fate"], every["fate"], strict=True):
        assert fate == other or (fate, other) == ("unsampled", "dropped")


@pytest.mark.parametrize("before", [Rows(9), Rows(150), Fraction(0.4)])
@pytest.mark.parametrize("make", CONTAINERS)
def test_rows_before_the_steps_are_those_that_sampling_alone_takes(
    make: Callable[[Path], Input], before: Rows | Fraction, tmp_path: Path
) -> None:
    given = make(tmp_path)
    sampled = build(given, tmp_path / "sampled", take=before, steps=())
    steps = build(given, tmp_path / "steps")
    found = build(given, tmp_path / "found", before=before)
    chosen = set(ledger(sampled).filter(pl.col("fate") == "kept")["id"])
    left = set(ledger(steps).filter(pl.col("fate") == "kept")["id"])
    fates = dict(ledger(found).select("id", "fate").drop_nulls("id").unique("id", keep="none").iter_rows())
    assert {name for name, fate in fates.items() if fate == "kept"} == {name for name in chosen & left if name in fates}
    assert {fate for name, fate in fates.items() if name not in chosen} <= {"unsampled", "quarantined"}
    assert not {fate for name, fate in fates.items() if name in chosen} & {"unsampled"}


def test_take_counts_what_the_steps_leave_of_the_rows_before_them(tmp_path: Path) -> None:
    given = lines(tmp_path)
    found = build(given, tmp_path / "a", before=Rows(100), take=Rows(40))
    rest = build(given, tmp_path / "b", before=Rows(100))
    kept = set(ledger(found).filter(pl.col("fate") == "kept")["id"])
    assert len(kept) == 40
    assert kept <= set(ledger(rest).filter(pl.col("fate") == "kept")["id"])
    early = build(given, tmp_path / "c", before=Rows(100), take=Rows(40), early_stop=True)
    assert data(early) == data(found)


def test_neither_threads_nor_the_order_of_rows_nor_files_matter(tmp_path: Path) -> None:
    given = lines(tmp_path)
    one = build(given, tmp_path / "one", before=Rows(200), take=Rows(60), early_stop=True)
    assert hashes(build(given, tmp_path / "two", threads=3, before=Rows(200), take=Rows(60), early_stop=True).path) == (
        hashes(one.path)
    )
    (tmp_path / "other").mkdir()
    every = [*rows(2), *rows(1)]
    random.Random(3).shuffle(every)
    write_lines(tmp_path / "other" / "x.jsonl", every)
    other = files(tmp_path / "other" / "x.jsonl", "messages")
    assert data(build(other, tmp_path / "three", before=Rows(200), take=Rows(60), early_stop=True)) == data(one)


@pytest.mark.parametrize("first", [1, 20, 61])
def test_more_rows_go_through_the_steps_until_enough_are_left(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = lines(tmp_path)
    whole = build(given, tmp_path / "whole", take=Rows(60))
    monkeypatch.setattr(presample, "_first", lambda *_: first)
    assert data(build(given, tmp_path / "early", take=Rows(60), early_stop=True)) == data(whole)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_choice_goes_on(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = lines(tmp_path)
    monkeypatch.setattr(presample, "_first", lambda *_: 20)
    whole = build(given, tmp_path / "whole", take=Rows(60), early_stop=True)
    made: list[RowCount] = []

    def stop(job: SourceJob, block: Block, place: PartitionPaths, chosen: ChosenRows | None) -> RowCount:
        if len(made) == after:
            raise KeyboardInterrupt("stop")
        made.append(make_partition(job, block, place, chosen))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(reading, "make_partition", stop)
        with pytest.raises(KeyboardInterrupt, match="stop"):
            build(given, tmp_path / "out", take=Rows(60), early_stop=True)
    found = build(given, tmp_path / "out", take=Rows(60), early_stop=True)
    assert hashes(found.path) == hashes(whole.path)


def test_a_group_sees_the_rows_before_the_steps_alone(tmp_path: Path) -> None:
    given = lines(tmp_path)
    found = build(given, tmp_path / "found", before=Rows(200), steps=(exact_dedup(),))
    fates = ledger(found)["fate"].value_counts()
    counts = dict(fates.iter_rows())
    assert counts["kept"] + counts["dropped"] == 200
    assert sum(counts.values()) == ledger(found).height


def test_rated_rows_are_sampled_before_they_are_paired(tmp_path: Path) -> None:
    made = [
        {
            "prompt": f"Ask {i}?",
            "completions": [{"content": f"{k} {i}", "scores": {"overall_score": float(k)}} for k in range(3)],
        }
        for i in range(50)
    ]
    write_lines(tmp_path / "a.jsonl", made)
    given = files(tmp_path / "a.jsonl", "rated")
    found = build(given, tmp_path / "out", before=Rows(20), take=Rows(8), steps=(max_min(),))
    assert found.funnel["paired"][0] == 20
    assert found.funnel["rows"][0] == 8
    assert dict(ledger(found)["fate"].value_counts().iter_rows()) == {"paired": 20, "unsampled": 30}


def test_too_few_rows_and_settings_that_do_not_go_together_are_errors(tmp_path: Path) -> None:
    given = lines(tmp_path)
    with pytest.raises(ShortageError, match=r"source 'main' has 764 rows, before=Rows\(n=9000\) asks for more"):
        build(given, tmp_path / "out", before=Rows(9_000))
    with pytest.raises(MixtureError, match=r"early_stop=True needs take=Rows\(n\) or Tokens\(n\)"):
        Source("main", given, take=All(), early_stop=True)
    with pytest.raises(MixtureError, match="early_stop=True, but exact_dedup must see every row"):
        Mixture("mix", (Source("main", given, take=Rows(5), early_stop=True),), (exact_dedup(),))
    with pytest.raises(MixtureError, match="before='x' is neither"):
        Source("main", given, before="x")  # type: ignore[arg-type]


def test_only_row_groups_that_may_have_the_values_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [chat(f"Ask {i}?", "Yes.", part=f"p{i // 100}") for i in range(1_000)]
    pl.DataFrame(made).write_parquet(tmp_path / "a.parquet", row_group_size=100)
    opened: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def batches(table: pq.ParquetFile, *sizes: int, row_groups: list[int] | None = None, **how: Any) -> object:  # noqa: ANN401
        opened.extend(row_groups or ())  # none: a finished build is read for its page
        return whole(table, *sizes, row_groups=row_groups, **how)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", batches)
    found = build(files(tmp_path / "a.parquet", "messages"), tmp_path / "out", where={"part": ["p3", "p7"]})
    assert set(opened) == {3, 7}
    assert found.funnel["read"][0] == 200
    assert ledger(found)["line"].to_list() == [*range(301, 401), *range(701, 801)]


def test_where_rows_were_found_does_not_show_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of Parquet, which hold 1 MB of text, end at the same rows whether these were copied on the way or not."""
    chance = random.Random(0)
    many = [chat(f"Ask {i}?", " ".join(str(chance.random()) for _ in range(200))) for i in range(3_000)]
    given = files(write_lines(tmp_path / "a.jsonl", many), "messages")
    stays = build(given, tmp_path / "stays", take=Rows(2_000))
    assert data(build(given, tmp_path / "early", take=Rows(2_000), early_stop=True)) == data(stays)
    monkeypatch.setattr(reading, "may_stay", lambda _: False)
    assert data(build(given, tmp_path / "copied", take=Rows(2_000))) == data(stays)
