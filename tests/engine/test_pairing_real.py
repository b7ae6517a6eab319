"""Real rated files go through a build with a Pairing, and every row and pair of them is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pytest

from curate.errors import LargeDropError
from curate.io.formats.oasst import oasst_ranked
from curate.io.inputs import Input, files
from curate.io.joined import joined
from curate.mix.amounts import Fraction
from curate.mix.spec import Source
from curate.result.build import Build
from curate.steps.base import Step
from curate.steps.dedup.exact_dedup import exact_dedup
from curate.steps.pairs.binarize import binarize, max_min
from curate.steps.refusals.refusals import refusals
from tests.support.build_data import built, built_empty, hashes
from tests.support.rated_data import count_fates, sides


def by_model(folder: Path) -> Input:
    return joined(folder, on="instruction", content="output_2", score="preference", model="generator_2")


def expected(source: Input, step: Step) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Return what a pairing says of all rows of an input at once: chosen and rejected texts, and reasons."""
    opened = source.open()
    batch = pa.concat_batches([opened.parse(block).body for block in opened.blocks()])
    found = step.pair(batch)  # type: ignore[attr-defined]
    texts = [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in found.body.to_pylist()]
    reasons = Counter(step.reasons()[place] for place in found.reason.tolist() if place >= 0)  # type: ignore[attr-defined]
    return sorted(texts), reasons


FOLDERS: Final = ("bon_tulu2dpo13b_scored", "alpaca_eval_weighted", "alpaca_eval_v1_gpt4")


@pytest.mark.parametrize("name", FOLDERS)
def test_completions_of_several_models(real_file: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    source = by_model(real_file(f"preference/{name}"))
    step = binarize(score="preference", rejected="all_lower", allow_large_drop=True)
    done = built(tmp_path / "out", Source("s", source), steps=(step,), test=Fraction(0.1), threads=2)
    count_fates(done)
    texts, reasons = expected(source, step)
    assert sorted((chosen, rejected) for _, _, chosen, rejected in sides(done.kept().collect())) == texts
    assert Counter(done.dropped("binarize")["reason"].to_list()) == reasons
    train, test = ({side[1] for side in sides(done.kept(split).collect())} for split in ("train", "test"))
    assert test
    assert not train & test


def test_ranked_replies_beside_ready_made_pairs(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    ranked = Source("oasst", files(real_file("sft/oasst_en_100_tree.jsonl"), oasst_ranked()), steps=(max_min(),))
    name = "preference/ultrafeedback_binarized_train_clean.jsonl"
    ready = Source("uf", files(real_file(name)))
    steps = (refusals(allow_large_drop=True), exact_dedup("prompt", allow_large_drop=True))
    done = built(tmp_path / "out", ranked, ready, steps=steps)
    count_fates(done)
    again = built(tmp_path / "again", ranked, ready, steps=steps, threads=2)
    assert hashes(again.path) == hashes(done.path)
    assert kept_rows(done, "oasst") > 0 < kept_rows(done, "uf")
    lines = done.ledger.filter(source="oasst").collect()
    assert set(lines["reason"].drop_nulls()) <= {"one_completion", "missing_score", "all_tied"}
    assert set(done.dropped("oasst:binarize").columns) >= {"messages", "completions"}


def kept_rows(done: Build, source: str) -> int:
    return int(done.kept().filter(pl.col("source") == source).select(pl.len()).collect().item())


def test_completions_without_ratings_give_nothing(real_file: Callable[[str], Path], tmp_path: Path) -> None:
    source = files(real_file("preference/ultrafeedback_truthful_qa_completions.json"), "ultrafeedback")
    with pytest.raises(LargeDropError, match="'binarize' drops 10 of the 10 rows of source 'uf'"):
        built(tmp_path / "out", Source("uf", source), steps=(max_min(),))
    done = built_empty(tmp_path / "out", Source("uf", source), steps=(max_min(allow_large_drop=True), refusals()))
    count_fates(done)
    assert done.manifest["sources"][0]["fates"]["paired"] == 0
