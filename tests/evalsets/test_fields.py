"""Rows become items by declared fields alone: whatever a row holds gives an item, and text is carried as it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.evalsets.fields import Fields, Item, find, items_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(["a", "b", "a.b", "a.0", "a.b.0", "{a} {b}", "{a.b}?", "none"])


def one(row: object, **fields: str | tuple[str, ...]) -> Item:
    (item,) = Fields(question="q", **fields).items(row)  # type: ignore[arg-type]
    return item


@given(row=VALUES, question=PATHS, passage=PATHS, choices=PATHS, answer=PATHS, own=PATHS)
def test_any_row_gives_items(row: object, question: str, passage: str, choices: str, answer: str, own: str) -> None:
    layout = Fields(question=question, passage=passage, choices=choices, answer=answer, id=own)
    items = layout.items(row)
    assert items
    assert all(isinstance(item.question, str) for item in items)
    assert all(item.choices is None or all(isinstance(text, str) for text in item.choices) for item in items)
    assert layout.fit(row) == any(item.question for item in items)


def test_text_is_carried_as_it_is(edge_text: str) -> None:
    item = one({"q": edge_text, "p": edge_text, "c": [edge_text], "a": edge_text}, passage="p", choices="c", answer="a")
    assert item == Item(None, None, edge_text, edge_text, [edge_text], edge_text)


def test_a_list_of_questions_gives_an_item_each_with_its_own_answer() -> None:
    items = Fields(question="turns", answer="ref", id="n").items(
        {"n": 81, "turns": ["a", 5, "c"], "ref": ["x", "y", "z"]}
    )
    assert [(item.id, item.turn, item.question, item.answer) for item in items] == [
        ("81", 0, "a", "x"),
        ("81", 1, "", "y"),
        ("81", 2, "c", "z"),
    ]
    (first, second) = Fields(question="turns", answer="ref").items({"turns": ["a", "b"], "ref": "both"})
    assert (first.answer, second.answer) == ("both", "both")


def test_questions_in_objects_of_a_list() -> None:
    items = Fields(question="turns.content").items({"turns": [{"content": "a"}, {"content": None}, "x"]})
    assert [item.question for item in items] == ["a", "", ""]


@pytest.mark.parametrize("asked", [None, 5, True, [], {}, {"q": "x"}])
def test_a_question_that_is_no_text_is_empty(asked: object) -> None:
    assert one({"q": asked, "a": "yes"}, answer="a") == Item(None, None, "", None, None, "yes")


@pytest.mark.parametrize(
    ("choices", "answer", "text"),
    [
        (["x", "y"], 1, "y"),
        (["x", "y"], 0, "x"),
        (["x", "y"], 2, "2"),
        (["x", "y"], -1, "-1"),
        (["x", "y"], "B", "y"),
        (["x", "y"], "C", "C"),
        (["B", "y"], "B", "B"),
        (["x", "y"], "b", "b"),
        (["x", "y"], True, "true"),
        (["x", "y"], None, None),
        (None, 1, "1"),
        (None, "B", "B"),
        (None, 0.5, "0.5"),
        (None, ["1972", "in 1972", None], "1972\nin 1972"),
        (None, [], None),
        (None, {"x": 1}, None),
    ],
)
def test_answers(choices: object, answer: object, text: str | None) -> None:
    assert one({"q": "?", "c": choices, "a": answer}, choices="c", answer="a").answer == text


def test_choices_from_several_fields() -> None:
    row = {"q": "?", "good": ["a", "b"], "bad": "c", "none": None}
    assert one(row, choices=("good", "bad", "none", "absent")).choices == ["a", "b", "c"]
    assert one(row, choices=("none", "absent")).choices is None


@pytest.mark.parametrize(("own", "text"), [(7, "7"), ("7", "7"), ("", None), (None, None), (True, None), (1.5, None)])
def test_ids(own: object, text: str | None) -> None:
    assert one({"q": "?", "i": own}, id="i").id == text


def test_templates_and_paths() -> None:
    row = {"Premise": "All men.", "Question": None, "a b.c": "x", "n": 5, "deep": {"list": [{"t": "y"}]}}
    assert find(row, "{Premise} {Question}") == "All men."
    assert find(row, "{a b.c}{n}: {deep.list.0.t}") == "x5: y"
    assert find(row, "deep.list.1.t") is None
    assert find(row, "deep.list.t") == ["y"]
    assert find("no row", "a") is None


def test_the_layout_that_finds_a_question_reads_the_row() -> None:
    layouts = (Fields(question="question", answer="a"), Fields(question="Question", answer="b"))
    assert items_of({"Question": "?", "a": "1", "b": "2"}, layouts)[0].answer == "2"
    assert items_of({"question": "?", "a": "1", "b": "2"}, layouts)[0].answer == "1"
    assert items_of({"a": "1", "b": "2"}, layouts)[0].answer == "1"


@pytest.mark.parametrize("name", ["", "{a", "a}", "{}", "{a{b}", "{{a}}"])
def test_a_broken_template_is_refused(name: str) -> None:
    with pytest.raises(MixtureError, match=f"^{re.escape(repr(name))} is no field, path or template"):
        Fields(question=name)
    with pytest.raises(MixtureError, match="is no field, path or template"):
        Fields(question="q", choices=("a", name))
