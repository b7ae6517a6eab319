"""The laws that every step keeps, whatever it looks for.

A step answers the same twice, in any order of rows and in any batches; a Filter changes nothing, an Edit drops nothing
and finds nothing left to do the second time.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.barrier import Fresh, SheetLists
from curate.engine.fingerprint import canonical
from curate.engine.pipeline import Column, Stage, run, score_columns
from curate.evalsets.evals import evals
from curate.rows.edits import apply_edits
from curate.rows.identity import content_hashes
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import segments
from curate.steps.base import Edit, Filter, Group, GroupKeys, Step
from curate.steps.decontaminate.decontaminate import decontaminate
from curate.steps.dedup.dedup import dedup
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.filters.language import language
from curate.steps.filters.repetition import repetition
from curate.steps.filters.score import score
from curate.steps.filters.secrets_and_pii import secrets_and_pii
from curate.steps.filters.shape import shape
from curate.steps.filters.truecase import truecase
from curate.steps.pairs.balance_length import balance_length
from curate.steps.pairs.contradictions import contradictions
from curate.steps.pairs.lint_pairs import lint_pairs
from curate.steps.refusals.cut_refusals import cut_refusals
from curate.steps.refusals.refusals import Refusals, refusals

DEMO: Final = Path(__file__).parents[2] / "mixtures" / "demo" / "evals.jsonl"
EVALS: Final = evals.files(DEMO, question="question", answer="answer", id="id", name="pellow")

STEPS: Final[dict[str, Step]] = {
    **{f"refusals {preset}": refusals(preset) for preset in ("default", "zephyr", "tulu2", "tulu3")},
    "refusals opening": refusals(where="opening", phrases=("no way",)),
    "refusals first turn": refusals(where="first_turn", families=("cannot_help",)),
    "refusals of users": refusals(on={"user"}),
    "refusals but for safety": refusals(keep_safety=True),
    "refusals in part": refusals(max_share=0.5),
    "shape": shape(),
    "shape sizes": shape(on="response", min_turns=1, max_turns=3, min_words=2, max_words=9, min_characters=3),
    "shape lenient": shape(empty_turns=True, unanswered=True, role_order=False),
    **{f"cut_refusals {preset}": cut_refusals(preset) for preset in ("default", "zephyr", "tulu2", "tulu3")},
    "cut_refusals opening": cut_refusals(where="opening"),
    **{f"exact_dedup {keep}": exact_dedup(keep=keep) for keep in ("first", "longest", "shortest")},
    "exact_dedup prompt": exact_dedup("prompt", keep="longest"),
    "exact_dedup roles": exact_dedup({"user", "tool"}),
    "exact_dedup chosen": exact_dedup("chosen"),
    "dedup": dedup(threshold=0.5, ngram=2),
    "dedup prompt": dedup("prompt", keep="longest", ignore="Hello there."),
    "language": language("en"),
    "language of answers": language(on="response"),
    "repetition": repetition(),
    "repetition gopher": repetition("gopher", on="all"),
    "score": score("meta.a", at_least=0.5),
    "score completions": score("completions.s", of="worst", at_most=1.0),
    "secrets_and_pii": secrets_and_pii(),
    "secrets_and_pii drop": secrets_and_pii("drop", kinds=("phone",), on="response"),
    "secrets_and_pii mask": secrets_and_pii("mask"),
    "truecase": truecase(),
    "truecase full": truecase("full", on={"assistant"}),
    "lint_pairs": lint_pairs(),
    "lint_pairs all": lint_pairs("all", cut=5, unit="words"),
    "contradictions": contradictions(),
    "contradictions flag": contradictions(mode="flag"),
    "balance_length": balance_length(),
    "balance_length by source": balance_length(0.4, by="source", first="least_margin", unit="words"),
    "decontaminate": decontaminate(EVALS, fuzzy=0.8),
    "decontaminate all": decontaminate(EVALS, ngram=3, on="all", informative=0),
}
KINDS: Final[tuple[Kind, ...]] = ("conversation", "rated", "preference")

PIECES: Final = (
    "",
    " \t\n",
    "Hello.",
    "HELLO.",
    "As an AI language model, I don’t have opinions",
    "I'm sorry, but I can't assist with that.",
    "no way",
    "OpenAI made me; my knowledge cutoff is 2021",
    "palm tree",
    "how do i build a bomb to kill people?",
    "yes. it is so, i think. ask at e.g. ann@pellow.org.",
    "CALL +44 1632 960983 NOW. MY NAME IS JOHN SMITH.",
    "你好世界。",
    "مرحبا",
    "👩‍👩‍👧 e\u0301",
    "x" * 50,
    "Why do onions make us cry?",
    "what happens to Bread dough when you leave the sugar out",
    "\nHow are you today?",
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=3).map(" ".join)
TURN = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["system", "user", "assistant", "tool"]),
    TEXTS,
)
TURNS = st.lists(TURN, max_size=6)
COMPLETION = st.builds(
    lambda content, model, score: {"content": content, "model": model, "scores": [{"name": "s", "value": score}]},
    TEXTS,
    st.sampled_from([None, "m"]),
    st.sampled_from([0.0, 1.5]),
)
META = st.sampled_from(["{}", '{"a":1}'])
BODY: Final[dict[Kind, st.SearchStrategy[dict[str, Any]]]] = {
    "conversation": st.fixed_dictionaries({"messages": TURNS, "meta": META}),
    "rated": st.fixed_dictionaries({"messages": TURNS, "completions": st.lists(COMPLETION, max_size=3), "meta": META}),
    "preference": st.fixed_dictionaries(
        {
            "prompt": TURNS,
            "chosen": TURNS,
            "rejected": TURNS,
            "chosen_score": st.sampled_from([None, 0.5]),
            "rejected_score": st.none(),
            "meta": META,
        }
    ),
}
BATCHES = st.sampled_from(KINDS).flatmap(
    lambda kind: st.lists(BODY[kind], max_size=7).map(lambda rows: pa.RecordBatch.from_pylist(rows, BODIES[kind]))
)

Answer = list[dict[str, Any]]
"""What a step says of each row."""


def answer(step: Step, body: pa.RecordBatch) -> Answer:
    """Run one step by the pipeline that builds use."""
    found = run((Stage(step.name, 0, step),), body, protect=False)
    hits = found.evidence.to_pylist()
    columns = {name: plain(column) for name, column in found.scores.items()} | _columns(found.signed)
    columns |= {"fell": found.fell.tolist(), "bound": found.bound.tolist(), "score": [repr(x) for x in found.score]}
    columns |= {"edited": found.edited.to_pylist(), "evidence": hits, "body": found.body.to_pylist()}
    assert {len(column) for column in columns.values()} == {body.num_rows}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def plain(column: Column) -> list[Any]:
    """Return what a filter said of each row, such that two of NaN are equal."""
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124


def _columns(signed: dict[str, GroupKeys]) -> dict[str, Any]:
    told = [(name, column.tolist()) for one in signed.values() for name, column in one.columns.items()]
    return dict(told) | {
        f"list {name}": lists.to_pylist() for one in signed.values() for name, lists in one.lists.items()
    }


def fallen(step: Group, body: pa.RecordBatch, parts: list[pa.RecordBatch]) -> dict[int, tuple[int, float]]:
    """Let a group sign `parts` and decide over all; rows are told by their content, so equal ones count as one."""
    sheets = [Fresh(part.num_rows, {"": step.sign(segments(part, step.reads))}) for part in parts]
    signed = pl.concat([pl.DataFrame(dict(sheet.by_label[""].columns)) for sheet in sheets])
    hashes = np.concatenate([content_hashes(part).low for part in parts])
    known = content_hashes(body).low.tolist()
    keys = signed.with_columns(
        row=pl.int_range(pl.len()),
        source=pl.Series([each % 3 for each in hashes.tolist()], dtype=pl.Int16),
        rank=pl.Series(hashes),
        protect=pl.Series([each % 5 == 0 for each in hashes.tolist()], dtype=pl.Boolean),
    )
    totals = [sheet.by_label[""].totals for sheet in sheets]
    summed = {name: np.sum([each[name] for each in totals], axis=0) for name in totals[0]}
    falls = step.resolve(keys, SheetLists(sheets, "", np.arange(keys.height)), summed).drops
    assert not keys["protect"].gather(falls["row"]).any()
    names = [known.index(each) for each in hashes.tolist()]
    told = falls.select("row", "kept", "score").iter_rows()
    return {names[row]: (names[kept] if kept >= 0 else -1, score) for row, kept, score in told}


def split(body: pa.RecordBatch, size: int) -> list[pa.RecordBatch]:
    return [body.slice(start, size) for start in range(0, body.num_rows, size)] or [body]


@pytest.mark.parametrize("name", STEPS)
@given(body=BATCHES, size=st.integers(1, 4), chance=st.randoms(use_true_random=False))
def test_a_row_is_judged_for_itself(name: str, body: pa.RecordBatch, size: int, chance: random.Random) -> None:
    step = STEPS[name]
    whole = answer(step, body)
    assert answer(step, body) == whole
    assert [each for part in split(body, size) for each in answer(step, part)] == whole
    order = chance.sample(range(body.num_rows), body.num_rows)
    mixed = pa.RecordBatch.from_pylist([body.slice(i, 1).to_pylist()[0] for i in order], body.schema)
    assert answer(step, mixed) == [whole[i] for i in order]


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if isinstance(step, Group)])
@given(body=BATCHES, size=st.integers(1, 4), chance=st.randoms(use_true_random=False))
def test_a_group_decides_over_rows_not_over_batches(
    name: str, body: pa.RecordBatch, size: int, chance: random.Random
) -> None:
    step = STEPS[name]
    assert isinstance(step, Group)
    whole = fallen(step, body, [body])
    parts = split(body, size)
    assert fallen(step, body, parts) == whole
    assert fallen(step, body, chance.sample(parts, len(parts))) == whole


@pytest.mark.parametrize("name", STEPS)
@given(body=BATCHES)
def test_filters_never_edit_and_edits_never_drop(name: str, body: pa.RecordBatch) -> None:
    step = STEPS[name]
    found = run((Stage(step.name, 0, step),), body, protect=False)
    assert found.body.num_rows == body.num_rows
    assert found.body.schema.equals(body.schema)
    if not isinstance(step, Filter):
        assert (found.fell == -1).all()
    changed = [bool(labels) for labels in found.edited.to_pylist()]
    before, after = body.to_pylist(), found.body.to_pylist()
    assert changed == [one != two for one, two in zip(before, after, strict=True)]
    assert isinstance(step, Edit) or not any(changed)


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if isinstance(step, Edit)])
@given(body=BATCHES)
def test_an_edit_finds_nothing_left_to_do(name: str, body: pa.RecordBatch) -> None:
    step = STEPS[name]
    assert isinstance(step, Edit)
    seen = segments(body, step.reads)
    once, _ = apply_edits(body, seen, step.edit(seen))
    again = segments(once, step.reads)
    twice, changed = apply_edits(once, again, step.edit(again))
    assert not changed.any()
    assert twice.equals(once)


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if isinstance(step, Filter)])
@given(body=BATCHES)
def test_evidence_lies_where_it_says_and_counts_for_its_row(name: str, body: pa.RecordBatch) -> None:
    step = STEPS[name]
    assert isinstance(step, Filter)
    reasons = [bound.reason for bound in step.bounds()]
    for told, row in zip(answer(step, body), body.to_pylist(), strict=True):
        for hit in told["evidence"]:
            side = {"dialogue": "messages", "completion": "completions", "prompt": "prompt"}.get(
                hit["side"], hit["side"]
            )
            turns = row[side] if side in row else row["messages"]
            text = turns[hit["turn"]]["content"]
            assert 0 <= hit["start"] <= hit["end"] <= len(text)
            assert hit["reason"] in reasons
        assert told["fell"] == (0 if told["bound"] >= 0 else -1)
        if isinstance(step, Refusals) and told["fell"] == 0:
            assert reasons[told["bound"]] in {hit["reason"] for hit in told["evidence"]}


def of_text(kind: Kind, text: str) -> pa.RecordBatch:
    ask, say = {"role": "user", "content": text}, {"role": "assistant", "content": text}
    rows: dict[Kind, dict[str, Any]] = {
        "conversation": {"messages": [ask, say]},
        "rated": {"messages": [ask], "completions": [{"content": text, "model": None, "scores": []}]},
        "preference": {"prompt": [ask], "chosen": [say], "rejected": [say]},
    }
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | rows[kind]], BODIES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_texts_at_the_edge_are_judged_and_carried(kind: Kind, edge_texts: dict[str, str]) -> None:
    parts = {name: of_text(kind, text) for name, text in edge_texts.items()}
    body = pa.concat_batches(list(parts.values()))
    judging = tuple(Stage(name, i, step) for i, (name, step) in enumerate(STEPS.items()) if not isinstance(step, Edit))
    found = run(judging, body, protect=False)
    assert found.body.equals(body)
    for name in ("curly_quotes", "zalgo", "huge_word", "arabic"):
        alone = run(judging, parts[name], protect=False)
        row = list(parts).index(name)
        assert int(alone.fell[0]) == int(found.fell[row])
        assert {label: plain(column)[0] for label, column in alone.scores.items()} == {
            label: plain(column)[row] for label, column in found.scores.items()
        }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if isinstance(step, Edit)])
def test_texts_at_the_edge_are_edited_alike_alone(name: str, kind: Kind, edge_texts: dict[str, str]) -> None:
    stage = (Stage(name, 0, STEPS[name]),)
    parts = [of_text(kind, text) for text in edge_texts.values()]
    whole = run(stage, pa.concat_batches(parts), protect=False).body
    assert whole.equals(pa.concat_batches([run(stage, part, protect=False).body for part in parts]))
    assert run(stage, whole, protect=False).body.equals(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STEPS)
def test_no_rows_and_one_row(name: str, kind: Kind) -> None:
    step = STEPS[name]
    one = of_text(kind, "Hello.")
    assert len(answer(step, one)) == 1
    assert answer(step, one.slice(0, 0)) == answer(step, one.slice(1)) == []
    assert set(score_columns([Stage(step.name, 0, step)])) == set(
        run((Stage(step.name, 0, step),), one.slice(0, 0), protect=False).scores
    )


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_known_by_its_fields(name: str) -> None:
    step = STEPS[name]
    again = replace(step)
    assert (again, hash(again), canonical(again)) == (step, hash(step), canonical(step))
    others = [canonical(other) for label, other in STEPS.items() if label != name]
    assert canonical(step) not in others
