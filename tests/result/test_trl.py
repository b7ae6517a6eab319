"""A build of pairs is what TRL calls a conversational preference set with explicit prompts, as its own code sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from curate.io.tables import frame
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.result.build import Build
from curate.steps.pairs.binarize import binarize

ANSWERS = [("No.", 2.0), ("Yes, at 100 °C.", 9.0)]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    completions = [
        {"content": text, "model": "m", "scores": [{"name": "overall", "value": score}]} for text, score in ANSWERS
    ]
    row = {"messages": [{"role": "user", "content": "Does it boil?"}], "completions": completions}
    source = Source("boiling", frame(pl.DataFrame([row]), "rated"))
    return Mixture("pairs", [source], [binarize()]).build(tmp_path / "pairs", quiet=True)


def test_the_schema_is_that_of_explicit_prompts(build: Build) -> None:
    (path,) = (build.path / "data").glob("train-*.parquet")
    schema = pq.read_schema(path)
    for name in ("prompt", "chosen", "rejected"):
        fields = schema.field(name).type.value_type
        assert [fields.field(k).name for k in range(fields.num_fields)] == ["role", "content"]
    row = pl.read_parquet(path).to_dicts()[0]
    assert [turn["role"] for turn in row["prompt"]] == ["user"]
    assert [[turn["role"] for turn in row[side]] for side in ("chosen", "rejected")] == [["assistant"]] * 2


def test_trl_takes_it_as_it_is(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    utilities = pytest.importorskip("trl.data_utils", reason="needs the extra curate[train]")
    import datasets
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    rows = datasets.load_dataset(str(build.path), split="train")
    row: dict[str, Any] = rows[0]
    assert utilities.is_conversational(row)
    assert utilities.maybe_extract_prompt(row) == row  # the prompt is explicit
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=TEMPLATE)
    templated = utilities.maybe_apply_chat_template(row, tokenizer)
    assert templated["prompt"] == "<user>Does it boil?</s><assistant>"
    assert (templated["chosen"], templated["rejected"]) == ("Yes, at 100 °C.</s>", "No.</s>")
