"""The law of groups that decide on each row alone: known decisions hold where other rows reach them."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from polars.testing import assert_frame_equal

import curate as c
from curate.engine.barrier import GroupPlace, MemoryKeys, Reached, decide
from curate.rows.segments import segments
from curate.steps.base import Group, Resolved, Step
from curate.steps.decontaminate.decontaminate import Decontaminate
from curate.steps.row_by_row import RowByRow
from tests.laws.test_from import counted, made
from tests.laws.test_recut import near
from tests.laws.test_steps import BATCHES, DEMO, EVALS, STEPS, of_kind, step_of
from tests.support.build_data import Row, chat, hashes, write_lines
from tests.support.examples import part_of_examples

ALONE: Final = [name for name in of_kind(Group) if name in STEPS and isinstance(step_of(name), RowByRow)]


def test_decontamination_is_among_them() -> None:
    assert "decontaminate" in ALONE


def decided(step: RowByRow, keys: MemoryKeys, row: NDArray[np.int64], totals: dict[str, NDArray[np.int64]]) -> Resolved:
    protect = row % 5 == 4
    reached = Reached(row, np.zeros(len(row), np.int16), row.astype(np.uint64), protect, None)
    return decide(GroupPlace("", step, np.zeros(1, np.int16)), [keys], reached, (), keys.rows, totals)


@pytest.mark.parametrize("name", ALONE)
@part_of_examples(0.4)
@given(body=BATCHES, chance=st.randoms(use_true_random=False))
def test_parts_make_the_whole(name: str, body: pa.RecordBatch, chance: random.Random) -> None:
    step = step_of(name)
    assert isinstance(step, RowByRow)
    signed = step.sign(segments(body, step.reads, step.reads_parts))
    keys = MemoryKeys(body.num_rows, {"": signed})
    rows = np.arange(body.num_rows)
    part = np.array([chance.randrange(3) for _ in range(body.num_rows)], np.int64)
    whole = decided(step, keys, rows, dict(signed.totals))
    answers = [decided(step, keys, rows[part == number], dict(signed.totals)) for number in range(3)]
    joined = step.joined(answers)
    assert_frame_equal(joined.drops, whole.drops)
    assert_frame_equal(joined.hits, whole.hits)
    assert joined.tables.keys() == whole.tables.keys()
    for table, found in whole.tables.items():
        assert_frame_equal(joined.tables[table], found)


SHAPE: Final = c.shape(min_words=22, unanswered=True)
STRICT: Final = replace(SHAPE, min_words=24)
LOOSE: Final = replace(SHAPE, min_words=17)
NEAR: Final = c.dedup(threshold=0.5, ngram=2)
ANSWERS: Final = c.evals.files(DEMO, question="answer", id="id", name="pellow")
SEARCH: Final = c.decontaminate(EVALS, ngram=3)
LATE: Final = (c.truecase(), SHAPE, c.exact_dedup("prompt"), NEAR, SEARCH)

CHANGES: Final[dict[str, tuple[Sequence[Step], Sequence[Step]]]] = {
    "rows leave": (LATE, (LATE[0], STRICT, *LATE[2:])),
    "rows enter": (LATE, (LATE[0], LOOSE, *LATE[2:])),
    "all rows leave": (LATE, (LATE[0], replace(SHAPE, min_words=999), *LATE[2:])),
    "all rows enter": ((LATE[0], replace(SHAPE, min_words=999), *LATE[2:]), LATE),
    "a filter is new": (LATE, (*LATE[:2], c.refusals(), *LATE[2:])),
    "a filter is gone": (LATE, (LATE[0], *LATE[2:])),
    "a filter behind it": ((*LATE, c.shape(max_turns=3)), (LATE[0], STRICT, *LATE[2:], c.shape(max_turns=4))),
    "a group is moved": (LATE, (*LATE[:3], SEARCH, NEAR)),
    "another group": (LATE, (*LATE[:2], c.exact_dedup("prompt", keep="longest"), *LATE[3:])),
    "two searches": (
        (*LATE, replace(SEARCH, ngram=5)),
        (LATE[0], LOOSE, *LATE[2:], replace(SEARCH, ngram=5)),
    ),
    "flags": ((*LATE[:4], replace(SEARCH, mode="flag")), (LATE[0], LOOSE, *LATE[2:4], replace(SEARCH, mode="flag"))),
}
ALL_AGAIN: Final[dict[str, tuple[Sequence[Step], Sequence[Step]]]] = {
    "an edit is new": (LATE, (c.secrets_and_pii("mask"), *LATE[:1], LOOSE, *LATE[2:])),
    "an edit is gone": (LATE, (LOOSE, *LATE[2:])),
    "an edit behind it": (LATE, (LATE[0], LOOSE, *LATE[2:], c.secrets_and_pii("mask"))),
    "another setting": (LATE, (LATE[0], LOOSE, *LATE[2:4], replace(SEARCH, threshold=0.6))),
    "other eval sets": (LATE, (LATE[0], LOOSE, *LATE[2:4], c.decontaminate(ANSWERS, ngram=3))),
}
OTHER: Final = ("in place", "order", "one row less", "seed", "protect", "sources", "hits", "totals")


def lay(folder: Path, kind: str) -> list[c.Source]:
    """Return two sources, one of them protected: rows that stay lines of their files, or rows of a table."""
    found = [*near(90), *near(20), *edited_rows(), *asked_rows()]
    frame, path = pl.DataFrame(found), folder / "rows.jsonl"
    write_lines(path, found)
    main = c.files(path) if kind == "lines" else c.frame(frame)
    return [c.Source("main", main), c.Source("side", c.frame(frame.head(30)), protect=True, take=c.Rows(20))]


def edited_rows() -> list[Row]:
    """Return rows that truecase() changes, so that their lines do not say what the search saw."""
    return [{**row, "messages": [*row["messages"], *turns(number)]} for number, row in enumerate(near(25))]


def asked_rows() -> list[Row]:
    """Return rows with the question of an eval item, of about as many words as `SHAPE` allows."""
    chance, found = random.Random(3), []
    for question in pl.read_ndjson(DEMO)["question"].to_list() * 2:
        words = " ".join(f"w{chance.randrange(999)}" for _ in range(chance.randrange(2, 24)))
        found.append(chat(f"{words}. {question}", words))
    return found


def turns(number: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"i do. how is it? {number}"},
        {"role": "assistant", "content": "it is so. i know."},
    ]


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("kind", ["lines", "table"])
@pytest.mark.parametrize("name", CHANGES)
def test_only_rows_on_which_nothing_was_decided_are_searched(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, (before, now) = lay(tmp_path, kind), CHANGES[name]
    first = made(tmp_path / "first", given, before)
    nothing = made(tmp_path / "nothing", given, now)
    assert hashes(first) != hashes(nothing)
    calls = counted(monkeypatch, Decontaminate)
    again = made(tmp_path / "again", given, now, first)
    old, new = (c.Build(made).ledger.collect() for made in (first, nothing))
    reached = [~ledger["step"].fill_null("").str.contains("shape$|refusals|dedup") for ledger in (old, new)]
    if name not in {
        "a filter behind it",
        "a group is moved",
        "two searches",
    }:  # where other steps are behind the search
        assert sum(calls) == (reached[1] & ~reached[0]).sum()
    assert sum(calls) > 0 or name not in {"rows enter", "all rows enter", "a filter is gone"}
    assert (old["step"] == "decontaminate").any() or name in {"all rows enter", "flags"}  # the test is of hits
    assert sum(calls) < len(old) * len([step for step in now if isinstance(step, Decontaminate)])
    assert hashes(again) == hashes(nothing)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("name", ALL_AGAIN)
def test_all_rows_are_searched_again_where_texts_or_the_search_change(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, (before, now) = lay(tmp_path, "lines"), ALL_AGAIN[name]
    first = made(tmp_path / "first", given, before)
    calls = counted(monkeypatch, Decontaminate)
    again = made(tmp_path / "again", given, now, first)
    assert sum(calls) >= len(c.Build(first).ledger.collect())
    assert hashes(again) == hashes(made(tmp_path / "nothing", given, now))


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    "change", ["in place", "order", "one row less", "seed", "protect", "sources", "hits", "totals"]
)
def test_all_rows_are_searched_again_where_rows_or_tables_are_not_as_they_were(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, path, seed = lay(tmp_path, "lines"), tmp_path / "rows.jsonl", 0
    first, lines = made(tmp_path / "first", given, LATE), path.read_bytes().splitlines(keepends=True)
    stamp = path.stat()
    match change:
        case "in place":  # the same size and time, another word
            lines[0] = lines[0].replace(b"o", b"e", 1)
            assert lines != path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(lines))
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        case "order":
            path.write_bytes(b"".join(lines[::-1]))
        case "one row less":
            path.write_bytes(b"".join(lines[:-1]))
        case "seed":
            seed = 9
        case "protect":
            given[0] = replace(given[0], protect=True)
        case "sources":
            given.reverse()
        case _:
            (first / "steps" / "decontaminate" / f"{change}.parquet").write_bytes(b"")
    calls = counted(monkeypatch, Decontaminate)
    now = (LATE[0], LOOSE, *LATE[2:])
    again = made(tmp_path / "again", given, now, first, seed=seed)
    assert sum(calls) >= len(lines) - 1
    assert hashes(again) == hashes(made(tmp_path / "nothing", given, now, seed=seed))
