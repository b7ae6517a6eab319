"""Lengths that follow a reference: the choices are those of exact fractions, and off by less than a row a bin."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.evalsets.evals import evals
from curate.io.inputs import files
from curate.kernels.buffers import frozen
from curate.mix.amounts import Rows
from curate.mix.spec import Source
from curate.mix.takes._deficit_kernel import follow
from curate.mix.takes.length_matched import EDGES, LABELS, LengthMatched, _bins
from curate.mix.takes.selection import NO_LIMIT, Budget
from curate.mixture import Mixture
from tests.bench.bench_diverse import real_rows
from tests.reference import length_matched as reference
from tests.support.build_data import chat, write_lines
from tests.support.choices import choose

ANYWHERE = files("chats.jsonl")
BIN = st.tuples(st.integers(0, 6), st.integers(0, 2))
MANY = 100


def chosen(rows: Sequence[tuple[int, int]], to: Sequence[tuple[int, int]], most: int) -> list[int]:
    every = [*rows, *to]
    length, kind = (np.array([one[i] for one in every], np.uint8) for i in (0, 1))
    bins, _ = _bins(length, kind, np.arange(len(every)) >= len(rows))
    return follow(bins, frozen(np.ones(len(every), np.int64)), most, NO_LIMIT).tolist()


@given(st.lists(BIN, max_size=40), st.lists(BIN, min_size=1, max_size=20))
def test_it_chooses_as_exact_fractions_do(rows: list[tuple[int, int]], to: list[tuple[int, int]]) -> None:
    expected = reference.follow(rows, to, len(rows))
    assert chosen(rows, to, len(rows)) == expected
    assert chosen(rows, to, 7) == expected[:7]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_every_start_is_off_by_no_more_than_rounding(shares: list[int]) -> None:
    """No bin has a whole row more than its share, and all together are off by at most half a row for each bin."""
    to = [(k, 0) for k, count in enumerate(shares) for _ in range(count)]
    rows = [(k, 0) for k in range(len(shares)) for _ in range(MANY)]
    order = chosen(rows, to, MANY)
    for t in range(1, MANY + 1):
        count = Counter(rows[i][0] for i in order[:t])
        off = [count[k] - t * share / len(to) for k, share in enumerate(shares)]
        assert max(off) < 1
        assert sum(map(abs, off)) / 2 <= len(shares) / 2
    assert sum(shares) != len(order) or [Counter(rows[i][0] for i in order)[k] for k in range(len(shares))] == shares


def test_what_the_source_lacks_goes_to_the_nearest_length() -> None:
    rows = [(1, 0)] * 50 + [(4, 0)] * 50 + [(4, 1)] * 50
    near = Counter(rows[i] for i in chosen(rows, [(2, 0)] * 3 + [(5, 1)], 40))
    assert near == {(1, 0): 30, (4, 1): 10}, "by length, then of the same kind"
    tie = Counter(rows[i] for i in chosen([(1, 0), (3, 0)] * 50, [(2, 0)], 10))
    assert len(tie) == 1
    run_out = [(1, 0)] * 5 + [(2, 0)] * 50 + [(6, 0)] * 50
    found = Counter(run_out[i] for i in chosen(run_out, [(1, 0), (6, 0)], 60))
    assert found == {(1, 0): 5, (2, 0): 25, (6, 0): 30}


def test_bins_are_powers_of_the_root_of_two() -> None:
    assert LABELS[:9] == ["0", "1", "2", "3", "4-5", "6-7", "8-11", "12-15", "16-22"]
    assert all(least**2 >= 2**k > (least - 1) ** 2 for k, least in ((9, 23), (12, 64), (13, 91)) if least in EDGES)
    assert {23, 64, 91} <= set(EDGES.tolist())


def test_answers_of_each_type_of_prompt() -> None:
    maths, chats = "What is 3 + 4 * 2 = ?", [["Write a poem.", "x" * 70], ["What is 2 + 2 = ?", "x" * 70]] * 5
    found = choose(LengthMatched(4, to=ANYWHERE), chats, Budget(rows=4), [[maths, "y" * 80]])
    assert found.lines.tolist() == [1, 3, 5, 7]
    assert found.why.row(0, named=True) == {"length": "64-90", "type": "maths", "share": 1.0}
    every = choose(LengthMatched(4, to=ANYWHERE, by_type=False), chats, Budget(rows=4), [[maths, "y" * 80]])
    assert every.lines.tolist() == [0, 1, 2, 3]
    assert every.why.columns == ["length", "share"]
    tokens = choose(LengthMatched(4, to=ANYWHERE), chats, Budget(tokens=15), [[maths, "y" * 80]])
    assert tokens.lines.tolist() == [1, 3]


def test_one_query_and_texts_at_the_edge(edge_text: str) -> None:
    chats = [[edge_text, "So."], ["Ask?", edge_text], ["", ""]]
    found = choose(LengthMatched(3, to=ANYWHERE), chats, Budget(rows=3), [["Ask?", "four"]])
    assert sorted(found.lines.tolist()) == [0, 1, 2]
    assert sorted(choose(LengthMatched(3, to=ANYWHERE), chats, Budget(rows=3), [["", edge_text]]).lines) == [0, 1, 2]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(MixtureError, match=r"LengthMatched\(to=evals\('gsm8k'\)\)"):
        LengthMatched(1, to=evals("gsm8k"))  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match="on='nowhere'"):
        LengthMatched(1, to=ANYWHERE, on="nowhere")  # type: ignore[arg-type]


def test_answers_of_a_mixed_pool_follow_those_of_lima(
    real_data: Path, real_file: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = [row for row in real_rows(real_data / "sft") if row[0].strip() and row[1].strip()][::20]
    path = write_lines(tmp_path / "pool.jsonl", [chat(ask, say, id=f"r{i}") for i, (ask, say, *_) in enumerate(rows)])
    lima = json.loads(real_file("sft/lima.json").read_bytes())
    to = write_lines(tmp_path / "lima.jsonl", [chat(row["instruction"], row["output"]) for row in lima])
    say = [one[1] for one in rows]

    def off(lengths: list[int]) -> float:
        found, wanted = (Counter(np.searchsorted(EDGES, each, side="right").tolist()) for each in (lengths, aim))
        return sum(abs(found[k] / found.total() - wanted[k] / wanted.total()) for k in {*found, *wanted}) / 2

    aim = [len(row["output"]) for row in lima]
    distance = {}
    for take in (LengthMatched(100, to=files(to, "messages")), Rows(100)):
        mixture = Mixture("lengths", [Source("pool", files(path, "messages"), take=take)], [])
        built = mixture.build(tmp_path / "b", overwrite=True, quiet=True)
        ids = built.ledger.filter(pl.col("fate") == "kept").select("id").collect()["id"].to_list()
        distance[type(take).__name__] = off([len(say[int(one[1:])]) for one in ids])
    print(f"\ntotal variation to the lengths of LIMA, 100 of {len(rows):,} rows: {distance}")  # noqa: T201
    assert distance["LengthMatched"] < distance["Rows"] / 3
