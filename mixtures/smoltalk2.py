"""SmolTalk2, on which SmolLM3 was trained: conversations in 25 splits with weights by rows, and pairs.

    curate build smoltalk2                           SFT: 1,444,084 conversations
    curate build smoltalk2 --set stage=Preference    APO: 169,346 pairs
    curate build smoltalk2 --set stage=Mid           reasoning, before SFT: 4,779,894 conversations

The rows of each split are those of the card. Of a split with a weight, the training code takes that part of its rows
after a shuffle of `datasets`: the count is the same here, the rows are not. Weights are of rows: of the whole SFT
set, OpenThoughts3's reasoning has a third of the rows and 87 % of the tokens. The published rows were decontaminated,
and rid of emoji, by code that was not published.
`clean` removes near duplicates, and eval questions that are left. Tulu 3's personas for instructions and its pairs
for 8B are in here too: `dedup(against=...)` tells when they are mixed.
"""

from __future__ import annotations

from typing import Literal

import curate as c

Stage = Literal["SFT", "Preference", "Mid"]
SPLITS: dict[Stage, dict[str, tuple[int, float]]] = {
    "SFT": {  # rows, weight
        "smoltalk_smollm3_everyday_conversations_no_think": (2_260, 1),
        "smoltalk_smollm3_systemchats_30k_no_think": (33_997, 1),
        "tulu_3_sft_personas_instruction_following_no_think": (29_970, 1),
        "hermes_function_calling_v1_no_think": (8_961, 1),
        "smoltalk_smollm3_smol_magpie_ultra_no_think": (406_843, 0.5),
        "smoltalk_multilingual_8languages_lang_5_no_think": (254_047, 1),
        "table_gpt_no_think": (13_203, 1),
        "OpenHermes_2.5_no_think": (384_900, 0.5),
        "OpenThoughts3_1.2M_no_think_no_think": (435_193, 0.4),
        "Mixture_of_Thoughts_science_no_think": (86_110, 1),
        "smoltalk_smollm3_explore_instruct_rewriting_no_think": (30_391, 1),
        "smoltalk_smollm3_smol_rewrite_no_think": (53_262, 1),
        "smoltalk_smollm3_smol_summarize_no_think": (96_061, 1),
        "LongAlign_64k_context_lang_annotated_lang_6_no_think": (6_249, 1),
        "multi_turn_reasoning_if_think": (28_217, 1),
        "smoltalk_everyday_convs_reasoning_Qwen3_32B_think": (2_057, 1),
        "smoltalk_systemchats_Qwen3_32B_think": (27_436, 1),
        "xlam_traces_no_think": (59_962, 1),
        "smolagents_toolcalling_traces_think": (9_079, 1),
        "s1k_1.1_think": (835, 1),
        "LongAlign_64k_Qwen3_32B_yarn_131k_think": (7_526, 1),
        "aya_dataset_Qwen3_32B_think": (15_222, 1),
        "smoltalk_multilingual8_Qwen3_32B_think": (244_736, 0.3),
        "OpenThoughts3_1.2M_think": (1_133_524, 0.02),
        "table_gpt_Qwen3_32B_think": (13_201, 1),
    },
    "Preference": {
        "llama_3.1_tulu_3_8b_preference_mixture_no_think": (230_501, 0.5),
        "tulu_3_8b_pref_mix_Qwen3_32B_Qwen3_0.6B_think": (216_385, 0.25),
    },
    "Mid": {"Llama_Nemotron_Post_Training_Dataset_reasoning_r1": (3_644_790, 1), "OpenThoughts3_1.2M": (1_135_104, 1)},
}
YAML = {"SFT": "sft/sft.yaml", "Preference": "dpo/apo.yaml", "Mid": "sft/mid.yaml"}
CITE = "card of HuggingFaceTB/smoltalk2; weight: alignment-handbook 925acdf, recipes/smollm3/"
EVALS = c.evals("tulu3")
COMMIT = "fc6cc2103c066455aade5d7fbb346039ae36ca5e"


def smoltalk2(
    *,
    stage: Stage = "SFT",
    scale: float = 1.0,
    clean: bool = False,
    evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = COMMIT,
) -> c.Mixture:
    """Return the mixture of a stage; `revision` is the commit of the Hub, or None for the newest."""
    layout: Literal["messages", "preference"] = "preference" if stage == "Preference" else "messages"
    sources, published = [], {}
    for split, (rows, weight) in SPLITS[stage].items():
        said = c.Published(int(rows * weight), cite=CITE + YAML[stage], sampled=weight < 1).at(scale)
        data = c.hub("HuggingFaceTB/smoltalk2", layout, config=stage, split=split, revision=revision)
        sources.append(c.Source(split, data, take=c.Rows(said.rows)))
        published[split] = said
    steps = [c.dedup(), c.decontaminate(evals)] if clean else []
    name = f"smoltalk2-{stage.lower()}"
    return c.Mixture(name, sources, steps, seed=0, published=published, on_shortage="shrink")
