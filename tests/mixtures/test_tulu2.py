"""Tulu 2's mixture, from the published rows and from its components, held against its paper's table.

Schemas: allenai/tulu-v2-sft-mixture has `dataset, id, messages` in data/train-* (its card); the values of `dataset` and
the count of each are those that public code which reads the set has, and add up to its 326,154 rows. Components, as
open-instruct e6c3044 reads them (scripts/data/sft_v1_v2/prepare_tulu_v1_v2.sh, reformat_datasets.py):
hamishivi/tulu_mix_store `inputs, targets` in flan_v2_resampled_50k, cot_zsopt and cot_fsopt.jsonl, `input, output,
dataset` in science_train.jsonl; OpenAssistant/oasst1 trees; GAIR/lima `conversations`; ai2-adapt-dev/wizardlm-backup
`idx, conversations` of `from, value`; anon8231489123/ShareGPT_Vicuna_unfiltered `id, conversations` of `from, value` in
HTML_cleaned_raw_dataset/sg_90k_part1_html_cleaned.json and part2 (as prepare_tulu_v1_v2.sh fetches them);
Open-Orca/OpenOrca `id, system_prompt, question, response`. vicgalle/alpaca-gpt4 and sahil2801/CodeAlpaca-20k have
`instruction, input, output`. The hard-coded rows are hard_coded_examples.xlsx of hamishivi/tulu_mix_store, no data set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from curate.io.formats.exchanges import LongSplit
from curate.mix.amounts import Rows
from curate.mix.published import scaled
from curate.result.build import Build
from curate.rows.tokens import Tokenizer
from tests.support.hub_server import serving
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

PUBLISHED: Final = {
    "flan_v2": 50_000, "cot": 50_000, "oasst1": 7_708, "sharegpt": 114_046, "gpt4_alpaca": 20_000,
    "code_alpaca": 20_022, "lima": 1_030, "wizardlm": 30_000, "open_orca": 30_000, "science": 7_544, "hard_coded": 140,
}  # fmt: skip
"""arXiv 2311.10702, section 2; 330,490 rows."""

KEPT: Final = {
    "flan_v2": 49_123, "cot": 49_747, "oasst1": 7_331, "sharegpt": 111_912, "gpt4_alpaca": 19_906,
    "code_alpaca": 20_016, "lima": 1_018, "wizardlm": 29_810, "open_orca": 29_683, "science": 7_468, "hard_coded": 140,
}  # fmt: skip
"""Rows of the published mixture by `dataset`; CoT, LIMA and science also in open-instruct's tulu2_7b_remix.yaml."""

PINNED: Final = "6248b175d2ccb5ec7c4aeb22e6d8ee3b21b2c752"
FILTERED: Final = ("ChatGPT wrote it.", "a palm tree", "As Claude said, no.")
"""What the published filter drops: names of providers, also within words, whatever the case."""


def mixture_row(dataset: str, number: int) -> Row:
    identity = {"user": "Who are you?", "assistant": "I am Tulu, no ChatGPT."} if dataset == "hard_coded" else {}
    named = f"science.{'scierc_ner' if number % 2 else 'scitldr_aic'}" if dataset == "science" else dataset
    return {"dataset": named, "id": f"{dataset}_{number}", "messages": chat(f"{dataset} {number}", 2, **identity)}


ROWS: Final = [mixture_row(name, i) for name, rows in KEPT.items() for i in range(scaled(rows, 0.01))]
MIXTURE: Final = repository(
    {"data/train-00000-of-00003.parquet": ROWS[::2], "data/train-00001-of-00003.parquet": ROWS[1::2]},
    licence="odc-by",
    configs={"default": {"train": "data/train-*"}},
)


def flan(kind: str, rows: int) -> list[Row]:
    said = FILTERED if kind == "flan" else ()
    answers = [*said, *(text(f"{kind} {i} a") for i in range(rows - len(said)))]
    return [{"inputs": text(f"{kind} {i} q"), "targets": answer, "task": "t"} for i, answer in enumerate(answers)]


