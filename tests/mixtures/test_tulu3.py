"""Tulu 3's mixtures, for SFT and for DPO, held against the tables of its paper.

Schemas, from the cards: allenai/tulu-3-sft-mixture `id, messages, source` in data/train-*; the values of `source` are
those that public code which reads the set has. allenai/llama-3.1-tulu-3-{8b,70b}-preference-mixture `id, prompt,
chosen, rejected, source`; allenai/tulu-3-pref-personas-instruction-following `id, prompt, constraints, chosen,
rejected, chonsen_model, rejected_model`. The cards of the other parts were not found: their replicas have the columns
of these mixtures and of the 405B one (`chosen_rating, rejected_rating, chosen_model, rejected_model`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from curate.mix.amounts import Rows
from curate.mix.published import scaled
from tests.support.hub_server import Repository
from tests.support.replicas import (
    QUESTION,
    Row,
    built_clean,
    built_twice,
    chat,
    full_size,
    recipe,
    repository,
    sampled,
    text,
)

SFT: Final = {
    "hard_coded": 240, "oasst1": 7_132, "no_robots": 9_500, "wildchat": 100_000, "flan_v2": 89_982, "sciriff": 10_000,
    "table_gpt": 5_000, "persona_math": 149_960, "persona_gsm": 49_980, "persona_algebra": 20_000, "open_math": 50_000,
    "numina_math": 64_312, "persona_python": 34_999, "evol_code": 107_276, "coconot": 10_983, "wildjailbreak": 50_000,
    "wildguard": 50_000, "aya": 100_000, "persona_if": 29_980,
}  # fmt: skip
"""arXiv 2411.15124, table 7, and the card of the mixture."""

BOTH: Final = {
    "sft_on_policy": 19_444, "sft_off_policy": 96_911, "if_augmented": 65_530, "wildchat_if": 10_792,
    "wildchat_reused": 17_207, "ultrafeedback": 41_635,
}  # fmt: skip
PAIRS: Final = {"8b": BOTH | {"persona_if": 19_890}, "70b": BOTH | {"wildchat_unused": 82_783}}
"""arXiv 2411.15124, table 15."""


def test_the_plan_at_full_size_is_table_7() -> None:
    assert full_size(recipe("tulu3_sft")) == SFT
    assert sum(SFT.values()) == 939_344
    asked = {source.name: source.before for source in recipe("tulu3_sft", wildchat=20_000, scale=0.5).sources}
    assert asked["wildchat"] == Rows(10_000)
    assert asked["hard_coded"] == Rows(120)


def sft_rows(scale: float) -> list[Row]:
    rows = []
    for source in recipe("tulu3_sft").sources:
        value = source.where["source"][0]  # type: ignore[index]  # checked: a tuple
        for i in range(scaled(SFT[source.name], scale)):
            said = chat(f"{source.name} {i // 10 if source.name == 'hard_coded' else i}")
            rows.append({"id": f"{source.name}_{i}", "messages": said, "source": value})
    return rows


def test_a_replica_of_the_sft_mixture_builds(tmp_path: Path) -> None:
    rows = sft_rows(0.005)
    replica = repository({"data/train-00000-of-00006.parquet": rows}, licence="odc-by")
    build = built_twice("tulu3_sft", {"allenai/tulu-3-sft-mixture": replica}, tmp_path, scale=0.005)
    assert build.reproduction()["difference"].to_list() == [0] * 20
    licences = dict(build.licences.select("source", "licence").iter_rows())
    assert (licences["no_robots"], licences["table_gpt"], licences["flan_v2"]) == ("cc-by-nc-4.0", "mit", "odc-by")


def test_the_clean_sft_mixture_says_what_it_removed(tmp_path: Path) -> None:
    rows = sft_rows(0.001)
    last = {row["source"]: row for row in rows}["ai2-adapt-dev/tulu_v3.9_aya_100k"]
    planted = [
        {**last, "id": "leaked", "messages": chat("leaked", user=QUESTION)},
        {**last, "id": "again", "messages": rows[1]["messages"]},
    ]
    replica = repository({"data/train-0.parquet": [*rows, *planted]})
    build = built_clean("tulu3_sft", {"allenai/tulu-3-sft-mixture": replica}, tmp_path)
    assert {line["id"]: line["step"] for line in build.dropped().to_dicts()} == {
        "leaked": "decontaminate",
        "again": "dedup",
    }
    assert build.funnel.filter(source="hard_coded")["rows"].item() == scaled(240, 0.001)


@pytest.mark.parametrize("size", ["8b", "70b"])
def test_the_plan_at_full_size_is_table_15(size: str) -> None:
    mixture = recipe("tulu3_preference", size=size)
    assert full_size(mixture) == sampled(mixture) == PAIRS[size]
    assert sum(PAIRS[size].values()) == {"8b": 271_409, "70b": 334_302}[size]
    assert full_size(recipe("tulu3_preference", size=size, ready=True)) == {"mixture": sum(PAIRS[size].values())}


def pair(part: str, number: int) -> Row:
    prompt, good, bad = (text(f"{part} {number} {what}") for what in ("prompt", "chosen", "rejected"))
    said = {"role": "user", "content": prompt}
    row = {
        "id": f"{part}_{number}",
        "prompt": prompt,
        "chosen": [said, {"role": "assistant", "content": good}],
        "rejected": [said, {"role": "assistant", "content": bad}],
    }
    if part == "persona_if":
        return row | {"constraints": ["length"], "chonsen_model": "a", "rejected_model": "b"}
    rated = {"chosen_rating": 4.5, "rejected_rating": 3.25, "chosen_model": "a", "rejected_model": "b"}
    return row | {"source": f"ai2-adapt-dev/{part}", **rated}


def pair_replicas(size: str) -> Mapping[str, Repository]:
    sources = recipe("tulu3_preference", size=size).sources
    return {
        source.input.repository: repository(  # type: ignore[attr-defined]  # an input from the Hub
            {"data/train-00000-of-00001.parquet": [pair(source.name, i) for i in range(rows)]}
        )
        for source in sources
        for rows in [scaled(PAIRS[size][source.name], 0.005)]
    }


@pytest.mark.parametrize("size", ["8b", "70b"])
def test_replicas_of_the_pairs_build(size: str, tmp_path: Path) -> None:
    replicas = pair_replicas(size)
    on_policy = f"allenai/tulu-3-ultrafeedback-cleaned-on-policy-{size}"
    assert on_policy in replicas
    build = built_twice("tulu3_preference", replicas, tmp_path, scale=0.005, size=size)
    assert build.reproduction()["difference"].to_list() == [0] * 8
    kept = build.kept().collect()
    assert {"prompt", "chosen", "rejected"} <= set(kept.columns)


def test_the_ready_mixture_of_pairs_builds(tmp_path: Path) -> None:
    rows = [{k: v for k, v in pair("ready", i).items() if "_" not in k} for i in range(271)]
    replica = repository({"data/train-00000-of-00004.parquet": rows}, licence="odc-by")
    replicas = {"allenai/llama-3.1-tulu-3-8b-preference-mixture": replica}
    build = built_twice("tulu3_preference", replicas, tmp_path, scale=0.001, ready=True)
    assert build.reproduction()["rows"].to_list() == [271, 271]


def test_clean_pairs_teach_something(tmp_path: Path) -> None:
    rows = [{k: v for k, v in pair("ready", i).items() if "_" not in k} for i in range(60)]
    rows[0]["chosen"] = rows[0]["rejected"]
    rows[1] |= {"prompt": rows[2]["prompt"], "chosen": rows[2]["rejected"], "rejected": rows[2]["chosen"]}
    for side in ("chosen", "rejected"):
        rows[3][side] = [{"role": "user", "content": QUESTION}, rows[3][side][1]]
    rows[3]["prompt"] = QUESTION
    replica = repository({"data/train-0.parquet": rows})
    replicas = {"allenai/llama-3.1-tulu-3-8b-preference-mixture": replica}
    build = built_clean("tulu3_preference", replicas, tmp_path, ready=True)
    why = {line["id"]: line["step"] for line in build.dropped().to_dicts()}
    assert why.pop("ready_0") == "lint_pairs"
    assert why.pop("ready_3") == "decontaminate"
    assert set(why.values()) == {"contradictions"}
    assert set(why) <= {"ready_1", "ready_2"}
