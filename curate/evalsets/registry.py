"""The named evals: where each is on the Hub, and which of its fields hold what.

Ids, splits and fields are those of open-instruct's `decontamination/search.py` (the Tulu-3 decontamination), where it
has the eval; a repository that held a loading script then is read from the Parquet that the Hub keeps of it
(`CONVERTED`), or from the copy that lm-evaluation-harness reads. A commit is pinned where public evaluation code agrees
on one. After each entry's first layout come those of files that its authors publish elsewhere, for `EvalSet.at`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from curate.evalsets.fields import Fields
from curate.evalsets.items import EvalSet
from curate.evalsets.origins import CONVERTED, Hub
from curate.io.blocks import ReadOptions

EvalName: TypeAlias = Literal[
    "agi_eval",
    "alpaca_eval",
    "arena_hard",
    "bbh",
    "drop",
    "gsm8k",
    "human_eval",
    "ifeval",
    "math",
    "mbpp",
    "mmlu",
    "mt_bench",
    "popqa",
    "toxigen",
    "truthful_qa",
    "tydiqa",
]
SuiteName: TypeAlias = Literal["tulu2", "tulu3", "zephyr"]

_BBH: Final = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
)
_MATH: Final = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_AGI_EVAL: Final = ("aqua_rat", "logiqa-en", "lsat-ar", "lsat-lr", "lsat-rc", "sat-en", "sat-math")

_SETS: Final = (
    # AGIEval (arXiv 2304.06364), the English multiple-choice exams. Repository and fields: open-instruct; configs: as
    # lighteval tasks name them. Files: github.com/ruixiangcui/AGIEval, data/v1/*.jsonl, with the same fields.
    EvalSet(
        name="agi_eval",
        origin=Hub(id="lighteval/agi_eval_en", configs=_AGI_EVAL, split="train", revision=CONVERTED),
        fields=(Fields(question="question", passage="passage", choices="options", answer="label"),),
    ),
    # AlpacaEval, 805 instructions. Repository and split: open-instruct. Files: github.com/tatsu-lab/alpaca_eval,
    # results/*/model_outputs.json; `output` is the reference's answer.
    EvalSet(
        name="alpaca_eval",
        origin=Hub(id="tatsu-lab/alpaca_eval", configs=("alpaca_eval",), split="eval", revision=CONVERTED),
        fields=(Fields(question="instruction", answer="output"),),
    ),
    # Arena-Hard v0.1 (arXiv 2406.11939), 500 questions. The repository of v2 holds results as well, and does not load.
    # Files: question.jsonl of github.com/lm-sys/arena-hard-auto; of FastChat, whose turns are plain text.
    EvalSet(
        name="arena_hard",
        origin=Hub(
            id="lmarena-ai/arena-hard-auto-v0.1", split="train", revision="2a69efe86cff85c593cfd4c2b4491c128e52c6f1"
        ),
        fields=(
            Fields(question="turns.content", id="question_id"),
            Fields(question="turns", id="question_id"),
            Fields(question="prompt", id="uid"),
        ),
    ),
    # BIG-Bench Hard (arXiv 2210.09261), 6,511 items of 27 tasks. open-instruct reads lukaemon/bbh, a loading script;
    # this Parquet copy of it is what lm-evaluation-harness reads. Files: github.com/suzgunmirac/BIG-Bench-Hard, bbh/*.
    EvalSet(
        name="bbh",
        origin=Hub(id="SaylorTwift/bbh", configs=_BBH, split="test"),
        fields=(Fields(question="input", answer="target"),),
    ),
    # DROP (arXiv 1903.00161), 9,535 questions. Repository and split: open-instruct; its passages are kept apart here.
    EvalSet(
        name="drop",
        origin=Hub(id="ucinlp/drop", split="validation"),
        fields=(Fields(question="question", passage="passage", answer="answers_spans.spans", id="query_id"),),
    ),
    # GSM8K (arXiv 2110.14168), 1,319 problems. Repository and split: open-instruct. Files: test.jsonl of
    # github.com/openai/grade-school-math.
    EvalSet(
        name="gsm8k",
        origin=Hub(
            id="openai/gsm8k", configs=("main",), split="test", revision="740312add88f781978c0658806c59bc2815b9866"
        ),
        fields=(Fields(question="question", answer="answer"),),
    ),
    # HumanEval (arXiv 2107.03374), 164 problems. Repository and split: open-instruct. Files: HumanEval.jsonl.gz of
    # github.com/openai/human-eval.
    EvalSet(
        name="human_eval",
        origin=Hub(id="openai/openai_humaneval", split="test", revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544"),
        fields=(Fields(question="prompt", answer="canonical_solution", id="task_id"),),
    ),
    # IFEval (arXiv 2311.07911), 541 prompts. Repository and split: open-instruct. Files: input_data.jsonl of
    # google-research.
    EvalSet(
        name="ifeval",
        origin=Hub(id="google/IFEval", split="train", revision="966cd89545d6b6acfd7638bc708b98261ca58e84"),
        fields=(Fields(question="prompt", id="key"),),
    ),
    # MATH (arXiv 2103.03874), 5,000 problems of seven subjects. Repository and split: open-instruct. Files: MATH-500,
    # whose problems are numbered by `unique_id`.
    EvalSet(
        name="math",
        origin=Hub(id="EleutherAI/hendrycks_math", configs=_MATH, split="test"),
        fields=(Fields(question="problem", answer="solution", id="unique_id"),),
    ),
    # MBPP (arXiv 2108.07732), the 500 problems of the test split, as lm-evaluation-harness reads it. Files: mbpp.jsonl
    # of google-research (974: all splits), MbppBase.jsonl of EvalPlus (427), sanitized-mbpp.json.
    EvalSet(
        name="mbpp",
        origin=Hub(
            id="google-research-datasets/mbpp",
            configs=("full",),
            split="test",
            revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
        ),
        fields=(
            Fields(question="text", answer="code", id="task_id"),
            Fields(question="prompt", answer="{canonical_solution}{code}", id="task_id"),
        ),
    ),
    # MMLU (arXiv 2009.03300), 14,042 questions of 57 subjects. Repository, config and split: open-instruct. Files: the
    # authors' data/test/*.csv, which has no header.
    EvalSet(
        name="mmlu",
        origin=Hub(id="cais/mmlu", configs=("all",), split="test", revision="c30699e8356da336a370243923dbaf21066bb9fe"),
        fields=(Fields(question="question", choices=("choices", "A", "B", "C", "D"), answer="answer"),),
        local=ReadOptions(columns=("question", "A", "B", "C", "D", "answer")),
    ),
    # MT-bench (arXiv 2306.05685), 80 dialogues of two turns: 160 items. Repository and split: as the Zephyr authors
    # published it. Files: question.jsonl of FastChat, llm_judge/data/mt_bench.
    EvalSet(
        name="mt_bench",
        origin=Hub(
            id="HuggingFaceH4/mt_bench_prompts", split="train", revision="e3a795c5e9a82ee40611c416b8a7786c73198991"
        ),
        fields=(
            Fields(question="prompt", answer="reference", id="prompt_id"),
            Fields(question="turns", answer="reference", id="question_id"),
        ),
    ),
    # PopQA (arXiv 2212.10511), 14,267 questions. Repository and split: open-instruct, which searches the triple
    # (subject, property, object); the question is made of it, and is what a model is asked.
    EvalSet(
        name="popqa",
        origin=Hub(id="akariasai/PopQA", split="test", revision="098765c79ea10a2cb19c828324e33281b8336ec0"),
        fields=(Fields(question="question", answer="possible_answers", id="id"),),
    ),
    # ToxiGen (arXiv 2203.09509), the 940 statements that people annotated for the test split (gated). Files: prompts/*
    # of github.com/microsoft/TOXIGEN, a prompt a line with `\n` between its statements: what Tulu 2 is prompted with.
    EvalSet(
        name="toxigen",
        origin=Hub(id="toxigen/toxigen-data", configs=("annotated",), split="test"),
        fields=(Fields(question="text"), Fields(question="prompt")),
        local=ReadOptions(columns=("prompt",), quoted=False, unescape=True),
    ),
    # TruthfulQA (arXiv 2109.07958), 817 questions. Repository, config and split: open-instruct. Files: TruthfulQA.csv
    # of github.com/sylinrl/TruthfulQA, where each list of answers is one text.
    EvalSet(
        name="truthful_qa",
        origin=Hub(
            id="truthfulqa/truthful_qa",
            configs=("generation",),
            split="validation",
            revision="741b8276f2d1982aa3d5b832d3ee81ed3b896490",
        ),
        fields=(
            Fields(question="question", answer="best_answer", choices=("correct_answers", "incorrect_answers")),
            Fields(question="Question", answer="Best Answer", choices=("Correct Answers", "Incorrect Answers")),
        ),
    ),
    # TyDiQA-GoldP (arXiv 2003.05002), 5,077 questions in nine languages. Repository, config and split: lighteval.
    EvalSet(
        name="tydiqa",
        origin=Hub(id="google-research-datasets/tydiqa", configs=("secondary_task",), split="validation"),
        fields=(Fields(question="question", passage="context", answer="answers.text", id="id"),),
    ),
)

SETS: Final[dict[str, EvalSet]] = {one.name: one for one in _SETS}
"""Each eval by its name."""

SUITES: Final[dict[str, tuple[EvalName, ...]]] = {
    "tulu2": ("mmlu", "gsm8k", "bbh", "tydiqa", "human_eval", "alpaca_eval", "mt_bench", "toxigen", "truthful_qa"),
    "tulu3": (
        "mmlu",
        "popqa",
        "truthful_qa",
        "bbh",
        "drop",
        "math",
        "gsm8k",
        "human_eval",
        "ifeval",
        "alpaca_eval",
        "agi_eval",
    ),
    "zephyr": ("mt_bench", "alpaca_eval", "mmlu", "truthful_qa"),
}
"""The evals of a published recipe, as far as they have a name here.

- `tulu2`: the evaluation suite of Tulu 2 (arXiv 2311.10702, section 3), whole.
- `tulu3`: the development suite of Tulu 3 (arXiv 2411.15124, table 3; `eval_sets` in open-instruct's `search.py`) and
  AGIEval of its unseen suite. It leaves out the safety evals (gated), MMLU-Pro, GPQA, BigCodeBench and DeepMind's math.
- `zephyr`: what Zephyr-7B-beta reports (arXiv 2310.16944, section 5). It leaves out ARC and HellaSwag.
"""