def alpaca(kind: str, rows: int) -> list[Row]:
    return [
        {
            "instruction": text(f"{kind} {i}"),
            "input": text(f"{kind} {i} in") if i % 3 else "",
            "output": text(f"{i} out"),
        }
        for i in range(rows)
    ]


def tree(number: int) -> Row:
    """A tree with two answers, the first better by rank and the second by quality; each tenth ends with the user."""

    def message(role: str, name: str, replies: list[Row], **more: Any) -> Row:  # noqa: ANN401
        said = {
            "message_id": f"{number}{name}",
            "text": text(f"oasst {number}{name}"),
            "role": role,
            "replies": replies,
        }
        return {**said, "deleted": False, "labels": {}, "rank": None, **more}

    last = [message("prompter", "d", [])] if number % 10 == 0 else []
    worse = message("assistant", "b", [], rank=0, labels={"quality": {"value": 0.25, "count": 3}})
    better = message("assistant", "c", last, rank=1, labels={"quality": {"value": 0.75, "count": 3}})
    return {"message_tree_id": f"{number}a", "tree_state": "ready", "prompt": message("prompter", "a", [worse, better])}


def turns(kind: str, number: int) -> list[Row]:
    words = {"user": "human", "assistant": "gpt"}
    return [{"from": words[one["role"]], "value": one["content"]} for one in chat(f"{kind} {number}")]


def sharegpt(number: int) -> Row:
    """Return a conversation; one in ten has 5,400 estimated tokens or 7,200, in exchanges of 1,800."""
    size, words = {0: (8, 500), 10: (6, 500)}.get(number % 20, (2, 12))
    said = [text(f"share {number} {k}", 3_000 if (number, k) == (0, 2) else words) for k in range(size)]
    who = ("gpt", "human") if number == 1 else ("human", "gpt")
    talk = [{"from": who[k % 2], "value": one} for k, one in enumerate(said)]
    return {"id": f"s{number}", "conversations": [] if number == 2 else talk}


COMPONENTS: Final = {
    "allenai/tulu-v2-sft-mixture": repository({"data/train-0.parquet": ROWS}, licence="odc-by"),
    "hamishivi/tulu_mix_store": repository(
        {
            "flan_v2_resampled_50k.jsonl": flan("flan", 500),
            "flan_v2_resampled_100k.jsonl": flan("other", 5),
            "cot_zsopt.jsonl": flan("zero", 300),
            "cot_fsopt.jsonl": flan("few", 400),
            "science_train.jsonl": [
                {"input": text(f"science {i}"), "output": text(f"{i} found"), "dataset": "scitldr_aic"}
                for i in range(75)
            ],
        },
        licence="odc-by",
    ),
    "anon8231489123/ShareGPT_Vicuna_unfiltered": repository(
        {
            f"HTML_cleaned_raw_dataset/sg_90k_part{part}{kind}.json": rows
            for part in (1, 2)
            for kind, rows in (("", [{"id": "raw"}]), ("_html_cleaned", map(sharegpt, range(part - 1, 1_100, 2))))
        },
        licence="apache-2.0",
    ),
    "OpenAssistant/oasst1": repository(
        {"2023-04-12_oasst_ready.trees.jsonl.gz": [tree(i) for i in range(86)]}, licence="apache-2.0"
    ),
    "vicgalle/alpaca-gpt4": repository({"data/train-0.parquet": alpaca("gpt4", 260)}, licence="cc-by-nc-4.0"),
    "sahil2801/CodeAlpaca-20k": repository({"code_alpaca_20k.json": alpaca("code", 200)}, licence="cc-by-4.0"),
    "GAIR/lima": repository(
        {"train.jsonl": [{"conversations": [text(f"{i}q"), text(f"{i}a")], "source": "wikihow"} for i in range(10)]},
        licence="other",
        gated=True,
    ),
    "ai2-adapt-dev/wizardlm-backup": repository(
        {"data/train-00000.parquet": [{"idx": f"w{i}", "conversations": turns("wizard", i)} for i in range(350)]}
    ),
    "Open-Orca/OpenOrca": repository(
        {
            "1M-GPT4-Augmented.parquet": [
                {"id": f"flan.{i // 2}", "system_prompt": "Be brief." if i % 2 else "", "question": text(f"orca {i}"),
                 "response": text(f"orca {i} a")} for i in range(350)
            ],
            "3_5M-GPT3_5-Augmented.parquet": [{"id": "x", "system_prompt": "", "question": "?", "response": "!"}],
        },
        licence="mit",
    ),
}  # fmt: skip


