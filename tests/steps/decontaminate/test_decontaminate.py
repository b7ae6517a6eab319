"""`decontaminate` finds what its slow definition finds, says where, and lets nothing else fall."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import strategies as st

from curate.errors import MixtureError
from curate.evalsets.evals import evals
from curate.rows.segments import segments
from curate.steps.base import DROP_COLUMNS, HIT_COLUMNS
from curate.steps.decontaminate._index import compiled
from curate.steps.decontaminate.decontaminate import HITS, ITEMS, Decontaminate, decontaminate
from tests.reference.contamination import alone, share, split, within
from tests.support.eval_search import found, given, searched
from tests.support.group_resolve import asks, body

LONG = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
SHORT = "Who invented the light bulb?"
GENERIC = "Who are you?"
ALPHA = "What is an alpha particle?"
SOLUTION = "She sold 24 clips in May, so together she sold 72 clips in April and May."
QUIZ = given(LONG, SHORT, GENERIC, "", None, "?!", answers=(SOLUTION, "Edison", None, None, None, None))

FRAGMENT = st.sampled_from(["h", "b", "c", "H", "b.", "東京", "don’t", "\n", "Q:", "7)", "x y", "é", "e\u0301"])
TEXT = st.lists(FRAGMENT, max_size=12).map(" ".join)


def chat(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]}


def hits(step: Decontaminate, *rows: dict[str, Any]) -> dict[tuple[int, str], tuple[str, float]]:
    return found(searched(step, [body(list(rows))]))


@property_of(st.lists(TEXT, max_size=5), st.lists(st.lists(TEXT, max_size=3), max_size=6), st.integers(2, 5), st.data())
def test_hits_are_those_of_the_definition(
    questions: list[str], rows: list[list[str]], n: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.sampled_from([0.1, 0.5, 0.7, 1.0]))
    sets = given(*questions)
    batch = body([{"messages": [{"role": "user", "content": text} for text in row]} for row in rows])
    expected: dict[tuple[int, str], Any] = {}
    standing = set()
    for number, row in enumerate(rows):
        for place, item in enumerate(map(split, questions)):
            key = (number, f"quiz/i{place}")
            if len(item) >= n:
                held = share(item, [split(turn) for turn in row], n)
                if held > threshold or held == 1:
                    expected[key] = ("overlap", pytest.approx(held))
            elif item and any(within(item, split(turn)) for turn in row):
                by_itself = any(alone(item, turn) for turn in row)
                if by_itself or not questions[place].rstrip().endswith(":"):
                    expected[key] = ("whole", 1.0)
                if by_itself:
                    standing.add(key)
    step = decontaminate(sets, ngram=n, threshold=threshold, numbers=False, content=0, informative=0)
    assert found(searched(step, [batch])) == expected
    step = decontaminate(sets, ngram=n, threshold=threshold, numbers=False, content=0, informative=99)
    left = {key: hit for key, hit in expected.items() if hit[0] == "overlap"} | dict.fromkeys(
        standing, ("generic", 1.0)
    )
    assert found(searched(step, [batch])) == left


def test_evidence_marks_the_words_of_row_and_item() -> None:
    text = f"Hi!\n\u201cNATALIA sold clips\u201d \u2014 {LONG[8:].upper()} Thanks. Who  invented\nthe light bulb"
    resolved = searched(decontaminate(QUIZ), [body([chat("Hello.", "Hello.", text)])])
    lines = resolved.tables["hits"].select("item", "side", "turn", "start", "end", "item_start", "item_end").rows()
    (first, second) = lines
    assert (*first[:3], *first[5:]) == ("i0", "dialogue", 2, 1, 20)
    assert text[first[3] : first[4]] == LONG[8:-1].upper()
    assert (*second[:3], *second[5:]) == ("i1", "dialogue", 2, 0, 5)
    assert text[second[3] : second[4]] == "Who  invented\nthe light bulb"
    assert resolved.hits.rows() == [
        (0, "overlap", "dialogue", 2, *first[3:5], "quiz/i0"),
        (0, "whole", "dialogue", 2, *second[3:5], "quiz/i1"),
    ]
    assert resolved.drops.rows() == [(0, "overlap", 0.95, -1, "quiz/i0")]


def test_evidence_is_the_longest_run_though_its_beginning_came_before() -> None:
    opening = " ".join(LONG.split()[:10])
    text = f"I read: {opening} or so. It went: {LONG}"
    (line,) = searched(decontaminate(QUIZ), [asks([text])]).tables["hits"].rows(named=True)
    assert (line["item_start"], line["item_end"]) == (0, 20)
    assert text[line["start"] : line["end"]] == LONG[:-1]


def test_words_are_matched_across_turns_but_n_grams_do_not_cross_them() -> None:
    half, rest = LONG.split(", and ")
    first = decontaminate(QUIZ)
    assert hits(first, chat(half, "", f"and {rest}"))[0, "quiz/i0"] == ("overlap", 1.0)
    words = LONG.split()
    cut = [" ".join(words[i : i + 7]) for i in range(0, len(words), 7)]
    assert hits(first, chat(cut[0], "", cut[1], "", cut[2])) == {}


def test_more_than_the_threshold_is_contamination() -> None:
    item = given("a b c d e f g h i j k l m n o p")
    half, more = "a b c d e f g h", "a b c d e f g h i"
    assert hits(decontaminate(item, content=0), chat(half)) == {}
    assert hits(decontaminate(item, content=0), chat(more)) == {(0, "quiz/i0"): ("overlap", 9 / 16)}
    assert hits(decontaminate(item, threshold=0.49, content=0), chat(half)) == {(0, "quiz/i0"): ("overlap", 0.5)}
    whole = decontaminate(item, threshold=1.0, content=0)
    assert hits(whole, chat("a b c d e f g h i j k l m n o p")) == {(0, "quiz/i0"): ("overlap", 1.0)}
    assert hits(whole, chat("a b c d e f g h i j k l m n o")) == {}


@pytest.mark.parametrize(("threshold", "held"), [(0.5, 2), (0.3, 1), (1.0, 3)])
def test_numbers_must_be_matched_too(threshold: float, held: int) -> None:
    numbers = ["12", "b2b", "7,"]
    item = "A robe takes {} bolts of blue fiber and half that much {} white fiber. How many bolts in {} does it take?"
    step = decontaminate(given(item.format(*numbers)), ngram=3, threshold=threshold, content=0)
    for count in range(4):
        row = chat(item.format(*numbers[:count], *["99"] * (3 - count)))
        plain = hits(
            decontaminate(given(item.format(*numbers)), ngram=3, threshold=threshold, numbers=False, content=0), row
        )
        assert len(plain) == (threshold < 1 or count == 3)
        assert hits(step, row) == (plain if count >= held else {})


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (GENERIC, True),
        ("who are YOU", True),
        (f"Q: {GENERIC}\nA: Nobody.", True),
        (f"Hello.\n12. {GENERIC}", True),
        (f"Hello. {GENERIC}", False),
        (f"{GENERIC} I asked.", False),
        (f"Tell me: {GENERIC}", False),
        ("Who are your friends?", False),
        ("Who\nare you", True),
    ],
)
def test_a_generic_question_counts_where_it_is_alone(text: str, counts: bool) -> None:  # noqa: FBT001
    resolved = searched(decontaminate(given(GENERIC)), [asks([text, *["You know who they are."] * 50])])
    assert found(resolved) == ({(0, "quiz/i0"): ("generic", 1.0)} if counts else {})
    (item,) = resolved.tables["items"].rows(named=True)
    within_text = not counts and "your" not in text
    assert (item["kind"], item["rows"], item["within"]) == ("generic", int(counts), int(within_text))


def test_what_is_generic_is_measured_in_the_data() -> None:
    step = decontaminate(given(SHORT))
    texts = [f"Well, {SHORT}", *(f"It is a number: {i}." for i in range(3000))]
    assert found(searched(step, [asks(texts)])) == {(0, "quiz/i0"): ("whole", 1.0)}
    common = [f"Well, {SHORT}", *(f"invented light bulb {i}" for i in range(3000))]
    resolved = searched(step, [asks(common)])
    assert found(resolved) == {}
    assert resolved.tables["items"].select("kind", "informative", "rows", "within", "why").rows() == [
        ("generic", 2, 0, 1, "2 informative words: it counts where it is a turn, line or sentence of its own")
    ]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (f"It emits one. {ALPHA} It is a nucleus.", True),
        (f"It said: \u201c{ALPHA}\u201d", True),
        (f"{ALPHA} Tell me.", True),
        (f"Tell me what it is. ({ALPHA})", True),
        (f"Do you know what an alpha particle is, and {ALPHA}", False),
        ("It emits one. What is an alpha particle in a nucleus?", False),
        ("What is an alpha particle, it said.", False),
    ],
)
def test_a_question_that_is_a_sentence_of_its_own_needs_one_telling_word_less(text: str, counts: bool) -> None:  # noqa: FBT001
    others = [f"What is an {word}?" for word in ("owl", "oak", "ounce", "uncle")]
    texts = [text, *(f"What is an item? It is a number: {i}." for i in range(999))]
    expected = {(0, "quiz/i0"): ("generic", 1.0)} if counts else {}
    assert found(searched(decontaminate(given(ALPHA, *others)), [asks(texts)])) == expected
    many = given(ALPHA, *others, "How fast is a particle?")  # a word that two questions have tells less
    assert found(searched(decontaminate(many), [asks(texts)])) == {}
    assert found(searched(decontaminate(given(ALPHA, *others), informative=4), [asks(texts)])) == {}


def test_every_item_is_matchable_or_named_as_not() -> None:
    items = searched(decontaminate(QUIZ), [asks(["You know who they are."] * 50)]).tables["items"]
    assert items.schema == ITEMS
    assert items["item"].to_list() == [f"i{number}" for number in range(6)]
    assert items["kind"].to_list() == ["long", "short", "generic", *["unmatchable"] * 3]
    assert items["words"].to_list() == [20, 5, 3, 0, 0, 0]
    assert items["why"].to_list()[3:] == ["the question contains no words"] * 3
    assert items["informative"].to_list()[0] is None


def test_solutions_are_found_in_answers_where_they_are_searched() -> None:
    row = chat("How many?", f"Sure. {SOLUTION}")
    assert hits(decontaminate(QUIZ), row) == {}
    assert hits(decontaminate(QUIZ, on="all"), row) == {(0, "quiz/i0"): ("solution", 1.0)}
    assert hits(decontaminate(QUIZ, on={"assistant"}), row) == {(0, "quiz/i0"): ("solution", 1.0)}
    assert hits(decontaminate(QUIZ, on="all"), chat(SOLUTION)) == {}
    both = hits(decontaminate(QUIZ, on="all"), chat(LONG, SOLUTION))
    assert both == {(0, "quiz/i0"): ("overlap", 1.0)}


@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_preference_rows_are_searched_in_every_side(side: str, role: str) -> None:
    row: dict[str, Any] = {name: [{"role": "user", "content": "Hi."}] for name in ("prompt", "chosen", "rejected")}
    row[side] = [{"role": role, "content": LONG}]
    resolved = searched(decontaminate(QUIZ), [body([row], "preference")])
    asked = side != "prompt" or role == "user"
    assert resolved.tables["hits"]["side"].to_list() == ([side] if asked else [])
    user = searched(decontaminate(QUIZ, on={"user"}), [body([row], "preference")])
    assert user.tables["hits"].height == (role == "user")


def test_rated_rows_are_searched_in_every_completion() -> None:
    completions: list[dict[str, Any]] = [
        {"content": text, "model": None, "scores": []} for text in ("No.", f"Well: {SOLUTION}", LONG)
    ]
    row = {"messages": [{"role": "user", "content": "Hi."}], "completions": completions}
    resolved = searched(decontaminate(QUIZ), [body([row], "rated")])
    assert resolved.tables["hits"].select("side", "turn", "reason").rows() == [("completion", 2, "overlap")]
    row["completions"] = completions[:2]
    resolved = searched(decontaminate(QUIZ), [body([row], "rated")])
    assert resolved.tables["hits"].select("side", "turn", "reason").rows() == [("completion", 1, "solution")]


def test_protected_rows_stay_and_flagged_rows_too() -> None:
    batch = asks([LONG, "Hello.", LONG])
    resolved = searched(decontaminate(QUIZ), [batch], protect=[True, False, False])
    assert resolved.drops["row"].to_list() == [2]
    assert resolved.tables["hits"].select("row", "dropped").rows() == [(0, False), (2, True)]
    flagged = searched(decontaminate(QUIZ, mode="flag"), [batch])
    assert flagged.drops.height == 0
    assert flagged.hits["row"].to_list() == [0, 2]
    assert not flagged.tables["hits"]["dropped"].any()


def test_items_of_one_text_are_all_named_and_the_first_is_the_match() -> None:
    one, other = given("x", LONG, name="one"), given(LONG, name="other")
    resolved = searched(decontaminate((one, [other])), [asks([LONG])])
    assert set(found(resolved)) == {(0, "one/i1"), (0, "other/i0")}
    assert resolved.drops["match"].to_list() == ["one/i1"]
    assert resolved.tables["items"]["rows"].to_list() == [0, 1, 1]


def test_order_and_batches_decide_nothing() -> None:
    texts = [LONG, SHORT, GENERIC, f"a {GENERIC}", "Hello.", f"{LONG} {SHORT}", "", "light bulb", LONG[:60]] * 3
    step = decontaminate(QUIZ, on="all", fuzzy=0.8)
    whole = searched(step, [asks(texts)])
    order = random.Random(3).sample(range(len(texts)), len(texts))
    cuts = [order[:5], order[5:6], order[6:6], order[6:]]
    parts = [asks([texts[i] for i in cut]) for cut in cuts]
    apart = searched(step, parts, row=order)
    assert apart.drops.equals(whole.drops)
    assert apart.hits.equals(whole.hits)
    assert all(apart.tables[name].equals(whole.tables[name]) for name in ("hits", "items"))
    assert (whole.drops.schema, whole.hits.schema, whole.tables["hits"].schema) == (DROP_COLUMNS, HIT_COLUMNS, HITS)


def test_no_row_and_no_hit() -> None:
    for batch in (asks([]), asks(["", "Hello."])):
        resolved = searched(decontaminate(QUIZ, fuzzy=0.9), [batch])
        assert (resolved.drops.height, resolved.hits.height, resolved.tables["hits"].height) == (0, 0, 0)
        assert resolved.tables["items"].height == 6


def test_the_strongest_hits_of_a_row_are_kept_and_all_are_counted() -> None:
    many = given(*(f"{LONG} {'x' * i}" for i in range(1, 101)), LONG)
    step = decontaminate(many, content=0)
    signed = step.sign(segments(asks([LONG]), step.reads))
    assert signed.columns["hits"].tolist() == [101]
    assert signed.lists["hits"].value_lengths().to_pylist() == [64]
    resolved = searched(step, [asks([LONG])])
    assert resolved.drops.rows() == [(0, "overlap", 1.0, -1, "quiz/i100")]


def test_what_is_alone_is_kept_before_what_is_not() -> None:
    words = [f"word{chr(97 + i // 10)}{chr(97 + i % 10)}" for i in range(72)]
    items = given(*(" ".join(words[i : i + 3]) for i in range(70)))
    within_text = f"So: {' '.join(words)} and on."
    texts = [f"{within_text}\n{' '.join(words[69:])}", *[within_text] * 50]
    assert found(searched(decontaminate(items), [asks(texts)])) == {(0, "quiz/i69"): ("generic", 1.0)}


def test_what_many_items_share_leads_to_none_of_them() -> None:
    shared = "Answer the question about the text and give your reasons in full, then choose the best one of:"
    items = given(*(f"{shared} {' '.join(f'w{i}x{k}' for k in range(40))}" for i in range(500)))
    step = decontaminate(items)
    begins = compiled(step.evals, step.ngram, step.threshold).grams.post_begins
    assert np.diff(begins).max() == 1
    assert hits(step, chat(shared)) == {}


def test_edge_texts_as_rows_and_as_items(edge_texts: dict[str, str]) -> None:
    texts = [text for name, text in edge_texts.items() if name != "10_mb"]
    step = decontaminate(given(*texts), informative=0, fuzzy=0.8)
    resolved = searched(step, [asks(texts)])
    whole = found(resolved)
    for number, text in enumerate(texts):
        if split(text):
            assert whole[number, f"quiz/i{number}"][1] == 1.0
        else:
            assert resolved.tables["items"]["kind"][number] == "unmatchable"


def test_ten_megabytes_of_one_sentence(edge_texts: dict[str, str]) -> None:
    sentence = "All work and no play. "
    step = decontaminate(
        given(sentence * 3, sentence, answers=(sentence * 4, None)), on="all", fuzzy=0.8, informative=0
    )
    rows = [chat(edge_texts["10_mb"], edge_texts["10_mb"])]
    assert hits(step, *rows) == {(0, "quiz/i0"): ("overlap", 1.0), (0, "quiz/i1"): ("whole", 1.0)}


@pytest.mark.parametrize(
    ("item", "row"),
    [
        ("世界上最高的山是什么山", "请问：世界上最高的山是什么山？谢谢"),
        ("富士山の高さは何メートルですか", "質問「富士山の高さは何メートルですか」に答えてください"),
        ("ภูเขาที่สูงที่สุดในโลกคืออะไร", "ช่วยตอบ ภูเขาที่สูงที่สุดในโลกคืออะไร ครับ"),
        (
            "ما هي عاصمة المملكة العربية السعودية وكم عدد سكانها",
            "سؤال: ما هي عاصمة المملكة العربية السعودية وكم عدد سكانها؟",
        ),
    ],
)
def test_scripts_without_spaces(item: str, row: str) -> None:
    assert hits(decontaminate(given(item)), chat(row)) == {(0, "quiz/i0"): ("overlap", 1.0)}
    assert hits(decontaminate(given("最高的山")), chat("最高的山")) == {(0, "quiz/i0"): ("whole", 1.0)}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"ngram": 1}, r"ngram=1\): an n-gram has 2 words or more"),
        ({"threshold": 0.0}, r"threshold=0\.0\): a share of an item's words"),
        ({"threshold": 1.1}, r"threshold=1\.1\)"),
        ({"fuzzy": 0.59}, r"fuzzy=0\.59\): a similarity from 0\.6 to 1"),
        ({"fuzzy": 1.5}, r"fuzzy=1\.5\)"),
        ({"informative": -1}, r"informative=-1\): a number of words"),
        ({"ignore": {"quizz": ["a b"]}}, r"ignore=\{'quizz': ...\}\): lists of phrases by eval set: \['quiz'\]"),
        ({"ignore": {"quiz": "a b"}}, r"lists of phrases by eval set"),
        ({"mode": "dorp"}, r"mode='dorp'\): did you mean 'drop'"),
        ({"on": "users"}, r"on='users' is no scope"),
        ({"evals": ()}, r"has no eval set to search for"),
        ({"evals": "gsm8k"}, r"decontaminate\('gsm8k'\): no eval set; evals\('gsm8k'\)"),
        ({"evals": (QUIZ, given("other"))}, r"two different eval sets are called 'quiz'"),
    ],
)
def test_errors_name_what_is_wrong(asked: dict[str, Any], message: str) -> None:
    asked = dict(asked)
    with pytest.raises(MixtureError, match=message):
        decontaminate(asked.pop("evals", QUIZ), **asked)


def test_a_set_counts_once_and_the_step_is_its_fields() -> None:
    step = decontaminate((QUIZ, [QUIZ, evals("gsm8k")]), on=["user"])
    assert [one.name for one in step.evals] == ["quiz", "gsm8k"]
    assert step == decontaminate(QUIZ, evals("gsm8k"), on={"user"})
    assert step.eval_sets == step.evals
    assert (step.bound, step.reads) == (0.5, frozenset({"user"}))
    assert decontaminate(QUIZ).reads == "all"
    assert list(decontaminate(QUIZ).data_hashes()) == ["quiz"]
