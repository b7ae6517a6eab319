"""Eval sets of all eval files in the folder of real data, under the names that the registry has for them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final

from curate.evalsets.evals import evals

if TYPE_CHECKING:
    from pathlib import Path

    from curate.evalsets.items import EvalSet

NAMED: Final = {
    "alpaca_eval": "alpaca_eval_reference_davinci003.json",
    "arena_hard": "arena_hard_v0.1_question.jsonl",
    "bbh": "bbh",
    "gsm8k": "gsm8k_test.jsonl",
    "human_eval": "HumanEval.jsonl.gz",
    "ifeval": "ifeval_input_data.jsonl",
    "math": "math500_test.jsonl",
    "mbpp": "MbppBase.jsonl",
    "mt_bench": "mt_bench_question.jsonl",
    "toxigen": "toxigen_prompts/*.txt",
    "truthful_qa": "TruthfulQA.csv",
}
"""The file or folder in `evals/` of each eval in the registry; MMLU is in a zip archive."""

_US_HISTORY: Final = "rephrased_high_school_us_history_test_rephrase_english_filtered_question"
_SOCIOLOGY: Final = "rephrased_sociology_test_rephrase_english_filtered_question"


def real_evals(real_data: Path, scratch: Path) -> tuple[EvalSet, ...]:
    """Return the 12 evals of the registry that have files here, then 6 others; `mmlu.zip` unpacks into `scratch`."""
    folder = real_data / "evals"
    with zipfile.ZipFile(folder / "mmlu.zip") as packed:
        packed.extractall(scratch, [name for name in packed.namelist() if name.startswith("data/test/")])
    named = [evals(name)[0].at(folder / path) for name, path in NAMED.items()]  # type: ignore[arg-type]
    (mmlu,) = evals("mmlu")
    return (
        *named,
        mmlu.at(scratch / "data" / "test"),
        *evals.files(folder / "NQ-open.dev.jsonl", question="question", answer="answer", name="nq_open"),
        *evals.files(folder / "arena_hard_1k_question.jsonl", question="turns", id="question_id", name="arena_hard_1k"),
        *evals.files(folder / "koala_test_set.jsonl", question="prompt", id="id", name="koala"),
        *evals.files(
            folder / "self_instruct_user_oriented.jsonl",
            question="{instruction}\n{instances.0.input}",
            answer="instances.0.output",
            id="id",
            name="self_instruct",
        ),
        *evals.files(folder / "ultra_eval.json", question="data", name="ultra_eval"),
        *evals.files(folder / "vicuna_bench_question.jsonl", question="turns", id="question_id", name="vicuna_bench"),
    )


def rephrased(real_data: Path) -> tuple[EvalSet, ...]:
    """Return the rephrasings of HumanEval (164 in Python; 820 in five languages) and of two subjects of MMLU."""
    folder = real_data / "evals"
    return (
        *evals.files(folder / "rephrased_humaneval_python.jsonl", question="text", name="rephrased_human_eval"),
        *evals.files(folder / "rephrased_humaneval_multi.jsonl", question="text", name="rephrased_human_eval_multi"),
        *evals.files(folder / f"{_US_HISTORY}.jsonl", question="text", name="rephrased_us_history"),
        *evals.files(folder / f"{_SOCIOLOGY}.jsonl", question="text", name="rephrased_sociology"),
    )