def test_the_plan_at_full_size_is_the_published_one() -> None:
    published = recipe("tulu2")
    assert full_size(published) == KEPT
    assert sum(KEPT.values()) == 326_154
    assert {name: said.rows for name, said in published.published.items()} == PUBLISHED
    components = recipe("tulu2", components=True)
    ahead = sampled(components)
    assert ahead.pop("cot_zero_shot") == ahead.pop("cot_few_shot") == 25_000
    assert ahead == {name: rows for name, rows in PUBLISHED.items() if name != "cot"}
    assert sum(PUBLISHED.values()) == 330_490
    drawn = {source.name for source in components.sources if source.before is not None}
    assert drawn == {"flan_v2", "cot_zero_shot", "cot_few_shot", "gpt4_alpaca", "wizardlm", "open_orca"}
    assert [source.name for source in components.sources if source.protect] == ["hard_coded"]


def test_numbers_of_a_user_are_sampled_ahead_of_the_filter() -> None:
    fewer = {source.name: source.before for source in recipe("tulu2", flan=10_000, cot=2_000).sources}
    assert {name: before for name, before in fewer.items() if before} == {"flan_v2": Rows(10_000), "cot": Rows(2_000)}
    halves = {source.name: source.before for source in recipe("tulu2", components=True, cot=2_000, scale=0.1).sources}
    assert halves["cot_zero_shot"] == halves["cot_few_shot"] == Rows(100)


def test_sharegpt_is_split_by_llamas_tokens(words_tokenizer: Path) -> None:
    by_name = {source.name: source for source in recipe("tulu2", components=True, tokenizer=words_tokenizer).sources}
    split = by_name["sharegpt"].input.long_split
    assert split == LongSplit(4_096, Tokenizer(str(words_tokenizer), per_turn=7), "tulu2")
    assert {name for name, source in by_name.items() if source.input.long_split} == {"sharegpt"}


def test_a_replica_of_the_published_mixture_builds(tmp_path: Path) -> None:
    pinned = repository({}, revisions={PINNED: MIXTURE.files})
    build = built_twice("tulu2", {"allenai/tulu-v2-sft-mixture": pinned}, tmp_path, scale=0.01)
    lines = build.reproduction()
    assert lines["difference"].to_list() == [0] * 12
    assert dict(zip(lines["source"], lines["rows"], strict=True)) == {
        **{name: scaled(rows, 0.01) for name, rows in KEPT.items()}, "total": len(ROWS)
    }  # fmt: skip
    assert build.manifest["sources"][0]["origin"]["commit"] == PINNED
    licences = dict(build.licences.select("source", "licence").iter_rows())
    assert (licences["lima"], licences["hard_coded"], licences["wizardlm"]) == ("cc-by-nc-sa", "odc-by", "none given")


