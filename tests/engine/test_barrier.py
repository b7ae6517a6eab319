"""What a group gets to know and to say: columns, lists, totals, rows held against it, evidence and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from curate.engine.barrier import AGAINST, MemoryKeys, StoredLists
from curate.errors import CallError
from curate.io.inputs import Input, files
from curate.mix.amounts import Fraction
from curate.mixture import Mixture
from curate.preview.check import check
from curate.rows.segments import Segments
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS, Group, GroupKeys, KeyLists, Resolved
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.shape import shape
from tests.support.build_data import Row, built, built_empty, chat, chats, hashes, of_rows, source, write_lines


@dataclass(frozen=True, kw_only=True)
class Rarest(Group):
    """Drops the rows whose first turn is as long as that of a row it is held against; a step for this test."""

    name: ClassVar[str] = "rarest"
    others: tuple[Input, ...] = ()

    def against(self) -> tuple[Input, ...]:
        return self.others

    def sign(self, segments: Segments) -> GroupKeys:
        sizes: list[list[int]] = [[] for _ in range(segments.rows)]
        for part in segments.parts:
            for row, place in zip(part.row.tolist(), part.index.tolist(), strict=True):
                sizes[row].append(int(part.text.offsets[place + 1] - part.text.offsets[place]))
        lists = pa.array(sizes, pa.list_(pa.int64()))
        first = np.array([size[0] if size else -1 for size in sizes], np.int64)
        return GroupKeys({"first": first}, {"sizes": lists}, {"texts": np.array([sum(map(len, sizes)), 1])})

    def resolve(self, keys: pl.DataFrame, lists: KeyLists, totals: Mapping[str, NDArray[np.int64]]) -> Resolved:
        read_back = lists.read("sizes", np.arange(keys.height)[::-1].copy()).to_pylist()[::-1]
        assert [sizes[0] if sizes else -1 for sizes in read_back] == keys["first"].to_list()
        held = dict(keys.filter(source=AGAINST).select("first", "row").iter_rows())
        own = keys.filter(pl.col("source") != AGAINST, ~pl.col("protect"))
        drops = own.filter(pl.col("first").is_in(list(held))).select(
            "row",
            reason=pl.lit("length"),
            score=pl.col("first").cast(pl.Float64),
            kept=pl.col("first").replace_strict(held, return_dtype=pl.Int64),
            match=pl.lit(None, pl.String),
        )
        hits = own.select(
            "row",
            reason=pl.lit("seen"),
            side=pl.lit("dialogue"),
            turn=pl.lit(0, pl.Int32),
            start=pl.lit(0, pl.Int32),
            end=pl.lit(3, pl.Int32),
            match=pl.lit("Ask"),
        )
        summed = pl.DataFrame({"texts": [int(totals["texts"][0])]})
        return Resolved(
            drops.cast(DROP_COLUMNS), hits.cast(HIT_COLUMNS), {"rows": own.select("row", "first"), "totals": summed}
        )


def test_a_group_gets_all_it_signed_and_the_folder_all_it_says(tmp_path: Path) -> None:
    held = write_lines(tmp_path / "held.jsonl", [chat("Ask 7?", "Held.", id="h7"), chat("Ask 7000000?", "Held.")])
    step = Rarest(others=(files(held, "messages"),), allow_large_drop=True)
    rows = [*chats(5), *chats(5, start=100), *chats(3, start=98_000)]
    done = built(tmp_path / "out", source("a", rows), source("b", chats(4, 1_000), protect=True), steps=(step,))
    dropped = done.dropped("rarest")
    assert dropped["match"].unique().to_list() == ["against/held.jsonl/h7"]
    assert dropped["score"].unique().to_list() == [6.0]
    assert sorted(row["content"] for [row, _] in dropped["messages"]) == [f"Ask {i}?" for i in range(5)]
    assert done.funnel.filter(source="a")["rarest"].item() == 5
    ledger = done.ledger.collect()
    seen = ledger.filter(source="a")["evidence"].to_list()
    hit = {"step": "rarest", "reason": "seen", "side": "dialogue", "turn": 0, "start": 0, "end": 3, "match": "Ask"}
    assert all(hits == [hit] for hits in seen)
    assert ledger.filter(source="b")["evidence"].list.len().sum() == 0
    table = pl.read_parquet(tmp_path / "out" / "steps" / "rarest" / "rows.parquet")
    assert table.columns == ["source", "id", "first"]
    assert sorted(table["id"]) == sorted(ledger.filter(source="a")["id"])
    assert pl.read_parquet(tmp_path / "out" / "steps" / "rarest" / "totals.parquet").item() == 2 * len(rows) + 8 + 4


def test_rows_dropped_by_a_filter_do_not_reach_a_group(tmp_path: Path) -> None:
    held = of_rows([chat("Ask 7?", "Held.")])
    steps = (shape(max_words=4), Rarest(others=(held,), allow_large_drop=True), exact_dedup())
    rows: list[Row] = [
        chat("Ask 1?", "One."),
        chat("Ask 2?", "Two or three or four."),
        chat("Ask?", "Yes."),
        chat("ASK?", "Yes."),
    ]
    done = built(tmp_path / "out", source("a", rows), steps=steps)
    total = done.funnel.filter(source="total").to_dicts()[0]
    assert (total["shape"], total["rarest"], total["exact_dedup"], total["kept"]) == (1, 1, 1, 1)
    assert check(Mixture("mix", (source("a", rows),), steps)).sources[0].steps[1].rows == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_no_order_changes_what_groups_decide(tmp_path: Path, threads: int) -> None:
    held = write_lines(tmp_path / "held.jsonl", chats(2))
    rows = chats(40)
    folders = []
    for number, order in enumerate((rows, rows[::-1], rows[20:] + rows[:20])):
        step = Rarest(others=(files(held, "messages"),), allow_large_drop=True)
        path = tmp_path / f"{number}.jsonl"
        write_lines(path, order)
        done = built(
            tmp_path / f"out{number}",
            source("a", files(path, "messages")),
            steps=(step,),
            threads=threads,
            test=Fraction(0.2),
        )
        folders.append({name: sha for name, sha in hashes(done.path).items() if name.startswith("data/")})
    assert folders[0] == folders[1] == folders[2]


def test_lists_come_in_the_order_asked_for() -> None:
    batches = [
        MemoryKeys(2, {"x": GroupKeys({}, {"l": pa.array([[1], [2, 2]])})}),
        MemoryKeys(1, {}),
        MemoryKeys(3, {"x": GroupKeys({}, {"l": pa.array([[], [3], [4, 4]])})}),
    ]
    lists = StoredLists(batches, "x", np.array([0, 1, 3, 4, 5]))
    assert lists.read("l", np.array([4, 0, 3, 1, 4])).to_pylist() == [[4, 4], [1], [3], [2, 2], [4, 4]]
    assert lists.read("l", np.zeros(0, np.int64)).to_pylist() == []


def test_readers_of_a_step_that_left_nothing_say_so(tmp_path: Path) -> None:
    done = built(tmp_path / "out", source("a", chats(5)), steps=(exact_dedup(),))
    with pytest.raises(CallError, match=r"step 'exact_dedup' has no contamination; steps that have: none"):
        done.hits("exact_dedup")
    with pytest.raises(CallError, match=r"step 'exact_dedup' has no signatures; steps that have: none"):
        done.signatures("exact_dedup")
    with pytest.raises(CallError, match="no step 'dedup'"):
        done.overlap("dedup")
    assert done.overlap("exact_dedup").height == done.clusters("exact_dedup").height == 0


def test_rows_that_a_later_step_would_drop_too_are_written_once(tmp_path: Path) -> None:
    """They are stored with those that filters dropped, wherever the other rows are."""
    rows = [chat("Same?", "x" * (i % 2)) for i in range(8)]
    steps = (exact_dedup(on="prompt", allow_large_drop=True), shape(min_characters=50, allow_large_drop=True))
    for name, held in (("file", files(write_lines(tmp_path / "a.jsonl", rows), "messages")), ("frame", of_rows(rows))):
        done = built_empty(tmp_path / name, source("s", held), steps=steps)
        assert done.dropped("exact_dedup").height == 7
        assert done.dropped("shape").height == 1
        assert pl.read_parquet(done.path / "dropped" / "*.parquet").height == 8
