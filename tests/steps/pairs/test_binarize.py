"""`binarize` pairs what its slow definition pairs, whatever the order, and says why a row gives no pair."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.manifest import canonical
from curate.errors import MixtureError
from curate.rows.schema import BODIES
from curate.steps.pairs.binarize import (
    Binarize,
    Rejected,
    argilla,
    at_least,
    binarize,
    max_min,
    tulu3,
    zephyr,
)
from curate.steps.pairs.completion_scores import ASPECTS, mean, weighted
from tests.support.pair_rows import Answers, Row, ask, body, every_strategy, expected, outcomes

TEXTS = st.sampled_from(["", " ", "a", "A", "bb", "ccc", "ddd", "é", "e\u0301", "東京へ", "مرحبا", "👩‍👩‍👧", "\r\n"])
VALUES = st.sampled_from([0.0, -1.0, 1.0, 1.5, 2.0, 2.0, 0.1, 0.3, 0.2, float("nan"), float("inf"), None])
SCORES = st.dictionaries(st.sampled_from(["overall", "overall_score", "x", "y"]), VALUES, max_size=4)
ROWS = st.lists(
    st.builds(
        lambda answers, prompt: ask(*answers, prompt=prompt), st.lists(st.tuples(TEXTS, SCORES), max_size=7), TEXTS
    ),
    max_size=5,
)
STEPS = [
    *every_strategy("overall", 1.5, 0.2),
    *every_strategy(mean("x", "y"), 1.0, 0.5),
    *every_strategy(weighted(x=2, y=-0.5), 0.3, 0.1),
]
SHUFFLED = random.Random(1).sample(STEPS, len(STEPS))


def reason(step: Binarize, row: Row) -> str | list[Any]:
    return outcomes(step, body([row]))[0]


def sides(step: Binarize, row: Row) -> list[tuple[str, str]]:
    found = reason(step, row)
    assert isinstance(found, list)
    return [(pair.chosen, pair.rejected) for pair in found]


@given(ROWS, st.sampled_from(SHUFFLED))
def test_pairs_are_as_defined(rows: list[Row], step: Binarize) -> None:
    assert outcomes(step, body(rows)) == expected(step, rows)


def test_every_strategy_on_rows_with_everything() -> None:
    rng = random.Random(5)
    texts = ["", "a", "bb", "ccc", "dddd", "東京", "🙂", "x" * 300]
    rows = [
        ask(
            *(
                (rng.choice(texts), {name: rng.choice([1.0, 2.0, 2.5, 4.0, None]) for name in ("overall", "x", "y")})
                for _ in range(rng.randrange(7))
            ),
            prompt=f"Question {i}",
        )
        for i in range(60)
    ]
    for step in STEPS:
        assert outcomes(step, body(rows)) == expected(step, rows)


@given(ROWS, st.sampled_from(SHUFFLED), st.randoms(use_true_random=False))
def test_no_order_and_no_cut_changes_a_pair(rows: list[Row], step: Binarize, rng: random.Random) -> None:
    whole = outcomes(step, body(rows))
    order = rng.sample(range(len(rows)), len(rows))
    mixed = [rows[i] | {"completions": rng.sample(rows[i]["completions"], len(rows[i]["completions"]))} for i in order]
    assert outcomes(step, body(mixed)) == [whole[i] for i in order]
    batch = body([*rows, ask(("z", 1), ("y", 2)), *rows])
    parts = [batch.slice(start, 2) for start in range(0, batch.num_rows, 2)]
    assert [each for part in parts for each in outcomes(step, part)] == outcomes(step, batch)


MODELS = st.sampled_from([None, "small", "large", 'a "big\\" one\n', "\u202eשלום", "👩‍👩‍👧", ""])
FROM_MODELS = st.lists(st.tuples(TEXTS, st.sampled_from([1.0, 2.0, None]), MODELS), max_size=6)


@given(st.lists(FROM_MODELS, max_size=4), st.sampled_from(every_strategy("overall", 1.5, 0.2)))
def test_pairs_name_the_models_of_their_answers(
    rows: list[list[tuple[str, float | None, str | None]]], step: Binarize
) -> None:
    metas = ["{}", '{"x": 1.50}', '{"y":"\\u00e9"}', '{"chosen_model":"theirs"}']
    batch = body([of_models(row, f"Question {i}", metas[i]) for i, row in enumerate(rows)])
    found = step.pair(batch)
    for number, pair in zip(found.row.tolist(), found.body.to_pylist(), strict=True):
        known = {}
        for side in ("chosen", "rejected"):
            writers = {model for text, score, model in rows[number] if text == pair[side][0]["content"] and score}
            if len(writers) == 1 and None not in writers:
                known[f"{side}_model"] = writers.pop()
        before = metas[number]
        if number == 3 or not known:
            assert pair["meta"] == before
            continue
        assert json.loads(pair["meta"]) == json.loads(before) | known
        assert pair["meta"].startswith(before[:-1])


def of_models(answers: list[tuple[str, float | None, str | None]], prompt: str, meta: str) -> Row:
    row = ask(*((text, score) for text, score, _ in answers), prompt=prompt, meta=meta)
    named = zip(row["completions"], answers, strict=True)
    return row | {"completions": [one | {"model": model} for one, (_, _, model) in named]}


def test_no_row_and_no_completion() -> None:
    assert outcomes(binarize(), body([])) == []
    assert outcomes(binarize(), body([ask(), ask()])) == ["one_completion"] * 2


def test_strategies() -> None:
    row = ask(("best", 9), ("worst, and long", 1), ("four", 3), ("middling", 5))
    assert sides(binarize(rejected="worst"), row) == [("best", "worst, and long")]
    assert sides(binarize(rejected="next_best"), row) == [("best", "middling")]
    assert sides(binarize(rejected="length_matched"), row) == [("best", "four")]
    assert sides(binarize(rejected="next_best", margin=5), row) == [("best", "four")]
    everything = [("best", "middling"), ("best", "four"), ("best", "worst, and long")]
    assert sides(binarize(rejected="all_lower"), row) == everything
    assert sides(binarize(rejected="all_lower", margin=6), row) == everything[1:]
    chosen = [pair[0] for pair in sides(binarize(chosen=at_least(3)), row)]
    assert chosen == ["best", "middling", "four"]


def test_a_random_one_is_any_of_them() -> None:
    rows = [ask(("a", 4), ("b", 3), ("c", 2), ("d", 1), prompt=f"Question {i}") for i in range(3000)]
    for rejected in ("random_lower", "random_other"):
        found = binarize(rejected=rejected).pair(body(rows)).body
        drawn = Counter(found["rejected"].values.field("content").to_pylist())
        assert set(drawn) == {"b", "c", "d"}
        assert all(900 < count < 1100 for count in drawn.values())
    best = [ask(("a", 1), ("b", 1), ("c", 0), prompt=f"Question {i}") for i in range(3000)]
    chosen = Counter(binarize().pair(body(best)).body["chosen"].values.field("content").to_pylist())
    assert 1400 < chosen["a"] < 1600


def test_the_seed_changes_random_choices_and_nothing_else() -> None:
    rows = [ask(("a", 4), ("b", 3), ("c", 2), prompt=f"Question {i}") for i in range(50)]
    assert outcomes(binarize(seed=1), body(rows)) != outcomes(binarize(seed=2), body(rows))
    assert outcomes(max_min(seed=1), body(rows)) == outcomes(max_min(seed=2), body(rows))


@pytest.mark.parametrize(
    ("step", "row", "why"),
    [
        (binarize(), ask(("a", 1)), "one_completion"),
        (binarize(), ask(("a", 1), ("a", 5)), "one_completion"),
        (binarize(), ask(("a", 1), ("b", None)), "missing_score"),
        (binarize(), ask(("a", 1), ("b", float("nan"))), "missing_score"),
        (binarize(score=mean("x", "y")), ask(("a", {"x": 1, "y": 2}), ("b", {"x": 2})), "missing_score"),
        (binarize(chosen=at_least(7)), ask(("a", 1), ("b", 6.9)), "none_good_enough"),
        (binarize(), ask(("a", 2), ("b", 2), ("c", 2)), "all_tied"),
        (binarize(margin=1), ask(("a", 2), ("b", 2)), "all_tied"),
        (binarize(margin=2), ask(("a", 2), ("b", 1)), "below_margin"),
        (binarize(margin=2, ties="keep"), ask(("a", 2), ("b", 2)), "below_margin"),
        (binarize(rejected="random_other", margin=2), ask(("a", 2), ("b", 1)), "below_margin"),
    ],
)
def test_reasons(step: Binarize, row: Row, why: str) -> None:
    assert reason(step, row) == why


def test_random_other_draws_first_and_is_judged_then() -> None:
    rows = [ask(("a", 2), ("b", 2), ("c", 1), prompt=f"Question {i}") for i in range(200)]
    found: Answers = outcomes(binarize(rejected="random_other"), body(rows))
    assert found.count("drawn_tied") in range(60, 140)
    assert all(pair.rejected == "c" for each in found if isinstance(each, list) for pair in each)
    assert not [each for each in outcomes(zephyr(), body(rows)) if isinstance(each, str)]


def test_kept_ties_are_paired_one_way() -> None:
    row = ask(("a", 2), ("b", 2), ("c", 2))
    for rejected in get_args(Rejected):
        found = sides(binarize(chosen=at_least(1), rejected=rejected, ties="keep"), row)
        assert found
        assert not {(two, one) for one, two in found} & set(found)


def test_equal_texts_count_once_with_their_mean_score() -> None:
    row = ask(("a", 4), ("a", 0), ("b", 3), ("c", 1))
    found = reason(binarize(rejected="all_lower"), row)
    assert found == [("b", "a", 3.0, 2.0), ("b", "c", 3.0, 1.0)]
    assert reason(binarize(), ask(("a", 0.1), ("a", 0.1), ("a", 0.1), ("b", 0.1))) == "all_tied"


def test_means_that_are_equal_on_paper_tie() -> None:
    step = binarize(score=weighted(x=0.1, y=0.2))
    assert reason(step, ask(("a", {"x": 3, "y": 1}), ("b", {"x": 1, "y": 2}))) == "all_tied"
    assert sides(binarize(margin=0.2), ask(("a", 0.3), ("b", 0.1))) == [("a", "b")]


def test_what_overall_means() -> None:
    old, new = {"overall_score": 9.0}, {"overall": 1.0, "overall_score": 10.0}
    assert sides(binarize(), ask(("a", new), ("b", old))) == [("b", "a")]
    assert reason(binarize(score="overall_score"), ask(("a", new), ("b", old))) == [("a", "b", 10.0, 9.0)]


def test_at_most_so_many_pairs_a_prompt() -> None:
    row = ask(*((f"text {i}", i) for i in range(6)))
    steps = [binarize(chosen=at_least(2), rejected="all_lower", pairs_per_prompt=most) for most in (1, 2, 5, 99)]
    found = [sides(step, row) for step in steps]
    assert [len(each) for each in found] == [1, 2, 5, 14]
    assert set(found[0]) < set(found[1]) < set(found[2]) < set(found[3])
    assert found[2] == [pair for pair in found[3] if pair in found[2]]


def test_texts_at_the_edge_come_out_as_they_went_in(edge_texts: dict[str, str]) -> None:
    texts = [text for text in edge_texts.values() if len(text) < 10**6]
    rows = [ask((text, 1), ("nul \0" + text, 2), prompt=text, meta='{"a": 1.50}') for text in texts]
    found = binarize().pair(body(rows))
    assert found.body["chosen"].values.field("content").to_pylist() == ["nul \0" + text for text in texts]
    assert found.body["rejected"].values.field("content").to_pylist() == texts
    assert [turns[0]["content"] for turns in found.body["prompt"].to_pylist()] == texts
    assert set(found.body["meta"].to_pylist()) == {'{"a": 1.50}'}


def test_a_long_prompt_keeps_its_turns() -> None:
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "tool", "user")]
    row = ask(("a", 1), ("b", 2)) | {"messages": turns}
    assert binarize().pair(body([row])).body["prompt"].to_pylist() == [turns]


def test_only_rated_rows_are_paired() -> None:
    rows = pa.RecordBatch.from_pylist([{"messages": [], "meta": "{}"}], BODIES["conversation"])
    with pytest.raises(MixtureError, match=r"binarize\(\) pairs rated rows; these are conversation rows"):
        binarize().pair(rows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"score": ""}, "give the name of a score"),
        ({"score": 5}, "give the name of a score"),
        ({"chosen": "first"}, "at_least"),
        ({"rejected": "wurst"}, "did you mean 'worst'"),
        ({"ties": "split"}, "known: drop, keep"),
        ({"margin": -1}, "from 0 up"),
        ({"margin": float("nan")}, "from 0 up"),
        ({"pairs_per_prompt": 0}, "whole number from 1 up"),
        ({"pairs_per_prompt": True}, "whole number from 1 up"),
        ({"seed": -1}, "whole number from 0 up"),
        ({"seed": 2**64}, "whole number from 0 up"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        binarize(**wrong)


def test_wrong_scores() -> None:
    with pytest.raises(MixtureError, match="takes names of scores, each once"):
        mean()
    with pytest.raises(MixtureError, match="takes names of scores, each once"):
        mean("x", "x")
    with pytest.raises(MixtureError, match="a weight is a number other than 0"):
        weighted(x=1, y=0)
    with pytest.raises(MixtureError, match="takes a number"):
        at_least(float("inf"))


def test_a_step_has_an_identity() -> None:
    steps = [zephyr(), argilla(), tulu3(), max_min(), binarize(score=weighted(x=2), chosen=at_least(3), margin=1)]
    seen = {str(canonical(step)) for step in steps}
    assert len(seen) == len(steps)
    assert canonical(binarize(score=mean("y", "x"))) == canonical(binarize(score=mean("x", "y")))


def test_presets() -> None:
    good, poor = dict.fromkeys(ASPECTS, 5.0), dict.fromkeys(ASPECTS, 1.0)
    row = ask(
        ("says ten", poor | {"overall_score": 10.0}), ("good", good | {"overall_score": 8.0}), ("N/A", {"honesty": 5.0})
    )
    assert sides(zephyr(), row) == [("says ten", "good")]
    assert sides(max_min(), row) == [("says ten", "good")]
    assert sides(argilla(), row) == sides(tulu3(), row) == [("good", "says ten")]


def test_one_signature_is_compiled() -> None:
    assert np.iinfo(np.int16).max > len(binarize().reasons())
    assert len(set(binarize().reasons())) == len(binarize().reasons())
