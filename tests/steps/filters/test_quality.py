"""`quality` asks a model the way it was trained, and keeps what it answers."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.classify.train_classifier import train_classifier
from curate.engine.manifest import canonical
from curate.errors import FormatError, MixtureError, SourceNotFoundError
from curate.io.tables import frame
from curate.mix.amounts import All
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.rows.joined_text import row_texts
from curate.rows.schema import BODIES, Kind
from curate.rows.segments import Segments, segments
from curate.steps.base import decide
from curate.steps.filters.quality import Quality, quality
from curate.steps.filters.score import score

pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")

GOOD: Final = ("careful", "thorough", "because", "therefore")
BAD: Final = ("idk", "lol", "nope", "whatever")
ASK: Final = {"role": "user", "content": "Why?"}


def texts(words: tuple[str, ...]) -> pl.DataFrame:
    chance = random.Random(0)
    lines = [" ".join(chance.choices((*words, "the", "a", "is", "of"), k=10)) for _ in range(80)]
    return pl.DataFrame({"prompt": ["Why?"] * len(lines), "completion": lines})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "q.bin"
    return train_classifier(frame(texts(GOOD)), frame(texts(BAD)), out, dim=4).path


@pytest.fixture
def foreign(tmp_path: Path, model: Path) -> Path:
    """The same model without a card."""
    path = tmp_path / "elsewhere.bin"
    path.write_bytes(model.read_bytes())
    return path


def talk(*answers: str | None) -> pa.RecordBatch:
    rows = [{"messages": [ASK, {"role": "assistant", "content": answer}], "meta": "{}"} for answer in answers]
    return pa.RecordBatch.from_pylist(rows, BODIES["conversation"])


def judged(step: Quality, body: pa.RecordBatch) -> list[float]:
    column = step.score(segments(body, step.on)).columns["probability"]
    assert column.dtype == np.float64
    return column.tolist()


def test_good_rows_stay_and_bad_ones_are_dropped(model: Path) -> None:
    step = quality(model)
    body = talk("A careful, THOROUGH answer, because ...", "lol idk whatever", "", " \n", None)
    scores = step.score(segments(body, step.on))
    assert decide(scores, step.bounds(), 5).bound.tolist() == [-1, 0, -1, -1, -1]
    good, bad, *rest = scores.columns["probability"].tolist()
    assert good > 0.9
    assert bad < 0.1
    assert np.isnan(rest).all()
    assert [bound.reason for bound in step.bounds()] == ["low_quality"]
    assert decide(scores, quality(model, None).bounds(), 5).bound.tolist() == [-1] * 5


def test_it_says_what_fasttext_says_of_the_same_text(model: Path, edge_texts: dict[str, str]) -> None:
    import fasttext  # type: ignore[import-untyped]

    body = talk("careful lol 東京", "Thorough; nope!", *(text for text in edge_texts.values() if len(text) < 10_000))
    step = quality(model)
    package = fasttext.load_model(str(model)).f
    wanted = []
    for text in row_texts(segments(body, step.on)).to_pylist():
        chances = {label: chance for chance, label in package.predict(text + "\n", 2, 0.0, "strict")}
        wanted.append(chances["__label__positive"] if text else np.nan)
    assert judged(step, body) == pytest.approx(wanted, abs=3e-5, nan_ok=True)
    assert len(set(judged(step, body))) > 5


def test_any_cut_of_rows_has_the_same_answers(model: Path, edge_texts: dict[str, str]) -> None:
    step = quality(model)
    body = talk(*edge_texts.values(), "careful", "lol")
    whole = judged(step, body)
    alone = [judged(step, body.slice(i, 1))[0] for i in range(body.num_rows)]
    assert np.array_equal(whole, alone, equal_nan=True)
    assert step.score(Segments(0, ())).columns["probability"].tolist() == []
    assert np.isnan(step.score(Segments(2, ())).columns["probability"]).all()


@pytest.mark.parametrize(("kind", "on", "good"), [("preference", "chosen", True), ("preference", "rejected", False)])
def test_a_side_of_a_pair_is_judged_alone(model: Path, kind: Kind, on: str, good: bool) -> None:  # noqa: FBT001
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("careful therefore", "lol nope"))
    row = {"prompt": [ASK], "chosen": chosen, "rejected": rejected, "meta": "{}"}
    body = pa.RecordBatch.from_pylist([row], BODIES[kind])
    assert (judged(quality(model, on=on), body)[0] > 0.5) is good
    assert 0.1 < judged(quality(model), body)[0] < 0.9, "both answers are one text"


def test_the_card_settles_label_segments_and_form(model: Path, foreign: Path) -> None:
    step = quality(str(model), 0.3)
    assert (step.label, step.on, step.form, step.at_least) == ("positive", "response", "spaced", 0.3)
    assert step.data_hashes() == {"q.bin": next(iter(quality(foreign, label="negative").data_hashes().values()))}
    plain = canonical(step)
    assert str(model) not in json.dumps(plain)
    other = quality(foreign, label="__label__negative", on={"user"})
    assert (other.label, other.on, other.form) == ("negative", frozenset({"user"}), "plain")
    with pytest.raises(MixtureError, match=r"which label.*label=, one of: .*positive"):
        quality(foreign)
    foreign.with_suffix(".md").write_text("# A card of another make\n")
    assert quality(foreign, label="positive").form == "plain"


def test_a_model_made_elsewhere_reads_text_as_it_is(foreign: Path) -> None:
    cased, lower = judged(quality(foreign, label="positive"), talk("Careful, THEREFORE", "careful therefore\nbecause"))
    assert lower > 0.9
    assert 0.3 < cased < 0.7


def test_a_card_of_another_model_is_no_card_of_this(model: Path, foreign: Path) -> None:
    card = model.with_suffix(".md").read_text()
    wrong = foreign.with_suffix(".md")
    wrong.write_text(card.replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(MixtureError, match="is of another model"):
        quality(foreign)
    for block in ("{}", "[1]", '"x"', "{", card.partition("{")[2][:20], json.dumps({"label": 1})):
        wrong.write_text(f"# x\n\n```json curate-classifier\n{block}\n```\n")
        with pytest.raises(FormatError, match=r"elsewhere\.md holds a block.*train the classifier again"):
            quality(foreign)
    wrong.write_text(card.replace('"response"', '"reply"'))
    with pytest.raises(FormatError, match="is no scope"):
        quality(foreign)
    wrong.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="cannot be read"):
        quality(foreign)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"at_least": 1.5}, r"at_least=1.5.*from 0 to 1"),
        ({"at_least": float("nan")}, "a number from 0 to 1, or None"),
        ({"at_least": "0.5"}, "a number from 0 to 1, or None"),
        ({"at_least": True}, "a number from 0 to 1, or None"),
        ({"label": "positiv"}, "has no such label; did you mean 'positive'"),
        ({"on": "answer"}, "is no scope"),
    ],
)
def test_a_wrong_call_says_so(model: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        quality(model, **wrong)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no\.bin"):
        quality(tmp_path / "no.bin")
    (tmp_path / "q.bin").write_text("not a model at all")
    with pytest.raises(FormatError, match="is no supervised fastText model"):
        quality(tmp_path / "q.bin")


def test_a_build_keeps_the_numbers_and_names_the_model(model: Path, tmp_path: Path) -> None:
    rows = pl.concat([texts(GOOD)[:5], texts(BAD)[:4]]).with_columns(reward=pl.Series([*range(8), None]))
    source = Source("made", frame(rows), take=All())
    steps = [quality(model, allow_large_drop=True), score("meta.reward", at_least=2, allow_large_drop=True)]
    build = Mixture(name="m", seed=1, sources=[source], steps=steps).build(tmp_path / "b", quiet=True)
    shown = build.scores("quality")
    assert (shown["probability"] > 0.5).sum() == 5
    assert build.scores("score")["value"].is_nan().sum() + build.scores("score")["value"].null_count() == 1
    assert build.dropped().group_by("step").len().sort("step").rows() == [("quality", 4), ("score", 2)]
    manifest = (tmp_path / "b" / "manifest.json").read_text()
    assert next(iter(steps[0].data_hashes().values())) in manifest
    assert str(model) not in manifest
