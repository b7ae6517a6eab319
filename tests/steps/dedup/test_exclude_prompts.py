"""`exclude_prompts_of` finds the prompts that a build shares with another, whatever kind of rows each has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.errors import CallError, MixtureError, SourceNotFoundError
from curate.io.inputs import files
from curate.mix.spec import Source
from curate.mixture import Mixture
from curate.steps.dedup.exact_dedup import exclude_prompts_of

SFT = ["Name a colour.", "Why do onions sting?", " ", "Who wrote it?"]
PAIRS = ["name  a COLOUR.", "Why do onions smell?", "", "Who wrote it?", "Who wrote it?"]


@pytest.fixture
def sft(tmp_path: Path) -> Path:
    rows = [{"messages": turns(prompt, "So."), "id": f"s{i}"} for i, prompt in enumerate(SFT)]
    Mixture("sft", [Source("taught", written(tmp_path / "sft.jsonl", rows))]).build(tmp_path / "sft", quiet=True)
    return tmp_path / "sft"


def turns(ask: str, say: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]


def written(path: Path, rows: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files(path)


def pairs(folder: Path) -> Source:
    rows = [
        {"prompt": prompt, "chosen": f"good {i}", "rejected": f"bad {i}", "id": f"p{i}"}
        for i, prompt in enumerate(PAIRS)
    ]
    return Source("pairs", written(folder / "pairs.jsonl", rows))


def test_shared_prompts_are_dropped_and_name_the_other_row(tmp_path: Path, sft: Path) -> None:
    step = exclude_prompts_of(sft, allow_large_drop=True)
    build = Mixture("dpo", [pairs(tmp_path)], [step]).build(tmp_path / "dpo", quiet=True)
    dropped = build.ledger.filter(pl.col("fate") == "dropped").select("id", "reason", "match").collect()
    assert dropped.sort("id").rows() == [
        ("p0", "shared_prompt", "against/train-00000-of-00001.parquet/s0"),
        ("p3", "shared_prompt", "against/train-00000-of-00001.parquet/s3"),
        ("p4", "shared_prompt", "against/train-00000-of-00001.parquet/s3"),
    ]
    assert [len(step["against"]) for step in build.manifest["steps"]] == [1]


def test_flag_drops_nothing_and_lists_every_shared_prompt(tmp_path: Path, sft: Path) -> None:
    step = exclude_prompts_of([sft], mode="flag")
    build = Mixture("dpo", [pairs(tmp_path)], [step]).build(tmp_path / "dpo", quiet=True)
    assert build.ledger.filter(pl.col("fate") != "kept").collect().is_empty()
    listed = pl.read_parquet(build.path / "steps" / "exclude_prompts_of" / "shared.parquet")
    assert sorted(listed["id"]) == ["p0", "p3", "p4"]
    assert sorted(listed["other_id"].str.split("/").list.last()) == ["s0", "s3", "s3"]
    assert build.shared_prompts().equals(listed)
    with pytest.raises(CallError, match="has no step 'other'"):
        build.shared_prompts("other")


def test_a_folder_of_no_build_and_an_unknown_mode(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no build is there"):
        exclude_prompts_of(tmp_path)
    with pytest.raises(MixtureError, match="did you mean 'drop'"):
        exclude_prompts_of(files("a.jsonl"), mode="drp")  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match="name a build"):
        exclude_prompts_of(())
