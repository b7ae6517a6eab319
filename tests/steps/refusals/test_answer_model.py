"""The features of answers against their definition; the file of the model; and what the step makes of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import FormatError
from curate.kernels.buffers import view
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.base import decide
from curate.steps.refusals._answer_model import (
    CLASSES,
    MAGIC,
    MORALISES,
    ShippedModel,
    answer_slots,
    read_model,
    shipped,
    spans_of,
    word_book,
)
from curate.steps.refusals.refusals import refusals
from tests.reference import answer_features as reference
from tests.support.refusal_model import WEIGHTS, WORDS

SERMON = (
    "It is never acceptable to steal from people. It is important to respect the property and the rights of others. "
    "Stealing is illegal and unethical."
)
ASKED = "How can I steal my neighbour's car?"
PARTS = [
    *("I", "don't", "DON’T", "cannot", "Cannot", "can't", "n't", "women", "kill", "should", "why", "illegal", "must"),
    *(
        ". ",
        "! ",
        "? ",
        "?",
        "3.5",
        ":\n",
        "\n",
        "1. ",
        "\n- ",
        "\n12) ",
        "• ",
        "```",
        "\n```\n",
        "…",
        "—",
        " ",
        "'",
        "’",
    ),
    *("Straße", "你好", "\U0001f600", "steal", "the", "a" * 300),
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map(" ".join) | st.lists(st.sampled_from(PARTS)).map("".join)


def known() -> dict[bytes, int]:
    classes: dict[bytes, int] = {}
    heading = 0
    for line in WORDS.read_text("utf-8").splitlines():
        heading = CLASSES[line[1:-1]] if line.startswith("[") else heading
        for word in () if line.startswith(("#", "[")) else line.split():
            classes[word.encode()] = classes.get(word.encode(), 0) | heading
    return classes


KNOWN, BOOK = known(), word_book(WORDS.read_bytes())


@settings(max_examples=150)
@given(
    rows=st.lists(
        st.tuples(TEXTS, TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=2)),
        min_size=1,
        max_size=4,
    )
)
def test_features_are_as_defined(rows: list[tuple[str, str, list[tuple[int, int]]]]) -> None:
    spans = [sorted((start, start + size) for start, size in row[2]) for row in rows]
    flat = np.array([(k, *span) for k, each in enumerate(spans) for span in each], np.int32).reshape(-1, 3)
    texts, asks = (view(pa.array([row[side] for row in rows], pa.string())) for side in (0, 1))
    first, slots = answer_slots(texts, asks, spans_of(len(rows), *flat.T.copy()), BOOK)
    for k, (said, asked, _) in enumerate(rows):
        own = sorted(slots[first[k] : first[k + 1]].tolist())
        assert own == reference.slots(reference.features(said, asked, spans[k], KNOWN))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda file: b"x" + file, "its first line"),
        (lambda file: MAGIC + b"{" + file[len(MAGIC) :], "its settings"),
        (lambda file: file.replace(b'"scale"', b'"scald"'), "its settings"),
        (lambda file: file.replace(b'"scale": 0', b'"scale": 1e999, "x": 0'), "its numbers"),
        (lambda file: file[:-1], "its weights"),
        (lambda file: file.replace(b'"slots": 65536', b'"slots": 16384'), "its weights"),
    ],
)
def test_a_damaged_file_is_refused(change: Any, what: str) -> None:  # noqa: ANN401
    with pytest.raises(FormatError, match=f"the model of refusals is damaged \\({what}\\)"):
        read_model(change(WEIGHTS.read_bytes()), WORDS.read_bytes())


def test_other_words_are_refused() -> None:
    with pytest.raises(FormatError, match=r"damaged \(its words\)"):
        read_model(WEIGHTS.read_bytes(), WORDS.read_bytes() + b" more")


def body(*rows: list[tuple[str, str | None]]) -> pa.RecordBatch:
    turns = [[{"role": role, "content": text} for role, text in row] for row in rows]
    return pa.RecordBatch.from_pylist([{"messages": each, "meta": "{}"} for each in turns], BODIES["conversation"])


def talk(asked: str, said: str | None) -> list[tuple[str, str | None]]:
    return [("user", asked), ("assistant", said)]


def test_an_answer_that_moralises_is_dropped_and_its_sentences_are_named() -> None:
    step = refusals()
    said = "Well. " + SERMON + " Have a nice day."
    batch = body(talk(ASKED, said), talk("How do I bake bread?", "Mix flour, water and yeast. Bake it for an hour."))
    scores = step.score(segments(batch, step.reads))
    reasons = decide(scores, step.bounds(), 2).bound
    assert [step.bounds()[place].reason if place >= 0 else None for place in reasons] == ["moralising", None]
    assert scores.columns["moralising"][0] >= MORALISES > scores.columns["moralising"][1]
    assert scores.evidence is not None
    named = [said[start:end] for start, end in zip(scores.evidence.start, scores.evidence.end, strict=True)]
    assert 1 <= len(named) <= 3
    assert all(sentence.strip() in SERMON for sentence in named)
    assert set(scores.evidence.match.to_pylist()) == {"a sentence that moralises"}


def test_invisible_characters_change_nothing() -> None:
    step = refusals()
    hidden = SERMON.replace("e", "e\u200b")
    plain, marked = (step.score(segments(body(talk(ASKED, said)), step.reads)) for said in (SERMON, hidden))
    assert plain.columns["moralising"].tolist() == marked.columns["moralising"].tolist()
    assert plain.evidence is not None
    assert marked.evidence is not None
    strip = [SERMON[a:b] for a, b in zip(plain.evidence.start, plain.evidence.end, strict=True)]
    kept = [hidden[a:b].replace("\u200b", "") for a, b in zip(marked.evidence.start, marked.evidence.end, strict=True)]
    assert strip == kept


def test_what_has_no_word_is_not_judged() -> None:
    step = refusals()
    batch = body(talk(ASKED, None), talk(ASKED, ""), talk(ASKED, "..."), [], [("user", SERMON)])
    assert step.score(segments(batch, step.reads)).columns["moralising"].tolist() == [0.0] * 5


def test_an_answer_without_a_request_is_judged_by_itself() -> None:
    step = refusals()
    assert step.score(segments(body([("assistant", SERMON)]), step.reads)).columns["moralising"][0] > 0


def test_only_the_family_moralising_has_the_model_and_none_turns_it_off() -> None:
    model = refusals().model
    assert model == shipped().model
    assert isinstance(model, ShippedModel)
    assert refusals().data_hashes() == {"model/moralising.weights": model.digest}
    others = (refusals(families=["cannot_help"]), refusals("tulu3"), refusals("olmo3"), refusals(model=None))
    assert [step.model for step in others] == [None] * 4
    off = refusals(model=None).score(segments(body(talk(ASKED, SERMON)), "response")).columns["moralising"]
    assert off.dtype == np.int32
    assert model.digest in json.dumps(step_fields())


def step_fields() -> dict[str, Any]:
    from curate.engine.manifest import canonical

    return {"step": canonical(refusals())}
