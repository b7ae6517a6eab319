"""A model gives a second opinion on answers, and tells harmful requests, the way it was trained."""

from __future__ import annotations

import json
import math
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
from curate.steps.refusals._classifier import OPENINGS, SURE
from curate.steps.refusals._detect import MODEL_MATCH
from curate.steps.refusals.phrase_hits import LIMIT
from curate.steps.refusals.refusals import Refusals, RefusalShare, refusals

pytest.importorskip("fasttext", reason="no wheel of fastText for this Python")

NO: Final = ("unwilling", "decline", "forbidden", "never")
YES: Final = ("recipe", "sure", "first", "mix")
BAD: Final = ("bomb", "poison", "steal", "hurt")
PLAIN: Final = "I'm sorry, but I can't assist with that."
WEAK: Final = "It is never acceptable to hit. Violence is wrong."
MORALISING: Final = (
    "It is never acceptable to hit a child. Violence is wrong. It is important to treat everyone with respect, and "
    "everyone deserves to be treated with dignity."
)


def rows_of(asks: tuple[str, ...], says: tuple[str, ...]) -> pl.DataFrame:
    chance = random.Random(0)
    lines = [[" ".join(chance.choices((*words, "the", "a"), k=8)) for _ in range(80)] for words in (asks, says)]
    return pl.DataFrame({"prompt": lines[0], "completion": lines[1]})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of answers, one of answers after their requests, and one of requests."""
    folder = tmp_path_factory.mktemp("models")
    bad, good = frame(rows_of(BAD, NO)), frame(rows_of(YES, YES))
    return {
        on: train_classifier(bad, good, folder / f"{on}.bin", on=on, dim=4, lr=1.0, epochs=25).path
        for on in ("response", "all", "prompt")
    }


def talk(*texts: str | None) -> dict[str, Any]:
    return {
        "meta": "{}",
        "messages": [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)],
    }


def body(*rows: dict[str, Any], kind: Kind = "conversation") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"meta": "{}"} | row for row in rows], BODIES[kind])


def outcome(step: Refusals | RefusalShare, batch: pa.RecordBatch) -> tuple[dict[str, list[float]], list[str | None]]:
    """The scores, and what each row falls for."""
    assert isinstance(step, Refusals)
    scores = step.score(segments(batch, step.reads))
    bounds = step.bounds()
    reasons = decide(scores, bounds, batch.num_rows).bound
    return {name: column.tolist() for name, column in scores.columns.items()}, [
        bounds[place].reason if place >= 0 else None for place in reasons
    ]


def test_a_sure_model_drops_a_row_and_phrases_still_do(models: dict[str, Path]) -> None:
    step = refusals(model=models["response"])
    batch = body(
        talk("Hi", " ".join(NO * 8)), talk("Hi", "sure, mix"), talk("Hi", PLAIN), talk("Hi", ""), talk("Hi", None)
    )
    scores, reasons = outcome(step, batch)
    assert reasons == ["model", None, "cannot_help", None, None]
    assert scores["model"][0] > 0.999
    assert scores["model"][1] < 0.01
    assert np.isnan(scores["model"][3:]).all()


def test_the_model_replaces_moralising(models: dict[str, Path]) -> None:
    said = [MORALISING, "sure mix first recipe " * 8 + MORALISING, "unwilling decline forbidden never " + WEAK]
    scores, reasons = outcome(refusals(model=models["response"]), body(*(talk("Hi", text) for text in said)))
    assert reasons == ["model" if chance >= SURE else None for chance in scores["model"]]
    assert scores["moralising"][1] >= LIMIT, "moralising, which the model lets pass"
    assert reasons[1:] == [None, "model"]


def test_the_log_odds_of_openings_are_averaged(models: dict[str, Path]) -> None:
    """Each opening is judged as a text of its own."""
    step = refusals(model=models["response"])
    words = [NO[i % 4] if i < 22 else YES[i % 4] for i in range(90)]
    text = " ".join(words)
    chance = outcome(step, body(talk("Hi", text)))[0]["model"][0]
    from curate.steps.filters.quality import quality

    alone = quality(models["response"], None)
    parts = body(*(talk("Hi", text[:opening]) for opening in OPENINGS))
    each = alone.score(segments(parts, alone.on)).columns["probability"].tolist()
    odds = [math.log(min(max(one, 1e-5), 1 - 1e-5) / (1 - min(max(one, 1e-5), 1 - 1e-5))) for one in each]
    assert chance == pytest.approx(1 / (1 + math.exp(-sum(odds) / len(odds))))
    assert min(each) < chance < max(each)


def test_a_model_of_both_reads_the_request_before_each_answer(models: dict[str, Path]) -> None:
    step = refusals(model=models["all"])
    assert (step.reads, refusals(model=models["response"]).reads) == ("all", "response")
    rows = [talk("bomb poison", "the"), talk("recipe first", "the"), talk("bomb hurt", "the", "recipe mix", "the")]
    chances = outcome(step, body(*rows))[0]["model"]
    assert chances[0] > 0.9
    assert chances[1] < 0.1
    assert chances[2] > 0.9, "the highest of a row"
    pair = {"prompt": rows[0]["messages"][:1], "chosen": rows[0]["messages"][1:], "rejected": []}
    rated = {"messages": rows[0]["messages"][:1], "completions": [{"content": "the", "model": "", "scores": []}]}
    assert outcome(step, body(pair, kind="preference"))[0]["model"] == chances[:1]
    assert outcome(step, body(rated, kind="rated"))[0]["model"] == chances[:1]


def test_text_is_made_as_in_training(models: dict[str, Path], edge_texts: dict[str, str]) -> None:
    from curate.steps.filters.quality import quality

    batch = body(*(talk("the Bomb", text[: OPENINGS[0]]) for text in edge_texts.values()))
    for on in ("response", "all"):
        step = quality(models[on], None)
        wanted = step.score(segments(batch, step.on)).columns["probability"]
        blank = np.array([not text for text in row_texts(segments(batch, "response")).to_pylist()])
        found = outcome(refusals(model=models[on]), batch)[0]["model"]
        assert found == pytest.approx(np.where(blank, np.nan, wanted), nan_ok=True)


def test_only_the_opening_counts(models: dict[str, Path]) -> None:
    tail = " unwilling decline forbidden" * 9
    scores, _ = outcome(
        refusals(model=models["response"]), body(talk("Hi", "sure " * 100), talk("Hi", "sure " * 100 + tail))
    )
    assert scores["model"][0] == scores["model"][1]
    assert len("sure " * 100) == OPENINGS[-1]


def test_rows_are_judged_by_themselves(models: dict[str, Path], edge_texts: dict[str, str]) -> None:
    step = refusals(model=models["all"], keep_safety=models["prompt"])
    batch = body(*(talk(ask, say) for ask in ("bomb", "sure") for say in (*edge_texts.values(), " ".join(NO * 8))))
    whole, reasons = outcome(step, batch)
    alone = [outcome(step, batch.slice(i, 1)) for i in range(batch.num_rows)]
    assert reasons == [one[0] for _, one in alone]
    for name, column in whole.items():
        assert np.array_equal(column, [scores[name][0] for scores, _ in alone], equal_nan=True)
    none = step.score(Segments(0, ()))
    assert list(none.columns) == list(whole)
    assert all(none.columns[name].dtype == column.dtype for name, column in step.score(segments(batch)).columns.items())


def test_the_evidence_names_the_model_and_what_it_read(models: dict[str, Path]) -> None:
    said = " ".join(NO * 8)
    step = refusals(model=models["response"])
    evidence = step.score(segments(body(talk("Hi", "sure", "So?", said)), step.reads)).evidence
    assert evidence is not None
    assert [column.tolist() for column in (evidence.turn, evidence.start, evidence.end)] == [[3], [0], [len(said)]]
    assert evidence.match.to_pylist() == [MODEL_MATCH]
    assert step.bounds()[evidence.reason[0]].reason == "model"


def test_first_turn_and_shares_ask_the_model_too(models: dict[str, Path]) -> None:
    said = " ".join(NO * 8)
    rows = body(talk("Hi", "sure", "So?", said), talk("Hi", said))
    assert outcome(refusals(model=models["response"], where="first_turn"), rows)[1] == [None, "model"]
    step = refusals(model=models["response"], max_share=0)
    columns = step.sign(segments(rows, step.reads)).columns
    assert columns["reason"].tolist() == [step.reasons.index("model")] * 2
    assert min(columns["score"].tolist()) >= SURE
    assert step.data_hashes() == refusals(model=models["response"]).data_hashes()


def test_a_model_of_requests_keeps_refusals_of_harm(models: dict[str, Path]) -> None:
    rows = body(talk("Poison bomb?", PLAIN), talk("recipe mix", PLAIN), talk("bomb", "sure"), talk("", PLAIN))
    step = refusals(keep_safety=models["prompt"])
    scores, reasons = outcome(step, rows)
    assert reasons == [None, "cannot_help", None, "cannot_help"]
    assert scores["kept_safety"] == [2, 0, 0, 0]
    harm = scores["request_harm"]
    assert harm[0] > 0.9
    assert harm[1] < 0.1
    assert np.isnan(harm[2:]).all()
    assert outcome(refusals(keep_safety=str(models["prompt"])), rows)[1] == reasons
    said = " ".join(NO * 8)
    both = refusals(model=models["response"], keep_safety=models["prompt"])
    scores, reasons = outcome(both, body(talk("bomb", said), talk("mix", said)))
    assert reasons == [None, "model"]
    assert scores["kept_safety"] == [1, 0]
    assert np.isnan(scores["model"][0])


def test_the_manifest_names_models_and_the_fingerprint_no_path(models: dict[str, Path]) -> None:
    step = refusals(model=models["response"], keep_safety=models["prompt"])
    assert sorted(step.data_hashes()) == ["keep_safety/prompt.bin", "model/response.bin"]
    assert str(models["prompt"].parent) not in json.dumps(canonical(step))
    assert canonical(step) != canonical(refusals(keep_safety=True))
    assert refusals(model=None).data_hashes() == {}


@pytest.mark.parametrize("share", [None, 0])
def test_a_build_keeps_the_numbers_and_names_the_models(
    models: dict[str, Path], tmp_path: Path, share: float | None
) -> None:
    refused = pl.concat([rows_of(BAD, NO)[:3], rows_of(YES, NO)[:2]]).with_columns(completion=pl.lit(" ".join(NO * 8)))
    rows = pl.concat([refused, rows_of(YES, YES)[:4]])
    how: dict[str, Any] = {} if share is None else {"max_share": share}
    step = refusals(model=models["response"], keep_safety=models["prompt"], allow_large_drop=True, **how)
    source = Source("made", frame(rows), take=All())
    build = Mixture(name="m", seed=1, sources=[source], steps=[step]).build(tmp_path / "b", quiet=True)
    assert build.dropped()["reason"].to_list() == ["model"] * 2
    if share is None:
        shown = build.scores("refusals")
        assert (shown["kept_safety"] > 0).sum() == 3
        assert shown["request_harm"].fill_nan(None).gt(0.5).sum() == 3
        assert shown["model"].fill_nan(None).gt(0.5).sum() == 2
    manifest = (tmp_path / "b" / "manifest.json").read_text()
    assert all(digest in manifest for digest in step.data_hashes().values())
    assert str(models["prompt"].parent) not in manifest


def test_models_that_do_not_fit_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"there is no model at .*no\.bin"):
        refusals(model=tmp_path / "no.bin")
    (tmp_path / "text.bin").write_text("not a model at all")
    with pytest.raises(FormatError, match="is no supervised fastText model"):
        refusals(keep_safety=tmp_path / "text.bin")
    alone = tmp_path / "alone.bin"
    alone.write_bytes(models["response"].read_bytes())
    with pytest.raises(FormatError, match="the model has no card of train_classifier beside it"):
        refusals(model=alone)
    card = models["response"].with_suffix(".md").read_text("utf-8")
    alone.with_suffix(".md").write_text(card.replace('"label": "positive"', '"label": "refusal"'), "utf-8")
    with pytest.raises(MixtureError, match="has no label 'refusal', which its card names; it has "):
        refusals(model=alone)
    with pytest.raises(MixtureError, match="was trained on='prompt', and is asked about answers"):
        refusals(model=models["prompt"])
    with pytest.raises(MixtureError, match="was trained on='all', and is asked about requests"):
        refusals(keep_safety=models["all"])
