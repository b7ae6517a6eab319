"""`repetition` drops loops of a model, leaves refrains, tables and sums, and says what repeats and where."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.rows.schema import BODIES
from curate.rows.segments import SIDES, Segments, segments
from curate.steps.base import decide
from curate.steps.filters._times import TIMES
from curate.steps.filters.repetition import PRESETS, Repetition, repetition
from curate.text.repetition import SCORES
from tests.reference.contamination import split
from tests.reference.repeats import repeats

LOOP = "The herbs were chopped and then added to the pot. "
REFRAIN = "".join(
    f"Verse {i} tells of place number {i} and what somebody named {name} did there\n"
    f"before the {thing} came along and carried it over to the other side\n\n"
    "Oh, we sing of the road and the river below\nand of all that we loved and we had to let go\n\n"
    for i, (name, thing) in enumerate([("Ann", "wind"), ("Bo", "tide"), ("Cid", "mail")])
)


def answers(*texts: str | None) -> pa.RecordBatch:
    rows = [{"messages": [{"role": "assistant", "content": text}], "meta": "{}"} for text in texts]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def reasons(step: Repetition, batch: pa.RecordBatch) -> list[str | None]:
    found = decide(step.score(segments(batch, step.reads)), step.bounds(), batch.num_rows)
    return [step.bounds()[place].reason if place >= 0 else None for place in found.bound]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LOOP * 12, "duplicate_5grams"),
        ((LOOP.strip() + "\n") * 12, "duplicate_lines"),
        ("Same paragraph\nin two lines.\n\n" * 8, "duplicate_lines"),
        ("na " * 60, "top_2gram"),
        ("我不知道该怎么回答这个问题。" * 20, "duplicate_5grams"),
        (REFRAIN, None),
        ("yes yes yes yes", None),
        ("No.\nNo.\nYes.\nNo.", None),
        ("| a | b |\n| --- | --- |\n" + "".join(f"| {i} | {i * i} |\n" for i in range(30)), None),
        ("".join(f"for x{i} in range({i}):\n    y{i} = {i}\n}}\n" for i in range(30)), None),
        ("- \n" * 100, None),
        ("", None),
        (None, None),
    ],
)
def test_loops_are_dropped_and_other_repetition_is_not(text: str | None, reason: str | None) -> None:
    assert reasons(repetition(), answers(text)) == [reason]


def test_each_score_has_a_bound_of_its_name() -> None:
    step = repetition("gopher")
    assert [bound.reason for bound in step.bounds()] == [bound.score for bound in step.bounds()] == list(SCORES)
    assert [bound.at_most for bound in step.bounds()] == list(PRESETS["gopher"].limits)
    columns = step.score(Segments(0, ())).columns
    assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(SCORES, 0)


def test_limits_can_be_moved_and_lifted() -> None:
    batch = answers(LOOP * 12)
    assert reasons(repetition(top_2gram=None, top_3gram=None, top_4gram=None), batch) == ["duplicate_5grams"]
    lifted = repetition(**dict.fromkeys(SCORES))  # type: ignore[arg-type]
    assert lifted.bounds() == ()
    assert reasons(lifted, batch) == [None]
    assert lifted.score(segments(batch)).columns["duplicate_5grams"][0] > 0.8, "measured all the same"
    assert reasons(repetition(duplicate_lines=0.2, min_lines=2), answers("a\nb\na\nc")) == ["duplicate_lines"]
    assert reasons(repetition(min_words=1000), batch) == [None]


def test_a_row_is_as_bad_as_its_worst_segment() -> None:
    good, bad = ({"role": "assistant", "content": text} for text in ("Fine.", LOOP * 12))
    rows = [
        {"prompt": [bad], "chosen": [good], "rejected": [good, bad], "meta": "{}"},
        {"prompt": [bad], "chosen": [good], "rejected": [good], "meta": "{}"},
    ]
    batch = pa.RecordBatch.from_pylist(rows, BODIES["preference"])
    step = repetition(top_2gram=None, top_3gram=None, top_4gram=None)
    scores = step.score(segments(batch, step.reads))
    expected = repeats(LOOP * 12, 50, 5)[SCORES.index("duplicate_10grams")]
    assert scores.columns["duplicate_10grams"].tolist() == pytest.approx([expected, 0])
    assert scores.evidence is not None
    assert {SIDES[side] for side in scores.evidence.side} == {"rejected"}
    assert set(scores.evidence.turn.tolist()) == {1}
    assert set(scores.evidence.row.tolist()) == {0}
    assert scores.evidence.match.to_pylist() == [f"duplicate {n}-grams" for n in range(5, 11)]


def test_evidence_counts_characters() -> None:
    batch = answers("é 東\nüb\nüb\nc")
    step = repetition(min_lines=0, duplicate_lines=0.0, duplicate_line_characters=None)
    found = step.score(segments(batch)).evidence
    assert found is not None
    assert (found.start.tolist(), found.end.tolist(), found.match.to_pylist()) == ([7], [9], ["duplicate lines"])


def test_rows_without_an_answer_score_nothing() -> None:
    row = {"messages": [{"role": "user", "content": LOOP * 12}], "meta": "{}"}
    batch = pa.RecordBatch.from_pylist([row], BODIES["conversation"])
    step = repetition()
    assert not np.stack(list(step.score(segments(batch, step.reads)).columns.values())).any()
    assert reasons(repetition(on="all"), batch) != [None]


def test_an_edge_text_is_judged(edge_text: str) -> None:
    assert reasons(repetition(), answers("Hi", edge_text, "Hi"))[::2] == [None, None]
    long = len(edge_text) > 200_000 and " " in edge_text
    assert (reasons(repetition(), answers(edge_text)) == [None]) != long


def test_good_answers_stay(real_file: Callable[[str], Path]) -> None:
    """LIMA, GSM8K, and 9,229 rows of Alpaca: at most three fall, a table and a timetable among them."""
    lima = [row["output"] for row in json.loads(real_file("sft/lima.json").read_bytes())]
    gsm = [row["output"] for row in json.loads(real_file("sft/gsm8k_train_alpaca.json").read_bytes())]
    assert not np.count_nonzero([reason for reason in reasons(repetition(), answers(*lima, *gsm)) if reason])
    alpaca = [row["output"] for row in json.loads(real_file("sft/alpaca_random_9k.json").read_bytes())]
    assert sum(reason is not None for reason in reasons(repetition(), answers(*alpaca))) <= 3
    strict = reasons(repetition("gopher"), answers(*lima))
    assert sum(reason is not None for reason in strict) > 40, "web limits drop 5 % of the best answers there are"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "web"}, r"preset='web' is no preset of repetition"),
        ({"top_2grams": 0.5}, r"no limit 'top_2grams'; did you mean 'top_2gram'"),
        ({"top_2gram": 50}, r"top_2gram=50.*number from 0 to 1"),
        ({"top_2gram": True}, r"top_2gram=True.*number from 0 to 1"),
        ({"min_words": -1}, r"min_words=-1.*whole number from 0 up"),
        ({"min_lines": 1.5}, r"min_lines=1.5.*whole number from 0 up"),
        ({"on": "answer"}, "is no scope"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        repetition(**wrong)


UNITS = st.lists(
    st.sampled_from(["I see", "i  see", "Yes", "a b c", ".", "!", "?!", "\n\n", "\n", " ", "東京", "é é"]), max_size=25
)


def most(units: list[str]) -> int:
    return max(Counter(unit.strip() for unit in units if len(unit.split()) > 1).values(), default=0)


@given(st.lists(UNITS.map("".join), max_size=5))
def test_times_are_those_of_the_most_frequent(texts: list[str]) -> None:
    step = repetition(sentence_times=2, paragraph_times=2, phrase_times=3)
    columns = step.score(segments(answers(*texts), step.reads)).columns
    assert columns["sentence_times"].tolist() == [most(re.split("[.!?]+", text)) for text in texts]
    assert columns["paragraph_times"].tolist() == [most(text.split("\n\n")) for text in texts]
    said = [split(text) for text in texts]
    grams = [Counter(tuple(one[i : i + 3]) for i in range(len(one) - 2)) for one in said]
    assert columns["phrase_times"].tolist() == [max(each.values(), default=0) for each in grams]


def test_what_is_said_too_often_is_dropped_and_shown() -> None:
    loop = "So it is. Wait, no! " * 10
    step = repetition(sentence_times=9, paragraph_times=9, phrase_times=49)
    batch = answers(loop, loop[20:], ("Wait, no\n\n" * 10).strip(), "na " * 52, None, "")
    found = step.score(segments(batch, step.reads))
    assert [found.columns[name].tolist() for name in TIMES] == [
        [10, 9, 1, 1, 0, 0],
        [1, 1, 10, 1, 0, 0],
        [10, 9, 9, 50, 0, 0],
    ]
    assert found.evidence is not None
    hits = zip(
        found.evidence.row, found.evidence.match.to_pylist(), found.evidence.start, found.evidence.end, strict=True
    )
    shown = [tuple(map(str, hit)) for hit in hits if "times" in hit[1]]
    assert shown == [
        ("0", "sentence 10 times", "0", "8"),
        ("2", "paragraph 10 times", "0", "8"),
        ("3", "phrase 50 times", "0", "8"),
    ]
    assert repetition("olmo3").bounds() == step.bounds()[len(SCORES) :]
    assert set(TIMES).isdisjoint(repetition().score(segments(batch, "response")).columns)
    with pytest.raises(MixtureError, match=r"sentence_times=0\): a whole number from 1"):
        repetition(sentence_times=0)


def test_edge_texts_are_counted(edge_text: str) -> None:
    step = repetition(sentence_times=9, paragraph_times=9, phrase_times=49)
    columns = step.score(segments(answers(edge_text), step.reads)).columns
    assert all(columns[name].tolist() >= [0] for name in TIMES)