def test_replicas_of_the_components_build(tmp_path: Path) -> None:
    build = built_twice("tulu2", COMPONENTS, tmp_path, scale=0.01, components=True, revision=None)
    funnel = {line["source"]: line for line in build.funnel.to_dicts()}
    assert funnel["flan_v2"]["refusals"] == len(FILTERED)
    assert funnel["hard_coded"]["rows"] == 1, "exempt from the filter"
    assert funnel["oasst1"]["oasst1:shape"] == 77 - funnel["oasst1"]["rows"] > 0, "paths that end with the user"
    best = build.kept().collect().filter(source="oasst1")["messages"].list.last().struct.field("content")
    assert best.is_in([text(f"oasst {i}c") for i in range(86)]).all(), "by quality, not by rank"
    assert funnel["cot_zero_shot"]["rows"] == funnel["cot_few_shot"]["rows"] == 250
    assert (funnel["open_orca"]["unsampled"], funnel["open_orca"]["rows"]) == (50, 300)
    talks = funnel["sharegpt"]
    assert (talks["read"], talks["quarantined"], talks["unsampled"], talks["rows"]) == (1_211, 58, 13, 1_140)
    left = build.quarantined("sharegpt")["expected"].str.extract("(at least|at most|by itself|take turns)")
    assert dict(left.value_counts().iter_rows()) == {"by itself": 55, "at most": 1, "take turns": 1, "at least": 1}
    why = dict(build.reproduction().select("source", "why").iter_rows())
    assert why["flan_v2"].startswith("filter differs: refusals drops 3, the published filter dropped 9")
    assert why["wizardlm"].endswith("random sample, not published")


def test_the_clean_mixture_says_what_it_removed(tmp_path: Path) -> None:
    leaked = {"dataset": "flan_v2", "id": "leaked", "messages": chat("leaked", 2, user=QUESTION)}
    again = {"dataset": "open_orca", "id": "again", "messages": ROWS[3]["messages"]}
    replica = repository({"data/train-0.parquet": [leaked, again, *ROWS]})
    build = built_clean("tulu2", {"allenai/tulu-v2-sft-mixture": replica}, tmp_path, revision=None)
    assert {line["id"]: line["step"] for line in build.dropped().to_dicts()} == {
        "leaked": "decontaminate",
        "again": "dedup",
    }
    assert build.overlap("dedup").select("source", "kept_source", "rows").rows() == [("open_orca", "flan_v2", 1)]
    found = build.contamination().filter(pl.col("rows") > 0)
    assert found.select("source", "eval", "rows").rows() == [("flan_v2", "quiz", 1)]


@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "ci", reason="installs a wheel: runs in CI")
@pytest.mark.timeout(1200)
def test_an_installed_wheel_builds_it_from_an_empty_folder(tmp_path: Path) -> None:
    root, scripts, folder = Path(__file__).parents[2], tmp_path / "venv" / "bin", tmp_path / "empty"
    folder.mkdir()

    def run(*command: str | Path, **more: str) -> str:
        env = {name: value for name, value in (os.environ | more).items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, root)
    (wheel,) = tmp_path.glob("curate-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(scripts / "pip", "install", "--quiet", "--no-deps", wheel)
    # What it needs is in this environment already, which pip made from the same names.
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "needs.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    where = run(scripts / "python", "-c", "import curate; print(curate.__file__)")
    assert Path(where.strip()).is_relative_to(site), "the wheel, and not this checkout"
    pinned = repository({}, revisions={PINNED: MIXTURE.files})
    with serving({"allenai/tulu-v2-sft-mixture": pinned}) as hub:
        env = hub.environment(tmp_path / "hf", HF_HUB_OFFLINE="0", COLUMNS="200")
        listed = run(scripts / "curate", "recipes", **env)
        assert "tulu2 326,154 358,000,000 11 " in " ".join(listed.split())
        built = run(scripts / "curate", "build", "tulu2", "--set", "scale=0.01", **env)
    assert "11 of 11 published sources have as many rows as published" in built
    assert [path.name for path in folder.iterdir()] == ["build"]
    assert sum(line["rows"] for line in Build(folder / "build" / "tulu2").reproduction().to_dicts()) == 2 * len(ROWS)
