"""`score` reads the numbers that rows bring, and checks those that a function gives."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.manifest import canonical
from curate.errors import MixtureError
from curate.io.inputs import files
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import Segments, segments
from curate.steps.base import decide
from curate.steps.filters.score import Of, Scoring, score

NAN: Final = float("nan")
TURNS: Final = [{"role": "user", "content": "Hi"}]


def body(rows: list[dict[str, Any]], kind: Kind = "conversation") -> pa.RecordBatch:
    empty = {
        "conversation": {"messages": TURNS},
        "rated": {"messages": TURNS, "completions": []},
        "preference": {"prompt": TURNS, "chosen": TURNS, "rejected": TURNS},
    }
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | empty[kind] | row for row in rows], BODIES[kind])


def values(step: Scoring, batch: pa.RecordBatch) -> list[float]:
    """The numbers of all rows, the same whether they come together, one by one or from the middle of a batch."""
    column = step.score(segments(batch, step.reads)).columns["value"]
    assert column.dtype == np.float64
    alone = [step.score(segments(batch.slice(i, 1), step.reads)).columns["value"][0] for i in range(batch.num_rows)]
    later = step.score(segments(batch.slice(1), step.reads)).columns["value"]
    assert np.array_equal(column, alone, equal_nan=True)
    assert np.array_equal(column[1:], later, equal_nan=True)
    return column.tolist()


def metas(*each: object) -> pa.RecordBatch:
    return body([{"meta": one if isinstance(one, str) else json.dumps(one)} for one in each])


@pytest.mark.parametrize(
    ("held", "number"),
    [
        (4.5, 4.5),
        (-3, -3),
        ("4.5", 4.5),
        (" 1e3 ", 1000),
        (12345678901234567890, 12345678901234567890),
        (True, NAN),
        (None, NAN),
        ("n/a", NAN),
        ("1,000", NAN),
        ("inf", NAN),
        ("NaN", NAN),
        ("", NAN),
        ("0x1F", NAN),
        ([1], NAN),
        ({"a": 1}, NAN),
    ],
)
def test_what_counts_as_a_number(held: object, number: float) -> None:
    assert values(score("meta.reward"), metas({"reward": held}, {})) == pytest.approx([number, NAN], nan_ok=True)


@pytest.mark.parametrize(
    "name", ["reward", "a.b", "x y", "it's", 'say "x"', "é", "東京.nota", "0", "*", "$", "a[0]", "👍"]
)
def test_a_field_of_any_name_is_found(name: str) -> None:
    nested: object = 2.0
    for part in reversed(name.split(".")):
        nested = {part: nested}
    found = values(score(f"meta.{name}"), metas({name: 1.5}, nested, {"other": name}, "{}"))
    assert found == pytest.approx([1.5, 2.0, NAN, NAN], nan_ok=True)


@given(st.lists(st.none() | st.decimals(-1000, 1000, places=6).map(float) | st.integers(-(10**12), 10**12)))
def test_json_numbers_come_back_exactly(numbers: list[float | None]) -> None:
    found = values(score("meta.n"), metas(*({"n": number, "text": "}\\"} for number in numbers)))
    assert np.array_equal(found, [NAN if number is None else float(number) for number in numbers], equal_nan=True)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)))
def test_json_numbers_of_many_digits_come_back_but_for_a_bit(numbers: list[float]) -> None:
    found = values(score("meta.n"), metas(*({"n": number} for number in numbers)))
    assert found == pytest.approx(numbers, rel=1e-15, abs=0)


def test_the_scores_of_a_pair() -> None:
    batch = body(
        [{"chosen_score": 2.0, "rejected_score": None}, {"chosen_score": None, "rejected_score": -1}], "preference"
    )
    assert values(score("chosen_score"), batch) == pytest.approx([2.0, NAN], nan_ok=True)
    assert values(score("rejected_score"), batch) == pytest.approx([NAN, -1.0], nan_ok=True)
    assert values(score("chosen_score"), body([{}])) == pytest.approx([NAN], nan_ok=True), "conversations have none"
    assert values(score("completions"), batch) == pytest.approx([NAN, NAN], nan_ok=True)


VALUES = st.sampled_from([None, 0.1, 0.2, 0.3, 1e16, -5.0])
COMPLETIONS = st.lists(
    st.lists(st.fixed_dictionaries({"name": st.sampled_from(["good", "true"]), "value": VALUES}), max_size=3).map(
        lambda scores: {"content": "", "model": None, "scores": scores}
    ),
    max_size=4,
)


@pytest.mark.parametrize("of", ["best", "mean", "worst"])
@given(rows=st.lists(COMPLETIONS, max_size=5), name=st.sampled_from(["completions", "completions.good"]))
def test_the_scores_of_completions(of: Of, rows: list[list[dict[str, Any]]], name: str) -> None:
    choose: dict[str, Callable[[list[float]], float]] = {"best": max, "worst": min, "mean": fmean}
    wanted = []
    for row in rows:
        held = [
            [
                s["value"]
                for s in each["scores"]
                if s["value"] is not None and name in {"completions", f"completions.{s['name']}"}
            ]
            for each in row
        ]
        means = [fmean(each) for each in held if each]
        wanted.append(choose[of](means) if means else NAN)
    found = values(score(name, of=of), body([{"completions": row} for row in rows], "rated"))
    assert found == pytest.approx(wanted, nan_ok=True, rel=1e-12)


def test_limits_name_their_reason_and_nan_stays() -> None:
    step = score("meta.r", at_least=1, at_most=3)
    scores = step.score(segments(metas({"r": 0}, {"r": 1}, {"r": 3}, {"r": 4}, {})))
    verdict = decide(scores, step.bounds(), 5)
    reasons = [bound.reason for bound in step.bounds()]
    assert [reasons[place] if place >= 0 else None for place in verdict.bound] == [
        "low_score",
        None,
        None,
        "high_score",
        None,
    ]
    assert score("meta.r").bounds() == ()
    assert [bound.reason for bound in score("meta.r", at_most=0).bounds()] == ["high_score"]


def test_texts_at_the_edge_in_meta(edge_texts: dict[str, str]) -> None:
    found = values(score("meta.r"), metas(*({"text": text, "r": i} for i, text in enumerate(edge_texts.values()))))
    assert found == list(range(len(edge_texts)))
    assert np.isnan(values(score("meta.text"), metas(*({"text": text} for text in edge_texts.values())))).all()


def test_no_rows() -> None:
    for what in ("meta.r", "completions", "chosen_score"):
        assert score(what).score(Segments(0, ())).columns["value"].dtype == np.float64
        assert np.isnan(score(what).score(Segments(3, ())).columns["value"]).all()


JUDGES: Final = """
import numpy as np
import polars as pl
import pyarrow as pa

