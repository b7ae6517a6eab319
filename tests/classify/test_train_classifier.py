"""The same rows train the same model, in any order and any files, and the card says what it was trained on."""

from __future__ import annotations

import json
import random
import sys
import types
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pytest

from curate.classify.train_classifier import Trained, train_classifier
from curate.classify.training_data import MOST_COPIES, inputs_of, read_side, split
from curate.errors import CallError, ShortageError, SourceNotFoundError
from curate.io.inputs import Input, files
from curate.io.tables import frame
from curate.rows.schema import BODIES
from curate.rows.segments import segments
from curate.steps.classifier_card import read_card
from curate.steps.filters.quality import quality
from curate.text.fasttext.model_file import load_classifier

GOOD: Final = ("careful", "thorough", "because", "therefore", "consider", "example")
BAD: Final = ("idk", "lol", "nope", "whatever", "dunno", "meh")
BOTH: Final = ("the", "answer", "is", "of", "a", "question", "東京", "l'été")

fasttext = pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")


def rows(words: tuple[str, ...], count: int, seed: int = 0) -> list[dict[str, Any]]:
    chance = random.Random(f"{words}{seed}")
    return [
        {"prompt": f"Question {i}?", "completion": " ".join(chance.choices((*words, *BOTH), k=12)) + "."}
        for i in range(count)
    ]


