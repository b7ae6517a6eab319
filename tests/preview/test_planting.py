"""Texts planted into copies of rows: each way says what it says, for every kind of row and every `on`."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.kernels.buffers import view
from curate.preview.planting import (
    AROUND,
    CARRIED,
    CARRIERS,
    CASED,
    CHANGED,
    CHANGED_SHORT,
    MANY,
    THIRD,
    VERBATIM,
    WAYS,
    WITHIN,
    Planted,
    plant,
)
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import On, segments, select
from curate.text.ngrams import hash_words
from curate.text.normal import normalise

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


def message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def body(kind: Kind, count: int = 3, text: str = "Own {}.") -> pa.RecordBatch:
    """Return rows of three turns: system, user, assistant."""
    rows: list[dict[str, Any]] = []
    for n in range(count):
        asked = [message("system", f"Be {n}."), message("user", text.format(n))]
        said = [message("assistant", f"Said {n}.")]
        scored = [{"content": f"Said {n}.", "model": "m", "scores": []}]
        each: dict[Kind, dict[str, Any]] = {
            "conversation": {"messages": asked + said, "meta": "{}"},
            "rated": {"messages": asked, "completions": scored, "meta": "{}"},
            "preference": {"prompt": asked, "chosen": said, "rejected": said, "meta": "{}"},
        }
        rows.append(each[kind])
    return pa.RecordBatch.from_pylist(rows, BODIES[kind])


def planted(bodies: list[pa.RecordBatch], on: On, *texts: str) -> Planted:
    found = plant(bodies, on, pa.array(texts, pa.string()), np.arange(3, 3 + len(texts), dtype=np.uint64))
    assert found is not None
    return found


def rows_of(found: Planted, way: str) -> dict[int, dict[str, Any]]:
    """Return the rows of one way, by the number of the text."""
    rows = found.body.to_pylist()
    return {int(found.text[i]): rows[i] for i in np.flatnonzero(found.way == WAYS.index(way))}


USERS: On = frozenset({"user"})


def test_each_way_says_the_text_as_it_should() -> None:
    found = planted([body("conversation")], USERS, LONG, "Who built it?")
    turns = {way: [row["messages"] for row in rows_of(found, way).values()] for way in WAYS}
    own = [message("system", "Be 0."), message("assistant", "Said 0.")]
    assert turns[VERBATIM][0] == [own[0], message("user", LONG), own[1]]
    assert turns[CASED][0] == [own[0], message("user", LONG.upper()), own[1]]
    assert turns[WITHIN][0] == [own[0], message("user", f"Own 0. {LONG} Own 0."), own[1]]
    assert turns[THIRD][1] == [message("system", "Be 1."), message("user", "Own 1."), message("user", "Who built it?")]
    assert turns[CHANGED][0][1]["content"].split() == LONG.replace("four", "otherwise").split()
    assert turns[CHANGED_SHORT][0][1]["content"].split() == ["Who", "otherwise", "it?"]
    assert len(turns[CHANGED]) == len(turns[CHANGED_SHORT]) == 1


@pytest.mark.parametrize("kind", ["conversation", "rated", "preference"])
@pytest.mark.parametrize(
    "on", [USERS, frozenset({"assistant"}), "all", "prompt", "first_user", "response", "chosen", "rejected"]
)
def test_a_step_reads_what_is_planted_for_it(kind: Kind, on: On) -> None:
    rows = body(kind)
    reads = bool(select(segments(rows), on).parts)
    texts = pa.array([LONG, "Who built it?"])
    found = plant([rows], on, texts, np.zeros(2, np.uint64))
    assert (found is not None) == reads
    if found is None:
        return
    assert found.body.schema.equals(BODIES[kind])
    found.body.validate(full=True)
    seen = dict.fromkeys(range(found.body.num_rows), "")
    for part in select(segments(found.body), on).parts:
        read = pl.Series(
            pa.StringArray.from_buffers(len(part.text), pa.py_buffer(part.text.offsets), pa.py_buffer(part.text.data))
        )
        for row, text in zip(part.row.tolist(), read.gather(part.index), strict=True):
            seen[row] += f"\n{text}"
    for i, said in seen.items():
        way = WAYS[found.way[i]]
        text = texts[int(found.text[i])].as_py()
        if way == CASED:
            assert text.upper() in said
        elif way in {VERBATIM, WITHIN, THIRD}:
            assert text in said
        else:
            assert "otherwise" in said


def test_turn_three_is_planted_only_where_it_is_read() -> None:
    ways = {
        on: {WAYS[way] for way in planted([body("conversation")], on, LONG).way} for on in ("first_user", "response")
    }
    assert THIRD not in ways["first_user"]
    assert THIRD in ways["response"]
    assert THIRD in {WAYS[way] for way in planted([body("preference")], "prompt", LONG).way}


def test_rows_of_one_turn_are_filled_up_to_turn_three() -> None:
    rows = pa.RecordBatch.from_pylist([{"messages": [message("user", "Own.")], "meta": "{}"}], BODIES["conversation"])
    assert rows_of(planted([rows], USERS, LONG), THIRD)[0]["messages"] == [
        message("user", "Own."),
        message("assistant", "Hello."),
        message("user", LONG),
    ]


def test_rows_without_a_turn_to_plant_in_carry_nothing() -> None:
    system = pa.RecordBatch.from_pylist(
        [{"messages": [message("system", "Hm.")], "meta": "{}"}], BODIES["conversation"]
    )
    empty = body("conversation", 0)
    texts, seed = pa.array([LONG]), np.zeros(1, np.uint64)
    assert plant([system, empty], USERS, texts, seed) is None
    assert plant([], USERS, texts, seed) is None
    found = plant([empty, system, body("conversation")], USERS, texts, seed)
    assert found is not None


def test_large_rows_carry_only_where_there_are_no_others() -> None:
    big = body("conversation", 2, "Big {}. " + "x" * CARRIED)
    mixed = pa.concat_batches([big, body("conversation", 200)])
    found = planted([mixed], USERS, *([LONG] * 300))
    assert not any("Big" in str(row) for row in rows_of(found, WITHIN).values())
    owns = {row["messages"][1]["content"].split(" one ")[0] for row in rows_of(found, WITHIN).values()}
    assert owns == {f"Own {n}." for n in range(CARRIERS)}
    alone = rows_of(planted([big], USERS, LONG), WITHIN)[0]["messages"][1]["content"]
    assert len(alone) == len(LONG) + 2 * AROUND + 2


LETTERS = st.sampled_from([*"ab zß?½ı\n", "İ", "你", "é", "e\u0301", "한", "\u200d", "’"])


@given(st.lists(st.lists(LETTERS, max_size=40).map("".join), min_size=1, max_size=5))
def test_whatever_the_text_it_is_there_in_normal_form(texts: list[str]) -> None:
    found = planted([body("conversation")], USERS, *texts)
    every = np.arange(len(texts), dtype=np.int32)
    words = np.diff(hash_words(view(pa.array(texts, pa.string())), every).offsets)
    normal = normalise(pa.array(texts, pa.string())).to_pylist()
    for way in (VERBATIM, CASED):
        said = [row["messages"][1]["content"] for row in rows_of(found, way).values()]
        assert normalise(pa.array(said, pa.string())).to_pylist() == normal
    for way, wanted in ((CHANGED, words >= MANY), (CHANGED_SHORT, (words > 1) & (words < MANY))):
        assert sorted(rows_of(found, way)) == np.flatnonzero(wanted).tolist()


def test_one_word_changes_and_no_other() -> None:
    texts = [LONG, "你好世界", "don't you know it's 3.5?", "otherwise OTHERWISE"]
    found = planted([body("conversation")], USERS, *texts)
    rows = {**rows_of(found, CHANGED), **rows_of(found, CHANGED_SHORT)}
    for number, text in enumerate(texts):
        both = pa.array([text, rows[number]["messages"][1]["content"]])
        words = hash_words(view(both), np.arange(2, dtype=np.int32))
        before, after = (words.hashes[words.offsets[i] : words.offsets[i + 1]] for i in range(2))
        assert len(before) == len(after)
        assert (before != after).sum() == 1
