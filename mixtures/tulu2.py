"""Tulu 2's SFT mixture: FLAN, chain of thought, dialogues, and answers of other models (arXiv 2311.10702).

    curate build tulu2 --set flan=10000 --set clean=true

The rows are those of allenai/tulu-v2-sft-mixture by its column `dataset`: the 326,154 that the authors' filter left.
With `components` the original sets are sampled and filtered as open-instruct's scripts do: the counts are theirs, the
rows are not, as neither their samples nor the template drawn for each Alpaca row was published. ShareGPT is split at
4,096 tokens of `tokenizer`, Llama's tokenizer.json (else estimated); the hard-coded rows, once a spreadsheet, are the
mixture's. `clean` removes near duplicates (FLAN is in OpenOrca) and questions of the authors' evals; they did neither.
"""

from __future__ import annotations

import curate as c
from curate.mix.published import scaled

CITE = "rows: arXiv 2311.10702, section 2; kept: counted in the published mixture, 326,154 in all"
PUBLISHED = {
    "flan_v2": c.Published(50_000, kept=49_123, cite=CITE, sampled=True),
    "cot": c.Published(50_000, kept=49_747, cite=CITE, sampled=True),  # as many as of all FLAN
    "oasst1": c.Published(7_708, kept=7_331, cite=CITE),
    "sharegpt": c.Published(114_046, kept=111_912, cite=CITE),
    "gpt4_alpaca": c.Published(20_000, kept=19_906, cite=CITE, sampled=True),
    "code_alpaca": c.Published(20_022, kept=20_016, cite=CITE),
    "lima": c.Published(1_030, kept=1_018, cite=CITE),
    "wizardlm": c.Published(30_000, kept=29_810, cite=CITE, sampled=True),
    "open_orca": c.Published(30_000, kept=29_683, cite=CITE, sampled=True),
    "science": c.Published(7_544, kept=7_468, cite=CITE),
    "hard_coded": c.Published(140, cite=CITE, note="14 rows, 10 times each, exempt from the filter"),
}
TOKENS = 358_000_000  # 1,097 a row on average (section 2)
HALVES = dict.fromkeys(("cot_zero_shot", "cot_few_shot"), c.Published(25_000, cite=CITE, sampled=True))
SCIENCE = [f"science.{name}" for name in ("evidence_inference", "qasper_truncated_4000", "scierc_ner",
                                                 "scierc_relation", "scifact_json", "scitldr_aic")]  # fmt: skip
LICENCES = {"open_orca": "mit", "lima": "cc-by-nc-sa", "wizardlm": "none given", **dict.fromkeys(
    ("flan_v2", "cot", "oasst1", "sharegpt"), "apache-2.0"), **dict.fromkeys(("gpt4_alpaca", "code_alpaca"),
                                                                             "cc-by-nc-4.0")}  # fmt: skip
FLAN = c.prompt_completion("inputs", "targets")
COMPONENTS = {  # as open-instruct's prepare_tulu_v1_v2.sh fetches them, or the same rows elsewhere on the Hub
    **{name: c.hub("hamishivi/tulu_mix_store", FLAN, files=f"{file}.jsonl") for name, file in (
        ("flan_v2", "flan_v2_resampled_50k"), ("cot_zero_shot", "cot_zsopt"), ("cot_few_shot", "cot_fsopt"))},
    "sharegpt": c.hub("anon8231489123/ShareGPT_Vicuna_unfiltered", "sharegpt", files="HTML*/*_html_cleaned.json"),
    "oasst1": c.hub("OpenAssistant/oasst1", c.oasst(by="quality"), files="2023-04-12_oasst_ready.trees.jsonl.gz"),
    "gpt4_alpaca": c.hub("vicgalle/alpaca-gpt4", "alpaca"),
    "code_alpaca": c.hub("sahil2801/CodeAlpaca-20k", "alpaca"),
    "lima": c.hub("GAIR/lima", c.alternating("conversations", odd="cut"), files="train.jsonl"),
    "wizardlm": c.hub("ai2-adapt-dev/wizardlm-backup", "sharegpt"),
    "open_orca": c.hub("Open-Orca/OpenOrca", c.columns("question", "response", system="system_prompt"),
                       files="1M-GPT4-Augmented.parquet", columns=["system_prompt", "question", "response"], id=None),
    "science": c.hub("hamishivi/tulu_mix_store", c.prompt_completion("input", "output"), files="science_train.jsonl"),
}  # fmt: skip
EVALS = c.evals("mmlu", "gsm8k", "bbh", "tydiqa", "human_eval", "alpaca_eval", "mt_bench", "truthful_qa")


def tulu2(
    *, components: bool = False, flan: int | None = None, cot: int | None = None, sharegpt: int | None = None,
    wizardlm: int | None = None, open_orca: int | None = None, scale: float = 1.0, tokenizer: str | None = None,
    clean: bool = False, evals: tuple[c.EvalSet, ...] = EVALS,
    revision: str | None = "6248b175d2ccb5ec7c4aeb22e6d8ee3b21b2c752",
) -> c.Mixture:  # fmt: skip
    """Return the mixture; a number samples so many rows of a source, ahead of the filter; None takes the published."""
    mixture = c.hub("allenai/tulu-v2-sft-mixture", "messages", revision=revision)
    asked = {"flan_v2": flan, "cot": cot, "sharegpt": sharegpt, "wizardlm": wizardlm, "open_orca": open_orca}
    asked |= dict.fromkeys(HALVES, cot and cot // 2)
    parts = {"sharegpt": c.split_long(COMPONENTS["sharegpt"], 4_096, tokenizer=tokenizer, like="tulu2")}
    left_out = ["cot"] if components else HALVES
    published = {name: one.at(scale) for name, one in (PUBLISHED | HALVES).items() if name not in left_out}

    def source(name: str, said: c.Published) -> c.Source:
        own = (COMPONENTS | parts).get(name) if components else None
        rows = scaled(asked.get(name) or 0, scale) or (said.rows if own else said.expected)
        whole = scale == 1 and not asked.get(name) and not (own and said.sampled)
        return c.Source(
            name, own or mixture, licence=None if own else LICENCES.get(name), protect=name == "hard_coded",
            where={} if own else {"dataset": SCIENCE if name == "science" else name},
            before=None if whole else c.Rows(rows), max_quarantine=0.5 if name == "sharegpt" else 0.01,
            steps=[c.shape(empty_turns=True, role_order=False)] if own and name == "oasst1" else [])  # fmt: skip

    steps = [*([c.refusals("tulu2")] if components else []), *([c.dedup(), c.decontaminate(evals)] if clean else [])]
    return c.Mixture("tulu2", [source(*one) for one in published.items()], steps, seed=42, published=published)
