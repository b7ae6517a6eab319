"""What is marked as changed is what differs, of every text, at a bounded cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.compare.marks import HITS, MARKS, Spans, changed_spans, row_hits

TEXTS = st.text(st.sampled_from("ab c.\n你好é\u0301🙂"), max_size=60)


def without(text: str, spans: Spans) -> str:
    kept, place = [], 0
    for low, high in spans:
        kept.append(text[place:low])
        place = high
    return "".join([*kept, text[place:]])


@given(TEXTS, TEXTS)
def test_marks_are_in_the_text_and_in_order(before: str, after: str) -> None:
    spans = changed_spans(before, after)
    for text, own in zip((before, after), spans, strict=True):
        edges = [edge for span in own for edge in span]
        assert edges == sorted(edges)
        assert all(0 <= low < high <= len(text) for low, high in own)
        assert len(own) <= MARKS
    assert (spans == ([], [])) == (before == after)


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_put_between_is_all_that_is_marked(head: str, middle: str, tail: str) -> None:
    before, after = f"{head} | {tail}", f"{head} | {middle} | {tail}"
    spans = changed_spans(before, after)
    marked = sum(high - low for low, high in spans.after)
    # Words next to a mark are joined to it where at most three characters are between.
    assert marked <= len(middle) + 3 + 8 * (len(spans.after) + len(spans.before))


def test_unmarked_text_is_the_same_where_no_spans_are_joined() -> None:
    before, after = "one two three four five six", "one 2 three four and six"
    spans = changed_spans(before, after)
    assert [before[low:high] for low, high in spans.before] == ["two", "five"]
    assert [after[low:high] for low, high in spans.after] == ["2", "and"]
    assert without(before, spans.before) == without(after, spans.after)


def test_a_text_too_long_to_align_is_one_span() -> None:
    before = "same " + " ".join(f"a{n}" for n in range(50_000)) + " same"
    after = "same " + " ".join(f"b{n}" for n in range(50_000)) + " same"
    spans = changed_spans(before, after)
    assert [len(own) for own in spans] == [1, 1]
    assert before[slice(*spans.before[0])].startswith("a0")
    assert after[slice(*spans.after[0])].endswith("b49999")


def dialogue(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


def test_turns_are_aligned_before_words() -> None:
    before = dialogue("Hello there.", "Good day.", "How far?", "Two miles.")
    after = dialogue("Hello there.", "Good day.", "How far?", "Ten miles.")
    after["messages"].insert(0, {"role": "system", "content": "Be kind."})
    hits = row_hits("conversation", before, after)
    assert [(hit["turn"], hit["start"], hit["end"], hit["reason"]) for hit in hits[0]] == [(3, 0, 3, "changed")]
    assert [(hit["turn"], hit["start"], hit["end"], hit["reason"]) for hit in hits[1]] == [
        (0, 0, 0, "only now"),
        (4, 0, 3, "changed"),
    ]


def test_a_turn_of_another_role_is_another_turn() -> None:
    before = dialogue("Hi.", "Yes.")
    after = {"messages": [{"role": "user", "content": "Hi."}, {"role": "tool", "content": "Yes."}]}
    assert [[hit["reason"] for hit in own] for own in row_hits("conversation", before, after)] == [
        ["only before"],
        ["only now"],
    ]


@pytest.mark.parametrize("count", [10, 3000])
def test_hits_of_a_long_dialogue_are_limited(count: int) -> None:
    before = dialogue(*(f"turn {n} is so" for n in range(count)))
    after = dialogue(*(f"turn {n} is not" for n in range(count)))
    assert [len(own) for own in row_hits("conversation", before, after)] == [min(count, HITS)] * 2


def test_words_that_only_the_other_version_has_are_found_in_a_long_text() -> None:
    before, after = "word " * 400 + "end", "word " * 200 + "extra " + "word " * 200 + "end"
    hits = row_hits("conversation", dialogue(before), dialogue(after))
    assert [hit["reason"] for hit in hits[0]] == ["here the other version has more"]
    assert after[hits[1][0]["start"] : hits[1][0]["end"]].strip() == "extra"
    assert abs(hits[0][0]["start"] - hits[1][0]["start"]) <= 6
