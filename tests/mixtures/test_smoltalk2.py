"""SmolTalk2 is read, built and held against its card and the weights of the training code.

HuggingFaceTB/smoltalk2 has the configs Mid, SFT and Preference, whose splits are sources. SFT has the columns
`messages, chat_template_kwargs, source`, Preference `chosen, rejected, prompt, chat_template_kwargs, source`, Mid
`messages, source`; `chat_template_kwargs` has `custom_instructions, enable_thinking, python_tools, xml_tools`: the
features in its README on the Hub. Splits and weights: alignment-handbook 925acdf, recipes/smollm3/; int(rows *
weight): its src/alignment/data.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from curate.cli.mixture_file import run_file
from curate.cli.mixture_recipes import recipes_folder
from tests.support.hub_server import Repository
from tests.support.replicas import Row, built_clean, built_twice, chat, full_size, recipe, repository

TRAINED: Final = {
    "smoltalk_smollm3_everyday_conversations_no_think": 2_260,
    "smoltalk_smollm3_systemchats_30k_no_think": 33_997,
    "tulu_3_sft_personas_instruction_following_no_think": 29_970,
    "hermes_function_calling_v1_no_think": 8_961,
    "smoltalk_smollm3_smol_magpie_ultra_no_think": 203_421,
    "smoltalk_multilingual_8languages_lang_5_no_think": 254_047,
    "table_gpt_no_think": 13_203,
    "OpenHermes_2.5_no_think": 192_450,
    "OpenThoughts3_1.2M_no_think_no_think": 174_077,
    "Mixture_of_Thoughts_science_no_think": 86_110,
    "smoltalk_smollm3_explore_instruct_rewriting_no_think": 30_391,
    "smoltalk_smollm3_smol_rewrite_no_think": 53_262,
    "smoltalk_smollm3_smol_summarize_no_think": 96_061,
    "LongAlign_64k_context_lang_annotated_lang_6_no_think": 6_249,
    "multi_turn_reasoning_if_think": 28_217,
    "smoltalk_everyday_convs_reasoning_Qwen3_32B_think": 2_057,
    "smoltalk_systemchats_Qwen3_32B_think": 27_436,
    "xlam_traces_no_think": 59_962,
    "smolagents_toolcalling_traces_think": 9_079,
    "s1k_1.1_think": 835,
    "LongAlign_64k_Qwen3_32B_yarn_131k_think": 7_526,
    "aya_dataset_Qwen3_32B_think": 15_222,
    "smoltalk_multilingual8_Qwen3_32B_think": 73_420,
    "OpenThoughts3_1.2M_think": 22_670,
    "table_gpt_Qwen3_32B_think": 13_201,
}
PAIRS: Final = {
    "llama_3.1_tulu_3_8b_preference_mixture_no_think": 115_250,
    "tulu_3_8b_pref_mix_Qwen3_32B_Qwen3_0.6B_think": 54_096,
}
MID: Final = {"Llama_Nemotron_Post_Training_Dataset_reasoning_r1": 3_644_790, "OpenThoughts3_1.2M": 1_135_104}


@pytest.fixture(scope="module")
def declared() -> Any:  # noqa: ANN401
    return run_file(recipes_folder() / "smoltalk2.py")


def kwargs(split: str) -> Row:
    calls = split.startswith(("xlam", "hermes"))
    return {
        "custom_instructions": "Be brief." if "systemchats" in split else "",
        "enable_thinking": split.endswith("_think") and not split.endswith("no_think"),
        "python_tools": [""],
        "xml_tools": ['{"name": "search", "parameters": {}}'] if calls else [""],
    }


def talk(split: str, number: int) -> Row:
    thought = "<think>\nSo.\n</think>\n" if kwargs(split)["enable_thinking"] else ""
    messages = chat(f"{split} {number}", 2 + 2 * (number % 2))
    messages[-1]["content"] = thought + messages[-1]["content"]
    return {"messages": messages, "chat_template_kwargs": kwargs(split), "source": split}


def pair(split: str, number: int) -> Row:
    chosen, rejected = chat(f"{split} {number}"), chat(f"{split} {number}", assistant=f"No, {number}.")
    prompt = chosen[0]["content"]
    rows = {"chosen": chosen, "rejected": rejected, "prompt": prompt}
    return {**rows, "chat_template_kwargs": kwargs(split), "source": split}


def replica(declared: Any, stage: str, per: int) -> Repository:  # noqa: ANN401
    """Return one config: of each split, its rows divided by `per`."""
    splits = declared.SPLITS[stage]
    made = pair if stage == "Preference" else talk
    files = {
        f"{stage}/{split}-00000-of-00001.parquet": [made(split, i) for i in range(round(rows / per))]
        for split, (rows, _) in splits.items()
    }
    configs = {stage: {split: f"{stage}/{split}-*" for split in splits}}
    return repository(files, configs=configs)


@pytest.mark.parametrize(("stage", "per"), [("SFT", 100), ("Preference", 100), ("Mid", 1000)])
def test_a_replica_builds_as_published(declared: Any, tmp_path: Path, stage: str, per: int) -> None:  # noqa: ANN401
    replicas = {"HuggingFaceTB/smoltalk2": replica(declared, stage, per)}
    build = built_twice("smoltalk2", replicas, tmp_path, stage=stage, scale=1 / per, revision=None)
    lines = build.reproduction().to_dicts()
    assert [line["difference"] for line in lines] == [0] * len(lines)
    weights = {split: weight for split, (_, weight) in declared.SPLITS[stage].items()}
    for line in lines[:-1]:
        assert line["why"] == ("same count" if weights[line["source"]] == 1 else "random sample, not published")
    if stage == "SFT":
        row = build.kept().collect().filter(source="xlam_traces_no_think").row(0, named=True)
        assert row["chat_template_kwargs"] is not None


def test_the_plan_at_full_size(declared: Any) -> None:  # noqa: ANN401
    assert full_size(recipe("smoltalk2")) == TRAINED
    assert full_size(recipe("smoltalk2", stage="Preference")) == PAIRS
    assert full_size(recipe("smoltalk2", stage="Mid")) == MID
    whole = {stage: sum(rows for rows, _ in splits.values()) for stage, splits in declared.SPLITS.items()}
    assert whole == {"SFT": 3_383_242, "Preference": 446_886, "Mid": 4_779_894}, "as the card adds them up"


def test_the_clean_mixture_names_what_is_in_two_splits(declared: Any, tmp_path: Path) -> None:  # noqa: ANN401
    one = replica(declared, "SFT", 10_000)
    assert isinstance(one.files, dict)
    two, other = (f"SFT/{name}-00000-of-00001.parquet" for name in ("table_gpt_no_think", "OpenHermes_2.5_no_think"))
    one.files[other] = one.files[two]  # the same conversations in both
    build = built_clean("smoltalk2", {"HuggingFaceTB/smoltalk2": one}, tmp_path, scale=0.0001, revision=None)
    why = dict(build.reproduction().select("source", "why").rows())
    assert "1 row is also in table_gpt_no_think" in why["OpenHermes_2.5_no_think"]
