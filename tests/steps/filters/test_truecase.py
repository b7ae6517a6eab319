"""`truecase` changes letter case and nothing else, where it is plainly wrong, and nothing the second time."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.kernels.buffers import view
from curate.rows.edits import apply_edits
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import Segments, segments
from curate.steps.filters.truecase import Mode, capitalise, truecase

FRAGMENTS: Final = (
    *("hello. ", "how are you? ", "i ", "i'm ", "i’ve ", "think ", "the ", "and ", "\n", "\n\n", "- ", "1. ", "e.g. "),
    *("`a. b` ", "```\nc. d\n``` ", "$x. y$ ", '"so. it" ', "https://a.b/c. ", "iPhone. ", "x = 3. ", "Sentence: "),
    *("ß. ßa ", "ŉ. ", "ǆ. ǆa ", "ı. i. iyi ", "σ. ς. ὁ λόγος. ", "ﬁne. ﬁne ", "é. éa ", "中文。a ", "и. я есть. так "),
    *("HELLO. ", "JOHN SMITH ", "new york. ", "... ", "…", "\r\n", "\u00a0", "\u3000", "¿", "¡", "🎉. ", "e\u0301. "),
)
TEXTS: Final = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=30)
MODES: Final = pytest.mark.parametrize("mode", ["sentence_start", "full"])


def body(texts: Sequence[str | None], role: str = "assistant") -> pa.RecordBatch:
    rows = [{"messages": [{"role": role, "content": text}], "meta": "{}"} for text in texts]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def repaired(texts: Sequence[str | None], role: str = "assistant", mode: Mode = "sentence_start") -> list[str | None]:
    """All texts, as they are after the step."""
    batch = body(texts, role)
    step = truecase(mode)
    found = segments(batch, step.reads)
    return [row["messages"][0]["content"] for row in apply_edits(batch, found, step.edit(found))[0].to_pylist()]


def one(text: str, role: str = "assistant", mode: Mode = "sentence_start") -> str:
    (answer,) = repaired([text], role, mode)
    assert answer is not None
    return answer


@MODES
@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(["user", "assistant"]))
def test_laws(mode: Mode, texts: list[str], role: str) -> None:
    found = repaired(texts, role, mode)
    assert [text and text.casefold() for text in found] == [text.casefold() for text in texts]
    assert [len(text or "") for text in found] == [len(text) for text in texts]
    assert repaired(found, role, mode) == found, "nothing is left to do"
    assert [one(text, role, mode) for text in texts] == found, "in any batches"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hello. how are you?", "Hello. How are you?"),
        ("hello. how are you? i'm fine, i think.", "Hello. How are you? I'm fine, I think."),
        ("Élan. été. éclair était.", "Élan. Été. Éclair était."),
        ("Правда. потом он ушёл.", "Правда. Потом он ушёл."),
        ("It is ﬁne. ﬁne as it is.", "It is ﬁne. ﬁne as it is."),
        ("Es ist gut. ßo.", "Es ist gut. ßo."),
    ],
)
def test_repaired(text: str, answer: str) -> None:
    assert one(text) == answer
    assert one(text.lower()) == one(one(text.lower()))


def test_the_turn_of_a_user_keeps_what_it_gives() -> None:
    text = "Fix this sentence: he go. she go."
    assert one(text, "user") == text
    assert one(text) == "Fix this sentence: he go. She go."
    assert one("hello. can you help me?", "user") == "Hello. Can you help me?"


@MODES
def test_results_of_tools_are_data(mode: Mode) -> None:
    text = "ok. done. i am here."
    turns = [{"role": role, "content": text} for role in ("tool", "assistant", "system", "tool", "user")]
    batch = pa.RecordBatch.from_pylist([{"messages": turns, "meta": "{}"}], BODIES["conversation"])
    step = truecase(mode)
    found = apply_edits(batch, segments(batch), step.edit(segments(batch)))[0].to_pylist()[0]["messages"]
    assert [turn["content"] == text for turn in found] == [True, False, False, True, False]
    named = truecase(mode, on={"tool"})
    read = segments(batch, named.reads)
    edited = apply_edits(batch, read, named.edit(read))[0].to_pylist()[0]["messages"]
    assert [turn["content"] == text for turn in edited] == [False, True, True, False, True]


def test_full_also_restores_names() -> None:
    texts = ["we met john smith in london. it was fun.", "WE MET JOHN SMITH IN LONDON. IT WAS FUN.", "It was. so."]
    answer = "We met John Smith in London. It was fun."
    assert repaired(texts, mode="full") == [answer, answer, "It was. so."]
    assert repaired(texts)[1:] == [texts[1], "It was. so."]


@pytest.mark.parametrize(
    "text",
    [
        "He said e.g. at noon. She left. They met in Rome, e.g. in the forum.",
        "The value, i.e. the sum of it, is what we want to know.",
        "They came at 5 p.m. on Friday, and at 9 a.m. the other day.",
        "There are ten people, incl. the cook, vs. the others of the house.",
        "It is a book by the two, et al. in the year, etc. and that is it.",
        "The factorial n! denotes the product of the first n numbers.",
        "Find the value of x when y is the sum of x and z in the line.",
        "For each i we have a value, and it is what the sum of k is.",
        "We find where i is the index and i can be any number from the list.",
        "The hole is 5-1/2 in. deep and the wall is 3 in. thick.",
    ],
)
def test_full_leaves_words_after_abbreviations_and_variables_alone(text: str) -> None:
    assert one(text.lower(), mode="full") == text


def test_full_still_knows_initials_and_the_pronoun() -> None:
    text = "John F. Kennedy and I know that J. R. Smith is here, and I think it is good."
    assert one(text.lower(), mode="full") == text
    assert one("have a vitamin c pill. i have what you want.", mode="full").endswith("I have what you want.")


def test_only_what_changes_is_handed_back() -> None:
    batch = body(["All is well.", "hello there. so it is.", None, "", "Well. it was."])
    (change,) = truecase().edit(segments(batch)).changes
    assert change.place.tolist() == [1, 4]
    assert change.place.dtype == np.int32
    assert change.text.to_pylist() == ["Hello there. So it is.", "Well. It was."]


@MODES
def test_a_text_at_the_edge(mode: Mode, edge_text: str) -> None:
    for role in ("user", "assistant"):
        found = one(edge_text, role, mode)
        assert found.casefold() == edge_text.casefold()
        assert len(found) == len(edge_text)
        assert one(found, role, mode) == found


def test_odd_bytes() -> None:
    assert one("So\x00 it is. the end\x00.") == "So\x00 it is. The end\x00."
    assert repaired([None, "", " ", "\n"]) == [None, "", " ", "\n"]
    long = "the sea is deep. " * 100_000
    assert one(long) == "The sea is deep. " * 100_000


@MODES
def test_no_rows_and_slices(mode: Mode) -> None:
    step = truecase(mode)
    assert step.edit(Segments(0, ())).changes == ()
    (change,) = step.edit(segments(body([""]))).changes
    assert (len(change.place), len(change.text)) == (0, 0)
    texts = pa.array(["x", "It is. so it goes.", None, "well. it is so."])
    part = view(texts.slice(1))
    place, new = capitalise(part, np.arange(3, dtype=np.int32), np.zeros(3, np.bool_))
    assert (place.tolist(), new.to_pylist()) == ([0, 2], ["It is. So it goes.", "Well. It is so."])


@pytest.mark.parametrize("kind", ["rated", "preference"])
def test_every_side(kind: Kind) -> None:
    turns, said = [{"role": "user", "content": "Hi. it is me."}], [{"role": "assistant", "content": "Hi. it is me."}]
    row: dict[str, Any] = {"messages": turns, "completions": [{"content": "Hi. it is me.", "model": "m", "scores": []}]}
    if kind == "preference":
        row = {"prompt": turns, "chosen": said, "rejected": said}
    batch = pa.RecordBatch.from_pylist([row | {"meta": "{}"}], BODIES[kind])
    found = segments(batch)
    after, changed = apply_edits(batch, found, truecase().edit(found))
    assert "Hi. it" not in str(after.to_pylist())
    assert changed.tolist() == [True]


def test_settings() -> None:
    assert truecase(on={"assistant"}).on == frozenset({"assistant"})
    with pytest.raises(MixtureError, match=r"mode='ful' is no mode of truecase; did you mean 'full'\?"):
        truecase("ful")  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match="on='answers' is no scope"):
        truecase(on="answers")  # type: ignore[arg-type]


@MODES
def test_laws_on_real_text(mode: Mode, real_file: Callable[[str], Path]) -> None:
    rows = json.loads(real_file("sft/lima.json").read_bytes()) + json.loads(
        real_file("sft/code_alpaca_2k.json").read_bytes()
    )
    texts = [row[key] for row in rows for key in ("instruction", "output") if row[key]]
    texts += [text.lower() for text in texts[::9]] + [text.upper() for text in texts[::9]]
    random.Random(0).shuffle(texts)
    found = repaired(texts, mode=mode)
    assert all(a.casefold() == (b or "").casefold() for a, b in zip(texts, found, strict=True))
    assert repaired(found, mode=mode) == found
    cuts = itertools.pairwise([0, 1, 2, 700, len(texts)])
    assert [text for low, high in cuts for text in repaired(texts[low:high], mode=mode)] == found
