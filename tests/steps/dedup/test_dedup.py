"""`dedup` fells the rows that brute force fells, and only verified ones, whatever the order of the input."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.errors import MixtureError, SourceNotFoundError
from curate.io.inputs import files
from curate.rows import shingles as shingles_module
from curate.rows.schema import Kind
from curate.rows.segments import Segments, segments
from curate.rows.shingles import row_sets
from curate.steps.dedup._candidates import CHAINS, Candidates, components, nearest
from curate.steps.dedup._keep import Keep
from curate.steps.dedup._verify_kernel import MOST
from curate.steps.dedup.dedup import Dedup, dedup
from curate.text.minhash import Bands, band_keys, most_apart
from tests.reference.dedup import Row, jaccard, shingles, survivors
from tests.support.group_resolve import Memory, asks, body, signed

WORDS = st.sampled_from(["a", "B", "b", "c", "d", "东", "京", "don’t", "DON'T", "👍", ".", "\n", "a:", "b.东"])
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
TEMPLATES = st.lists(st.one_of(WORDS, st.just("{}"), st.just("a:")), max_size=6).map(" ".join)
BANDS = Bands(21, 6)
SETS = st.lists(st.frozensets(st.integers(1, 12), min_size=1), max_size=30)


def uint64_lists(sets: list[Any]) -> pa.ListArray:
    return pa.array([sorted(each) for each in sets], pa.list_(pa.uint64()))


def in_one_bucket(
    sets: list[Any], protect: list[bool], threshold: float, sketch: NDArray[np.uint64] | None = None
) -> tuple[dict[int, tuple[int, float]], int]:  # fmt: skip
    """Resolve distinct sets, each a candidate of every other; sketches are equal unless they are given."""
    sketch = np.zeros((len(sets), 2), np.uint64) if sketch is None else sketch
    found = candidates([len(each) for each in sets], protect, sketch)
    near = nearest(found, Memory({"shingles": uint64_lists(sets)}), threshold, most_apart(threshold, BANDS))
    dropped = np.flatnonzero(near.kept >= 0).tolist()
    return {row: (int(near.kept[row]), float(near.score[row])) for row in dropped}, near.comparisons


def candidates(size: Any, protect: Any, sketch: NDArray[np.uint64]) -> Candidates:  # noqa: ANN401
    """Return sets in one bucket."""
    bands = [np.zeros(len(size), np.uint32)]
    return Candidates(np.arange(len(size)), np.array(size, np.int64), np.array(protect, np.bool_), bands, sketch)


def spread(numbers: Any) -> list[int]:  # noqa: ANN401
    """Return words spread over 64 bits, as shingles are."""
    return [hash((17, number)) & (2**64 - 1) for number in numbers]


@given(SETS, st.randoms(use_true_random=False), st.sampled_from([0.05, 0.3, 0.5, 2 / 3, 0.8, 0.99]))
def test_of_candidates_those_are_dropped_that_brute_force_drops(
    sets: list[Any], chance: random.Random, threshold: float
) -> None:
    distinct = [frozenset(spread(each)) for each in dict.fromkeys(sets)]
    protect = sorted((chance.random() < 0.2 for _ in distinct), reverse=True)
    rows = [Row(row, (row,), protect[row], each) for row, each in enumerate(distinct)]
    assert in_one_bucket(distinct, protect, threshold)[0] == survivors(rows, threshold)


@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.8, 0.9])
def test_full_buckets_answer_as_brute_force_does(threshold: float) -> None:
    chance = random.Random(3)
    common = set(range(60))
    sets: list[Any] = []
    for row in range(500):
        template = common - set(chance.sample(range(60), chance.randint(0, 4)))
        own = {1000 * row + k for k in range(chance.randint(10, 60))}
        old = chance.choice(sets) if sets and chance.random() < 0.4 else frozenset(spread(template | own))
        sets.append(frozenset(chance.sample(sorted(old), len(old) - chance.randint(0, 3))) | set(spread([-row])))
    rows = [Row(row, (row,), protect=False, shingles=each) for row, each in enumerate(sets)]
    expected = survivors(rows, threshold)
    assert len(rows) - len(expected) > MOST
    assert in_one_bucket(sets, [False] * len(sets), threshold)[0] == expected


def sketches(sets: list[Any]) -> NDArray[np.uint64]:
    lists = uint64_lists(sets)
    return band_keys(lists.values.to_numpy(), lists.offsets.to_numpy().astype(np.int64), BANDS, 128).sketch.T.copy()


@pytest.mark.parametrize("rows", [30, 20 * CHAINS])
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_sketches_that_differ_lose_no_duplicate(rows: int, threshold: float) -> None:
    """Where few rows of a bucket are alike, each is compared with all, or all of the bucket is linked."""
    chance = random.Random(rows)
    sets: list[Any] = []
    for row in range(rows):
        old = sets[chance.randrange(row)] if row and chance.random() < 0.3 else spread((row, k) for k in range(40))
        left = chance.sample(sorted(old), 40 - chance.randint(1, 3))
        sets.append(frozenset([*left, *spread((row, -k) for k in range(1, 41 - len(left)))]))
    expected = survivors([Row(row, (row,), protect=False, shingles=each) for row, each in enumerate(sets)], threshold)
    assert expected
    assert in_one_bucket(sets, [False] * rows, threshold, sketches(sets))[0] == expected


def test_rows_that_meet_by_chance_are_no_component() -> None:
    """Chance meetings grow with the square of the rows: unchecked, they made one component of most of 5 million."""
    size, sketch = [10, 10, 10, 20, 10], np.array([[0, n] for n in (0, 1, 2**64 - 1, 0, 2**64 - 2)], np.uint64)
    with ThreadPoolExecutor(1) as pool:
        found = components(candidates(size, [0] * 5, sketch), 0.8, most_apart(0.8, BANDS), pool)
    assert found.tolist() == [0, 0, 2, 3, 2]


@pytest.mark.thorough
def test_boilerplate_in_100000_rows_stays_linear() -> None:
    made = {}
    for rows in (25_000, 50_000, 100_000):
        own = np.arange(rows * 20, dtype=np.uint64).reshape(rows, 20) * np.uint64(0x9E3779B97F4A7C15)
        common = np.broadcast_to(np.arange(1, 61, dtype=np.uint64) << np.uint64(58), (rows, 60))
        own[1::2, :19] = own[::2, :19]  # each second row is near the one before: 79 of 81
        sets = np.sort(np.concatenate([own, common], axis=1), axis=1)
        lists = pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * 80, sets.ravel())
        found = candidates(np.full(rows, 80), np.zeros(rows), np.zeros((rows, 2), np.uint64))
        near = nearest(found, Memory({"shingles": lists}), 0.9, 0)
        assert (near.kept[1::2] == np.arange(0, rows, 2)).all()
        assert (near.kept[::2] == -1).all()
        made[rows] = near.comparisons
    assert made[100_000] < 2.1 * made[50_000] < 4.4 * made[25_000] < 4.4 * 25_000 * MOST


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["prompt", "chosen", "rejected"]), TEXTS), max_size=4), max_size=6),
    st.integers(1, 4),
    st.lists(TEMPLATES, max_size=2).map(tuple),
)
@example([[("prompt", "a b c")], [("chosen", "a b c")]], 3, ("a b",))
@example([[("prompt", "a b a b a c")], [("prompt", "aa b. a bb")]], 2, ("a b a", "b"))
@example([[("prompt", "a: c d b a:")], [("prompt", "c d")], [("prompt", "a: c d b")]], 2, ("a: b a:", "a: {} b"))
def test_sets_are_those_defined(rows: list[list[tuple[str, str]]], n: int, ignore: tuple[str, ...]) -> None:
    sides: list[dict[str, Any]] = [{"prompt": [], "chosen": [], "rejected": []} for _ in rows]
    for row, texts in enumerate(rows):
        for side, text in texts:
            sides[row][side].append({"role": "user", "content": text})
    slow = [shingles(texts, n, ignore) for texts in rows]
    fast = [set(each) for each in lists_of(body(sides, "preference"), n, ignore)]
    assert [len(each) for each in fast] == [len(each) for each in slow]
    for (a, x), (b, y) in combinations(zip(fast, slow, strict=True), 2):
        assert len(a & b) == len(x & y)


def test_long_rows_and_repetitions() -> None:
    chance = random.Random(1)
    texts = [" ".join(chance.choices("abcdefgh", k=9_000)), " ".join(str(k) for k in range(9_000)), "ho " * 500_000]
    assert [len(each) for each in lists_of(asks(texts), 3)] == [8**3, 8_998, 1]


def lists_of(batch: pa.RecordBatch, n: int, ignore: tuple[str, ...] = ()) -> list[list[int]]:
    found = list(row_sets(segments(batch), n, ignore))
    places = [place for sets in found for place in pairwise(sets.offsets.tolist())]
    every = [found[-1].values[start:end].tolist() for start, end in places]
    assert all(each == sorted(set(each)) for each in every)
    return every[: batch.num_rows]


@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 2), st.booleans()), max_size=14),
    st.randoms(use_true_random=False),
    st.sampled_from([0.3, 0.6, 1.0]),
)
def test_every_drop_is_verified_and_nothing_else_decides(
    rows: list[tuple[str, int, bool]], chance: random.Random, threshold: float
) -> None:
    step = dedup(threshold=threshold, ngram=2)
    sets = [shingles([("dialogue", text)], 2) for text, _, _ in rows]
    mixed = chance.sample(range(len(rows)), len(rows))
    found = run(step, rows, list(range(len(rows))), 100)
    assert run(step, rows, mixed, chance.randint(1, 5)) == found
    for row, (kept, score) in found.items():
        assert kept not in found
        assert not rows[row][2]
        assert jaccard(sets[row], sets[kept]) == score >= threshold
    for a, b in combinations([row for row in range(len(rows)) if row not in found and sets[row]], 2):
        assert sets[a] != sets[b] or (rows[a][2] and rows[b][2])


def run(step: Dedup, rows: list[tuple[str, int, bool]], order: list[int], batch: int) -> dict[int, tuple[int, float]]:
    """Run rows of text, source and protection in this order and in batches of this size."""
    if not rows:
        return {}
    mixed = asks([rows[row][0] for row in order])
    batches = [mixed.slice(start, batch) for start in range(0, len(rows), batch)]
    keys = signed(
        step,
        [pa.RecordBatch.from_pylist(each.to_pylist(), each.schema) for each in batches],
        row=np.array(order),
        rank=np.array(order, np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        source=np.array([rows[row][1] for row in order]),
        protect=np.array([rows[row][2] for row in order]),
    )
    return keys.dropped(step)


def test_slices_of_a_batch_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = asks([" ".join(f"w{k % (i + 3)}" for k in range(3 * i % 50)) for i in range(60)])
    whole = lists_of(batch, 3)
    for size in (1, 37, 1000):
        monkeypatch.setattr(shingles_module, "SLICE", size)
        assert lists_of(batch, 3) == whole


TEXT = "one two three four five six seven eight nine ten"


def test_swapped_answers_are_no_duplicates() -> None:
    user, first, second = ({"role": "user", "content": text} for text in ("Why?", TEXT, TEXT[::-1]))
    rows = [
        {"prompt": [user], "chosen": [chosen], "rejected": [rejected]}
        for chosen, rejected in ((first, second), (second, first), (first, second))
    ]
    step = dedup()
    assert signed(step, [body(rows, "preference")]).dropped(step) == {2: (0, 1.0)}


def test_a_prompt_is_a_prompt_in_every_row_kind_and_roles_do_not_count() -> None:
    turns = [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "So."}]
    step = dedup("prompt")
    rows: list[tuple[Kind, dict[str, Any]]] = [
        ("conversation", {"messages": turns}),
        ("conversation", {"messages": [{"role": "system", "content": TEXT}]}),
        ("rated", {"messages": turns[:1], "completions": [{"content": "So.", "model": "", "scores": []}]}),
        ("preference", {"prompt": turns[:1], "chosen": turns[1:], "rejected": turns[1:]}),
    ]
    assert set(signed(step, [body([row], kind) for kind, row in rows]).dropped(step)) == {1, 2, 3}


def test_short_prompts_are_compared_and_wordless_rows_stay() -> None:
    step = dedup("prompt")
    texts = ["Why?", "why", "Who?", "", " \n", "👍", "👍", "你好", "你 好"]
    assert signed(step, [asks(texts)]).dropped(step) == {1: (0, 1.0), 8: (7, 1.0)}


@pytest.mark.parametrize(("keep", "stays"), [("first", 0), ("longest", 1), ("shortest", 2), ("best_score", 3)])
def test_who_stays(keep: Keep, stays: int) -> None:
    texts = ["Hi there.", "Hi there!!!", "Hi there", "HI there?"]
    step = dedup(keep=keep)
    scores = np.array([0.1, -1, np.nan, 0.5])
    keys = signed(step, [asks(texts)], best_score=scores, rank=[1, 2, 3, 4])
    assert set(keys.dropped(step)) == {0, 1, 2, 3} - {stays}
    assert {kept for kept, _ in keys.dropped(step).values()} == {stays}


def test_rows_without_scores_have_no_best() -> None:
    step = dedup(keep="best_score")
    keys = signed(step, [asks([TEXT])])
    with pytest.raises(MixtureError, match=r"best_score.*these have none"):
        keys.dropped(step)


def test_an_earlier_source_comes_before_length_and_a_protected_row_before_all() -> None:
    step = dedup(keep="longest")
    texts = ["Hi there!!!", "Hi there!", "Hi there", "Hi there!!"]
    keys = signed(step, [asks(texts)], source=[1, 0, 2, 2])
    assert keys.dropped(step) == dict.fromkeys((0, 2, 3), (1, 1.0))
    keys = signed(step, [asks(texts)], source=[1, 0, 2, 2], protect=[False, False, True, True])
    assert keys.dropped(step) == dict.fromkeys((0, 1), (3, 1.0))


def test_nothing_is_dropped_by_a_chain_of_others() -> None:
    texts = [TEXT, TEXT + " eleven", TEXT + " eleven twelve", TEXT + " eleven twelve thirteen"]
    step = dedup(threshold=0.75)  # sets of 6, 7, 8 and 9
    assert signed(step, [asks(texts)]).dropped(step) == {1: (0, 6 / 7), 2: (0, 6 / 8)}


def test_rows_of_against_come_first_and_are_never_dropped() -> None:
    step = dedup()
    texts = [TEXT, TEXT.upper(), TEXT, "another " + TEXT * 3]
    keys = signed(step, [asks(texts)], source=[0, -1, -1, 0], protect=[False, True, True, False], row=[0, 7, 8, 1])
    assert keys.dropped(step) == {0: (7, 1.0)}


def test_templates_are_ignored_but_not_where_there_is_nothing_else() -> None:
    template = "You are a helpful assistant. Answer the question below as well as you can, in one word."
    texts = [f"{template}\n{text}" for text in ("What is two plus two?", "Who wrote Faust?")]
    texts += [template, template.upper()]
    seen = dedup(threshold=0.4)
    assert set(signed(seen, [asks(texts)]).dropped(seen)) == {1, 2, 3}
    blind = dedup(threshold=0.4, ignore=template)
    assert signed(blind, [asks(texts)]).dropped(blind) == {3: (2, 1.0)}
    with_system = [
        {"messages": [{"role": "system", "content": template}, {"role": "user", "content": text}]}
        for text in ("a", "b")
    ]
    assert signed(blind, [body(with_system)]).dropped(blind) == {}


@pytest.mark.parametrize(
    ("layout", "ignore"),
    [
        ("Question: {}", "question:"),
        ("{}\nAnswer:", ("Answer:",)),
        ("Question: {}\nAnswer:", ("Question:", "Answer:")),
        ("Question: {}\nAnswer:", "Question:\n\nAnswer:"),
        ("Question: {}\nAnswer:", "Question: {question}\nAnswer:"),
        ("To do. To do. To do.\n{}", ("To do.", "To do. To do.")),
        ("Q:{}\nA:", "Q:{q}\nA:"),
    ],
)
def test_equal_short_prompts_are_duplicates_behind_a_template(layout: str, ignore: str | tuple[str, ...]) -> None:
    prompts = [
        "Why?",
        "Answer",
        "question the answer",
        "To do. Now",
        "Answer: one two three four five six",
        "To",
        "东京",
        "a",
    ]
    step = dedup("prompt", ignore=ignore)
    dropped = signed(step, [asks(prompts + [layout.replace("{}", prompt) for prompt in prompts])]).dropped(step)
    assert dropped == {len(prompts) + place: (place, 1.0) for place in range(len(prompts))}


def test_a_template_is_left_out_as_whole_words_only() -> None:
    texts = ["art", "a rt", "start", "start 东a京", "st 东a京", "st 东 京"]
    step = dedup("prompt", ignore=("art", "a"))
    assert signed(step, [asks(texts)]).dropped(step) == {}


def test_no_rows() -> None:
    for step in (dedup(), dedup(keep="longest"), dedup(threshold=1.0)):
        none = step.sign(Segments(0, ()))
        assert {len(column) for column in none.columns.values()} == {0}
        assert len(none.lists["shingles"]) == 0
        assert signed(step, [asks([])]).dropped(step) == {}


def test_texts_at_the_edge(edge_text: str) -> None:
    step = dedup()
    found = signed(step, [asks([edge_text, edge_text + "\n", "x y z " + edge_text])]).dropped(step)
    assert (1 in found) == bool(shingles([("", edge_text[:9999])], 5))
    assert found.get(1, (0, 1.0)) == (0, 1.0)


def test_the_keys_are_what_the_docstring_says() -> None:
    step = dedup(keep="shortest")
    found = step.sign(segments(asks([TEXT, ""]), step.reads))
    types = {name: str(column.dtype) for name, column in found.columns.items()}
    words = ("set_high", "set_low", "sketch_low", "sketch_high")
    numbers = ("characters", *(f"band{k:02d}" for k in range(21)))
    assert types == dict.fromkeys(words, "uint64") | dict.fromkeys(numbers, "uint32") | {"shingles": "int32"}
    assert found.lists["shingles"].type == pa.list_(pa.uint64())
    assert (found.columns["set_high"][1], found.columns["set_low"][1]) == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keep": "last"}, r"keep='last'.*(did you mean|known)"),
        ({"on": "everything"}, "is no scope"),
        ({"threshold": 0}, "threshold=0 is no similarity"),
        ({"threshold": 1.5}, "threshold=1.5 is no similarity"),
        ({"threshold": float("nan")}, "threshold=nan is no similarity"),
        ({"threshold": 0.02}, "give num_perm=263"),
        ({"ngram": 0}, "ngram=0.*one word or more"),
        ({"num_perm": 1}, "num_perm=1.*two places"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        dedup(**wrong)


def test_against_takes_inputs_and_build_folders(tmp_path: Path) -> None:
    rows = files(tmp_path / "rows.jsonl")
    assert dedup(against=rows).against() == (rows,)
    with pytest.raises(SourceNotFoundError, match="no build is there"):
        dedup(against=tmp_path)
    (tmp_path / "manifest.json").touch()
    data = tmp_path / "data"
    data.mkdir()
    row = {"source": "lima", "id": "7", "messages": [{"role": "user", "content": TEXT}], "meta": '{"a":1}'}
    pl.DataFrame([row]).write_parquet(data / "train-00000-of-00001.parquet")
    (found,) = dedup(against=str(tmp_path)).against()
    assert dedup(against=[rows, SimpleNamespace(path=tmp_path)]).against() == (rows, found)
    opened = found.open()
    (parsed,) = [opened.parse(block) for block in opened.blocks()]
    assert parsed.body["messages"].to_pylist() == [row["messages"]]