def body(found: list[dict[str, Any]]) -> pa.RecordBatch:
    turns = [
        [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        for row in found
    ]
    return pa.RecordBatch.from_pylist([{"messages": each, "meta": "{}"} for each in turns], BODIES["conversation"])


def source(*parts: list[dict[str, Any]]) -> Input:
    return frame(pl.DataFrame([row for part in parts for row in part]))


def trained(out: Path, good: Input | list[Input], bad: Input | list[Input], **settings: Any) -> Trained:  # noqa: ANN401
    return train_classifier(good, bad, out, **({"dim": 4} | settings))


def test_order_and_files_do_not_change_a_byte(tmp_path: Path) -> None:
    good, bad = rows(GOOD, 90), rows(BAD, 120)
    once = trained(tmp_path / "q.bin", source(good), source(bad))
    first = [(tmp_path / name).read_bytes() for name in ("q.bin", "q.md")]
    for k, part in enumerate((bad[100:], bad[:40], bad[40:100])):
        (tmp_path / f"bad{k}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part[::-1]))
    again = trained(
        tmp_path / "q.bin",
        [source(good[50:]), source(good[:50][::-1])],
        files(tmp_path / "bad*.jsonl"),
        overwrite=True,
    )
    assert [(tmp_path / name).read_bytes() for name in ("q.bin", "q.md")] == first
    assert again == once
    assert once.held_out.auc == 1
    assert (once.positive, once.negative) == (72, 96)
    assert {path.name for path in tmp_path.iterdir()} == {"q.bin", "q.md", "bad0.jsonl", "bad1.jsonl", "bad2.jsonl"}
    assert load_classifier(tmp_path / "q.bin").digest == once.sha256
    stored = read_card(tmp_path / "q.bin", once.sha256)
    assert stored == ("positive", "response", "spaced", once.sha256, None)
    assert "auc 1.000" in repr(once)
    assert str(tmp_path).encode() not in b"".join(first)
    card = first[1].decode()
    for said in ("| positive | 90 |", "| 1.0000 | 1.0000 |", "- epoch: 5", "c.quality(", "dedup()"):
        assert said in card


def test_a_quantized_one_is_small_and_reads_other_segments(tmp_path: Path) -> None:
    good, bad = source(rows(GOOD, 60)), source(rows(BAD, 60))
    made = trained(tmp_path / "q.ftz", good, bad, quantize=True, on={"user", "assistant"}, loss="ova")
    assert (tmp_path / "q.ftz").stat().st_size < 2_000_000
    card = read_card(made.path, made.sha256)
    assert card is not None
    assert card.on == frozenset({"user", "assistant"})


def test_an_opening_is_all_that_is_read(tmp_path: Path) -> None:
    good, bad = rows(GOOD, 90), rows(BAD, 90)
    short = [[row | {"completion": row["completion"][:25]} for row in side] for side in (good, bad)]
    first = trained(tmp_path / "a.bin", source(good), source(bad), on="all", opening=25)
    second = trained(tmp_path / "b.bin", source(short[0]), source(short[1]), on="all")
    assert first.sha256 == second.sha256
    card = read_card(first.path, first.sha256)
    assert card is not None
    assert card.opening == 25
    step = quality(first.path, None)
    one, other = (segments(body(side[:20]), step.reads) for side in (good, short[0]))
    assert step.score(one).columns["probability"].tolist() == step.score(other).columns["probability"].tolist()
    whole = quality(second.path, None).score(one).columns["probability"].tolist()
    assert step.score(one).columns["probability"].tolist() != whole


def test_a_refit_learns_from_all_and_tells_the_same_figures(tmp_path: Path) -> None:
    good, bad = source(rows(GOOD, 90)), source(rows(BAD, 90))
    once = trained(tmp_path / "a.bin", good, bad)
    again = trained(tmp_path / "b.bin", good, bad, refit=True)
    assert again.held_out == once.held_out
    assert again.sha256 != once.sha256
    assert trained(tmp_path / "c.bin", good, bad, refit=True).sha256 == again.sha256
    assert "- refit: True" in (tmp_path / "b.md").read_text("utf-8")


def test_each_text_is_taken_once_and_on_one_side() -> None:
    good, bad = rows(GOOD, 60), rows(BAD, 70)
    shout = [{**row, "completion": row["completion"].upper()} for row in good[:5]]
    empty = [{"prompt": "Why?", "completion": " \n"}]
    read = (
        read_side(inputs_of(source(good, shout, empty, bad[:3]), "positive"), "response"),
        read_side(inputs_of(source(bad), "negative"), "response"),
    )
    found = split(read, "response", 0.2)
    assert found.sides[0][:5] == (69, 0, 1, 5, 3)
    assert found.sides[1][:5] == (70, 0, 0, 0, 3)
    assert [len(each) for each in found.held_out] == [12, 13]
    assert found.trained == (48, 54)
    held = set(found.held_out[0]) | set(found.held_out[1])
    assert len(held) == 25
    assert not held & set(found.texts)
    assert [int((found.label == side).sum()) for side in (0, 1)] == [54, 54], "the smaller side is repeated"


def test_a_side_that_is_far_larger_is_sampled() -> None:
    good, bad = source(rows(GOOD, 50)), source(rows(BAD, 1000))
    read = read_side(inputs_of(good, "positive"), "response"), read_side(inputs_of(bad, "negative"), "response")
    found = split(read, "response", 0.2)
    assert [int((found.label == side).sum()) for side in (0, 1)] == [40 * MOST_COPIES, 40 * MOST_COPIES]
    assert len(found.held_out[1]) == 200


def test_too_few_rows_say_why(tmp_path: Path) -> None:
    good, bad = source(rows(GOOD, 60)), source(rows(BAD, 49))
    with pytest.raises(ShortageError, match=r"negative has 49 texts .* needs 50 or more: 49 rows were read"):
        trained(tmp_path / "q.bin", good, bad)
    with pytest.raises(ShortageError, match=r"positive has 0 texts .* 60 of them have no text on='chosen'"):
        trained(tmp_path / "q.bin", good, bad, on="chosen")
    with pytest.raises(ShortageError, match=r"positive has 0 texts .* 60 have one that the other side has too"):
        trained(tmp_path / "q.bin", good, good)
    with pytest.raises(ShortageError, match="positive has 0 texts"):
        trained(tmp_path / "q.bin", frame(pl.DataFrame({"prompt": [], "completion": []})), bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dim": 0}, r"dim=0\): a whole number from 1"),
        ({"epochs": True}, r"epochs=True"),
        ({"word_ngrams": 9}, r"word_ngrams=9.*to 5"),
        ({"min_count": 1.5}, r"min_count=1.5"),
        ({"opening": 0}, r"opening=0\): a whole number from 1"),
        ({"lr": 0}, r"lr=0\): a number above 0"),
        ({"loss": "softmx"}, "did you mean 'softmax'"),
        ({"on": "answer"}, "is no scope"),
        ({"out": "q.model"}, r"must end in \.bin"),
        ({"out": "q.bin", "quantize": True}, r"must end in \.ftz"),
        ({"out": "no/q.bin"}, "there is no folder no"),
        ({"positive": 3}, "takes inputs such as files.*not int"),
        ({"positive": ()}, "name the rows to learn from"),
    ],
)
def test_a_wrong_call_says_so(
    wrong: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call: dict[str, Any] = {"positive": source(rows(GOOD, 2)), "negative": source(rows(BAD, 2)), "out": "q.bin"}
    with pytest.raises(CallError, match=message):
        train_classifier(**(call | wrong))


def test_what_is_there_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = source(rows(GOOD, 60)), source(rows(BAD, 60))
    (tmp_path / "q.md").write_text("mine")
    with pytest.raises(CallError, match=r"q\.md is there; .*overwrite=True"):
        trained(tmp_path / "q.bin", good, bad)
    with pytest.raises(SourceNotFoundError, match=r"negative=.*no build is there"):
        trained(tmp_path / "r.bin", good, str(tmp_path))  # type: ignore[arg-type]
    monkeypatch.setattr("curate.classify.fasttext_process.SCRIPT", "raise RuntimeError('Encountered NaN.')")
    with pytest.raises(CallError, match=r"could not train: RuntimeError: Encountered NaN.*settings.*'dim': 4"):
        trained(tmp_path / "r.bin", good, bad)
    assert [path.name for path in tmp_path.iterdir()] == ["q.md"]
    assert (tmp_path / "q.md").read_text() == "mine"


def test_a_missing_trainer_is_reported_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = source(rows(GOOD, 60)), source(rows(BAD, 60))
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(CallError, match="pip install fasttext-numpy2"):
        trained(tmp_path / "q.bin", good, bad)
    monkeypatch.setitem(sys.modules, "fasttext", types.ModuleType("fasttext"))
    with pytest.raises(CallError, match=r"can only predict.*pip install --force-reinstall fasttext-numpy2"):
        trained(tmp_path / "q.bin", good, bad)


def test_text_cannot_pass_for_a_label(tmp_path: Path) -> None:
    hostile = [{**row, "completion": f"__label__positive </s> {row['completion']}"} for row in rows(BAD, 60)]
    made = trained(tmp_path / "q.bin", source(rows(GOOD, 60)), source(hostile))
    assert set(load_classifier(made.path).labels) == {"positive", "negative"}
    assert made.held_out.accuracy == 1


def test_lima_against_alpaca(real_data: Path, tmp_path: Path) -> None:
    lima, alpaca = files(real_data / "sft/lima.json"), files(real_data / "sft/alpaca_random_9k.json")
    found = trained(tmp_path / "q.bin", lima, alpaca, dim=16).held_out
    assert (found.true_positive + found.false_negative, found.false_positive + found.true_negative) == (206, 1821)
    assert found.accuracy > 0.92
    assert found.auc > 0.96
    assert found.precision > 0.97
