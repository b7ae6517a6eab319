"""`exact_dedup` keeps the rows that its slow definition keeps, whatever the order of the input."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.barrier import StoredLists
from curate.errors import MixtureError
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import Segments, segments
from curate.steps.base import DROP_COLUMNS
from curate.steps.dedup.exact_dedup import ExactDedup, Keep, exact_dedup
from tests.reference.exact_dedup import Entry, survivors
from tests.reference.normal import normal

TEXTS = st.sampled_from(["", " ", "a", "A", " a ", "ab", "b", "e\u0301", "É", "don’t", "DON'T", "ﬁ", "fi"])
TURNS = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant", "system"]), TEXTS
)
ENTRIES = st.lists(
    st.builds(
        lambda source, rank, protect, messages: (source, rank, protect, messages),
        st.integers(0, 2),
        st.integers(0, 2**64 - 1),
        st.sampled_from([False, False, False, True]),
        st.lists(TURNS, max_size=3),
    ),
    max_size=12,
).map(lambda fields: [Entry(row, *rest) for row, rest in enumerate(fields)])


def body(rows: list[dict[str, Any]], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def keys_of(step: ExactDedup, entries: list[Entry]) -> pl.DataFrame:
    """What the build hands to `resolve`, had these rows come as one batch."""
    signed = step.sign(segments(body([{"messages": entry.messages} for entry in entries]), step.reads))
    return pl.DataFrame(
        {
            "row": pl.Series([entry.row for entry in entries], dtype=pl.UInt32),
            "source": pl.Series([entry.source for entry in entries], dtype=pl.UInt16),
            "rank": pl.Series([entry.rank for entry in entries], dtype=pl.UInt64),
            "protect": pl.Series([entry.protect for entry in entries], dtype=pl.Boolean),
            **{name: pl.Series(column) for name, column in signed.columns.items()},
        }
    )


def dropped(step: ExactDedup, keys: pl.DataFrame) -> dict[int, int]:
    answer = step.resolve(keys, StoredLists([], "", np.zeros(0, np.int64)), {}).drops
    assert answer.schema == DROP_COLUMNS
    assert answer["reason"].eq("duplicate").all()
    assert answer["score"].eq(1.0).all()
    return dict(answer.select("row", "kept").iter_rows())


def groups(step: ExactDedup, batch: pa.RecordBatch) -> list[int | None]:
    """Number the rows by their hash; None for a row without text."""
    signed = step.sign(segments(batch, step.reads)).columns
    hashes = list(zip(signed["high"].tolist(), signed["low"].tolist(), strict=True))
    return [None if each == (0, 0) else hashes.index(each) for each in hashes]


@pytest.mark.parametrize("keep", ["first", "longest", "shortest"])
@pytest.mark.parametrize("on", ["all", "response", "user"])
@given(entries=ENTRIES)
def test_the_dropped_rows_are_those_defined(on: str, keep: Keep, entries: list[Entry]) -> None:
    step = exact_dedup({"user"} if on == "user" else on, keep=keep)
    assert dropped(step, keys_of(step, entries)) == survivors(entries, on, keep)


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_batches_decide_nothing(entries: list[Entry], chance: random.Random, size: int) -> None:
    entries = [entry._replace(rank=hash((17, entry.row)) & (2**64 - 1)) for entry in entries]
    step = exact_dedup(keep="longest")
    mixed = chance.sample(entries, len(entries))
    numbered = [entry._replace(row=place) for place, entry in enumerate(mixed)]
    split = [keys_of(step, numbered[start : start + size]) for start in range(0, len(numbered), size)]
    found = dropped(step, pl.concat(split)) if split else {}
    assert {mixed[row].row: mixed[kept].row for row, kept in found.items()} == dropped(step, keys_of(step, entries))


def test_turn_role_and_side_boundaries_count() -> None:
    user, other = {"role": "user", "content": "ab"}, {"role": "assistant", "content": "ab"}
    pair = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert groups(exact_dedup(), body([{"messages": turns} for turns in ([user], [other], pair, [user])])) == [
        0,
        1,
        2,
        0,
    ]
    answers: list[tuple[list[Any], list[Any], list[Any]]] = [
        ([user], [other], []),
        ([user], [], [other]),
        ([user, other], [], []),
        ([user], [other], []),
    ]
    rows = [{"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in answers]
    assert groups(exact_dedup(), body(rows, "preference")) == [0, 1, 2, 0]


def test_a_prompt_is_a_prompt_in_every_row_kind() -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    step = exact_dedup("prompt")
    rows: list[tuple[Kind, dict[str, Any]]] = [
        ("conversation", {"messages": turns}),
        ("rated", {"messages": turns[:1], "completions": [{"content": "So.", "model": "", "scores": []}]}),
        ("preference", {"prompt": turns[:1], "chosen": turns[1:], "rejected": turns[1:]}),
    ]
    signed = [step.sign(segments(body([row], kind), step.reads)).columns for kind, row in rows]
    assert len({(keys["high"][0], keys["low"][0]) for keys in signed}) == 1


def test_rows_without_text_stay() -> None:
    rows = [
        {"messages": turns} for turns in ([], [{"role": "user", "content": " \n"}], [{"role": "user", "content": ""}])
    ]
    assert groups(exact_dedup(), body(rows)) == [None, None, None]
    talk = [{"role": "user", "content": "Hi"}]
    assert groups(exact_dedup("response"), body([{"messages": talk}] * 2)) == [None, None]


def test_no_rows() -> None:
    keeps: tuple[Keep, ...] = ("first", "longest")
    for keep in keeps:
        step = exact_dedup(keep=keep)
        assert {len(column) for column in step.sign(Segments(0, ())).columns.values()} == {0}
        assert dropped(step, keys_of(step, [])) == {}


def test_longest_is_the_longest_row_not_the_longest_prompt() -> None:
    ask = {"role": "user", "content": "Why?"}
    entries = [
        Entry(row, 0, 9 - row, protect=False, messages=[ask, {"role": "assistant", "content": "so " * size}])
        for row, size in enumerate((1, 9, 3))
    ]
    step = exact_dedup("prompt", keep="longest")
    assert dropped(step, keys_of(step, entries)) == {0: 1, 2: 1}


def test_texts_at_the_edge(edge_text: str) -> None:
    rows = [
        {"messages": [{"role": "user", "content": text}]} for text in (edge_text, edge_text + "\n", "x" + edge_text)
    ]
    first, second, third = groups(exact_dedup(), body(rows))
    assert (first, second) == ((0, 0) if normal(edge_text) else (None, None))
    assert third == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keep": "last"}, r"keep='last'.*(did you mean|known)"),
        ({"on": "everything"}, "is no scope"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        exact_dedup(**wrong)


def test_alpaca_files_overlap_as_a_plain_set_says(real_file: Callable[[str], Path]) -> None:
    names = (
        "alpaca_random_9k",
        "alpaca_cleaned_1000",
        "alpagasus_claude_t45",
        "alpagasus_helpfulness_t45",
        "cherry_alpaca_5pct",
    )
    entries: list[Entry] = []
    seen: set[tuple[str, str, str]] = set()
    for source, name in enumerate(names):
        for row in json.loads(real_file(f"sft/{name}.json").read_bytes()):
            seen.add((normal(row["instruction"]), normal(row.get("input") or ""), normal(row["output"])))
            roles = {"system": row["instruction"], "user": row.get("input") or "", "assistant": row["output"]}
            messages = [{"role": role, "content": text} for role, text in roles.items()]
            entries.append(Entry(len(entries), source, len(entries), protect=False, messages=messages))
    keeps: tuple[Keep, ...] = ("first", "longest")
    for keep in keeps:
        step = exact_dedup(keep=keep)
        found = dropped(step, keys_of(step, entries))
        assert len(found) == len(entries) - len(seen) > 1000
        assert found == survivors(entries, "all", keep)
    assert all(entries[kept].source <= entries[row].source for row, kept in found.items())