CALLS = []

def turns(rows):
    CALLS.append(rows.num_rows)
    return pa.compute.list_value_length(rows["messages"])

def listed(rows):
    return [None if i % 2 else 1 for i in range(rows.num_rows)]

def series(rows):
    return pl.Series([None] * rows.num_rows, dtype=pl.Int64)

def short(rows):
    return np.zeros(rows.num_rows - 1)

def wide(rows):
    return np.zeros((rows.num_rows, 2))

def endless(rows):
    return np.full(rows.num_rows, -np.inf)

def words(rows):
    return ["good"] * rows.num_rows

def nothing(rows):
    return None

def fails(rows):
    raise ZeroDivisionError("mine")

limit = 3
"""


@pytest.fixture
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "judges_of_tests.py"
    path.write_text(JUDGES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "judges_of_tests", raising=False)
    return path


def test_a_function_by_name_gives_the_numbers(judges: Path) -> None:
    step = score("judges_of_tests:turns", at_least=2)
    assert values(step, body([{}, {"messages": TURNS * 2}, {"messages": []}])) == [1, 2, 0]
    module = sys.modules["judges_of_tests"]
    module.CALLS.clear()
    assert step.score(Segments(0, ())).columns["value"].tolist() == []
    assert module.CALLS == [], "it is not called for no rows"
    assert step.data_hashes() == {"judges_of_tests:turns": hashlib.sha256(judges.read_bytes()).hexdigest()}
    assert "judges_of_tests:turns" in json.dumps(canonical(step))
    assert score(module.turns, at_least=2) == step
    assert score("meta.r").data_hashes() == {}


@pytest.mark.usefixtures("judges")
def test_answers_of_every_make() -> None:
    batch = body([{}, {}])

    def once(what: str) -> list[float]:
        return score(what).score(segments(batch)).columns["value"].tolist()

    assert once("judges_of_tests:listed") == pytest.approx([1, NAN], nan_ok=True)
    assert np.isnan(once("judges_of_tests:series")).all()


@pytest.mark.usefixtures("judges")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"was given 2 values and must give one for each; it gave 1"),
        ("wide", r"must be a number for each row, not Array"),
        ("endless", r"is infinite for 2 rows"),
        ("words", r"must be a number for each row, not String"),
        ("nothing", r"it gave 0"),
    ],
)
def test_a_wrong_answer_says_whose_it_is(name: str, message: str) -> None:
    step = score(f"judges_of_tests:{name}")
    with pytest.raises(MixtureError, match=rf"judges_of_tests:{name}.*{message}"):
        step.score(segments(body([{}, {}])))


@pytest.mark.usefixtures("judges")
def test_what_the_function_raises_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        score("judges_of_tests:fails").score(segments(body([{}])))


@pytest.mark.usefixtures("judges")
@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("reward", r"is no number that rows bring: 'meta\.<field>'"),
        ("meta", "is no number that rows bring"),
        ("meta.", "is no number that rows bring"),
        ("meta.a..b", "is no number that rows bring"),
        ("meta.a\\b", "is no number that rows bring"),
        ("completions.", "is no number that rows bring"),
        ("judges:", "is no number that rows bring"),
        ("a b:c", "is no number that rows bring"),
        ("judges_of_tests:turn", "has no function 'turn'; did you mean 'turns'"),
        ("judges_of_tests:limit", "is int, which cannot be called"),
        ("no_such_judges:fluency", "no_such_judges is no module with a file|cannot be imported"),
        ("no_such.judges:fluency", "cannot be imported"),
        ("sys:exit", "is no module with a file of its own"),
        (lambda _rows: None, "finds a function by its name"),
        (len, "no module with a file|finds a function"),
        (3, "finds a function by its name"),
    ],
)
def test_a_name_that_leads_nowhere(what: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(MixtureError, match=message):
        score(what)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"at_least": 2, "at_most": 1}, "the lower limit is above"),
        ({"at_least": "2"}, "a finite number, or None"),
        ({"at_most": float("inf")}, "a finite number, or None"),
        ({"of": "bset"}, "did you mean 'best'"),
    ],
)
def test_a_wrong_call_says_so(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        score("meta.r", **wrong)


def test_scores_of_real_files(real_data: Path) -> None:
    opened = files(real_data / "sft/alpaca_1k_score.json").open()
    batch = next(opened.parse(block).body for block in opened.blocks())
    step = score("meta.score", at_least=5)
    found = step.score(segments(batch)).columns["value"]
    assert (len(found), np.isnan(found).sum()) == (1000, 0)
    raw = json.loads((real_data / "sft/alpaca_1k_score.json").read_text("utf-8"))
    assert found.tolist() == [row["score"] for row in raw]
    opened = files(real_data / "preference/ultrafeedback_truthful_qa_completions.json").open()
    batch = next(opened.parse(block).body for block in opened.blocks())
    assert np.isnan(values(score("completions.overall_score"), batch)).all(), "its completions were never rated"
